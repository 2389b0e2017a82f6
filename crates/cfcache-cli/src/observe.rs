//! Watches a run: keeps its report, tells its requests, writes what failed.

use core::time::Duration;
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_client::engine::{Reason, Stop};
use cfcache_client::{Error, ErrorCause, Event, Exchange, Observer, Outcome, Recording, Summary};
use cfcache_model::envelope::ResponseInfo;
use cfcache_model::plan::Entry;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::{Failure, describe, reason};
use crate::journal::{Point, Writer};
use crate::progress::{Progress, Trouble};
use crate::render::Talk;
use crate::report::{BatchEvent, ItemError, Report};
use crate::session::whole_seconds;
use crate::source::{Chunk, Invalid};

/// Tells each request, where that is asked for (`-v`, `-vv`), and what keeps one from succeeding.
pub(crate) struct Trace<'a>(pub(crate) &'a Talk);

impl Observer for Trace<'_> {
    fn on(&mut self, event: Event<'_>) {
        match &event {
            Event::Exchange(exchange) => trace(self.0, exchange),
            Event::Retrying { .. } => {
                let Some(trouble) = Trouble::of(&event) else { return };
                match self.0.live && self.0.progress {
                    true => self.0.draw(&trouble.line(Instant::now(), self.0.columns() - 1)),
                    false => trouble.note(self.0),
                }
            }
            Event::Warning(warning) => warn_of_success(self.0, warning),
            _ => {}
        }
    }
}

/// Tells what the API reports beside its success, once, and under `--quiet` too.
fn warn_of_success(talk: &Talk, warning: &ResponseInfo) {
    talk.say_once(&format!("{} the API did it, and says: {warning}", talk.label("warning")));
}

/// Tells a request, where that is asked for.
pub(crate) fn trace(talk: &Talk, exchange: &Exchange<'_>) {
    if talk.verbose == 0 {
        return;
    }
    let operation = exchange.operation;
    let attempt = match operation.attempt {
        1 => String::new(),
        attempt => format!(" (try {attempt})"),
    };
    let asked = format!("{} {}{attempt}, {} bytes", exchange.method, exchange.path, exchange.body_bytes);
    let millis = exchange.elapsed.as_secs_f64() * 1e3;
    let answered = match exchange.result {
        Ok(response) => {
            let ray = response.headers().get("cf-ray");
            let ray = ray.map(|ray| format!(", cf-ray {}", shown(exchange, ray, 64))).unwrap_or_default();
            let bytes = response.body().len();
            let status = response.status().as_u16();
            format!("{status}, {bytes} bytes, {millis:.1} ms, {:?}{ray}", response.version())
        }
        Err(error) => format!("{error}, {millis:.1} ms"),
    };
    talk.say(&format!("{asked} -> {answered}"));
    if talk.verbose > 1 {
        headers(talk, exchange, ">", &exchange.headers());
        if let Ok(response) = exchange.result {
            headers(talk, exchange, "<", response.headers());
        }
    }
}

/// Headers, with what is secret blanked: what was marked so, and what the server may set for itself.
fn headers(talk: &Talk, exchange: &Exchange<'_>, direction: &str, headers: &HeaderMap) {
    for (name, value) in headers {
        let is_secret = value.is_sensitive() || name == "set-cookie" || name == "authorization";
        let value = if is_secret { "[secret]".to_owned() } else { shown(exchange, value, 200) };
        let name = exchange.redactor.redact(name.as_str());
        talk.say(&format!("  {direction} {name}: {value}"));
    }
}

/// A header's value fit for a terminal. It is clipped last: the first half of a secret looks like none.
fn shown(exchange: &Exchange<'_>, value: &HeaderValue, limit: usize) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    cfcache_model::text::clip(&exchange.redactor.redact(&text), limit)
}

/// What was found on the way from the input to the run, and is not told yet.
#[derive(Default)]
pub(crate) struct InputFindings {
    pub(crate) invalid: Vec<Invalid>,
    pub(crate) warnings: Vec<(String, String)>,
    /// Why reading ended before the end, where it did.
    pub(crate) broken: Option<Failure>,
    /// Was it read to its end?
    pub(crate) ended: bool,
    /// Why the journal does not have all that was accepted, where that is so.
    pub(crate) unrecorded: Option<String>,
    /// Entries that go to no zone, and why.
    pub(crate) unrouted: Vec<(Entry, String)>,
    /// How far it was read, where a journal wants to know.
    point: Point,
}

impl InputFindings {
    /// Keeps what a chunk holds beside its entries.
    pub(crate) fn keep(&mut self, chunk: Chunk) -> Vec<Entry> {
        self.invalid.extend(chunk.invalid);
        self.warnings.extend(chunk.warnings);
        self.broken = chunk.broken.or(self.broken.take());
        // One that only says why nothing follows was not read up to any point.
        if chunk.point.read > self.point.read {
            self.point = chunk.point;
        }
        chunk.entries
    }
}

/// Watches a run over a list: keeps its report, or one for each zone.
pub(crate) struct RunObserver<'a> {
    talk: &'a Talk,
    /// What is printed in the end.
    report: Report,
    /// Where entries go to the zones of their hosts: a report for each of these zones.
    zones: Vec<Report>,
    /// When the last batch of each ended.
    ended: Vec<Duration>,
    started: Instant,
    progress: Rc<RefCell<Progress>>,
    found: Rc<RefCell<InputFindings>>,
    failed_to: Option<FailedTo>,
    journal: Option<Writer>,
    /// Told when the limits are waited for the first time.
    paced: Option<Rc<Notify>>,
    /// The way to end that the failures so far ask for.
    exit: Exit,
    /// The first failure of each zone and way to end is told at once.
    told: Vec<(usize, Exit)>,
    interrupted: bool,
    warnings: u64,
    unrouted: u64,
    /// Entries that were read and never came to a run: all of them failed.
    unsent: u64,
}

/// How many warnings, and how many failures, are told one by one.
const TOLD: u64 = 20;

impl<'a> RunObserver<'a> {
    pub(crate) fn new(
        talk: &'a Talk,
        report: Report,
        progress: Rc<RefCell<Progress>>,
        found: Rc<RefCell<InputFindings>>,
        logs: Logs,
    ) -> Self {
        Self {
            talk,
            report,
            zones: Vec::new(),
            ended: Vec::new(),
            started: Instant::now(),
            progress,
            found,
            failed_to: logs.failed_to,
            journal: logs.journal,
            paced: None,
            exit: Exit::Accepted,
            told: Vec::new(),
            interrupted: false,
            warnings: 0,
            unrouted: 0,
            unsent: 0,
        }
    }

    /// Keeps a report for each scope of the run as well.
    pub(crate) fn with_zones(mut self, zones: Vec<Report>) -> Self {
        self.ended = vec![Duration::ZERO; zones.len()];
        self.zones = zones;
        self
    }

    /// Notifies when the limits are waited for the first time.
    pub(crate) fn with_paced(mut self, paced: Rc<Notify>) -> Self {
        self.paced = Some(paced);
        self
    }

    /// Tells what was found in the input.
    pub(crate) fn notice(&mut self) {
        let (warnings, invalid, unrouted) = {
            let found = &mut *self.found.borrow_mut();
            let (warnings, invalid) = (&mut found.warnings, &mut found.invalid);
            if warnings.is_empty() && invalid.is_empty() && found.unrouted.is_empty() {
                return;
            }
            (core::mem::take(warnings), core::mem::take(invalid), core::mem::take(&mut found.unrouted))
        };
        for (origin, warning) in warnings {
            self.warning(&origin, &warning);
        }
        for invalid in invalid {
            self.invalid(&invalid);
        }
        for (entry, why) in unrouted {
            self.record_unrouted(&entry, why);
        }
    }

    /// An entry was refused before it was sent.
    fn invalid(&mut self, invalid: &Invalid) {
        self.report.invalid += 1;
        let error = ItemError::new(None, invalid.reason.clone());
        self.report.refuse(&invalid.given, &error);
        self.keep(&invalid.given, invalid.is_whole);
        if self.report.invalid <= TOLD {
            self.talk.say(&format!("{} {}", self.talk.label("invalid"), invalid.describe()));
            self.talk.remember(&invalid.reason);
        } else if self.report.invalid == TOLD + 1 {
            self.talk.say("… more entries are invalid; `--failed-to FILE` names them all");
        }
    }

    /// An entry was read and is not sent: it failed.
    pub(crate) fn record_unsent(&mut self, entry: &Entry, error: &ItemError) {
        self.unsent += 1;
        self.progress.borrow_mut().add_failed(1);
        let given = entry.given();
        self.report.fail(&given, error);
        self.keep(&given, true);
    }

    /// The host of an entry is on no zone that is known: it failed.
    fn record_unrouted(&mut self, entry: &Entry, why: String) {
        self.unrouted += 1;
        if self.unrouted <= TOLD {
            let given = cfcache_model::text::clip(&entry.given(), 200);
            self.talk.failure(&Failure::new(Exit::Failed, format!("{given}: {why}")));
            self.talk.remember(&why);
        } else if self.unrouted == TOLD + 1 {
            self.talk.say("… more entries are on no zone that is known; `--failed-to FILE` names them all");
        }
        self.record_unsent(entry, &ItemError::new(None, why));
    }

    fn warning(&mut self, origin: &str, warning: &str) {
        self.warnings += 1;
        // With `--quiet` too: what is sent with a warning is probably a mistake.
        if self.warnings <= TOLD {
            self.talk.say(&format!("{} {origin}: {warning}", self.talk.label("warning")));
        } else if self.warnings == TOLD + 1 {
            self.talk.say(&format!(
                "{} … and more of this kind, which are not shown; the report counts them",
                self.talk.label("warning")
            ));
        }
    }

    /// The report of a scope: its zone's, where there is one for each zone.
    fn report_of(&mut self, scope: usize) -> &mut Report {
        if self.zones.is_empty() { &mut self.report } else { &mut self.zones[scope] }
    }

    fn ended(&mut self, outcome: &Outcome<'_>) {
        if let Some(ended) = self.ended.get_mut(outcome.scope) {
            *ended = self.started.elapsed();
        }
        let item_error = outcome.result.err().map(|error| self.failed(outcome, error));
        if self.talk.output == OutputArg::Ndjson {
            let talk = self.talk;
            talk.json(&BatchEvent {
                event: "batch",
                batch: outcome.number,
                items: outcome.batch.len() as u64,
                accepted: item_error.is_none(),
                attempts: outcome.attempts,
                elapsed_ms: millis(outcome.elapsed),
                error: item_error.as_ref(),
                zone: self.report_of(outcome.scope).zone.as_deref(),
            });
        }
    }

    fn failed(&mut self, outcome: &Outcome<'_>, error: &Error) -> ItemError {
        // Whoever does not wait for what is in flight wanted it so: that is no trouble with the network.
        let exit = if self.interrupted { Exit::Interrupted } else { Exit::from(error.kind()) };
        self.exit = self.exit.or(exit);
        let code = error.failure().map(|failure| failure.code());
        let url = error.failure().and_then(|failure| failure.documentation_url());
        let item_error =
            ItemError::new(code, describe(error)).with_reason(reason(error)).with_documentation_url(url);
        for entry in outcome.batch.entries() {
            let given = entry.given();
            self.report_of(outcome.scope).fail(&given, &item_error);
            self.keep(&given, true);
        }
        if let ErrorCause::Unrecorded(source) = &error.cause {
            self.found.borrow_mut().unrecorded.get_or_insert_with(|| source.to_string());
        }
        // Of each sort the first is told at once; a person who watches need not wait for the end.
        let told = (outcome.scope, exit);
        if !self.told.contains(&told) && exit != Exit::Interrupted {
            self.told.push(told);
            let what = outcome.batch.kind().count(outcome.batch.len() as u64);
            self.talk.failure(&Failure::of(error, format!("a request for {what} failed")));
        }
        item_error
    }

    fn keep(&mut self, given: &str, is_whole: bool) {
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.write(given, is_whole)
        {
            let failure = failed_to.failure(&error);
            self.failed_to = None;
            self.exit = self.exit.or(self.talk.failure(&failure));
        }
    }

    /// The run is over: the report of it, and how the process ends. There is a summary for each scope.
    pub(crate) fn finish(mut self, summaries: &[Summary]) -> (Report, Exit) {
        self.notice();
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.out.borrow_mut().flush()
        {
            let failure = failed_to.failure(&error);
            self.exit = self.exit.or(self.talk.failure(&failure));
        }
        self.talk.clear();
        let report = &mut self.report;
        report.items = report.invalid + self.unsent;
        report.failed = self.unsent;
        report.warnings = self.warnings;
        if self.zones.is_empty() {
            summaries.iter().for_each(|summary| add(report, summary));
        }
        for ((mut zone, summary), ended) in
            core::mem::take(&mut self.zones).into_iter().zip(summaries).zip(&self.ended)
        {
            add(&mut zone, summary);
            zone.elapsed_ms = millis(*ended);
            zone.close();
            if zone.items > 0 {
                report.add(zone);
            }
        }
        report.elapsed_ms = millis(self.started.elapsed());
        report.close();
        if report.failed > 0 {
            self.exit = self.exit.or(Exit::Failed);
        }
        if report.invalid > 0 {
            self.exit = self.exit.or(Exit::Usage);
        }
        (self.report, self.exit)
    }

    /// What is left to be written of the journal is written, or nobody waits for it.
    pub(crate) async fn close_journal(&mut self) {
        let Some(journal) = self.journal.take() else { return };
        // What was accepted is recorded already; this is how far the input was read, which the next run can do without.
        if let Err(error) = journal.flush().await {
            self.talk.note(&error.to_string());
        }
    }
}

/// Adds what a scope came to.
fn add(report: &mut Report, summary: &Summary) {
    report.items += summary.items;
    report.accepted += summary.accepted;
    report.failed += summary.failed;
    report.duplicates += summary.duplicates;
    report.skipped += summary.skipped;
    report.requests += summary.requests;
    report.retries += summary.retries;
    report.rate_limited += summary.rate_limited;
    report.warnings += summary.warnings;
}

impl Observer for RunObserver<'_> {
    fn on(&mut self, event: Event<'_>) {
        self.notice();
        match &event {
            Event::Read { .. } => {
                let point = self.found.borrow().point;
                if let Some(journal) = &mut self.journal {
                    journal.read(point);
                }
            }
            Event::Paced { .. } => {
                if let Some(paced) = &self.paced {
                    paced.notify_one();
                }
            }
            Event::Exchange(exchange) => trace(self.talk, exchange),
            Event::Warning(warning) => warn_of_success(self.talk, warning),
            Event::Retrying { .. } if !(self.talk.live && self.talk.progress) => {
                if let Some(trouble) = Trouble::of(&event) {
                    trouble.note(self.talk);
                }
            }
            Event::Waiting { wait, reason: Reason::Quota } if *wait >= NOTED_WAIT => {
                let why = "the quota that the API states is used up";
                let line = format!("{why}, continues in {} s", whole_seconds(*wait));
                self.talk.note_trouble(why, &line);
            }
            Event::Ended(outcome) => self.ended(outcome),
            Event::Stopped { scope, stop } => {
                self.interrupted |= *stop == Stop::Interrupted;
                let in_flight = self.progress.borrow().in_flight();
                let zone = scope.filter(|_| self.zones.len() > 1);
                let zone = zone.and_then(|scope| self.zones.get(scope)?.zone.as_deref());
                self.exit = self.exit.or(stopped(self.talk, *stop, in_flight, zone));
            }
            _ => {}
        }
        self.progress.borrow_mut().on(&event);
    }

    fn record(&mut self, outcome: &Outcome<'_>) -> Option<Recording> {
        let journal = self.journal.as_mut().filter(|_| outcome.result.is_ok())?;
        let entries = outcome.batch.entries();
        let (first, last) = (entries.first()?, entries.last()?);
        // What lies between the first and the last of a batch and is not in it is a duplicate, or was accepted before.
        let range = first.ordinal..last.ordinal + 1;
        let point = self.found.borrow().point;
        Some(journal.accepted(&range, point))
    }
}

/// A wait of this length for the stated quota is told even where there is no progress to show it.
const NOTED_WAIT: Duration = Duration::from_secs(5);

/// The files that a run writes.
pub(crate) struct Logs {
    pub(crate) failed_to: Option<FailedTo>,
    pub(crate) journal: Option<Writer>,
}

/// What Ctrl-C is answered with while something is in flight.
pub(crate) const WAITING: &str = "interrupted: waiting for what is in flight; Ctrl-C again does not wait";

/// Says why a run ends before its time; on which zone, where others go on.
fn stopped(talk: &Talk, stop: Stop, in_flight: usize, zone: Option<&str>) -> Exit {
    let place = zone.map(|zone| format!(" to zone {zone}")).unwrap_or_default();
    let (exit, why) = match stop {
        Stop::Interrupted if in_flight == 0 => (Exit::Interrupted, "interrupted".to_owned()),
        Stop::Interrupted => (Exit::Interrupted, WAITING.to_owned()),
        Stop::WaitTooLong { demanded } => (
            Exit::RateLimited,
            format!(
                "the API demands a wait of {} s, which is more than `--max-wait` grants; nothing more is sent{place}",
                demanded.as_secs(),
            ),
        ),
        Stop::Credentials => {
            (Exit::Credentials, format!("the credentials are refused; nothing more is sent{place}"))
        }
        Stop::Observer => (
            Exit::Failed,
            "what is accepted can no longer be recorded in the journal; nothing more is sent".to_owned(),
        ),
        Stop::SameRefusal => (
            Exit::Failed,
            format!(
                "so many requests in a row are refused for the same reason that nothing more is sent{place}"
            ),
        ),
        _ => (Exit::Unreachable, format!("so many tries failed in a row that nothing more is sent{place}")),
    };
    // An interrupt stops each of the runs side by side.
    talk.say_once(&why);
    exit
}

/// Where failed and invalid entries go, in the format that they came in. Clones write to the same file.
#[derive(Clone)]
pub(crate) struct FailedTo {
    name: String,
    out: Rc<RefCell<BufWriter<File>>>,
}

impl FailedTo {
    /// Finds what would be regretted later, before anything is written.
    ///
    /// # Errors
    ///
    /// Where the file is read as input, or is standard output.
    pub(crate) fn check(path: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
        if path == Path::new("-") {
            return Err(Failure::usage("`--failed-to` takes a file: standard output is for results"));
        }
        match crate::source::reads(inputs, path) {
            true => Err(Failure::usage("`--failed-to` names a file that is read as input")),
            false => Ok(()),
        }
    }

    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Ok(Self { name, out: Rc::new(RefCell::new(BufWriter::new(file))) }),
            Err(error) => Err(Failure::usage(format!("cannot write `{name}`: {error}"))),
        }
    }

    /// Writes an entry so that reading the file gives it again. What no line can hold (an argument with a line break, a
    /// line that was too long or no text) becomes a comment: it is not to come back as something else.
    fn write(&mut self, given: &str, is_whole: bool) -> std::io::Result<()> {
        let mut out = self.out.borrow_mut();
        let reads_back =
            is_whole && !given.contains('\n') && !given.ends_with('\r') && !given.trim_ascii().is_empty();
        if reads_back && !given.starts_with(['#', '\u{feff}']) {
            writeln!(out, "{given}")
        } else {
            writeln!(out, "# cannot be an entry of a list: {}", given.escape_debug())
        }
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("cannot write `{}`: {error}", self.name))
            .with_hint("its list is not complete; `--json` names up to 1000 of them")
    }
}

pub(crate) fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
