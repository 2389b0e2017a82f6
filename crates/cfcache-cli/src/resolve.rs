//! From arguments to a task: refuses options that exclude each other or do nothing, and passes the rest to cfcache-app,
//! which parses it.

mod changed;
mod setting;
mod visiting;

use core::time::Duration;
use std::path::{Path, PathBuf};

use cfcache_app::connection::{Api, Connection, Network, plan};
use cfcache_app::job::{Destination, EverythingJob, IdOrName, Job, ListJob, Targets, WarmJob};
use cfcache_app::manage::{ManageJob, SettingCommand, only_reads};
use cfcache_model::Plan;
use cfcache_model::endpoint::{Action, Switch};
use cfcache_model::id::ZoneId;
use cfcache_model::target::{CacheKeyHeader, Kind};
use cfcache_probe::{Limits, Variant, VisitorBuilder};
use cfcache_transport::Roots;

use crate::args::{
    Args, Command, ConfigCommand, EmulatorArgs, Global, InputArgs, ListCommand, PagesArgs, PurgeCommand,
    TokenCommand, UrlsArgs,
};
use crate::command::Shell;
use crate::config::{self, CredentialPlace, EnvVars, Settings, Sourced, ValueOrigin};
use crate::failure::Failure;
use crate::render::{Terminal, human};
use crate::secret::shown_path;
use crate::source::{Base, list_named};
use crate::{credentials, same_file};

/// What to do.
pub(crate) enum Task {
    Purge(Job),
    /// Prints the requests that would be sent.
    PurgeDryRun(Job),
    Probe(Targets, VisitorBuilder, Limits),
    Warm(Targets, VisitorBuilder, WarmJob),
    /// Prints the URLs that would be fetched.
    WarmDryRun(Targets, Vec<Variant>),
    Emulator {
        args: EmulatorArgs,
        plan: Plan,
        /// Whether it enforces the limits of the plan.
        has_limits: bool,
    },
    Manage(ManageJob),
    /// Prints the requests of a change.
    ManageDryRun(ManageJob),
    ShowConfig(Box<Settings>),
    ConfigPath(Option<PathBuf>),
    Completions(Shell),
    Man(Option<PathBuf>),
}

/// Creates a task from arguments and environment.
///
/// # Errors
///
/// [`Failure`], with exit code 2 for a usage error and 3 if there are no credentials.
pub(crate) fn task(args: Args, environment: &EnvVars, terminal: &Terminal) -> Result<Task, Failure> {
    let Args { command, global } = args;
    let resolver = || Resolver::load(&global, environment, terminal);
    match command {
        // These two need no settings, so invalid settings must not stop them.
        Command::Completions { shell } => Ok(Task::Completions(shell)),
        Command::Man { folder } => Ok(Task::Man(folder)),
        Command::Emulator(args) => {
            check_unicode(environment)?;
            check_emulator_options(&global)?;
            // It is its own API: the settings for the other API do not apply.
            let plan = plan(global.plan.as_deref())?.unwrap_or(Plan::Enterprise);
            Ok(Task::Emulator { args, plan, has_limits: !global.no_rate_limit })
        }
        Command::Purge { command } => resolver()?.purge(Action::Purge, command),
        Command::Invalidate { command } => resolver()?.purge(Action::Invalidate, command),
        Command::Probe { input, pages } => resolver()?.probe(input, pages),
        Command::Warm { input, pages } => resolver()?.warm(input, pages),
        Command::Config { command: ConfigCommand::Show } => {
            Ok(Task::ShowConfig(Box::new(resolver()?.settings)))
        }
        Command::Config { command: ConfigCommand::Path } => Ok(Task::ConfigPath(resolver()?.settings.path)),
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

fn check_unicode(environment: &EnvVars) -> Result<(), Failure> {
    match &environment.broken {
        Some(name) => Err(Failure::usage(format!("the value of `{name}` is not Unicode"))),
        None => Ok(()),
    }
}

/// Refuses options for calling the API if the API is served.
fn check_emulator_options(global: &Global) -> Result<(), Failure> {
    let options = [
        ("--zone", global.common.zone.is_some()),
        ("--environment", global.common.environment.is_some()),
        ("--api-token-file", global.common.api_token_file.is_some()),
        ("--base-url", global.common.base_url.is_some()),
        ("--emulator", global.common.emulator),
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
        ("--output", global.common.output.is_some()),
        ("--json", global.common.json),
        ("--dry-run", global.common.dry_run),
        ("--yes", global.common.yes),
        ("--force", global.common.force),
        ("--on-invalid", global.on_invalid.is_some()),
        ("--strict", global.strict),
        ("--journal", global.journal.is_some()),
        ("--failed-to", global.failed_to.is_some()),
    ];
    match options.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            let failure = Failure::usage(format!(
                "`{option}` has no effect: `emulator` serves the API and does not call it"
            ));
            Err(match *option {
                "--zone" => failure.with_hint("its zone is named with `--zone-id` and `--zone-name`"),
                _ => failure,
            })
        }
        None => Ok(()),
    }
}

/// The arguments and settings from which a job is made.
struct Resolver<'a> {
    settings: Settings,
    global: &'a Global,
    environment: &'a EnvVars,
    terminal: &'a Terminal,
}

impl<'a> Resolver<'a> {
    fn load(global: &'a Global, environment: &'a EnvVars, terminal: &'a Terminal) -> Result<Self, Failure> {
        check_unicode(environment)?;
        let settings = Settings::load(&global.overrides(), environment)?;
        if let Some(overruled) = &settings.overruled {
            terminal.warn(overruled);
        }
        if matches!(settings.base_url.origin, ValueOrigin::Default) && !global.common.emulator {
            environment.unread(&[config::API_BASE_URL]).iter().for_each(|unread| terminal.warn(unread));
        }
        Ok(Self { settings, global, environment, terminal })
    }

    fn zone(&self) -> Result<IdOrName<ZoneId>, Failure> {
        self.settings.parse_zone(self.environment, self.terminal)
    }

    /// The connection; credentials are not needed if nothing will be sent.
    fn connection(&self, sends_nothing: bool) -> Result<Connection, Failure> {
        let global = self.global;
        if global.common.emulator && global.common.base_url.is_some() {
            return Err(Failure::usage("`--emulator` and `--base-url` exclude each other"));
        }
        let api = if global.common.emulator {
            Api::emulator(self.settings.zone.is_some().then(|| self.zone()).transpose()?)
        } else {
            let base = self.settings.parse_base_url()?;
            let place = self.settings.credentials.as_ref();
            let fetch = || credentials::fetch(place, self.environment, self.terminal);
            let credentials = (!sends_nothing).then(fetch).transpose()?;
            let (allow_insecure_http, network) = (global.allow_insecure_http, Box::new(self.network()?));
            Api::Remote { base, credentials, allow_insecure_http, network }
        };
        Ok(Connection {
            api,
            plan: self.settings.parse_plan()?,
            pacing: !global.no_rate_limit,
            concurrency: global.concurrency,
            max_retries: global.max_retries,
            timeout: global.timeout.map(Duration::from_secs_f64),
            max_wait: global.max_wait.map(Duration::from_secs_f64),
        })
    }

    fn network(&self) -> Result<Network, Failure> {
        let global = self.global;
        let roots = global.roots.unwrap_or(Roots::Platform);
        Network::new(global.proxy.as_deref(), roots, &global.ca_file, self.environment)
    }
}

impl Resolver<'_> {
    fn purge_job(&self, job: Job) -> Task {
        if self.global.common.dry_run { Task::PurgeDryRun(job) } else { Task::Purge(job) }
    }

    fn purge(&self, action: Action, command: PurgeCommand) -> Result<Task, Failure> {
        let targets =
            |kind, input| targets(Some(action), kind, input, PagesArgs::default(), Vec::new(), self.global);
        match command {
            PurgeCommand::Everything => self.everything(action),
            PurgeCommand::Urls(UrlsArgs { input, pages, headers }) => {
                let headers = cache_key_headers(&headers)?;
                self.list(
                    action,
                    self::targets(Some(action), Kind::Files, input, pages, headers, self.global)?,
                )
            }
            PurgeCommand::Tags(input) => self.list(action, targets(Kind::Tags, input)?),
            PurgeCommand::Hosts(input) => self.list(action, targets(Kind::Hosts, input)?),
            PurgeCommand::Prefixes(input) => self.list(action, targets(Kind::Prefixes, input)?),
            PurgeCommand::Changed(args) => self.changed(action, *args),
        }
    }

    fn everything(&self, action: Action) -> Result<Task, Failure> {
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
                return Err(Failure::usage(format!("`{option}` is for lists, not for `everything`")));
            }
        }
        self.check_stdin(core::iter::empty())?;
        Ok(self.purge_job(Job::Everything(Box::new(EverythingJob {
            action,
            visits: self.visits(Some(0), false)?,
            scope: self.settings.parse_scope(self.environment, self.terminal)?,
            connection: self.connection(global.common.dry_run)?,
            yes: global.common.yes || global.common.force,
        }))))
    }

    fn list(&self, action: Action, targets: Targets) -> Result<Task, Failure> {
        let global = self.global;
        self.check_stdin(targets.files.iter().chain(&targets.sitemaps))?;
        self.check_written_files(&targets)?;
        // Without a zone, entries with a host determine their zones.
        let by_host = targets.kind.has_host() && !self.settings.names_zone();
        if by_host && self.settings.environment.is_none() && global.journal.is_some() {
            return Err(config::needs_zone("--journal"));
        }
        if global.common.dry_run && global.journal.is_some() {
            return Err(Failure::usage(
                "`--dry-run` and `--journal` exclude each other: a dry run has nothing to record",
            ));
        }
        if by_host {
            self.environment.unread(&[config::ZONE_ID]).iter().for_each(|unread| self.terminal.warn(unread));
        }
        let purged = match targets.kind {
            Kind::Files if targets.files.is_empty() && targets.sitemaps.is_empty() => {
                Some(targets.arguments.len())
            }
            Kind::Files => None,
            _ => Some(0),
        };
        let visits = self.visits(purged, false)?;
        let destination = if by_host {
            self.settings.parse_destination(self.environment, self.terminal)?
        } else {
            Destination::Zone(self.settings.parse_scope(self.environment, self.terminal)?)
        };
        Ok(self.purge_job(Job::List(Box::new(ListJob {
            action,
            visits,
            destination,
            targets,
            connection: self.connection(global.common.dry_run)?,
            failed_to: global.failed_to.clone(),
            journal: global.journal.clone(),
            batch_size: global.batch_size,
        }))))
    }

    /// Refuses to read standard input more than once; `inputs` are the files that are read besides those of the shared
    /// options.
    fn check_stdin<'p>(&'p self, inputs: impl Iterator<Item = &'p PathBuf>) -> Result<(), Failure> {
        let Global { common, verify_from, expect, visitor_headers, .. } = self.global;
        let shared = common.api_token_file.iter().chain(verify_from).chain(expect).chain(visitor_headers);
        if inputs.chain(shared).filter(|path| path.as_path() == Path::new("-")).count() > 1 {
            return Err(Failure::usage(
                "`-` is given more than once, but standard input can only be read once",
            ));
        }
        Ok(())
    }

    /// Refuses to write to a file that is read or that another option writes.
    fn check_written_files(&self, targets: &Targets) -> Result<(), Failure> {
        let global = self.global;
        let written = [("--failed-to", &global.failed_to), ("--journal", &global.journal)];
        let written: Vec<(&str, &Path)> =
            written.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?))).collect();
        let inputs = targets.files.iter().chain(&targets.sitemaps);
        let mut read: Vec<(&str, &Path)> =
            inputs.map(|path| ("a file that is read as input", path.as_path())).collect();
        if let Some(Sourced { value: CredentialPlace::File(path), .. }) = &self.settings.credentials {
            read.push(("the file of the token", path));
        }
        read.extend(self.settings.path.iter().map(|path| ("the configuration", path.as_path())));
        read.extend(global.ca_file.iter().map(|path| ("a file of certificates", path.as_path())));
        same_file::check_written(&written, &read)
    }

    /// Handles a command for a setting. Its arguments are parsed after all other checks, because that may read a file.
    fn setting(&self, command: impl FnOnce() -> Result<SettingCommand, Failure>) -> Result<Task, Failure> {
        self.no_purge_options()?;
        let command = command()?;
        let dry_run = self.global.common.dry_run;
        if dry_run && !command.is_change() {
            return Err(only_reads());
        }
        let yes = self.global.common.yes || self.global.common.force;
        let (zone, connection) = (self.zone()?, self.connection(dry_run)?);
        let job = ManageJob::Setting { command, zone, connection, yes };
        Ok(if dry_run { Task::ManageDryRun(job) } else { Task::Manage(job) })
    }

    fn zones(&self) -> Result<Task, Failure> {
        self.reads()?;
        Ok(Task::Manage(ManageJob::ListZones(self.connection(false)?)))
    }

    fn environments(&self) -> Result<Task, Failure> {
        self.reads()?;
        let zone = self.zone()?;
        Ok(Task::Manage(ManageJob::ListEnvironments(self.connection(false)?, zone)))
    }

    fn token(&self, account: Option<String>) -> Result<Task, Failure> {
        self.reads()?;
        let account = config::parse_account(account, self.environment)?;
        let unread = self.environment.unread(&[config::ACCOUNT_ID]);
        Ok(Task::Manage(ManageJob::VerifyToken { connection: self.connection(false)?, account, unread }))
    }

    /// Refuses options that have no effect on a command that only reads.
    fn reads(&self) -> Result<(), Failure> {
        self.no_purge_options()?;
        if self.global.common.dry_run { Err(only_reads()) } else { Ok(()) }
    }

    /// Refuses options for purging if they would have no effect.
    fn no_purge_options(&self) -> Result<(), Failure> {
        let global = self.global;
        let options = [
            ("--environment", global.common.environment.is_some()),
            ("--journal", global.journal.is_some()),
            ("--failed-to", global.failed_to.is_some()),
            ("--on-invalid", global.on_invalid.is_some()),
            ("--strict", global.strict),
            ("--batch-size", global.batch_size.is_some()),
        ];
        self.no_visitor_options()?;
        match options.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::usage(format!("`{option}` is only for purge and invalidate"))),
            None => Ok(()),
        }
    }

    /// Refuses options for visitor requests if there are none.
    fn no_visitor_options(&self) -> Result<(), Failure> {
        let global = self.global;
        let options = [
            ("--verify-connect", global.verify_connect.is_some()),
            ("--visitor-headers", global.visitor_headers.is_some()),
            ("--visitor-rate", global.visitor_rate.is_some()),
            ("--warm-as", !global.warm_as.is_empty()),
            ("--warm-certify", global.warm_certify),
            ("--verify", global.verify.is_some()),
            ("--verify-url", !global.verify_url.is_empty()),
            ("--verify-from", !global.verify_from.is_empty()),
            ("--verify-timeout", global.verify_timeout.is_some()),
            ("--expect", global.expect.is_some()),
            ("--after", global.after.is_some()),
            ("--after-timeout", global.after_timeout.is_some()),
            ("--after-no-bust", global.after_no_bust),
            ("--warm", global.warm),
        ];
        match options.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::usage(format!(
                "`{option}` is only for `probe`, for `warm`, and for a purge with `--verify`, `--after` or `--warm`"
            ))),
            None => Ok(()),
        }
    }
}

fn targets(
    action: Option<Action>,
    kind: Kind,
    input: InputArgs,
    pages: PagesArgs,
    headers: Vec<CacheKeyHeader>,
    global: &Global,
) -> Result<Targets, Failure> {
    let base = pages.base.as_deref().map(Base::parse).transpose();
    let base = base.map_err(|why| Failure::usage(format!("`--base`: {why}")))?;
    if input.entries.is_empty() && input.from.is_empty() && pages.from_sitemap.is_empty() {
        let nouns = human::plural(kind);
        return Err(Failure::usage(format!("no {nouns} given; an empty list does not mean everything"))
            .with_hint(format!("give {nouns} as arguments, or `--from FILE` (`-` is standard input)")));
    }
    // `-f tags.txt` is typed for "from a file", and the name of a file is a valid tag.
    if global.common.force
        && let Some(name) = input.entries.iter().find_map(|entry| list_named(entry))
    {
        let name = cfcache_model::text::quote(name);
        return Err(Failure::usage(format!(
            "`--force` (`-f`) does not read a list, and {name} looks like a file name; nothing was sent"
        ))
        .with_hint(format!("read a list with `--from FILE`; to send {name} itself, use `--yes` (`-y`)")));
    }
    Ok(Targets {
        action,
        kind,
        arguments: input.entries,
        files: input.from,
        headers,
        skips_invalid: global.on_invalid.unwrap_or(false),
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
