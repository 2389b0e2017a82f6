//! From a file to PostgreSQL.

use crate::store::{PostgresStore, SqliteStore, StoreError};

/// How many rows go over at once.
const ROWS: usize = 5000;

/// What [`move_queue`] carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Moved {
    /// Requests that wait.
    pub requests: u64,
    /// Dead letters. Those that an earlier run carried over, and could not remove from the file, are not counted again.
    pub dead: u64,
    /// Budgets.
    pub budgets: u64,
}

/// The tables that are carried over, in JSON, since both databases read and write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Requests,
    Dead,
    Budgets,
}

/// Carries all requests, dead letters and budgets of a file over to PostgreSQL, and removes them from the file.
///
/// - PostgreSQL has all of it or nothing: it is one transaction. The file is emptied after that is committed.
/// - Where it is interrupted in between, everything is in both; another run carries the requests over a second time,
///   which are merged with the first when they are sent, and the dead letters once.
/// - Requests keep their order, age, attempts, and the time when they may be sent and are given up. Of a budget that is on
///   both sides the one that is used more counts.
///
/// # Errors
///
/// [`StoreError`]. Nothing is lost then, and it can be run again.
pub async fn move_queue(from: &SqliteStore, to: &PostgresStore) -> Result<Moved, StoreError> {
    let mut import = to.begin_import().await?;
    let mut moved = Moved::default();
    for (table, count) in [
        (Table::Requests, &mut moved.requests),
        (Table::Dead, &mut moved.dead),
        (Table::Budgets, &mut moved.budgets),
    ] {
        let mut read = 0;
        while let Some((rows, json)) = from.export(table, read, ROWS).await? {
            read += rows;
            *count += import.add(table, &json).await?;
        }
    }
    import.commit().await?;
    from.empty().await?;
    Ok(moved)
}
