//! Everything that happens, as it happens.

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

/// Why something could not be recorded.
pub type RecordError = Box<dyn StdError + Send + Sync>;

/// The rest of recording an outcome: see [`Observer::record`].
pub type Recording = Pin<Box<dyn Future<Output = Result<(), RecordError>> + Send>>;

/// Is told of everything that happens: for progress, logs, journals and reports.
pub trait Observer {
    /// Something happened. This is called on the task that drives the job: it must not block.
    fn on(&mut self, event: Event<'_>);

    /// A batch came to its end: the place to record that durably, in a file or a database. [`Event::Ended`] follows once it
    /// is done.
    ///
    /// - `None`, the default, where there is nothing to wait for.
    /// - A future is awaited beside everything else. While more than [`MAX_UNRECORDED`](crate::engine::MAX_UNRECORDED)
    ///   outcomes wait, nothing more is sent: a sink that is slow slows the job down, and blocks nothing.
    /// - Where it fails, a batch that was accepted fails with [`ErrorCause::Unrecorded`], and the job stops: nothing more
    ///   is sent, and what is in flight is waited for, and recorded too.
    fn record(&mut self, outcome: &Outcome<'_>) -> Option<Recording> {
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

/// Something that happened. `scope` is the number of the scope within its job, counted from 0.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Entries were read. Comes before anything that happens to them.
    Read {
        /// Their scope.
        scope: usize,
        /// How many, duplicates included.
        entries: u64,
    },
    /// Entries are the same as earlier ones, and are not sent.
    Duplicates {
        /// Their scope.
        scope: usize,
        /// Those entries.
        entries: &'a [Entry],
    },
    /// Entries were left out because they were accepted before ([`PurgeScope::accepted`](crate::PurgeScope::accepted)).
    Skipped {
        /// Their scope.
        scope: usize,
        /// Those entries.
        entries: &'a [Entry],
    },
    /// A request was sent; so many are in flight now.
    Sent {
        /// How many.
        in_flight: usize,
    },
    /// A request and what came of it.
    Exchange(Exchange<'a>),
    /// The API did what was asked, and reports an error or a remark beside that.
    Warning(&'a ResponseInfo),
    /// For the first time it is the limits, and not the network, that are waited for: there is more to do than they
    /// allow at once. Comes once a run, and before the [`Event::Waiting`] it belongs to.
    Paced {
        /// How long the first such wait is.
        wait: Duration,
    },
    /// Nothing more is sent for so long, unless something ends before.
    Waiting {
        /// How long.
        wait: Duration,
        /// What for.
        reason: Reason,
    },
    /// A request will be sent again after so long.
    Retrying {
        /// How long it waits.
        wait: Duration,
        /// Whether everything else waits as well.
        holds_all: bool,
        /// Which try it was that failed, counted from 1.
        attempt: u32,
        /// How many tries there are, unless refusals for the rate come between, which are paid for in waiting.
        tries: u32,
        /// What that try came to.
        cause: &'a ErrorCause,
    },
    /// A batch was refused for what a part of it may hold, and goes again in two halves.
    Split {
        /// How many entries it had.
        entries: usize,
    },
    /// A batch came to its end.
    Ended(Outcome<'a>),
    /// A scope was given up; what had not been sent of it will not be.
    Stopped {
        /// The scope; `None` where it is all of them.
        scope: Option<usize>,
        /// Why.
        stop: Stop,
    },
    /// The counts have changed.
    Progress {
        /// Over all scopes.
        summary: &'a Summary,
        /// How many requests are in flight.
        in_flight: usize,
    },
}

/// A request and what came of it.
#[non_exhaustive]
pub struct Exchange<'a> {
    /// Which request it was, and which try.
    pub operation: &'a Operation,
    /// Its method.
    pub method: &'static str,
    /// Its path, with the query.
    pub path: &'a str,
    pub(crate) codec: &'a Codec,
    /// The bytes of its body.
    pub body_bytes: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// What came of it: the answer as it came. Whoever prints from it has [`redactor`](Self::redactor) take the secrets
    /// out first, since a server may echo them.
    pub result: Result<&'a Response, &'a TransportError>,
    /// What takes the credentials out of what the answer says, in its headers too.
    pub redactor: &'a Redactor,
    /// Returns whether it was refused because there were too many requests.
    pub rate_limited: bool,
}

impl Exchange<'_> {
    /// The headers of the request fit to be shown: those of credentials hold no secret, and are marked sensitive.
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
    /// Shows the status and the size of an answer, and not what it holds.
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

/// What became of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<'a> {
    /// Which scope of the job, counted from 0.
    pub scope: usize,
    /// Which batch of the scope, counted from 0 in the order in which they were made.
    pub number: u64,
    /// The batch.
    pub batch: &'a Batch,
    /// How often it was sent.
    pub attempts: u32,
    /// How long it was from the first try to the end.
    pub elapsed: Duration,
    /// `Ok` only where the API said that it accepted the batch.
    pub result: Result<(), &'a Error>,
}
