//! Accounts, from arguments, environment and configuration file.

use std::path::Path;
use std::time::Duration;

use cfcache_app::config::{Environment, Overrides, Settings};
use cfcache_app::connection::{self, Api, Connection, Remote};
use cfcache_app::failure::Failure;
use cfcache_app::session::Session;
use cfcache_app::{credentials, secret, whole};
use cfcache_client::{BaseUrl, Credentials, DEFAULT_BASE_URL};
use cfcache_model::{Plan, endpoint};
use cfcache_queue::config::ConfigFile;
use cfcache_queue::{Account, Accounts};
use cfcache_transport::{ProxyRules, Roots};

use crate::args::WorkerArgs;
use crate::command::seconds;
use crate::console::Terminal;

/// The name of the account that the environment describes. Budgets are named after it.
const DEFAULT_ACCOUNT: &str = "default";

/// Accounts, and what must live as long as they do.
pub(super) struct Opened {
    pub(super) accounts: Accounts,
    pub(super) sessions: Vec<Session>,
}

/// Makes the default account, of the environment, and those of the file.
pub(super) async fn open(
    args: &WorkerArgs,
    file: &ConfigFile,
    path: Option<&Path>,
    environment: &Environment,
    terminal: &Terminal,
) -> Result<Opened, Failure> {
    if !(args.share > 0.0 && args.share <= 1.0) {
        return Err(Failure::usage("`--share` has to be above 0 and at most 1"));
    }
    let overrides = Overrides {
        plan: args.plan.clone(),
        base_url: args.base_url.clone(),
        api_token_file: args.api_token_file.clone(),
        emulator: args.emulator,
        ..Overrides::default()
    };
    let settings = Settings::load(&overrides, environment)?;
    let plan = connection::plan(settings.plan.as_ref().map(|plan| plan.value.as_str()))?;
    let base: BaseUrl = settings.base_url.value.parse().map_err(|invalid| {
        // The text itself may hold a password.
        Failure::usage(format!("{} is not a base URL: {invalid}", settings.base_url.origin))
            .with_hint(format!("it looks like `{DEFAULT_BASE_URL}`"))
    })?;
    let reach = Reach::new(args, base, environment)?;
    let mut sessions = Vec::new();
    let default = match &settings.credentials {
        _ if args.emulator => None,
        place => {
            // With accounts in the file, the environment need not describe one.
            if place.is_none() && !file.accounts.is_empty() {
                None
            } else {
                Some(credentials::fetch(place.as_ref(), environment, terminal)?)
            }
        }
    };
    let account = |name: &str, credentials: Option<Credentials>, plan: Option<Plan>, share: f64| {
        let connection = reach.connection(credentials, plan);
        let name = name.to_owned();
        (connection, name, plan, share)
    };
    let mut made = vec![(account(DEFAULT_ACCOUNT, default, plan, args.share), Vec::new())];
    if !args.emulator {
        for (name, settings) in &file.accounts {
            let place = settings.credentials(name, path.unwrap_or(Path::new("")))?;
            let credentials = credentials::fetch(Some(&place), environment, terminal)?;
            let (plan, share) = (settings.plan(name)?.or(plan), settings.share(name)?);
            made.push((account(name, Some(credentials), plan, share), settings.zones.clone()));
        }
    }
    let mut accounts: Option<Accounts> = None;
    for ((connection, name, plan, share), zones) in made {
        let session = Session::open(&connection).await?;
        let account = Account { name, client: session.client.clone(), plan, share };
        sessions.push(session);
        accounts = Some(match accounts {
            None => Accounts::new(account),
            Some(accounts) => accounts.with_account(account, zones),
        });
    }
    let accounts = accounts.ok_or_else(|| Failure::usage("no account"))?;
    Ok(Opened { accounts, sessions })
}

/// How the API is reached, whatever the account.
struct Reach {
    base: BaseUrl,
    is_emulator: bool,
    concurrency: usize,
    allow_insecure_http: bool,
    /// Of one try. A claim is an open transaction meanwhile.
    timeout: Duration,
    rules: Option<ProxyRules>,
    authorities: Vec<Vec<u8>>,
}

impl Reach {
    fn new(args: &WorkerArgs, base: BaseUrl, environment: &Environment) -> Result<Self, Failure> {
        let proxies = &environment.proxies;
        // The value may hold a password, so it is not shown.
        let rules = ProxyRules::new(&proxies.all, &proxies.http, &proxies.https, &proxies.none).map_err(
            |invalid| Failure::usage(format!("a proxy variable of the environment is no proxy: {invalid}")),
        )?;
        let read = |path: &std::path::PathBuf| {
            whole::read(path, whole::MOST)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", secret::shown_path(path))))
        };
        Ok(Self {
            base,
            is_emulator: args.emulator,
            concurrency: args.concurrency.max(1),
            allow_insecure_http: args.allow_insecure_http,
            timeout: seconds(args.timeout, "--timeout")?,
            rules: Some(rules),
            authorities: args.ca_file.iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// A connection that neither paces nor tries again: the budgets and the queue do.
    fn connection(&self, credentials: Option<Credentials>, plan: Option<Plan>) -> Connection {
        let api = if self.is_emulator {
            Api::Emulator {
                zone_id: endpoint::example::ZONE_ID.to_owned(),
                zone_name: endpoint::example::ZONE_NAME.to_owned(),
            }
        } else {
            Api::Remote(Box::new(Remote {
                base: self.base.clone(),
                credentials,
                allow_insecure_http: self.allow_insecure_http,
                proxy: self.rules.as_ref().and_then(|rules| rules.intercepts(self.base.origin())),
                roots: Roots::Platform,
                authorities: self.authorities.clone(),
            }))
        };
        Connection {
            api,
            plan,
            pacing: false,
            concurrency: Some(self.concurrency),
            max_retries: Some(0),
            timeout: Some(self.timeout),
            max_wait: Some(Duration::ZERO),
        }
    }
}
