//! Prints what visitors got after a purge.

use core::time::Duration;

use cfcache_app::visit_report::{ROWS, VerifyReport, WarmItem, WarmReport};
use cfcache_model::text::clip;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::render::{Terminal, human};

/// How to send extra headers.
const HEADERS: &str = "`--visitor-headers FILE` sends extra headers";

/// Prints the results of a verification.
pub(crate) fn verified(report: &VerifyReport, terminal: &Terminal) {
    terminal.tell(&sentence(report));
    for (from, to) in &report.redirects {
        terminal.note(&format!(
            "{} redirects to {}: the redirect was purged, but not its target",
            clip(from, 300),
            clip(to, 300)
        ));
    }
    warn_if_none_is_cached(report, terminal);
    let mut left = ROWS;
    for (reason, group) in &report.groups {
        terminal.tell(&format!("  {reason}: {}", human::count(group.count, "URL")));
        for (url, purge_with) in group.urls.values().take(left) {
            terminal.data(&format!("    {}", clip(url, 300)));
            left -= 1;
            if let Some(entry) = purge_with.first().and_then(|entry| serde_json::to_string(entry).ok()) {
                terminal.data(&format!("      purge it as {entry}"));
            }
        }
    }
    let shown = (ROWS - left) as u64;
    if report.open > shown {
        terminal.tell(&format!("  … and {} more", report.open - shown));
    }
    for (reason, group) in &report.groups {
        if let Some(cure) = group.cure {
            let how = if cure.contains("extra header") { format!(" ({HEADERS})") } else { String::new() };
            terminal.hint(&format!("{reason}: {cure}{how}"));
        }
    }
}

/// Warns if the verification had nothing to prove. A program that only sees exit code 0 needs the warning most.
pub(crate) fn warn_if_none_is_cached(report: &VerifyReport, terminal: &Terminal) {
    if report.probed > 0 && report.not_cached == report.probed {
        terminal.warn(
            "none of these URLs is cached, so a purge changes nothing for their visitors: `cfcache probe` \
             says why of each",
        );
    }
}

/// Formats "verified 20 URLs: 18 proven, 1 cached again since, 1 not cached; seen from FRA only".
fn sentence(report: &VerifyReport) -> String {
    let mut line = match report.sample_of {
        Some(all) => format!("verified a sample of {} of {}", report.probed, human::count(all, "URL")),
        None => format!("verified {}", human::count(report.probed, "URL")),
    };
    let parts: Vec<String> = [
        (report.proven, "proven"),
        (report.refilled, "cached again since"),
        (report.not_cached, "not cached"),
        (report.open, "NOT PROVEN"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if !parts.is_empty() {
        line.push_str(&format!(": {}", parts.join(", ")));
    }
    if report.skipped > 0 {
        line.push_str(&format!("; {} verified before", report.skipped));
    }
    if report.repurged > 0 {
        line.push_str(&format!("; {} purged again", report.repurged));
    }
    let colos: Vec<&str> = report.colos.iter().map(String::as_str).collect();
    match colos.as_slice() {
        [] => {}
        [one] => line.push_str(&format!("; seen from {one} only")),
        several => line.push_str(&format!("; seen from {}", several.join(", "))),
    }
    line
}

/// Prints the results of `warm`, and returns the exit code.
pub(crate) fn print_warmed(report: &WarmReport, terminal: &Terminal) -> Exit {
    terminal.clear();
    match terminal.output {
        OutputArg::Human => warmed(report, terminal),
        OutputArg::Json | OutputArg::Ndjson => terminal.json(report),
    }
    if report.is_interrupted {
        terminal.say("interrupted: entries that were not read are not part of this report");
    }
    report.exit()
}

/// Prints the results of warming.
pub(crate) fn warmed(report: &WarmReport, terminal: &Terminal) {
    if report.requested == 0 {
        return terminal.tell("warmed nothing: no URL is both proven and cacheable");
    }
    let elapsed = human::duration(Duration::from_millis(report.elapsed_ms));
    let mut line =
        format!("warmed {} of {} in {elapsed}", report.warmed, human::count(report.requested, "request"));
    for (count, word) in [
        (report.uncertified, "not a HIT when requested again"),
        (report.skipped, "not cached"),
        (report.failed, "failed"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {word}"));
        }
    }
    terminal.tell(&line);
    for (reason, count) in &report.skipped_reasons {
        terminal.note(&format!("{}: {reason}", human::count(*count, "request")));
    }
    tell_failures(report, terminal);
}

fn tell_failures(report: &WarmReport, terminal: &Terminal) {
    let mut left = ROWS;
    for (reason, count) in &report.reasons {
        terminal.say(&format!("{}: {}", human::count(*count, "request"), clip(reason, 300)));
        let alike: Vec<&WarmItem> =
            report.failures.iter().filter(|item| item.reason == *reason).take(left).collect();
        for item in &alike {
            let whom = if item.variant == "plain" { String::new() } else { format!(" as {}", item.variant) };
            terminal.say(&format!("  {}{whom}", clip(&item.url, 300)));
        }
        left -= alike.len();
    }
    let shown = (ROWS - left) as u64;
    let all = report.failed + report.uncertified;
    if all > shown {
        terminal.say(&format!("… and {} more", all - shown));
    }
}
