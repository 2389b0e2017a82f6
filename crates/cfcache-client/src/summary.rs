//! The totals of a run.

use core::iter::Sum;
use core::ops::{Add, AddAssign};

/// The totals of a job. `accepted + failed + duplicates + skipped == items` when it is complete.
///
/// Only the job counts; everything else receives the totals from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "only the summary says that entries failed"]
#[non_exhaustive]
pub struct Summary {
    /// Entries that were read.
    pub items: u64,
    /// Entries in batches that the API accepted, and that were recorded.
    pub accepted: u64,
    /// Entries in batches that failed.
    pub failed: u64,
    /// Entries that equal an earlier one, and were not sent.
    pub duplicates: u64,
    /// Entries that were accepted before this run, and were not sent.
    pub skipped: u64,
    /// Batches that have ended.
    pub batches: u64,
    /// Requests that were sent, including retries. A request for which no connection could be opened is not counted.
    pub requests: u64,
    /// Requests that were retries.
    pub retries: u64,
    /// Responses with the status 429.
    pub rate_limited: u64,
    /// Errors and messages that the API sent with a successful response.
    pub warnings: u64,
}

impl Summary {
    /// Returns whether everything was accepted that was to be sent.
    #[must_use]
    pub const fn is_all_accepted(&self) -> bool {
        self.failed == 0
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.duplicates += other.duplicates;
        self.skipped += other.skipped;
        self.batches += other.batches;
        self.requests += other.requests;
        self.retries += other.retries;
        self.rate_limited += other.rate_limited;
        self.warnings += other.warnings;
    }
}

impl Add for Summary {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sum for Summary {
    fn sum<I: Iterator<Item = Self>>(summaries: I) -> Self {
        summaries.fold(Self::default(), Self::add)
    }
}
