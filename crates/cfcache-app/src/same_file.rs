//! Checks whether two paths, or a path and an open file, are the same file.

use std::fs::{File, Metadata};
use std::path::Path;

use crate::failure::Failure;

/// The identity of a file, independent of its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileId(Id);

#[cfg(unix)]
type Id = (u64, u64);
#[cfg(not(unix))]
type Id = std::path::PathBuf;

impl FileId {
    /// The identity of an existing regular file. Links to it have the same identity.
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

    /// The identity of an open regular file, if the system provides it.
    fn from_file(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        if cfg!(unix) { Self::new(Path::new(""), &metadata) } else { None }
    }

    /// The file that is standard input, if it is a file (`< urls.txt`).
    pub fn of_standard_input() -> Option<Self> {
        standard_input().as_ref().and_then(Self::from_file)
    }

    /// The files that are standard output and standard error, if they are files.
    pub fn of_outputs() -> [(&'static str, Option<Self>); 2] {
        [
            ("the file that standard output goes to", duplicate(std::io::stdout())),
            ("the file that standard error goes to", duplicate(std::io::stderr())),
        ]
        .map(|(name, file)| (name, file.as_ref().and_then(Self::from_file)))
    }
}

/// Refuses to write to a file that is also read or written for another purpose, under any name. Each file has a
/// description for errors, such as "`--journal` names the configuration".
///
/// # Errors
///
/// [`Failure`] if a written file is one of the others, or is one of the standard streams' files.
pub fn check_written(written: &[(&str, &Path)], read: &[(&str, &Path)]) -> Result<(), Failure> {
    let written: Vec<(&str, FileId)> =
        written.iter().filter_map(|(option, path)| Some((*option, FileId::from_path(path)?))).collect();
    if written.is_empty() {
        return Ok(());
    }
    for (index, (option, file)) in written.iter().enumerate() {
        if let Some((other, _)) = written[..index].iter().find(|(_, other)| other == file) {
            return Err(Failure::usage(format!("`{other}` and `{option}` name the same file")));
        }
    }
    let mut files: Vec<(&str, Option<FileId>)> = FileId::of_outputs().into();
    files.extend(read.iter().map(|(name, path)| (*name, FileId::from_path(path))));
    // Even if it is not read here, because a script may be reading it.
    files.push(("a file that is read as input", FileId::of_standard_input()));
    for (option, file) in &written {
        if let Some((name, _)) = files.iter().find(|(_, other)| other.as_ref() == Some(file)) {
            return Err(Failure::usage(format!("`{option}` names {name}")));
        }
    }
    Ok(())
}

/// Standard input, if it is a regular file.
pub fn standard_input() -> Option<File> {
    duplicate(std::io::stdin()).filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))
}

#[cfg(unix)]
fn duplicate(stream: impl std::os::fd::AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

#[cfg(windows)]
fn duplicate(stream: impl std::os::windows::io::AsHandle) -> Option<File> {
    stream.as_handle().try_clone_to_owned().ok().map(File::from)
}
