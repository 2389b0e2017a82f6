//! Watches a run: keeps its report, tells its requests, writes what failed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_client::engine::Stop;
use cfcache_client::{Error, Event, Exchange, Observer, Outcome, Tally};
use cfcache_model::plan::Entry;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::progress::Progress;
use crate::render::Talk;
use crate::report::{BatchEvent, ItemError, Report};
use crate::source::{Chunk, Invalid};

/// Tells each request, where that is asked for (`-v`, `-vv`).
pub(crate) struct Trace<'a>(pub(crate) &'a Talk);

impl Observer for Trace<'_> {
    fn on(&mut self, event: Event<'_>) {
        if let Event::Exchange(exchange) = &event {
            trace(self.0, exchange);
        }
    }
}

fn trace(talk: &Talk, exchange: &Exchange<'_>) {
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
            let ray = response.headers().get("cf-ray").and_then(|ray| ray.to_str().ok());
            let ray =
                ray.map(|ray| format!(", cf-ray {}", cfcache_model::text::clip(ray, 64))).unwrap_or_default();
            let bytes = response.body().len();
            let status = response.status().as_u16();
            format!("{status}, {bytes} bytes, {millis:.1} ms, {:?}{ray}", response.version())
        }
        Err(error) => format!("{error}, {millis:.1} ms"),
    };
    talk.say(&format!("{asked} -> {answered}"));
    if talk.verbose > 1 {
        headers(talk, ">", exchange.headers);
        if let Ok(response) = exchange.result {
            headers(talk, "<", response.headers());
        }
    }
}

/// Headers, with what is secret blanked: what was marked so, and what the server may set for itself.
fn headers(talk: &Talk, direction: &str, headers: &http::HeaderMap) {
    for (name, value) in headers {
        let is_secret = value.is_sensitive() || name == "set-cookie" || name == "authorization";
        let shown = match is_secret {
            true => "[secret]".to_owned(),
            false => cfcache_model::text::clip(&String::from_utf8_lossy(value.as_bytes()), 200),
        };
        talk.say(&format!("  {direction} {name}: {shown}"));
    }
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
}

impl Found {
    /// Keeps what a chunk holds beside its entries.
    pub(crate) fn keep(&mut self, chunk: Chunk) -> Vec<Entry> {
        self.invalid.extend(chunk.invalid);
        self.warnings.extend(chunk.warnings);
        self.broken = chunk.broken.or(self.broken.take());
        chunk.entries
    }
}

/// Watches a run of targets.
pub(crate) struct Watch<'a> {
    talk: &'a Talk,
    report: Report,
    tally: Tally,
    progress: Rc<RefCell<Progress>>,
    found: Rc<RefCell<Found>>,
    failed_to: Option<FailedTo>,
    /// The way to end that the failures so far ask for.
    exit: Exit,
    /// The first failure of each way to end is told at once.
    told: Vec<Exit>,
    interrupted: bool,
    warnings: u64,
}

/// How many warnings, and how many failures, are told one by one.
const TOLD: u64 = 20;

impl<'a> Watch<'a> {
    pub(crate) fn new(
        talk: &'a Talk,
        report: Report,
        progress: Rc<RefCell<Progress>>,
        found: Rc<RefCell<Found>>,
        failed_to: Option<FailedTo>,
    ) -> Self {
        Self {
            talk,
            report,
            tally: Tally::default(),
            progress,
            found,
            failed_to,
            exit: Exit::Accepted,
            told: Vec::new(),
            interrupted: false,
            warnings: 0,
        }
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
        self.report.fail(&invalid.given, &error);
        self.keep(&invalid.given, invalid.is_whole);
        if self.report.invalid <= TOLD {
            self.talk.say(&format!("{} {}", self.talk.label("invalid"), invalid.describe()));
        } else if self.report.invalid == TOLD + 1 {
            self.talk.say("… more entries are invalid; `--json` and `--failed-to FILE` name them");
        }
    }

    fn warning(&mut self, origin: &str, warning: &str) {
        self.warnings += 1;
        if self.warnings <= TOLD {
            self.talk.warn(&format!("{origin}: {warning}"));
        } else if self.warnings == TOLD + 1 {
            self.talk.warn("… and more of this kind, which are not shown");
        }
    }

    fn ended(&mut self, outcome: &Outcome<'_>) {
        let error = outcome.result.err();
        let item_error = error.map(|error| self.failed(outcome, error));
        if self.talk.output == OutputArg::Ndjson {
            self.talk.json(&BatchEvent {
                event: "batch",
                batch: outcome.number,
                items: outcome.batch.len() as u64,
                accepted: error.is_none(),
                attempts: outcome.attempts,
                elapsed_ms: millis(outcome.elapsed),
                error: item_error.as_ref(),
            });
        }
    }

    fn failed(&mut self, outcome: &Outcome<'_>, error: &Error) -> ItemError {
        // Whoever does not wait for what is in flight wanted it so: that is no trouble with the network.
        let exit = if self.interrupted { Exit::Interrupted } else { Exit::from(error.kind()) };
        self.exit = self.exit.or(exit);
        let code = error.failure().map(|failure| failure.code());
        let item_error = ItemError::new(code, describe(error));
        for entry in outcome.batch.entries() {
            let given = entry.given();
            self.report.fail(&given, &item_error);
            self.keep(&given, true);
        }
        // Of each sort the first is told at once; a person who watches need not wait for the end.
        if !self.told.contains(&exit) && exit != Exit::Interrupted {
            self.told.push(exit);
            let what = outcome.batch.kind().count(outcome.batch.len() as u64);
            self.talk.failure(&Failure::of(error, format!("{what} failed")));
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
    pub(crate) fn finish(mut self, elapsed: core::time::Duration) -> (Report, Exit) {
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.out.flush()
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
        report.requests = tally.requests;
        report.retries = tally.retries;
        report.rate_limited = tally.rate_limited;
        report.elapsed_ms = millis(elapsed);
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
        match &event {
            Event::Exchange(exchange) => trace(self.talk, exchange),
            Event::Ended(outcome) => self.ended(outcome),
            Event::Stopped(stop) => {
                self.interrupted |= *stop == Stop::Interrupted;
                self.exit = self.exit.or(stopped(self.talk, *stop));
            }
            _ => {}
        }
        self.progress.borrow_mut().on(&event, self.tally);
    }
}

/// What Ctrl-C is answered with while something is in flight.
pub(crate) const WAITING: &str = "interrupted: waiting for what is in flight; Ctrl-C again does not wait";

/// Says why a run ends before its time.
fn stopped(talk: &Talk, stop: Stop) -> Exit {
    let (exit, why) = match stop {
        Stop::Interrupted => (Exit::Interrupted, WAITING.to_owned()),
        Stop::WaitTooLong { demanded } => (
            Exit::RateLimited,
            format!(
                "the API demands a wait of {} s, which is more than `--max-wait` grants; nothing more is sent",
                demanded.as_secs(),
            ),
        ),
        Stop::Credentials => {
            (Exit::Credentials, "the credentials are refused; nothing more is sent".to_owned())
        }
        _ => (Exit::Unreachable, "so many tries failed in a row that nothing more is sent".to_owned()),
    };
    talk.say(&why);
    exit
}

/// Where failed and invalid entries go, in the format that they came in.
pub(crate) struct FailedTo {
    name: String,
    out: BufWriter<File>,
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
            Ok(file) => Ok(Self { name, out: BufWriter::new(file) }),
            Err(error) => Err(Failure::usage(format!("cannot write `{name}`: {error}"))),
        }
    }

    /// Writes an entry so that reading the file gives it again. What no line can hold (an argument with a line break, a
    /// line that was too long or no text) becomes a comment: it is not to come back as something else.
    fn write(&mut self, given: &str, is_whole: bool) -> std::io::Result<()> {
        let reads_back =
            is_whole && !given.contains('\n') && !given.ends_with('\r') && !given.trim_ascii().is_empty();
        if reads_back && !given.starts_with(['#', '\u{feff}']) {
            writeln!(self.out, "{given}")
        } else {
            writeln!(self.out, "# cannot be an entry of a list: {}", given.escape_debug())
        }
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("cannot write `{}`: {error}", self.name))
            .with_hint("its list is not complete; `--json` names up to 1000 of them")
    }
}

pub(crate) fn millis(elapsed: core::time::Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
