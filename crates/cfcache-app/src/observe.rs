//! Observes a run: builds its report, shows its requests, writes failed entries.

use core::time::Duration;
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_client::engine::Stop;
use cfcache_client::{Error, ErrorCause, Event, Observer, Outcome, Recording, Summary};
use cfcache_model::envelope::ResponseInfo;
use cfcache_model::plan::Entry;
use cfcache_probe::AcceptedUrls;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::{Failure, describe, reason};
use crate::journal::JournalWriter;
use crate::report::{BatchEvent, ItemError, Report};
use crate::secret::path_name;
use crate::source::{Chunk, Invalid};

/// Returns an observer of a single call that shows its events.
pub fn show_events(console: &dyn Console) -> impl FnMut(Event<'_>) {
    move |event| show_event(console, &event)
}

/// Shows an event of a call or a run on the console.
pub(crate) fn show_event(console: &dyn Console, event: &Event<'_>) {
    match event {
        Event::Exchange(exchange) => console.exchange(exchange),
        Event::Warning(warning) => warn_of_success(console, warning),
        _ => {}
    }
    console.event(event);
}

/// Shows once what the API reports with a success, also with `--quiet`.
fn warn_of_success(console: &dyn Console, warning: &ResponseInfo) {
    console.say_once(&format!("warning: the API accepted it, but reports: {warning}"));
}

/// Observes a run over a list, and builds its report, or one for each zone.
pub(crate) struct RunObserver<'a> {
    console: &'a dyn Console,
    /// The report that is printed.
    report: Report,
    /// The reports of the zones, if each entry goes to the zone of its host.
    zones: Vec<Report>,
    /// When the last batch of each zone ended.
    ended: Vec<Duration>,
    started: Instant,
    /// How many requests are in flight.
    in_flight: usize,
    /// The findings of the input that have not been reported yet.
    found: Rc<RefCell<Chunk>>,
    failed_to: Option<FailedTo>,
    journal: Option<JournalWriter>,
    /// Why the journal does not contain all accepted entries, if it does not.
    unrecorded: Option<String>,
    /// Notified when the run waits for the rate limits for the first time.
    paced: Option<Rc<Notify>>,
    /// Collects the accepted URLs, if they are needed later.
    accepted: Option<Rc<RefCell<AcceptedUrls>>>,
    /// The exit code of the failures so far.
    exit: Exit,
    /// The zones and exit codes whose first failure was shown.
    told: Vec<(usize, Exit)>,
    interrupted: bool,
    /// The number of accepted batches that are not durable in the journal yet.
    recording: u64,
    warnings: u64,
    unrouted: u64,
    /// Entries that were read but never reached a run; all of them failed.
    unsent: u64,
}

/// The maximum number of warnings, and of failures, that are shown individually.
const TOLD: u64 = 20;

impl<'a> RunObserver<'a> {
    pub(crate) fn new(
        console: &'a dyn Console,
        report: Report,
        found: Rc<RefCell<Chunk>>,
        failed_to: Option<FailedTo>,
    ) -> Self {
        Self {
            console,
            report,
            zones: Vec::new(),
            ended: Vec::new(),
            started: Instant::now(),
            in_flight: 0,
            found,
            failed_to,
            journal: None,
            unrecorded: None,
            paced: None,
            accepted: None,
            exit: Exit::Accepted,
            told: Vec::new(),
            interrupted: false,
            recording: 0,
            warnings: 0,
            unrouted: 0,
            unsent: 0,
        }
    }

    /// Records what is accepted.
    pub(crate) fn with_journal(mut self, journal: Option<JournalWriter>) -> Self {
        self.journal = journal;
        self
    }

    /// Also builds a report for each scope of the run.
    pub(crate) fn with_zones(mut self, zones: Vec<Report>) -> Self {
        self.ended = vec![Duration::ZERO; zones.len()];
        self.zones = zones;
        self
    }

    /// Collects the accepted URLs.
    pub(crate) fn with_accepted(mut self, accepted: Option<Rc<RefCell<AcceptedUrls>>>) -> Self {
        self.accepted = accepted;
        self
    }

    /// Notifies when the run waits for the rate limits for the first time.
    pub(crate) fn with_paced(mut self, paced: Rc<Notify>) -> Self {
        self.paced = Some(paced);
        self
    }

    /// Reports the findings of the input.
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

    /// Handles an entry that was refused before it was sent.
    fn invalid(&mut self, invalid: &Invalid) {
        self.report.invalid += 1;
        let error = ItemError::new(None, invalid.reason.clone());
        self.report.refuse(&invalid.given, &error);
        self.keep(&invalid.given, invalid.is_whole);
        if self.report.invalid <= TOLD {
            self.console.say(&format!("invalid: {}", invalid.describe()));
            self.console.remember(&invalid.reason);
        } else if self.report.invalid == TOLD + 1 {
            self.console.say("… more entries are invalid; `--failed-to FILE` lists all of them");
        }
    }

    /// Counts an entry that was read but not sent as failed.
    pub(crate) fn record_unsent(&mut self, entry: &Entry, error: &ItemError) {
        self.unsent += 1;
        self.console.unsent(1);
        let given = entry.given();
        self.report.fail(&given, error);
        self.keep(&given, true);
    }

    /// Counts an entry whose host belongs to no known zone as failed.
    fn record_unrouted(&mut self, entry: &Entry, why: String) {
        self.unrouted += 1;
        if self.unrouted <= TOLD {
            let given = cfcache_model::text::clip(&entry.given(), 200);
            self.console.failure(&Failure::new(Exit::Failed, format!("{given}: {why}")));
            self.console.remember(&why);
        } else if self.unrouted == TOLD + 1 {
            self.console.say("… more entries belong to no known zone; `--failed-to FILE` lists all of them");
        }
        self.record_unsent(entry, &ItemError::new(None, why));
    }

    fn warning(&mut self, origin: &str, warning: &str) {
        self.warnings += 1;
        // Shown even with `--quiet`: an entry that is sent with a warning is probably a mistake.
        if self.warnings <= TOLD {
            self.console.say(&format!("warning: {origin}: {warning}",));
        } else if self.warnings == TOLD + 1 {
            self.console.say("warning: … more warnings are not shown; the report counts them");
        }
    }

    /// The report of a scope: that of its zone, if there is one for each zone.
    fn report_of(&mut self, scope: usize) -> &mut Report {
        if self.zones.is_empty() { &mut self.report } else { &mut self.zones[scope] }
    }

    fn ended(&mut self, outcome: &Outcome) {
        if let Some(ended) = self.ended.get_mut(outcome.scope) {
            *ended = self.started.elapsed();
        }
        if outcome.result.is_ok()
            || matches!(outcome.result, Err(Error { cause: ErrorCause::Unrecorded(_), .. }))
        {
            self.recording = self.recording.saturating_sub(1);
        }
        let item_error = outcome.result.as_ref().err().map(|error| self.failed(outcome, error));
        let console = self.console;
        console.batch(&BatchEvent {
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

    fn failed(&mut self, outcome: &Outcome, error: &Error) -> ItemError {
        // A user who interrupts twice does not wait for requests in flight, so this is not a network problem.
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
            self.unrecorded.get_or_insert_with(|| source.to_string());
        }
        // The first failure of each kind is shown at once, so that a person need not wait for the end.
        let told = (outcome.scope, exit);
        if !self.told.contains(&told) && exit != Exit::Interrupted {
            self.told.push(told);
            let what = outcome.batch.kind().count(outcome.batch.len() as u64);
            self.console.failure(&Failure::from_error(error, format!("a request for {what} failed")));
        }
        item_error
    }

    fn keep(&mut self, given: &str, is_whole: bool) {
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.write(given, is_whole)
        {
            let failure = failed_to.failure(&error);
            self.failed_to = None;
            self.exit = self.exit.or(self.console.failure(&failure));
        }
    }

    /// Why the journal does not contain all accepted entries, if it does not.
    pub(crate) const fn take_unrecorded(&mut self) -> Option<String> {
        self.unrecorded.take()
    }

    /// Ends the run: returns its report and exit code. There is a summary for each scope.
    pub(crate) fn finish(mut self, summaries: &[Summary]) -> (Report, Exit) {
        self.notice();
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.out.borrow_mut().flush()
        {
            let failure = failed_to.failure(&error);
            self.exit = self.exit.or(self.console.failure(&failure));
        }
        self.console.run_ended();
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

    /// Waits until the journal is durable, or until the run is given up. Returns the writer for later lines.
    pub(crate) async fn close_journal(&mut self) -> Option<JournalWriter> {
        let journal = self.journal.take()?;
        // Accepted entries are already durable; this only records how far the input was read, which is not essential.
        if let Err(error) = journal.flush().await {
            self.console.note(&error.to_string());
        }
        Some(journal)
    }
}

/// Adds the totals of a scope.
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
            Event::Ended(outcome) => {
                if let Some(accepted) = self.accepted.as_ref().filter(|_| outcome.result.is_ok()) {
                    accepted.borrow_mut().accept(outcome.scope, outcome.batch.entries());
                }
                self.ended(outcome);
            }
            Event::Skipped { scope, entries } => {
                if let Some(accepted) = &self.accepted {
                    accepted.borrow_mut().skip(*scope, entries);
                }
            }
            Event::Stopped { scope, stop } => {
                self.interrupted |= *stop == Stop::Interrupted;
                let zone = scope.filter(|_| self.zones.len() > 1);
                let zone = zone.and_then(|scope| self.zones.get(scope)?.zone.as_deref());
                let told = stopped(self.console, *stop, self.in_flight, zone, self.recording);
                self.exit = self.exit.or(told);
            }
            _ => {}
        }
        match &event {
            Event::Sent { in_flight } | Event::Progress { in_flight, .. } => self.in_flight = *in_flight,
            Event::Exchange(_) => self.in_flight = self.in_flight.saturating_sub(1),
            _ => {}
        }
        show_event(self.console, &event);
    }

    fn record(&mut self, outcome: &Outcome) -> Option<Recording> {
        let journal = self.journal.as_mut().filter(|_| outcome.result.is_ok())?;
        let entries = outcome.batch.entries();
        let (first, last) = (entries.first()?, entries.last()?);
        // Entries between the first and the last one of a batch that are not in it are duplicates or were accepted
        // before.
        let range = first.ordinal..last.ordinal + 1;
        let point = self.found.borrow().point;
        self.recording += 1;
        Some(journal.accepted(&range, point))
    }
}

/// The message after the first Ctrl-C while requests are in flight.
pub(crate) const WAITING: &str =
    "interrupted: waiting for requests in flight; press Ctrl-C again to stop at once";

/// Shows why a run stops early, and for which zone if others continue.
fn stopped(console: &dyn Console, stop: Stop, in_flight: usize, zone: Option<&str>, recording: u64) -> Exit {
    let place = zone.map(|zone| format!(" to zone {zone}")).unwrap_or_default();
    let (exit, why) = match stop {
        Stop::Interrupted if in_flight == 0 && recording > 0 => (
            Exit::Interrupted,
            "interrupted: waiting until the journal is on disk; press Ctrl-C again to stop at once"
                .to_owned(),
        ),
        Stop::Interrupted if in_flight == 0 => (Exit::Interrupted, "interrupted".to_owned()),
        Stop::Interrupted => (Exit::Interrupted, WAITING.to_owned()),
        Stop::WaitTooLong { demanded } => (
            Exit::RateLimited,
            format!(
                "the API demands a wait of {} s, which is longer than `--max-wait`; nothing more is sent{place}",
                demanded.as_secs(),
            ),
        ),
        Stop::Credentials => {
            (Exit::Credentials, format!("the credentials are refused; nothing more is sent{place}"))
        }
        Stop::Observer => {
            (Exit::Failed, "the journal cannot be written any more; nothing more is sent".to_owned())
        }
        Stop::SameRefusal => (
            Exit::Failed,
            format!(
                "too many consecutive requests were refused for the same reason; nothing more is sent{place}"
            ),
        ),
        _ => (Exit::Unreachable, format!("too many consecutive tries failed; nothing more is sent{place}")),
    };
    // An interrupt stops several runs; show it once.
    console.say_once(&why);
    exit
}

/// Writes failed and invalid entries in the format of the input. Clones write to the same file.
#[derive(Clone)]
pub(crate) struct FailedTo {
    name: String,
    is_null_separated: bool,
    out: Rc<RefCell<BufWriter<File>>>,
}

impl FailedTo {
    /// Checks the file before anything is written.
    ///
    /// # Errors
    ///
    /// If the file is read as input, or is standard output.
    pub(crate) fn check(path: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
        if path == Path::new("-") {
            return Err(Failure::usage("`--failed-to` needs a file: standard output is for results"));
        }
        if crate::source::reads(inputs, path) {
            Err(Failure::usage("`--failed-to` names a file that is read as input"))
        } else {
            Ok(())
        }
    }

    pub(crate) fn create(path: &Path, is_null_separated: bool) -> Result<Self, Failure> {
        let name = path_name(path);
        match File::create(path) {
            Ok(file) => {
                Ok(Self { name, is_null_separated, out: Rc::new(RefCell::new(BufWriter::new(file))) })
            }
            Err(error) => Err(Failure::usage(format!("cannot write `{name}`: {error}"))),
        }
    }

    /// Writes an entry so that reading the file returns it. An entry that no line can contain (an argument with a line
    /// break, a line that was too long or not text) is written as a comment, so that it is not read as another entry.
    /// Where entries end with NUL there are no comments, but that text is invalid as an entry of every kind.
    fn write(&mut self, given: &str, is_whole: bool) -> std::io::Result<()> {
        let mut out = self.out.borrow_mut();
        if self.is_null_separated {
            return if is_whole && !given.is_empty() && !given.contains('\0') {
                write!(out, "{given}\0")
            } else {
                write!(out, "# cannot be an entry of a list: {}\0", given.escape_debug())
            };
        }
        // At the beginning of a file it would be taken for a JSON array of entries.
        if given.starts_with('[') {
            writeln!(out, "# not a JSON array:")?;
        }
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
            .with_hint("the list is incomplete; `--json` lists up to 1000 of them")
    }
}

pub(crate) fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
