//! A session with the API: an emulator or a connection, a transport, a client.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use cfcache_client::engine::Policy;
use cfcache_client::{BaseUrl, Client, Codec, Credentials, DEFAULT_BASE_URL};
use cfcache_emulator::{Config, Emulator, Server, Zone};
use cfcache_model::Plan;
use cfcache_transport::{
    BuildError, Cause, Delivery, HyperTransport, Phase, Request, Response, Timeouts, Transport,
    TransportError,
};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::connection::{Api, Connection};
use crate::exit::Exit;
use crate::failure::Failure;

/// The `User-Agent` of all requests, to the API and to URLs.
pub const USER_AGENT: &str = concat!("cfcache/", env!("CARGO_PKG_VERSION"));

/// The token for the emulator inside this process, which accepts any token of a valid form.
const EMULATOR_TOKEN: &str = "any-token-of-a-valid-form-will-do-here-00";

/// A client, with everything that must live as long.
pub struct Session {
    /// The client.
    pub client: Client,
    /// The named plan; `None` means `auto`.
    plan: Option<Plan>,
    /// Whether the rate limits of the plan are obeyed.
    pacing: bool,
    given_up: watch::Sender<bool>,
    emulator: Option<Server>,
}

impl Session {
    /// Creates a session without sending anything.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the settings cannot work, or if the emulator cannot be started.
    pub async fn open(connection: &Connection) -> Result<Self, Failure> {
        let chosen = connection.plan;
        let policy = policy(connection, chosen);
        let settings = |base: &BaseUrl| {
            let timeouts = connection.timeout.map_or_else(Timeouts::default, Timeouts::from_total);
            HyperTransport::builder(base.origin().clone())
                .with_timeouts(timeouts)
                .with_max_connections(policy.concurrency.min(MAX_CONNECTIONS))
        };
        let (base, credentials, transport, emulator) = match &connection.api {
            Api::Emulator { zone_id, zone_name } => {
                let config = Config::new(chosen.unwrap_or(Plan::Free))
                    .with_zone(Zone::new(zone_id.as_str(), zone_name.as_str()))
                    .with_max_log_entries(0);
                let listen = ([127, 0, 0, 1], 0).into();
                let emulator = Emulator::start(config, listen).await.map_err(|error| {
                    Failure::new(Exit::Unreachable, format!("cannot start the emulator: {error}"))
                })?;
                let base = parse(&emulator.base_url())?;
                let token = Credentials::token(SecretString::from(EMULATOR_TOKEN))
                    .map_err(|invalid| Failure::usage(invalid.to_string()))?;
                let transport = settings(&base);
                (base, Some(token), transport, Some(emulator))
            }
            Api::Remote { base, credentials, allow_insecure_http, network } => {
                let mut transport = settings(base)
                    .with_proxy(network.proxies.intercepts(base.origin()))
                    .with_roots(network.roots);
                for pem in &network.authorities {
                    transport = transport.with_ca_pem(pem.as_slice());
                }
                if *allow_insecure_http {
                    transport = transport.allow_insecure_http();
                }
                (base.clone(), credentials.clone(), transport, None)
            }
        };
        let transport = Arc::new(transport.build().map_err(cannot_connect)?);
        let codec = Codec::new(base, credentials.as_ref(), USER_AGENT);
        let (given_up, watched) = watch::channel(false);
        let client = Client::new(breakable(transport, watched), codec, policy);
        Ok(Self { client, plan: chosen, pacing: connection.pacing, given_up, emulator })
    }

    /// Sets the limits of the plan that a run obeys, and returns the plan: the named one, otherwise the one that was
    /// seen.
    pub(crate) fn set_plan(&self, seen: Option<Plan>) -> Option<Plan> {
        if self.pacing
            && self.plan.is_none()
            && let Some(plan) = seen
        {
            self.client.set_limits(plan.purge_limits());
        }
        self.plan.or(seen)
    }

    /// Returns whether the plan has to be found out during a run: it is not known, and its limits are obeyed.
    pub(crate) const fn learns_plan(&self, known: Option<Plan>) -> bool {
        self.pacing && known.is_none()
    }

    /// Notifies tasks that wait for something other than requests that the run was given up.
    pub fn given_up(&self) -> watch::Receiver<bool> {
        self.given_up.subscribe()
    }

    /// Stops waiting for requests in flight: they end now with an unknown result.
    pub fn give_up(&self) {
        self.given_up.send_replace(true);
    }

    /// Closes the session gracefully.
    pub async fn close(self) {
        // Unneeded connections must not delay the end of the emulator.
        self.give_up();
        drop(self.client);
        if let Some(emulator) = self.emulator {
            emulator.stop().await;
        }
    }
}

fn cannot_connect(error: BuildError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        BuildError::Exposed(_) | BuildError::ExposedToProxy(_) => failure
            .with_hint("use `https://`, or use `--allow-insecure-http` if you trust the whole network path"),
        BuildError::Ca(_) => {
            failure.with_hint("`--ca-file` takes certificates in PEM (`-----BEGIN CERTIFICATE-----`)")
        }
        _ => failure,
    }
}

/// A transport whose requests can be broken off. It is created outside of `async` code, so that its requests are compiled
/// here: the binary, which awaits them, is optimized for size.
fn breakable(transport: Arc<HyperTransport>, given_up: watch::Receiver<bool>) -> Arc<dyn Transport> {
    Arc::new(move |request| send_until(Arc::clone(&transport), request, given_up.clone()))
}

/// Sends a request that can be broken off. A user who stops a run at once still needs the results, so the run is not
/// dropped: its requests in flight are broken off, and it then ends by itself with a result for every entry.
async fn send_until(
    transport: Arc<HyperTransport>,
    request: Request,
    mut given_up: watch::Receiver<bool>,
) -> Result<Response, TransportError> {
    let is_sent = Arc::new(AtomicBool::new(false));
    let request = request.with_sent_flag(Arc::clone(&is_sent));
    tokio::select! {
        biased;
        result = transport.send(request) => result,
        Ok(_) = given_up.wait_for(|given_up| *given_up) => {
            let (delivery, phase, detail) = if is_sent.load(Ordering::Relaxed) {
                (Delivery::Unknown, Phase::Head, "the run did not wait for it: it may have been accepted")
            } else {
                (Delivery::NotSent, Phase::Connect, "it was still waiting for a connection and was not sent")
            };
            Err(TransportError::new(delivery, phase, Cause::Io, detail).with_retryable(false))
        }
    }
}

/// Over HTTP/1.1 each request in flight needs a connection. The number is limited, because systems allow a process only
/// a few hundred files.
const MAX_CONNECTIONS: usize = 200;

fn policy(connection: &Connection, chosen: Option<Plan>) -> Policy {
    let mut policy = Policy::default();
    policy.limits = connection.pacing.then(|| chosen.unwrap_or(Plan::Free).purge_limits());
    if let Some(concurrency) = connection.concurrency {
        policy.concurrency = concurrency;
    }
    if let Some(max_retries) = connection.max_retries {
        policy.max_retries = max_retries;
    }
    if let Some(max_wait) = connection.max_wait {
        policy.max_wait = max_wait;
    }
    policy
}

/// A stable name of the API.
pub fn api_name(connection: &Connection) -> String {
    match &connection.api {
        Api::Emulator { .. } => "emulator".to_owned(),
        Api::Remote { base, .. } => base.to_string(),
    }
}

/// The base URL of the API, for output.
pub fn shown_base(connection: &Connection) -> Result<BaseUrl, Failure> {
    match &connection.api {
        Api::Emulator { .. } => parse(DEFAULT_BASE_URL),
        Api::Remote { base, .. } => Ok(base.clone()),
    }
}

fn parse(url: &str) -> Result<BaseUrl, Failure> {
    url.parse().map_err(|invalid| Failure::usage(format!("`{url}`: {invalid}")))
}

/// A wait in whole seconds, rounded up, for people.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
