//! The events of a job.

use core::error::Error as StdError;
use core::fmt;
use core::pin::Pin;
use core::time::Duration;

use cfcache_model::envelope::ResponseInfo;
use cfcache_model::plan::{Batch, Entry};
use cfcache_transport::{Operation, Response, TransportError};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::auth::Redactor;
use crate::codec::Codec;
use crate::engine::{Reason, Stop};
use crate::error::{Error, ErrorCause};
use crate::summary::Summary;

/// Why an outcome could not be recorded.
pub type RecordError = Box<dyn StdError + Send + Sync>;

/// The future of recording an outcome: see [`Observer::record`].
pub type Recording = Pin<Box<dyn Future<Output = Result<(), RecordError>> + Send>>;

/// Receives all events of a job: for progress, logs, journals and reports.
pub trait Observer {
    /// Receives an event. This is called on the task that runs the job, so it must not block.
    fn on(&mut self, event: Event<'_>);

    /// Records the outcome of a batch durably, in a file or a database. [`Event::Ended`] follows when this is done.
    ///
    /// - Returns `None`, the default, if there is nothing to wait for.
    /// - A returned future is awaited concurrently with everything else. While more than
    ///   [`MAX_UNRECORDED`](crate::engine::MAX_UNRECORDED) outcomes wait, nothing more is sent: a slow sink slows the
    ///   job down but blocks nothing.
    /// - If it fails, an accepted batch fails with [`ErrorCause::Unrecorded`], and the job stops: nothing more is sent,
    ///   and requests in flight are awaited and recorded.
    fn record(&mut self, outcome: &Outcome) -> Option<Recording> {
        let _ = outcome;
        None
    }
}

impl Observer for () {
    fn on(&mut self, _event: Event<'_>) {}
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn on(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// An event. `scope` is the index of the scope within its job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Entries were read. This comes before all other events about them.
    Read {
        /// Their scope.
        scope: usize,
        /// The number of entries, including duplicates.
        entries: u64,
    },
    /// Entries equal earlier ones and are not sent.
    Duplicates {
        /// Their scope.
        scope: usize,
        /// The entries.
        entries: &'a [Entry],
    },
    /// Entries are skipped because they were accepted before ([`PurgeScope::accepted`](crate::PurgeScope::accepted)).
    Skipped {
        /// Their scope.
        scope: usize,
        /// The entries.
        entries: &'a [Entry],
    },
    /// A request is sent.
    Sent {
        /// How many requests are in flight, including this one.
        in_flight: usize,
    },
    /// A request has ended, with a response or without one.
    Exchange(Exchange<'a>),
    /// The API reported an error or a message with a successful response.
    Warning(&'a ResponseInfo),
    /// The job waits for the rate limits, and not for the network, for the first time. This happens at most once per
    /// run, before the corresponding [`Event::Waiting`].
    Paced {
        /// The duration of the first such wait.
        wait: Duration,
    },
    /// Nothing more is sent for this time, unless a request in flight ends earlier.
    Waiting {
        /// The duration.
        wait: Duration,
        /// The reason.
        reason: Reason,
    },
    /// A request will be sent again.
    Retrying {
        /// The wait before it is sent again.
        wait: Duration,
        /// Whether everything else waits as well.
        holds_all: bool,
        /// The number of the attempt that failed, counted from 1.
        attempt: u32,
        /// The maximum number of attempts; attempts that were refused because of the rate may not count.
        tries: u32,
        /// The result of that attempt.
        cause: &'a ErrorCause,
    },
    /// A batch was refused because of a part of it, and is sent again in two halves.
    Split {
        /// The number of its entries.
        entries: usize,
    },
    /// A batch has ended.
    Ended(&'a Outcome),
    /// A scope was stopped; the rest of it will not be sent.
    Stopped {
        /// The scope; `None` for all scopes.
        scope: Option<usize>,
        /// Why.
        stop: Stop,
    },
    /// The counts have changed.
    Progress {
        /// The sum over all scopes.
        summary: &'a Summary,
        /// How many requests are in flight.
        in_flight: usize,
    },
}

/// A request and its result.
#[non_exhaustive]
pub struct Exchange<'a> {
    /// The purpose of the request, and the number of the attempt.
    pub operation: &'a Operation,
    /// Its method.
    pub method: &'static str,
    /// Its path with the query string.
    pub path: &'a str,
    pub(crate) codec: &'a Codec,
    /// The size of its body in bytes.
    pub body_bytes: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// The unchanged response. Before printing any of it, remove secrets with [`redactor`](Self::redactor), because a
    /// server may echo them.
    pub result: Result<&'a Response, &'a TransportError>,
    /// Removes the credentials from the response and its headers.
    pub redactor: &'a Redactor,
    /// Whether it was refused because there were too many requests.
    pub rate_limited: bool,
}

impl Exchange<'_> {
    /// The headers of the request in a form that can be shown: credentials are blanked, and marked as sensitive.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = self.codec.shown_headers();
        if self.body_bytes > 0 {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers
    }
}

impl fmt::Debug for Exchange<'_> {
    /// Shows the status and the size of a response, but not its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.result.map(|response| (response.status(), response.body().len()));
        f.debug_struct("Exchange")
            .field("operation", self.operation)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers())
            .field("body_bytes", &self.body_bytes)
            .field("elapsed", &self.elapsed)
            .field("result", &answer)
            .field("rate_limited", &self.rate_limited)
            .finish()
    }
}

/// The outcome of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The index of the scope in the job.
    pub scope: usize,
    /// The number of the batch in its scope, counted from 0 in the order of creation.
    pub number: u64,
    /// The batch.
    pub batch: Batch,
    /// How many times it was sent.
    pub attempts: u32,
    /// The time from the first attempt to the end.
    pub elapsed: Duration,
    /// `Ok` only if the API accepted the batch.
    pub result: Result<(), Error>,
}
