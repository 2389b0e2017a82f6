//! When failed requests are tried again, and when they are given up.

use std::time::Duration;

/// The number of attempts after which a request becomes a dead letter, if the API neither accepted nor refused it.
/// Stores count the attempts of each request separately.
///
/// Attempts during an outage ([`ApiHealth::is_down`]) are not counted, so an outage turns no request into a dead
/// letter.
pub const MAX_ATTEMPTS: u32 = 20;

/// The first wait, before jitter. It doubles with each attempt.
const BASE: Duration = Duration::from_millis(500);

/// The longest wait. It is short so that waiting requests are sent soon after an outage.
const CAP: Duration = Duration::from_secs(30);

/// The number of consecutive failures after which the API counts as down.
const DOWN_AFTER: u32 = 3;

/// Returns how long to wait after an attempt failed without an answer that contains a waiting time.
///
/// - `failures` is the number of earlier failures.
/// - Half of the wait is random. Entries that failed in one request are then retried in different requests, so that an
///   entry that makes the API fail does not affect the same other entries every time.
#[must_use]
pub fn backoff(failures: u32, random: u64) -> Duration {
    let whole = BASE.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(CAP);
    let half = whole / 2;
    let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    half + Duration::from_micros(random % (spread + 1))
}

/// Whether the API works, as observed by one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiHealth {
    failures: u32,
}

impl ApiHealth {
    /// Creates a state without failures.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// Records that the API accepted or refused an entry, so it works.
    pub const fn answered(&mut self) {
        self.failures = 0;
    }

    /// Records a request without a conclusive answer.
    pub const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Returns whether so many requests failed in a row that the cause is the API and not the requests.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.failures >= DOWN_AFTER
    }

    /// Returns how long the worker should claim nothing, so that it does not try every waiting request against an API
    /// that is down.
    #[must_use]
    pub fn pause(&self, random: u64) -> Duration {
        if self.is_down() { backoff(self.failures - DOWN_AFTER, random) } else { Duration::ZERO }
    }
}
