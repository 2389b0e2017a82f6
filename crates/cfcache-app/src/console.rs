//! What is told while something is done.

use core::time::Duration;

use cfcache_client::{Event, Exchange};
use cfcache_model::Kind;
use cfcache_probe::{NoAnswer, Visit};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::BatchEvent;

/// Takes what is told while something is done: a terminal, a log, or nothing.
///
/// Messages are single lines. A line may begin with a label: `error:`, `warning:`, `invalid:` or `hint:`.
pub trait Console {
    /// Tells a line, whatever the verbosity.
    fn say(&self, line: &str);

    /// Tells a line, unless it was told before.
    fn say_once(&self, line: &str);

    /// Tells something that is good to know. A quiet console leaves it out.
    fn note(&self, line: &str);

    /// Tells a detail. Only a verbose console shows it.
    fn detail(&self, _line: &str) {}

    /// Warns. A quiet console leaves it out.
    fn warn(&self, line: &str) {
        self.note(&format!("warning: {line}"));
    }

    /// Tells what went wrong, and returns the way to end.
    fn failure(&self, failure: &Failure) -> Exit;

    /// Remembers a reason that was told, so that a summary need not repeat it.
    fn remember(&self, _reason: &str) {}

    /// Takes a line of the result, such as a request of a dry run.
    fn data(&self, line: &str);

    /// Returns whether nobody reads results any more.
    fn is_closed(&self) -> bool {
        false
    }

    /// Asks for a yes before something that cannot be undone.
    ///
    /// # Errors
    ///
    /// Where the answer is no, or nobody can be asked.
    fn confirm(&self, question: &str) -> Result<(), Failure>;

    /// Entries are read from standard input, which may be a terminal that somebody types on.
    fn reads_standard_input(&self) {}

    /// A request was sent, and was answered or not.
    fn exchange(&self, _exchange: &Exchange<'_>) {}

    /// Something happened to a request or a run.
    fn event(&self, _event: &Event<'_>) {}

    /// A URL was asked, and was answered or not.
    fn visited(&self, _url: &str, _visited: &Result<Visit, NoAnswer>) {}

    /// A run over a list begins.
    fn run_started(&self, _run: RunInfo) {}

    /// Entries of the run failed without being sent.
    fn unsent(&self, _entries: u64) {}

    /// A batch of the run ended.
    fn batch(&self, _batch: &BatchEvent<'_>) {}

    /// Time has passed; called several times a second during a run.
    fn tick(&self) {}

    /// The run is over.
    fn run_ended(&self) {}

    /// Shows how far something is that began so long ago; called several times a second.
    fn progress(&self, _line: &str, _elapsed: Duration) {}
}

/// What is known of a run when it begins.
pub struct RunInfo {
    /// What its entries are.
    pub kind: Kind,
    /// How many entries there are, where they were counted.
    pub total: Option<u64>,
    /// Returns how long so many more entries take at least, as far as the limits are known.
    pub estimate: Box<dyn Fn(u64) -> Duration>,
}
