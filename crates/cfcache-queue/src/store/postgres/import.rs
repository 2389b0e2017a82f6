//! Imports the rows of a file.

use tokio_postgres::types::Type;

use crate::store::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::connection::PostgresConnection;
use crate::store::transfer::Table;

const IMPORTING: &str = "cannot store the rows of the file";

/// A transaction that imports rows.
pub(in crate::store) struct Import(PostgresConnection);

impl PostgresStore {
    /// Begins an import. In the end, either all rows are imported or none.
    pub(in crate::store) async fn begin_import(&self) -> Result<Import, StoreError> {
        self.check_schema().await?;
        let connection = self.pool.get(IMPORTING).await?;
        connection.batch("BEGIN; SET LOCAL synchronous_commit = on", IMPORTING).await?;
        Ok(Import(connection))
    }
}

impl Import {
    /// Imports rows in the form of a JSON array of objects. Returns how many were new.
    pub(in crate::store) async fn add(&mut self, table: Table, json: &str) -> Result<u64, StoreError> {
        let sql = match table {
            Table::Requests => {
                "INSERT INTO cfcache.request
                   (zone, environment, action, kind, key, priority, requested_at, not_before, expires_at, attempts,
                    last_error, source, event)
                 SELECT zone, environment, action, kind, key, priority,
                   timestamptz 'epoch' + requested_at * interval '1 microsecond',
                   timestamptz 'epoch' + not_before * interval '1 microsecond',
                   timestamptz 'epoch' + expires_at * interval '1 microsecond', attempts, last_error, source, event
                 FROM json_to_recordset($1::json) AS given
                   (id bigint, zone text, environment text, action text, kind text, key text, priority smallint,
                    requested_at bigint, not_before bigint, expires_at bigint, attempts integer, last_error text,
                    source text, event text)
                 ORDER BY id"
            }
            // Dead letters get new ids, so the same one is recognized by its content and time.
            Table::Dead => {
                "INSERT INTO cfcache.dead
                   (id, zone, environment, action, kind, key, priority, requested_at, died_at, attempts, reason, last_error,
                    source, event)
                 SELECT nextval('cfcache.request_id_seq'), zone, environment, action, kind, key, priority,
                   timestamptz 'epoch' + requested_at * interval '1 microsecond',
                   timestamptz 'epoch' + died_at * interval '1 microsecond', attempts, reason, last_error, source, event
                 FROM json_to_recordset($1::json) AS given
                   (id bigint, zone text, environment text, action text, kind text, key text, priority smallint,
                    requested_at bigint, died_at bigint, attempts integer, reason text, last_error text, source text,
                    event text)
                 WHERE NOT EXISTS (
                   SELECT FROM cfcache.dead AS known
                   WHERE (known.zone, known.environment, known.action, known.kind, known.key)
                       = (given.zone, given.environment, given.action, given.kind, given.key)
                     AND known.requested_at = timestamptz 'epoch' + given.requested_at * interval '1 microsecond'
                     AND known.died_at = timestamptz 'epoch' + given.died_at * interval '1 microsecond')"
            }
            Table::Budgets => {
                "INSERT INTO cfcache.budget AS known (name, interval_us, burst, tat, blocked_until)
                 SELECT name, interval_us, burst, timestamptz 'epoch' + tat * interval '1 microsecond',
                   timestamptz 'epoch' + blocked_until * interval '1 microsecond'
                 FROM json_to_recordset($1::json) AS given
                   (name text, interval_us bigint, burst integer, tat bigint, blocked_until bigint)
                 ON CONFLICT (name) DO UPDATE SET tat = greatest(known.tat, excluded.tat),
                   blocked_until = greatest(known.blocked_until, excluded.blocked_until)"
            }
        };
        self.0.execute(sql, &[(&json, Type::TEXT)], IMPORTING).await
    }

    /// Commits the import.
    pub(in crate::store) async fn commit(self) -> Result<(), StoreError> {
        self.0
            .commit("it is unknown whether the rows of the file were stored; run the command again")
            .await?;
        self.0.put_back();
        Ok(())
    }
}
