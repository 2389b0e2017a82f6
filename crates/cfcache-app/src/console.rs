//! The interface to the user of a run: messages, progress, questions and interrupts.

use core::time::Duration;

use cfcache_client::{Event, Exchange};
use cfcache_model::Kind;
use cfcache_probe::{NoAnswer, Visit};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::BatchEvent;

/// Receives messages and progress, asks, and can interrupt: a terminal, a log, or nothing.
///
/// Messages are single lines. A line may begin with a label: `error:`, `warning:`, `invalid:` or `hint:`.
pub trait Console {
    /// Shows a line, whatever the verbosity.
    fn say(&self, line: &str);

    /// Shows a line, unless it was shown before.
    fn say_once(&self, line: &str);

    /// Shows an informational line. A quiet console omits it.
    fn note(&self, line: &str);

    /// Shows a detail. Only a verbose console shows it.
    fn detail(&self, _line: &str) {}

    /// Shows a warning. A quiet console omits it.
    fn warn(&self, line: &str) {
        self.note(&format!("warning: {line}"));
    }

    /// Shows an error, and returns the exit code.
    fn failure(&self, failure: &Failure) -> Exit;

    /// Remembers a reason that was shown, so that a summary need not repeat it.
    fn remember(&self, _reason: &str) {}

    /// Writes a line of the result, such as a request of a dry run.
    fn data(&self, line: &str);

    /// Returns whether the reader of the results is gone.
    fn is_closed(&self) -> bool {
        false
    }

    /// Asks for confirmation before an action that cannot be undone.
    ///
    /// # Errors
    ///
    /// If the answer is no, or if there is no way to ask.
    fn confirm(&self, question: &str) -> Result<(), Failure>;

    /// Returns the number of requests to stop so far, such as by Ctrl-C. By default there are none.
    ///
    /// After the first one, a run sends nothing more and waits for requests in flight. After the second one, it does not
    /// wait.
    fn interrupts(&self) -> watch::Receiver<u8> {
        watch::channel(0).1
    }

    /// Entries are being read from standard input, which may be a terminal.
    fn reads_standard_input(&self) {}

    /// A request was sent; called with its result.
    fn exchange(&self, _exchange: &Exchange<'_>) {}

    /// An event of a request or a run.
    fn event(&self, _event: &Event<'_>) {}

    /// A URL was requested; called with its result.
    fn visited(&self, _url: &str, _visited: &Result<Visit, NoAnswer>) {}

    /// A run over a list has started.
    ///
    /// `total` is the number of entries, if they were counted. `estimate` returns the minimum time for a number of
    /// further entries, as far as the limits are known.
    fn run_started(&self, _kind: Kind, _total: Option<u64>, _estimate: Box<dyn Fn(u64) -> Duration>) {}

    /// Entries of the run failed without being sent.
    fn unsent(&self, _entries: u64) {}

    /// A batch of the run ended.
    fn batch(&self, _batch: &BatchEvent<'_>) {}

    /// Called several times per second during a run.
    fn tick(&self) {}

    /// The run has ended.
    fn run_ended(&self) {}

    /// Shows the progress of a task that started `elapsed` ago; called several times per second.
    fn progress(&self, _line: &str, _elapsed: Duration) {}
}

impl dyn Console + '_ {
    /// Waits for the `nth` request to stop, counted from 1; forever if there can be none.
    pub fn interrupted(&self, nth: u8) -> impl Future<Output = ()> + use<> {
        let mut count = self.interrupts();
        async move {
            if count.wait_for(|count| *count >= nth).await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    }
}
