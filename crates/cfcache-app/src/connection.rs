//! How to reach the API.

use core::time::Duration;
use std::path::PathBuf;

use cfcache_client::{BaseUrl, Credentials};
use cfcache_model::{Plan, endpoint};
use cfcache_transport::{ProxyRules, Roots};

use crate::config::{ALL_PROXY, Environment, HTTP_PROXY, HTTPS_PROXY};
use crate::failure::Failure;
use crate::job::ZoneRef;
use crate::secret::{may_be_secret, shown, shown_path};
use crate::whole;

/// How to reach the API, and at what pace.
pub struct Connection {
    /// Which API.
    pub api: Api,
    /// The plan that was named; `None` is `auto`.
    pub plan: Option<Plan>,
    /// Whether the limits of the plan are kept.
    pub pacing: bool,
    /// At most so many requests in flight.
    pub concurrency: Option<usize>,
    /// How often a request is tried again.
    pub max_retries: Option<u32>,
    /// How long one try may take.
    pub timeout: Option<Duration>,
    /// The longest single wait that the server is granted.
    pub max_wait: Option<Duration>,
}

/// Which API is asked.
pub enum Api {
    /// One that is started in this process, with this zone.
    Emulator {
        /// The id of the zone.
        zone_id: String,
        /// The domain of the zone.
        zone_name: String,
    },
    /// One somewhere else.
    Remote(Box<Remote>),
}

impl Api {
    /// An emulator whose one zone is the zone that is set, so that a command can be tried as it is.
    pub fn emulator(zone: Option<ZoneRef>) -> Self {
        let (mut zone_id, mut zone_name) =
            (endpoint::example::ZONE_ID.to_owned(), endpoint::example::ZONE_NAME.to_owned());
        match zone {
            Some(ZoneRef::Id(id)) => zone_id = id.to_string(),
            Some(ZoneRef::Domain(domain)) => zone_name = domain,
            None => {}
        }
        Self::Emulator { zone_id, zone_name }
    }
}

/// An API somewhere else, and how to get there.
pub struct Remote {
    /// Where it is.
    pub base: BaseUrl,
    /// `None` only where nothing will be sent.
    pub credentials: Option<Credentials>,
    /// Whether credentials may go in cleartext to another machine.
    pub allow_insecure_http: bool,
    /// The way there.
    pub network: Network,
}

/// How other machines are reached, the API and visitors' URLs alike.
#[derive(Clone)]
pub struct Network {
    /// The proxy of each origin.
    pub proxies: ProxyRules,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// Certificates to trust as well, in PEM.
    pub authorities: Vec<Vec<u8>>,
}

impl Network {
    /// `proxy` is the URL of a proxy, or `none`; without it, the variables of the environment say which origin is reached
    /// through which proxy. `ca_files` hold certificates in PEM.
    ///
    /// # Errors
    ///
    /// Where a proxy is not one, or a file cannot be read.
    pub fn new(
        proxy: Option<&str>,
        roots: Roots,
        ca_files: &[PathBuf],
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let proxies = match proxy {
            Some(proxy) => parse_proxy(proxy)?,
            None => environment_proxies(environment)?,
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
    const EXAMPLE: &str = "it looks like `http://proxy.example.com:3128`; `none` goes without";
    if text == "none" {
        return Ok(ProxyRules::default());
    }
    if text.contains('@') {
        return Err(Failure::usage("`--proxy` takes no user and password: they would show in `ps`")
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

/// The proxies of the environment. Their values may hold passwords, so they are not shown.
fn environment_proxies(environment: &Environment) -> Result<ProxyRules, Failure> {
    let hint = || {
        format!("look at `{HTTPS_PROXY}`, `{ALL_PROXY}` and `{HTTP_PROXY}`, or go without (`--proxy none`)")
    };
    let proxies = &environment.proxies;
    let is_secret = |proxy: &&String| !proxy.contains('@') && may_be_secret(proxy);
    if [&proxies.all, &proxies.http, &proxies.https].iter().any(is_secret) {
        return Err(Failure::usage("a proxy variable of the environment is not a proxy").with_hint(hint()));
    }
    ProxyRules::new(&proxies.all, &proxies.http, &proxies.https, &proxies.none).map_err(|invalid| {
        Failure::usage(format!("a proxy variable of the environment is not a proxy: {invalid}"))
            .with_hint(hint())
    })
}

/// The plan of that name; `None` for `auto`, and for none.
///
/// # Errors
///
/// Where there is no such plan.
pub fn plan(name: Option<&str>) -> Result<Option<Plan>, Failure> {
    match name {
        None | Some("auto") => Ok(None),
        Some(name) => name.parse().map(Some).map_err(|unknown: cfcache_model::text::UnknownName| {
            Failure::usage(format!("{} is no plan: {unknown}, or `auto`", shown(name)))
        }),
    }
}
