//! Opens the directory of a queue: the lock, the file and its schema.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The name of the database file.
const FILE: &str = "queue.sqlite3";

/// The name of the lock file. The process that uses the directory locks it and writes its process id into it.
const LOCK_FILE: &str = "queue.lock";

/// The application id of the file: `cfcq`.
const APPLICATION_ID: i32 = 0x6366_6371;

/// The migration to each version of the schema, from the previous one. A released migration never changes.
const MIGRATIONS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema-2.sql")];

const SCHEMA_VERSION: i32 = MIGRATIONS.len() as i32;

/// The longest time to wait if another program has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of times, and the time of each, to wait for a process that is stopping.
const STOP_CHECKS: u32 = 50;
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Why the directory of a queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{} cannot be {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error(
        "{} is in use by process {holder}; only one process can use it at a time; use PostgreSQL for several",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error("there is no queue in {}", path.display())]
    NoQueue { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{} is not an SQLite database; move it away or use another directory", path.display())]
    NoDatabase { path: PathBuf },
    #[error("{} is a database of another program; use another directory", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} is damaged ({what}); make a copy, save the output of `sqlite3 FILE .recover`, and start with an empty directory",
        path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{} has schema version {found}, but this program supports versions up to {SCHEMA_VERSION}; use a newer cfcache-queue",
        path.display()
    )]
    Newer { path: PathBuf, found: i32 },
}

/// A directory that this process has locked.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) file: PathBuf,
    lock: File,
}

impl Directory {
    /// Locks the directory. If it does not exist, creates it, readable only by its owner.
    pub(super) fn lock(directory: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path, action| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, action, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io(directory, "made"))?;
        let path = directory.join(LOCK_FILE);
        let mut lock = open_private(&path).map_err(io(&path, "opened"))?;
        let mut rounds = 0;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(io(&path, "locked")(error)),
            }
            let mut holder = String::new();
            // If the id cannot be read, the holder is unknown, but the lock is still held.
            drop(lock.rewind().and_then(|()| (&lock).take(20).read_to_string(&mut holder)));
            let holder = holder.trim();
            // A process that has removed its id is about to end.
            if !holder.is_empty() || rounds == STOP_CHECKS {
                let holder = if holder.is_empty() { "unknown" } else { holder }.to_owned();
                return Err(OpenError::InUse { path: directory.to_owned(), holder });
            }
            rounds += 1;
            std::thread::sleep(STOP_CHECK_INTERVAL);
        }
        let written = lock.set_len(0).and_then(|()| lock.rewind());
        let written = written.and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(io(&path, "written"))?;
        let file = directory.join(FILE);
        // SQLite gives its other files the permissions of this one.
        drop(open_private(&file).map_err(io(&file, "opened"))?);
        Ok(Self { file, lock })
    }

    /// Opens a connection for writing, after checking the file and creating the schema if needed.
    pub(super) fn open(&self) -> Result<Connection, OpenError> {
        let connection = connect(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        check(&self.file, &connection)?;
        let what: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(|error| failed(&self.file, error))?;
        if what != "ok" {
            return Err(OpenError::Damaged { path: self.file.clone(), what });
        }
        self.prepare(&connection).map_err(|error| failed(&self.file, error))?;
        Ok(connection)
    }

    fn prepare(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit is on disk when it returns, even if the machine crashes.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let done = usize::try_from(version).unwrap_or(0);
        if let Some(steps) = MIGRATIONS.get(done..).filter(|steps| !steps.is_empty()) {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {} PRAGMA application_id = {APPLICATION_ID}; \
                 PRAGMA user_version = {SCHEMA_VERSION}; COMMIT",
                steps.concat()
            ))?;
        }
        // The claimed rows, while this process runs. `target` is the index of the target in the claim, and `is_same` is
        // 0 for covered rows.
        connection.execute_batch(
            "CREATE TEMP TABLE taken (id INTEGER PRIMARY KEY, claim INTEGER NOT NULL, target INTEGER NOT NULL, \
             is_same INTEGER NOT NULL)",
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The id may belong to another process later. The lock itself ends when the file is closed.
        drop(self.lock.set_len(0));
    }
}

/// Returns the database file of a directory, if there is a queue.
pub(super) fn file_in(directory: &Path) -> Result<PathBuf, OpenError> {
    let file = directory.join(FILE);
    // An empty file remains if a process ends before it creates the schema.
    let is_queue = std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0);
    if is_queue { Ok(file) } else { Err(OpenError::NoQueue { path: directory.to_owned() }) }
}

/// Opens a connection for reading, even while another process writes.
pub(super) fn read(file: &Path) -> Result<Connection, OpenError> {
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(file, &connection)?;
    Ok(connection)
}

fn connect(file: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| failed(file, error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| failed(file, error))?;
    Ok(connection)
}

/// Checks that a file is a queue that this program supports, or empty.
fn check(file: &Path, connection: &Connection) -> Result<(), OpenError> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let sqlite = |error| failed(file, error);
    let application = number("application_id").map_err(sqlite)?;
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    let path = || file.to_owned();
    if application == 0 && tables.map_err(sqlite)? == 0 {
        return Ok(());
    }
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path() });
    }
    match number("user_version").map_err(sqlite)? {
        found if found > SCHEMA_VERSION => Err(OpenError::Newer { path: path(), found }),
        _ => Ok(()),
    }
}

fn failed(file: &Path, error: rusqlite::Error) -> OpenError {
    let path = file.to_owned();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::NoDatabase { path },
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, what: error.to_string() },
        _ => OpenError::Sqlite { path, source: error },
    }
}

/// Returns how many bytes an unprivileged user can still write to the disk of that file.
pub(super) fn free_bytes(file: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
