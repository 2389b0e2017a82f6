//! What a run came to, in the words of the contract. Types of our own: nothing of an inner crate shows.

use serde::Serialize;

/// How many failures a report names at the most.
pub(crate) const MAX_FAILURES: usize = 1000;

/// The one object that `--json` prints for a purge or invalidate.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `purge` or `invalidate`.
    pub(crate) operation: &'static str,
    /// The field of the body: `files`, `tags`, `hosts`, `prefixes`, or `purge_everything`.
    pub(crate) kind: &'static str,
    pub(crate) zone: String,
    pub(crate) environment: Option<String>,
    /// `accepted + failed + invalid + duplicates + skipped`, always.
    pub(crate) items: u64,
    pub(crate) accepted: u64,
    pub(crate) failed: u64,
    pub(crate) invalid: u64,
    pub(crate) duplicates: u64,
    pub(crate) skipped: u64,
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) rate_limited: u64,
    pub(crate) elapsed_ms: u64,
    /// At most [`MAX_FAILURES`].
    pub(crate) failures: Vec<ItemFailure>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) failures_omitted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An item that failed or is invalid.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ItemFailure {
    /// The entry as it was given.
    pub(crate) item: String,
    pub(crate) error: ItemError,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ItemError {
    /// The API's code, where it gave one.
    pub(crate) code: Option<u32>,
    pub(crate) message: String,
}

/// What `ndjson` prints when a batch ends.
#[derive(Debug, Serialize)]
pub(crate) struct BatchEvent<'a> {
    pub(crate) event: &'static str,
    pub(crate) batch: u64,
    pub(crate) items: u64,
    pub(crate) accepted: bool,
    pub(crate) attempts: u32,
    pub(crate) elapsed_ms: u64,
    pub(crate) error: Option<&'a ItemError>,
}

/// What `ndjson` prints at the end.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) event: &'static str,
    #[serde(flatten)]
    pub(crate) report: &'a Report,
}

impl Report {
    /// Names a failed item, while there is room.
    pub(crate) fn fail(&mut self, item: &str, error: &ItemError) {
        match self.failures.len() < MAX_FAILURES {
            true => self.failures.push(ItemFailure { item: item.to_owned(), error: error.clone() }),
            false => self.failures_omitted += 1,
        }
    }

    /// What was read and has no end yet, because the run was given up on the spot, failed: it may have been accepted.
    pub(crate) fn close(&mut self) {
        let ended = self.accepted + self.failed + self.invalid + self.duplicates + self.skipped;
        let open = self.items.saturating_sub(ended);
        self.failed += open;
        self.failures_omitted += open;
    }
}
