//! What is written to standard output and standard error.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::Write as _;

use cfcache_app::console::Console;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use serde::Serialize;

use crate::args::Usage;

/// Data goes to standard output, everything else to standard error.
#[derive(Default)]
pub(crate) struct Terminal {
    said: RefCell<HashSet<String>>,
    is_closed: Cell<bool>,
    /// Whether something could not be written that somebody waits for.
    is_lost: Cell<bool>,
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
    /// How the process ends, where data that could not be written makes that a failure.
    pub(crate) fn settle(&self, exit: Exit) -> Exit {
        if self.is_lost.get() { exit.or(Exit::Failed) } else { exit }
    }
}

impl Console for Terminal {
    fn say(&self, line: &str) {
        // If standard error is gone there is nobody left to tell.
        let _gone = std::io::stderr().lock().write_all(format!("{}\n", readable(line)).as_bytes());
    }

    fn say_once(&self, line: &str) {
        if self.said.borrow_mut().insert(line.to_owned()) {
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
            // Whoever closed the pipe has read enough.
            if error.kind() != std::io::ErrorKind::BrokenPipe && !self.is_closed.get() {
                self.say(&format!("error: cannot write to standard output: {error}"));
            }
            self.is_lost.set(error.kind() != std::io::ErrorKind::BrokenPipe);
            self.is_closed.set(true);
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    fn confirm(&self, _question: &str) -> Result<(), Failure> {
        Err(Failure::usage("nobody can be asked"))
    }
}

/// Help, the version, or what is wrong with the arguments.
pub(crate) fn usage(usage: &Usage) -> Exit {
    if usage.is_mistake {
        let _gone = std::io::stderr().lock().write_all(usage.text.as_bytes());
        return Exit::Usage;
    }
    let _gone = std::io::stdout().lock().write_all(usage.text.as_bytes());
    Exit::Accepted
}

/// A line that a terminal obeys in nothing.
pub(crate) fn readable(line: &str) -> String {
    line.chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect()
}
