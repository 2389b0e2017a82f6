//! `warm`

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use cfcache_model::text::clip;
use cfcache_probe::{Target, Variant, WarmFailure, Warmed};
use serde::Serialize;
use serde_json::json;

use crate::args::OutputArg;
use crate::command::Interrupts;
use crate::command::visiting::{Meter, Urls, draw, nothing, visited};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};
use crate::report::MAX_FAILURES;
use crate::resolve::VisitJob;
use crate::source::Sources;

/// How many rows of a table are shown.
const ROWS: usize = 20;

/// Fetches each URL, and reports.
pub(crate) async fn run(job: VisitJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    let sources = Sources::open(job.targets, false, talk)?;
    let requests = sources.total().map(|total| total * job.variants.len() as u64);
    let meter = RefCell::new(Meter::new("request", "fetched", requests));
    let (exit, read) = (Cell::new(Exit::Accepted), Cell::new(0));
    let urls = Urls::read(sources, talk, &exit, &read);
    let visitor = Arc::new(job.visitor.build());
    let mut report = WarmReport::default();
    let mut emit = |target: &Target, variant: Variant, warmed: &Warmed| {
        meter.borrow_mut().count(!matches!(warmed, Warmed::Failed(_) | Warmed::NotCertified(_)));
        report.count(target, variant, warmed);
    };
    let stop = interrupts.nth(1);
    let (limits, certify) = (job.limits, job.certify);
    let warming = cfcache_probe::warm(&visitor, limits, certify, &job.variants, urls, &mut emit, stop);
    let is_whole = tokio::select! {
        is_whole = warming => is_whole,
        () = draw(&meter, talk) => false,
    };
    talk.clear();
    report.elapsed_ms = u64::try_from(meter.borrow().elapsed().as_millis()).unwrap_or(u64::MAX);
    if report.requested == 0 && is_whole && exit.get() == Exit::Accepted {
        return Err(nothing());
    }
    report.print(talk);
    let exit = exit.get().or(report.exit());
    if !is_whole {
        talk.say("interrupted: what was not read of the input is not part of this report");
        return Ok(exit.or(Exit::Interrupted));
    }
    Ok(exit)
}

/// Shows what would be fetched.
pub(crate) fn dry_run(job: VisitJob, talk: &Talk) -> Result<Exit, Failure> {
    let sources = Sources::open(job.targets, false, talk)?;
    let (mut exit, mut shown) = (Exit::Accepted, 0);
    sources.read(&mut |chunk| {
        exit = exit.or(chunk.tell(talk));
        for target in chunk.entries.iter().filter_map(visited) {
            for variant in &job.variants {
                talk.json(&json!({"method": "GET", "url": target.url, "as": variant.to_string()}));
                shown += 1;
            }
        }
        !talk.is_closed()
    });
    if shown == 0 && exit == Exit::Accepted {
        return Err(nothing());
    }
    Ok(exit)
}

/// What warming came to: `warmed + uncertified + skipped + failed == requested`, always.
#[derive(Debug, Default, Serialize)]
pub(crate) struct WarmReport {
    /// URLs, times the visitors that they were fetched as.
    pub(crate) requested: u64,
    pub(crate) warmed: u64,
    /// Fetched, and not HIT when asked again.
    pub(crate) uncertified: u64,
    /// Fetched, and not cached.
    pub(crate) skipped: u64,
    pub(crate) failed: u64,
    /// How many were skipped for which reason.
    pub(crate) skipped_reasons: BTreeMap<String, u64>,
    pub(crate) failures: Vec<WarmItem>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) failures_omitted: u64,
    pub(crate) elapsed_ms: u64,
    /// How many failures there are of each sort.
    #[serde(skip)]
    reasons: BTreeMap<String, u64>,
    #[serde(skip)]
    unanswered: u64,
    #[serde(skip)]
    unsent: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A request that is not as wanted.
#[derive(Debug, Serialize)]
pub(crate) struct WarmItem {
    url: String,
    /// As whom it was fetched.
    #[serde(rename = "as")]
    variant: String,
    reason: String,
}

impl WarmReport {
    pub(crate) fn count(&mut self, target: &Target, variant: Variant, warmed: &Warmed) {
        self.requested += 1;
        match warmed {
            Warmed::Warm(_) => self.warmed += 1,
            Warmed::Skipped(why) => {
                self.skipped += 1;
                *self.skipped_reasons.entry(why.to_string()).or_default() += 1;
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

    pub(crate) fn exit(&self) -> Exit {
        let bad = self.failed + self.uncertified - self.unsent;
        if bad == 0 {
            Exit::Accepted
        } else if self.unanswered == self.requested - self.unsent {
            Exit::Unreachable
        } else {
            Exit::Failed
        }
    }

    pub(crate) fn print(&self, talk: &Talk) {
        match talk.output {
            OutputArg::Human => self.tell(talk),
            OutputArg::Json | OutputArg::Ndjson => talk.json(self),
        }
    }

    /// Tells it in words.
    pub(crate) fn tell(&self, talk: &Talk) {
        let elapsed = human::duration(Duration::from_millis(self.elapsed_ms));
        let mut line =
            format!("warmed {} of {} in {elapsed}", self.warmed, human::count(self.requested, "request"));
        for (count, word) in [
            (self.uncertified, "not HIT when asked again"),
            (self.skipped, "not cached"),
            (self.failed, "failed"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {word}"));
            }
        }
        talk.tell(&line);
        for (reason, count) in &self.skipped_reasons {
            talk.note(&format!("{}: {reason}", human::count(*count, "request")));
        }
        self.tell_failures(talk);
    }

    fn tell_failures(&self, talk: &Talk) {
        let mut left = ROWS;
        for (reason, count) in &self.reasons {
            talk.say(&format!("{}: {}", human::count(*count, "request"), clip(reason, 300)));
            let alike: Vec<&WarmItem> =
                self.failures.iter().filter(|item| item.reason == *reason).take(left).collect();
            for item in &alike {
                let whom =
                    if item.variant == "plain" { String::new() } else { format!(" as {}", item.variant) };
                talk.say(&format!("  {}{whom}", clip(&item.url, 300)));
            }
            left -= alike.len();
        }
        let shown = (ROWS - left) as u64;
        let all = self.failed + self.uncertified;
        if all > shown {
            talk.say(&format!("… and {} more", all - shown));
        }
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
