//! Output: data on standard output, messages on standard error.
//!
//! Text for people is passed through [`readable`], so no control character of foreign text reaches the terminal.

pub(crate) mod human;
pub(crate) mod manage;
pub(crate) mod outcome;
pub(crate) mod probe;
mod trace;
pub(crate) mod visits;

use core::time::Duration;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};

use cfcache_app::console::Console;
use cfcache_app::log::{self, LogFilter, LogFormat, Logger};
use cfcache_client::engine::Reason;
use cfcache_client::{Event, Exchange};
use cfcache_model::target::Kind;
use cfcache_model::text::is_invisible;
use cfcache_probe::{NoAnswer, Visit};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::args::{ColorChoice, Global, OutputArg, Usage};
use crate::config::{self, EnvVars};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::{Progress, Trouble};
use crate::report::BatchEvent;
use crate::session::whole_seconds;

/// The maximum number of problems that are remembered.
const TOLD: usize = 100;

/// The maximum number of different reasons for retries that are shown.
const TROUBLES: usize = 5;

/// The [`Console`] of a terminal.
pub(crate) struct Terminal {
    pub(crate) output: OutputArg,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    /// Whether a progress line is drawn and redrawn.
    pub(crate) live: bool,
    pub(crate) progress: bool,
    color_err: bool,
    /// Whether messages go to the log.
    logs: bool,
    /// Whether standard output is unusable (a closed pipe, a full disk); reported once.
    broken: Cell<bool>,
    lost: RefCell<Option<String>>,
    /// Messages that must not be repeated.
    said: RefCell<Vec<String>>,
    /// Reasons for which requests were sent again.
    troubles: RefCell<Vec<String>>,
    /// Problems that were reported, which results need not repeat.
    told: RefCell<Vec<String>>,
    /// The width of the progress line on the terminal, which must be cleared before other output.
    drawn: Cell<usize>,
    /// The text of the progress line.
    line: RefCell<String>,
    /// Whether standard output is a pipe, whose output may be shown on the same terminal at any moment.
    is_piped: bool,
    /// Whether entries are being typed on the terminal.
    typed_on: Cell<bool>,
    /// When progress was last written without a progress line.
    last_beat: Cell<Duration>,
    /// The progress of the current run.
    run: RefCell<Option<Progress>>,
    /// The number of probe results that were shown.
    rows: Cell<u64>,
    /// Counts the signals to stop.
    pub(crate) interrupts: watch::Sender<u8>,
}

impl Terminal {
    pub(crate) fn new(global: &Global, environment: &EnvVars) -> Self {
        let output = match (global.common.json, global.common.output) {
            (true, _) => OutputArg::Json,
            (false, output) => output.unwrap_or(OutputArg::Human),
        };
        let color = |is_terminal: bool| match global.color.unwrap_or(ColorChoice::Auto) {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !environment.no_color,
        };
        let err_is_terminal = std::io::stderr().is_terminal();
        let takes_escapes = err_is_terminal && takes_escapes(environment);
        let logs = global.log_format.is_some();
        Self {
            output,
            quiet: global.common.quiet,
            verbose: global.common.verbose,
            live: takes_escapes && global.common.verbose == 0 && !logs && environment.log.is_none(),
            progress: !global.common.quiet && !global.no_progress,
            color_err: color(takes_escapes),
            logs,
            broken: Cell::new(false),
            lost: RefCell::new(None),
            said: RefCell::default(),
            troubles: RefCell::default(),
            told: RefCell::default(),
            drawn: Cell::new(0),
            line: RefCell::default(),
            is_piped: is_piped(),
            typed_on: Cell::new(false),
            last_beat: Cell::new(Duration::ZERO),
            run: RefCell::new(None),
            rows: Cell::new(0),
            interrupts: watch::Sender::default(),
        }
    }

    /// Starts logging if the arguments or the environment request it.
    ///
    /// # Errors
    ///
    /// If the filter is invalid.
    pub(crate) fn begin_log(global: &Global, environment: &EnvVars) -> Result<(), Failure> {
        if global.log_format.is_none() && environment.log.is_none() {
            return Ok(());
        }
        let filter = environment.log.as_deref().map_or_else(|| Ok(LogFilter::default()), str::parse);
        let failure = filter.as_ref().err().map(|why| Failure::usage(format!("`{}`: {why}", config::LOG)));
        let format = global.log_format.unwrap_or(LogFormat::Text);
        Logger::new(format, filter.unwrap_or_default(), |line| {
            // If standard error is closed, there is no other place for the error.
            let _gone = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
        })
        .install();
        failure.map_or(Ok(()), Err)
    }

    /// Writes a line of data to standard output.
    ///
    /// A closed pipe is remembered and is not an error, because the reader has read enough. Any other error, such as a
    /// full disk, is reported once on standard error and makes the command fail.
    pub(crate) fn data(&self, line: &str) {
        if self.broken.get() {
            return;
        }
        self.clear();
        let written = standard_output().and_then(|mut out| {
            // A program gets the bytes unchanged; a terminal would interpret control characters.
            let shown = if out.is_terminal() { readable_lines(line) } else { line.into() };
            writeln!(out, "{shown}").and_then(|()| out.flush())
        });
        if let Err(error) = written {
            self.broken.set(true);
            if error.kind() != std::io::ErrorKind::BrokenPipe {
                self.say(&format!("{} cannot write to standard output: {error}", self.label("error")));
                *self.lost.borrow_mut() = Some(error.to_string());
            }
        }
    }

    /// Writes a sentence for people to standard output, broken between words to fit the terminal.
    pub(crate) fn tell(&self, line: &str) {
        let line = readable(line);
        match terminal_size::terminal_size_of(std::io::stdout()) {
            Some((width, _)) => self.data(&human::wrap(&line, usize::from(width.0))),
            None => self.data(&line),
        }
    }

    /// Counts a result that is shown, and returns the previous count.
    pub(crate) fn count_row(&self) -> u64 {
        self.rows.replace(self.rows.get() + 1)
    }

    /// Returns whether standard output is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.broken.get()
    }

    /// Writes a line of JSON to standard output.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => self.data(&line),
            Err(error) => self.say(&format!("{} cannot write JSON: {error}", self.label("error"))),
        }
    }

    /// Returns the exit code, changed if standard output could not be written. (A closed pipe does not change it.)
    pub(crate) fn settle(&self, exit: Exit) -> Exit {
        if self.lost.borrow().is_some() { exit.or(Exit::Failed) } else { exit }
    }

    /// Writes a line to standard error, whatever the verbosity; a label at its start is colored.
    pub(crate) fn say(&self, line: &str) {
        if self.logs {
            return log::message(line);
        }
        self.clear();
        self.write(&format!("{}\n", self.styled(line)));
    }

    /// Writes a question to standard error, and leaves the cursor after it. A question may have several lines.
    pub(crate) fn ask(&self, question: &str) {
        self.clear();
        let lines: Vec<String> = question.lines().map(|line| self.styled(line)).collect();
        self.write(&format!("{} ", lines.join("\n")));
    }

    /// Writes in one call, so that output of other processes does not mix with it. If standard error is closed, nothing
    /// can be reported.
    #[expect(clippy::unused_self, reason = "what is written is this one's")]
    fn write(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _gone = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Formats a line for standard error: readable, broken between words to fit the terminal, and with a colored label.
    fn styled(&self, line: &str) -> String {
        let line = readable(line);
        let line = match terminal_size::terminal_size_of(std::io::stderr()) {
            Some((width, _)) => human::wrap(&line, usize::from(width.0)),
            None => line.into_owned(),
        };
        let label = LABELS.iter().find_map(|(word, color)| Some((word, color, line.strip_prefix(word)?)));
        match label.filter(|(.., rest)| self.color_err && rest.starts_with(':')) {
            Some((word, color, rest)) => format!("{color}{word}:\u{1b}[0m{}", &rest[1..]),
            None => line,
        }
    }

    /// Writes a line to standard error, unless the same line was written before.
    pub(crate) fn say_once(&self, line: &str) {
        let is_new = !self.said.borrow().iter().any(|said| said == line);
        if is_new {
            self.said.borrow_mut().push(line.to_owned());
            self.say(line);
        }
    }

    /// Writes an informational message, unless `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    /// Writes why a request does not succeed, unless `--quiet`: once for each reason, and only for a few reasons.
    pub(crate) fn note_trouble(&self, why: &str, line: &str) {
        let mut troubles = self.troubles.borrow_mut();
        if troubles.len() < TROUBLES && !troubles.iter().any(|told| told == why) {
            troubles.push(why.to_owned());
            self.note(line);
        }
    }

    /// Writes a warning, unless `--quiet`.
    pub(crate) fn warn(&self, line: &str) {
        self.note(&format!("{} {line}", self.label("warning")));
    }

    /// Writes an error, and returns the exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        self.remember(&failure.message);
        failure.causes.iter().for_each(|cause| self.remember(cause));
        if self.logs {
            log::failure(failure);
            return failure.exit;
        }
        self.say(&format!("{} {}", self.label("error"), failure.message));
        for cause in &failure.causes {
            self.say(&format!("  {cause}"));
        }
        if let Some(hint) = &failure.hint {
            self.hint(hint);
        }
        failure.exit
    }

    /// Remembers a problem that was reported, up to a limit.
    pub(crate) fn remember(&self, what: &str) {
        let mut told = self.told.borrow_mut();
        if told.len() < TOLD {
            told.push(what.to_owned());
        }
    }

    /// Returns whether a problem was reported.
    pub(crate) fn has_told(&self, what: &str) -> bool {
        self.told.borrow().iter().any(|told| told == what)
    }

    pub(crate) fn hint(&self, hint: &str) {
        self.say(&format!("{} {hint}", self.label("hint")));
    }

    /// Formats a label such as "error:" for the start of a line.
    #[expect(clippy::unused_self, reason = "how labels look is the matter of this type")]
    pub(crate) fn label(&self, word: &str) -> String {
        format!("{word}:")
    }

    /// Draws the progress line, no wider than the terminal, because a wrapped line could not be cleared.
    pub(crate) fn draw(&self, line: &str) {
        if self.typed_on.get() {
            return;
        }
        let columns = self.columns();
        let line = readable(line);
        let line = human::fit(&line, columns.saturating_sub(1));
        let away = away(self.drawn.get(), columns);
        let _gone = std::io::stderr().lock().write_all(format!("{away}{line}").as_bytes());
        self.drawn.set(human::width(line).max(1));
        line.clone_into(&mut self.line.borrow_mut());
    }

    /// The current width of the terminal; at least 1.
    #[expect(clippy::unused_self, reason = "it is this one's terminal")]
    pub(crate) fn columns(&self) -> usize {
        terminal_size::terminal_size_of(std::io::stderr())
            .map_or(80, |(width, _)| usize::from(width.0).max(1))
    }

    /// Clears the progress line.
    pub(crate) fn clear(&self) {
        let drawn = self.drawn.replace(0);
        if drawn > 0 {
            let _gone = write!(std::io::stderr().lock(), "{}", away(drawn, self.columns()));
        }
    }
}

impl Console for Terminal {
    fn progress(&self, line: &str, elapsed: Duration) {
        if !self.progress {
            return;
        }
        if self.live {
            // A task that ends quickly needs no progress line.
            if elapsed > Duration::from_millis(400) {
                self.draw(line);
            }
            return;
        }
        let last = self.last_beat.get();
        if elapsed < last {
            // Another task has started.
            self.last_beat.set(Duration::ZERO);
        } else if elapsed - last >= Duration::from_secs(10) {
            self.last_beat.set(elapsed);
            self.note(line);
        }
    }

    fn say(&self, line: &str) {
        self.say(line);
    }

    fn say_once(&self, line: &str) {
        self.say_once(line);
    }

    fn note(&self, line: &str) {
        self.note(line);
    }

    fn detail(&self, line: &str) {
        if self.verbose > 0 {
            self.say(line);
        }
    }

    fn failure(&self, failure: &Failure) -> Exit {
        self.failure(failure)
    }

    fn remember(&self, reason: &str) {
        self.remember(reason);
    }

    fn data(&self, line: &str) {
        self.data(line);
    }

    fn is_closed(&self) -> bool {
        self.is_closed()
    }

    fn confirm(&self, question: &str) -> Result<(), Failure> {
        confirm::confirm(self, question)
    }

    fn interrupts(&self) -> watch::Receiver<u8> {
        self.interrupts.subscribe()
    }

    fn reads_standard_input(&self) {
        if std::io::stdin().is_terminal() {
            self.note("reading entries from the terminal, one per line; Ctrl-D ends the input");
            self.typed_on.set(true);
        }
    }

    fn exchange(&self, exchange: &Exchange<'_>) {
        trace::exchange(self, exchange);
    }

    fn event(&self, event: &Event<'_>) {
        let is_run = self.run.borrow().is_some();
        match event {
            Event::Retrying { .. } => {
                if let Some(trouble) = Trouble::from_event(event) {
                    let draws = self.live && self.progress;
                    if !draws {
                        trouble.note(self);
                    } else if !is_run {
                        self.draw(&trouble.line(Instant::now(), self.columns() - 1));
                    }
                }
            }
            Event::Waiting { wait, reason: Reason::Quota } if is_run && *wait >= NOTED_WAIT => {
                let why = "the quota that the API states is used up";
                self.note_trouble(why, &format!("{why}, continues in {} s", whole_seconds(*wait)));
            }
            _ => {}
        }
        if let Some(progress) = &mut *self.run.borrow_mut() {
            progress.on(event);
        }
    }

    fn visited(&self, url: &str, visited: &Result<Visit, NoAnswer>) {
        let was_drawn = self.drawn.get() > 0;
        probe::show(self, url, visited);
        // The next one may come before the line is drawn again, and so on to the end.
        if was_drawn && !self.is_piped && self.live && self.progress {
            let line = self.line.borrow().clone();
            self.draw(&line);
        }
    }

    fn run_started(&self, kind: Kind, total: Option<u64>, estimate: Box<dyn Fn(u64) -> Duration>) {
        *self.run.borrow_mut() = Some(Progress::new(kind, total, estimate));
    }

    fn unsent(&self, entries: u64) {
        if let Some(progress) = &mut *self.run.borrow_mut() {
            progress.add_failed(entries);
        }
    }

    fn batch(&self, batch: &BatchEvent<'_>) {
        if self.output == OutputArg::Ndjson {
            self.json(batch);
        }
    }

    fn tick(&self) {
        if let Some(progress) = &mut *self.run.borrow_mut() {
            progress.tick(self);
        }
    }

    fn run_ended(&self) {
        self.run.borrow_mut().take();
        self.clear();
    }
}

/// Waits of this length for the stated quota are reported even without a progress line.
const NOTED_WAIT: Duration = Duration::from_secs(5);

/// The control sequence that clears a line of that width. On a terminal that has become narrower, the line has wrapped.
fn away(drawn: usize, columns: usize) -> String {
    match drawn.saturating_sub(1) / columns {
        0 => "\r\u{1b}[K".to_owned(),
        above => format!("\u{1b}[{above}A\r\u{1b}[J"),
    }
}

/// The labels at the start of a line, and their usual colors.
const LABELS: [(&str, &str); 4] = [
    ("error", "\u{1b}[1;31m"),
    ("warning", "\u{1b}[1;33m"),
    ("hint", "\u{1b}[1;36m"),
    ("invalid", "\u{1b}[1;36m"),
];

/// Converts a text to one line for people: invisible characters, and those that would move the cursor, are escaped
/// (`\u{1b}`, `\n`).
pub(crate) fn readable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return text.into();
    }
    let mut shown = String::new();
    for char in text.chars() {
        if is_invisible(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown.into()
}

/// Converts several lines for people, each as [`readable`] does.
fn readable_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return text.into();
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(readable).collect();
    lines.join("\n").into()
}

/// Returns whether the terminal supports escape sequences. On Windows they have to be enabled, which fails on old
/// consoles.
fn takes_escapes(environment: &EnvVars) -> bool {
    !environment.dumb_terminal && anstyle_query::windows::enable_ansi_colors().unwrap_or(true)
}

/// Returns whether standard output is a pipe or a socket, or may be one.
fn is_piped() -> bool {
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        return false;
    }
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use std::os::unix::fs::FileTypeExt as _;
        let file = stdout.as_fd().try_clone_to_owned().map(std::fs::File::from);
        let kind = file.and_then(|file| file.metadata()).map(|metadata| metadata.file_type());
        kind.map_or(true, |kind| kind.is_fifo() || kind.is_socket())
    }
    #[cfg(not(unix))]
    true
}

/// Standard output. If it was closed when the program started, nothing that is written would arrive.
fn standard_output() -> std::io::Result<std::io::StdoutLock<'static>> {
    if cfcache_stdio::stdout_was_closed() {
        return Err(std::io::Error::other("it was closed when the program started"));
    }
    Ok(std::io::stdout().lock())
}

/// Prints a message of clap: help and the version on standard output, errors on standard error.
pub(crate) fn usage(usage: &Usage, environment: &EnvVars) -> Exit {
    let message = usage.render();
    let (styled, whole) = (message.ansi().to_string(), message.to_string());
    // The message may repeat what was typed.
    let plain = readable_lines(&whole);
    let is_plain = environment.no_color || plain != whole || !takes_escapes(environment);
    let text = |is_terminal: bool| if is_terminal && !is_plain { &*styled } else { &*plain };
    // A reader that closes the pipe has read enough.
    if usage.use_stderr() {
        let mut err = std::io::stderr().lock();
        let _gone = err.write_all(text(err.is_terminal()).as_bytes());
        Exit::Usage
    } else {
        let written = standard_output()
            .and_then(|mut out| out.write_all(text(out.is_terminal()).as_bytes()).and_then(|()| out.flush()));
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _gone = writeln!(std::io::stderr().lock(), "error: cannot write to standard output: {error}");
            return Exit::Failed;
        }
        Exit::Accepted
    }
}
