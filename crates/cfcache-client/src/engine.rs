//! The engine: state machines that decide which request is sent when, and what follows from its result. They do no IO
//! and read no clock; `now` is a parameter.
//!
//! - [`PurgeJob`]: a whole purge, from entries to a summary; it returns HTTP requests and takes HTTP responses
//! - [`Scheduler`]: the order and the retries of requests of any type; a job has one for each scope
//! - [`RateLimiter`]: the rate limits, shared by all jobs and calls of an account
//!
//! A scheduler has these methods:
//!
//! - [`Scheduler::poll`]: returns what to do now: send a request, wait (and until when), or stop
//! - [`Scheduler::push`] and [`Scheduler::finish`]: add a request; declare that there are no more
//! - [`Scheduler::on_result`]: reports the result of a request
//! - [`Scheduler::stop`]: gives up requests that have not been sent
//!
//! ```
//! use core::time::Duration;
//!
//! use cfcache_client::engine::{AttemptResult, Decision, Policy, Scheduler, Step};
//! use cfcache_model::endpoint::{Cost, Replay};
//!
//! let mut scheduler = Scheduler::new(Policy::default());
//! scheduler.push("a request", Cost::Flexible, Replay::Safe);
//! scheduler.finish();
//!
//! // A driver with a socket and a clock would do this in a loop.
//! let now = Duration::ZERO;
//! let Step::Send(ticket) = scheduler.poll(now) else { panic!("nothing to send") };
//! assert_eq!(scheduler.request(ticket), Some(&"a request"));
//!
//! let now = Duration::from_millis(80);
//! let Decision::Ended(ended) = scheduler.on_result(now, ticket, AttemptResult::Done) else { panic!("not done") };
//! assert_eq!((ended.request, ended.attempts), ("a request", 1));
//! assert_eq!(scheduler.poll(now), Step::Done);
//! ```

mod backoff;
mod bucket;
mod job;
mod limiter;
mod scheduler;
mod sliding_window;

use core::fmt;
use core::time::Duration;

use cfcache_model::limits::PurgeLimits;
use cfcache_model::verdict::{ApiFailure, Class};
use cfcache_transport::Delivery;

pub use crate::engine::job::{JobStep, MAX_UNRECORDED, PurgeJob};
pub use crate::engine::limiter::{Limiter, RateLimiter};
pub use crate::engine::scheduler::{Decision, Ended, Scheduler, Step, Ticket};

/// How requests are rate limited and retried.
///
/// Start from the default, and set what differs:
///
/// ```
/// use cfcache_client::engine::Policy;
///
/// let mut policy = Policy::default();
/// policy.limits = Some(cfcache_model::Plan::Pro.purge_limits());
/// policy.max_retries = 3;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policy {
    /// The maximum number of requests in flight, for all users of a limiter; at least 1. Default: 64.
    pub concurrency: usize,
    /// How many times a request is retried. Default: 10.
    ///
    /// Responses with "too many requests" count only while no other request is accepted in between: in a run that makes
    /// progress, waiting for the rate limit uses up no retries.
    pub max_retries: u32,
    /// The longest single wait that a server may demand (with `Retry-After`, or with the quota in its headers), and the
    /// longest time in which all requests may be refused because of the rate. If a longer wait is demanded, the run stops
    /// at once with [`Stop::WaitTooLong`]. Default: 10 minutes.
    pub max_wait: Duration,
    /// The rate limits of the plan; `None` obeys only the server's headers. Default: those of
    /// [`Plan::Free`](cfcache_model::Plan::Free), which are valid for every plan.
    pub limits: Option<PurgeLimits>,
    /// The first wait after a failure, before jitter. It doubles with each attempt. Default: 500 ms.
    pub backoff_base: Duration,
    /// The longest wait after a failure for which the server did not specify one. Default: 30 seconds.
    pub backoff_cap: Duration,
    /// The seed of the jitter. `None` uses a random seed for each process, so that machines that failed together do not
    /// retry together. A fixed seed makes a test repeatable.
    pub seed: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            concurrency: 64,
            max_retries: 10,
            max_wait: Duration::from_secs(600),
            limits: Some(cfcache_model::Plan::Free.purge_limits()),
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(30),
            seed: None,
        }
    }
}

/// What a job or scheduler waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The server refused a request because of the rate, or demanded a pause, which applies to all requests.
    Held,
    /// The published rate limits.
    Paced,
    /// The quota in the server's headers, which is used up.
    Quota,
    /// The next attempt of a failed request.
    Retry,
    /// Recording outcomes, which is slower than sending.
    Recording,
    /// A request in flight, or more input.
    Event,
}

/// The result of an attempt to send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever reports must choose among these")]
pub enum AttemptResult {
    /// The server did what was requested.
    Done,
    /// The server refused the request because there were too many.
    RateLimited {
        /// The wait that the server demanded.
        retry_after: Option<Duration>,
    },
    /// The server failed temporarily.
    Unavailable {
        /// The wait that the server demanded.
        retry_after: Option<Duration>,
    },
    /// The server refused the request; a retry cannot help.
    Refused,
    /// The response does not say whether the server did what was requested.
    Unclear,
    /// There was no complete response.
    Lost {
        /// Whether the server may have processed the request.
        delivery: Delivery,
        /// Whether another attempt can help.
        retryable: bool,
    },
}

impl AttemptResult {
    /// Creates the result from a response: the API's error, or `None` if it succeeded, and the wait that its headers
    /// demand ([`retry_after`](crate::rate_headers::retry_after)). Without such a header, the wait in the error counts.
    #[must_use]
    pub fn new(failure: Option<&ApiFailure>, retry_after: Option<Duration>) -> Self {
        let Some(failure) = failure else { return Self::Done };
        let retry_after = retry_after.or_else(|| failure.retry_after.map(Duration::from_secs));
        match failure.class {
            Class::RateLimited => Self::RateLimited { retry_after },
            Class::Unclear => Self::Unclear,
            class if class.is_temporary() => Self::Unavailable { retry_after },
            _ => Self::Refused,
        }
    }
}

/// Why a run is stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The caller interrupted it.
    Interrupted,
    /// The server demanded a longer wait than is allowed, or refused all requests for that long.
    WaitTooLong {
        /// How long.
        demanded: Duration,
    },
    /// So many attempts failed in a row that the rest would probably fail too.
    NothingSucceeds,
    /// The credentials were refused, so the rest would fail too.
    Credentials,
    /// An accepted batch could not be recorded.
    Observer,
    /// So many requests in a row were refused for the same reason, without one accepted, that the rest would probably
    /// be refused too.
    SameRefusal,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::WaitTooLong { demanded } => {
                write!(f, "the API demanded a wait of {} s", demanded.as_secs_f64().ceil())
            }
            Self::NothingSucceeds => f.write_str("too many consecutive tries failed"),
            Self::Credentials => f.write_str("the credentials were refused"),
            Self::Observer => f.write_str("an accepted batch could not be recorded"),
            Self::SameRefusal => {
                f.write_str("too many consecutive requests were refused for the same reason")
            }
        }
    }
}
