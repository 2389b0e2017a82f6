//! Watches a run: keeps its report, tells its requests, writes what failed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::rc::Rc;

use cfcache_client::engine::Stop;
use cfcache_client::{Error, Event, Exchange, Observer, Outcome, Tally};

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::failure::{Failure, describe, hint};
use crate::progress::Progress;
use crate::render::Talk;
use crate::report::{BatchEvent, ItemError, Report};
use crate::source::Invalid;

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
            let ray = response.headers().get("cf-ray").and_then(|ray| ray.to_str().ok()).unwrap_or("none");
            let bytes = response.body().len();
            let status = response.status().as_u16();
            format!("{status}, {bytes} bytes, {millis:.1} ms, {:?}, cf-ray {ray}", response.version())
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

/// Watches a run of targets.
pub(crate) struct Watch<'a> {
    talk: &'a Talk,
    pub(crate) report: Report,
    pub(crate) tally: Tally,
    progress: Rc<RefCell<Progress>>,
    failed_to: Option<FailedTo>,
    /// The way to end that the failures so far ask for.
    pub(crate) exit: Exit,
    /// The first failure of each way to end, told once.
    told: Vec<Exit>,
    pub(crate) hint: Option<String>,
    warnings: u64,
}

/// How many warnings, and how many failures, are told one by one.
const TOLD: u64 = 20;

impl<'a> Watch<'a> {
    pub(crate) fn new(
        talk: &'a Talk,
        report: Report,
        progress: Rc<RefCell<Progress>>,
        failed_to: Option<FailedTo>,
    ) -> Self {
        Self {
            talk,
            report,
            tally: Tally::default(),
            progress,
            failed_to,
            exit: Exit::Accepted,
            told: Vec::new(),
            hint: None,
            warnings: 0,
        }
    }

    /// An entry was refused before it was sent.
    pub(crate) fn invalid(&mut self, invalid: &Invalid) {
        self.report.invalid += 1;
        let error = ItemError { code: None, message: invalid.reason.clone() };
        self.report.fail(&invalid.given, &error);
        self.keep(&invalid.given);
        if self.report.invalid <= TOLD {
            self.talk.say(&format!("{} {}", self.talk.label("invalid"), invalid.describe()));
        } else if self.report.invalid == TOLD + 1 {
            self.talk.say("… more entries are invalid; `--json` and `--failed-to FILE` name them");
        }
    }

    pub(crate) fn warning(&mut self, origin: &str, warning: &dyn core::fmt::Display) {
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
        let exit = Exit::from(error.kind());
        self.exit = self.exit.or(exit);
        let message = describe(error);
        let item_error = ItemError {
            code: error.failure().map(|failure| failure.code()).filter(|code| *code != 0),
            message,
        };
        for entry in outcome.batch.entries() {
            let given = entry.given();
            self.report.fail(&given, &item_error);
            self.keep(&given);
        }
        // Of each sort the first is told at once; a person who watches need not wait for the end.
        if !self.told.contains(&exit) && exit != Exit::Interrupted {
            self.told.push(exit);
            let what = outcome.batch.kind().count(outcome.batch.len() as u64);
            self.talk.failure(&Failure::of(error, format!("{what} failed")));
            self.hint = hint(error);
        }
        item_error
    }

    fn keep(&mut self, given: &str) {
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.write(given)
        {
            let shown = failed_to.name.clone();
            self.failed_to = None;
            let failure = Failure::new(Exit::Failed, format!("cannot write `{shown}`: {error}"));
            self.exit = self.exit.or(self.talk.failure(&failure));
        }
    }

    /// The run is over: the report of it, and how the process ends.
    pub(crate) fn finish(mut self, elapsed: core::time::Duration) -> (Report, Exit) {
        if let Some(failed_to) = &mut self.failed_to
            && let Err(error) = failed_to.out.flush()
        {
            let failure = Failure::new(Exit::Failed, format!("cannot write `{}`: {error}", failed_to.name));
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
        if self.report.failed + self.report.invalid > 0 {
            self.exit = self.exit.or(Exit::Failed);
        }
        (self.report, self.exit)
    }
}

impl Observer for Watch<'_> {
    fn on(&mut self, event: Event<'_>) {
        self.tally.count(&event);
        match &event {
            Event::Exchange(exchange) => trace(self.talk, exchange),
            Event::Ended(outcome) => self.ended(outcome),
            Event::Stopped(stop) => self.exit = self.exit.or(stopped(self.talk, *stop)),
            _ => {}
        }
        let mut progress = self.progress.borrow_mut();
        progress.done = self.tally.accepted;
        progress.failed = self.tally.failed;
        match event {
            Event::Sent { in_flight } => progress.in_flight = in_flight,
            Event::Exchange(_) => progress.in_flight = progress.in_flight.saturating_sub(1),
            Event::Again { wait, holds_all: true } => {
                progress.held_until = Some(tokio::time::Instant::now() + wait);
            }
            _ => {}
        }
    }
}

/// Says why a run ends before its time.
fn stopped(talk: &Talk, stop: Stop) -> Exit {
    let (exit, why) = match stop {
        Stop::Interrupted => (Exit::Interrupted, "interrupted: waiting for what is in flight".to_owned()),
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
    pub(crate) fn create(path: &std::path::Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => Ok(Self { name, out: BufWriter::new(file) }),
            Err(error) => Err(Failure::usage(format!("cannot write `{name}`: {error}"))),
        }
    }

    fn write(&mut self, given: &str) -> std::io::Result<()> {
        writeln!(self.out, "{given}")
    }
}

pub(crate) fn millis(elapsed: core::time::Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
