//! What people and programs read: data on standard output, talk on standard error.

pub(crate) mod human;
pub(crate) mod outcome;

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::args::{ColorArg, Global, OutputArg, Usage};
use crate::config::Environment;
use crate::exit::Exit;
use crate::failure::Failure;

/// How much of what went wrong is remembered.
const TOLD: usize = 100;

/// How many reasons for trying again are told.
const TROUBLES: usize = 5;

/// How much is said, and how.
pub(crate) struct Talk {
    pub(crate) output: OutputArg,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    /// A progress line may be drawn and redrawn.
    pub(crate) live: bool,
    pub(crate) progress: bool,
    color_err: bool,
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
    /// Somebody types entries on the terminal.
    typed_on: Cell<bool>,
}

impl Talk {
    pub(crate) fn new(global: &Global, environment: &Environment) -> Self {
        let output = match (global.json, global.output) {
            (true, _) => OutputArg::Json,
            (false, output) => output.unwrap_or(OutputArg::Human),
        };
        let color = |is_terminal: bool| match global.color.unwrap_or(ColorArg::Auto) {
            ColorArg::Always => true,
            ColorArg::Never => false,
            ColorArg::Auto => is_terminal && !environment.no_color && !environment.dumb_terminal,
        };
        let err_is_terminal = std::io::stderr().is_terminal();
        Self {
            output,
            quiet: global.quiet,
            verbose: global.verbose,
            live: err_is_terminal && !environment.dumb_terminal && global.verbose == 0,
            progress: !global.quiet && !global.no_progress,
            color_err: color(err_is_terminal),
            broken: Cell::new(false),
            lost: RefCell::new(None),
            said: RefCell::default(),
            troubles: RefCell::default(),
            told: RefCell::default(),
            drawn: Cell::new(0),
            typed_on: Cell::new(false),
        }
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
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
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
        match terminal_size::terminal_size_of(std::io::stdout()) {
            Some((width, _)) => self.data(&human::wrap(line, usize::from(width.0))),
            None => self.data(line),
        }
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
        match self.lost.borrow().is_some() {
            true => exit.or(Exit::Failed),
            false => exit,
        }
    }

    /// Says something on standard error, whatever the verbosity.
    pub(crate) fn say(&self, line: &str) {
        self.clear();
        // In one piece, so that what another process writes there does not come between. If standard error is gone there
        // is nobody left to tell.
        let _gone = std::io::stderr().lock().write_all(format!("{}\n", Self::fold(line)).as_bytes());
    }

    /// Breaks what is said between words, where a terminal would break it anywhere.
    pub(crate) fn fold(text: &str) -> String {
        match terminal_size::terminal_size_of(std::io::stderr()) {
            Some((width, _)) => human::wrap(text, usize::from(width.0)),
            None => text.to_owned(),
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
        self.say(&format!("{} {}", self.label("error"), failure.message));
        self.remember(&failure.message);
        for cause in &failure.causes {
            self.say(&format!("  {cause}"));
            self.remember(cause);
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

    /// "error:", in the color that is usual for it.
    pub(crate) fn label(&self, word: &str) -> String {
        let color = match word {
            "error" => "\u{1b}[1;31m",
            "warning" => "\u{1b}[1;33m",
            _ => "\u{1b}[1;36m",
        };
        if self.color_err { format!("{color}{word}:\u{1b}[0m") } else { format!("{word}:") }
    }

    /// Draws the progress line anew, and no wider than the terminal: what wraps could not be taken away again.
    pub(crate) fn draw(&self, line: &str) {
        if self.typed_on.get() {
            return;
        }
        let columns = self.columns();
        let line = human::fit(line, columns.saturating_sub(1));
        let away = away(self.drawn.get(), columns);
        let _gone = std::io::stderr().lock().write_all(format!("{away}{line}").as_bytes());
        self.drawn.set(human::width(line).max(1));
    }

    /// How wide the terminal is now; at least 1.
    #[expect(clippy::unused_self, reason = "it is this one's terminal")]
    pub(crate) fn columns(&self) -> usize {
        terminal_size::terminal_size_of(std::io::stderr())
            .map_or(80, |(width, _)| usize::from(width.0).max(1))
    }

    /// Draws no more: somebody types on that terminal.
    pub(crate) fn leave_alone(&self) {
        self.typed_on.set(true);
    }

    /// Takes the progress line away.
    pub(crate) fn clear(&self) {
        let drawn = self.drawn.replace(0);
        if drawn > 0 {
            let _gone = write!(std::io::stderr().lock(), "{}", away(drawn, self.columns()));
        }
    }
}

/// What takes away a line of that width. On a terminal that has become narrower it stands on several by now.
fn away(drawn: usize, columns: usize) -> String {
    match drawn.saturating_sub(1) / columns {
        0 => "\r\u{1b}[K".to_owned(),
        above => format!("\u{1b}[{above}A\r\u{1b}[J"),
    }
}

/// Prints what clap has to say: help and the version on standard output, mistakes on standard error.
pub(crate) fn usage(usage: &Usage, environment: &Environment) -> Exit {
    let is_plain = environment.no_color || environment.dumb_terminal;
    let text = |is_terminal: bool| if is_terminal && !is_plain { &usage.styled } else { &usage.plain };
    // Somebody who closes the pipe has read enough of it.
    if usage.is_mistake {
        let mut err = std::io::stderr().lock();
        let _gone = err.write_all(text(err.is_terminal()).as_bytes());
        Exit::Usage
    } else {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text(out.is_terminal()).as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            let _gone = writeln!(std::io::stderr().lock(), "error: cannot write to standard output: {error}");
            return Exit::Failed;
        }
        Exit::Accepted
    }
}
