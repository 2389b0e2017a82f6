//! Prints the outcome of a run.

use core::time::Duration;

use cfcache_model::target::Kind;
use cfcache_model::text::clip;

use crate::args::OutputArg;
use crate::render::{Terminal, human, visits};
use crate::report::{ItemFailure, Report, SummaryEvent};

/// The maximum number of reasons that are shown, and of entries for each.
const REASONS: usize = 10;
const ITEMS: usize = 5;

/// Prints the outcome of a run.
pub(crate) fn print(report: &Report, terminal: &Terminal) {
    let kind = Kind::ALL.iter().copied().find(|kind| kind.field() == report.kind);
    if let (Some(verify), OutputArg::Json | OutputArg::Ndjson) = (&report.verify, terminal.output) {
        visits::warn_if_none_is_cached(verify, terminal);
    }
    match terminal.output {
        OutputArg::Json => terminal.json(report),
        OutputArg::Ndjson => terminal.json(&SummaryEvent { event: "summary", report }),
        OutputArg::Human => {
            if let Some(sentence) = &report.sentence {
                return terminal.tell(sentence);
            }
            // A line for each zone, and the total below if there are several.
            report.zones.iter().for_each(|zone| terminal.tell(&sentence(zone, kind)));
            if report.zones.len() != 1 {
                terminal.tell(&sentence(report, kind));
            }
            account(report, terminal);
            if let Some(verify) = &report.verify {
                visits::verified(verify, terminal);
            }
            if let Some(warm) = &report.warm {
                visits::warmed(warm, terminal);
            }
        }
    }
}

/// Formats "accepted: purge 2 URLs on zone … (1 request, 12 ms)".
fn sentence(report: &Report, kind: Option<Kind>) -> String {
    let what = |count: u64| match kind {
        None => "everything".to_owned(),
        Some(_) if report.is_mixed => format!("{count} {}", if count == 1 { "entry" } else { "entries" }),
        Some(kind) => kind.count(count),
    };
    let zone = report.zone.as_ref().map(|zone| format!("zone {zone}"));
    let place = match (&report.environment, zone, report.zones.len() as u64) {
        (Some(environment), Some(zone), _) => format!(" on environment {environment} of {zone}"),
        (_, Some(zone), _) => format!(" on {zone}"),
        (_, None, 0) => String::new(),
        (_, None, zones) => format!(" on {}", human::count(zones, "zone")),
    };
    let elapsed = human::duration(Duration::from_millis(report.elapsed_ms));
    let is_done = report.skipped > 0 && report.failed + report.invalid == 0;
    let mut sentence = match report.accepted {
        0 if is_done => format!("nothing left: {}{place}", report.operation),
        0 => format!("nothing accepted: {}{place}", report.operation),
        accepted => format!("accepted: {} {}{place}", report.operation, what(accepted)),
    };
    sentence.push_str(&format!(" ({}, {elapsed})", human::count(report.requests, "request")));
    sentence
}

/// Shows the entries that were not accepted.
fn account(report: &Report, terminal: &Terminal) {
    let mut named = 0;
    for (word, count, is_invalid) in [("failed", report.failed, false), ("invalid", report.invalid, true)] {
        if count > 0 {
            terminal.tell(&format!("{word}: {count}"));
            let those: Vec<&ItemFailure> =
                report.failures.iter().filter(|failure| failure.is_invalid == is_invalid).collect();
            named += name(&those, is_invalid, terminal);
        }
    }
    let hidden = (report.failures.len() - named) as u64 + report.failures_omitted;
    if hidden > 0 {
        terminal.tell(&format!("  … and {hidden} more; `--failed-to FILE` keeps them all"));
    }
    for (word, count) in
        [("duplicates, sent once", report.duplicates), ("skipped, accepted before", report.skipped)]
    {
        if count > 0 {
            terminal.tell(&format!("{word}: {count}"));
        }
    }
}

/// Shows what failed, each reason once with a few of its entries. Reasons that were shown on standard error are
/// repeated only if they distinguish entries.
/// Returns the number of entries that were not shown.
fn name(failures: &[&ItemFailure], is_invalid: bool, terminal: &Terminal) -> usize {
    // The entries that failed for the same reason.
    let mut groups: Vec<Vec<&ItemFailure>> = Vec::new();
    for &failure in failures {
        let is_alike = |group: &Vec<&ItemFailure>| group[0].error.reason() == failure.error.reason();
        match groups.iter().position(is_alike) {
            Some(at) => groups[at].push(failure),
            None if groups.len() < REASONS => groups.push(vec![failure]),
            None => {}
        }
    }
    let is_one = groups.len() == 1;
    let shown = |failure: &ItemFailure| clip(&failure.item, 200);
    let mut named = 0;
    for group in &groups {
        let error = &group[0].error;
        // The reason of an invalid entry names the entry.
        let heading = if !group.iter().any(|failure| terminal.has_told(&failure.error.message)) {
            // With the ray of the first entry.
            Some(error.message.as_str())
        } else if is_one || is_invalid {
            None
        } else {
            Some(error.reason())
        };
        let few = group.iter().take(ITEMS);
        let more = group.len().saturating_sub(ITEMS);
        match (heading, group.as_slice()) {
            // Entries that are not shown are counted with the rest below.
            (None, _) => {
                named += few.len();
                few.for_each(|failure| terminal.data(&format!("  {}", shown(failure))));
                continue;
            }
            (Some(heading), [failure]) => terminal.tell(&format!("  {}: {heading}", shown(failure))),
            (Some(heading), _) => {
                terminal.tell(&format!("  {heading}:"));
                few.for_each(|failure| terminal.data(&format!("    {}", shown(failure))));
                if more > 0 {
                    terminal.data(&format!("    … and {more} more"));
                }
            }
        }
        named += group.len();
    }
    named
}
