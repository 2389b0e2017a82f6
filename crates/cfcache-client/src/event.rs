//! Everything that happens, as it happens.

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;

use cfcache_model::envelope::ResponseInfo;
use cfcache_model::plan::Batch;
use cfcache_transport::{Operation, Response, TransportError};
use http::HeaderMap;

use crate::auth::Redactor;
use crate::engine::{Reason, Stop};
use crate::error::{Error, ErrorCause};

/// Is told of everything that happens: for progress, logs, journals and reports.
pub trait Observer {
    /// Something happened.
    fn on(&mut self, event: Event<'_>);

    /// The API accepted a batch: the place for a journal to record it durably. [`Event::Ended`] follows.
    ///
    /// # Errors
    ///
    /// Where it cannot be recorded. The batch then fails with [`ErrorCause::Unrecorded`],
    /// and the run stops: nothing more is sent, and what is in flight is waited for, and told here.
    fn accepted(&mut self, outcome: &Outcome<'_>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let _ = outcome;
        Ok(())
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

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Entries were read: how many, and how many of them were duplicates, both since the last such event.
    Read {
        /// Entries, duplicates included.
        entries: u64,
        /// Duplicates, which are not sent.
        duplicates: u64,
    },
    /// Entries were left out because the run was told that they were accepted before: how many, since the last such
    /// event.
    Skipped {
        /// How many.
        entries: u64,
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
    Again {
        /// How long it waits.
        wait: Duration,
        /// Does everything else wait as well?
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
    /// The run was given up; what had not been sent will not be.
    Stopped(Stop),
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
    /// Its headers, those that are secret marked sensitive.
    pub headers: &'a HeaderMap,
    /// The bytes of its body.
    pub body_bytes: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// What came of it: the answer as it came. Whoever prints from it has [`redactor`](Self::redactor) take the secrets
    /// out first, since a server may echo them.
    pub result: Result<&'a Response, &'a TransportError>,
    /// What takes the credentials out of what the answer says, in its headers too.
    pub redactor: &'a Redactor,
    /// Was it refused because there were too many?
    pub rate_limited: bool,
}

impl fmt::Debug for Exchange<'_> {
    /// Shows the status and the size of an answer, and not what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.result.map(|response| (response.status(), response.body().len()));
        f.debug_struct("Exchange")
            .field("operation", self.operation)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", self.headers)
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
    /// Which batch of the run, counted from 0 in the order in which they were made.
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
