//! The command `dead`: lists, retries or deletes dead letters.

use cfcache_app::console::Console as _;
use cfcache_app::exit::Exit;
use cfcache_app::failure::Failure;
use cfcache_model::endpoint::Action;
use cfcache_queue::{DeadRequest, DeadSelection, Store};

use crate::args::{DeadArgs, DeadCommand};
use crate::command::store_failure;
use crate::console::{Terminal, readable};

pub(super) async fn run(
    store: &dyn Store,
    command: DeadCommand,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let (count, expected, done) = match command {
        DeadCommand::List { limit, json } => return list(store, limit, json, terminal).await,
        DeadCommand::Retry(selection) => {
            let (selection, expected) = selected(selection);
            (store.retry_dead(&selection).await, expected, "put back into the queue")
        }
        DeadCommand::Drop(selection) => {
            let (selection, expected) = selected(selection);
            (store.drop_dead(&selection).await, expected, "deleted")
        }
    };
    let count = count.map_err(store_failure)?;
    terminal.data(&format!("{count} dead letters {done}"));
    match expected {
        Some(expected) if count < expected => {
            let missing = expected - count;
            Err(Failure::new(Exit::Failed, format!("{missing} of these ids are not the ids of dead letters"))
                .with_hint("see `cfcache-queue dead list`"))
        }
        _ => Ok(Exit::Accepted),
    }
}

async fn list(store: &dyn Store, limit: usize, is_json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let dead = store.dead(limit).await.map_err(store_failure)?;
    if is_json {
        terminal.json(&dead.iter().map(DeadRequest::to_json).collect::<Vec<_>>());
        return Ok(Exit::Accepted);
    }
    if dead.is_empty() {
        terminal.data("there are no dead letters");
    }
    for dead in dead {
        let key = if dead.key.is_empty() { String::new() } else { format!(" {}", dead.key) };
        let action = match dead.action {
            Action::Purge => "purge",
            Action::Invalidate => "invalidate",
        };
        let line = format!(
            "{} {} {} {action} {}{key}: {}",
            dead.id, dead.reason, dead.zone, dead.kind, dead.last_error
        );
        terminal.data(&readable(&line));
    }
    Ok(Exit::Accepted)
}

/// Returns the selection, and how many dead letters it should match if that is known.
fn selected(selection: DeadArgs) -> (DeadSelection, Option<u64>) {
    if selection.all {
        return (DeadSelection::All, None);
    }
    let mut ids = selection.ids;
    ids.sort_unstable();
    ids.dedup();
    let count = ids.len() as u64;
    (DeadSelection::Ids(ids), Some(count))
}
