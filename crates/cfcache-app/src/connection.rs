//! The settings of the connection to the API.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use cfcache_client::{BaseUrl, Credentials};
use cfcache_model::id::ZoneId;
use cfcache_model::{Plan, endpoint};
use cfcache_transport::{ProxyRules, Roots};

use crate::config::{ALL_PROXY, EnvVars, HTTP_PROXY, HTTPS_PROXY};
use crate::failure::Failure;
use crate::job::IdOrName;
use crate::secret::{shown, shown_path};
use crate::whole;

/// The connection to the API, and its limits.
pub struct Connection {
    /// Which API.
    pub api: Api,
    /// The named plan; `None` means `auto`.
    pub plan: Option<Plan>,
    /// Whether the rate limits of the plan are obeyed.
    pub pacing: bool,
    /// The maximum number of requests in flight.
    pub concurrency: Option<usize>,
    /// How many times a request is retried.
    pub max_retries: Option<u32>,
    /// The time limit of one attempt.
    pub timeout: Option<Duration>,
    /// The longest single wait that the server may demand.
    pub max_wait: Option<Duration>,
}

/// The API that is called.
pub enum Api {
    /// An emulator in this process, with this zone.
    Emulator {
        /// The id of the zone.
        zone_id: String,
        /// The domain of the zone.
        zone_name: String,
    },
    /// A remote API.
    Remote {
        /// The base URL.
        base: BaseUrl,
        /// The credentials; `None` only if nothing will be sent.
        credentials: Option<Credentials>,
        /// Whether credentials may be sent unencrypted to another machine.
        allow_insecure_http: bool,
        /// The way there.
        network: Box<Network>,
    },
}

impl Api {
    /// An emulator with the configured zone, so that any command can be tried unchanged.
    pub fn emulator(zone: Option<IdOrName<ZoneId>>) -> Self {
        let (mut zone_id, mut zone_name) =
            (endpoint::example::ZONE_ID.to_owned(), endpoint::example::ZONE_NAME.to_owned());
        match zone {
            Some(IdOrName::Id(id)) => zone_id = id.to_string(),
            Some(IdOrName::Name(domain)) => zone_name = domain,
            None => {}
        }
        Self::Emulator { zone_id, zone_name }
    }
}

/// How other machines are reached, the API and visitors' URLs alike.
#[derive(Clone)]
pub struct Network {
    /// The proxy of each origin.
    pub proxies: ProxyRules,
    /// The trusted root certificates.
    pub roots: Roots,
    /// Additional certificates to trust, in PEM format.
    pub authorities: Vec<Vec<u8>>,
}

impl Network {
    /// Creates the network settings. `proxy` is the URL of a proxy, or `none`. Without it, the environment variables
    /// select a proxy for each origin. `ca_files` contain certificates in PEM.
    ///
    /// # Errors
    ///
    /// [`Failure`] if a proxy is invalid, or a file cannot be read.
    pub fn new(
        proxy: Option<&str>,
        roots: Roots,
        ca_files: &[PathBuf],
        environment: &EnvVars,
    ) -> Result<Self, Failure> {
        let proxies = match proxy {
            Some(proxy) => parse_proxy(proxy)?,
            None => environment.proxies.clone().map_err(|invalid| {
                Failure::usage(invalid).with_hint(format!(
                    "check `{HTTPS_PROXY}`, `{ALL_PROXY}` and `{HTTP_PROXY}`, or use no proxy (`--proxy none`)"
                ))
            })?,
        };
        let read = |path: &PathBuf| {
            whole::read(path, whole::MOST)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", shown_path(path))))
        };
        let authorities = ca_files.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { proxies, roots, authorities })
    }
}

/// The proxy of `--proxy`.
fn parse_proxy(text: &str) -> Result<ProxyRules, Failure> {
    const EXAMPLE: &str = "use a URL such as `http://proxy.example.com:3128`, or `none` for no proxy";
    if text == "none" {
        return Ok(ProxyRules::default());
    }
    if text.contains('@') {
        return Err(Failure::usage("`--proxy` takes no user and password, because `ps` would show them")
            .with_hint(format!("put the whole URL into `{HTTPS_PROXY}`")));
    }
    // A word alone would be looked up as a host, and fail as one that cannot be reached.
    if !text.contains([':', '/']) {
        return Err(Failure::usage(format!(
            "`--proxy` is not a proxy: {} has neither `http://` nor a port",
            shown(text)
        ))
        .with_hint(EXAMPLE));
    }
    let proxy = text.parse::<cfcache_transport::Proxy>();
    proxy
        .map(ProxyRules::from)
        .map_err(|invalid| Failure::usage(format!("`--proxy` is not a proxy: {invalid}")).with_hint(EXAMPLE))
}

/// Parses the address of a listener.
///
/// # Errors
///
/// An explanation if it is not an IP address with a port.
pub fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it is not an IP address with a port, such as 127.0.0.1:8787")
}

/// Parses the name of a plan; `None` for `auto` and for a missing name.
///
/// # Errors
///
/// If there is no such plan.
pub fn plan(name: Option<&str>) -> Result<Option<Plan>, Failure> {
    match name {
        None | Some("auto") => Ok(None),
        Some(name) => name.parse().map(Some).map_err(|unknown: cfcache_model::InvalidInput| {
            Failure::usage(format!("{} is not a plan: {unknown}, or `auto`", shown(name)))
        }),
    }
}
