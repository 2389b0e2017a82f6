//! The commands `status` and `drain`.

use std::time::Duration;

use cfcache_app::console::Console as _;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_app::wording;
use cfcache_queue::Store;
use tokio::time::{Instant, sleep};

use crate::command::store_failure;
use crate::console::Terminal;

/// How often `drain` checks the queue.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Prints the status of the queue.
pub(super) async fn show(store: &dyn Store, is_json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let status = store.status().await.map_err(store_failure)?;
    if is_json {
        terminal.json(&status.to_json());
        return Ok(Exit::Accepted);
    }
    if status.kinds.is_empty() {
        terminal.data("nothing waits");
    }
    for kind in &status.kinds {
        let oldest = wording::duration(kind.oldest);
        terminal.data(&format!("{:<12}{:>10} waiting, the oldest for {oldest}", kind.kind, kind.waiting));
    }
    for budget in &status.budgets {
        let blocked = match budget.blocked_for {
            Duration::ZERO => String::new(),
            time => format!(", blocked by the API for {}", wording::duration(time)),
        };
        terminal.data(&format!("budget {}: {:.0} tokens{blocked}", budget.name, budget.tokens.floor()));
    }
    if status.dead_count > 0 {
        terminal.data(&format!("{} dead letters: see `cfcache-queue dead list`", status.dead_count));
    }
    Ok(Exit::Accepted)
}

/// Waits until the queue is empty.
pub(super) async fn drain(
    store: &dyn Store,
    timeout: Option<f64>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let Ok(limit) = timeout.map(Duration::try_from_secs_f64).transpose() else {
        return Err(Failure::usage("`--timeout` is not a number of seconds"));
    };
    let begun = Instant::now();
    let mut dead_before = None;
    loop {
        let status = store.status().await.map_err(store_failure)?;
        let before = *dead_before.get_or_insert(status.dead_count);
        if status.waiting() == 0 {
            let more = status.dead_count.saturating_sub(before);
            if more > 0 {
                let message =
                    format!("the queue is empty, but {more} requests became dead letters in the meantime");
                return Err(Failure::new(Exit::Failed, message).with_hint("see `cfcache-queue dead list`"));
            }
            terminal.data("the queue is empty");
            return Ok(Exit::Accepted);
        }
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            let message = format!("{} requests are still waiting", status.waiting());
            return Err(Failure::new(Exit::NotReady, message).with_hint("is a worker running?"));
        }
        sleep(POLL_INTERVAL).await;
    }
}
