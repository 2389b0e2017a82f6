//! What a run came to, in the words of the contract. Types of our own: nothing of an inner crate shows.

use serde::Serialize;

/// How many failures a report names at the most.
pub(crate) const MAX_FAILURES: usize = 1000;

/// How many bytes of items a report holds at the most: long ones are no way around the bound on memory.
const MAX_BYTES: usize = 4 << 20;

/// The one object that `--json` prints for a purge or invalidate.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `purge` or `invalidate`.
    pub(crate) operation: &'static str,
    /// The field of the body: `files`, `tags`, `hosts`, `prefixes`, or `purge_everything`.
    pub(crate) kind: &'static str,
    /// The zone's id; null where each entry went to the zone of its host.
    pub(crate) zone: Option<String>,
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
    /// Only where it is so: the run was given up, and there is more input than was read.
    #[serde(rename = "incomplete", skip_serializing_if = "core::ops::Not::not")]
    pub(crate) is_incomplete: bool,
    /// Only where each entry went to the zone of its host: a report for each such zone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) zones: Vec<Self>,
    #[serde(skip)]
    bytes: usize,
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
    #[serde(skip)]
    pub(crate) is_invalid: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ItemError {
    /// The API's code, where it gave one.
    pub(crate) code: Option<u32>,
    pub(crate) message: String,
    /// The message without what differs from request to request, where something does.
    #[serde(skip)]
    reason: Option<String>,
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
    /// The zone's id; the requests of each zone are counted for themselves.
    pub(crate) zone: Option<&'a str>,
}

/// What `ndjson` prints at the end.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryEvent<'a> {
    pub(crate) event: &'static str,
    #[serde(flatten)]
    pub(crate) report: &'a Report,
}

impl ItemError {
    /// The API has no code 0: that is how it says that it has none to say.
    pub(crate) fn new(code: Option<u32>, message: String) -> Self {
        Self { code: code.filter(|code| *code != 0), message, reason: None }
    }

    /// Says what of the message is the same for others that failed alike.
    pub(crate) fn with_reason(mut self, reason: String) -> Self {
        self.reason = Some(reason);
        self
    }

    /// What is the same for others that failed alike.
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.message)
    }
}

impl Report {
    pub(crate) fn new(
        operation: &'static str,
        kind: &'static str,
        zone: Option<String>,
        environment: Option<String>,
    ) -> Self {
        Self {
            operation,
            kind,
            zone,
            environment,
            items: 0,
            accepted: 0,
            failed: 0,
            invalid: 0,
            duplicates: 0,
            skipped: 0,
            requests: 0,
            retries: 0,
            rate_limited: 0,
            elapsed_ms: 0,
            failures: Vec::new(),
            failures_omitted: 0,
            is_incomplete: false,
            zones: Vec::new(),
            bytes: 0,
        }
    }

    /// Names a failed item, while there is room.
    pub(crate) fn fail(&mut self, item: &str, error: &ItemError) {
        self.name(item, error, false);
    }

    /// Names an invalid item, while there is room.
    pub(crate) fn refuse(&mut self, item: &str, error: &ItemError) {
        self.name(item, error, true);
    }

    fn name(&mut self, item: &str, error: &ItemError, is_invalid: bool) {
        let bytes = self.bytes + item.len() + error.message.len();
        if self.failures_omitted > 0 || self.failures.len() >= MAX_FAILURES || bytes > MAX_BYTES {
            self.failures_omitted += 1;
            return;
        }
        self.bytes = bytes;
        self.failures.push(ItemFailure { item: item.to_owned(), error: error.clone(), is_invalid });
    }

    /// Adds what a part of the run came to.
    pub(crate) fn add(&mut self, part: Self) {
        self.items += part.items;
        self.accepted += part.accepted;
        self.failed += part.failed;
        self.invalid += part.invalid;
        self.duplicates += part.duplicates;
        self.skipped += part.skipped;
        self.requests += part.requests;
        self.retries += part.retries;
        self.rate_limited += part.rate_limited;
        for failure in &part.failures {
            self.name(&failure.item, &failure.error, failure.is_invalid);
        }
        self.failures_omitted += part.failures_omitted;
        if part.zone.is_some() {
            self.zones.push(part);
        }
    }

    /// What was read and has come to no end counts as failed: whatever happened, it is not known to be accepted.
    pub(crate) fn close(&mut self) {
        let ended = self.accepted + self.failed + self.invalid + self.duplicates + self.skipped;
        let open = self.items.saturating_sub(ended);
        self.failed += open;
        self.failures_omitted += open;
    }
}
