//! Whether two names, or a name and what is open already, are one file.

use std::fs::{File, Metadata};
use std::path::Path;

/// What tells a file from all others, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileId(Id);

#[cfg(unix)]
type Id = (u64, u64);
#[cfg(not(unix))]
type Id = std::path::PathBuf;

impl FileId {
    /// The identity of a regular file, if it is one and exists. Links to it have the same.
    pub fn from_path(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Self::new(path, &metadata)
    }

    #[cfg(unix)]
    fn new(_path: &Path, metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        metadata.is_file().then(|| Self((metadata.dev(), metadata.ino())))
    }

    #[cfg(not(unix))]
    fn new(path: &Path, metadata: &Metadata) -> Option<Self> {
        if metadata.is_file() { path.canonicalize().ok().map(Self) } else { None }
    }

    /// The identity of an open file, if it is a regular one and this system tells.
    fn from_file(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        if cfg!(unix) { Self::new(Path::new(""), &metadata) } else { None }
    }

    /// The file that standard input is, where it is one (`< urls.txt`).
    pub fn of_standard_input() -> Option<Self> {
        standard_input().as_ref().and_then(Self::from_file)
    }

    /// The files that standard output and standard error are, where they are any.
    pub fn of_outputs() -> [(&'static str, Option<Self>); 2] {
        [
            ("the file that standard output goes to", duplicate(std::io::stdout())),
            ("the file that standard error goes to", duplicate(std::io::stderr())),
        ]
        .map(|(name, file)| (name, file.as_ref().and_then(Self::from_file)))
    }
}

/// Standard input, where it is a regular file.
pub fn standard_input() -> Option<File> {
    duplicate(std::io::stdin()).filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))
}

#[cfg(unix)]
fn duplicate(stream: impl std::os::fd::AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

#[cfg(not(unix))]
fn duplicate<T>(_stream: T) -> Option<File> {
    None
}
