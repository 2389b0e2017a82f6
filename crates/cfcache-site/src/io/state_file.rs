//! The state file of a site.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use cfcache_model::target::Target;

use crate::snapshot::{FileEntry, Snapshot};
use crate::state::{MAX_LINE, Remembered, StateHeader, StateLine, StateReader, StateWriter, UnusableState};

/// The number of bytes that are written at once.
const CHUNK: usize = 1 << 20;

/// A state file that is locked by this process.
///
/// - Writing replaces the old state atomically: the new one is written to a file beside it and made durable, the file
///   is renamed, and the folder is made durable. If the process is killed, the machine stops or the disk is full,
///   either the old or the new state remains.
/// - A file that is not a state is never replaced.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
    /// The position of the file lines, their number, and the type of their hashes.
    kept: Option<KeptFiles>,
}

#[derive(Debug, Clone)]
struct KeptFiles {
    start: u64,
    end: u64,
    header: StateHeader,
}

/// The files to write.
#[derive(Debug)]
pub enum Files<'a> {
    /// The files of the state that was read or written last; none if there was none.
    Kept,
    /// The files of a snapshot.
    Snapshot(&'a Snapshot),
}

/// A step of writing a state. A complete state exists before, during and after each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteStep {
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
}

impl StateFile {
    /// Locks the state at `path`, whether or not it exists. Its folder is created if it is missing.
    ///
    /// # Errors
    ///
    /// [`StateError::Locked`] if another process uses it, or [`StateError::Io`].
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        let io = |what| move |source| StateError::Io { what, path: path.to_owned(), source };
        // If it is a link, its target is replaced.
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(io("read")(error)),
        };
        let (Some(name), Some(folder)) = (path.file_name(), folder(&path)) else {
            return Err(io("write")(io::ErrorKind::IsADirectory.into()));
        };
        refuse_special(&path).map_err(io("write"))?;
        fs::create_dir_all(folder).map_err(io("make the folder of"))?;
        let mut lock_name = name.to_owned();
        lock_name.push(".lock");
        let lock_path = path.with_file_name(lock_name);
        let lock = lock_file(&lock_path)?;
        Ok(Self { path, lock_path, _lock: lock, kept: None })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state, and passes each of its files to `visit` in the order of their paths; returns `None` if there is
    /// no state. If this fails, the files that were passed must be discarded.
    ///
    /// # Errors
    ///
    /// [`StateError::Unusable`], or [`StateError::Io`].
    pub fn read(
        &mut self,
        visit: &mut dyn FnMut(&StateHeader, FileEntry<'_>),
    ) -> Result<Option<Remembered>, StateError> {
        self.kept = None;
        let Some((remembered, kept)) = read(&self.path, visit)? else { return Ok(None) };
        self.kept = Some(kept);
        Ok(Some(remembered))
    }

    /// Replaces the state durably.
    ///
    /// # Errors
    ///
    /// [`StateError`]; the state is the previous one, or the new one if only making it durable failed.
    pub fn write(
        &mut self,
        header: StateHeader,
        files: Files<'_>,
        pending: &[Target],
    ) -> Result<(), StateError> {
        self.write_in_steps(header, files, pending, &mut |_| Ok(()))
    }

    fn write_in_steps(
        &mut self,
        header: StateHeader,
        files: Files<'_>,
        pending: &[Target],
        before: &mut dyn FnMut(WriteStep) -> io::Result<()>,
    ) -> Result<(), StateError> {
        self.refuse_foreign()?;
        let temporary = self.temporary();
        match self.replace(&temporary, header, files, pending, before) {
            Ok(kept) => {
                self.kept = Some(kept);
                Ok(())
            }
            Err(source) => {
                // The temporary file belongs to this process and is no longer needed.
                let _gone = fs::remove_file(&temporary);
                Err(StateError::Io { what: "write", path: self.path.clone(), source })
            }
        }
    }

    fn replace(
        &self,
        temporary: &Path,
        mut header: StateHeader,
        files: Files<'_>,
        pending: &[Target],
        before: &mut dyn FnMut(WriteStep) -> io::Result<()>,
    ) -> io::Result<KeptFiles> {
        match &files {
            Files::Kept => {
                let kept = self.kept.as_ref().map(|kept| &kept.header);
                header.hash = kept.and_then(|kept| kept.hash);
                header.files = kept.map_or(0, |kept| kept.files);
            }
            Files::Snapshot(snapshot) => {
                header.hash = Some(snapshot.kind());
                header.files = snapshot.len() as u64;
            }
        }
        header.pending = pending.len() as u64;
        before(WriteStep::Create)?;
        let _gone = fs::remove_file(temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
        if let Ok(old) = fs::metadata(&self.path) {
            file.set_permissions(old.permissions())?;
        }
        before(WriteStep::Write)?;
        let mut output =
            Output { file: &mut file, text: String::with_capacity(CHUNK + MAX_LINE), written: 0 };
        let mut lines = StateWriter::default();
        lines.header(&header, &mut output.text)?;
        let start = output.position();
        match (&files, &self.kept) {
            (Files::Kept, None) => {}
            (Files::Kept, Some(kept)) => {
                output.flush()?;
                let mut old = File::open(&self.path)?;
                old.seek(SeekFrom::Start(kept.start))?;
                let bytes = io::copy(&mut old.take(kept.end - kept.start), output.file)?;
                if bytes != kept.end - kept.start {
                    return Err(io::Error::other("the state became shorter while it was locked"));
                }
                output.written += bytes;
                lines.copied(header.files);
            }
            (Files::Snapshot(snapshot), _) => {
                for entry in snapshot.iter() {
                    lines.file(snapshot.kind(), entry, &mut output.text);
                    output.flush_chunk()?;
                }
            }
        }
        let end = output.position();
        for target in pending {
            lines.pending(target, &mut output.text)?;
            output.flush_chunk()?;
        }
        lines.end(&mut output.text)?;
        output.flush()?;
        before(WriteStep::Sync)?;
        file.sync_all()?;
        drop(file);
        before(WriteStep::Rename)?;
        fs::rename(temporary, &self.path)?;
        before(WriteStep::SyncFolder)?;
        sync_folder(&self.path)?;
        Ok(KeptFiles { start, end, header })
    }

    fn refuse_foreign(&self) -> Result<(), StateError> {
        let io = |source| StateError::Io { what: "read", path: self.path.clone(), source };
        let mut beginning = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(64).read_to_end(&mut beginning).map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(error)),
        };
        if crate::state::may_begin(&beginning) {
            return Ok(());
        }
        Err(StateError::Unusable {
            path: self.path.clone(),
            salvaged: None,
            unusable: UnusableState::Foreign,
        })
    }

    fn temporary(&self) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".cfcache-new");
        self.path.with_file_name(name)
    }
}

/// A file with a write buffer.
struct Output<'a> {
    file: &'a mut File,
    text: String,
    written: u64,
}

impl Output<'_> {
    const fn position(&self) -> u64 {
        self.written + self.text.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(self.text.as_bytes())?;
        self.written += self.text.len() as u64;
        self.text.clear();
        Ok(())
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if self.text.len() < CHUNK { Ok(()) } else { self.flush() }
    }
}

/// Reads a state like [`StateFile::read`], without locking it: for a run that writes nothing.
///
/// # Errors
///
/// The same as there.
pub fn read_unlocked(path: &Path, visit: &mut EachFile<'_>) -> Result<Option<Remembered>, StateError> {
    Ok(read(path, visit)?.map(|(remembered, _)| remembered))
}

/// The callback for each file of a state.
pub type EachFile<'a> = dyn FnMut(&StateHeader, FileEntry<'_>) + 'a;

fn read(path: &Path, visit: &mut EachFile<'_>) -> Result<Option<(Remembered, KeptFiles)>, StateError> {
    let io = |source| StateError::Io { what: "read", path: path.to_owned(), source };
    refuse_special(path).map_err(io)?;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut input = BufReader::with_capacity(CHUNK, file);
    let mut reader = StateReader::default();
    let mut line = Vec::new();
    let (mut at, mut start, mut end) = (0, 0, 0);
    let mut header = None;
    let unusable = loop {
        line.clear();
        (&mut input).take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(io)?;
        if line.is_empty() {
            match reader.finish() {
                Ok(remembered) => {
                    let header = remembered.header.clone();
                    return Ok(Some((remembered, KeptFiles { start, end, header })));
                }
                Err(unusable) => break unusable,
            }
        }
        at += line.len() as u64;
        match reader.line(&line) {
            Ok(StateLine::Header) => (start, end) = (at, at),
            Ok(StateLine::File(entry)) => {
                end = at;
                if let Some(header) = &header {
                    visit(header, entry);
                }
            }
            Ok(StateLine::Pending | StateLine::End) => {}
            Err(unusable) => break unusable,
        }
        if header.is_none() {
            header = reader.header().cloned();
        }
    };
    Err(StateError::Unusable { path: path.to_owned(), salvaged: reader.salvage().map(Box::new), unusable })
}

impl Drop for StateFile {
    fn drop(&mut self) {
        // Still locked, so no other process uses it: a process that waits for the lock finds that the name is gone, and
        // creates a new file.
        let _gone = fs::remove_file(&self.lock_path);
    }
}

/// Refuses what is no regular file: opening a pipe waits for ever, and a new state would replace a device such as
/// `/dev/null` for all programs.
fn refuse_special(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => Err(io::Error::other("it is not a regular file")),
        // A file that is missing or cannot be examined is the business of the next step.
        _ => Ok(()),
    }
}

/// The folder of a file.
fn folder(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    // On other systems a folder cannot be opened, and a rename is durable.
    if cfg!(unix)
        && let Some(folder) = folder(path)
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn lock_file(path: &Path) -> Result<File, StateError> {
    loop {
        let io = |source| StateError::Io { what: "lock", path: path.to_owned(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // The previous owner removes the name when it ends, so the locked file may have no name.
        if is_at(&file, path).map_err(io)? {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let locked = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok(named.dev() == locked.dev() && named.ino() == locked.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> io::Result<bool> {
    // An open file cannot be removed on this system.
    Ok(true)
}

/// Why a state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process uses it.
    #[error("another run uses this state: `{}` is locked", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// The file cannot be used.
    #[error("the state `{}` cannot be used: {unusable}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The reason.
        unusable: UnusableState,
        /// The readable part of a truncated state.
        salvaged: Option<Box<Remembered>>,
    },
    /// A file system error.
    #[error("cannot {what} the state `{}`", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use cfcache_model::target::Kind;

    use super::*;
    use crate::mapping::{Site, SiteUrl};
    use crate::snapshot::{Hash, HashKind, SnapshotBuilder};

    const STEPS: [WriteStep; 5] =
        [WriteStep::Create, WriteStep::Write, WriteStep::Sync, WriteStep::Rename, WriteStep::SyncFolder];

    fn header() -> StateHeader {
        StateHeader::new(1, Site::new(vec![SiteUrl::parse("https://e.com").unwrap()]))
    }

    fn snapshot(path: &str) -> Snapshot {
        let mut builder = SnapshotBuilder::new(HashKind::Sha256);
        builder.push(FileEntry { path, size: None, hash: Hash::sha256(b"") }).unwrap();
        builder.finish().unwrap()
    }

    fn read(state: &mut StateFile) -> (Vec<String>, usize) {
        let mut paths = Vec::new();
        let remembered = state.read(&mut |_, entry| paths.push(entry.path.to_owned())).unwrap().unwrap();
        (paths, remembered.pending.len())
    }

    /// The result if a process is killed before a step, or if the disk fails at it.
    #[test]
    fn survives_a_stop_at_every_step() {
        let folder = std::env::temp_dir().join(format!("cfcache-state-steps-{}", std::process::id()));
        let path = folder.join("state");
        let pending = [Target::parse(Kind::Files, "https://e.com/a").unwrap()];
        for is_kill in [true, false] {
            for stop in STEPS {
                for files in ["kept", "new"] {
                    let _gone = fs::remove_dir_all(&folder);
                    let mut state = StateFile::lock(&path).unwrap();
                    state.write(header(), Files::Snapshot(&snapshot("old")), &[]).unwrap();
                    let new = snapshot("new");
                    let files_to_write = if files == "new" { Files::Snapshot(&new) } else { Files::Kept };
                    let mut seen = Vec::new();
                    let mut before = |step| {
                        seen.push(step);
                        if step == stop { Err(io::Error::other("stopped")) } else { Ok(()) }
                    };
                    if is_kill {
                        // Nothing is cleaned up.
                        let temporary = state.temporary();
                        state
                            .replace(&temporary, header(), files_to_write, &pending, &mut before)
                            .unwrap_err();
                    } else {
                        state.write_in_steps(header(), files_to_write, &pending, &mut before).unwrap_err();
                        assert!(!state.temporary().exists());
                    }
                    assert_eq!(seen, STEPS[..seen.len()], "{stop:?}");
                    drop(state);
                    let mut state = StateFile::lock(&path).unwrap();
                    let written = if files == "new" { "new" } else { "old" };
                    let expected = if stop == WriteStep::SyncFolder { (written, 1) } else { ("old", 0) };
                    assert_eq!(
                        read(&mut state),
                        (vec![expected.0.to_owned()], expected.1),
                        "{stop:?}, {files}"
                    );
                    state.write(header(), Files::Kept, &[]).unwrap();
                    assert_eq!(
                        read(&mut state),
                        (vec![expected.0.to_owned()], 0),
                        "it goes on after {stop:?}"
                    );
                }
            }
        }
        let _gone = fs::remove_dir_all(&folder);
    }
}
