//! What visitors got after a purge, in the words of the contract.

use core::time::Duration;
use std::collections::BTreeMap;

use cfcache_probe::{Decided, Target, Unproven, Variant, Verdict, WarmFailure, Warmed};
use serde::Serialize;

use crate::exit::Exit;
use crate::report::MAX_FAILURES;

/// How many URLs of one reason are kept for a table.
pub const ROWS: usize = 20;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What visitors got after a purge: `proven + refilled + not_cached`, the survivors and the unproven are `probed`.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "verify", deny_unknown_fields)
)]
pub struct VerifyReport {
    /// URLs that were verified.
    pub probed: u64,
    /// URLs that were purged and could have been verified; left out if all of them were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "u64"))]
    pub sample_of: Option<u64>,
    /// URLs that were not asked, because an earlier run verified them, as the journal says; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub skipped: u64,
    /// URLs of which the old copy is gone.
    pub proven: u64,
    /// URLs that are cached again, by copies that are younger than the purge.
    pub refilled: u64,
    /// URLs that are not cached, so that there is nothing to prove.
    pub not_cached: u64,
    /// URLs of which the old copy is still served; at most 1000.
    pub survivors: Vec<SurvivingUrl>,
    /// URLs of which it cannot be told; at most 1000.
    pub unproven: Vec<UnprovenUrl>,
    /// How many more survivors and unproven URLs there are; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub omitted: u64,
    /// URLs that were purged again.
    pub repurged: u64,
    /// The data centres that answered.
    pub colos: Vec<String>,
    /// How many survivors and unproven URLs there are, named or not.
    #[serde(skip)]
    pub open: u64,
    /// What is not proven, by its reason.
    #[serde(skip)]
    pub groups: BTreeMap<String, Group>,
    /// Redirects: from where, and to where.
    #[serde(skip)]
    pub redirects: Vec<(String, String)>,
}

/// A URL of which the old copy is still served.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "survivor", deny_unknown_fields)
)]
pub struct SurvivingUrl {
    /// The URL.
    pub url: String,
    /// How it shows, in words.
    pub reason: String,
    /// Entries of `files` for what visitors were seen to be served from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub purge_with: Vec<PurgeEntry>,
    /// Its place in the input.
    #[serde(skip)]
    place: usize,
}

/// A URL of which it cannot be told.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "unproven", deny_unknown_fields)
)]
pub struct UnprovenUrl {
    /// The URL.
    pub url: String,
    /// Why, in words.
    pub reason: String,
    /// Its place in the input.
    #[serde(skip)]
    place: usize,
}

/// URLs that are not proven for the same reason.
#[derive(Debug, Default)]
pub struct Group {
    /// How many there are.
    pub count: u64,
    /// What to do about it.
    pub cure: Option<&'static str>,
    /// The first of them in the order of the input, and what would purge them.
    pub urls: BTreeMap<usize, (String, Vec<PurgeEntry>)>,
}

impl VerifyReport {
    /// Adds a URL that has its verdict.
    pub fn add(&mut self, url: &str, decided: &Decided) {
        self.probed += 1;
        self.repurged += u64::from(decided.is_repurged);
        match self.settled(&decided.verdict) {
            Some(count) => *count += 1,
            None => self.name(decided.url, url, &decided.verdict, &decided.still_served),
        }
    }

    /// Puts what is named into the order of the input.
    pub fn sort(&mut self) {
        self.survivors.sort_by_key(|url| url.place);
        self.unproven.sort_by_key(|url| url.place);
    }

    /// Overrules a verdict that was settled.
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
        // How old each copy is tells them apart, and not what to do.
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
            self.survivors.push(SurvivingUrl { url, reason, purge_with, place });
        } else {
            self.unproven.push(UnprovenUrl { url, reason, place });
        }
    }

    /// Returns how the process ends.
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
    /// The headers that its cache key was made from; left out if there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl PurgeEntry {
    /// The entry that purges what was served so.
    fn from_variant(variant: Variant, url: &str) -> Option<Self> {
        let entry = variant.entry(url)?;
        let headers = entry.header.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Some(Self { url: entry.url, headers })
    }
}

/// What warming came to: `warmed + uncertified + skipped + failed == requested`, always.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "warm", deny_unknown_fields))]
pub struct WarmReport {
    /// URLs, times the visitors that they were fetched as.
    pub requested: u64,
    /// Fetched, and may be cached.
    pub warmed: u64,
    /// Fetched, and not HIT when asked again.
    pub uncertified: u64,
    /// Fetched, and not cached.
    pub skipped: u64,
    /// Not fetched.
    pub failed: u64,
    /// How many were skipped for which reason.
    pub skipped_reasons: BTreeMap<String, u64>,
    /// The requests that failed or are uncertified; at most 1000.
    pub failures: Vec<WarmItem>,
    /// How many more there are; left out if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub failures_omitted: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// How many failures there are of each sort.
    #[serde(skip)]
    pub reasons: BTreeMap<String, u64>,
    /// Whether some of the URLs may not be served: the forms of a file's URL.
    #[serde(skip)]
    pub may_be_missing: bool,
    /// Whether it was interrupted: what was not read of the input is not part of this.
    #[serde(skip)]
    pub is_interrupted: bool,
    /// How the process ends for what was found in the input.
    #[serde(skip)]
    pub input: Exit,
    #[serde(skip)]
    unanswered: u64,
    #[serde(skip)]
    unsent: u64,
}

/// A request that is not as wanted.
#[derive(Debug, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "warm_failure", deny_unknown_fields)
)]
pub struct WarmItem {
    /// The URL.
    pub url: String,
    /// As whom it was fetched.
    #[serde(rename = "as")]
    pub variant: String,
    /// Why, in words.
    pub reason: String,
}

impl WarmReport {
    /// Counts a request.
    pub fn count(&mut self, target: &Target, variant: Variant, warmed: &Warmed) {
        self.requested += 1;
        match warmed {
            Warmed::Warm(_) => self.warmed += 1,
            Warmed::Skipped(why) => {
                self.skipped += 1;
                *self.skipped_reasons.entry(why.to_string()).or_default() += 1;
            }
            Warmed::Failed(WarmFailure::Status(404 | 410)) if self.may_be_missing => {
                self.skipped += 1;
                *self.skipped_reasons.entry("nothing is served there (404)".to_owned()).or_default() += 1;
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

    /// So many requests were given up before they were begun.
    pub fn not_begun(&mut self, requests: u64) {
        self.requested += requests;
        self.failed += requests;
        self.unsent += requests;
        self.failures_omitted += requests;
    }

    /// Says how long it took.
    pub fn took(&mut self, elapsed: Duration) {
        self.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    }

    fn name(&mut self, target: &Target, variant: Variant, warmed: &Warmed) {
        let reason = warmed.to_string();
        // What is about one host only is the same for all of its URLs; a bound holds for the rest.
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

    /// Returns how the process ends.
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
    fn the_sum_holds_and_the_exit_follows_from_it() {
        let target = Target::new("https://a.test/");
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
