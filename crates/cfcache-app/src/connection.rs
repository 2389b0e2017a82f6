//! How to reach the API.

use core::time::Duration;

use cfcache_client::{BaseUrl, Credentials};
use cfcache_model::Plan;
use cfcache_transport::{Proxy, Roots};

use crate::failure::Failure;
use crate::secret::shown;

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

/// An API somewhere else, and how to get there.
pub struct Remote {
    /// Where it is.
    pub base: BaseUrl,
    /// `None` only where nothing will be sent.
    pub credentials: Option<Credentials>,
    /// Whether credentials may go in cleartext to another machine.
    pub allow_insecure_http: bool,
    /// The proxy to go through.
    pub proxy: Option<Proxy>,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// Certificates to trust as well, in PEM.
    pub authorities: Vec<Vec<u8>>,
}

/// The plan of that name; `None` for `auto`, and for none.
///
/// # Errors
///
/// Where there is no such plan.
pub fn plan(name: Option<&str>) -> Result<Option<Plan>, Failure> {
    match name {
        None | Some("auto") => Ok(None),
        Some(name) => name.parse().map(Some).map_err(|unknown: cfcache_model::limits::UnknownPlan| {
            Failure::usage(format!("{} is no plan: {unknown}, or `auto`", shown(name)))
        }),
    }
}
