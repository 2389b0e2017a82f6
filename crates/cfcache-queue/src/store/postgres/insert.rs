//! Inserts new requests. Requests that arrive while others are being stored are combined into one transaction.
//!
//! Each caller is answered after the commit of its own requests. So many concurrent callers cost the server one
//! statement and one write to its disk, and no caller is delayed to wait for others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_postgres::types::{ToSql, Type};

use crate::request::{NewRequest, Subject};
use crate::store::postgres::connection::PostgresPool;
use crate::store::postgres::{Refused, micros};
use crate::store::{MAX_AGE, StoreError, action_word};

const DOING: &str = "cannot store requests";

/// The number of concurrent transactions that store requests. Fewer transactions combine more requests and cost the
/// server less. More transactions get a larger share of a busy server.
const TRANSACTIONS: usize = 8;

/// The maximum number of rows in one transaction, unless a single caller has more.
const ROWS: usize = 10_000;

/// Stores the requests of concurrent callers together.
pub(super) struct Inserts {
    pool: Arc<PostgresPool>,
    queue: Arc<Mutex<InsertQueue>>,
}

#[derive(Default)]
struct InsertQueue {
    waiting: Vec<Waiting>,
    /// The number of tasks that store waiting requests.
    tasks: usize,
}

/// The requests of one caller, and the channel for its answer.
struct Waiting {
    rows: Vec<NewRow>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Inserts {
    pub(super) fn new(pool: Arc<PostgresPool>) -> Self {
        Self { pool, queue: Arc::default() }
    }

    /// Stores either all of the requests or none, and returns when they are committed.
    pub(super) async fn insert(&self, requests: &[NewRequest]) -> Result<(), StoreError> {
        if requests.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let rows = requests.iter().map(NewRow::new).collect();
        let is_needed = {
            let mut queue = locked(&self.queue);
            queue.waiting.push(Waiting { rows, answer });
            let is_needed = queue.tasks < TRANSACTIONS;
            queue.tasks += usize::from(is_needed);
            is_needed
        };
        if is_needed {
            // A separate task, so that cancelling this caller does not affect the others.
            let (pool, queue) = (Arc::clone(&self.pool), Arc::clone(&self.queue));
            tokio::spawn(async move {
                while let Some(batch) = next(&queue) {
                    store(&pool, batch).await;
                }
            });
        }
        received(answered.await)
    }
}

/// Returns the next requests to store together. If there are none, ends a task.
fn next(queue: &Mutex<InsertQueue>) -> Option<Vec<Waiting>> {
    let mut queue = locked(queue);
    // Callers that no longer wait are removed.
    queue.waiting.retain(|waiting| !waiting.answer.is_closed());
    if queue.waiting.is_empty() {
        queue.tasks -= 1;
        return None;
    }
    let mut rows = 0;
    let fits = |waiting: &&Waiting| {
        rows += waiting.rows.len();
        rows <= ROWS
    };
    let count = queue.waiting.iter().take_while(fits).count().max(1);
    Some(queue.waiting.drain(..count).collect())
}

fn locked(queue: &Mutex<InsertQueue>) -> MutexGuard<'_, InsertQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn received(answer: Result<Result<(), StoreError>, oneshot::error::RecvError>) -> Result<(), StoreError> {
    answer.map_err(|_| StoreError::new(DOING, "the program is stopping"))?
}

/// Stores the requests of several callers together, and answers each caller.
async fn store(pool: &PostgresPool, batch: Vec<Waiting>) {
    let stored = insert(pool, batch.iter().flat_map(|waiting| &waiting.rows)).await;
    match stored {
        // The server may have refused only one of them, so each is stored separately.
        Err(error) if batch.len() > 1 && error.source.is::<Refused>() => {
            for Waiting { rows, answer } in batch {
                // An error means that the caller no longer waits.
                drop(answer.send(insert(pool, &rows).await));
            }
        }
        stored => {
            for Waiting { answer, .. } in batch {
                let copy = |error: &StoreError| StoreError::new(error.doing, error.source.to_string());
                drop(answer.send(stored.as_ref().copied().map_err(copy)));
            }
        }
    }
}

/// Stores rows in one transaction.
async fn insert<'r>(
    pool: &PostgresPool,
    rows: impl IntoIterator<Item = &'r NewRow>,
) -> Result<(), StoreError> {
    // The default of `requested_at` is the same time, so a request without a delay is due.
    // For one row, this is less work for the server than `MANY`.
    const ONE: &str = "
        INSERT INTO cfcache.request
          (zone, environment, action, kind, key, priority, not_before, expires_at, source, event)
        VALUES ($1, $2, $3, $4, $5, $6, statement_timestamp() + $7 * interval '1 microsecond',
          statement_timestamp() + $8 * interval '1 microsecond', $9, $10)";
    const MANY: &str = "
        INSERT INTO cfcache.request
          (zone, environment, action, kind, key, priority, not_before, expires_at, source, event)
        SELECT zone, environment, action, kind, key, priority,
          statement_timestamp() + delay * interval '1 microsecond',
          statement_timestamp() + max_age * interval '1 microsecond', source, event
        FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
          AS received (zone, environment, action, kind, key, priority, delay, max_age, source, event)";
    let rows: Vec<&NewRow> = rows.into_iter().collect();
    let connection = pool.get(DOING).await?;
    if connection.is_asynchronous {
        // The server may lose a confirmed commit, unless the transaction sets this option.
        connection.batch("BEGIN; SET LOCAL synchronous_commit = on", DOING).await?;
    }
    let count = match rows.as_slice() {
        [row] => connection.execute(ONE, &row.parameters(), DOING).await?,
        _ => connection.execute(MANY, &Columns::new(&rows).parameters(), DOING).await?,
    };
    if connection.is_asynchronous {
        connection.commit(DOING).await?;
    }
    connection.put_back();
    if count != rows.len() as u64 {
        let message = format!("only {count} of {} rows were stored", rows.len());
        return Err(StoreError::new(DOING, message));
    }
    Ok(())
}

/// The columns of a new request, without the times.
struct NewRow {
    zone: String,
    environment: String,
    action: &'static str,
    kind: &'static str,
    key: String,
    priority: i16,
    delay: i64,
    max_age: Option<i64>,
    source: Option<String>,
    event: Option<String>,
}

impl NewRow {
    fn new(request: &NewRequest) -> Self {
        // PostgreSQL accepts every character but NUL.
        let storable = |text: &Option<String>| text.as_ref().map(|text| text.replace('\0', "\u{fffd}"));
        let expires = !matches!(request.subject, Subject::Everything);
        Self {
            zone: request.zone.clone(),
            environment: request.environment.clone().unwrap_or_default(),
            action: action_word(request.action),
            kind: request.subject.kind(),
            key: request.subject.key().into_owned(),
            priority: request.priority,
            delay: micros(request.delay),
            max_age: expires.then(|| micros(request.delay.saturating_add(MAX_AGE))),
            source: storable(&request.source),
            event: storable(&request.event),
        }
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 10] {
        [
            (&self.zone, Type::TEXT),
            (&self.environment, Type::TEXT),
            (&self.action, Type::TEXT),
            (&self.kind, Type::TEXT),
            (&self.key, Type::TEXT),
            (&self.priority, Type::INT2),
            (&self.delay, Type::INT8),
            (&self.max_age, Type::INT8),
            (&self.source, Type::TEXT),
            (&self.event, Type::TEXT),
        ]
    }
}

/// Rows as the columns of a statement.
#[derive(Default)]
struct Columns<'r> {
    zones: Vec<&'r str>,
    environments: Vec<&'r str>,
    actions: Vec<&'static str>,
    kinds: Vec<&'static str>,
    keys: Vec<&'r str>,
    priorities: Vec<i16>,
    delays: Vec<i64>,
    max_ages: Vec<Option<i64>>,
    sources: Vec<Option<&'r str>>,
    events: Vec<Option<&'r str>>,
}

impl<'r> Columns<'r> {
    fn new(rows: &[&'r NewRow]) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.zones.push(&row.zone);
            columns.environments.push(&row.environment);
            columns.actions.push(row.action);
            columns.kinds.push(row.kind);
            columns.keys.push(&row.key);
            columns.priorities.push(row.priority);
            columns.delays.push(row.delay);
            columns.max_ages.push(row.max_age);
            columns.sources.push(row.source.as_deref());
            columns.events.push(row.event.as_deref());
        }
        columns
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 10] {
        [
            (&self.zones, Type::TEXT_ARRAY),
            (&self.environments, Type::TEXT_ARRAY),
            (&self.actions, Type::TEXT_ARRAY),
            (&self.kinds, Type::TEXT_ARRAY),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.priorities, Type::INT2_ARRAY),
            (&self.delays, Type::INT8_ARRAY),
            (&self.max_ages, Type::INT8_ARRAY),
            (&self.sources, Type::TEXT_ARRAY),
            (&self.events, Type::TEXT_ARRAY),
        ]
    }
}
