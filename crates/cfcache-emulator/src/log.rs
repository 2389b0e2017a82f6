//! Every request that was received, for those who ask afterwards.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, Version};

/// How much is kept of what is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogRetention {
    /// All of it.
    Everything,
    /// The last so many.
    Last(usize),
    /// Only counts: for runs of millions.
    Counts,
}

impl LogRetention {
    pub(crate) fn push<T>(self, list: &mut VecDeque<T>, item: T) {
        let most = match self {
            Self::Everything => usize::MAX,
            Self::Last(most) => most,
            Self::Counts => 0,
        };
        if most == 0 {
            return;
        }
        while list.len() >= most {
            list.pop_front();
        }
        list.push_back(item);
    }
}

/// What an emulator saw. Clones are of the same log.
#[derive(Debug, Clone)]
pub struct Log {
    log_retention: LogRetention,
    seen: Arc<Mutex<LogState>>,
}

#[derive(Debug, Default)]
struct LogState {
    entries: VecDeque<LogEntry>,
    counts: Counts,
}

/// A request, and what became of it.
///
/// It is in the log before its answer leaves, so whoever holds the answer finds it here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogEntry {
    /// When it was answered (or was not), since the emulator began.
    pub at: Duration,
    /// The connection it came on, counted from 1; 0 where it came on none.
    pub connection: u64,
    /// The version of HTTP.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The name of the endpoint, if it is one.
    pub endpoint: Option<&'static str>,
    /// The headers, without the secrets in them.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// The status that was answered; `None` where no answer was sent.
    pub status: Option<u16>,
    /// Whether it took effect. Whoever sent it need not know: the answer may have been lost.
    pub processed: bool,
    /// The fault it met, in the words of the fault's own text form.
    pub fault: Option<String>,
}

/// How much was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Requests that were received.
    pub requests: u64,
    /// Requests that took effect.
    pub processed: u64,
    /// Requests that met a fault.
    pub faulted: u64,
    /// Requests refused with 429, by a limit or by a fault.
    pub rate_limited: u64,
    /// Items of the purges and invalidations that took effect: URLs, tags, hosts and prefixes.
    pub items: u64,
}

/// What is counted of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestOutcome {
    pub(crate) status: Option<u16>,
    pub(crate) processed: bool,
    pub(crate) faulted: bool,
    pub(crate) items: u64,
}

impl Log {
    pub(crate) fn new(log_retention: LogRetention) -> Self {
        Self { log_retention, seen: Arc::default() }
    }

    /// The requests that are kept, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<LogEntry> {
        self.seen().entries.iter().cloned().collect()
    }

    /// The counts, over everything that was ever seen.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.seen().counts
    }

    /// Forgets everything; the counts begin at 0 again.
    pub fn clear(&self) {
        *self.seen() = LogState::default();
    }

    /// Counts a connection. The numbers of connections go on even where the log was cleared.
    pub(crate) fn connected(&self) {
        self.seen().counts.connections += 1;
    }

    /// Counts a request and what became of it. The whole entry is only made where it is kept.
    pub(crate) fn record(&self, outcome: RequestOutcome, entry: impl FnOnce() -> LogEntry) {
        let entry = (self.log_retention != LogRetention::Counts).then(entry);
        let mut seen = self.seen();
        let counts = &mut seen.counts;
        counts.requests += 1;
        counts.processed += u64::from(outcome.processed);
        counts.faulted += u64::from(outcome.faulted);
        counts.rate_limited += u64::from(outcome.status == Some(429));
        counts.items += outcome.items;
        if let Some(entry) = entry {
            self.log_retention.push(&mut seen.entries, entry);
        }
    }

    fn seen(&self) -> MutexGuard<'_, LogState> {
        // What is behind the lock is whole between any two statements.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The headers with every secret blanked.
pub(crate) fn without_secrets(headers: &HeaderMap) -> HeaderMap {
    const BLANK: HeaderValue = HeaderValue::from_static("[not kept]");
    let secrets = [
        AUTHORIZATION.as_str(),
        PROXY_AUTHORIZATION.as_str(),
        COOKIE.as_str(),
        "x-auth-key",
        "x-auth-user-service-key",
    ];
    let mut headers = headers.clone();
    for (name, value) in &mut headers {
        if secrets.contains(&name.as_str()) {
            *value = BLANK;
        }
    }
    headers
}
