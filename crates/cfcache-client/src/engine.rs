//! The engine: state machines that decide what is sent when, and what becomes of it. They do no IO and read no clock;
//! `now` is a parameter.
//!
//! - [`PurgeJob`]: a whole purge, from entries to a summary; requests come out as HTTP, and answers go in as HTTP
//! - [`Scheduler`]: retries and ordering of requests of any sort, which a job has one of for each scope
//! - [`RateLimiter`]: the budget, shared by all jobs and calls of an account
//!
//! A scheduler has four methods:
//!
//! - [`Scheduler::poll`]: what to do now: send something, wait (and until when), or stop
//! - [`Scheduler::push`] and [`Scheduler::finish`]: there is another request; there are no more
//! - [`Scheduler::on_result`]: what came of something that was sent
//! - [`Scheduler::stop`]: give up what has not been sent
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
//! // Somebody with a socket and a clock would do this in a loop.
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
mod quota;
mod scheduler;
mod sliding_window;

use core::fmt;
use core::time::Duration;

use cfcache_model::limits::PurgeLimits;
use cfcache_model::verdict::{Class, Verdict};
use cfcache_transport::Delivery;

pub use crate::engine::job::{JobStep, MAX_UNRECORDED, PurgeJob, RequestId};
#[cfg(feature = "driver")]
pub(crate) use crate::engine::job::{error_of, is_unclear};
pub use crate::engine::limiter::{Denied, Limiter, RateLimiter};
pub use crate::engine::scheduler::{Decision, Ended, Scheduler, Step, Ticket};

/// How requests are paced and retried.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policy {
    /// At most so many requests in flight, over all that share a limiter; at least 1.
    pub concurrency: usize,
    /// How often a request is tried again.
    ///
    /// Refusals for the rate count only as long as nothing else is let through in between: while the run goes on, waiting
    /// for its turn costs a request nothing.
    pub max_retries: u32,
    /// The longest single wait that a server may demand (in `Retry-After`, or by a quota that its headers state), and the
    /// longest time of nothing but refusals for the rate.
    pub max_wait: Duration,
    /// The plan's limits to pace by; `None` paces by the server's hints alone.
    pub limits: Option<PurgeLimits>,
    /// The first wait after a failure, before jitter; it doubles from try to try.
    pub backoff_base: Duration,
    /// The longest wait after a failure that comes without a hint.
    pub backoff_cap: Duration,
    /// What the jitter is drawn from; `None` is another seed in every process, so that machines that failed together do
    /// not retry together. With a seed a test can be repeated exactly.
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

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The server refused for the rate, or demanded a pause: everything waits.
    Held,
    /// The published limits: sooner would be too fast.
    Paced,
    /// The quota that the server's headers state is used up.
    Quota,
    /// The next try of something that failed.
    Retry,
    /// What was accepted is recorded more slowly than it is accepted.
    Recording,
    /// What is in flight, or more input.
    Event,
}

/// What came of something that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever reports must choose among these")]
pub enum AttemptResult {
    /// It was done.
    Done,
    /// There were too many requests.
    RateLimited {
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server could not, this time.
    Unavailable {
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was refused for good.
    Refused,
    /// The answer does not tell whether it was done.
    Unclear,
    /// No whole answer came.
    Lost {
        /// Whether it can have been processed.
        delivery: Delivery,
        /// Whether another attempt can help.
        retryable: bool,
    },
}

impl AttemptResult {
    /// What the answer to a request says, and how long its headers want the server to be left alone
    /// ([`RateHeaders::retry_after`](crate::RateHeaders::retry_after)).
    #[must_use]
    pub const fn new<T>(verdict: &Verdict<T>, retry_after: Option<Duration>) -> Self {
        match verdict {
            Verdict::Done(_) => Self::Done,
            Verdict::Retryable(failure) => match failure.class {
                Class::RateLimited => Self::RateLimited { retry_after },
                _ => Self::Unavailable { retry_after },
            },
            Verdict::Refused(_) => Self::Refused,
            Verdict::Unreadable(_) => Self::Unclear,
        }
    }
}

/// Why a run ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// Somebody wanted it to.
    Interrupted,
    /// The server demanded a longer wait than is allowed, or refused everything for that long.
    WaitTooLong {
        /// How long.
        demanded: Duration,
    },
    /// So many tries failed, one after the other, that the rest would too.
    NothingSucceeds,
    /// The credentials were refused; they would be for the rest as well.
    Credentials,
    /// What was accepted could not be recorded.
    Observer,
    /// So many requests in a row were refused for the same reason, and none accepted, that the rest would be too.
    SameRefusal,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::WaitTooLong { demanded } => {
                write!(f, "the API demanded a wait of {} s", demanded.as_secs_f64().ceil())
            }
            Self::NothingSucceeds => {
                f.write_str("so many tries had failed in a row that the run was given up")
            }
            Self::Credentials => f.write_str("the credentials were refused"),
            Self::Observer => f.write_str("what was accepted could no longer be recorded"),
            Self::SameRefusal => {
                f.write_str("so many requests in a row had been refused for the same reason")
            }
        }
    }
}
