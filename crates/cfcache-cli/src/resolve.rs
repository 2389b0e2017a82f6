//! From what was typed and what the environment says to a job: everything parsed, every conflict named, nothing sent.

mod changed;
mod connection;
mod setting;
mod visiting;

use std::path::{Path, PathBuf};

use cfcache_app::job::{EnvironmentRef, EverythingJob, ListJob, RouteJob, Scope, VisitJob};
use cfcache_app::job::{Job as PurgeJob, OnInvalid};
pub(crate) use cfcache_app::job::{Targets, ZoneRef};
use cfcache_app::manage::{ManageJob, SettingCommand, SettingJob};
use cfcache_model::endpoint::{Action, Switch};
use cfcache_model::id::{AccountId, EnvironmentId, InvalidId, ZoneId};
use cfcache_model::target::{CacheKeyHeader, Kind};
use cfcache_model::{Plan, endpoint};

use crate::args::{
    Args, Command, ConfigCommand, EmulatorArgs, Global, Input, ListCommand, Pages, ShellArg, TokenCommand,
    What,
};
use crate::config::{self, CredentialPlace, Environment, Origin, Settings, Sourced, TokenPlace};
use crate::domain;
use crate::failure::Failure;
use crate::render::{Terminal, human};
use crate::resolve::connection::plan;
use crate::resolve::visiting::Purged;
use crate::same_file::FileId;
use crate::secret::{may_be_secret, shown, shown_path};
use crate::source::{Base, list_named};

/// What to do.
pub(crate) enum Job {
    Purge(PurgeJob),
    /// Prints what would be sent.
    PurgeDryRun(PurgeJob),
    Probe(VisitJob),
    Warm(VisitJob),
    /// Prints what would be fetched.
    WarmDryRun(VisitJob),
    Emulator(EmulatorArgs, Plan, bool),
    Manage(ManageJob),
    /// Prints the requests of a change.
    ManageDryRun(SettingJob),
    ShowConfig(Box<Settings>),
    ConfigPath(Option<PathBuf>),
    Completions(ShellArg),
    Man(Option<PathBuf>),
}

/// Makes a job of arguments and environment.
///
/// # Errors
///
/// [`Failure`], with exit code 2 for a mistake and 3 where there are no credentials.
pub(crate) fn job(args: Args, environment: &Environment, terminal: &Terminal) -> Result<Job, Failure> {
    let Args { command, global } = args;
    let resolver = || Resolver::load(&global, environment, terminal);
    match command {
        // These two need nothing that is set anywhere, and are not kept from working by it.
        Command::Completions { shell } => Ok(Job::Completions(shell)),
        Command::Man { folder } => Ok(Job::Man(folder)),
        Command::Emulator(args) => {
            check_unicode(environment)?;
            check_emulator_options(&global)?;
            // It is an API of its own: what is set for the other one is not for it.
            let plan = plan(global.plan.as_deref())?.unwrap_or(Plan::Enterprise);
            Ok(Job::Emulator(args, plan, !global.no_rate_limit))
        }
        Command::Purge { what } => resolver()?.purge(Action::Purge, what),
        Command::Invalidate { what } => resolver()?.purge(Action::Invalidate, what),
        Command::Probe { input, pages } => resolver()?.probe(input, pages),
        Command::Warm { input, pages } => resolver()?.warm(input, pages),
        Command::Config { command: ConfigCommand::Show } => {
            Ok(Job::ShowConfig(Box::new(resolver()?.settings)))
        }
        Command::Config { command: ConfigCommand::Path } => Ok(Job::ConfigPath(resolver()?.settings.path)),
        Command::Zones { command: ListCommand::List } => resolver()?.zones(),
        Command::Environments { command: ListCommand::List } => resolver()?.environments(),
        Command::Token { command: TokenCommand::Verify { account } } => resolver()?.token(account),
        Command::Reserve { command } => resolver()?.setting(|| Ok(setting::reserve(&command))),
        Command::RegionalTiered { command } => {
            resolver()?.setting(|| Ok(setting::switch(Switch::RegionalTieredCache, &command)))
        }
        Command::SmartTiered { command } => resolver()?.setting(|| Ok(setting::smart(&command))),
        Command::TieredCache { command } => {
            resolver()?.setting(|| Ok(setting::switch(Switch::TieredCaching, &command)))
        }
        Command::CacheLevel { command } => resolver()?.setting(|| Ok(setting::cache_level(&command))),
        Command::BrowserCacheTtl { command } => {
            resolver()?.setting(|| Ok(setting::browser_cache_ttl(&command)))
        }
        Command::AlwaysOnline { command } => {
            resolver()?.setting(|| Ok(setting::switch(Switch::AlwaysOnline, &command)))
        }
        Command::SortQueryString { command } => {
            resolver()?.setting(|| Ok(setting::switch(Switch::SortQueryString, &command)))
        }
        Command::DevelopmentMode { command } => {
            resolver()?.setting(|| Ok(setting::switch(Switch::DevelopmentMode, &command)))
        }
        Command::Variants { command } => resolver()?.setting(|| setting::variants(command)),
        Command::OriginRegions { command } => resolver()?.setting(|| setting::regions(command)),
        Command::Settings => resolver()?.setting(|| Ok(SettingCommand::Table)),
    }
}

fn check_unicode(environment: &Environment) -> Result<(), Failure> {
    match &environment.broken {
        Some(name) => Err(Failure::usage(format!("the value of `{name}` is not Unicode"))),
        None => Ok(()),
    }
}

/// Refuses the options that are about asking an API, where one is served.
fn check_emulator_options(global: &Global) -> Result<(), Failure> {
    let options = [
        ("--zone", global.zone.is_some()),
        ("--environment", global.environment.is_some()),
        ("--api-token-file", global.api_token_file.is_some()),
        ("--base-url", global.base_url.is_some()),
        ("--emulator", global.emulator),
        ("--proxy", global.proxy.is_some()),
        ("--profile", global.profile.is_some()),
        ("--config", global.config.is_some()),
        ("--roots", global.roots.is_some()),
        ("--ca-file", !global.ca_file.is_empty()),
        ("--allow-insecure-http", global.allow_insecure_http),
        ("--batch-size", global.batch_size.is_some()),
        ("--concurrency", global.concurrency.is_some()),
        ("--max-retries", global.max_retries.is_some()),
        ("--timeout", global.timeout.is_some()),
        ("--max-wait", global.max_wait.is_some()),
        ("--output", global.output.is_some()),
        ("--json", global.json),
        ("--dry-run", global.dry_run),
        ("--yes", global.yes),
        ("--force", global.force),
        ("--on-invalid", global.on_invalid.is_some()),
        ("--strict", global.strict),
        ("--journal", global.journal.is_some()),
        ("--failed-to", global.failed_to.is_some()),
    ];
    match options.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            let failure = Failure::usage(format!(
                "`{option}` does nothing here: `emulator` serves the API, and asks none"
            ));
            Err(match *option {
                "--zone" => failure.with_hint("its zone is named with `--zone-id` and `--zone-name`"),
                _ => failure,
            })
        }
        None => Ok(()),
    }
}

/// Everything that a job is made of.
struct Resolver<'a> {
    settings: Settings,
    global: &'a Global,
    environment: &'a Environment,
    terminal: &'a Terminal,
}

impl<'a> Resolver<'a> {
    fn load(
        global: &'a Global,
        environment: &'a Environment,
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        check_unicode(environment)?;
        let settings = Settings::load(&global.overrides(), environment)?;
        if let Some(overruled) = &settings.overruled {
            terminal.warn(overruled);
        }
        if matches!(settings.base_url.origin, Origin::Default) && !global.emulator {
            environment.unread(&[config::API_BASE_URL]).iter().for_each(|unread| terminal.warn(unread));
        }
        Ok(Self { settings, global, environment, terminal })
    }
}

impl Resolver<'_> {
    fn purge_job(&self, job: PurgeJob) -> Job {
        if self.global.dry_run { Job::PurgeDryRun(job) } else { Job::Purge(job) }
    }

    fn purge(&self, action: Action, what: What) -> Result<Job, Failure> {
        let targets = |kind, input| targets(action, kind, input, Pages::default(), Vec::new(), self.global);
        match what {
            What::Everything => self.everything(action),
            What::Urls { input, pages, headers } => {
                let headers = cache_key_headers(&headers)?;
                self.list(action, self::targets(action, Kind::Files, input, pages, headers, self.global)?)
            }
            What::Tags(input) => self.list(action, targets(Kind::Tags, input)?),
            What::Hosts(input) => self.list(action, targets(Kind::Hosts, input)?),
            What::Prefixes(input) => self.list(action, targets(Kind::Prefixes, input)?),
            What::Changed(args) => self.changed(action, *args),
        }
    }

    fn everything(&self, action: Action) -> Result<Job, Failure> {
        let global = self.global;
        if let Some(path) = &self.settings.forbidden_by {
            return Err(Failure::usage(format!("{} forbids {action} of everything", shown_path(path)))
                .with_hint("purge by URL, tag, host or prefix, or run it outside of this project"));
        }
        let options = [
            ("--failed-to", global.failed_to.is_some()),
            ("--journal", global.journal.is_some()),
            ("--on-invalid", global.on_invalid.is_some()),
            ("--strict", global.strict),
            ("--batch-size", global.batch_size.is_some()),
            ("--concurrency", global.concurrency.is_some()),
        ];
        for (option, is_given) in options {
            if is_given {
                return Err(Failure::usage(format!("`{option}` is for lists, and `everything` is none")));
            }
        }
        Ok(self.purge_job(PurgeJob::Everything(EverythingJob {
            action,
            visits: self.visits(&Purged::Everything)?,
            scope: self.scope()?,
            connection: self.connection(global.dry_run)?,
            yes: global.yes || global.force,
        })))
    }

    fn list(&self, action: Action, targets: Targets) -> Result<Job, Failure> {
        let global = self.global;
        let reads_stdin = |path: &PathBuf| path == Path::new("-");
        let inputs = targets.files.iter().chain(&targets.sitemaps).chain(&global.api_token_file);
        if inputs.filter(|path| reads_stdin(path)).count() > 1 {
            return Err(Failure::usage("standard input can be read once, and `-` is given more than once"));
        }
        self.check_written_files(&targets)?;
        // Without a zone, entries that have a host say themselves where they belong.
        if self.settings.zone.is_none() && !global.emulator && targets.kind.has_host() {
            return self.route(action, targets);
        }
        if global.dry_run && global.journal.is_some() {
            return Err(Failure::usage(
                "`--dry-run` and `--journal` exclude each other: nothing is accepted in a dry run",
            ));
        }
        Ok(self.purge_job(PurgeJob::List(ListJob {
            action,
            visits: self.visits(&Purged::List(&targets))?,
            scope: self.scope()?,
            targets,
            connection: self.connection(global.dry_run)?,
            failed_to: global.failed_to.clone(),
            journal: global.journal.clone(),
            batch_size: global.batch_size,
        })))
    }

    /// Refuses to write where something is read, or where something else is written: the same file, whatever it is
    /// called.
    fn check_written_files(&self, targets: &Targets) -> Result<(), Failure> {
        let global = self.global;
        let written = [("--failed-to", &global.failed_to), ("--journal", &global.journal)];
        let written: Vec<(&str, FileId)> = written
            .into_iter()
            .filter_map(|(option, path)| Some((option, FileId::from_path(path.as_deref()?)?)))
            .collect();
        if written.is_empty() {
            return Ok(());
        }
        if let [(_, one), (_, other)] = written.as_slice()
            && one == other
        {
            return Err(Failure::usage("`--failed-to` and `--journal` name the same file"));
        }
        let mut files: Vec<(&str, Option<FileId>)> = FileId::of_outputs().into();
        let inputs = targets.files.iter().chain(&targets.sitemaps);
        files.extend(inputs.map(|path| ("a file that is read as input", FileId::from_path(path))));
        // Even where it is not read here: a script may be reading it.
        files.push(("a file that is read as input", FileId::of_standard_input()));
        let token = match self.settings.credentials.as_ref().map(|sourced| &sourced.value) {
            Some(CredentialPlace::OptionFile(path) | CredentialPlace::Profile(TokenPlace::File(path))) => {
                FileId::from_path(path)
            }
            _ => None,
        };
        files.push(("the file of the token", token));
        files.push(("the configuration", self.settings.path.as_deref().and_then(FileId::from_path)));
        files.extend(global.ca_file.iter().map(|path| ("a file of certificates", FileId::from_path(path))));
        for (option, written) in &written {
            if let Some((name, _)) = files.iter().find(|(_, file)| file.as_ref() == Some(written)) {
                return Err(Failure::usage(format!("`{option}` names {name}")));
            }
        }
        Ok(())
    }

    fn scope(&self) -> Result<Scope, Failure> {
        Ok(Scope { zone: self.zone()?, environment: self.environment()? })
    }

    fn route(&self, action: Action, targets: Targets) -> Result<Job, Failure> {
        let only_one = |option: &str| {
            Failure::usage(format!("`{option}` is for one zone, and none is given"))
                .with_hint(format!("name it with `--zone ID|DOMAIN`, or set `{}`", config::ZONE_ID))
        };
        if self.settings.environment.is_some() {
            return Err(only_one("--environment"));
        }
        if self.global.journal.is_some() {
            return Err(only_one("--journal"));
        }
        for (domain, id) in &self.settings.zones {
            self.warn_if_odd(id, &mapped(domain));
        }
        self.environment.unread(&[config::ZONE_ID]).iter().for_each(|unread| self.terminal.warn(unread));
        Ok(self.purge_job(PurgeJob::Route(RouteJob {
            action,
            visits: self.visits(&Purged::List(&targets))?,
            targets,
            zones: self.settings.zones.clone().into_iter().collect(),
            connection: self.connection(self.global.dry_run)?,
            failed_to: self.global.failed_to.clone(),
            batch_size: self.global.batch_size,
        })))
    }

    /// A command around a setting, which is made sense of once nothing else is wrong: that may read a file.
    fn setting(&self, command: impl FnOnce() -> Result<SettingCommand, Failure>) -> Result<Job, Failure> {
        self.no_purge_options()?;
        let command = command()?;
        let dry_run = self.global.dry_run;
        if dry_run && !command.is_change() {
            return Err(only_reads());
        }
        let yes = self.global.yes || self.global.force;
        let (zone, connection) = (self.zone()?, self.connection(dry_run)?);
        let job = SettingJob { command, zone, connection, yes };
        Ok(if dry_run { Job::ManageDryRun(job) } else { Job::Manage(ManageJob::Setting(job)) })
    }

    fn zones(&self) -> Result<Job, Failure> {
        self.reads()?;
        Ok(Job::Manage(ManageJob::ListZones(self.connection(false)?)))
    }

    fn environments(&self) -> Result<Job, Failure> {
        self.reads()?;
        let zone = self.zone()?;
        Ok(Job::Manage(ManageJob::ListEnvironments(self.connection(false)?, zone)))
    }

    fn token(&self, account: Option<String>) -> Result<Job, Failure> {
        self.reads()?;
        let account = account
            .map(|value| Sourced { value, origin: Origin::Option("--account") })
            .or_else(|| {
                let value = self.environment.account.clone()?;
                Some(Sourced { value, origin: Origin::Variable(config::ACCOUNT_ID) })
            })
            .map(|Sourced { value, origin }| {
                let id = AccountId::parse(&value).map_err(|invalid| not_an_id(&origin, &value, &invalid))?;
                Ok(Sourced { value: id, origin })
            })
            .transpose()?;
        let unread = self.environment.unread(&[config::ACCOUNT_ID]);
        Ok(Job::Manage(ManageJob::VerifyToken(self.connection(false)?, account, unread)))
    }

    /// What a command that changes nothing cannot be told.
    fn reads(&self) -> Result<(), Failure> {
        self.no_purge_options()?;
        if self.global.dry_run { Err(only_reads()) } else { Ok(()) }
    }

    /// What is for lists to purge is refused where it would do nothing.
    fn no_purge_options(&self) -> Result<(), Failure> {
        let global = self.global;
        let options = [
            ("--environment", global.environment.is_some()),
            ("--journal", global.journal.is_some()),
            ("--failed-to", global.failed_to.is_some()),
            ("--on-invalid", global.on_invalid.is_some()),
            ("--strict", global.strict),
            ("--batch-size", global.batch_size.is_some()),
        ];
        self.no_visitor_options()?;
        match options.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::usage(format!("`{option}` is for purge and invalidate"))),
            None => Ok(()),
        }
    }

    /// What is about visitors is refused where none asks anything.
    fn no_visitor_options(&self) -> Result<(), Failure> {
        let visiting = &self.global.visiting;
        let options = [
            ("--verify-connect", visiting.verify_connect.is_some()),
            ("--visitor-headers", visiting.visitor_headers.is_some()),
            ("--visitor-rate", visiting.visitor_rate.is_some()),
            ("--warm-as", !visiting.warm_as.is_empty()),
            ("--warm-certify", visiting.warm_certify),
            ("--verify", visiting.verify.is_some()),
            ("--verify-url", !visiting.verify_url.is_empty()),
            ("--verify-from", !visiting.verify_from.is_empty()),
            ("--verify-timeout", visiting.verify_timeout.is_some()),
            ("--expect", visiting.expect.is_some()),
            ("--after", visiting.after.is_some()),
            ("--after-timeout", visiting.after_timeout.is_some()),
            ("--after-no-bust", visiting.after_no_bust),
            ("--warm", visiting.warm),
        ];
        match options.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::usage(format!(
                "`{option}` is for `probe` and `warm`, and for a purge with `--verify`, `--after` or `--warm`"
            ))),
            None => Ok(()),
        }
    }

    fn zone(&self) -> Result<ZoneRef, Failure> {
        let Some(Sourced { value, origin }) = &self.settings.zone else {
            // The emulator has one zone, and needs none named.
            if self.global.emulator
                && let Ok(zone) = ZoneId::parse(endpoint::example::ZONE_ID)
            {
                return Ok(ZoneRef::Id(zone));
            }
            let mut failure = Failure::usage("no zone given")
                .with_hint(format!("name it with `--zone ID|DOMAIN`, or set `{}`", config::ZONE_ID));
            failure.causes = self.environment.unread(&[config::ZONE_ID]);
            return Err(failure);
        };
        let zone = value.trim();
        // A domain has a dot, and an id has none.
        if zone.contains('.') {
            let domain = domain(zone, origin)?;
            return match self.settings.zones.get(&domain::ascii(&domain)) {
                Some(id) => {
                    self.warn_if_odd(id, &mapped(&domain));
                    Ok(ZoneRef::Id(id.clone()))
                }
                None => Ok(ZoneRef::Domain(domain)),
            };
        }
        let id = ZoneId::parse(zone).map_err(|invalid| {
            let failure = not_an_id(origin, zone, &invalid);
            if failure.hint.is_some() {
                return failure;
            }
            failure.with_hint("a zone is given by its id, or by its domain, such as `example.com`")
        })?;
        self.warn_if_odd(&id, &origin.to_string());
        Ok(ZoneRef::Id(id))
    }

    /// Every documented zone id has 32 hex digits, and nothing promises it: another is sent as it is, and not in silence.
    /// (The emulator takes its zone's id from here, whatever it looks like.)
    fn warn_if_odd(&self, id: &ZoneId, origin: &str) {
        let text = id.as_str();
        if self.global.emulator {
            return;
        }
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.terminal.warn(&format!(
                "{origin}: {} does not look like a zone id, which has 32 hex digits",
                shown(text)
            ));
        }
    }

    /// Ids of environments are hex words of about thirty digits; everything else is a name.
    fn environment(&self) -> Result<Option<EnvironmentRef>, Failure> {
        let Some(Sourced { value, origin }) = &self.settings.environment else { return Ok(None) };
        if value.trim().is_empty() {
            return Err(Failure::usage(format!("{origin}: the environment is empty"))
                .with_hint("leave it out to purge the zone, or name one (`cfcache environments list`)"));
        }
        let is_id = value.len() >= 20 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            return Ok(Some(EnvironmentRef::Name(value.clone())));
        }
        match EnvironmentId::parse(value) {
            Ok(id) => Ok(Some(EnvironmentRef::Id(id))),
            Err(invalid) => Err(not_an_id(origin, value, &invalid)),
        }
    }
}

/// What was given is not an id, and is shown only where it cannot be a secret.
fn not_an_id(origin: &Origin, text: &str, invalid: &InvalidId) -> Failure {
    if may_be_secret(text) {
        return Failure::usage(format!("{origin} is not an id: {}", shown(text))).with_hint(format!(
            "it may be a token: was it meant for `{}`, or for the file of `--api-token-file`?",
            config::API_TOKEN
        ));
    }
    Failure::usage(format!("{origin}: {invalid}"))
}

/// Where the configuration's map says which zone a domain is.
fn mapped(domain: &str) -> String {
    format!("`[zones]`, {}", shown(&domain::unicode(domain)))
}

fn only_reads() -> Failure {
    Failure::usage("`--dry-run` is for commands that change something, and this one only reads")
}

fn targets(
    action: Action,
    kind: Kind,
    input: Input,
    pages: Pages,
    headers: Vec<CacheKeyHeader>,
    global: &Global,
) -> Result<Targets, Failure> {
    let base = pages.base.as_deref().map(Base::parse).transpose();
    let base = base.map_err(|why| Failure::usage(format!("`--base`: {why}")))?;
    if input.entries.is_empty() && input.from.is_empty() && pages.from_sitemap.is_empty() {
        let nouns = human::plural(kind);
        return Err(Failure::usage(format!("no {nouns} given, and nothing is not everything"))
            .with_hint(format!("give {nouns} as arguments, or `--from FILE` (`-` is standard input)")));
    }
    // `-f tags.txt` is typed for "from a file", and a file's name is a valid tag.
    if global.force
        && let Some(name) = input.entries.iter().find_map(|entry| list_named(entry))
    {
        let name = cfcache_model::text::quote(name);
        return Err(Failure::usage(format!(
            "`--force` (`-f`) reads no list, and {name} is the name of one; nothing was sent"
        ))
        .with_hint(format!(
            "a list is read with `--from FILE`; if {name} itself is meant, use `--yes` (`-y`)"
        )));
    }
    Ok(Targets {
        action,
        kind,
        arguments: input.entries,
        files: input.from,
        headers,
        on_invalid: global.on_invalid.map_or(OnInvalid::Fail, OnInvalid::from),
        sitemaps: pages.from_sitemap,
        base,
        null: input.null,
        strict: global.strict,
    })
}

fn cache_key_headers(texts: &[String]) -> Result<Vec<CacheKeyHeader>, Failure> {
    let mut headers: Vec<CacheKeyHeader> = Vec::new();
    for text in texts {
        let header = CacheKeyHeader::parse(text).map_err(|invalid| {
            let failure = Failure::usage(format!("`--header`: {invalid}"));
            match invalid.cure() {
                Some(cure) => failure.with_hint(cure),
                None => failure,
            }
        })?;
        if headers.iter().any(|have| have.is(header.name())) {
            return Err(Failure::usage(format!("`--header`: the header `{}` is given twice", header.name())));
        }
        headers.push(header);
    }
    Ok(headers)
}

fn domain(text: &str, origin: &Origin) -> Result<String, Failure> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or("").trim_end_matches('.');
    // A letter of another script may be written as several characters.
    let is_plain = |char: char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '.' | '-' | '_')
            || (!char.is_ascii() && !cfcache_model::text::is_invisible(char) && !char.is_whitespace())
    };
    if bare != text.trim_end_matches('.') || !bare.chars().all(is_plain) {
        let failure = Failure::usage(format!("{origin}: {} is not a domain", shown(text)));
        return Err(if bare.chars().all(is_plain) && !bare.is_empty() && !may_be_secret(text) {
            failure.with_hint(format!("is `{bare}` meant?"))
        } else {
            failure
        });
    }
    Ok(bare.to_lowercase())
}
