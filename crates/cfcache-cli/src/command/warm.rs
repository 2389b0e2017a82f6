//! `warm`

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use cfcache_app::visit_report::WarmReport;
use cfcache_probe::{Target, Variant, Warmed};
use serde_json::json;

use crate::args::OutputArg;
use crate::command::Interrupts;
use crate::command::visiting::{Meter, Urls, draw, nothing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, visits};
use crate::resolve::VisitJob;
use crate::source::Sources;

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
    report.took(meter.borrow().elapsed());
    if report.requested == 0 && is_whole && exit.get() == Exit::Accepted {
        return Err(nothing());
    }
    match talk.output {
        OutputArg::Human => visits::warmed(&report, talk),
        OutputArg::Json | OutputArg::Ndjson => talk.json(&report),
    }
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
        for target in chunk.entries.iter().filter_map(|entry| Target::from_entry(&entry.target)) {
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
