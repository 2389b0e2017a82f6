//! How to reach the API.

use core::time::Duration;

use cfcache_client::{BaseUrl, Credentials};
use cfcache_model::Plan;
use cfcache_transport::{Proxy, Roots};

use crate::failure::Failure;
use crate::secret::shown;

/// How to reach the API, and at what pace.
pub struct Connection {
    pub api: Api,
    /// The plan that was named; `None` is `auto`.
    pub plan: Option<Plan>,
    pub pacing: bool,
    pub concurrency: Option<usize>,
    pub max_retries: Option<u32>,
    pub timeout: Option<Duration>,
    pub max_wait: Option<Duration>,
}

pub enum Api {
    /// One that is started in this process, with this zone.
    Emulator {
        zone_id: String,
        zone_name: String,
    },
    Remote(Box<Remote>),
}

/// An API somewhere else, and how to get there.
pub struct Remote {
    pub base: BaseUrl,
    /// `None` only where nothing will be sent.
    pub credentials: Option<Credentials>,
    pub allow_insecure_http: bool,
    pub proxy: Option<Proxy>,
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
