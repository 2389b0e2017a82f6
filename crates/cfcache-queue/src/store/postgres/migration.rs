//! The versions of the schema.

use crate::store::StoreError;
use crate::store::postgres::connection::{PostgresConnection, PostgresPool};
use crate::store::postgres::first;

/// The migration to each version, from the previous one; the first one creates version 1. A released migration never
/// changes.
const MIGRATIONS: &[&str] = &[include_str!("0001.sql"), include_str!("0002.sql")];

const VERSION: i32 = MIGRATIONS.len() as i32;

/// Creates the table of the version. If several sessions do this at once, all but one fail and try again.
const PREPARE: &str = "
    CREATE SCHEMA IF NOT EXISTS cfcache;
    CREATE TABLE IF NOT EXISTS cfcache.migration (
      version    integer PRIMARY KEY,
      applied_at timestamptz NOT NULL DEFAULT now()
    )";

const MIGRATING: &str = "cannot update the schema to this version";
const CHECKING: &str = "cannot use the database";

/// The schema does not have the version of this program. Trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongSchema(String);

pub(super) async fn migrate(pool: &PostgresPool) -> Result<(u32, u32), StoreError> {
    let connection = pool.get(MIGRATING).await?;
    let prepared =
        connection.query("SELECT to_regclass('cfcache.migration') IS NOT NULL", &[], MIGRATING).await?;
    // If the table exists, the right to create schemas is not needed.
    if !first::<bool>(&prepared, MIGRATING)? && connection.batch(PREPARE, MIGRATING).await.is_err() {
        connection.batch(PREPARE, MIGRATING).await?;
    }
    // A lock on a table ends with the transaction, even with a connection pool in between. An advisory lock might not,
    // and could conflict with other programs.
    connection.batch("BEGIN; LOCK TABLE cfcache.migration IN ACCESS EXCLUSIVE MODE", MIGRATING).await?;
    let before = version(&connection, MIGRATING).await?;
    refuse_newer(before, MIGRATING)?;
    for (step, number) in MIGRATIONS.iter().zip(1..).filter(|(_, number)| *number > before) {
        connection.batch(step, MIGRATING).await?;
        let sql = format!("INSERT INTO cfcache.migration (version) VALUES ({number})");
        connection.batch(&sql, MIGRATING).await?;
    }
    connection.commit(MIGRATING).await?;
    connection.put_back();
    Ok((before.unsigned_abs(), VERSION.unsigned_abs()))
}

pub(super) async fn check(pool: &PostgresPool) -> Result<(), StoreError> {
    let connection = pool.get(CHECKING).await?;
    let rows = connection.query("SELECT to_regclass('cfcache.migration') IS NOT NULL", &[], CHECKING).await?;
    let found = if first::<bool>(&rows, CHECKING)? { version(&connection, CHECKING).await? } else { 0 };
    connection.put_back();
    refuse_newer(found, CHECKING)?;
    match found {
        VERSION => Ok(()),
        0 => {
            let message = "the database has no queue yet; run `cfcache-queue migrate`".to_owned();
            Err(StoreError::new(CHECKING, WrongSchema(message)))
        }
        older => Err(StoreError::new(
            CHECKING,
            WrongSchema(format!(
                "the schema has version {older}, but this program needs {VERSION}; run `cfcache-queue migrate`"
            )),
        )),
    }
}

async fn version(connection: &PostgresConnection, doing: &'static str) -> Result<i32, StoreError> {
    let rows =
        connection.query("SELECT coalesce(max(version), 0) FROM cfcache.migration", &[], doing).await?;
    first(&rows, doing)
}

fn refuse_newer(found: i32, doing: &'static str) -> Result<(), StoreError> {
    if found <= VERSION {
        return Ok(());
    }
    let message = format!(
        "the schema has version {found}, but this program supports versions up to {VERSION}; use a newer cfcache-queue"
    );
    Err(StoreError::new(doing, WrongSchema(message)))
}
