//! What people and programs read: data on standard output, messages on standard error.
//!
//! Everything for people goes through [`readable`], which leaves no control character of a name to the terminal.

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

use cfcache_app::console::{Console, RunInfo};
use cfcache_app::log::{self, LogFilter, LogFormat, Logger};
use cfcache_client::engine::Reason;
use cfcache_client::{Event, Exchange};
use cfcache_model::text::is_invisible;
use cfcache_probe::{NoAnswer, Visit};
use serde::Serialize;
use tokio::time::Instant;

use crate::args::{ColorArg, Global, OutputArg, Usage};
use crate::config::{self, Environment};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::{Progress, Trouble};
use crate::report::BatchEvent;
use crate::session::whole_seconds;

/// How much of what went wrong is remembered.
const TOLD: usize = 100;

/// How many reasons for trying again are told.
const TROUBLES: usize = 5;

/// The [`Console`] of a terminal: how much is told, and how.
pub(crate) struct Terminal {
    pub(crate) output: OutputArg,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    /// A progress line may be drawn and redrawn.
    pub(crate) live: bool,
    pub(crate) progress: bool,
    color_err: bool,
    /// What is told goes to the log.
    logs: bool,
    /// Standard output is gone (a closed pipe, a full disk): what went wrong with it, once.
    broken: Cell<bool>,
    lost: RefCell<Option<String>>,
    /// What is not to be said twice.
    said: RefCell<Vec<String>>,
    /// Why requests had to be sent again.
    troubles: RefCell<Vec<String>>,
    /// What went wrong, as far as it was told: results need not repeat it.
    told: RefCell<Vec<String>>,
    /// How wide the progress line is that stands on the terminal, and must be cleared before anything else is said.
    drawn: Cell<usize>,
    /// What stands on it.
    line: RefCell<String>,
    /// Standard output is a pipe: what comes out of it may be shown on the same terminal, at any moment.
    is_piped: bool,
    /// Somebody types entries on the terminal.
    typed_on: Cell<bool>,
    /// When it was last told how far something is, where no line shows it.
    last_beat: Cell<Duration>,
    /// How far the run is that goes on.
    run: RefCell<Option<Progress>>,
    /// How many answers of URLs were shown.
    rows: Cell<u64>,
}

impl Terminal {
    pub(crate) fn new(global: &Global, environment: &Environment) -> Self {
        let output = match (global.common.json, global.common.output) {
            (true, _) => OutputArg::Json,
            (false, output) => output.unwrap_or(OutputArg::Human),
        };
        let color = |is_terminal: bool| match global.seldom.color.unwrap_or(ColorArg::Auto) {
            ColorArg::Always => true,
            ColorArg::Never => false,
            ColorArg::Auto => is_terminal && !environment.no_color,
        };
        let err_is_terminal = std::io::stderr().is_terminal();
        let takes_escapes = err_is_terminal && takes_escapes(environment);
        let logs = global.seldom.log_format.is_some();
        Self {
            output,
            quiet: global.common.quiet,
            verbose: global.common.verbose,
            live: takes_escapes && global.common.verbose == 0 && !logs && environment.log.is_none(),
            progress: !global.common.quiet && !global.seldom.no_progress,
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
        }
    }

    /// Begins to log, where the arguments or the environment ask for it.
    ///
    /// # Errors
    ///
    /// Where the filter is none.
    pub(crate) fn begin_log(global: &Global, environment: &Environment) -> Result<(), Failure> {
        if global.seldom.log_format.is_none() && environment.log.is_none() {
            return Ok(());
        }
        let filter = environment.log.as_deref().map_or_else(|| Ok(LogFilter::default()), str::parse);
        let failure = filter.as_ref().err().map(|why| Failure::usage(format!("`{}`: {why}", config::LOG)));
        let format = global.seldom.log_format.unwrap_or(LogFormat::Text);
        Logger::new(format, filter.unwrap_or_default(), |line| {
            // If standard error is gone there is nobody left to tell.
            let _gone = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
        })
        .install();
        failure.map_or(Ok(()), Err)
    }

    /// Writes a line of data to standard output.
    ///
    /// A closed pipe is remembered and is no mistake: whoever read has read enough. Anything else, such as a full disk,
    /// is told once on standard error, and makes the command fail.
    pub(crate) fn data(&self, line: &str) {
        if self.broken.get() {
            return;
        }
        self.clear();
        let written = standard_output().and_then(|mut out| {
            // A program gets the bytes as they are; a terminal would obey them.
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

    /// Writes a sentence for people to standard output, which a terminal need not break in the midst of a word.
    pub(crate) fn tell(&self, line: &str) {
        let line = readable(line);
        match terminal_size::terminal_size_of(std::io::stdout()) {
            Some((width, _)) => self.data(&human::wrap(&line, usize::from(width.0))),
            None => self.data(&line),
        }
    }

    /// Counts an answer that is shown, and returns how many there were before.
    pub(crate) fn count_row(&self) -> u64 {
        self.rows.replace(self.rows.get() + 1)
    }

    /// Is nobody reading standard output any more?
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

    /// Was everything written that was meant for standard output? (A closed pipe counts: it was not wanted.)
    pub(crate) fn settle(&self, exit: Exit) -> Exit {
        if self.lost.borrow().is_some() { exit.or(Exit::Failed) } else { exit }
    }

    /// Says something on standard error, whatever the verbosity: one line, with a label in color where it begins with one.
    pub(crate) fn say(&self, line: &str) {
        if self.logs {
            return log::message(line);
        }
        self.clear();
        self.write(&format!("{}\n", self.styled(line)));
    }

    /// Asks something on standard error, and leaves the cursor behind it. A question may have several lines.
    pub(crate) fn ask(&self, question: &str) {
        self.clear();
        let lines: Vec<String> = question.lines().map(|line| self.styled(line)).collect();
        self.write(&format!("{} ", lines.join("\n")));
    }

    /// Writes in one piece, so that what another process writes there does not come between. If standard error is gone
    /// there is nobody left to tell.
    #[expect(clippy::unused_self, reason = "what is written is this one's")]
    fn write(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _gone = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// A line as standard error gets it: readable, broken between words where a terminal would break it anywhere, and its
    /// label in color.
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

    /// Says something on standard error, if it has not been said so before.
    pub(crate) fn say_once(&self, line: &str) {
        let is_new = !self.said.borrow().iter().any(|said| said == line);
        if is_new {
            self.said.borrow_mut().push(line.to_owned());
            self.say(line);
        }
    }

    /// Says something that is good to know, unless `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    /// Says what keeps a request from succeeding, unless `--quiet`: once for each reason, and of a few reasons.
    pub(crate) fn note_trouble(&self, why: &str, line: &str) {
        let mut troubles = self.troubles.borrow_mut();
        if troubles.len() < TROUBLES && !troubles.iter().any(|told| told == why) {
            troubles.push(why.to_owned());
            self.note(line);
        }
    }

    /// Warns, unless `--quiet`.
    pub(crate) fn warn(&self, line: &str) {
        self.note(&format!("{} {line}", self.label("warning")));
    }

    /// Says what went wrong, and gives the way to end.
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

    /// Remembers what was told to be wrong, as far as there is room.
    pub(crate) fn remember(&self, what: &str) {
        let mut told = self.told.borrow_mut();
        if told.len() < TOLD {
            told.push(what.to_owned());
        }
    }

    /// Was that told to be wrong?
    pub(crate) fn has_told(&self, what: &str) -> bool {
        self.told.borrow().iter().any(|told| told == what)
    }

    pub(crate) fn hint(&self, hint: &str) {
        self.say(&format!("{} {hint}", self.label("hint")));
    }

    /// "error:", to begin a line with.
    #[expect(clippy::unused_self, reason = "how labels look is the matter of this type")]
    pub(crate) fn label(&self, word: &str) -> String {
        format!("{word}:")
    }

    /// Draws the progress line anew, and no wider than the terminal: what wraps could not be taken away again.
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

    /// How wide the terminal is now; at least 1.
    #[expect(clippy::unused_self, reason = "it is this one's terminal")]
    pub(crate) fn columns(&self) -> usize {
        terminal_size::terminal_size_of(std::io::stderr())
            .map_or(80, |(width, _)| usize::from(width.0).max(1))
    }

    /// Takes the progress line away.
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
            // What is over within a moment needs no progress.
            if elapsed > Duration::from_millis(400) {
                self.draw(line);
            }
            return;
        }
        let last = self.last_beat.get();
        if elapsed < last {
            // Something else has begun.
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

    fn reads_standard_input(&self) {
        if std::io::stdin().is_terminal() {
            self.note("reading entries from the terminal, one a line; Ctrl-D ends");
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

    fn run_started(&self, run: RunInfo) {
        *self.run.borrow_mut() = Some(Progress::new(run));
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

/// A wait of this length for the stated quota is told even where there is no progress to show it.
const NOTED_WAIT: Duration = Duration::from_secs(5);

/// What takes away a line of that width. On a terminal that has become narrower it stands on several by now.
fn away(drawn: usize, columns: usize) -> String {
    match drawn.saturating_sub(1) / columns {
        0 => "\r\u{1b}[K".to_owned(),
        above => format!("\u{1b}[{above}A\r\u{1b}[J"),
    }
}

/// The labels that a line may begin with, and the color that is usual for each.
const LABELS: [(&str, &str); 4] = [
    ("error", "\u{1b}[1;31m"),
    ("warning", "\u{1b}[1;33m"),
    ("hint", "\u{1b}[1;36m"),
    ("invalid", "\u{1b}[1;36m"),
];

/// A text as one line for people: what is invisible, or would move the cursor, is written as an escape (`\u{1b}`, `\n`).
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

/// Several lines for people, each as [`readable`] makes it.
fn readable_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return text.into();
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(readable).collect();
    lines.join("\n").into()
}

/// Returns whether escape sequences do something on the terminal. A Windows console has to be told to obey them, and older
/// ones cannot.
fn takes_escapes(environment: &Environment) -> bool {
    !environment.dumb_terminal && anstyle_query::windows::enable_ansi_colors().unwrap_or(true)
}

/// Whether standard output is a pipe or a socket, or cannot be told from one.
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

/// Standard output. Where it was closed when the program began, nothing that is written there would arrive.
fn standard_output() -> std::io::Result<std::io::StdoutLock<'static>> {
    if cfcache_stdio::stdout_was_closed() {
        return Err(std::io::Error::other("it was closed when the program began"));
    }
    Ok(std::io::stdout().lock())
}

/// Prints what clap has to say: help and the version on standard output, mistakes on standard error.
pub(crate) fn usage(usage: &Usage, environment: &Environment) -> Exit {
    // What was typed is part of it.
    let plain = readable_lines(&usage.plain);
    let is_plain = environment.no_color || plain != usage.plain || !takes_escapes(environment);
    let text = |is_terminal: bool| if is_terminal && !is_plain { &*usage.styled } else { &*plain };
    // Somebody who closes the pipe has read enough of it.
    if usage.is_mistake {
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
