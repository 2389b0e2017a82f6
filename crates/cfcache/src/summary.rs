use std::fmt;

use cfcache_client::ErrorKind;
use cfcache_client::engine::Stop;
use cfcache_model::text::quote;

use crate::error::Error;

/// The maximum number of failed entries that a summary lists.
const NAMED: usize = 1000;

/// The results of a request: `accepted + failed + duplicates == items`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "only the summary says which entries failed: see `into_result`"]
#[non_exhaustive]
pub struct Summary {
    /// The number of entries.
    pub items: u64,
    /// Entries that the API accepted.
    pub accepted: u64,
    /// Entries that were not accepted.
    pub failed: u64,
    /// Entries that equal an earlier one, and were not sent.
    pub duplicates: u64,
    /// Requests that were sent, retries included.
    pub requests: u64,
    /// How many of these requests were retries.
    pub retries: u64,
    /// Responses with the status 429.
    pub rate_limited: u64,
    /// Errors and messages that the API sent with a successful response.
    pub warnings: u64,
    /// The failed entries; at most 1,000.
    pub failures: Vec<FailedEntry>,
    /// Why the run was stopped early, if it was.
    pub stopped: Option<Stop>,
    /// What visitors got after the purge, if verification was requested and something was accepted; `None` if the run
    /// was interrupted before.
    #[cfg(feature = "verify")]
    pub verified: Option<crate::verify::Verified>,
}

/// An entry that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedEntry {
    /// The entry as given.
    pub entry: String,
    /// The caller's tag of the entry.
    pub tag: u64,
    /// The kind of error, which suggests what to do about it.
    pub kind: ErrorKind,
    /// The message of the API or the network error.
    pub message: String,
    /// Whether the entry may have been purged nonetheless, because the response was lost.
    pub is_unclear: bool,
}

/// Writes the beginning of the entry, and the message.
impl fmt::Display for FailedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", quote(&self.entry), self.message)
    }
}

/// The outcome of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryOutcome {
    /// The entry as given.
    pub entry: String,
    /// The caller's tag of the entry ([`Entry::with_tag`](crate::Entry::with_tag)).
    pub tag: u64,
    /// Whether it was accepted.
    pub status: EntryStatus,
}

/// Whether an entry was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryStatus {
    /// The API accepted it.
    Accepted,
    /// The API did not accept it.
    Failed {
        /// The kind of error.
        kind: ErrorKind,
        /// The message of the API or the network error.
        message: String,
        /// Whether it may have been purged nonetheless.
        is_unclear: bool,
    },
    /// It equals another entry that is sent, and was not sent itself.
    Duplicate,
}

impl Summary {
    /// Returns an error unless all entries were accepted.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if an entry failed.
    pub fn into_result(self) -> Result<Self, Error> {
        if self.failed == 0 { Ok(self) } else { Err(Error::Incomplete(Box::new(self))) }
    }

    /// Like [`into_result`](Self::into_result), without the counts:
    /// `client.purge(&zone).tags(["a"]).send().await?.all_accepted()?`.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if an entry failed.
    pub fn all_accepted(self) -> Result<(), Error> {
        self.into_result().map(drop)
    }

    /// Returns an error unless all entries were accepted, URLs were verified, and all of them are proven.
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`] if an entry failed; [`Error::Unproven`] if a URL is a survivor or unproven, or if no URL
    /// was checked.
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
