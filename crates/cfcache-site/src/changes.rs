//! Lists of changes, as other tools print them.

mod aws;
mod git;
mod rclone;
mod rsync;

use core::fmt;
use core::str::FromStr;

use crate::difference::{Change, ChangeKind};
use crate::mapping::Site;
use crate::path::{self, InvalidPath, Root};

/// What a list of changes was printed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListFormat {
    /// `git diff --name-status -z`, `git diff --raw -z`.
    Git,
    /// `rsync --out-format='%i %n'`.
    Rsync,
    /// `aws s3 sync --no-progress`.
    Aws,
    /// `rclone check --combined -`, `rclone sync --combined -`.
    Rclone,
    /// Paths, each of a file that changed.
    Paths,
}

impl ListFormat {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Git, Self::Rsync, Self::Aws, Self::Rclone, Self::Paths];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Rsync => "rsync",
            Self::Aws => "aws",
            Self::Rclone => "rclone",
            Self::Paths => "paths",
        }
    }

    /// The command that prints such a list.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Git => "git diff --name-status -z OLD NEW",
            Self::Rsync => "rsync --out-format='%i %n' …",
            Self::Aws => "aws s3 sync --no-progress …",
            Self::Rclone => "rclone sync --combined - …",
            Self::Paths => "a command that prints paths",
        }
    }

    /// Returns whether its records end with NUL whatever is asked for.
    #[must_use]
    pub const fn is_null_separated(self) -> bool {
        matches!(self, Self::Git)
    }
}

impl fmt::Display for ListFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ListFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.iter().find(|format| format.name() == text);
        found.copied().ok_or_else(|| UnknownFormat { found: text.to_owned() })
    }
}

/// No list of changes has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is none of git, rsync, aws, rclone, paths")]
pub struct UnknownFormat {
    /// What was given.
    pub found: String,
}

/// Reads a list of changes, a record at a time.
#[derive(Debug)]
pub struct ChangeList {
    format: ListFormat,
    /// What an S3 URL is below, where the format is `aws`; what paths are below, in the others.
    root: Root,
    git: git::DiffParser,
    changes: Vec<Change>,
    outside: u64,
    records: u64,
}

/// What a parser calls with each path that it finds.
type OnChange<'a> = dyn FnMut(&[u8], ChangeKind) -> Result<(), InvalidChange> + 'a;

impl ChangeList {
    /// Begins a list; its paths are relative to `root`. Of `aws`, a root of `s3://bucket/folder` is what keys are below.
    #[must_use]
    pub fn new(format: ListFormat, root: Root) -> Self {
        Self { format, root, git: git::DiffParser::default(), changes: Vec::new(), outside: 0, records: 0 }
    }

    /// Takes the next record, without its end. A file that `site` ignores is no change.
    ///
    /// # Errors
    ///
    /// [`InvalidChange`] where it is nothing that the tool prints, or tells of a failure of the tool. What was read
    /// before stays.
    pub fn push(&mut self, record: &[u8], site: &Site) -> Result<(), InvalidChange> {
        let Self { format, root, git, changes, outside, records } = self;
        *records += 1;
        let has_root = *root != Root::none();
        let mut found = |name: &[u8], kind| {
            let Some(path) = root.site_path(name)? else {
                *outside += 1;
                return Ok(());
            };
            if !site.ignores(&path::decode(&path)) {
                changes.push(Change { path: path.into_owned(), kind });
            }
            Ok(())
        };
        match format {
            ListFormat::Git => git.record(record, &mut found),
            ListFormat::Rsync => rsync::line(record, &mut found),
            ListFormat::Aws => aws::line(record, has_root, &mut found),
            ListFormat::Rclone => rclone::line(record, &mut found),
            ListFormat::Paths if record.is_empty() => Ok(()),
            ListFormat::Paths if record.ends_with(b"/") => Ok(()),
            ListFormat::Paths => found(record, ChangeKind::Changed),
        }
    }

    /// How many records there were.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many of the files are not below the root.
    #[must_use]
    pub const fn outside(&self) -> u64 {
        self.outside
    }

    /// The changes so far, whether or not the list ended well: each path once, sorted. What was deleted and came back
    /// is changed.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.changes.clone();
        changes.sort_unstable();
        changes.dedup_by(|next, kept| {
            let is_same = next.path == kept.path;
            if is_same && next.kind != kept.kind {
                kept.kind = ChangeKind::Changed;
            }
            is_same
        });
        changes
    }

    /// Ends the list.
    ///
    /// # Errors
    ///
    /// [`InvalidChange::Unfinished`] where it ends in the middle.
    pub fn finish(&self) -> Result<(), InvalidChange> {
        self.git.finish()
    }
}

/// Why a record is not one of a list of changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChange {
    /// It looks otherwise.
    #[error("`{found}` is nothing that {expected} prints")]
    Shape {
        /// Its beginning.
        found: String,
        /// The command.
        expected: &'static str,
    },
    /// Lines where there should be NULs.
    #[error("the records end with line breaks; call git with `-z`, which does not quote names")]
    NotNullSeparated,
    /// Nothing was done.
    #[error("`{found}` tells of a dry run: nothing was changed")]
    DryRun {
        /// Its beginning.
        found: String,
    },
    /// The tool failed.
    #[error("the tool failed for a file: `{found}`")]
    Failed {
        /// Its beginning.
        found: String,
    },
    /// It ends in the middle of a record.
    #[error("the list ends in the middle, after `{after}`")]
    Unfinished {
        /// The last that was read.
        after: String,
    },
    /// A path in it.
    #[error(transparent)]
    Path(#[from] InvalidPath),
}

impl InvalidChange {
    fn shape(record: &[u8], format: ListFormat) -> Self {
        Self::Shape { found: crate::clip(record), expected: format.command() }
    }
}
