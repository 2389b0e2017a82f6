//! The queue in one SQLite file, for one process.
//!
//! - Inserted requests are on disk when [`insert`](Store::insert) returns. Concurrent inserts share one write to the
//!   disk.
//! - Claims are in memory: if the process ends, all claimed requests wait again. No transaction is open during an API
//!   request.
//! - Only one process may use the file at a time. It must not be on a network file system, because the locks of those
//!   are unreliable.

mod open;
mod thread;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params, params_from_iter};

use crate::engine::{BudgetBucket, MAX_ATTEMPTS, covers, host_of, identity};
use crate::request::{NewRequest, QueuedRequest, Subject};
use crate::store::sqlite::open::{Directory, OpenError};
use crate::store::sqlite::thread::{ConnectionThread, Jobs};
use crate::store::transfer::Table;
use crate::store::{
    BudgetStatus, Claim, ClaimedTarget, DeadReason, DeadRequest, DeadSelection, KindStatus, MAX_AGE,
    NewDeadLetters, QueueStatus, RequestGroup, Settlement, Store, StoreError, StoreFuture, Tokens,
    action_word, parse_action,
};

/// The maximum number of rows for the same target, and of rows that it covers. Rows above the limit are sent
/// separately.
const MAX_MERGED_ROWS: i64 = 1_000_000;

/// The number of rows to remove in one transaction, which takes a fraction of a second.
const ROWS_PER_DELETE: i64 = 10_000;

/// The minimum free disk space for readiness and new requests: several times the size of the largest message. The space
/// below is for the settlement of claims. On a full disk, sent requests could not be removed.
const MIN_FREE_BYTES: u64 = 4 << 20;

/// Returns the time since 1970.
type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The queue in one SQLite file.
pub struct SqliteStore {
    file: PathBuf,
    /// Dropped first, so that the last connection is the writer, which can move the write-ahead log into the file.
    reader: ConnectionThread,
    writer: ConnectionThread,
    clock: Clock,
    last_claim: AtomicI64,
    min_free_bytes: u64,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("file", &self.file).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the queue in that directory, or creates one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if another process uses the directory, if the file is damaged, not a queue or newer than this
    /// program, and if it cannot be written.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with_clock(directory, clock)
    }

    /// Opens the queue in that directory for reading, even if another process uses it. Methods that change it fail.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is no queue, or if the file is damaged or newer than this program.
    pub fn open_to_read(directory: &Path) -> Result<Self, StoreError> {
        let open = || {
            let file = open::file_in(directory)?;
            let threads = [open::read(&file)?, open::read(&file)?].map(|reader| {
                ConnectionThread::spawn("queue-reader", reader, ()).map_err(|source| OpenError::Io {
                    path: file.clone(),
                    action: "given a thread",
                    source,
                })
            });
            let [writer, reader] = threads;
            Ok(Self {
                writer: writer?,
                reader: reader?,
                file,
                clock: Arc::new(clock),
                last_claim: AtomicI64::new(0),
                min_free_bytes: MIN_FREE_BYTES,
            })
        };
        open().map_err(|error: OpenError| StoreError::new("cannot open the queue", error))
    }

    /// Opens the queue as [`open`](Self::open) does, with a clock that returns the time since 1970.
    ///
    /// # Errors
    ///
    /// See [`open`](Self::open).
    pub fn open_with_clock(
        directory: &Path,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_directory(directory, Arc::new(clock))
            .map_err(|error| StoreError::new("cannot open the queue", error))
    }

    fn open_directory(directory: &Path, clock: Clock) -> Result<Self, OpenError> {
        let directory = Directory::lock(directory)?;
        let file = directory.file.clone();
        let connection = directory.open()?;
        let reader = open::read(&file)?;
        let io = |source| OpenError::Io { path: file.clone(), action: "given a thread", source };
        let reader = ConnectionThread::spawn("queue-reader", reader, ()).map_err(io)?;
        // The writer holds the lock until it ends.
        let writer = ConnectionThread::spawn("queue-writer", connection, directory).map_err(io)?;
        let last_claim = AtomicI64::new(0);
        Ok(Self { file, writer, reader, clock, last_claim, min_free_bytes: MIN_FREE_BYTES })
    }

    /// Returns the next rows of a table as a JSON array of objects, and their number. `offset` is the number of rows
    /// that were read before. Returns `None` at the end.
    pub(super) async fn export(
        &self,
        table: Table,
        behind: usize,
        rows: usize,
    ) -> Result<Option<(usize, String)>, StoreError> {
        let sql = match table {
            Table::Requests => {
                "SELECT count(*), json_group_array(json_object('id', id, 'zone', zone, 'environment', environment, \
                 'action', action, 'kind', kind, 'key', key, 'priority', priority, 'requested_at', requested_at, \
                 'not_before', not_before, 'expires_at', expires_at, 'attempts', attempts, \
                 'last_error', last_error, \
                 'source', source, 'event', event)) \
                 FROM (SELECT * FROM request ORDER BY id LIMIT ?2 OFFSET ?1)"
            }
            Table::Dead => {
                "SELECT count(*), json_group_array(json_object('id', id, 'zone', zone, 'environment', environment, \
                 'action', action, 'kind', kind, 'key', key, 'priority', priority, 'requested_at', requested_at, \
                 'died_at', died_at, 'attempts', attempts, 'reason', reason, \
                 'last_error', last_error, \
                 'source', source, 'event', event)) \
                 FROM (SELECT * FROM dead ORDER BY id LIMIT ?2 OFFSET ?1)"
            }
            Table::Budgets => {
                "SELECT count(*), json_group_array(json_object('name', name, 'interval_us', interval_us, 'burst', burst, \
                 'tat', tat, 'blocked_until', blocked_until)) \
                 FROM (SELECT * FROM budget ORDER BY name LIMIT ?2 OFFSET ?1)"
            }
        };
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (behind, rows) = (number(behind), number(rows));
        let found = self.read("cannot read the queue", move |connection, _| {
            connection.query_row(sql, [behind, rows], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        });
        let (count, json) = found.await?;
        Ok(usize::try_from(count).ok().filter(|count| *count > 0).map(|count| (count, json)))
    }

    /// Removes all rows.
    pub(super) async fn empty(&self) -> Result<(), StoreError> {
        let doing = "everything was moved, but cannot be removed from the file; run the command again";
        self.write(doing, |connection, _| {
            connection.execute_batch("DELETE FROM request; DELETE FROM dead; DELETE FROM budget")
        })
        .await
    }

    /// Checks that the disk has enough space for new requests.
    fn check_space(&self, doing: &'static str) -> Result<(), StoreError> {
        let free = open::free_bytes(&self.file).map_err(|error| StoreError::new(doing, error))?;
        let least = self.min_free_bytes;
        if free < least {
            let message = format!(
                "the disk has only {free} free bytes; at least {least} are required: free some disk space"
            );
            return Err(StoreError::new(doing, message));
        }
        Ok(())
    }

    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.writer.jobs().run(doing, move |connection| job(connection, now(&clock))).await
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = Arc::clone(&self.clock);
        self.reader.jobs().run(doing, move |connection| job(connection, now(&clock))).await
    }
}

/// Returns the time since 1970.
#[expect(clippy::disallowed_methods, reason = "it is the database's clock")]
fn clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn now(clock: &Clock) -> i64 {
    micros(clock())
}

fn micros(duration: Duration) -> i64 {
    // Limited to half of the range, so that two values can be added.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

impl Store for SqliteStore {
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()> {
        let rows: Vec<SqliteRow> = requests.iter().map(SqliteRow::new).collect();
        Box::pin(async move {
            if rows.is_empty() {
                return Ok(());
            }
            self.check_space("cannot store requests")?;
            self.write("cannot store requests", move |connection, now| {
                rows.iter().try_for_each(|row| row.insert(connection, now))
            })
            .await
        })
    }

    fn ready_groups(&self) -> StoreFuture<'_, Vec<RequestGroup>> {
        const DOING: &str = "cannot search for requests that are ready";
        Box::pin(async {
            let is_any_delayed = self.read(DOING, |connection, now| {
                let sql = format!("SELECT EXISTS (SELECT 1 {DELAYED})");
                connection.prepare_cached(&sql)?.query_row([now], |row| row.get(0))
            });
            if is_any_delayed.await? {
                self.write(DOING, make_due).await?;
            }
            self.read(DOING, |connection, _| ready_groups(connection)).await
        })
    }

    fn claim<'a>(&'a self, group: &'a RequestGroup, limit: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>> {
        let jobs = self.writer.jobs().clone();
        let clock = Arc::clone(&self.clock);
        let number = self.last_claim.fetch_add(1, Ordering::Relaxed) + 1;
        let group = group.clone();
        Box::pin(async move {
            let claim = self.write("cannot claim requests", move |connection, now| {
                let taking = Claiming { connection, now, claim: number, group: &group };
                let (requests, unreadable) = taking.take(limit)?;
                // Dropping the claim releases its rows, so it is created inside the job, where nothing can interrupt.
                let is_settled = requests.is_empty();
                Ok(SqliteClaim { jobs, clock, number, requests, unreadable, is_settled })
            });
            let claim = claim.await?;
            let is_empty = claim.requests.is_empty() && claim.unreadable.is_empty();
            Ok((!is_empty).then(|| -> Box<dyn Claim> { Box::new(claim) }))
        })
    }

    fn take_tokens<'a>(&'a self, tokens: &'a [Tokens]) -> StoreFuture<'a, Duration> {
        let tokens = tokens.to_owned();
        Box::pin(self.write("cannot take tokens of the budget", move |connection, now| {
            take_tokens(connection, now, &tokens)
        }))
    }

    fn block_budgets<'a>(&'a self, names: &'a [String], duration: Duration) -> StoreFuture<'a, ()> {
        let names = names.to_owned();
        Box::pin(self.write("cannot block the budget", move |connection, now| {
            for name in &names {
                if let Some(mut bucket) = read_bucket(connection, name)? {
                    bucket.refused(now.unsigned_abs(), duration);
                    write_bucket(connection, name, &bucket)?;
                }
            }
            Ok(())
        }))
    }

    fn status(&self) -> StoreFuture<'_, QueueStatus> {
        Box::pin(self.read("cannot read the queue's status", read_status))
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        const DOING: &str = "cannot write to the queue";
        Box::pin(async {
            self.write(DOING, |connection, now| {
                connection.execute("UPDATE probe SET at = ?1", [now]).map(drop)
            })
            .await?;
            // A row of a few bytes may fit on a disk that has no space for a message.
            self.check_space(DOING)
        })
    }

    fn dead(&self, limit: usize) -> StoreFuture<'_, Vec<DeadRequest>> {
        Box::pin(self.read("cannot read the dead letters", move |connection, _| read_dead(connection, limit)))
    }

    fn retry_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64> {
        let selection = selection.clone();
        Box::pin(self.write("cannot put dead letters back into the queue", move |connection, now| {
            let max_age = micros(MAX_AGE);
            with_dead(&selection, |condition, id| {
                let sql = format!(
                    "INSERT INTO request (zone, environment, action, kind, key, hash, host, priority, requested_at, \
                     not_before, expires_at, source, event) \
                     SELECT zone, environment, action, kind, key, hash, host, priority, {now}, {now}, \
                     CASE WHEN kind <> 'everything' THEN {now} + {max_age} END, source, event \
                     FROM dead {condition} ORDER BY id"
                );
                connection.prepare_cached(&sql)?.execute([id])?;
                connection.prepare_cached(&format!("DELETE FROM dead {condition}"))?.execute([id])
            })
        }))
    }

    fn drop_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64> {
        let selection = selection.clone();
        Box::pin(self.write("cannot delete dead letters", move |connection, _| {
            with_dead(&selection, |condition, id| {
                connection.prepare_cached(&format!("DELETE FROM dead {condition}"))?.execute([id])
            })
        }))
    }
}

/// Applies a statement to the selected dead letters. `act` gets a condition with one parameter. Returns the number of
/// rows.
fn with_dead(
    selection: &DeadSelection,
    act: impl Fn(&'static str, Option<i64>) -> rusqlite::Result<usize>,
) -> rusqlite::Result<u64> {
    let count = match selection {
        DeadSelection::All => act("WHERE ?1 IS NULL", None)?,
        DeadSelection::Ids(ids) => {
            ids.iter().map(|id| act("WHERE id = ?1", Some(*id))).sum::<rusqlite::Result<usize>>()?
        }
    };
    Ok(count as u64)
}

/// The columns of a new request, without the times.
struct SqliteRow {
    zone: String,
    environment: String,
    action: &'static str,
    kind: &'static str,
    key: String,
    hash: i64,
    host: Option<String>,
    priority: i16,
    delay: i64,
    source: Option<String>,
    event: Option<String>,
}

impl SqliteRow {
    fn new(request: &NewRequest) -> Self {
        let subject = &request.subject;
        Self {
            zone: request.zone.clone(),
            environment: request.environment.clone().unwrap_or_default(),
            action: action_word(request.action),
            kind: subject.kind(),
            key: subject.key().into_owned(),
            hash: hash_of(subject),
            host: host_of(subject).map(std::borrow::Cow::into_owned),
            priority: request.priority,
            delay: micros(request.delay),
            source: request.source.as_deref().map(storable),
            event: request.event.as_deref().map(storable),
        }
    }

    fn insert(&self, connection: &Connection, now: i64) -> rusqlite::Result<()> {
        const SQL: &str = "
            INSERT INTO request (zone, environment, action, kind, key, hash, host, priority, requested_at, not_before,
              expires_at, source, event)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        let not_before = now.saturating_add(self.delay);
        let expires_at = (self.kind != EVERYTHING).then(|| not_before.saturating_add(micros(MAX_AGE)));
        connection.prepare_cached(SQL)?.execute(params![
            self.zone,
            self.environment,
            self.action,
            self.kind,
            self.key,
            self.hash,
            self.host,
            self.priority,
            now,
            not_before,
            expires_at,
            self.source,
            self.event,
        ])?;
        Ok(())
    }
}

/// Makes a text storable in both databases: PostgreSQL accepts every character but NUL.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

const EVERYTHING: &str = "everything";

/// Returns a number that is equal for subjects that are the same to the API. Collisions are rare.
fn hash_of(subject: &Subject) -> i64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, identity(subject).as_bytes());
    let first = digest.as_ref().iter().take(8);
    first.fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

fn kind_name(kind: Option<Kind>) -> &'static str {
    kind.map_or(EVERYTHING, Kind::field)
}

/// Reads a column with a keyword. Unknown keywords are an error.
fn read_keyword<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let word: String = row.get(column)?;
    parse(&word).ok_or_else(|| {
        let error = format!("`{word}` is unknown: it was written by a newer version or by another program");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

/// The delayed requests whose time has come.
const DELAYED: &str =
    "FROM request INDEXED BY request_delayed WHERE not_before > requested_at AND not_before <= ?1";

/// Makes requests due whose time has come.
fn make_due(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE request SET not_before = requested_at WHERE id IN (SELECT id {DELAYED} ORDER BY not_before LIMIT 5000)"
    );
    connection.prepare_cached(&sql)?.execute([now]).map(drop)
}

/// Statements for the next group in the order of the index of due requests: the next kind, action, environment or zone.
/// Each is one step in the index. A single comparison of all four columns would read all requests of the group.
const NEXT_GROUP: [&str; 4] = [
    "SELECT zone, environment, action, kind FROM request
     WHERE zone = ?1 AND environment = ?2 AND action = ?3 AND kind > ?4 AND not_before <= requested_at ORDER BY kind LIMIT 1",
    "SELECT zone, environment, action, kind FROM request
     WHERE zone = ?1 AND environment = ?2 AND action > ?3 AND not_before <= requested_at ORDER BY action, kind LIMIT 1",
    "SELECT zone, environment, action, kind FROM request
     WHERE zone = ?1 AND environment > ?2 AND not_before <= requested_at ORDER BY environment, action, kind LIMIT 1",
    "SELECT zone, environment, action, kind FROM request
     WHERE zone > ?1 AND not_before <= requested_at ORDER BY zone, environment, action, kind LIMIT 1",
];

fn ready_groups(connection: &Connection) -> rusqlite::Result<Vec<RequestGroup>> {
    let mut groups = Vec::new();
    let mut last = [String::new(), String::new(), String::new(), String::new()];
    loop {
        let mut found = None;
        for (sql, columns) in NEXT_GROUP.iter().zip([4, 3, 2, 1]) {
            let mut next = connection.prepare_cached(sql)?;
            found = next.query_row(params_from_iter(&last[..columns]), read_group).optional()?;
            if found.is_some() {
                break;
            }
        }
        let Some(group) = found else { return Ok(groups) };
        last = [
            group.zone.clone(),
            group.environment.clone().unwrap_or_default(),
            action_word(group.action).to_owned(),
            kind_name(group.kind).to_owned(),
        ];
        groups.push(group);
    }
}

fn read_group(row: &Row<'_>) -> rusqlite::Result<RequestGroup> {
    let action = read_keyword(row, 2, |word| {
        [Action::Purge, Action::Invalidate].into_iter().find(|action| action_word(*action) == word)
    })?;
    let kinds = || std::iter::once(None).chain(Kind::ALL.iter().copied().map(Some));
    let kind = read_keyword(row, 3, |word| kinds().find(|kind| kind_name(*kind) == word))?;
    let environment: String = row.get(1)?;
    let environment = Some(environment).filter(|environment| !environment.is_empty());
    Ok(RequestGroup { zone: row.get(0)?, environment, action, kind })
}

/// The parameters of a claim.
struct Claiming<'a> {
    connection: &'a Connection,
    now: i64,
    claim: i64,
    group: &'a RequestGroup,
}

impl Claiming<'_> {
    /// Claims requests. Returns the targets, and the errors of rows that cannot be parsed and became dead letters.
    fn take(&self, limit: usize) -> rusqlite::Result<(Vec<ClaimedTarget>, Vec<String>)> {
        let (mut claimed, unreadable) = self.take_targets(limit)?;
        for (target, claimed) in claimed.iter_mut().enumerate() {
            self.take_same(target, claimed)?;
            // An expired request is not sent, so it covers nothing.
            if !claimed.request.is_expired {
                claimed.covered = self.take_covered(target, &claimed.request.request)?;
            }
        }
        Ok((claimed, unreadable))
    }

    /// Claims the first rows of the group, until there are `limit` different targets.
    fn take_targets(&self, limit: usize) -> rusqlite::Result<(Vec<ClaimedTarget>, Vec<String>)> {
        const SQL: &str = "
            SELECT id, key, priority, source, event, attempts, requested_at, coalesce(expires_at <= ?5, 0)
            FROM request
            WHERE zone = ?1 AND environment = ?2 AND action = ?3 AND kind = ?4 AND not_before <= requested_at
              AND NOT EXISTS (SELECT 1 FROM taken WHERE taken.id = request.id)
            ORDER BY priority DESC, id";
        let group = self.group;
        let mut claimed: Vec<ClaimedTarget> = Vec::new();
        let mut known: HashMap<(String, bool), usize> = HashMap::new();
        let mut taken = Vec::new();
        let mut broken = Vec::new();
        let mut select = self.connection.prepare_cached(SQL)?;
        let mut rows = select.query(params![
            group.zone,
            group.environment.as_deref().unwrap_or_default(),
            action_word(group.action),
            kind_name(group.kind),
            self.now
        ])?;
        while claimed.len() < limit
            && let Some(row) = rows.next()?
        {
            let id: i64 = row.get(0)?;
            let key: String = row.get(1)?;
            let subject = match Subject::parse(kind_name(group.kind), &key) {
                Some(Ok(subject)) => subject,
                Some(Err(invalid)) => {
                    broken.push((id, invalid.to_string()));
                    continue;
                }
                None => continue,
            };
            let is_expired = row.get(7)?;
            let target = match known.entry((identity(&subject).into_owned(), is_expired)) {
                std::collections::hash_map::Entry::Occupied(known) => {
                    let target = *known.get();
                    claimed[target].add_same(row.get(5)?);
                    target
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    let request = NewRequest {
                        zone: group.zone.clone(),
                        environment: group.environment.clone(),
                        action: group.action,
                        subject,
                        priority: row.get(2)?,
                        delay: Duration::ZERO,
                        source: row.get(3)?,
                        event: row.get(4)?,
                    };
                    let age = duration(self.now.saturating_sub(row.get(6)?));
                    let request = QueuedRequest::new(id, request, age, row.get(5)?, is_expired);
                    claimed.push(ClaimedTarget::new(request));
                    *place.insert(claimed.len() - 1)
                }
            };
            taken.push((id, target));
        }
        drop(rows);
        for (id, target) in taken {
            self.mark(id, target, true)?;
        }
        // A row that an older version stored and that is invalid in this version can only become a dead letter.
        let mut unreadable = Vec::new();
        for (id, error) in broken {
            move_to_dead(self.connection, self.now, id, DeadReason::Refused, &error)?;
            unreadable.push(error);
        }
        Ok((claimed, unreadable))
    }

    /// Claims the other rows for the same target that may be sent now.
    fn take_same(&self, target: usize, claimed: &mut ClaimedTarget) -> rusqlite::Result<()> {
        const SQL: &str = "
            SELECT id, key, attempts FROM request INDEXED BY request_same
            WHERE zone = ?1 AND hash = ?2 AND environment = ?3 AND action = ?4 AND kind = ?5 AND not_before <= requested_at
              AND coalesce(expires_at <= ?6, 0) = ?7
              AND NOT EXISTS (SELECT 1 FROM taken WHERE taken.id = request.id)
            LIMIT ?8";
        let request = &claimed.request.request;
        let mut select = self.connection.prepare_cached(SQL)?;
        let mut rows = select.query(params![
            request.zone,
            hash_of(&request.subject),
            request.environment.as_deref().unwrap_or_default(),
            action_word(request.action),
            request.subject.kind(),
            self.now,
            claimed.request.is_expired,
            MAX_MERGED_ROWS
        ])?;
        let is_same = |key: &str| match Subject::parse(request.subject.kind(), key) {
            Some(Ok(subject)) => identity(&subject) == identity(&request.subject),
            _ => false,
        };
        let mut same: Vec<(i64, u32)> = Vec::new();
        while let Some(row) = rows.next()? {
            if is_same(row.get_ref(1)?.as_str()?) {
                same.push((row.get(0)?, row.get(2)?));
            }
        }
        for (id, attempts) in same {
            self.mark(id, target, true)?;
            claimed.add_same(attempts);
        }
        Ok(())
    }

    /// Claims the rows that the request [`covers`], except those for the same target. Returns their number.
    fn take_covered(&self, target: usize, request: &NewRequest) -> rusqlite::Result<u64> {
        const WHERE: &str = "
            WHERE zone = :zone AND (:action = 'purge' OR action = :action) AND not_before <= requested_at
              AND NOT EXISTS (SELECT 1 FROM taken WHERE taken.id = request.id)";
        let action = action_word(request.action);
        let environment = request.environment.as_deref().unwrap_or_default();
        if request.subject == Subject::Everything {
            let sql = format!(
                "INSERT INTO taken SELECT id, {}, {target}, 0 FROM request {WHERE} \
                 AND (environment = :environment OR (:action = 'purge' AND :environment = '')) LIMIT {MAX_MERGED_ROWS}",
                self.claim
            );
            let parameters = named_params! {
                ":zone": request.zone, ":action": action, ":environment": environment,
            };
            return Ok(self.connection.execute(&sql, parameters)? as u64);
        }
        let mut count = 0;
        if let Some(host) = host_of(&request.subject)
            && request.subject.kind() == Kind::Hosts.field()
        {
            // The column `host` contains the result of the same function that `covers` uses.
            let sql = format!(
                "INSERT INTO taken SELECT id, {}, {target}, 0 FROM request INDEXED BY request_host {WHERE} \
                 AND environment = :environment AND host = :host AND kind IN ('files', 'prefixes') LIMIT {MAX_MERGED_ROWS}",
                self.claim
            );
            let parameters = named_params! {
                ":zone": request.zone, ":action": action, ":environment": environment, ":host": host,
            };
            count += self.connection.execute(&sql, parameters)? as u64;
        }
        // The candidates are few: the same target with another action, and longer prefixes. Without the name of an
        // index, SQLite would use the one of the groups and read all requests of a group.
        let sql = format!(
            "SELECT id, kind, key, action FROM request INDEXED BY request_same {WHERE} AND environment = :environment \
             AND hash = :hash AND kind = :kind \
             UNION SELECT id, kind, key, action FROM request INDEXED BY request_host {WHERE} \
             AND environment = :environment AND :kind = 'prefixes' AND kind = 'prefixes' AND host = :host"
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query(named_params! {
            ":zone": request.zone, ":action": action, ":environment": environment,
            ":hash": hash_of(&request.subject), ":kind": request.subject.kind(), ":host": host_of(&request.subject),
        })?;
        let mut covered: Vec<i64> = Vec::new();
        while let Some(row) = rows.next()? {
            let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
            let Some(Ok(subject)) = Subject::parse(text(1)?, text(2)?) else { continue };
            let action = parse_action(text(3)?);
            if covers(request, &NewRequest { subject, action, ..request.clone() }) {
                covered.push(row.get(0)?);
            }
        }
        for id in covered {
            self.mark(id, target, false)?;
            count += 1;
        }
        Ok(count)
    }

    fn mark(&self, id: i64, target: usize, is_same: bool) -> rusqlite::Result<()> {
        let sql = "INSERT INTO taken (id, claim, target, is_same) VALUES (?1, ?2, ?3, ?4)";
        self.connection.prepare_cached(sql)?.execute(params![id, self.claim, target as i64, is_same])?;
        Ok(())
    }
}

/// A claim: rows that are listed in a temporary table.
struct SqliteClaim {
    jobs: Jobs,
    clock: Clock,
    number: i64,
    requests: Vec<ClaimedTarget>,
    /// The errors of the requests that could not be parsed and became dead letters.
    unreadable: Vec<String>,
    is_settled: bool,
}

impl fmt::Debug for SqliteClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteClaim").field("requests", &self.requests).finish_non_exhaustive()
    }
}

const RELEASE: &str = "DELETE FROM taken WHERE claim = ?1";

impl Claim for SqliteClaim {
    fn requests(&self) -> &[ClaimedTarget] {
        &self.requests
    }

    fn keep(&mut self) -> StoreFuture<'_, ()> {
        // Only this process could take the claim away.
        Box::pin(async { Ok(()) })
    }

    fn settle(
        mut self: Box<Self>,
        settlements: Vec<Settlement>,
    ) -> StoreFuture<'static, Vec<NewDeadLetters>> {
        const DOING: &str = "cannot settle claimed requests";
        Box::pin(async move {
            if settlements.len() != self.requests.len() {
                let (claimed, settled) = (self.requests.len(), settlements.len());
                let message = format!("{claimed} requests were claimed, but {settled} are settled");
                return Err(StoreError::new(DOING, message));
            }
            let (clock, number) = (Arc::clone(&self.clock), self.number);
            let mut dead = Vec::new();
            if settlements.iter().all(|settlement| *settlement == Settlement::Accepted) {
                // There may be a million rows. Other jobs run in between, and removed rows stay removed.
                while self.jobs.run(DOING, move |connection| remove_some(connection, number)).await? {}
            } else {
                dead = self
                    .jobs
                    .run(DOING, move |connection| {
                        let dead = settle(connection, now(&clock), number, &settlements)?;
                        connection.prepare_cached(RELEASE)?.execute([number])?;
                        Ok(dead)
                    })
                    .await?;
            }
            self.is_settled = true;
            let unreadable = std::mem::take(&mut self.unreadable);
            let refused = |error| NewDeadLetters { reason: DeadReason::Refused, error, requests: 1 };
            dead.extend(unreadable.into_iter().map(refused));
            Ok(dead)
        })
    }
}

impl Drop for SqliteClaim {
    fn drop(&mut self) {
        if !self.is_settled {
            let number = self.number;
            self.jobs.run_later(Arc::new(move |connection| {
                connection.prepare_cached(RELEASE)?.execute([number]).map(drop)
            }));
        }
    }
}

/// Removes rows of a claim whose targets were all accepted. Returns whether there may be more.
fn remove_some(connection: &Connection, claim: i64) -> rusqlite::Result<bool> {
    const SOME: &str = "IN (SELECT id FROM taken WHERE claim = ?1 ORDER BY id LIMIT ?2)";
    let parameters = [claim, ROWS_PER_DELETE];
    connection.prepare_cached(&format!("DELETE FROM request WHERE id {SOME}"))?.execute(parameters)?;
    let count =
        connection.prepare_cached(&format!("DELETE FROM taken WHERE id {SOME}"))?.execute(parameters)?;
    Ok(count as i64 == ROWS_PER_DELETE)
}

fn settle(
    connection: &Connection,
    now: i64,
    claim: i64,
    settlements: &[Settlement],
) -> rusqlite::Result<Vec<NewDeadLetters>> {
    // The number of rows of each target that became dead letters.
    let mut dead: BTreeMap<usize, u64> = BTreeMap::new();
    let mut select = connection.prepare_cached("SELECT id, target, is_same FROM taken WHERE claim = ?1")?;
    let mut rows = select.query([claim])?;
    let mut remove = connection.prepare_cached("DELETE FROM request WHERE id = ?1")?;
    // Each row is judged by its own number of attempts.
    let mut again = connection.prepare_cached(
        "UPDATE request SET attempts = attempts + ?2, requested_at = min(requested_at, ?6), not_before = ?3, \
         last_error = ?4 WHERE id = ?1 AND NOT (?2 AND attempts + 1 >= ?5)",
    )?;
    while let Some(row) = rows.next()? {
        let (id, target, is_same): (i64, usize, bool) =
            (row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or(usize::MAX), row.get(2)?);
        match settlements.get(target) {
            Some(Settlement::Accepted) => {
                remove.execute([id])?;
            }
            Some(Settlement::Dead { reason, error }) if is_same => {
                move_to_dead(connection, now, id, *reason, error)?;
                *dead.entry(target).or_default() += 1;
            }
            Some(Settlement::TryAgain { after, error, counts }) if is_same => {
                let not_before = now.saturating_add(micros(*after));
                let goes_on =
                    again.execute(params![id, counts, not_before, storable(error), MAX_ATTEMPTS, now])? > 0;
                if !goes_on {
                    move_to_dead(connection, now, id, DeadReason::Attempts, error)?;
                    *dead.entry(target).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    let dead_letters = dead.into_iter().filter_map(|(target, requests)| match settlements.get(target)? {
        Settlement::Dead { reason, error } => {
            Some(NewDeadLetters { reason: *reason, error: error.clone(), requests })
        }
        Settlement::TryAgain { error, .. } => {
            Some(NewDeadLetters { reason: DeadReason::Attempts, error: error.clone(), requests })
        }
        Settlement::Accepted | Settlement::Untouched => None,
    });
    Ok(dead_letters.collect())
}

/// Moves a request to the dead letters.
fn move_to_dead(
    connection: &Connection,
    now: i64,
    id: i64,
    reason: DeadReason,
    error: &str,
) -> rusqlite::Result<()> {
    const SQL: &str = "
        INSERT INTO dead (id, zone, environment, action, kind, key, hash, host, priority, requested_at, died_at, attempts,
          reason, last_error, source, event)
        SELECT id, zone, environment, action, kind, key, hash, host, priority, requested_at, ?2, attempts + ?3, ?4, ?5,
          source, event
        FROM request WHERE id = ?1";
    let attempts = i64::from(reason == DeadReason::Attempts);
    connection.prepare_cached(SQL)?.execute(params![id, now, attempts, reason.as_str(), storable(error)])?;
    connection.prepare_cached("DELETE FROM request WHERE id = ?1")?.execute([id])?;
    Ok(())
}

fn read_bucket(connection: &Connection, name: &str) -> rusqlite::Result<Option<BudgetBucket>> {
    let sql = "SELECT interval_us, burst, tat, blocked_until FROM budget WHERE name = ?1";
    connection.prepare_cached(sql)?.query_row([name], |row| bucket(row, 0)).optional()
}

fn bucket(row: &Row<'_>, first: usize) -> rusqlite::Result<BudgetBucket> {
    let number = |column| row.get::<_, i64>(first + column).map(i64::unsigned_abs);
    Ok(BudgetBucket {
        interval_us: number(0)?.max(1),
        burst: u32::try_from(number(1)?).unwrap_or(u32::MAX).max(1),
        tat: number(2)?,
        blocked_until: number(3)?,
    })
}

fn write_bucket(connection: &Connection, name: &str, bucket: &BudgetBucket) -> rusqlite::Result<()> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let sql = "INSERT OR REPLACE INTO budget (name, interval_us, burst, tat, blocked_until) VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        name,
        number(bucket.interval_us),
        bucket.burst,
        number(bucket.tat),
        number(bucket.blocked_until)
    ])?;
    Ok(())
}

fn take_tokens(connection: &Connection, now: i64, tokens: &[Tokens]) -> rusqlite::Result<Duration> {
    let now = now.unsigned_abs();
    let mut taken: Vec<(&str, BudgetBucket)> = Vec::new();
    let mut ready = now;
    for tokens in tokens {
        let interval = u64::try_from(tokens.interval.as_micros()).unwrap_or(u64::MAX);
        let wanted = BudgetBucket::new(interval, tokens.burst);
        // The same budget may be named twice, so the second taking continues from the first.
        let before = taken.iter().rev().find(|(name, _)| *name == tokens.budget).map(|(_, bucket)| *bucket);
        let before = match before {
            Some(bucket) => Some(bucket),
            None => read_bucket(connection, &tokens.budget)?,
        };
        let mut bucket = before.unwrap_or(wanted);
        if (bucket.interval_us, bucket.burst) != (wanted.interval_us, wanted.burst) {
            bucket.resize(now, &wanted);
        }
        match bucket.take(now, tokens.count) {
            Ok(()) => taken.push((&tokens.budget, bucket)),
            Err(at) => ready = ready.max(at),
        }
    }
    if ready > now {
        return Ok(Duration::from_micros(ready - now));
    }
    for (name, bucket) in taken {
        write_bucket(connection, name, &bucket)?;
    }
    Ok(Duration::ZERO)
}

fn read_status(connection: &Connection, now: i64) -> rusqlite::Result<QueueStatus> {
    let sql = "SELECT kind, count(*), min(requested_at) FROM request GROUP BY kind ORDER BY kind";
    let mut select = connection.prepare_cached(sql)?;
    let kinds = select.query_map([], |row| {
        Ok(KindStatus {
            kind: row.get(0)?,
            waiting: row.get::<_, i64>(1)?.unsigned_abs(),
            oldest: duration(now.saturating_sub(row.get(2)?)),
        })
    })?;
    let kinds = kinds.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT name, interval_us, burst, tat, blocked_until FROM budget ORDER BY name";
    let mut select = connection.prepare_cached(sql)?;
    let budgets = select.query_map([], |row| {
        let bucket = bucket(row, 1)?;
        let blocked_for = Duration::from_micros(bucket.blocked_until.saturating_sub(now.unsigned_abs()));
        let tokens = BudgetBucket { blocked_until: 0, ..bucket }.tokens(now.unsigned_abs());
        Ok(BudgetStatus { name: row.get(0)?, tokens: f64::from(tokens), blocked_for })
    })?;
    let budgets = budgets.collect::<rusqlite::Result<_>>()?;
    let dead_count: i64 = connection.query_row("SELECT count(*) FROM dead", [], |row| row.get(0))?;
    let dead = read_dead(connection, 100)?;
    Ok(QueueStatus { kinds, budgets, dead, dead_count: dead_count.unsigned_abs(), ..QueueStatus::default() })
}

fn read_dead(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<DeadRequest>> {
    let sql = "SELECT id, zone, environment, action, kind, key, attempts, reason, last_error FROM dead \
         ORDER BY died_at DESC, id DESC LIMIT ?1";
    let mut select = connection.prepare_cached(sql)?;
    let limit = Value::from(i64::try_from(limit).unwrap_or(i64::MAX));
    let dead = select.query_map([limit], |row| {
        Ok(DeadRequest {
            id: row.get(0)?,
            zone: row.get(1)?,
            environment: Some(row.get(2)?).filter(|id: &String| !id.is_empty()),
            action: parse_action(&row.get::<_, String>(3)?),
            kind: row.get(4)?,
            key: row.get(5)?,
            attempts: row.get(6)?,
            reason: row.get(7)?,
            last_error: row.get(8)?,
        })
    })?;
    dead.collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_is_almost_full_refuses_requests_and_is_not_ready() {
        let folder = std::env::temp_dir().join(format!("cfcache-queue-space-{}", std::process::id()));
        let mut store = SqliteStore::open(&folder).unwrap();
        let request = NewRequest {
            zone: "example.com".to_owned(),
            environment: None,
            action: Action::Purge,
            subject: Subject::Everything,
            priority: 0,
            delay: Duration::ZERO,
            source: None,
            event: None,
        };
        let requests = [request];
        store.insert(&requests).await.unwrap();
        store.min_free_bytes = u64::MAX;
        for error in [store.insert(&requests).await.unwrap_err(), store.check_writable().await.unwrap_err()] {
            assert!(error.to_string().contains("free some disk space"), "{error}");
        }
        // Stored requests can still be sent and removed.
        let group = store.ready_groups().await.unwrap().remove(0);
        let claim = store.claim(&group, 1).await.unwrap().unwrap();
        claim.settle(vec![Settlement::Accepted]).await.unwrap();
        assert_eq!(store.status().await.unwrap().waiting(), 0);
        drop(store);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_search_for_groups_does_not_slow_down_with_more_requests() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("sqlite/schema.sql")).unwrap();
        connection.execute_batch(include_str!("sqlite/schema-2.sql")).unwrap();
        let sql = "
            WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000)
            INSERT INTO request (zone, environment, action, kind, key, hash, priority, requested_at, not_before)
            SELECT zone, environment, action, kind, 'a', 0, 0, 0, 0 FROM number,
              (SELECT 'a.example' AS zone UNION ALL SELECT 'b.example'),
              (SELECT '' AS environment UNION ALL SELECT 'e'),
              (SELECT 'purge' AS action UNION ALL SELECT 'invalidate'),
              (SELECT 'files' AS kind UNION ALL SELECT 'everything')";
        connection.execute(sql, []).unwrap();
        let mut groups = ready_groups(&connection).unwrap();
        let count = groups.len();
        groups.dedup();
        assert_eq!((count, groups.len()), (16, 16));
        let words: Vec<String> = groups.iter().map(|group| format!("{group:?}")).collect();
        assert!(words.iter().collect::<std::collections::BTreeSet<_>>().len() == 16, "{words:?}");
        // Most groups have only delayed requests now.
        connection
            .execute("UPDATE request SET not_before = 9 WHERE zone = 'a.example' OR id % 2", [])
            .unwrap();
        make_due(&connection, 8).unwrap();
        assert_eq!(ready_groups(&connection).unwrap().len(), 8);
        for sql in NEXT_GROUP {
            let steps = connection.prepare_cached(sql).unwrap().get_status(StatementStatus::VmStep);
            assert!((1..1000).contains(&steps), "{steps} steps: {sql}");
        }
    }
}
