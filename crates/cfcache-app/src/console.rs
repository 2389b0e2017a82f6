//! What is told while something is done.

use crate::exit::Exit;
use crate::failure::Failure;

/// Takes what is told while something is done: a terminal, a log, or nothing.
pub trait Console {
    /// Tells a line, whatever the verbosity. It may begin with a label, such as `error:`.
    fn say(&self, line: &str);

    /// Tells something that is good to know; a quiet console leaves it out.
    fn note(&self, line: &str);

    /// Warns; a quiet console leaves it out.
    fn warn(&self, line: &str) {
        self.note(&format!("warning: {line}"));
    }

    /// Tells what went wrong, and returns the way to end.
    fn failure(&self, failure: &Failure) -> Exit;

    /// Draws nothing from here on: somebody types on the terminal.
    fn leave_alone(&self) {}
}
