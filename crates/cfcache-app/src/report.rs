//! The report of a run, as the contract defines it. It uses only types of this module.

use serde::Serialize;

use crate::exit::Exit;
use crate::visit_report::{VerifyReport, WarmReport};

/// The maximum number of failures that a report lists.
pub const MAX_FAILURES: usize = 1000;

/// The maximum total size of the listed items in bytes, because items can be long.
const MAX_BYTES: usize = 4 << 20;

/// The object that `--json` prints for a purge or invalidate.
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
    /// The zone's id; null if each entry went to the zone of its host.
    pub zone: Option<String>,
    /// The id of the environment, if there is one.
    pub environment: Option<String>,
    /// `accepted + failed + invalid + duplicates + skipped`, always.
    pub items: u64,
    /// Entries that the API accepted.
    pub accepted: u64,
    /// Entries that the API did not accept, or that are not known to be accepted.
    pub failed: u64,
    /// Entries that were not sent because they cannot be part of a request.
    pub invalid: u64,
    /// Entries that were not sent because they equal an earlier one.
    pub duplicates: u64,
    /// Entries that were not sent because the journal says that they were accepted before.
    pub skipped: u64,
    /// Requests that were sent. A request for which no connection could be opened is not counted.
    pub requests: u64,
    /// How many of these requests were retries.
    pub retries: u64,
    /// Responses that demanded a wait.
    pub rate_limited: u64,
    /// Warnings about entries, and errors and messages that the API sent with a successful response; omitted if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub warnings: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The entries that failed or are invalid; at most 1000.
    pub failures: Vec<ItemFailure>,
    /// How many more failures there are; omitted if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub failures_omitted: u64,
    /// True if the run stopped before all of its input was read; omitted otherwise.
    #[serde(rename = "incomplete", skip_serializing_if = "core::ops::Not::not")]
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    pub is_incomplete: bool,
    /// A report for each zone, if each entry went to the zone of its host; omitted otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub zones: Vec<Self>,
    /// For `changed`: the changes of the deployment, and the state; omitted otherwise.
    #[serde(flatten)]
    pub deployment: Option<Deployment>,
    /// Whether the entries have several kinds, so that `kind` is only the main one.
    #[serde(skip)]
    pub is_mixed: bool,
    /// The exit code of the run.
    #[serde(skip)]
    pub exit: Exit,
    /// A sentence for people instead of the counts, if there was nothing to do.
    #[serde(skip)]
    pub sentence: Option<String>,
    /// What visitors got after the purge, if it was verified (`--verify`); omitted otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "VerifyReport"))]
    pub verify: Option<VerifyReport>,
    /// What was fetched after the purge, if it was warmed (`--warm`); omitted otherwise.
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

/// The changes of a deployment, and the state.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "deployment"))]
pub struct Deployment {
    /// The number of files by type of change.
    pub changed: ChangedFiles,
    /// What was purged instead of the URLs of changed files, and why; null if these URLs were purged.
    pub fallback: Option<Fallback>,
    /// What happened to the state.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("enum" = ["saved", "pending", "kept"])))]
    pub state: StateReport,
}

/// The number of files by type of change. A list of changes does not contain the number of unchanged files.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "changed", deny_unknown_fields)
)]
pub struct ChangedFiles {
    /// New files.
    pub added: u64,
    /// Files with changed content.
    pub changed: u64,
    /// Deleted files.
    pub deleted: u64,
    /// Unchanged files.
    pub unchanged: u64,
}

/// What was purged instead of URLs.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "fallback", deny_unknown_fields)
)]
pub struct Fallback {
    /// Folders in which at least half of the files changed, the hosts of the site, or everything.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("enum" = ["prefix", "host", "everything"])))]
    pub to: FallbackTo,
    /// The reason, for people; the wording may change.
    pub why: String,
}

/// What is purged instead of URLs.
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

/// What happened to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StateReport {
    /// It contains the deployed files.
    Saved,
    /// It contains entries that still have to be purged or verified.
    Pending,
    /// It was not changed.
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
    /// The entry as given.
    pub item: String,
    /// The error.
    pub error: ItemError,
    /// Whether the entry was invalid, and therefore not sent.
    #[serde(skip)]
    pub is_invalid: bool,
}

/// The error of an entry.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "error", deny_unknown_fields))]
pub struct ItemError {
    /// The API's code, if it gave one.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub code: Option<u32>,
    /// The API's message, or our own, for people; the wording may change.
    pub message: String,
    /// The documentation page that the API names for the error; omitted if it names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub documentation_url: Option<String>,
    /// The message without the parts that differ from request to request, if there are any.
    #[serde(skip)]
    reason: Option<String>,
}

/// The object that `ndjson` prints when a batch ends.
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
    /// How many times the request was sent.
    pub attempts: u32,
    /// How long it took in milliseconds, including waits and retries.
    pub elapsed_ms: u64,
    /// Why the API did not accept it.
    pub error: Option<&'a ItemError>,
    /// The zone's id; requests are numbered separately for each zone.
    pub zone: Option<&'a str>,
}

/// The object that `ndjson` prints at the end.
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
    /// Creates an error. The API has no code 0, so 0 means none.
    pub fn new(code: Option<u32>, message: String) -> Self {
        Self { code: code.filter(|code| *code != 0), message, documentation_url: None, reason: None }
    }

    /// Sets the documentation page that the API names.
    pub fn with_documentation_url(mut self, url: Option<&str>) -> Self {
        self.documentation_url = url.map(ToOwned::to_owned);
        self
    }

    /// Sets the part of the message that is the same for all entries that failed alike.
    pub fn with_reason(mut self, reason: String) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The part of the message that is the same for all entries that failed alike.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.message)
    }
}

impl Report {
    /// Creates an empty report.
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

    /// Sets the exit code.
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Adds a failed item, up to the maximum.
    pub fn fail(&mut self, item: &str, error: &ItemError) {
        self.name(item, error, false);
    }

    /// Adds an invalid item, up to the maximum.
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

    /// Adds the report of a part of the run.
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

    /// Adds the report of another run of the same job, with entries of another kind.
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

    /// Counts entries without a result as failed, because they are not known to be accepted.
    pub fn close(&mut self) {
        let ended = self.accepted + self.failed + self.invalid + self.duplicates + self.skipped;
        let open = self.items.saturating_sub(ended);
        self.failed += open;
        self.failures_omitted += open;
    }
}
