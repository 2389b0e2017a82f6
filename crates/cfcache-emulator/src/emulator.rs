//! The API as a function from a request and a time to an answer.

use core::ops::ControlFlow;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use cfcache_edge::Object;
use cfcache_model::endpoint::{Area, Method};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};

use crate::answer::ApiResponse;
use crate::auth;
use crate::behavior::{self, Call};
use crate::config::{Config, Hints};
use crate::edge::{Edges, Inventory};
use crate::limit::whole_seconds;
use crate::log::{Counts, Log, LogEntry, without_secrets};
use crate::route;
use crate::state::{AcceptedPurge, State};

/// The API without a network connection.
///
/// Time is a parameter: the time since the start of the emulator. Tests can simulate an hour of limits without waiting;
/// [`Server`](crate::Server) passes the real time. Faults are applied by the server, so [`handle`](Self::handle) has
/// none.
#[derive(Debug)]
pub struct Emulator {
    config: Config,
    state: Mutex<State>,
    edges: Option<Arc<Edges>>,
    log: Log,
}

impl Emulator {
    /// Creates an emulator. Nothing runs yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let beginning = SystemTime::UNIX_EPOCH.checked_add(config.beginning);
        Self::beginning_at(config, beginning.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Creates an emulator whose caches start at that wall-clock time, because they compare times with those of an
    /// origin.
    pub(crate) fn beginning_at(config: Config, beginning: SystemTime) -> Self {
        let state = State::new(&config);
        let edges = config.edge.clone().map(|edge| {
            let zones: Vec<_> = state.zones.iter().map(|(zone, _)| zone.clone()).collect();
            Arc::new(Edges::new(edge, config.plan, &zones, &config.faults, beginning))
        });
        let log = Log::new(config.max_log_entries);
        Self { config, state: Mutex::new(state), edges, log }
    }

    /// Returns the caches, if there is an origin.
    pub(crate) const fn edges(&self) -> Option<&Arc<Edges>> {
        self.edges.as_ref()
    }

    /// Returns the content of the caches, for display.
    pub(crate) fn inventory(&self, now: Duration, limit: usize) -> Option<Inventory> {
        self.edges.as_ref().map(|edges| edges.inventory(now, limit))
    }

    /// Returns the objects in the caches at a time since the start of the emulator, in the order of their URLs.
    #[must_use]
    pub fn objects(&self, now: Duration) -> Vec<Object> {
        self.edges.as_ref().map(|edges| edges.objects(now)).unwrap_or_default()
    }

    /// Answers a request that arrives at a time since the start of the emulator.
    #[must_use]
    pub fn handle(&self, now: Duration, request: &Request<Bytes>) -> Response<Bytes> {
        let (response, effect) = self.process(now, request);
        let status = Some(response.status());
        self.log.record(effect, status, || LogEntry::new(now, 0, request, effect, status));
        response
    }

    /// Returns the log.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Returns the configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the accepted purges and invalidations, oldest first, as far as the log keeps them.
    #[must_use]
    pub fn purges(&self) -> Vec<AcceptedPurge> {
        self.state().purges()
    }

    /// Answers a request without adding it to the log. The counts are those of what took effect.
    pub(crate) fn process(&self, now: Duration, request: &Request<Bytes>) -> (Response<Bytes>, Counts) {
        let mut state = self.state();
        let state = &mut *state;
        let (Ok(answer) | Err(answer)) = self.decide(state, now, request);
        state.answers += 1;

        let effect = Counts {
            processed: u64::from(answer.status.is_success()),
            items: answer.purged_items,
            ..Counts::default()
        };
        let mut response = Response::new(Bytes::from(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut put = |name: http::HeaderName, value: String| {
            // These values are ASCII.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        put(http::HeaderName::from_static("cf-ray"), ray(state.answers));
        if self.config.has_limits && self.config.hints != Hints::Silent {
            for (name, value) in state.limits.call_headers(now) {
                put(name, value);
            }
        }
        // The headers about a bucket of the purge limits replace those about the calls.
        for (name, value) in answer.headers {
            put(name, value);
        }
        (response, effect)
    }

    /// Checks credentials, call limit, permissions, content and purge limits in this order, then executes the request.
    /// So a request that is refused because of its content uses nothing of the purge limits.
    ///
    /// # Errors
    ///
    /// The answer that refuses the request.
    fn decide(
        &self,
        state: &mut State,
        now: Duration,
        request: &Request<Bytes>,
    ) -> Result<ApiResponse, ApiResponse> {
        let (endpoint, arguments) = route::route(request.method(), request.uri().path())?;
        let caller = auth::authenticate(&self.config, endpoint, request.headers())?;
        if self.config.has_limits
            && endpoint.area != Area::Purge
            && let Err(wait) = state.limits.call(now)
        {
            return Err(self.too_many(971, THROTTLED, wait));
        }
        if !auth::permits(caller, endpoint) {
            return Err(auth::forbidden(endpoint));
        }
        let call = Call {
            now,
            endpoint,
            arguments,
            method: request.method(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            body: request.body(),
            caller,
            config: &self.config,
        };
        let purges = match behavior::decide(state, &call) {
            ControlFlow::Break(answer) => {
                self.set_edge(state, &call, &answer);
                return Ok(answer);
            }
            ControlFlow::Continue(purges) => purges,
        };
        let mut quota = Vec::new();
        if self.config.has_limits {
            let taken = state.limits.purge(now, &purges);
            if self.config.hints == Hints::Bucket {
                quota.extend(state.limits.purge_headers(now, &purges));
            }
            if let Err(wait) = taken {
                return Err(self.too_many(1134, RATE_LIMITED, wait).with_headers(quota));
            }
        }
        if let Some(edges) = &self.edges {
            purges.iter().for_each(|purge| edges.purge(now, purge));
        }
        let purged_items = purges.iter().map(|purge| purge.items.item_count() as u64).sum();
        let answer = behavior::carry_out(state, &call, purges).with_headers(quota);
        Ok(ApiResponse { purged_items, ..answer })
    }

    /// Applies the settings of a zone to its cache, in case the request changed them.
    fn set_edge(&self, state: &mut State, call: &Call<'_>, answer: &ApiResponse) {
        if call.endpoint.method != Method::Get
            && answer.status.is_success()
            && let Some(edges) = &self.edges
            && let Some((zone, settings)) = call.argument("zone_id").and_then(|id| state.zone(id))
        {
            edges.set(zone, settings);
        }
    }

    /// Returns the answer after too many requests.
    fn too_many(&self, code: u32, message: &str, wait: Duration) -> ApiResponse {
        let retry_after = match self.config.hints {
            Hints::Silent => None,
            _ => Some((RETRY_AFTER, whole_seconds(wait).to_string())),
        };
        ApiResponse::refused(StatusCode::TOO_MANY_REQUESTS, code, message).with_headers(retry_after)
    }

    /// Returns a ray for an answer that is not from the API itself.
    pub(crate) fn next_ray(&self) -> String {
        let mut state = self.state();
        state.answers += 1;
        ray(state.answers)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two parts of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogEntry {
    /// Creates the entry of a request without a fault.
    pub(crate) fn new(
        at: Duration,
        connection: u64,
        request: &Request<Bytes>,
        effect: Counts,
        status: Option<StatusCode>,
    ) -> Self {
        Self {
            at,
            connection,
            version: request.version(),
            method: request.method().clone(),
            path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            endpoint: route::endpoint(request.method(), request.uri().path()).map(|endpoint| endpoint.name),
            headers: without_secrets(request.headers()),
            body: request.body().clone(),
            status: status.map(|status| status.as_u16()),
            processed: effect.processed > 0,
            fault: None,
        }
    }
}

/// Documented: <https://developers.cloudflare.com/api/resources/cache/methods/purge/>, 2026-10.
pub(crate) const RATE_LIMITED: &str =
    "Unable to purge, rate limit reached. Please wait and consider throttling your request speed";

/// As in published logs.
pub(crate) const THROTTLED: &str = "Please wait and consider throttling your request speed";

/// Returns sixteen digits that differ for each answer, and a data center.
fn ray(answer: u64) -> String {
    format!("{:016x}-LHR", 0x8f3a_0000_0000_0000_u64 + answer)
}
