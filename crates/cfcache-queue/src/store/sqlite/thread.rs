//! A thread that owns a connection, since every call of SQLite blocks.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// How many jobs go into one transaction at most, so that the first of them does not wait for ever.
const JOBS_PER_COMMIT: usize = 256;

/// Does one thing with the connection, and returns what says so to whoever waits for it, once it is on disk or is not.
///
/// The first job of a transaction needs no savepoint of its own, which for a change of a million rows would be a copy of
/// each page in memory: where it fails, all is undone. So each job is told whether it is the first, and tells whether it
/// was done.
type Job = Box<dyn FnOnce(&Connection, bool) -> (Answer, bool) + Send>;
type Answer = Box<dyn FnOnce(Result<(), &rusqlite::Error>)>;

enum ThreadMessage {
    Run(Job),
    Stop,
}

/// A connection on a thread of its own.
///
/// All jobs that wait when a job is begun are done in one transaction: many that write at once wait for the disk once.
/// Each is undone by itself where it fails.
#[derive(Debug)]
pub(super) struct ConnectionThread {
    jobs: Jobs,
    thread: Option<JoinHandle<()>>,
}

/// Gives jobs to a [`ConnectionThread`].
#[derive(Debug, Clone)]
pub(super) struct Jobs(Sender<ThreadMessage>);

impl ConnectionThread {
    /// Runs a thread of that name with that connection, and with what has to live as long as it.
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
    /// Ends the thread after the jobs that were given to it.
    fn drop(&mut self) {
        drop(self.jobs.0.send(ThreadMessage::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Jobs {
    /// Runs `job` within a transaction, and waits until that is committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |connection, is_first| {
            let done = if is_first { job(connection) } else { within_savepoint(connection, job) };
            let is_done = done.is_ok();
            let answer: Answer = Box::new(move |committed| {
                // The error of the job says more than that of a commit which it made impossible.
                let result = match (done, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Err(error), _) => Err(describe(doing, &error)),
                    (Ok(_), Err(error)) => Err(describe(doing, error)),
                };
                // Where nobody waits any more, what the job made is dropped.
                drop(sender.send(result));
            });
            (answer, is_done)
        });
        let closed = || StoreError::new(doing, "the queue is closed");
        self.0.send(ThreadMessage::Run(job)).map_err(|_| closed())?;
        receiver.await.map_err(|_| closed())?
    }

    /// Runs `job` some time, and waits for nothing.
    pub(super) fn run_later(&self, job: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static) {
        let job: Job = Box::new(move |connection, is_first| {
            let done = if is_first { job(connection) } else { within_savepoint(connection, job) };
            (Box::new(|_| {}), done.is_ok())
        });
        // A thread that has ended holds nothing any more.
        drop(self.0.send(ThreadMessage::Run(job)));
    }
}

fn work(connection: &Connection, messages: &Receiver<ThreadMessage>) {
    let mut stopped = false;
    while !stopped {
        let Ok(ThreadMessage::Run(first)) = messages.recv() else { break };
        let mut answers = Vec::new();
        if !connection.is_autocommit() {
            // What could not be undone the last time.
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
                // It says itself what is wrong.
                has_failed = true;
                break;
            }
            // A full disk may have undone the whole transaction, and with it the jobs before.
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
            // What cannot be undone now is undone when the connection closes; nothing of it was answered with success.
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

/// What SQLite says, and what to do about it.
pub(super) fn describe(doing: &'static str, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; nothing of it was stored: make room on the disk",
        Some(ErrorCode::SystemIoFailure) => "; the disk could not be read or written: see the system's log",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; the file is damaged: copy it away, save what `sqlite3 FILE .recover` finds, and begin with an empty directory"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; the directory and its files have to be writable for this user"
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

    /// A job that inserts so many bytes.
    async fn insert(jobs: &Jobs, bytes: i64) -> Result<(), String> {
        let job = move |connection: &Connection| {
            connection.execute("INSERT INTO data VALUES (zeroblob(?1))", [bytes]).map(drop)
        };
        jobs.run("cannot store requests", job).await.map_err(|error| error.to_string())
    }

    #[test]
    fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
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
                error.starts_with("cannot store requests: ") && error.contains("make room on the disk"),
                "{error}"
            );
            let stored = usize::from(small.is_ok()) + usize::from(after.is_ok()) + 1;
            let count = |connection: &Connection| {
                connection.query_row("SELECT count(*) FROM data", [], |row| row.get::<_, i64>(0))
            };
            // Whoever shared the transaction was told the truth as well.
            assert_eq!(jobs.run("cannot count", count).await.unwrap(), stored as i64);
            insert(jobs, 1000).await.unwrap();
        });
        drop(thread);
    }
}
