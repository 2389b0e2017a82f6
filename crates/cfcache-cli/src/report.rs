//! What a run came to, in the words of the contract. Types of our own: nothing of an inner crate shows.

use serde::Serialize;

#[cfg(test)]
use crate::command::schema;

/// How many failures a report names at the most.
pub(crate) const MAX_FAILURES: usize = 1000;

/// How many bytes of items a report holds at the most: long ones are no way around the bound on memory.
const MAX_BYTES: usize = 4 << 20;

/// The one object that `--json` prints for a purge or invalidate.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "report", deny_unknown_fields))]
pub(crate) struct Report {
    /// `purge` or `invalidate`.
    #[cfg_attr(test, schemars(extend("enum" = schema::OPERATIONS)))]
    pub(crate) operation: &'static str,
    /// The field of the body: `files`, `tags`, `hosts`, `prefixes`, or `purge_everything`.
    #[cfg_attr(test, schemars(extend("enum" = schema::kinds())))]
    pub(crate) kind: &'static str,
    /// The zone's id; null where each entry went to the zone of its host.
    pub(crate) zone: Option<String>,
    /// The id of the environment, if there is one.
    pub(crate) environment: Option<String>,
    /// `accepted + failed + invalid + duplicates + skipped`, always.
    pub(crate) items: u64,
    /// Entries that the API accepted.
    pub(crate) accepted: u64,
    /// Entries that the API did not accept, or that are not known to be accepted.
    pub(crate) failed: u64,
    /// Entries that were not sent, because no request can hold them.
    pub(crate) invalid: u64,
    /// Entries that were not sent, because they were read before.
    pub(crate) duplicates: u64,
    /// Entries that were not sent, because a journal says that they were accepted before.
    pub(crate) skipped: u64,
    /// Requests that were sent. One for which no connection could be opened was not.
    pub(crate) requests: u64,
    /// How many of these were sent again.
    pub(crate) retries: u64,
    /// Responses that said to wait.
    pub(crate) rate_limited: u64,
    /// Warnings about entries, and errors and remarks that the API sent beside success; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub(crate) warnings: u64,
    /// How long it took, in milliseconds.
    pub(crate) elapsed_ms: u64,
    /// The entries that failed or are invalid; at most 1000.
    pub(crate) failures: Vec<ItemFailure>,
    /// How many more failures there are; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub(crate) failures_omitted: u64,
    /// True if the run was given up before all of its input was read; left out otherwise.
    #[serde(rename = "incomplete", skip_serializing_if = "core::ops::Not::not")]
    #[cfg_attr(test, schemars(extend("const" = true)))]
    pub(crate) is_incomplete: bool,
    /// A report for each zone, if each entry went to the zone of its host; left out otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
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
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "failure", deny_unknown_fields))]
pub(crate) struct ItemFailure {
    /// The entry as it was given.
    pub(crate) item: String,
    /// What was wrong.
    pub(crate) error: ItemError,
    #[serde(skip)]
    pub(crate) is_invalid: bool,
}

/// What was wrong with an entry.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "error", deny_unknown_fields))]
pub(crate) struct ItemError {
    /// The API's code, if it gave one.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub(crate) code: Option<u32>,
    /// The API's message, or our own, for people; its wording may change.
    pub(crate) message: String,
    /// The page that the API names for the error; left out if it names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(crate) documentation_url: Option<String>,
    /// The message without what differs from request to request, where something does.
    #[serde(skip)]
    reason: Option<String>,
}

/// What `ndjson` prints when a batch ends.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "batch", deny_unknown_fields))]
pub(crate) struct BatchEvent<'a> {
    /// Always `batch`.
    #[cfg_attr(test, schemars(extend("enum" = ["batch"])))]
    pub(crate) event: &'static str,
    /// The number of the request, from 0.
    pub(crate) batch: u64,
    /// Entries in the request.
    pub(crate) items: u64,
    /// Whether the API accepted it.
    pub(crate) accepted: bool,
    /// How often the request was sent.
    pub(crate) attempts: u32,
    /// How long it took, pauses and retries included, in milliseconds.
    pub(crate) elapsed_ms: u64,
    /// Why the API did not accept it.
    pub(crate) error: Option<&'a ItemError>,
    /// The zone's id; the requests of each zone are counted for themselves.
    pub(crate) zone: Option<&'a str>,
}

/// What `ndjson` prints at the end.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "summary", deny_unknown_fields))]
pub(crate) struct SummaryEvent<'a> {
    /// Always `summary`.
    #[cfg_attr(test, schemars(extend("enum" = ["summary"])))]
    pub(crate) event: &'static str,
    #[serde(flatten)]
    pub(crate) report: &'a Report,
}

impl ItemError {
    /// The API has no code 0: that is how it says that it has none to say.
    pub(crate) fn new(code: Option<u32>, message: String) -> Self {
        Self { code: code.filter(|code| *code != 0), message, documentation_url: None, reason: None }
    }

    /// Names the page that the API names for it.
    pub(crate) fn with_documentation_url(mut self, url: Option<&str>) -> Self {
        self.documentation_url = url.map(ToOwned::to_owned);
        self
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
            warnings: 0,
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
        self.warnings += part.warnings;
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
