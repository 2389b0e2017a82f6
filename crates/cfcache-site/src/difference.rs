//! Compares two snapshots.

use core::cmp::Ordering;

use serde::Serialize;

use crate::snapshot::{FileEntry, HashKind, Snapshot};

/// The type of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The file is new.
    Added,
    /// The content of the file changed.
    Changed,
    /// The file was deleted.
    Deleted,
}

impl ChangeKind {
    /// The letter that `git status` uses.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'M',
            Self::Deleted => 'D',
        }
    }
}

/// A changed file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileChange {
    /// Its [site path](crate::path).
    pub path: String,
    /// The type of the change.
    pub kind: ChangeKind,
}

/// The number of files by type of change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChangeCounts {
    /// New files.
    pub added: u64,
    /// Files with changed content.
    pub changed: u64,
    /// Deleted files.
    pub deleted: u64,
    /// Unchanged files.
    pub unchanged: u64,
}

impl ChangeCounts {
    /// Counts one file.
    pub const fn count(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Changed => self.changed += 1,
            ChangeKind::Deleted => self.deleted += 1,
        }
    }
}

/// Compares a snapshot with the files of the previous one, which are passed one by one, sorted by path.
#[derive(Debug)]
pub struct Difference<'a, I> {
    rest: I,
    next: Option<FileEntry<'a>>,
    has_same_hashes: bool,
    changes: Vec<FileChange>,
    counts: ChangeCounts,
}

/// Starts comparing `new` with files whose hashes have the type `old`. Hashes of different types cannot be compared, so
/// every file counts as changed then.
pub fn difference(
    old: Option<HashKind>,
    new: &Snapshot,
) -> Difference<'_, impl Iterator<Item = FileEntry<'_>>> {
    let mut rest = new.iter();
    let next = rest.next();
    Difference {
        rest,
        next,
        has_same_hashes: old == Some(new.kind()),
        changes: Vec::new(),
        counts: ChangeCounts::default(),
    }
}

impl<'a, I: Iterator<Item = FileEntry<'a>>> Difference<'a, I> {
    /// Adds the next file of the previous snapshot.
    pub fn push_old(&mut self, old: FileEntry<'_>) {
        loop {
            let order = self.next.map_or(Ordering::Greater, |new| new.path.cmp(old.path));
            match (order, self.next) {
                (Ordering::Less, Some(new)) => {
                    self.change(new.path, ChangeKind::Added);
                    self.next = self.rest.next();
                }
                (Ordering::Equal, Some(new)) => {
                    if self.has_same_hashes && new.hash == old.hash {
                        self.counts.unchanged += 1;
                    } else {
                        self.change(new.path, ChangeKind::Changed);
                    }
                    self.next = self.rest.next();
                    return;
                }
                _ => return self.change(old.path, ChangeKind::Deleted),
            }
        }
    }

    /// Ends the comparison: files that only the new snapshot contains are new.
    #[must_use]
    pub fn finish(mut self) -> (Vec<FileChange>, ChangeCounts) {
        while let Some(new) = self.next {
            self.change(new.path, ChangeKind::Added);
            self.next = self.rest.next();
        }
        (self.changes, self.counts)
    }

    fn change(&mut self, path: &str, kind: ChangeKind) {
        self.counts.count(kind);
        self.changes.push(FileChange { path: path.to_owned(), kind });
    }
}
