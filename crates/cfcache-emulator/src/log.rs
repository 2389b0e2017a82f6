//! The log of received requests.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

/// Adds an item to a list that keeps the last `most` items.
pub(crate) fn push_last<T>(list: &mut VecDeque<T>, item: T, most: usize) {
    if most == 0 {
        return;
    }
    while list.len() >= most {
        list.pop_front();
    }
    list.push_back(item);
}

/// The log of an emulator. Clones share the same log.
#[derive(Debug, Clone)]
pub struct Log {
    max_entries: usize,
    seen: Arc<Mutex<LogState>>,
}

#[derive(Debug, Default)]
struct LogState {
    entries: VecDeque<LogEntry>,
    counts: Counts,
}

/// A request and its result.
///
/// The entry is added before the answer is sent, so a client with the answer always finds it here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogEntry {
    /// When it was answered (or would have been), as the time since the emulator started.
    pub at: Duration,
    /// The number of the connection, from 1; 0 without a connection.
    pub connection: u64,
    /// The HTTP version.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The name of the endpoint, if there is one.
    pub endpoint: Option<&'static str>,
    /// The headers, without secrets.
    pub headers: HeaderMap,
    /// The part of the body that was read.
    pub body: Bytes,
    /// The status of the answer; `None` if no answer was sent.
    pub status: Option<u16>,
    /// Whether the request took effect. The client may not know, because the answer may have been lost.
    pub processed: bool,
    /// The fault that was applied, in its text form.
    pub fault: Option<String>,
}

/// The number of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// The number of accepted connections.
    pub connections: u64,
    /// The number of received requests.
    pub requests: u64,
    /// The number of requests that took effect.
    pub processed: u64,
    /// The number of requests with a fault.
    pub faulted: u64,
    /// The number of requests that were refused with 429, by a limit or by a fault.
    pub rate_limited: u64,
    /// The number of items in the purges and invalidations that took effect: URLs, tags, hosts and prefixes.
    pub items: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        let Self { connections, requests, processed, faulted, rate_limited, items } = other;
        self.connections += connections;
        self.requests += requests;
        self.processed += processed;
        self.faulted += faulted;
        self.rate_limited += rate_limited;
        self.items += items;
    }
}

impl Log {
    pub(crate) fn new(max_entries: usize) -> Self {
        Self { max_entries, seen: Arc::default() }
    }

    /// Returns the kept entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<LogEntry> {
        self.seen().entries.iter().cloned().collect()
    }

    /// Returns the counts since the start or the last `clear`.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.seen().counts
    }

    /// Removes all entries; the counts start at 0 again.
    pub fn clear(&self) {
        *self.seen() = LogState::default();
    }

    /// Counts a connection. The numbering of connections continues even after the log was cleared.
    pub(crate) fn connected(&self) {
        self.seen().counts.connections += 1;
    }

    /// Adds a request with what took effect of it, and its entry. `entry` is only called if it is kept.
    pub(crate) fn record(
        &self,
        effect: Counts,
        status: Option<StatusCode>,
        entry: impl FnOnce() -> LogEntry,
    ) {
        let entry = (self.max_entries > 0).then(entry);
        let rate_limited = u64::from(status == Some(StatusCode::TOO_MANY_REQUESTS));
        let mut seen = self.seen();
        seen.counts.add(Counts { requests: 1, rate_limited, ..effect });
        if let Some(entry) = entry {
            push_last(&mut seen.entries, entry, self.max_entries);
        }
    }

    fn seen(&self) -> MutexGuard<'_, LogState> {
        // No statement in here panics between two parts of a change.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the headers with every secret replaced.
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
