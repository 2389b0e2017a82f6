//! From what was typed and what the environment says to a job: everything parsed, every conflict named, nothing sent.

mod setting;

use core::time::Duration;
use std::io::Read;
use std::path::{Path, PathBuf};

use cfcache_client::{BaseUrl, Credentials, DEFAULT_BASE_URL};
use cfcache_model::endpoint::Action;
use cfcache_model::id::{AccountId, EnvironmentId, ZoneId};
use cfcache_model::target::{CacheKeyHeader, Kind};
use cfcache_model::{Plan, endpoint};
use cfcache_transport::{Proxy, ProxyRules, Roots};
use secrecy::SecretString;

use crate::args::{
    Args, Command, EmulatorArgs, Global, Input, OnInvalid, PlanArg, RootsArg, TokenCommand, What,
};
use crate::config::{self, Config};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::Talk;
pub(crate) use crate::resolve::setting::Setting;

/// What to do.
pub(crate) enum Job {
    Purge(PurgeJob),
    ListZones(Connection),
    ListEnvironments(Connection, ZoneRef),
    VerifyToken(Connection, Option<AccountId>),
    Emulator(EmulatorArgs, Plan, bool),
    Setting(SettingJob),
}

/// Something around the cache's settings.
pub(crate) struct SettingJob {
    pub(crate) setting: Setting,
    pub(crate) zone: ZoneRef,
    pub(crate) connection: Connection,
    pub(crate) dry_run: bool,
    pub(crate) yes: bool,
}

/// A purge or invalidate.
pub(crate) struct PurgeJob {
    pub(crate) action: Action,
    pub(crate) scope: Scope,
    pub(crate) what: Selection,
    pub(crate) connection: Connection,
    pub(crate) dry_run: bool,
    pub(crate) yes: bool,
    pub(crate) failed_to: Option<PathBuf>,
    pub(crate) batch_size: Option<usize>,
}

pub(crate) enum Selection {
    Everything,
    Targets(Targets),
}

/// Where targets come from, and how they are read.
pub(crate) struct Targets {
    pub(crate) kind: Kind,
    pub(crate) arguments: Vec<String>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) headers: Vec<CacheKeyHeader>,
    pub(crate) on_invalid: OnInvalid,
}

/// The zone, and the environment of it.
pub(crate) struct Scope {
    pub(crate) zone: ZoneRef,
    pub(crate) environment: Option<EnvironmentRef>,
}

/// A zone, as it was given.
pub(crate) enum ZoneRef {
    Id(ZoneId),
    Domain(String),
}

/// An environment, as it was given.
pub(crate) enum EnvironmentRef {
    Id(EnvironmentId),
    Name(String),
}

/// How to reach the API, and at what pace.
pub(crate) struct Connection {
    pub(crate) api: Api,
    pub(crate) plan: PlanArg,
    pub(crate) pacing: bool,
    pub(crate) concurrency: Option<usize>,
    pub(crate) max_retries: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_wait: Option<Duration>,
}

pub(crate) enum Api {
    /// One that is started in this process.
    Emulator,
    Remote(Box<Remote>),
}

/// An API somewhere else, and how to get there.
pub(crate) struct Remote {
    pub(crate) base: BaseUrl,
    /// `None` only where nothing will be sent.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) allow_insecure_http: bool,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) roots: Roots,
    /// Certificates to trust as well, in PEM.
    pub(crate) authorities: Vec<Vec<u8>>,
}

/// Makes a job of arguments and environment.
///
/// # Errors
///
/// [`Failure`], with exit code 2 for a mistake and 3 where there are no credentials.
pub(crate) fn job(args: Args, config: &Config, talk: &Talk) -> Result<Job, Failure> {
    if let Some(name) = &config.broken {
        return Err(Failure::usage(format!("the value of `{name}` is not Unicode")));
    }
    let global = args.global;
    let (action, what) = match args.command {
        Command::Purge { what } => (Action::Purge, what),
        Command::Invalidate { what } => (Action::Invalidate, what),
        Command::Emulator(args) => {
            let plan = plan(global.plan).unwrap_or(Plan::Enterprise);
            return Ok(Job::Emulator(args, plan, !global.no_rate_limit));
        }
        command @ (Command::Zones { .. } | Command::Environments { .. } | Command::Token { .. }) => {
            return read_only(command, &global, config, talk);
        }
        command => return around_settings(command, &global, config, talk),
    };
    let what = match what {
        What::Everything => Selection::Everything,
        What::Urls { input, headers } => {
            let headers = cache_key_headers(&headers)?;
            Selection::Targets(targets(Kind::Files, input, headers, &global)?)
        }
        What::Tags(input) => Selection::Targets(targets(Kind::Tags, input, Vec::new(), &global)?),
        What::Hosts(input) => Selection::Targets(targets(Kind::Hosts, input, Vec::new(), &global)?),
        What::Prefixes(input) => Selection::Targets(targets(Kind::Prefixes, input, Vec::new(), &global)?),
    };
    let reads_stdin = |path: &PathBuf| path == Path::new("-");
    if let Selection::Targets(targets) = &what
        && targets.files.iter().chain(&global.api_token_file).filter(|path| reads_stdin(path)).count() > 1
    {
        return Err(Failure::usage("standard input can be read once, and `-` is given more than once"));
    }
    Ok(Job::Purge(PurgeJob {
        action,
        scope: Scope { zone: zone(&global)?, environment: environment(&global)? },
        what,
        connection: connection(&global, config, global.dry_run, talk)?,
        dry_run: global.dry_run,
        yes: global.yes,
        failed_to: global.failed_to,
        batch_size: global.batch_size,
    }))
}

fn around_settings(command: Command, global: &Global, config: &Config, talk: &Talk) -> Result<Job, Failure> {
    if global.environment.is_some() {
        return Err(Failure::usage("`--environment` is for purge and invalidate"));
    }
    let Some(setting) = setting::setting(command)? else {
        return Err(Failure::usage("this command is not known"));
    };
    if global.dry_run && !setting.is_change() {
        return Err(only_reads());
    }
    let zone = zone(global)?;
    let connection = connection(global, config, global.dry_run, talk)?;
    Ok(Job::Setting(SettingJob { setting, zone, connection, dry_run: global.dry_run, yes: global.yes }))
}

fn only_reads() -> Failure {
    Failure::usage("`--dry-run` is for commands that change something, and this one only reads")
}

fn read_only(command: Command, global: &Global, config: &Config, talk: &Talk) -> Result<Job, Failure> {
    if global.dry_run {
        return Err(only_reads());
    }
    if global.environment.is_some() {
        return Err(Failure::usage("`--environment` is for purge and invalidate"));
    }
    Ok(match command {
        Command::Environments { .. } => {
            let zone = zone(global)?;
            Job::ListEnvironments(connection(global, config, false, talk)?, zone)
        }
        Command::Token { command: TokenCommand::Verify { account } } => {
            let account = account
                .map(|account| AccountId::parse(&account))
                .transpose()
                .map_err(|invalid| Failure::usage(invalid.to_string()))?;
            Job::VerifyToken(connection(global, config, false, talk)?, account)
        }
        _ => Job::ListZones(connection(global, config, false, talk)?),
    })
}

fn targets(
    kind: Kind,
    input: Input,
    headers: Vec<CacheKeyHeader>,
    global: &Global,
) -> Result<Targets, Failure> {
    if input.entries.is_empty() && input.from.is_empty() {
        return Err(Failure::usage(format!("no {kind} given, and nothing is not everything"))
            .with_hint(format!("give {kind} as arguments, or `--from FILE` (`-` is standard input)")));
    }
    Ok(Targets {
        kind,
        arguments: input.entries,
        files: input.from,
        headers,
        on_invalid: global.on_invalid.unwrap_or(OnInvalid::Fail),
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

fn zone(global: &Global) -> Result<ZoneRef, Failure> {
    match global.zone.as_deref().map(str::trim).filter(|zone| !zone.is_empty()) {
        // The emulator has one zone; `--zone` is only needed to try another.
        None if global.emulator => ZoneId::parse(endpoint::example::ZONE_ID)
            .map(ZoneRef::Id)
            .map_err(|invalid| Failure::usage(invalid.to_string())),
        None => Err(Failure::usage("no zone given")
            .with_hint("name it with `--zone ID|DOMAIN`, or set `CLOUDFLARE_ZONE_ID`")),
        // A domain has a dot, and an id has none.
        Some(zone) if zone.contains('.') => Ok(ZoneRef::Domain(domain(zone)?)),
        Some(zone) => ZoneId::parse(zone).map(ZoneRef::Id).map_err(|invalid| {
            Failure::usage(format!("`--zone`: {invalid}"))
                .with_hint("a zone is given by its id, or by its domain, such as `example.com`")
        }),
    }
}

fn domain(text: &str) -> Result<String, Failure> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or("").trim_end_matches('.');
    let is_plain = |char: char| char.is_alphanumeric() || matches!(char, '.' | '-' | '_');
    if bare != text.trim_end_matches('.') || !bare.chars().all(is_plain) {
        let failure =
            Failure::usage(format!("`--zone`: {} is not a domain", cfcache_model::text::quote(text)));
        return Err(match bare.chars().all(is_plain) && !bare.is_empty() {
            true => failure.with_hint(format!("is `{bare}` meant?")),
            false => failure,
        });
    }
    Ok(bare.to_lowercase())
}

/// Ids of environments are hex words of about thirty digits; everything else is a name.
fn environment(global: &Global) -> Result<Option<EnvironmentRef>, Failure> {
    let Some(text) = &global.environment else { return Ok(None) };
    if text.trim().is_empty() {
        return Err(Failure::usage("`--environment` is empty")
            .with_hint("leave it out to purge the zone, or name one (`cfcache environments list`)"));
    }
    let is_id = text.len() >= 20 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Ok(Some(EnvironmentRef::Name(text.clone())));
    }
    match EnvironmentId::parse(text) {
        Ok(id) => Ok(Some(EnvironmentRef::Id(id))),
        Err(invalid) => Err(Failure::usage(format!("`--environment`: {invalid}"))),
    }
}

fn connection(
    global: &Global,
    config: &Config,
    needs_no_credentials: bool,
    talk: &Talk,
) -> Result<Connection, Failure> {
    let api = match global.emulator {
        true if global.base_url.is_some() => {
            return Err(Failure::usage("`--emulator` and `--base-url` exclude each other"));
        }
        true => Api::Emulator,
        false => {
            let base = base_url(global, config)?;
            Api::Remote(Box::new(Remote {
                credentials: match needs_no_credentials {
                    true => None,
                    false => Some(credentials(global, config, talk)?),
                },
                allow_insecure_http: global.allow_insecure_http,
                proxy: proxy(global, config, &base)?,
                roots: match global.roots {
                    Some(RootsArg::Bundled) => Roots::Bundled,
                    Some(RootsArg::Platform) | None => Roots::Platform,
                },
                authorities: authorities(&global.ca_file)?,
                base,
            }))
        }
    };
    let duration = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
    Ok(Connection {
        api,
        plan: global.plan.unwrap_or(PlanArg::Auto),
        pacing: !global.no_rate_limit,
        concurrency: global.concurrency,
        max_retries: global.max_retries,
        timeout: duration(global.timeout),
        max_wait: duration(global.max_wait),
    })
}

fn base_url(global: &Global, config: &Config) -> Result<BaseUrl, Failure> {
    let (text, from) = match (&global.base_url, &config.base_url) {
        (Some(url), _) => (url.as_str(), "--base-url"),
        (None, Some((url, name))) => (url.as_str(), *name),
        (None, None) => (DEFAULT_BASE_URL, "default"),
    };
    text.parse().map_err(|invalid| {
        // The text itself may hold a password.
        Failure::usage(format!("`{from}` is not a base URL: {invalid}"))
            .with_hint(format!("it looks like `{DEFAULT_BASE_URL}`"))
    })
}

/// The proxy of `--proxy`, else of the environment.
fn proxy(global: &Global, config: &Config, base: &BaseUrl) -> Result<Option<Proxy>, Failure> {
    match global.proxy.as_deref() {
        Some("none") => return Ok(None),
        Some(url) if url.contains('@') => {
            return Err(Failure::usage("`--proxy` takes no user and password: they would show in `ps`")
                .with_hint(format!("put the whole URL into `{}`", config::HTTPS_PROXY)));
        }
        Some(url) => {
            return url.parse().map(Some).map_err(|invalid| {
                Failure::usage(format!("`--proxy` is not a proxy: {invalid}"))
                    .with_hint("it looks like `http://proxy.example.com:3128`; `none` goes without")
            });
        }
        None => {}
    }
    let proxies = &config.proxies;
    let rules = ProxyRules::new(&proxies.all, &proxies.http, &proxies.https, &proxies.none);
    // The value may hold a password, so it is not shown.
    let rules = rules.map_err(|invalid| {
        Failure::usage(format!("a proxy variable of the environment is not a proxy: {invalid}")).with_hint(
            format!(
                "look at `{}`, `{}` and `{}`, or go without (`--proxy none`)",
                config::HTTPS_PROXY,
                config::ALL_PROXY,
                config::HTTP_PROXY,
            ),
        )
    })?;
    Ok(rules.intercepts(base.origin()))
}

fn authorities(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let read = |path: &PathBuf| {
        std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))
    };
    paths.iter().map(read).collect()
}

/// The token of `--api-token-file`, else of the environment; else the older pair.
fn credentials(global: &Global, config: &Config, talk: &Talk) -> Result<Credentials, Failure> {
    let invalid = |from: &str, invalid: cfcache_client::InvalidCredentials| {
        Failure::new(Exit::Credentials, format!("{from}: {invalid}"))
    };
    if let Some(path) = &global.api_token_file {
        let shown = path.display();
        if is_open_to_others(path) {
            talk.warn(&format!("others on this machine may read `{shown}` (`chmod 600 {shown}`)"));
        }
        let token = read_secret(path).map_err(|error| {
            Failure::new(Exit::Credentials, format!("cannot read the token from `{shown}`: {error}"))
        })?;
        return Credentials::token(token).map_err(|error| invalid(&format!("`{shown}`"), error));
    }
    if let Some(token) = &config.token {
        return Credentials::token(token.clone()).map_err(|error| invalid(config::API_TOKEN, error));
    }
    match (&config.email, &config.key) {
        (Some(email), Some(key)) => {
            Credentials::key(email, key.clone()).map_err(|error| invalid(config::API_KEY, error))
        }
        (None, Some(_)) => Err(no_credentials(config, "an API key needs the e-mail address of its user")
            .with_hint(format!("set `{}` as well, or use a token (`{}`)", config::EMAIL, config::API_TOKEN))),
        _ => Err(no_credentials(config, "no credentials").with_hint(format!(
            "set `{}`, or name a file that holds the token with `--api-token-file`; `--emulator` needs none",
            config::API_TOKEN,
        ))),
    }
}

fn no_credentials(config: &Config, message: &str) -> Failure {
    let failure = Failure::new(Exit::Credentials, message);
    match config.empty.iter().find(|name| name.starts_with("CLOUDFLARE_") && !name.contains("URL")) {
        Some(name) => failure.with_cause(format!("`{name}` is set, and empty")),
        None => failure,
    }
}

/// May anybody else on this machine read the file?
fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Reads a secret; more than any secret is a mistake, such as the name of another file.
fn read_secret(path: &Path) -> std::io::Result<SecretString> {
    const LONGEST: u64 = 4096;
    let mut text = String::new();
    let read = |reader: &mut dyn Read, text: &mut String| reader.take(LONGEST + 1).read_to_string(text);
    match path == Path::new("-") {
        true => read(&mut std::io::stdin().lock(), &mut text)?,
        false => read(&mut std::fs::File::open(path)?, &mut text)?,
    };
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::other("it holds more than a token"));
    }
    Ok(SecretString::from(text.trim().to_owned()))
}

/// The plan that was named; `None` for `auto`.
pub(crate) fn plan(plan: Option<PlanArg>) -> Option<Plan> {
    match plan? {
        PlanArg::Auto => None,
        PlanArg::Free => Some(Plan::Free),
        PlanArg::Pro => Some(Plan::Pro),
        PlanArg::Business => Some(Plan::Business),
        PlanArg::Enterprise => Some(Plan::Enterprise),
    }
}
