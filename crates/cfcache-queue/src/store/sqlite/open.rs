//! From a directory to connections: the lock, the file, its schema.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The file within the directory.
const FILE: &str = "queue.sqlite3";

/// Held by the process that uses the directory, and says which one that is.
const LOCK_FILE: &str = "queue.lock";

/// What tells the file from databases of other programs: `cfcq`.
const APPLICATION_ID: i32 = 0x6366_6371;

const SCHEMA_VERSION: i32 = 1;

/// How long somebody who looks into the file with another program may lock it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often, and how long each time, a process that ends is waited for.
const ENDING_ROUNDS: u32 = 50;
const ENDING_WAIT: Duration = Duration::from_millis(20);

/// Why a queue's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{} cannot be {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error(
        "{} is in use by process {holder}; one process at a time can use it, and several need PostgreSQL",
        path.display()
    )]
    InUse { path: PathBuf, holder: String },
    #[error("there is no queue in {}", path.display())]
    NoQueue { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{} is no SQLite database; move it away, or name another directory", path.display())]
    NoDatabase { path: PathBuf },
    #[error("{} is a database of another program; name another directory", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "{} is damaged ({what}); copy it away, save what `sqlite3 FILE .recover` finds, and begin with an empty directory",
        path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{} has the schema {found}, and this program knows no newer one than {SCHEMA_VERSION}; use the program that wrote it, or a newer one",
        path.display()
    )]
    Newer { path: PathBuf, found: i32 },
}

/// A directory that this process holds.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) file: PathBuf,
    lock: File,
}

impl Directory {
    /// Makes the directory where there is none, readable for its owner alone, and locks it.
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
            // Who cannot be read is unknown, and holds it all the same.
            drop(lock.rewind().and_then(|()| (&lock).take(20).read_to_string(&mut holder)));
            let holder = holder.trim();
            // One that has taken its name away is about to end.
            if !holder.is_empty() || rounds == ENDING_ROUNDS {
                let holder = if holder.is_empty() { "unknown" } else { holder }.to_owned();
                return Err(OpenError::InUse { path: directory.to_owned(), holder });
            }
            rounds += 1;
            std::thread::sleep(ENDING_WAIT);
        }
        let written = lock.set_len(0).and_then(|()| lock.rewind());
        let written = written.and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(io(&path, "written"))?;
        let file = directory.join(FILE);
        // SQLite gives its other files the permissions of this one.
        drop(open_private(&file).map_err(io(&file, "opened"))?);
        Ok(Self { file, lock })
    }

    /// A connection that writes, to a file that was checked and has this version's schema.
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
        // A commit is on disk when it returns, whatever happens to the machine.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {} PRAGMA application_id = {APPLICATION_ID}; \
                 PRAGMA user_version = {SCHEMA_VERSION}; COMMIT",
                include_str!("schema.sql")
            ))?;
        }
        // What is claimed, for as long as this process lives. `target` counts the claim's targets from 0, and `is_same` is
        // 0 for what is only covered.
        connection.execute_batch(
            "CREATE TEMP TABLE taken (id INTEGER PRIMARY KEY, claim INTEGER NOT NULL, target INTEGER NOT NULL, \
             is_same INTEGER NOT NULL)",
        )
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nobody is to read a number that may be another process by then. The lock itself ends with the file.
        drop(self.lock.set_len(0));
    }
}

/// The file of the queue in a directory where there is one.
pub(super) fn file_in(directory: &Path) -> Result<PathBuf, OpenError> {
    let file = directory.join(FILE);
    // One without content is where something ended before it began.
    let is_queue = std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0);
    if is_queue { Ok(file) } else { Err(OpenError::NoQueue { path: directory.to_owned() }) }
}

/// A connection that only reads, whoever writes meanwhile.
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

/// Finds out whether a file is a queue that this program knows, or empty.
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

/// How many bytes a user without privileges can still write to the disk of that file.
pub(super) fn free_bytes(file: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
