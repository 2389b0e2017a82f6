//! What a run came to, in the words of the contract. Types of our own: nothing of an inner crate shows.

use serde::Serialize;

use crate::exit::Exit;
use crate::visit_report::{VerifyReport, WarmReport};

/// How many failures a report names at the most.
pub const MAX_FAILURES: usize = 1000;

/// How many bytes of items a report holds at the most: long ones are no way around the bound on memory.
const MAX_BYTES: usize = 4 << 20;

/// The one object that `--json` prints for a purge or invalidate.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "report", deny_unknown_fields)
)]
pub struct Report {
    /// `purge` or `invalidate`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = operations())))]
    pub operation: &'static str,
    /// The field of the body: `files`, `tags`, `hosts`, `prefixes`, or `purge_everything`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = kinds())))]
    pub kind: &'static str,
    /// The zone's id; null where each entry went to the zone of its host.
    pub zone: Option<String>,
    /// The id of the environment, if there is one.
    pub environment: Option<String>,
    /// `accepted + failed + invalid + duplicates + skipped`, always.
    pub items: u64,
    /// Entries that the API accepted.
    pub accepted: u64,
    /// Entries that the API did not accept, or that are not known to be accepted.
    pub failed: u64,
    /// Entries that were not sent, because no request can hold them.
    pub invalid: u64,
    /// Entries that were not sent, because they were read before.
    pub duplicates: u64,
    /// Entries that were not sent, because a journal says that they were accepted before.
    pub skipped: u64,
    /// Requests that were sent. One for which no connection could be opened was not.
    pub requests: u64,
    /// How many of these were sent again.
    pub retries: u64,
    /// Responses that said to wait.
    pub rate_limited: u64,
    /// Warnings about entries, and errors and remarks that the API sent beside success; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub warnings: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The entries that failed or are invalid; at most 1000.
    pub failures: Vec<ItemFailure>,
    /// How many more failures there are; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub failures_omitted: u64,
    /// True if the run was given up before all of its input was read; left out otherwise.
    #[serde(rename = "incomplete", skip_serializing_if = "core::ops::Not::not")]
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub is_incomplete: bool,
    /// A report for each zone, if each entry went to the zone of its host; left out otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub zones: Vec<Self>,
    /// Of `changed`, what a deployment changed and what the state is; left out otherwise.
    #[serde(flatten)]
    pub deployment: Option<Deployment>,
    /// Whether entries are of several kinds, so that none can be named.
    #[serde(skip)]
    pub is_mixed: bool,
    /// How the process ends for it: the worst of what happened.
    #[serde(skip)]
    pub exit: Exit,
    /// What people are told in place of the counts, where nothing was to be done.
    #[serde(skip)]
    pub sentence: Option<String>,
    /// What visitors got after it, if that was asked for (`--verify`); left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "VerifyReport"))]
    pub verify: Option<VerifyReport>,
    /// What was fetched after it, if that was asked for (`--warm`); left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "WarmReport"))]
    pub warm: Option<WarmReport>,
    #[serde(skip)]
    bytes: usize,
}

#[cfg(feature = "schema")]
fn operations() -> [&'static str; 2] {
    use cfcache_model::endpoint::Action;
    [Action::Purge.verb(), Action::Invalidate.verb()]
}

#[cfg(feature = "schema")]
fn kinds() -> Vec<&'static str> {
    use cfcache_model::{Kind, PurgeBody};
    Kind::ALL.iter().map(|kind| kind.field()).chain([PurgeBody::Everything.field()]).collect()
}

/// What a deployment changed, and what is remembered of it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "deployment"))]
pub struct Deployment {
    /// How many files changed and how.
    pub changed: ChangedFiles,
    /// What was purged in place of the URLs of what changed, and why; null if it was these URLs.
    pub fallback: Option<Fallback>,
    /// What became of the state.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("enum" = ["saved", "pending", "kept"])))]
    pub state: StateReport,
}

/// How many files changed and how. A list of changes does not tell how many did not.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "changed", deny_unknown_fields)
)]
pub struct ChangedFiles {
    /// New ones.
    pub added: u64,
    /// Those with another content.
    pub changed: u64,
    /// Those that are gone.
    pub deleted: u64,
    /// All others.
    pub unchanged: u64,
}

/// What is purged in place of URLs.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "fallback", deny_unknown_fields)
)]
pub struct Fallback {
    /// Folders of which at least half changed, the hosts of the site, or everything.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("enum" = ["prefix", "host", "everything"])))]
    pub to: FallbackTo,
    /// Why, for people; its wording may change.
    pub why: String,
}

/// What is purged in place of URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FallbackTo {
    /// Folders.
    Prefix,
    /// Hosts.
    Host,
    /// Everything.
    Everything,
}

/// What became of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateReport {
    /// It has the files that are deployed now.
    Saved,
    /// It has what is still to be purged or to be proven.
    Pending,
    /// It is what it was.
    Kept,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An item that failed or is invalid.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "failure", deny_unknown_fields)
)]
pub struct ItemFailure {
    /// The entry as it was given.
    pub item: String,
    /// What was wrong.
    pub error: ItemError,
    /// Whether it was invalid, and so was not sent.
    #[serde(skip)]
    pub is_invalid: bool,
}

/// What was wrong with an entry.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "error", deny_unknown_fields))]
pub struct ItemError {
    /// The API's code, if it gave one.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub code: Option<u32>,
    /// The API's message, or our own, for people; its wording may change.
    pub message: String,
    /// The page that the API names for the error; left out if it names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub documentation_url: Option<String>,
    /// The message without what differs from request to request, where something does.
    #[serde(skip)]
    reason: Option<String>,
}

/// What `ndjson` prints when a batch ends.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "batch", deny_unknown_fields))]
pub struct BatchEvent<'a> {
    /// Always `batch`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["batch"])))]
    pub event: &'static str,
    /// The number of the request, from 0.
    pub batch: u64,
    /// Entries in the request.
    pub items: u64,
    /// Whether the API accepted it.
    pub accepted: bool,
    /// How often the request was sent.
    pub attempts: u32,
    /// How long it took, pauses and retries included, in milliseconds.
    pub elapsed_ms: u64,
    /// Why the API did not accept it.
    pub error: Option<&'a ItemError>,
    /// The zone's id; the requests of each zone are counted for themselves.
    pub zone: Option<&'a str>,
}

/// What `ndjson` prints at the end.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "summary", deny_unknown_fields)
)]
pub struct SummaryEvent<'a> {
    /// Always `summary`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["summary"])))]
    pub event: &'static str,
    /// The report.
    #[serde(flatten)]
    pub report: &'a Report,
}

impl ItemError {
    /// The API has no code 0: that is how it says that it has none to say.
    pub fn new(code: Option<u32>, message: String) -> Self {
        Self { code: code.filter(|code| *code != 0), message, documentation_url: None, reason: None }
    }

    /// Names the page that the API names for it.
    pub fn with_documentation_url(mut self, url: Option<&str>) -> Self {
        self.documentation_url = url.map(ToOwned::to_owned);
        self
    }

    /// Says what of the message is the same for others that failed alike.
    pub fn with_reason(mut self, reason: String) -> Self {
        self.reason = Some(reason);
        self
    }

    /// What is the same for others that failed alike.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.message)
    }
}

impl Report {
    /// Makes an empty report.
    pub fn new(
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
            deployment: None,
            is_mixed: false,
            exit: Exit::Accepted,
            sentence: None,
            verify: None,
            warm: None,
            bytes: 0,
        }
    }

    /// Sets how the process ends.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Names a failed item, while there is room.
    pub fn fail(&mut self, item: &str, error: &ItemError) {
        self.name(item, error, false);
    }

    /// Names an invalid item, while there is room.
    pub fn refuse(&mut self, item: &str, error: &ItemError) {
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
    pub fn add(&mut self, part: Self) {
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

    /// Adds what another run of the same job came to, over entries of another kind.
    pub fn merge(&mut self, mut other: Self) {
        let zones = core::mem::take(&mut other.zones);
        other.zone = None;
        self.add(other);
        for zone in zones {
            match self.zones.iter_mut().find(|known| known.zone == zone.zone) {
                Some(known) => known.merge(zone),
                None => self.zones.push(zone),
            }
        }
    }

    /// What was read and has come to no end counts as failed: whatever happened, it is not known to be accepted.
    pub fn close(&mut self) {
        let ended = self.accepted + self.failed + self.invalid + self.duplicates + self.skipped;
        let open = self.items.saturating_sub(ended);
        self.failed += open;
        self.failures_omitted += open;
    }
}
