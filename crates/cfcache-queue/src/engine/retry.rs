//! When something is tried again, and when not any more.

use std::time::Duration;

/// A request that was sent so often without the API accepting or refusing it goes to the dead letters. Stores count for
/// each request by itself.
///
/// Only tries count that failed while the API did other requests ([`ApiHealth::is_down`]): an outage kills nothing.
pub const MAX_ATTEMPTS: u32 = 20;

/// The first wait, before jitter. It doubles from try to try.
const BASE: Duration = Duration::from_millis(500);

/// The longest wait. It is short, so that what waited for the end of an outage goes out soon after it.
const CAP: Duration = Duration::from_secs(30);

/// So many failures in a row, with nothing accepted in between, and the API counts as down.
const DOWN_AFTER: u32 = 3;

/// How long to wait after a try that failed without an answer that says when to come back.
///
/// - `failures` is how often it failed before.
/// - Half of the wait is random: entries that failed in one request come back in different ones, so that one that makes
///   the API fail does not take the same others with it each time.
#[must_use]
pub fn backoff(failures: u32, random: u64) -> Duration {
    let whole = BASE.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(CAP);
    let half = whole / 2;
    let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    half + Duration::from_micros(random % (spread + 1))
}

/// Whether the API works, as far as one worker has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiHealth {
    failures: u32,
}

impl ApiHealth {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// The API accepted something, or refused it for what it is: it works.
    pub const fn answered(&mut self) {
        self.failures = 0;
    }

    /// A request ended without an answer that says what became of it.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether so many failed in a row that the reason is the API, and not what was sent.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.failures >= DOWN_AFTER
    }

    /// How long the worker claims nothing, so that it does not go through all that waits against an API that is down.
    #[must_use]
    pub fn pause(&self, random: u64) -> Duration {
        if self.is_down() { backoff(self.failures - DOWN_AFTER, random) } else { Duration::ZERO }
    }
}
