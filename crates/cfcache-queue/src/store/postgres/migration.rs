//! The versions of the schema.

use crate::store::StoreError;
use crate::store::postgres::connection::{Connection, Pool};
use crate::store::postgres::first;

/// What leads from each version to the next; the first leads from none to version 1. What was released never changes.
const STEPS: &[&str] = &[include_str!("0001.sql")];

const VERSION: i32 = STEPS.len() as i32;

/// Makes the place where the version is. Several sessions may do that at once, and one of them then fails: it tries again.
const PREPARE: &str = "
    CREATE SCHEMA IF NOT EXISTS cfcache;
    CREATE TABLE IF NOT EXISTS cfcache.migration (
      version    integer PRIMARY KEY,
      applied_at timestamptz NOT NULL DEFAULT now()
    )";

const MIGRATING: &str = "cannot bring the schema to this version";
const CHECKING: &str = "cannot use the database";

/// The schema is another one than this program needs: trying again changes nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongSchema(String);

pub(super) async fn migrate(pool: &Pool) -> Result<(u32, u32), StoreError> {
    let connection = pool.get(MIGRATING).await?;
    let prepared =
        connection.query("SELECT to_regclass('cfcache.migration') IS NOT NULL", &[], MIGRATING).await?;
    // Where it is there, it takes no right to make schemas.
    if !first::<bool>(&prepared, MIGRATING)? && connection.batch(PREPARE, MIGRATING).await.is_err() {
        connection.batch(PREPARE, MIGRATING).await?;
    }
    // A lock on the table and not an advisory lock: it ends with the transaction whatever pools connections in between, and
    // it is in nobody else's way.
    connection.batch("BEGIN; LOCK TABLE cfcache.migration IN ACCESS EXCLUSIVE MODE", MIGRATING).await?;
    let before = version(&connection, MIGRATING).await?;
    refuse_newer(before, MIGRATING)?;
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number > before) {
        connection.batch(step, MIGRATING).await?;
        let sql = format!("INSERT INTO cfcache.migration (version) VALUES ({number})");
        connection.batch(&sql, MIGRATING).await?;
    }
    connection.commit(MIGRATING).await?;
    connection.put_back();
    Ok((before.unsigned_abs(), VERSION.unsigned_abs()))
}

pub(super) async fn check(pool: &Pool) -> Result<(), StoreError> {
    let connection = pool.get(CHECKING).await?;
    let rows = connection.query("SELECT to_regclass('cfcache.migration') IS NOT NULL", &[], CHECKING).await?;
    let found = if first::<bool>(&rows, CHECKING)? { version(&connection, CHECKING).await? } else { 0 };
    connection.put_back();
    refuse_newer(found, CHECKING)?;
    match found {
        VERSION => Ok(()),
        0 => {
            let message = "it has no queue yet; run `cfcache-queue migrate`".to_owned();
            Err(StoreError::new(CHECKING, WrongSchema(message)))
        }
        older => Err(StoreError::new(
            CHECKING,
            WrongSchema(format!(
                "its schema has version {older}, and this program needs {VERSION}; run `cfcache-queue migrate`"
            )),
        )),
    }
}

async fn version(connection: &Connection, doing: &'static str) -> Result<i32, StoreError> {
    let rows =
        connection.query("SELECT coalesce(max(version), 0) FROM cfcache.migration", &[], doing).await?;
    first(&rows, doing)
}

fn refuse_newer(found: i32, doing: &'static str) -> Result<(), StoreError> {
    if found <= VERSION {
        return Ok(());
    }
    let message = format!(
        "the schema has version {found}, and this program knows no later one than {VERSION}; use a newer cfcache-queue"
    );
    Err(StoreError::new(doing, WrongSchema(message)))
}
