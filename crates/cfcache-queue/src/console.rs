//! Writes to standard output and standard error.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::Write as _;

use cfcache_app::console::Console;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use serde::Serialize;
use tokio::sync::watch;

use crate::args::Usage;

/// Writes data to standard output, and everything else to standard error.
#[derive(Default)]
pub(crate) struct Terminal {
    shown_once: RefCell<HashSet<String>>,
    is_closed: Cell<bool>,
    /// Whether data could not be written to standard output.
    has_failed: Cell<bool>,
    /// Counts the signals to stop.
    pub(crate) interrupts: watch::Sender<u8>,
}

impl Terminal {
    /// Writes a line of JSON to standard output.
    pub(crate) fn json(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => self.data(&line),
            Err(error) => self.say(&format!("error: cannot write JSON: {error}")),
        }
    }
}

impl Terminal {
    /// Returns the exit code of the process: a failure if data could not be written.
    pub(crate) fn settle(&self, exit: Exit) -> Exit {
        if self.has_failed.get() { exit.or(Exit::Failed) } else { exit }
    }
}

impl Console for Terminal {
    fn say(&self, line: &str) {
        // If standard error is closed, nobody can be told.
        let _gone = std::io::stderr().lock().write_all(format!("{}\n", readable(line)).as_bytes());
    }

    fn say_once(&self, line: &str) {
        if self.shown_once.borrow_mut().insert(line.to_owned()) {
            self.say(line);
        }
    }

    fn note(&self, line: &str) {
        self.say(line);
    }

    fn failure(&self, failure: &Failure) -> Exit {
        self.say(&format!("error: {}", failure.message));
        for cause in &failure.causes {
            self.say(&format!("  {cause}"));
        }
        if let Some(hint) = &failure.hint {
            self.say(&format!("hint: {hint}"));
        }
        failure.exit
    }

    fn data(&self, line: &str) {
        let written = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
        if let Err(error) = written {
            // A reader that closed the pipe has read enough.
            if error.kind() != std::io::ErrorKind::BrokenPipe && !self.is_closed.get() {
                self.say(&format!("error: cannot write to standard output: {error}"));
            }
            self.has_failed.set(error.kind() != std::io::ErrorKind::BrokenPipe);
            self.is_closed.set(true);
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    fn interrupts(&self) -> watch::Receiver<u8> {
        self.interrupts.subscribe()
    }

    fn confirm(&self, _question: &str) -> Result<(), Failure> {
        Err(Failure::usage("confirmation is not possible here"))
    }
}

/// Prints help, the version or a usage error.
pub(crate) fn usage(usage: &Usage) -> Exit {
    if usage.is_error {
        let _gone = std::io::stderr().lock().write_all(usage.text.as_bytes());
        return Exit::Usage;
    }
    let _gone = std::io::stdout().lock().write_all(usage.text.as_bytes());
    Exit::Accepted
}

/// Removes control characters, so that the line cannot control a terminal.
pub(crate) fn readable(line: &str) -> String {
    line.chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect()
}
