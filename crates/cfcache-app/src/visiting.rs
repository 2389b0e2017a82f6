//! Probes and warms a list of URLs, with progress.

use core::task::Poll;
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cfcache_client::stream_fn;
use cfcache_probe::{
    Limits, NoAnswer, Obstacle, Variant, Visit, VisitRequest, VisitorAnswer, VisitorBuilder, Warmed,
};
use futures_core::Stream;
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{Targets, WarmJob};
use crate::source::{Chunk, Sources};
use crate::visit_report::WarmReport;
use crate::wording;

/// The maximum number of data centers that are listed.
const COLOS: usize = 20;

/// The number of chunks that are read ahead.
const READ_AHEAD: usize = 2;

/// The results of probing.
pub struct ProbeReport {
    /// How the process ends.
    pub exit: Exit,
    /// The number of URLs that were requested.
    pub asked: u64,
    /// The number of URLs in the input, if they were counted.
    pub total: Option<u64>,
    /// Whether it was interrupted.
    pub is_interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// The number of responses by cache status.
    pub statuses: BTreeMap<String, u64>,
    /// Some of the data centers that responded.
    pub colos: BTreeSet<String>,
    /// The number of responses by obstacle.
    pub obstacles: BTreeMap<Obstacle, u64>,
}

impl ProbeReport {
    fn count(&mut self, visited: &Result<Visit, NoAnswer>) {
        let answer = visited.as_ref().ok().map(|visit| &visit.answer);
        let status = match answer {
            None => "no answer",
            Some(VisitorAnswer { cache_status: Some(status), .. }) => status.as_str(),
            Some(_) => "no cache status",
        };
        *self.statuses.entry(status.to_owned()).or_default() += 1;
        if let Some(colo) = answer.and_then(VisitorAnswer::colo)
            && self.colos.len() < COLOS
        {
            self.colos.insert(colo.to_owned());
        }
        let exit = match answer.map(VisitorAnswer::obstacle) {
            None => Exit::Unreachable,
            Some(Some(obstacle)) => {
                *self.obstacles.entry(obstacle).or_default() += 1;
                Exit::Failed
            }
            Some(None) => Exit::Accepted,
        };
        self.exit = self.exit.or(exit);
    }
}

/// Requests each URL once, and passes the results to the console.
///
/// # Errors
///
/// [`Failure`] if the input cannot be read or contains no URL.
pub async fn probe(
    targets: Targets,
    visitor: VisitorBuilder,
    limits: Limits,
    console: &dyn Console,
) -> Result<ProbeReport, Failure> {
    let sources = Sources::open(targets, false, console)?;
    let total = sources.total();
    let meter = RefCell::new(Meter::new("URL", "asked", total));
    let findings = Cell::new(Exit::Accepted);
    let urls = read(sources, console, &findings);
    let visitor = Arc::new(visitor.build());
    let mut report = ProbeReport {
        exit: Exit::Accepted,
        asked: 0,
        total,
        is_interrupted: false,
        elapsed: Duration::ZERO,
        statuses: BTreeMap::new(),
        colos: BTreeSet::new(),
        obstacles: BTreeMap::new(),
    };
    let closed = Notify::new();
    let mut emit = |target: &VisitRequest, visited: &Result<Visit, NoAnswer>| {
        meter.borrow_mut().count(visited.is_ok());
        report.count(visited);
        console.visited(&target.url, visited);
        if console.is_closed() {
            closed.notify_one();
        }
    };
    let stop = async {
        tokio::select! {
            () = console.interrupted(1) => {}
            () = closed.notified() => {}
        }
    };
    let is_whole = tokio::select! {
        is_whole = cfcache_probe::probe(&visitor, limits, urls, &mut emit, stop) => is_whole,
        () = draw(&meter, console) => false,
    };
    report.exit = report.exit.or(findings.get());
    report.asked = meter.borrow().done;
    report.elapsed = meter.borrow().started.elapsed();
    // A reader that closes the output has read enough.
    if !is_whole && !console.is_closed() {
        report.is_interrupted = true;
        report.exit = report.exit.or(Exit::Interrupted);
    } else if report.asked == 0 && report.exit == Exit::Accepted && !console.is_closed() {
        return Err(nothing());
    }
    Ok(report)
}

/// Downloads each URL completely.
///
/// # Errors
///
/// [`Failure`] if the input cannot be read or contains no URL.
pub async fn warm(
    targets: Targets,
    visitor: VisitorBuilder,
    job: WarmJob,
    console: &dyn Console,
) -> Result<WarmReport, Failure> {
    let sources = Sources::open(targets, false, console)?;
    let requests = sources.total().map(|total| total * job.variants.len() as u64);
    let meter = RefCell::new(Meter::new("request", "fetched", requests));
    let findings = Cell::new(Exit::Accepted);
    let urls = read(sources, console, &findings);
    let visitor = Arc::new(visitor.build());
    let mut report = WarmReport::default();
    let mut emit = |target: &VisitRequest, variant: Variant, warmed: &Warmed| {
        meter.borrow_mut().count(!matches!(warmed, Warmed::Failed(_) | Warmed::NotCertified(_)));
        report.count(target, variant, warmed);
    };
    let stop = console.interrupted(1);
    let warming =
        cfcache_probe::warm(&visitor, job.limits, job.certify, &job.variants, urls, &mut emit, stop);
    let is_whole = tokio::select! {
        is_whole = warming => is_whole,
        () = draw(&meter, console) => false,
    };
    report.took(meter.borrow().started.elapsed());
    if report.requested == 0 && is_whole && findings.get() == Exit::Accepted {
        return Err(nothing());
    }
    report.is_interrupted = !is_whole;
    report.input = findings.get();
    Ok(report)
}

/// Writes the requests of warming to the console, without sending them.
///
/// # Errors
///
/// The same as [`warm`].
pub fn warm_dry_run(targets: Targets, variants: &[Variant], console: &dyn Console) -> Result<Exit, Failure> {
    let sources = Sources::open(targets, false, console)?;
    let (mut exit, mut shown) = (Exit::Accepted, 0);
    sources.read(&mut |chunk| {
        exit = exit.or(chunk.tell(console));
        for target in chunk.entries.iter().filter_map(|entry| VisitRequest::from_target(&entry.target)) {
            for variant in variants {
                let request = json!({"method": "GET", "url": target.url, "as": variant.to_string()});
                console.data(&request.to_string());
                shown += 1;
            }
        }
        !console.is_closed()
    });
    if shown == 0 && exit == Exit::Accepted {
        return Err(nothing());
    }
    Ok(exit)
}

/// The URLs of an input, read in a separate thread, because files and pipes block. `exit` is set to the exit code of
/// the findings in the input.
fn read<'a>(
    sources: Sources,
    console: &'a dyn Console,
    exit: &'a Cell<Exit>,
) -> impl Stream<Item = Vec<VisitRequest>> + Unpin + 'a {
    let (sender, mut chunks) = mpsc::channel::<Chunk>(READ_AHEAD);
    std::thread::spawn(move || sources.read(&mut |chunk| sender.blocking_send(chunk).is_ok()));
    stream_fn(move |context| {
        chunks.poll_recv(context).map(|chunk| {
            chunk.map(|chunk| {
                exit.set(exit.get().or(chunk.tell(console)));
                chunk.entries.iter().filter_map(|entry| VisitRequest::from_target(&entry.target)).collect()
            })
        })
    })
}

/// URLs that are created on demand.
pub(crate) fn pieces(
    mut urls: impl Iterator<Item = VisitRequest> + Unpin,
) -> impl Stream<Item = Vec<VisitRequest>> + Unpin {
    stream_fn(move |_| {
        let piece: Vec<VisitRequest> = urls.by_ref().take(100).collect();
        Poll::Ready((!piece.is_empty()).then_some(piece))
    })
}

/// The failure for an input without URLs.
fn nothing() -> Failure {
    Failure::usage("the input contains no valid URL; nothing was requested")
}

/// How often the progress is shown.
const REDRAW: Duration = Duration::from_millis(125);

/// Before this, the remaining time is not estimated.
const GUESS_AFTER: Duration = Duration::from_secs(3);

/// The progress of a list.
pub struct Meter {
    /// "URL", "request".
    noun: &'static str,
    /// "asked", "fetched".
    verb: &'static str,
    total: Option<u64>,
    done: u64,
    failed: u64,
    started: Instant,
}

impl Meter {
    /// Starts at zero.
    pub fn new(noun: &'static str, verb: &'static str, total: Option<u64>) -> Self {
        Self { noun, verb, total, done: 0, failed: 0, started: Instant::now() }
    }

    /// Counts one.
    pub fn count(&mut self, is_fine: bool) {
        self.done += 1;
        self.failed += u64::from(!is_fine);
    }

    /// Returns the number of items, if they were counted.
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// Returns the number of completed items.
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Returns the elapsed time.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn line(&self, now: Instant) -> String {
        let elapsed = now - self.started;
        let rate = self.done as f64 / elapsed.as_secs_f64().max(0.1);
        let mut line = match self.total {
            Some(total) => format!("{} of {} {}", self.done, wording::count(total, self.noun), self.verb),
            None => format!("{} {}", wording::count(self.done, self.noun), self.verb),
        };
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        line.push_str(&format!(", {}/s", wording::rate(rate)));
        if let Some(total) = self.total
            && elapsed >= GUESS_AFTER
            && rate > 0.0
            && let Ok(left) = Duration::try_from_secs_f64(total.saturating_sub(self.done) as f64 / rate)
        {
            line.push_str(&format!(", {} left", wording::whole(left)));
        }
        line.push_str(&format!(" ({})", wording::whole(elapsed)));
        line
    }
}

/// Draws the progress while it is polled.
pub async fn draw(meter: &RefCell<Meter>, console: &dyn Console) {
    let mut interval = tokio::time::interval(REDRAW);
    loop {
        interval.tick().await;
        let meter = meter.borrow();
        console.progress(&meter.line(Instant::now()), meter.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_estimates_the_time_left_from_the_rate() {
        let mut meter = Meter::new("URL", "asked", Some(1000));
        meter.done = 40;
        meter.failed = 1;
        let line = meter.line(meter.started + Duration::from_secs(4));
        assert_eq!(line, "40 of 1000 URLs asked, 1 failed, 10/s, 96 s left (4 s)");
        meter.total = None;
        let line = meter.line(meter.started + Duration::from_secs(4));
        assert_eq!(line, "40 URLs asked, 1 failed, 10/s (4 s)");
    }
}
