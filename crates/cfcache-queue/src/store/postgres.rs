//! The queue in PostgreSQL, version 13 or later.
//!
//! - A claim is an open transaction that locks its rows with `FOR UPDATE SKIP LOCKED`. If a worker dies, its rows are
//!   free as soon as the server notices the closed connection; if it hangs, after [`IDLE_TIMEOUT`].
//! - The server keeps no state between transactions: no prepared statements, no `LISTEN`, no advisory locks, no
//!   settings except `SET LOCAL`. So the store works behind PgBouncer in transaction mode.

mod connection;
mod import;
mod insert;
mod migration;
mod tls;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cfcache_model::target::Kind;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};

use crate::engine::{MAX_ATTEMPTS, MAX_BLOCK, host_of, identity};
use crate::request::{NewRequest, QueuedRequest, Subject};
pub use crate::store::postgres::connection::{InvalidPostgresUrl, PostgresUrl};
use crate::store::postgres::connection::{PostgresConnection, PostgresPool};
use crate::store::postgres::insert::Inserts;
use crate::store::postgres::migration::WrongSchema;
use crate::store::{
    BudgetStatus, Claim, ClaimedTarget, DeadReason, DeadRequest, DeadSelection, KindStatus, NewDeadLetters,
    QueueStatus, RequestGroup, Settlement, Store, StoreError, StoreFuture, Tokens, action_word, parse_action,
};

/// The time without [`Claim::keep`] after which the server takes a claim back.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How often the lowest id is read. A request that commits late with a lower id waits at most this much longer.
const RESCAN_INTERVAL: Duration = Duration::from_secs(5);

/// How long a service waits before it tries to reach the database again.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

/// How often a claim searches for more targets if duplicates left it with fewer than requested.
const CLAIM_ROUNDS: usize = 4;

/// The maximum length of the column `place`, in characters; see the schema.
const PLACE_CHARS: usize = 500;

/// Allows only plans that follow an index in its order. The statistics of a table that is empty one moment and full the
/// next are useless, and often make a full scan with a sort look equally good.
const PLANNER_SETTINGS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; \
     SET LOCAL jit = off";

/// Makes requests due whose time has come. Rows that are locked are left to the worker that holds them.
const MAKE_DUE: &str = "SET LOCAL synchronous_commit = off; \
     UPDATE cfcache.request SET not_before = requested_at WHERE id = ANY (ARRAY( \
       SELECT id FROM cfcache.request WHERE not_before > requested_at AND not_before <= now() \
       ORDER BY not_before LIMIT 5000 FOR UPDATE SKIP LOCKED))";

/// The queue in PostgreSQL.
pub struct PostgresStore {
    pool: Arc<PostgresPool>,
    inserts: Inserts,
    idle_timeout: Duration,
    bound: Mutex<Bound>,
}

/// The lowest id to search. Claims skip the rows below it: they have been removed, but the server cannot clean them up
/// yet because an old transaction might still see them.
///
/// The bound is [`RESCAN_INTERVAL`] behind the lowest known id, so that a transaction that commits within this time
/// after getting its id is seen at once.
#[derive(Debug, Default)]
struct Bound {
    current: i64,
    next: i64,
    read_at: Option<Instant>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("server", &self.pool.server()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Creates a store on that database with at most this many connections, and at least two. Does not connect yet.
    #[must_use]
    pub fn new(url: PostgresUrl, max_connections: usize) -> Self {
        let pool = Arc::new(PostgresPool::new(url, max_connections.max(2)));
        let inserts = Inserts::new(Arc::clone(&pool));
        Self { pool, inserts, idle_timeout: IDLE_TIMEOUT, bound: Mutex::default() }
    }

    /// Sets the time without contact after which the server takes a claim back.
    #[must_use]
    pub const fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Updates the schema to this version, in one transaction. Returns the versions before and after. Concurrent calls
    /// wait for each other.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be reached, its schema is newer than this program, or the user may not
    /// change it. Nothing was changed then.
    pub async fn migrate(&self) -> Result<(u32, u32), StoreError> {
        migration::migrate(&self.pool).await
    }

    /// Checks that the schema has the version of this program.
    ///
    /// # Errors
    ///
    /// [`StoreError`], which says what to do.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        migration::check(&self.pool).await
    }

    /// Checks the schema as [`check_schema`](Self::check_schema) does, but waits until the database can be reached.
    /// Calls `report` with each connection error.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the schema has another version, because waiting would not help.
    pub async fn wait_for_schema(&self, mut report: impl FnMut(&StoreError)) -> Result<(), StoreError> {
        loop {
            match self.check_schema().await {
                Err(error) if !error.source.is::<WrongSchema>() => {
                    report(&error);
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the lowest id to search, and updates it if it is old.
    async fn lowest_id(&self, connection: &PostgresConnection) -> Result<i64, tokio_postgres::Error> {
        {
            let mut bound = self.bound();
            if bound.read_at.is_some_and(|at| at.elapsed() < RESCAN_INTERVAL) {
                return Ok(bound.current);
            }
            // One task reads; the others continue with the known bound.
            bound.read_at = Some(Instant::now());
        }
        // If nothing waits, new requests get ids above the last one of the sequence.
        let sql = "SELECT coalesce((SELECT min(id) FROM cfcache.request), \
                   (SELECT last_value FROM cfcache.request_id_seq))";
        let row = match connection.client.query_typed_one(sql, &[]).await {
            Ok(row) => row,
            Err(error) => {
                self.bound().read_at = None;
                return Err(error);
            }
        };
        let lowest: i64 = row.try_get(0)?;
        let mut bound = self.bound();
        bound.current = bound.next.min(lowest);
        bound.next = lowest;
        Ok(bound.current)
    }

    async fn read_groups(&self) -> Result<Vec<RequestGroup>, StoreError> {
        const DOING: &str = "cannot search for requests that are ready";
        // Each step uses the index of due requests to go to the next group, so a group of a million requests costs one
        // step.
        const SQL: &str = "
            WITH RECURSIVE step AS (
              (SELECT zone, action, environment, kind FROM cfcache.request
               WHERE not_before <= requested_at AND id >= $1 ORDER BY zone, action, environment, kind LIMIT 1)
              UNION ALL
              SELECT next.* FROM step CROSS JOIN LATERAL (
                SELECT zone, action, environment, kind FROM cfcache.request
                WHERE (zone, action, environment, kind) > (step.zone, step.action, step.environment, step.kind)
                  AND not_before <= requested_at AND id >= $1
                ORDER BY zone, action, environment, kind LIMIT 1
              ) AS next
            )
            SELECT zone, action, environment, kind FROM step";
        let connection = self.pool.get(DOING).await?;
        let lowest = self.lowest_id(&connection).await.map_err(|error| failed(DOING, &error))?;
        connection.batch(&format!("BEGIN; {PLANNER_SETTINGS}; {MAKE_DUE}"), DOING).await?;
        let rows = connection.query(SQL, &[(&lowest, Type::INT8)], DOING).await?;
        connection.commit(DOING).await?;
        connection.put_back();
        rows.iter().map(|row| group(row).map_err(|error| failed(DOING, &error))).collect()
    }

    async fn claim_group(
        &self,
        group: &RequestGroup,
        limit: usize,
    ) -> Result<Option<Box<dyn Claim>>, StoreError> {
        const DOING: &str = "cannot claim requests";
        let connection = self.pool.get(DOING).await?;
        let lowest = self.lowest_id(&connection).await.map_err(|error| failed(DOING, &error))?;
        // If a crash of the server undoes a settlement, the requests are only sent again.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = {}; \
             SET LOCAL synchronous_commit = off; {PLANNER_SETTINGS}",
            self.idle_timeout.as_millis()
        );
        connection.batch(&begin, DOING).await?;
        let mut claim =
            PostgresClaim { connection, requests: Vec::new(), ids: Vec::new(), invalid: Vec::new() };
        claim.take_targets(group, limit, lowest).await?;
        if claim.requests.is_empty() && claim.invalid.is_empty() {
            claim.connection.batch("ROLLBACK", DOING).await?;
            claim.connection.put_back();
            return Ok(None);
        }
        claim.take_same(group, lowest).await?;
        claim.take_covered(group, lowest).await?;
        Ok(Some(Box::new(claim)))
    }

    async fn take(&self, tokens: &[Tokens]) -> Result<Duration, StoreError> {
        const DOING: &str = "cannot take tokens of the budget";
        let names: Vec<&str> = tokens.iter().map(|tokens| tokens.budget.as_str()).collect();
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).max(1);
        let intervals: Vec<i64> = tokens.iter().map(|tokens| micros(tokens.interval)).collect();
        let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let bursts: Vec<i32> = tokens.iter().map(|tokens| number(tokens.burst.max(1))).collect();
        let counts: Vec<i32> = tokens.iter().map(|tokens| number(tokens.count)).collect();
        let connection = self.pool.get(DOING).await?;
        let sql = "SELECT cfcache.take_tokens($1, $2, $3, $4)";
        let rows = connection
            .query(
                sql,
                &[
                    (&names, Type::TEXT_ARRAY),
                    (&intervals, Type::INT8_ARRAY),
                    (&bursts, Type::INT4_ARRAY),
                    (&counts, Type::INT4_ARRAY),
                ],
                DOING,
            )
            .await?;
        connection.put_back();
        let wait: i64 = first(&rows, DOING)?;
        Ok(Duration::from_micros(wait.try_into().unwrap_or(0)))
    }

    async fn block(&self, names: &[String], duration: Duration) -> Result<(), StoreError> {
        const DOING: &str = "cannot block the budget";
        let micros = micros(duration.min(MAX_BLOCK));
        let connection = self.pool.get(DOING).await?;
        // The API refuses because its own bucket is empty, so this bucket is also empty at the end of the block.
        let sql = "UPDATE cfcache.budget SET \
                     blocked_until = greatest(blocked_until, clock_timestamp() + $2 * interval '1 microsecond'), \
                     tat = greatest(tat, clock_timestamp() + ($2 + burst * interval_us) * interval '1 microsecond') \
                   WHERE name = ANY ($1)";
        connection.execute(sql, &[(&names, Type::TEXT_ARRAY), (&micros, Type::INT8)], DOING).await?;
        connection.put_back();
        Ok(())
    }

    async fn read_status(&self) -> Result<QueueStatus, StoreError> {
        const DOING: &str = "cannot read the queue's status";
        let connection = self.pool.get(DOING).await?;
        let mut status = QueueStatus::default();
        let sql = "SELECT kind, count(*), \
                   (greatest(extract(epoch FROM clock_timestamp() - min(requested_at)), 0) * 1000000)::bigint \
                   FROM cfcache.request GROUP BY kind ORDER BY kind";
        for row in connection.query(sql, &[], DOING).await? {
            let kind = KindStatus {
                kind: get(&row, 0, DOING)?,
                waiting: get::<i64>(&row, 1, DOING)?.unsigned_abs(),
                oldest: Duration::from_micros(get::<i64>(&row, 2, DOING)?.unsigned_abs()),
            };
            status.kinds.push(kind);
        }
        let sql = "SELECT name, \
                   greatest(0, (burst * interval_us \
                     - extract(epoch FROM greatest(tat, clock_timestamp()) - clock_timestamp()) * 1000000) \
                     / interval_us)::float8, \
                   (greatest(extract(epoch FROM blocked_until - clock_timestamp()), 0) * 1000000)::bigint \
                   FROM cfcache.budget ORDER BY name";
        for row in connection.query(sql, &[], DOING).await? {
            status.budgets.push(BudgetStatus {
                name: get(&row, 0, DOING)?,
                tokens: get(&row, 1, DOING)?,
                blocked_for: Duration::from_micros(get::<i64>(&row, 2, DOING)?.unsigned_abs()),
            });
        }
        let sql = "SELECT (SELECT count(*) FROM cfcache.dead), \
                   (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'cfcache.request'::regclass), \
                   (SELECT (greatest(extract(epoch FROM clock_timestamp() - min(xact_start)), 0) * 1000000)::bigint \
                    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend')";
        let rows = connection.query(sql, &[], DOING).await?;
        status.dead_count = first::<i64>(&rows, DOING)?.unsigned_abs();
        if let Some(row) = rows.first() {
            status.dead_tuples = get::<Option<i64>>(row, 1, DOING)?.map(i64::unsigned_abs);
            let oldest = get::<Option<i64>>(row, 2, DOING)?.map(i64::unsigned_abs);
            status.oldest_transaction = Some(oldest.map_or(Duration::ZERO, Duration::from_micros));
        }
        status.dead = read_dead(&connection, 100, DOING).await?;
        connection.put_back();
        Ok(status)
    }

    async fn check(&self) -> Result<(), StoreError> {
        const DOING: &str = "cannot write to the queue";
        let connection = self.pool.get(DOING).await?;
        let sql = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, \
                   has_table_privilege('cfcache.request', 'INSERT')";
        let rows = connection.query(sql, &[], DOING).await?;
        connection.put_back();
        let is_read_only: bool = first(&rows, DOING)?;
        let may_insert = rows.first().is_some_and(|row| row.try_get(1).unwrap_or(false));
        if is_read_only {
            return Err(StoreError::new(DOING, "the server is a standby or read-only"));
        }
        if !may_insert {
            return Err(StoreError::new(DOING, "the user is not allowed to insert into cfcache.request"));
        }
        Ok(())
    }

    async fn list_dead(&self, limit: usize) -> Result<Vec<DeadRequest>, StoreError> {
        const DOING: &str = "cannot read the dead letters";
        let connection = self.pool.get(DOING).await?;
        let dead = read_dead(&connection, limit, DOING).await?;
        connection.put_back();
        Ok(dead)
    }

    /// Runs a statement that counts the dead letters it affects. The selecting condition goes between `before` and
    /// `after`.
    async fn with_dead(
        &self,
        before: &str,
        after: &str,
        selection: &DeadSelection,
        doing: &'static str,
    ) -> Result<u64, StoreError> {
        let (condition, ids) = match selection {
            DeadSelection::All => ("$1::bigint[] IS NULL", None),
            DeadSelection::Ids(ids) => ("id = ANY ($1)", Some(ids)),
        };
        let connection = self.pool.get(doing).await?;
        let sql = format!("{before} {condition} {after}");
        let count = connection.execute(&sql, &[(&ids, Type::INT8_ARRAY)], doing).await?;
        connection.put_back();
        Ok(count)
    }
}

impl Store for PostgresStore {
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()> {
        Box::pin(self.inserts.insert(requests))
    }

    fn ready_groups(&self) -> StoreFuture<'_, Vec<RequestGroup>> {
        Box::pin(self.read_groups())
    }

    fn claim<'a>(&'a self, group: &'a RequestGroup, limit: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>> {
        Box::pin(self.claim_group(group, limit))
    }

    fn take_tokens<'a>(&'a self, tokens: &'a [Tokens]) -> StoreFuture<'a, Duration> {
        Box::pin(self.take(tokens))
    }

    fn block_budgets<'a>(&'a self, names: &'a [String], duration: Duration) -> StoreFuture<'a, ()> {
        Box::pin(self.block(names, duration))
    }

    fn status(&self) -> StoreFuture<'_, QueueStatus> {
        Box::pin(self.read_status())
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.check())
    }

    fn dead(&self, limit: usize) -> StoreFuture<'_, Vec<DeadRequest>> {
        Box::pin(self.list_dead(limit))
    }

    fn retry_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64> {
        let before = "WITH again AS (DELETE FROM cfcache.dead WHERE";
        let after = "RETURNING *) \
            INSERT INTO cfcache.request (zone, environment, action, kind, key, priority, expires_at, source, event) \
            SELECT zone, environment, action, kind, key, priority, \
              CASE WHEN kind <> 'everything' THEN clock_timestamp() + interval '24 hours' END, source, event \
            FROM again ORDER BY id";
        Box::pin(self.with_dead(before, after, selection, "cannot put dead letters back into the queue"))
    }

    fn drop_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64> {
        Box::pin(self.with_dead(
            "DELETE FROM cfcache.dead WHERE",
            "",
            selection,
            "cannot delete dead letters",
        ))
    }
}

/// A claim: rows that are locked by an open transaction.
struct PostgresClaim {
    connection: PostgresConnection,
    requests: Vec<ClaimedTarget>,
    /// The rows of each target: the first, others for the same target, and covered ones.
    ids: Vec<RowIds>,
    /// The ids of rows without a valid target, and the reason. Only a program that writes to the table directly can
    /// create one.
    invalid: Vec<(i64, String)>,
}

#[derive(Default)]
struct RowIds {
    /// The ids of the first row and of others for the same target.
    same: Vec<i64>,
    covered: Vec<i64>,
    place: String,
}

impl fmt::Debug for PostgresClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresClaim").field("requests", &self.requests).finish_non_exhaustive()
    }
}

const CLAIMING: &str = "cannot claim requests";
const SETTLING: &str = "cannot settle claimed requests";

impl PostgresClaim {
    /// Locks the first rows of the group until there are `limit` different targets.
    async fn take_targets(
        &mut self,
        group: &RequestGroup,
        limit: usize,
        lowest: i64,
    ) -> Result<(), StoreError> {
        const SQL: &str = "
            SELECT id, key, place, priority, source, event, attempts,
              (greatest(extract(epoch FROM clock_timestamp() - requested_at), 0) * 1000000)::bigint,
              coalesce(expires_at <= clock_timestamp(), false)
            FROM cfcache.request
            WHERE zone = $1 AND action = $2 AND environment = $3 AND kind = $4
              AND id >= $5 AND not_before <= requested_at AND NOT key = ANY ($6)
            ORDER BY priority DESC, id LIMIT $7
            FOR UPDATE SKIP LOCKED";
        let group_row = GroupRow::new(group);
        // The keys of all rows read so far, and the index of the target that each one belongs to.
        let mut keys: Vec<String> = Vec::new();
        let mut known: HashMap<(String, bool), usize> = HashMap::new();
        for _ in 0..CLAIM_ROUNDS {
            let wanted = limit.saturating_sub(self.requests.len());
            let count = i64::try_from(wanted).unwrap_or(i64::MAX);
            if count == 0 {
                break;
            }
            let rows = self
                .connection
                .query(
                    SQL,
                    &[
                        (&group_row.zone, Type::TEXT),
                        (&group_row.action, Type::TEXT),
                        (&group_row.environment, Type::TEXT),
                        (&group_row.kind, Type::TEXT),
                        (&lowest, Type::INT8),
                        (&keys, Type::TEXT_ARRAY),
                        (&count, Type::INT8),
                    ],
                    CLAIMING,
                )
                .await?;
            let is_last = rows.len() < wanted;
            for row in &rows {
                let id: i64 = get(row, 0, CLAIMING)?;
                let key: String = get(row, 1, CLAIMING)?;
                let subject = match Subject::parse(group_row.kind, &key) {
                    Some(Ok(subject)) => subject,
                    Some(Err(invalid)) => {
                        keys.push(key);
                        self.invalid.push((id, invalid.to_string()));
                        continue;
                    }
                    None => {
                        keys.push(key);
                        self.invalid.push((id, "there is no such kind".to_owned()));
                        continue;
                    }
                };
                // A target that is expired is not merged with younger requests, because those are not expired.
                let is_expired: bool = get(row, 8, CLAIMING)?;
                let attempts = get::<i32>(row, 6, CLAIMING)?.unsigned_abs();
                match known.entry((identity(&subject).into_owned(), is_expired)) {
                    Entry::Occupied(known) => {
                        let index = *known.get();
                        if let (Some(claimed), Some(ids)) =
                            (self.requests.get_mut(index), self.ids.get_mut(index))
                        {
                            claimed.add_same(attempts);
                            ids.same.push(id);
                        }
                    }
                    Entry::Vacant(place) => {
                        place.insert(self.requests.len());
                        let request = NewRequest {
                            zone: group.zone.clone(),
                            environment: group.environment.clone(),
                            action: group.action,
                            subject,
                            priority: get(row, 3, CLAIMING)?,
                            delay: Duration::ZERO,
                            source: get(row, 4, CLAIMING)?,
                            event: get(row, 5, CLAIMING)?,
                        };
                        let age = Duration::from_micros(get::<i64>(row, 7, CLAIMING)?.unsigned_abs());
                        let request = QueuedRequest::new(id, request, age, attempts, is_expired);
                        self.requests.push(ClaimedTarget::new(request));
                        let (same, covered, place) = (vec![id], Vec::new(), get(row, 2, CLAIMING)?);
                        self.ids.push(RowIds { same, covered, place });
                    }
                }
                keys.push(key);
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Locks the other rows for the same targets, at most a million. Only their ids are kept. Rows above the limit are
    /// sent separately.
    async fn take_same(&mut self, group: &RequestGroup, lowest: i64) -> Result<(), StoreError> {
        // Only the condition on `place` can use an index in this form of the statement. With outdated statistics the
        // planner might otherwise choose a plan that reads the whole group for each target.
        const SQL: &str = "
            SELECT request.id, target.number, request.attempts
            FROM unnest($5::text[], $6::text[], $9::boolean[]) WITH ORDINALITY AS target (place, key, is_expired, number)
            CROSS JOIN LATERAL (
              SELECT id, attempts FROM cfcache.request
              WHERE place = target.place COLLATE \"C\" AND key = target.key AND zone || '' = $1 AND action || '' = $2
                AND environment || '' = $3 AND kind || '' = $4 AND id + 0 >= $7 AND not_before <= requested_at + interval '0'
                AND NOT id = ANY ($8) AND coalesce(expires_at <= clock_timestamp(), false) = target.is_expired
              FOR UPDATE SKIP LOCKED
            ) AS request LIMIT 1000000";
        let group_row = GroupRow::new(group);
        let places: Vec<&str> = self.ids.iter().map(|ids| ids.place.as_str()).collect();
        let keys: Vec<String> =
            self.requests.iter().map(|claimed| claimed.request.request.subject.key().into_owned()).collect();
        let expired: Vec<bool> = self.requests.iter().map(|claimed| claimed.request.is_expired).collect();
        let taken: Vec<i64> = self.ids.iter().flat_map(|ids| ids.same.iter().copied()).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 9] = [
            (&group_row.zone, Type::TEXT),
            (&group_row.action, Type::TEXT),
            (&group_row.environment, Type::TEXT),
            (&group_row.kind, Type::TEXT),
            (&places, Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&lowest, Type::INT8),
            (&taken, Type::INT8_ARRAY),
            (&expired, Type::BOOL_ARRAY),
        ];
        let mut found: Vec<(usize, i64, u32)> = Vec::new();
        let mut failure = None;
        let read = |row: &Row| -> Result<(usize, i64, u32), StoreError> {
            Ok((target_index(row, 1)?, get(row, 0, CLAIMING)?, get::<i32>(row, 2, CLAIMING)?.unsigned_abs()))
        };
        self.connection
            .for_each(SQL, &parameters, CLAIMING, |row| match read(&row) {
                Ok(row) => found.push(row),
                Err(error) => failure = Some(error),
            })
            .await?;
        for (index, id, attempts) in found {
            if let (Some(claimed), Some(ids)) = (self.requests.get_mut(index), self.ids.get_mut(index)) {
                claimed.add_same(attempts);
                ids.same.push(id);
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Locks the rows that the claimed requests cover, at most a million. Only their ids are kept, because each is in
    /// memory until the claim is settled. Rows above the limit are sent separately.
    async fn take_covered(&mut self, group: &RequestGroup, lowest: i64) -> Result<(), StoreError> {
        // The rows that everything covers.
        const ALL: &str = "
            SELECT id, 1::bigint FROM cfcache.request
            WHERE zone = $1 AND ($2 = 'purge' OR action = $2) AND (environment = $3 OR ($2 = 'purge' AND $3 = ''))
              AND id >= $4 AND not_before <= requested_at AND NOT id = ANY ($5)
            LIMIT 1000000 FOR UPDATE SKIP LOCKED";
        // The rows that hosts cover: prefixes and URLs on the host, if their host is certain.
        const ON_HOST: &str = "
            SELECT request.id, target.number
            FROM unnest($6::text[]) WITH ORDINALITY AS target (key, number)
            CROSS JOIN LATERAL (
              SELECT id FROM cfcache.request
              WHERE place >= (target.key || '/') COLLATE \"C\" AND place < (target.key || '0') COLLATE \"C\"
                AND zone || '' = $1 AND ($2 = 'purge' OR action = $2) AND environment || '' = $3
                AND id + 0 >= $4 AND not_before <= requested_at + interval '0' AND NOT id = ANY ($5)
                AND (kind = 'files' OR (kind = 'prefixes' AND starts_with(key, target.key)))
                AND position('#' IN key) = 0
              FOR UPDATE SKIP LOCKED
            ) AS request LIMIT 1000000";
        // The rows that prefixes cover: longer prefixes, by whole path segments.
        const BELOW: &str = "
            SELECT request.id, target.number
            FROM unnest($6::text[]) WITH ORDINALITY AS target (key, number)
            CROSS JOIN LATERAL (
              SELECT id FROM cfcache.request
              WHERE place >= (rtrim(target.key, '/') || '/') COLLATE \"C\"
                AND place < (rtrim(target.key, '/') || '0') COLLATE \"C\"
                AND zone || '' = $1 AND ($2 = 'purge' OR action = $2) AND environment || '' = $3
                AND id + 0 >= $4 AND not_before <= requested_at + interval '0' AND NOT id = ANY ($5)
                AND kind = 'prefixes' AND starts_with(key, target.key)
                AND key !~* '(^|/)(\\.|%2e){1,2}(/|$)'
              FOR UPDATE SKIP LOCKED
            ) AS request LIMIT 1000000";
        let sql = match group.kind {
            None => ALL,
            Some(Kind::Hosts) => ON_HOST,
            Some(Kind::Prefixes) => BELOW,
            Some(_) => return Ok(()),
        };
        let group_row = GroupRow::new(group);
        // A request that covers nothing for certain is replaced by a text that is the prefix of nothing, and so is one
        // that is longer than `place`.
        let keys: Vec<String> = self
            .requests
            .iter()
            .map(|claimed| {
                let subject = &claimed.request.request.subject;
                let key = subject.key();
                let is_sent = !claimed.request.is_expired;
                if is_sent && host_of(subject).is_some() && key.chars().count() < PLACE_CHARS {
                    key.into_owned()
                } else {
                    " ".to_owned()
                }
            })
            .collect();
        let taken: Vec<i64> = self.ids.iter().flat_map(|ids| ids.same.iter().copied()).collect();
        let common = [
            (&group_row.zone as &(dyn ToSql + Sync), Type::TEXT),
            (&group_row.action, Type::TEXT),
            (&group_row.environment, Type::TEXT),
            (&lowest, Type::INT8),
            (&taken, Type::INT8_ARRAY),
            (&keys, Type::TEXT_ARRAY),
        ];
        let parameters = if group.kind.is_none() { &common[..5] } else { &common[..] };
        let (requests, ids) = (&mut self.requests, &mut self.ids);
        let mut failure = None;
        self.connection
            .for_each(sql, parameters, CLAIMING, |row| {
                match (target_index(&row, 1), get(&row, 0, CLAIMING)) {
                    (Ok(index), Ok(id)) => {
                        if let (Some(claimed), Some(ids)) = (requests.get_mut(index), ids.get_mut(index)) {
                            claimed.covered += 1;
                            ids.covered.push(id);
                        }
                    }
                    (Err(error), _) | (_, Err(error)) => failure = Some(error),
                }
            })
            .await?;
        failure.map_or(Ok(()), Err)
    }

    async fn settle_all(self, settlements: Vec<Settlement>) -> Result<Vec<NewDeadLetters>, StoreError> {
        if settlements.len() != self.requests.len() {
            let message = format!(
                "{} requests were claimed, but {} are settled",
                self.requests.len(),
                settlements.len()
            );
            return Err(StoreError::new(SETTLING, message));
        }
        let mut accepted: Vec<i64> = Vec::new();
        let mut dead = Rows::default();
        let mut again = Rows::default();
        // The rows to retry, of which some may have reached the maximum number of attempts.
        let mut retried = Rows::default();
        let (mut waits, mut counting): (Vec<i64>, Vec<bool>) = Default::default();
        for (id, error) in self.invalid {
            dead.add(&[id], DeadReason::Refused, &error);
        }
        for ((settlement, claimed), ids) in settlements.into_iter().zip(&self.requests).zip(self.ids) {
            match settlement {
                Settlement::Accepted => {
                    accepted.extend(ids.same);
                    accepted.extend(ids.covered);
                }
                Settlement::Dead { reason, error } => dead.add(&ids.same, reason, &error),
                Settlement::TryAgain { after, error, counts } => {
                    if counts && claimed.attempts.saturating_add(1) >= MAX_ATTEMPTS {
                        retried.add(&ids.same, DeadReason::Attempts, &error);
                    }
                    again.add(&ids.same, DeadReason::Attempts, &error);
                    waits.push(micros(after));
                    counting.push(counts);
                }
                Settlement::Untouched => {}
            }
        }
        // A row that two requests cover is in both lists.
        accepted.sort_unstable();
        accepted.dedup();
        let connection = self.connection;
        if !accepted.is_empty() {
            let sql = "DELETE FROM cfcache.request WHERE id = ANY ($1)";
            let count = connection.execute(sql, &[(&accepted, Type::INT8_ARRAY)], SETTLING).await?;
            expect_rows(count, accepted.len() as u64)?;
        }
        let mut dead_letters = Vec::new();
        if !retried.ids.is_empty() {
            dead_letters.extend(retried.move_to_dead(&connection, MAX_ATTEMPTS).await?);
        }
        if !again.ids.is_empty() {
            let sql = "
                UPDATE cfcache.request
                SET attempts = attempts + target.counts::integer, last_error = target.error,
                  requested_at = least(requested_at, clock_timestamp()),
                  not_before = clock_timestamp() + target.micros * interval '1 microsecond'
                FROM unnest($1, $2) AS given (id, number)
                JOIN unnest($3, $4, $5) WITH ORDINALITY AS target (error, micros, counts, number) USING (number)
                WHERE request.id = given.id";
            let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
                (&again.ids, Type::INT8_ARRAY),
                (&again.numbers, Type::INT8_ARRAY),
                (&again.errors, Type::TEXT_ARRAY),
                (&waits, Type::INT8_ARRAY),
                (&counting, Type::BOOL_ARRAY),
            ];
            let count = connection.execute(sql, &parameters, SETTLING).await?;
            expect_rows(count + requests(&dead_letters), again.ids.len() as u64)?;
        }
        if !dead.ids.is_empty() {
            let gone = dead.move_to_dead(&connection, 0).await?;
            expect_rows(requests(&gone), dead.ids.len() as u64)?;
            dead_letters.extend(gone);
        }
        connection.commit(SETTLING).await?;
        connection.put_back();
        Ok(dead_letters)
    }
}

impl Claim for PostgresClaim {
    fn requests(&self) -> &[ClaimedTarget] {
        &self.requests
    }

    fn keep(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(async { self.connection.batch("SELECT", "the claim is lost").await })
    }

    fn settle(self: Box<Self>, settlements: Vec<Settlement>) -> StoreFuture<'static, Vec<NewDeadLetters>> {
        Box::pin(self.settle_all(settlements))
    }
}

/// Rows of targets as columns of a statement. Values that all rows of a target share are stored once.
#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    /// The target of each row, counted from 1 as `WITH ORDINALITY` does.
    numbers: Vec<i64>,
    reasons: Vec<DeadReason>,
    errors: Vec<String>,
}

impl Rows {
    fn add(&mut self, ids: &[i64], reason: DeadReason, error: &str) {
        self.reasons.push(reason);
        self.errors.push(error.replace('\0', "\u{fffd}"));
        self.ids.extend_from_slice(ids);
        self.numbers.resize(self.ids.len(), self.errors.len() as i64);
    }

    /// Moves rows to the dead letters. If `attempts` is not zero, moves only the rows that reach this number with the
    /// current attempt.
    async fn move_to_dead(
        &self,
        connection: &PostgresConnection,
        attempts: u32,
    ) -> Result<Vec<NewDeadLetters>, StoreError> {
        const SQL: &str = "
            WITH gone AS (
              DELETE FROM cfcache.request USING unnest($1, $2) AS given (id, number)
              WHERE request.id = given.id AND ($5 = 0 OR attempts + 1 >= $5)
              RETURNING request.*, given.number
            ), dead AS (
              INSERT INTO cfcache.dead
                (id, zone, environment, action, kind, key, priority, requested_at, attempts, reason, last_error,
                 source, event)
              SELECT id, zone, environment, action, kind, key, priority, requested_at,
                attempts + least($5, 1), target.reason, target.error, source, event
              FROM gone JOIN unnest($3, $4) WITH ORDINALITY AS target (reason, error, number) USING (number)
            )
            SELECT number, count(*) FROM gone GROUP BY number";
        let reasons: Vec<&str> = self.reasons.iter().map(|reason| reason.as_str()).collect();
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.ids, Type::INT8_ARRAY),
            (&self.numbers, Type::INT8_ARRAY),
            (&reasons, Type::TEXT_ARRAY),
            (&self.errors, Type::TEXT_ARRAY),
            (&attempts, Type::INT4),
        ];
        let rows = connection.query(SQL, &parameters, SETTLING).await?;
        let dead = rows.iter().map(|row| {
            let index = target_index(row, 0)?;
            let target = self.reasons.get(index).zip(self.errors.get(index));
            let requests = get::<i64>(row, 1, SETTLING)?.unsigned_abs();
            Ok(target.map(|(reason, error)| NewDeadLetters {
                reason: *reason,
                error: error.clone(),
                requests,
            }))
        });
        dead.filter_map(Result::transpose).collect()
    }
}

fn requests(dead: &[NewDeadLetters]) -> u64 {
    dead.iter().map(|dead| dead.requests).sum()
}

/// Converts a time to the microseconds of a statement.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// A group with the values of the table's columns.
struct GroupRow<'a> {
    zone: &'a str,
    action: &'static str,
    environment: &'a str,
    kind: &'static str,
}

impl<'a> GroupRow<'a> {
    fn new(group: &'a RequestGroup) -> Self {
        Self {
            zone: &group.zone,
            action: action_word(group.action),
            environment: group.environment.as_deref().unwrap_or_default(),
            kind: group.kind.map_or("everything", Kind::field),
        }
    }
}

fn group(row: &Row) -> Result<RequestGroup, tokio_postgres::Error> {
    let (action, environment, kind): (String, String, String) =
        (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    Ok(RequestGroup {
        zone: row.try_get(0)?,
        environment: Some(environment).filter(|environment| !environment.is_empty()),
        action: parse_action(&action),
        kind: Kind::ALL.iter().copied().find(|known| known.field() == kind),
    })
}

async fn read_dead(
    connection: &PostgresConnection,
    limit: usize,
    doing: &'static str,
) -> Result<Vec<DeadRequest>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "SELECT id, zone, environment, action, kind, key, attempts, reason, last_error FROM cfcache.dead \
               ORDER BY died_at DESC, id DESC LIMIT $1";
    let rows = connection.query(sql, &[(&limit, Type::INT8)], doing).await?;
    rows.iter()
        .map(|row| {
            Ok(DeadRequest {
                id: get(row, 0, doing)?,
                zone: get(row, 1, doing)?,
                environment: Some(get(row, 2, doing)?).filter(|id: &String| !id.is_empty()),
                action: parse_action(get(row, 3, doing)?),
                kind: get(row, 4, doing)?,
                key: get(row, 5, doing)?,
                attempts: get::<i32>(row, 6, doing)?.unsigned_abs(),
                reason: get(row, 7, doing)?,
                last_error: get(row, 8, doing)?,
            })
        })
        .collect()
}

/// Converts a number of `WITH ORDINALITY` to an index from 0.
fn target_index(row: &Row, column: usize) -> Result<usize, StoreError> {
    let number: i64 = get(row, column, CLAIMING)?;
    Ok(usize::try_from(number).unwrap_or(0).saturating_sub(1))
}

/// Checks the number of affected rows. All rows are locked, so a lower number is a bug.
fn expect_rows(found: u64, expected: u64) -> Result<(), StoreError> {
    if found == expected {
        return Ok(());
    }
    Err(StoreError::new(SETTLING, format!("{expected} rows were claimed, but only {found} of them exist")))
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize, doing: &'static str) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| failed(doing, &error))
}

/// Returns the first column of the first row.
fn first<'a, T: FromSql<'a>>(rows: &'a [Row], doing: &'static str) -> Result<T, StoreError> {
    rows.first()
        .map_or_else(|| Err(StoreError::new(doing, "the server returned no row")), |row| get(row, 0, doing))
}

/// The server refused a statement. The connection itself works.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Converts an error of the server or the connection, with all of its causes.
fn failed(doing: &'static str, error: &tokio_postgres::Error) -> StoreError {
    let text = describe(error);
    if error.as_db_error().is_some() {
        StoreError::new(doing, Refused(text))
    } else {
        StoreError::new(doing, text)
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let mut text = format!("{} (SQLSTATE {})", error.message(), error.code().code());
        if let Some(hint) = error.hint() {
            text = format!("{text}; {hint}");
        }
        return text;
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
