//! Creates the accounts from arguments, environment and configuration file.

use std::path::Path;
use std::time::Duration;

use cfcache_app::config::{CredentialPlace, EnvVars, Overrides, Settings, Sourced};
use cfcache_app::connection::{Api, Connection, Network};
use cfcache_app::credentials;
use cfcache_app::failure::Failure;
use cfcache_app::session::Session;
use cfcache_client::Credentials;
use cfcache_model::Plan;
use cfcache_queue::config::ConfigFile;
use cfcache_queue::{Account, Accounts};
use cfcache_transport::Roots;

use crate::args::WorkerArgs;
use crate::command::seconds;
use crate::console::Terminal;

/// The name of the account from the environment. It is part of the names of its budgets.
const DEFAULT_ACCOUNT: &str = "default";

/// The accounts, and the sessions that must live as long as they do.
pub(super) struct Opened {
    pub(super) accounts: Accounts,
    pub(super) sessions: Vec<Session>,
}

/// Creates the default account from the environment, and the accounts of the file.
pub(super) async fn open(
    args: &WorkerArgs,
    file: &ConfigFile,
    path: Option<&Path>,
    environment: &EnvVars,
    terminal: &Terminal,
) -> Result<Opened, Failure> {
    if !(args.share > 0.0 && args.share <= 1.0) {
        return Err(Failure::usage("`--share` must be above 0 and at most 1"));
    }
    file.check_accounts()?;
    let overrides = Overrides {
        plan: args.plan.clone(),
        base_url: args.base_url.clone(),
        api_token_file: args.api_token_file.clone(),
        emulator: args.emulator,
        ..Overrides::default()
    };
    let settings = Settings::load(&overrides, environment)?;
    let plan = settings.parse_plan()?;
    // An emulator needs neither credentials nor a network.
    let remote = if args.emulator {
        None
    } else {
        let base = settings.parse_base_url()?;
        Some((base, Box::new(Network::new(None, Roots::Platform, &args.ca_file, environment)?)))
    };
    let timeout = seconds(args.timeout, "--timeout")?;
    // The connection neither limits its rate nor retries: the budgets and the queue do both.
    let connection = |credentials: Option<Credentials>, plan: Option<Plan>| Connection {
        api: match &remote {
            None => Api::emulator(None),
            Some((base, network)) => Api::Remote {
                base: base.clone(),
                credentials,
                allow_insecure_http: args.allow_insecure_http,
                network: network.clone(),
            },
        },
        plan,
        pacing: false,
        concurrency: Some(args.concurrency.max(1)),
        max_retries: Some(0),
        timeout: Some(timeout),
        max_wait: Some(Duration::ZERO),
    };
    let fetch = |place: Option<&Sourced<CredentialPlace>>| credentials::fetch(place, environment, terminal);
    let place = settings.credentials.as_ref();
    // If the file has accounts, the default account is optional.
    let needs_default = !args.emulator && (place.is_some() || file.accounts.is_empty());
    let default = needs_default.then(|| fetch(place)).transpose()?;
    let mut made = vec![(connection(default, plan), DEFAULT_ACCOUNT, plan, args.share, Vec::new())];
    if !args.emulator {
        for (name, settings) in &file.accounts {
            let place = settings.credentials(name, path.unwrap_or(Path::new("")))?;
            let (plan, share) = (settings.plan(name)?.or(plan), settings.share(name)?);
            let connection = connection(Some(fetch(Some(&place))?), plan);
            made.push((connection, name, plan, share, settings.zones.clone()));
        }
    }
    let (mut accounts, mut sessions): (Option<Accounts>, _) = (None, Vec::new());
    for (connection, name, plan, share, zones) in made {
        let session = Session::open(&connection).await?;
        let account = Account { name: name.to_owned(), client: session.client.clone(), plan, share };
        sessions.push(session);
        accounts = Some(match accounts {
            None => Accounts::new(account),
            Some(accounts) => accounts.with_account(account, zones),
        });
    }
    let accounts = accounts.ok_or_else(|| Failure::usage("no account"))?;
    Ok(Opened { accounts, sessions })
}
