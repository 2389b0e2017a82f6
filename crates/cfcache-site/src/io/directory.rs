//! The snapshot of a directory: every file of it, hashed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ring::digest::{Context, SHA256};

use crate::mapping::Site;
use crate::path;
use crate::snapshot::{Entry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

/// So many files go to a thread at once.
const BATCH: usize = 64;

/// So many batches may wait for a thread.
const WAITING: usize = 64;

/// What a thread reads at once.
const BUFFER: usize = 256 << 10;

/// The most folders in each other. Links that name a folder above them are found before.
const MAX_DEPTH: usize = 256;

/// A file to be hashed.
struct Found {
    site_path: String,
    path: PathBuf,
}

struct Hashed {
    site_path: String,
    size: u64,
    hash: Hash,
}

/// Hashes every file below `root` that `site` does not ignore, on all cores. Symbolic links are followed within the
/// root. Nothing is judged by its time or size: a build writes each file anew, and an edit may keep the length.
///
/// # Errors
///
/// [`DirectoryError`] for the first file that cannot be read or is no file, for a link that leaves the root, and for a
/// folder without files.
pub fn snapshot(root: &Path, site: &Site) -> Result<Snapshot, DirectoryError> {
    let canonical = fs::canonicalize(root).map_err(|error| DirectoryError::unreadable(root, error))?;
    if !canonical.is_dir() {
        return Err(DirectoryError::NoDirectory { path: root.to_owned() });
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Mutex::new(receiver);
    let mut files = thread::scope(|scope| {
        let hashers: Vec<_> = (0..threads).map(|_| scope.spawn(|| hash_all(&receiver))).collect();
        let mut walk = Walk { root: canonical, site, sender, batch: Vec::new(), above: Vec::new() };
        let walked = walk.folder(root, "").and_then(|()| walk.send());
        // The threads end when there is nothing left, and nobody who could send more.
        drop(walk);
        let mut files = Vec::new();
        for hasher in hashers {
            let hashed = hasher.join().map_err(|_| DirectoryError::Panicked)?;
            files.extend(hashed?);
        }
        walked.map(|()| files)
    })?;
    files.sort_unstable_by(|left, right| left.site_path.cmp(&right.site_path));
    let mut builder = SnapshotBuilder::new(HashKind::Sha256);
    let invalid = |reason| DirectoryError::Invalid { path: root.to_owned(), reason };
    for Hashed { site_path, size, hash } in files {
        builder.push(Entry { path: &site_path, size: Some(size), hash }).map_err(invalid)?;
    }
    builder.finish().map_err(invalid)
}

struct Walk<'a> {
    root: PathBuf,
    site: &'a Site,
    sender: SyncSender<Vec<Found>>,
    batch: Vec<Found>,
    /// The folders above, without links in them.
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
                self.file(Found { site_path, path })?;
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
            return self.file(Found { site_path, path });
        }
        if !kind.is_dir() {
            return Err(DirectoryError::NoFile { path });
        }
        if target == self.root || self.above.contains(&target) {
            return Err(DirectoryError::Loop { path });
        }
        self.below(&path, &site_path, Some(target))
    }

    fn file(&mut self, found: Found) -> Result<(), DirectoryError> {
        self.batch.push(found);
        if self.batch.len() < BATCH { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), DirectoryError> {
        // Nobody receives once a thread failed, which is what is told then.
        self.sender.send(core::mem::take(&mut self.batch)).map_err(|_| DirectoryError::Panicked)
    }
}

fn hash_all(receiver: &Mutex<Receiver<Vec<Found>>>) -> Result<Vec<Hashed>, DirectoryError> {
    let mut buffer = vec![0; BUFFER];
    let mut hashed = Vec::new();
    let mut failed = None;
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = next else { break };
        // What is left is taken in any case, so that the walk does not wait for ever.
        for Found { site_path, path } in batch {
            if failed.is_some() {
                break;
            }
            match hash(&path, &mut buffer) {
                Ok((size, hash)) => hashed.push(Hashed { site_path, size, hash }),
                Err(error) => failed = Some(DirectoryError::unreadable(&path, error)),
            }
        }
    }
    failed.map_or(Ok(hashed), Err)
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

/// Why a directory is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Something in it, or itself, cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` is no directory", path.display())]
    NoDirectory {
        /// What was given.
        path: PathBuf,
    },
    /// Something that is neither a file, a folder nor a link.
    #[error("`{}` is no file: a socket, a pipe or a device", path.display())]
    NoFile {
        /// What.
        path: PathBuf,
    },
    /// A symbolic link that leaves the directory.
    #[error("`{}` is a link to `{}`, outside of the directory", path.display(), target.display())]
    Outside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A symbolic link to a folder that it is in.
    #[error("`{}` leads back to a folder that it is in", path.display())]
    Loop {
        /// The link.
        path: PathBuf,
    },
    /// What is in it is no snapshot.
    #[error("`{}`: {reason}", path.display())]
    Invalid {
        /// The directory.
        path: PathBuf,
        /// Why.
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
