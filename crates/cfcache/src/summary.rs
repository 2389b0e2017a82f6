use cfcache_client::ErrorKind;
use cfcache_client::engine::Stop;

use crate::error::Error;

/// How many failed entries a summary names.
const NAMED: usize = 1000;

/// What became of the entries of a request. `accepted + failed + duplicates == items`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "an entry that failed is told nowhere else: see `into_result`"]
#[non_exhaustive]
pub struct Summary {
    /// Entries that were given.
    pub items: u64,
    /// Entries that the API said it accepted.
    pub accepted: u64,
    /// Entries that were not accepted.
    pub failed: u64,
    /// Entries that were the same as one before, and not sent.
    pub duplicates: u64,
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// How many of these were retries.
    pub retries: u64,
    /// Requests that were answered with "too many".
    pub rate_limited: u64,
    /// Errors and remarks that the API reported beside its success.
    pub warnings: u64,
    /// The entries that failed; at most 1,000.
    pub failures: Vec<FailedEntry>,
    /// Why the rest was given up, where it was.
    pub stopped: Option<Stop>,
    /// What visitors got after it, where that was asked for and something was accepted; `None` where it was interrupted
    /// before.
    #[cfg(feature = "verify")]
    pub verified: Option<crate::verify::Verified>,
}

/// An entry that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedEntry {
    /// The entry as it was given.
    pub entry: String,
    /// The caller's tag of it.
    pub tag: u64,
    /// What sort of error it was, by what somebody can do about it.
    pub kind: ErrorKind,
    /// What the API or the network said.
    pub message: String,
    /// Whether it may have been purged all the same: the answer was lost.
    pub is_unclear: bool,
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryOutcome {
    /// The entry as it was given.
    pub entry: String,
    /// The caller's tag of it ([`Entry::with_tag`](crate::Entry::with_tag)).
    pub tag: u64,
    /// What became of it.
    pub status: EntryStatus,
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryStatus {
    /// The API said that it accepted it.
    Accepted,
    /// It was not accepted.
    Failed {
        /// What sort of error it was.
        kind: ErrorKind,
        /// What the API or the network said.
        message: String,
        /// Whether it may have been purged all the same.
        is_unclear: bool,
    },
    /// It is the same as one that is sent, and was not sent itself.
    Duplicate,
}

impl Summary {
    /// Makes an error of it, unless everything was accepted.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] where an entry failed.
    pub fn into_result(self) -> Result<Self, Error> {
        if self.failed == 0 { Ok(self) } else { Err(Error::Incomplete(Box::new(self))) }
    }

    /// The same for those who do not need the counts: `client.purge(&zone).tags(["a"]).send().await?.all_accepted()?`.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] where an entry failed.
    pub fn all_accepted(self) -> Result<(), Error> {
        self.into_result().map(drop)
    }

    /// Makes an error of it, unless everything was accepted, URLs were asked, and each of them proves it.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] where an entry failed, [`Error::Unproven`] where a URL is a survivor or unproven, or none
    /// was asked.
    #[cfg(feature = "verify")]
    pub fn all_proven(self) -> Result<(), Error> {
        let summary = self.into_result()?;
        match &summary.verified {
            Some(verified) if verified.is_proven() => Ok(()),
            _ => Err(Error::Unproven(Box::new(summary))),
        }
    }

    pub(crate) fn set_counts(&mut self, counts: &cfcache_client::Summary) {
        self.items = counts.items;
        self.accepted = counts.accepted;
        self.failed = counts.failed;
        self.duplicates = counts.duplicates;
        self.requests = counts.requests;
        self.retries = counts.retries;
        self.rate_limited = counts.rate_limited;
        self.warnings = counts.warnings;
    }

    pub(crate) fn name(&mut self, failure: impl FnOnce() -> FailedEntry) {
        if self.failures.len() < NAMED {
            self.failures.push(failure());
        }
    }
}
