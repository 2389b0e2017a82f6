//! The snapshot of a directory: all its files with their hashes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ring::digest::{Context, SHA256};

use crate::mapping::Site;
use crate::path;
use crate::snapshot::{FileEntry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

/// The number of files that are passed to a thread together.
const BATCH: usize = 64;

/// The number of batches that may wait for each thread.
const WAITING: usize = 64;

/// The size of a thread's read buffer.
const BUFFER: usize = 256 << 10;

/// The maximum nesting of folders. Links to a parent folder are detected before.
const MAX_DEPTH: usize = 256;

/// A file to hash.
struct FoundFile {
    site_path: String,
    path: PathBuf,
}

/// Hashes every file below `root` that `site` does not ignore, on all cores. Symbolic links within the root are
/// followed. Times and sizes are not used: a build writes every file again, and an edit may keep the length.
///
/// # Errors
///
/// [`DirectoryError`] for the first file that cannot be read or is not a regular file, for a link that leaves the root,
/// and for a folder without files.
pub fn snapshot(root: &Path, site: &Site) -> Result<Snapshot, DirectoryError> {
    let canonical = fs::canonicalize(root).map_err(|error| DirectoryError::unreadable(root, error))?;
    if !canonical.is_dir() {
        return Err(DirectoryError::NoDirectory { path: root.to_owned() });
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    let builder = Mutex::new(SnapshotBuilder::new(HashKind::Sha256));
    let invalid = |reason| DirectoryError::Invalid { path: root.to_owned(), reason };
    thread::scope(|scope| {
        let hash_all = || {
            hash_all(&receiver, |entry| {
                builder.lock().unwrap_or_else(PoisonError::into_inner).push(entry).map_err(invalid)
            })
        };
        let hashers: Vec<_> = (0..threads).map(|_| scope.spawn(hash_all)).collect();
        let mut walk = Walk { root: canonical, site, sender, batch: Vec::new(), above: Vec::new() };
        let walked = walk.folder(root, "").and_then(|()| walk.send());
        // The threads end when the queue is empty and all senders are dropped.
        drop(walk);
        for hasher in hashers {
            hasher.join().map_err(|_| DirectoryError::Panicked)??;
        }
        walked
    })?;
    builder.into_inner().unwrap_or_else(PoisonError::into_inner).finish().map_err(invalid)
}

struct Walk<'a> {
    root: PathBuf,
    site: &'a Site,
    sender: SyncSender<Vec<FoundFile>>,
    batch: Vec<FoundFile>,
    /// The parent folders, without links.
    above: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, site_path: &str) -> Result<(), DirectoryError> {
        let unreadable = |error| DirectoryError::unreadable(folder, error);
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let path = entry.path();
            let encoded = path::encode(name.as_encoded_bytes());
            let site_path = if site_path.is_empty() { encoded } else { format!("{site_path}/{encoded}") };
            let kind = entry.file_type().map_err(|error| DirectoryError::unreadable(&path, error))?;
            if !kind.is_dir() && self.site.ignores(&path::decode(&site_path)) {
                continue;
            }
            if kind.is_file() {
                self.file(FoundFile { site_path, path })?;
            } else if kind.is_dir() {
                self.below(&path, &site_path, None)?;
            } else if kind.is_symlink() {
                self.link(path, site_path)?;
            } else {
                return Err(DirectoryError::NoFile { path });
            }
        }
        Ok(())
    }

    fn below(&mut self, path: &Path, site_path: &str, target: Option<PathBuf>) -> Result<(), DirectoryError> {
        if self.above.len() >= MAX_DEPTH {
            return Err(DirectoryError::Loop { path: path.to_owned() });
        }
        let parent = self.above.last().unwrap_or(&self.root);
        let canonical = target
            .unwrap_or_else(|| path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name)));
        self.above.push(canonical);
        let result = self.folder(path, site_path);
        self.above.pop();
        result
    }

    fn link(&mut self, path: PathBuf, site_path: String) -> Result<(), DirectoryError> {
        let target = fs::canonicalize(&path).map_err(|error| DirectoryError::unreadable(&path, error))?;
        if !target.starts_with(&self.root) {
            return Err(DirectoryError::Outside { path, target });
        }
        let kind = fs::metadata(&target).map_err(|error| DirectoryError::unreadable(&path, error))?;
        if kind.is_file() {
            return self.file(FoundFile { site_path, path });
        }
        if !kind.is_dir() {
            return Err(DirectoryError::NoFile { path });
        }
        if target == self.root || self.above.contains(&target) {
            return Err(DirectoryError::Loop { path });
        }
        self.below(&path, &site_path, Some(target))
    }

    fn file(&mut self, found: FoundFile) -> Result<(), DirectoryError> {
        self.batch.push(found);
        if self.batch.len() < BATCH { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), DirectoryError> {
        // There is no receiver after a thread failed, and its error is returned.
        self.sender.send(core::mem::take(&mut self.batch)).map_err(|_| DirectoryError::Panicked)
    }
}

/// Passes the files of all batches to `add`.
fn hash_all(
    receiver: &Mutex<Receiver<Vec<FoundFile>>>,
    add: impl Fn(FileEntry<'_>) -> Result<(), DirectoryError>,
) -> Result<(), DirectoryError> {
    let mut buffer = vec![0; BUFFER];
    let mut result = Ok(());
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = next else { break };
        // The rest is received in any case, so that the walk does not block forever.
        for FoundFile { site_path, path } in batch {
            if result.is_err() {
                break;
            }
            result = hash(&path, &mut buffer)
                .map_err(|error| DirectoryError::unreadable(&path, error))
                .and_then(|(size, hash)| add(FileEntry { path: &site_path, size: Some(size), hash }));
        }
    }
    result
}

fn hash(path: &Path, buffer: &mut [u8]) -> io::Result<(u64, Hash)> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut size = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(bytes) => {
                context.update(&buffer[..bytes]);
                size += bytes as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = context.finish();
    let hash = Hash::from_bytes(digest.as_ref()).ok_or_else(|| io::Error::other("SHA-256 has 32 bytes"))?;
    Ok((size, hash))
}

/// Why a directory is not a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// A part of it, or the directory itself, cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is not a directory.
    #[error("`{}` is no directory", path.display())]
    NoDirectory {
        /// The given path.
        path: PathBuf,
    },
    /// A part of it is neither a file, a folder nor a link.
    #[error("`{}` is no file: a socket, a pipe or a device", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// A symbolic link leaves the directory.
    #[error("`{}` is a link to `{}`, outside of the directory", path.display(), target.display())]
    Outside {
        /// The link.
        path: PathBuf,
        /// Its target.
        target: PathBuf,
    },
    /// A symbolic link leads to one of its parent folders.
    #[error("`{}` leads back to a folder that it is in", path.display())]
    Loop {
        /// The link.
        path: PathBuf,
    },
    /// Its content is not a snapshot.
    #[error("`{}`: {reason}", path.display())]
    Invalid {
        /// The directory.
        path: PathBuf,
        /// The reason.
        reason: InvalidSnapshot,
    },
    /// A thread that hashed files panicked.
    #[error("a thread that hashed files panicked")]
    Panicked,
}

impl DirectoryError {
    fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }
}
