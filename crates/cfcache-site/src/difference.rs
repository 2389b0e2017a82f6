//! What changed from one snapshot to the next.

use core::cmp::Ordering;

use serde::Serialize;

use crate::snapshot::{Entry, HashKind, Snapshot};

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// Its content is another one.
    Changed,
    /// It is gone.
    Deleted,
}

impl ChangeKind {
    /// The letter that `git status` has for it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'M',
            Self::Deleted => 'D',
        }
    }
}

/// A file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change {
    /// Its [site path](crate::path).
    pub path: String,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// How many files changed and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChangeCounts {
    /// New ones.
    pub added: u64,
    /// Those with another content.
    pub changed: u64,
    /// Those that are gone.
    pub deleted: u64,
    /// All others.
    pub unchanged: u64,
}

impl ChangeCounts {
    /// Counts one more.
    pub const fn count(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Changed => self.changed += 1,
            ChangeKind::Deleted => self.deleted += 1,
        }
    }
}

/// Compares a snapshot with the files of the one before, which come one after the other, sorted by path.
#[derive(Debug)]
pub struct Difference<'a, I> {
    rest: I,
    next: Option<Entry<'a>>,
    has_same_hashes: bool,
    changes: Vec<Change>,
    counts: ChangeCounts,
}

/// Begins to compare `new` with files whose hashes are of the kind `old`. Hashes of another kind say nothing, so that
/// every file counts as changed then.
pub fn difference(old: Option<HashKind>, new: &Snapshot) -> Difference<'_, impl Iterator<Item = Entry<'_>>> {
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

impl<'a, I: Iterator<Item = Entry<'a>>> Difference<'a, I> {
    /// Takes the next file of the snapshot before.
    pub fn push_old(&mut self, old: Entry<'_>) {
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

    /// Ends it: what the snapshot has beyond the old files is new.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Change>, ChangeCounts) {
        while let Some(new) = self.next {
            self.change(new.path, ChangeKind::Added);
            self.next = self.rest.next();
        }
        (self.changes, self.counts)
    }

    fn change(&mut self, path: &str, kind: ChangeKind) {
        self.counts.count(kind);
        self.changes.push(Change { path: path.to_owned(), kind });
    }
}
