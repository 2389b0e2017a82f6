//! Moves a queue from a file to PostgreSQL.

use crate::store::{PostgresStore, SqliteStore, StoreError};

/// The number of rows per step.
const ROWS: usize = 5000;

/// The result of [`move_queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MoveSummary {
    /// The number of waiting requests.
    pub requests: u64,
    /// The number of dead letters, without those that an earlier run had moved but could not remove from the file.
    pub dead: u64,
    /// The number of budgets.
    pub budgets: u64,
}

/// The tables to move. The rows are moved as JSON, which both databases can read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Requests,
    Dead,
    Budgets,
}

/// Moves all requests, dead letters and budgets of a file to PostgreSQL, and removes them from the file.
///
/// - PostgreSQL gets either everything or nothing, in one transaction. The file is emptied after the commit.
/// - If the move is interrupted between the two, everything is in both. Another run then moves the requests a second
///   time, and they are merged with the first ones when they are sent. Dead letters are moved once.
/// - Requests keep their order, age, attempts, delay and expiry. If a budget exists on both sides, the one with fewer
///   tokens is used.
///
/// # Errors
///
/// [`StoreError`]. Nothing is lost then, and the move can be repeated.
pub async fn move_queue(from: &SqliteStore, to: &PostgresStore) -> Result<MoveSummary, StoreError> {
    let mut import = to.begin_import().await?;
    let mut moved = MoveSummary::default();
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
