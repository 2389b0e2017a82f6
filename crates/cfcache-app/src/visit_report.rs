//! The report of what visitors got after a purge, as the contract defines it.

use core::time::Duration;
use std::collections::BTreeMap;

use cfcache_model::target::Target;
use cfcache_probe::{Decided, Unproven, Variant, Verdict, VisitRequest, WarmFailure, Warmed};
use serde::Serialize;

use crate::exit::Exit;
use crate::report::MAX_FAILURES;

/// The number of URLs per reason that are kept for the table.
pub const ROWS: usize = 20;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What visitors got after a purge: `probed` is the sum of `proven`, `refilled`, `not_cached`, the survivors and the unproven.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "verify", deny_unknown_fields)
)]
pub struct VerifyReport {
    /// URLs that were checked.
    pub probed: u64,
    /// URLs that were purged and could have been checked; omitted if all of them were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "u64"))]
    pub sample_of: Option<u64>,
    /// URLs that were not checked because the journal says that an earlier run verified them; omitted if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub skipped: u64,
    /// URLs whose old copy is gone.
    pub proven: u64,
    /// URLs that were cached again after the purge.
    pub refilled: u64,
    /// URLs that are not cached, so there is nothing to prove.
    pub not_cached: u64,
    /// URLs whose old copy is still served; at most 1000.
    pub survivors: Vec<UnsettledUrl>,
    /// URLs for which the responses prove nothing; at most 1000.
    pub unproven: Vec<UnsettledUrl>,
    /// How many more survivors and unproven URLs there are; omitted if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub omitted: u64,
    /// URLs that were purged again.
    pub repurged: u64,
    /// The data centers that responded.
    pub colos: Vec<String>,
    /// The number of survivors and unproven URLs, listed or not.
    #[serde(skip)]
    pub open: u64,
    /// The survivors and unproven URLs by reason.
    #[serde(skip)]
    pub groups: BTreeMap<String, Group>,
    /// Redirects: source and target.
    #[serde(skip)]
    pub redirects: Vec<(String, String)>,
    /// Whether the verification was completed.
    #[serde(skip)]
    pub is_whole: bool,
    /// The entries of a deployment that are not proven.
    #[serde(skip)]
    pub unproven_entries: Vec<Target>,
    /// Whether the origin served something other than the deployed files.
    #[serde(skip)]
    pub is_origin_late: bool,
    /// Whether warming skips the URL of each number; a missing element means `false`.
    #[serde(skip)]
    pub warming_skips: Vec<bool>,
}

/// A URL that is not proven: its old copy is still served, or the responses prove nothing.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "unsettled", deny_unknown_fields)
)]
pub struct UnsettledUrl {
    /// The URL.
    pub url: String,
    /// The evidence for the old copy, or why the responses prove nothing, in words.
    pub reason: String,
    /// Of a survivor: entries of `files` that purge the variants in which the old copy is still served; omitted if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub purge_with: Vec<PurgeEntry>,
    /// Its index in the input.
    #[serde(skip)]
    place: usize,
}

/// Survivors or unproven URLs with the same reason.
#[derive(Debug, Default)]
pub struct Group {
    /// The number of URLs.
    pub count: u64,
    /// What to do about it.
    pub cure: Option<&'static str>,
    /// The first URLs in the order of the input, and the entries that would purge them.
    pub urls: BTreeMap<usize, (String, Vec<PurgeEntry>)>,
}

impl VerifyReport {
    /// Adds a URL with its verdict.
    pub fn add(&mut self, url: &str, decided: &Decided) {
        self.probed += 1;
        self.repurged += u64::from(decided.is_repurged);
        match self.settled(&decided.verdict) {
            Some(count) => *count += 1,
            None => self.name(decided.url, url, &decided.verdict, &decided.still_served),
        }
    }

    /// Sorts the listed URLs in the order of the input.
    pub fn sort(&mut self) {
        self.survivors.sort_by_key(|url| url.place);
        self.unproven.sort_by_key(|url| url.place);
    }

    /// Replaces a verdict.
    pub fn refute(&mut self, place: usize, url: &str, was: &Verdict, why: Unproven) {
        if let Some(count) = self.settled(was) {
            *count -= 1;
            self.name(place, url, &Verdict::Unproven(why), &[]);
        }
    }

    const fn settled(&mut self, verdict: &Verdict) -> Option<&mut u64> {
        match verdict {
            Verdict::Proven => Some(&mut self.proven),
            Verdict::Refilled => Some(&mut self.refilled),
            Verdict::NotCached(_) => Some(&mut self.not_cached),
            _ => None,
        }
    }

    fn name(&mut self, place: usize, url: &str, verdict: &Verdict, still: &[Variant]) {
        self.open += 1;
        let is_survivor = matches!(verdict, Verdict::Survivor(_));
        let purge_with: Vec<PurgeEntry> =
            still.iter().filter_map(|variant| PurgeEntry::from_variant(*variant, url)).collect();
        // The age of a copy differs for each URL, but does not change what to do.
        let reason =
            if is_survivor { "the old copy is still served".to_owned() } else { verdict.to_string() };
        let group = self.groups.entry(reason).or_default();
        group.count += 1;
        if group.cure.is_none() {
            group.cure = verdict.cure();
        }
        if group.urls.len() < ROWS || group.urls.last_key_value().is_some_and(|(last, _)| place < *last) {
            group.urls.insert(place, (url.to_owned(), purge_with.clone()));
            if group.urls.len() > ROWS {
                group.urls.pop_last();
            }
        }
        let (url, reason) = (url.to_owned(), verdict.to_string());
        if self.survivors.len() + self.unproven.len() >= MAX_FAILURES {
            self.omitted += 1;
        } else if is_survivor {
            self.survivors.push(UnsettledUrl { url, reason, purge_with, place });
        } else {
            self.unproven.push(UnsettledUrl { url, reason, purge_with: Vec::new(), place });
        }
    }

    /// Returns the exit code.
    pub const fn exit(&self) -> Exit {
        if self.open == 0 { Exit::Accepted } else { Exit::Unproven }
    }
}

/// An entry of `files`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "files_entry", deny_unknown_fields)
)]
pub struct PurgeEntry {
    /// The URL.
    pub url: String,
    /// The headers of its cache key; omitted if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl PurgeEntry {
    /// The entry that purges a variant of a URL.
    fn from_variant(variant: Variant, url: &str) -> Option<Self> {
        let entry = variant.entry(url)?;
        let headers = entry.header.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Some(Self { url: entry.url, headers })
    }
}

/// The results of warming: `warmed + uncertified + skipped + failed == requested`, always.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "warm", deny_unknown_fields))]
pub struct WarmReport {
    /// The number of URLs, multiplied by the number of visitors.
    pub requested: u64,
    /// Fetched, and possibly cached.
    pub warmed: u64,
    /// Fetched, but not a HIT when requested again.
    pub uncertified: u64,
    /// Fetched, but not cached.
    pub skipped: u64,
    /// Not fetched.
    pub failed: u64,
    /// The number of skipped requests by reason.
    pub skipped_reasons: BTreeMap<String, u64>,
    /// The requests that failed or are uncertified; at most 1000.
    pub failures: Vec<WarmItem>,
    /// How many more there are; omitted if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub failures_omitted: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The number of failures by reason.
    #[serde(skip)]
    pub reasons: BTreeMap<String, u64>,
    /// Whether some URLs may not be served, because they are forms of a file's URL.
    #[serde(skip)]
    pub may_be_missing: bool,
    /// Whether it was interrupted: entries that were not read are not included.
    #[serde(skip)]
    pub is_interrupted: bool,
    /// The exit code of the findings in the input.
    #[serde(skip)]
    pub input: Exit,
    #[serde(skip)]
    unanswered: u64,
    #[serde(skip)]
    unsent: u64,
}

/// A request that failed or is uncertified.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "warm_failure", deny_unknown_fields)
)]
pub struct WarmItem {
    /// The URL.
    pub url: String,
    /// The visitor as which it was fetched.
    #[serde(rename = "as")]
    pub variant: String,
    /// The reason, in words.
    pub reason: String,
}

impl WarmReport {
    /// Counts a request.
    pub fn count(&mut self, target: &VisitRequest, variant: Variant, warmed: &Warmed) {
        self.requested += 1;
        match warmed {
            Warmed::Warm(_) => self.warmed += 1,
            Warmed::Skipped(why) => {
                self.skipped += 1;
                *self.skipped_reasons.entry(why.to_string()).or_default() += 1;
            }
            Warmed::Failed(WarmFailure::Status(404 | 410)) if self.may_be_missing => {
                self.skipped += 1;
                *self.skipped_reasons.entry("not found (404)".to_owned()).or_default() += 1;
            }
            Warmed::NotCertified(_) => {
                self.uncertified += 1;
                self.name(target, variant, warmed);
            }
            _ => {
                self.failed += 1;
                self.unanswered += u64::from(matches!(warmed, Warmed::Failed(WarmFailure::NoAnswer(_))));
                self.unsent += u64::from(matches!(warmed, Warmed::Failed(WarmFailure::NotSent)));
                self.name(target, variant, warmed);
            }
        }
    }

    /// Counts requests that were never started.
    pub fn not_begun(&mut self, requests: u64) {
        self.requested += requests;
        self.failed += requests;
        self.unsent += requests;
        self.failures_omitted += requests;
    }

    /// Sets the elapsed time.
    pub fn took(&mut self, elapsed: Duration) {
        self.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    }

    fn name(&mut self, target: &VisitRequest, variant: Variant, warmed: &Warmed) {
        let reason = warmed.to_string();
        // Errors of a host are the same for all its URLs; a limit applies to all others.
        if self.reasons.len() < MAX_FAILURES || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason.clone()).or_default() += 1;
        }
        if self.failures.len() < MAX_FAILURES {
            let variant = variant.to_string();
            self.failures.push(WarmItem { url: target.url.clone(), variant, reason });
        } else {
            self.failures_omitted += 1;
        }
    }

    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        let bad = self.failed + self.uncertified - self.unsent;
        let exit = if bad == 0 {
            Exit::Accepted
        } else if self.unanswered == self.requested - self.unsent {
            Exit::Unreachable
        } else {
            Exit::Failed
        };
        let interrupted = if self.is_interrupted { Exit::Interrupted } else { Exit::Accepted };
        exit.or(self.input).or(interrupted)
    }
}

#[cfg(test)]
mod tests {
    use cfcache_probe::{CacheStatus, Skipped};

    use super::*;

    #[test]
    fn warm_counts_add_up_and_determine_the_exit_code() {
        let target = VisitRequest::new("https://a.test/");
        let no_answer = Warmed::Failed(WarmFailure::NoAnswer("refused".to_owned()));
        let all = [
            Warmed::Warm(CacheStatus::Miss),
            Warmed::Skipped(Skipped::Dynamic),
            Warmed::NotCertified(None),
            no_answer.clone(),
            Warmed::Failed(WarmFailure::Status(404)),
        ];
        let report = |all: &[Warmed]| {
            let mut report = WarmReport::default();
            for warmed in all {
                report.count(&target, Variant::Plain, warmed);
            }
            assert_eq!(report.requested, report.warmed + report.uncertified + report.skipped + report.failed);
            report.exit()
        };
        assert_eq!(report(&all), Exit::Failed);
        assert_eq!(report(&all[..2]), Exit::Accepted);
        assert_eq!(report(&[no_answer]), Exit::Unreachable);
    }
}
