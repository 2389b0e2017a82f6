//! Watches a run: keeps its report, tells its requests, writes what failed.

use core::error::Error as StdError;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_client::engine::Stop;
use cfcache_client::{Error, Event, Exchange, Observer, Outcome, Summary};
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
use crate::source::{Chunk, Invalid};

/// Tells each request, where that is asked for (`-v`, `-vv`), and what keeps one from succeeding.
pub(crate) struct Trace<'a>(pub(crate) &'a Talk);

impl Observer for Trace<'_> {
    fn on(&mut self, event: Event<'_>) {
        match &event {
            Event::Exchange(exchange) => trace(self.0, exchange),
            Event::Again { .. } => {
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
        headers(talk, exchange, ">", exchange.headers);
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
pub(crate) struct Found {
    pub(crate) invalid: Vec<Invalid>,
    pub(crate) warnings: Vec<(String, String)>,
    /// Why reading ended before the end, where it did.
    pub(crate) broken: Option<Failure>,
    /// Was it read to its end?
    pub(crate) ended: bool,
    /// Why the journal does not have all that was accepted, where that is so.
    pub(crate) unrecorded: Option<String>,
    /// How far it was read, where a journal wants to know.
    point: Point,
}

impl Found {
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

    /// Keeps in mind that the journal does not have it all, and gives that in words.
    fn unrecorded(&mut self, journal: &Writer, error: &std::io::Error) -> String {
        let text = format!("cannot write the journal `{}`: {error}", journal.name());
        self.unrecorded.get_or_insert(text).clone()
    }
}

/// Watches a run of targets.
pub(crate) struct Watch<'a> {
    talk: &'a Talk,
    report: Report,
    tally: Summary,
    progress: Rc<RefCell<Progress>>,
    found: Rc<RefCell<Found>>,
    failed_to: Option<FailedTo>,
    journal: Option<Writer>,
    /// What the API accepted, and what is in the journal, and perhaps not yet on the disk.
    pending: VecDeque<Pending>,
    pending_items: u64,
    /// Told when the limits are waited for the first time.
    paced: Option<Rc<Notify>>,
    /// The way to end that the failures so far ask for.
    exit: Exit,
    /// The first failure of each way to end is told at once.
    told: Vec<Exit>,
    interrupted: bool,
    /// Is it one of several runs side by side, each on a zone of its own?
    is_one_of_several: bool,
    warnings: u64,
    homeless: u64,
}

/// How many warnings, and how many failures, are told one by one.
const TOLD: u64 = 20;

impl<'a> Watch<'a> {
    pub(crate) fn new(
        talk: &'a Talk,
        report: Report,
        progress: Rc<RefCell<Progress>>,
        found: Rc<RefCell<Found>>,
        logs: Logs,
    ) -> Self {
        Self {
            talk,
            report,
            tally: Summary::default(),
            progress,
            found,
            failed_to: logs.failed_to,
            journal: logs.journal,
            pending: VecDeque::new(),
            pending_items: 0,
            paced: None,
            exit: Exit::Accepted,
            told: Vec::new(),
            interrupted: false,
            is_one_of_several: false,
            warnings: 0,
            homeless: 0,
        }
    }

    /// Notifies when the limits are waited for the first time.
    pub(crate) fn with_paced(mut self, paced: Rc<Notify>) -> Self {
        self.paced = Some(paced);
        self
    }

    /// Says of which zone it is, where that matters: others go on beside it.
    pub(crate) fn with_others_beside(mut self) -> Self {
        self.is_one_of_several = true;
        self
    }

    /// Tells what was found in the input.
    pub(crate) fn notice(&mut self) {
        let (warnings, invalid) = {
            let mut found = self.found.borrow_mut();
            (core::mem::take(&mut found.warnings), core::mem::take(&mut found.invalid))
        };
        for (origin, warning) in warnings {
            self.warning(&origin, &warning);
        }
        for invalid in invalid {
            self.invalid(&invalid);
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

    /// An entry that no run takes: it failed.
    pub(crate) fn astray(&mut self, entry: &Entry, error: &ItemError) {
        self.tally.items += 1;
        self.tally.failed += 1;
        let given = entry.given();
        self.report.fail(&given, error);
        self.keep(&given, true);
    }

    /// An entry whose host is on no zone that is known: it failed.
    pub(crate) fn homeless(&mut self, entry: &Entry, why: String) {
        self.homeless += 1;
        if self.homeless <= TOLD {
            let given = cfcache_model::text::clip(&entry.given(), 200);
            self.talk.failure(&Failure::new(Exit::Failed, format!("{given}: {why}")));
            self.talk.remember(&why);
        } else if self.homeless == TOLD + 1 {
            self.talk.say("… more entries are on no zone that is known; `--failed-to FILE` names them all");
        }
        self.astray(entry, &ItemError::new(None, why));
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

    fn ended(&mut self, outcome: &Outcome<'_>) {
        let item_error = outcome.result.err().map(|error| self.failed(outcome, error));
        if item_error.is_none() && self.journal.is_some() {
            // Told once it is on the disk.
            return;
        }
        self.tell(&BatchEvent {
            event: "batch",
            batch: outcome.number,
            items: outcome.batch.len() as u64,
            accepted: item_error.is_none(),
            attempts: outcome.attempts,
            elapsed_ms: millis(outcome.elapsed),
            error: item_error.as_ref(),
            zone: self.report.zone.as_deref(),
        });
    }

    fn tell(&self, event: &BatchEvent<'_>) {
        if self.talk.output == OutputArg::Ndjson {
            self.talk.json(event);
        }
    }

    /// What is on the disk by now counts as accepted.
    fn settle(&mut self, durable: u64) {
        while self.pending.front().is_some_and(|first| first.line <= durable)
            && let Some(pending) = self.pending.pop_front()
        {
            self.pending_items -= pending.items;
            self.tell(&pending.event(None, self.report.zone.as_deref()));
        }
    }

    /// Waits until the journal is on the disk. What does not get there failed, though the API accepted it.
    fn close(&mut self) {
        let Some(mut journal) = self.journal.take() else { return };
        let closed = journal.close();
        self.settle(journal.synced());
        let Err(error) = closed else { return };
        let unrecorded = self.found.borrow_mut().unrecorded(&journal, &error);
        if self.pending.is_empty() {
            // What could not even be written has been told.
            return;
        }
        let text =
            format!("accepted by the API, but the journal `{}` cannot be written: {error}", journal.name());
        let item_error = ItemError::new(None, text);
        for pending in core::mem::take(&mut self.pending) {
            self.tally.accepted -= pending.items;
            self.tally.failed += pending.items;
            for given in pending.given.iter() {
                self.report.fail(given, &item_error);
                self.keep(given, true);
            }
            self.tell(&pending.event(Some(&item_error), self.report.zone.as_deref()));
        }
        let failure = Failure::new(Exit::Failed, unrecorded).with_hint(
            "what was accepted and is not in it is sent again by the next run, which does no harm",
        );
        self.exit = self.exit.or(self.talk.failure(&failure));
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
            self.report.fail(&given, &item_error);
            self.keep(&given, true);
        }
        // Of each sort the first is told at once; a person who watches need not wait for the end.
        if !self.told.contains(&exit) && exit != Exit::Interrupted {
            self.told.push(exit);
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

    /// The run is over: the report of it, and how the process ends.
    pub(crate) fn finish(mut self, elapsed: Duration) -> (Report, Exit) {
        self.close();
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.out.borrow_mut().flush()
        {
            let failure = failed_to.failure(&error);
            self.exit = self.exit.or(self.talk.failure(&failure));
        }
        self.talk.clear();
        let (report, tally) = (&mut self.report, self.tally);
        report.items = tally.items + report.invalid;
        report.accepted = tally.accepted;
        report.failed = tally.failed;
        report.duplicates = tally.duplicates;
        report.skipped = tally.skipped;
        report.requests = tally.requests;
        report.retries = tally.retries;
        report.rate_limited = tally.rate_limited;
        report.elapsed_ms = millis(elapsed);
        report.warnings = self.warnings;
        report.close();
        if report.failed > 0 {
            self.exit = self.exit.or(Exit::Failed);
        }
        if report.invalid > 0 {
            self.exit = self.exit.or(Exit::Usage);
        }
        (self.report, self.exit)
    }
}

impl Observer for Watch<'_> {
    fn on(&mut self, event: Event<'_>) {
        self.notice();
        self.tally.count(&event);
        if let Some(journal) = &self.journal {
            let durable = journal.synced();
            self.settle(durable);
        }
        match &event {
            Event::Read { .. } => self.read(),
            Event::Paced { .. } => {
                if let Some(paced) = &self.paced {
                    paced.notify_one();
                }
            }
            Event::Exchange(exchange) => trace(self.talk, exchange),
            Event::Warning(warning) => {
                self.warnings += 1;
                warn_of_success(self.talk, warning);
            }
            Event::Again { .. } if !(self.talk.live && self.talk.progress) => {
                if let Some(trouble) = Trouble::of(&event) {
                    trouble.note(self.talk);
                }
            }
            Event::Ended(outcome) => self.ended(outcome),
            Event::Stopped(stop) => {
                self.interrupted |= *stop == Stop::Interrupted;
                let in_flight = self.progress.borrow().in_flight();
                let zone = self.report.zone.as_deref().filter(|_| self.is_one_of_several);
                self.exit = self.exit.or(stopped(self.talk, *stop, in_flight, zone));
            }
            _ => {}
        }
        let mut tally = self.tally;
        tally.accepted = tally.accepted.saturating_sub(self.pending_items);
        self.progress.borrow_mut().on(&event, tally);
    }

    fn accepted(&mut self, outcome: &Outcome<'_>) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let entries = outcome.batch.entries();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        // What lies between the first and the last of a batch and is not in it is a duplicate, or was accepted before.
        let range = first.ordinal..last.ordinal + 1;
        let point = self.found.borrow().point;
        let line = journal
            .accepted(&range, point)
            .map_err(|error| self.found.borrow_mut().unrecorded(journal, &error))?;
        self.pending_items += outcome.batch.len() as u64;
        self.pending.push_back(Pending {
            line,
            number: outcome.number,
            items: outcome.batch.len() as u64,
            attempts: outcome.attempts,
            elapsed: outcome.elapsed,
            given: Given::of(entries),
        });
        Ok(())
    }
}

impl Watch<'_> {
    /// The input was read further.
    fn read(&mut self) {
        let point = self.found.borrow().point;
        // Where this cannot be written nothing can; the next batch says so, and stops the run.
        let _told_later = self.journal.as_mut().map(|journal| journal.read(point));
    }
}

/// The files that a run writes.
pub(crate) struct Logs {
    pub(crate) failed_to: Option<FailedTo>,
    pub(crate) journal: Option<Writer>,
}

/// A batch that was accepted, while its line in the journal is not known to be on the disk.
struct Pending {
    line: u64,
    number: u64,
    items: u64,
    attempts: u32,
    elapsed: Duration,
    given: Given,
}

impl Pending {
    fn event<'a>(&self, error: Option<&'a ItemError>, zone: Option<&'a str>) -> BatchEvent<'a> {
        BatchEvent {
            event: "batch",
            batch: self.number,
            items: self.items,
            accepted: error.is_none(),
            attempts: self.attempts,
            elapsed_ms: millis(self.elapsed),
            error,
            zone,
        }
    }
}

/// Entries as they were given, in one piece: there are many, and they are hardly ever looked at.
struct Given {
    text: String,
    ends: Vec<usize>,
}

impl Given {
    fn of(entries: &[Entry]) -> Self {
        let mut given = Self { text: String::new(), ends: Vec::with_capacity(entries.len()) };
        for entry in entries {
            given.text.push_str(&entry.given());
            given.ends.push(given.text.len());
        }
        given
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
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
