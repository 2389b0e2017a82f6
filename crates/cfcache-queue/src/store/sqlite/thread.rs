//! A thread that owns a connection, because calls of SQLite block.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// The maximum number of jobs in one transaction, so that the first of them does not wait too long.
const JOBS_PER_COMMIT: usize = 256;

/// How long the thread waits after it could not commit a job that must be committed.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// A job on the connection. The second parameter says whether it is the first job of a transaction. Returns a function
/// that answers the caller after the commit, and whether the job succeeded.
///
/// The first job needs no savepoint, because the whole transaction is rolled back if it fails. A savepoint for a change
/// of a million rows would keep a copy of each page in memory.
type StoreChange = Box<dyn FnOnce(&Connection, bool) -> (Reply, bool) + Send>;
type RepeatableJob = Arc<dyn Fn(&Connection) -> rusqlite::Result<()> + Send + Sync>;
type Reply = Box<dyn FnOnce(Result<(), &rusqlite::Error>)>;

enum ThreadMessage {
    Run(StoreChange),
    Stop,
}

/// A connection on a separate thread.
///
/// All jobs that are waiting when a job starts run in one transaction, so that many concurrent writes wait for the disk
/// once. A job that fails is rolled back alone.
#[derive(Debug)]
pub(super) struct ConnectionThread {
    jobs: Jobs,
    thread: Option<JoinHandle<()>>,
}

/// Sends jobs to a [`ConnectionThread`].
#[derive(Debug, Clone)]
pub(super) struct Jobs(Sender<ThreadMessage>);

impl ConnectionThread {
    /// Starts a thread with that name and connection. `guard` is dropped when the thread ends.
    pub(super) fn spawn<T: Send + 'static>(
        name: &str,
        connection: Connection,
        guard: T,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let run = move || {
            work(&connection, &receiver);
            drop(connection);
            drop(guard);
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { jobs: Jobs(sender), thread: Some(thread) })
    }

    pub(super) const fn jobs(&self) -> &Jobs {
        &self.jobs
    }
}

impl Drop for ConnectionThread {
    /// Ends the thread after its remaining jobs.
    fn drop(&mut self) {
        drop(self.jobs.0.send(ThreadMessage::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Jobs {
    /// Runs `job` in a transaction, and waits until it is committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: StoreChange = Box::new(move |connection, is_first| {
            let done = if is_first { job(connection) } else { within_savepoint(connection, job) };
            let is_done = done.is_ok();
            let answer: Reply = Box::new(move |committed| {
                // The error of a job explains more than the failed commit that it caused.
                let result = match (done, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Err(error), _) => Err(describe(doing, &error)),
                    (Ok(_), Err(error)) => Err(describe(doing, error)),
                };
                // If the caller no longer waits, the result is dropped.
                drop(sender.send(result));
            });
            (answer, is_done)
        });
        let closed = || StoreError::new(doing, "the queue is closed");
        self.0.send(ThreadMessage::Run(job)).map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// Runs `job` later, without waiting for it, and again until it is committed. Another job in the same transaction
    /// may prevent the commit.
    pub(super) fn run_later(&self, job: RepeatableJob) {
        let jobs = self.clone();
        let run: StoreChange = Box::new(move |connection, is_first| {
            let done = if is_first { job(connection) } else { within_savepoint(connection, &*job) };
            let is_done = done.is_ok();
            let answer: Reply = Box::new(move |committed| {
                if !is_done || committed.is_err() {
                    std::thread::sleep(RETRY_PAUSE);
                    jobs.run_later(job);
                }
            });
            (answer, is_done)
        });
        // A thread that has ended holds no claims.
        drop(self.0.send(ThreadMessage::Run(run)));
    }
}

fn work(connection: &Connection, messages: &Receiver<ThreadMessage>) {
    let mut stopped = false;
    while !stopped {
        let Ok(ThreadMessage::Run(first)) = messages.recv() else { break };
        let mut answers = Vec::new();
        if !connection.is_autocommit() {
            // A transaction that could not be rolled back before.
            drop(connection.execute_batch("ROLLBACK"));
        }
        let mut result = connection.execute_batch("BEGIN");
        let mut next = Some(first);
        let mut has_failed = false;
        while let Some(job) = next.take() {
            let is_first = answers.is_empty();
            let (answer, is_done) = job(connection, is_first);
            answers.push(answer);
            if is_first && !is_done {
                // The job reports its own error.
                has_failed = true;
                break;
            }
            // With a full disk, SQLite may have rolled back the whole transaction, including the earlier jobs.
            if connection.is_autocommit() && result.is_ok() {
                result = Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                    Some("another change in the same transaction could not be written".to_owned()),
                ));
            }
            if result.is_ok() && answers.len() < JOBS_PER_COMMIT {
                next = match messages.try_recv() {
                    Ok(ThreadMessage::Run(job)) => Some(job),
                    Ok(ThreadMessage::Stop) => {
                        stopped = true;
                        None
                    }
                    Err(_) => None,
                };
            }
        }
        if result.is_ok() && !has_failed {
            result = connection.execute_batch("COMMIT");
        }
        if (result.is_err() || has_failed) && !connection.is_autocommit() {
            // If this fails, the transaction is rolled back when the connection closes. No caller was told that it
            // succeeded.
            drop(connection.execute_batch("ROLLBACK"));
        }
        for answer in answers {
            answer(result.as_ref().copied());
        }
    }
}

fn within_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let result = job(connection);
    if connection.is_autocommit() {
        return result;
    }
    if result.is_err() {
        connection.execute_batch("ROLLBACK TO job")?;
    }
    connection.execute_batch("RELEASE job")?;
    result
}

/// Adds a hint to an error of SQLite.
pub(super) fn describe(doing: &'static str, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; nothing was stored: free some disk space",
        Some(ErrorCode::SystemIoFailure) => "; the disk could not be read or written: see the system's log",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; the file is damaged: make a copy, save the output of `sqlite3 FILE .recover`, and start with an empty directory"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; this user must be able to write to the directory and its files"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another program has locked the file for longer than five seconds"
        }
        _ => "",
    };
    StoreError::new(doing, format!("{error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts this many bytes.
    async fn insert(jobs: &Jobs, bytes: i64) -> Result<(), String> {
        let job = move |connection: &Connection| {
            connection.execute("INSERT INTO data VALUES (zeroblob(?1))", [bytes]).map(drop)
        };
        jobs.run("cannot store requests", job).await.map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_without_a_caller_is_run_again_if_its_transaction_fails() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE data (number INTEGER)").unwrap();
        let thread = ConnectionThread::spawn("test", connection, ()).unwrap();
        let jobs = thread.jobs();
        // The first job waits until the others are queued, so all of them are in one transaction.
        let (go, queued) = channel::<()>();
        let queued = std::sync::Mutex::new(queued);
        jobs.run_later(Arc::new(move |_| {
            assert!(queued.lock().unwrap().recv().is_err());
            Ok(())
        }));
        jobs.run_later(Arc::new(|connection| {
            connection.execute("INSERT INTO data VALUES (1)", []).map(drop)
        }));
        let is_ended = std::sync::atomic::AtomicBool::new(false);
        jobs.run_later(Arc::new(move |connection| {
            if is_ended.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return Ok(());
            }
            connection.execute_batch("ROLLBACK")
        }));
        drop(go);
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM data", [], |row| row.get::<_, i64>(0))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The first count may be part of the failed transaction, and the second runs before the job runs again.
        let counts: Vec<_> = (0..3).map(|_| runtime.block_on(jobs.run("cannot count", count))).collect();
        assert_eq!(counts[2].as_ref().unwrap(), &1, "{counts:?}");
    }

    #[test]
    fn a_full_disk_fails_only_the_writes_that_do_not_fit() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE data (bytes BLOB); PRAGMA max_page_count = 20; PRAGMA cache_size = 5",
            )
            .unwrap();
        let thread = ConnectionThread::spawn("test", connection, ()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let jobs = thread.jobs();
        runtime.block_on(async {
            insert(jobs, 1000).await.unwrap();
            let (small, large, after) =
                tokio::join!(insert(jobs, 1000), insert(jobs, 1 << 20), insert(jobs, 1000));
            let error = large.unwrap_err();
            assert!(
                error.starts_with("cannot store requests: ") && error.contains("free some disk space"),
                "{error}"
            );
            let stored = usize::from(small.is_ok()) + usize::from(after.is_ok()) + 1;
            let count = |connection: &Connection| {
                connection.query_row("SELECT count(*) FROM data", [], |row| row.get::<_, i64>(0))
            };
            // The other callers of the transaction also got correct answers.
            assert_eq!(jobs.run("cannot count", count).await.unwrap(), stored as i64);
            insert(jobs, 1000).await.unwrap();
        });
        drop(thread);
    }
}
