//! Parses lists of changes printed by other tools.

mod aws;
mod git;
mod rclone;
mod rsync;

use core::fmt;
use core::str::FromStr;

use cfcache_model::InvalidInput;
use cfcache_model::text::quote;

use crate::difference::{ChangeKind, FileChange};
use crate::mapping::Site;
use crate::path::{self, InvalidPath, Root};

/// The tool that printed a list of changes.
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
    /// Paths of changed files, one per record.
    Paths,
}

impl ListFormat {
    /// All formats.
    pub const ALL: &'static [Self] = &[Self::Git, Self::Rsync, Self::Aws, Self::Rclone, Self::Paths];

    /// The name of the format.
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

    /// Returns whether records of this format always end with NUL.
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
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let found = Self::ALL.iter().find(|format| format.name() == text);
        found.copied().ok_or_else(|| {
            InvalidInput::new(format!("{} is none of git, rsync, aws, rclone, paths", quote(text)))
        })
    }
}

/// Parses a list of changes, one record at a time.
#[derive(Debug)]
pub struct ChangeList {
    format: ListFormat,
    /// The prefix of S3 URLs for the format `aws`; the root of paths for the others.
    root: Root,
    git: git::DiffParser,
    changes: Vec<FileChange>,
    outside: u64,
    records: u64,
}

/// The callback that a parser calls with each path.
type OnChange<'a> = dyn FnMut(&[u8], ChangeKind) -> Result<(), InvalidChange> + 'a;

impl ChangeList {
    /// Starts a list whose paths are relative to `root`. For `aws`, a root such as `s3://bucket/folder` is the prefix
    /// of keys.
    #[must_use]
    pub fn new(format: ListFormat, root: Root) -> Self {
        Self { format, root, git: git::DiffParser::default(), changes: Vec::new(), outside: 0, records: 0 }
    }

    /// Adds the next record, without its end. Files that `site` ignores are skipped.
    ///
    /// # Errors
    ///
    /// [`InvalidChange`] if the tool does not print such a record, or if it reports a failure of the tool. Earlier
    /// records are kept.
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
                changes.push(FileChange { path: path.into_owned(), kind });
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

    /// The number of records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// The number of files outside of the root.
    #[must_use]
    pub const fn outside(&self) -> u64 {
        self.outside
    }

    /// The changes so far, also after an error: each path once, sorted. A file that was deleted and created again
    /// counts as changed.
    #[must_use]
    pub fn changes(&self) -> Vec<FileChange> {
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
    /// [`InvalidChange::Unfinished`] if it ends within a record.
    pub fn finish(&self) -> Result<(), InvalidChange> {
        self.git.finish()
    }
}

/// Why a record is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChange {
    /// It has another form.
    #[error("`{found}` is nothing that {expected} prints")]
    Shape {
        /// Its beginning.
        found: String,
        /// The command.
        expected: &'static str,
    },
    /// It has line breaks instead of NULs.
    #[error("the records end with line breaks; call git with `-z`, which does not quote names")]
    NotNullSeparated,
    /// The tool made no changes, for example in a dry run.
    #[error("`{found}` tells of a dry run: nothing was changed")]
    DryRun {
        /// Its beginning.
        found: String,
    },
    /// It reports a failure of the tool.
    #[error("the tool failed for a file: `{found}`")]
    Failed {
        /// Its beginning.
        found: String,
    },
    /// The list ends within a record.
    #[error("the list ends in the middle, after `{after}`")]
    Unfinished {
        /// The last record.
        after: String,
    },
    /// It contains an invalid path.
    #[error(transparent)]
    Path(#[from] InvalidPath),
}

impl InvalidChange {
    fn shape(record: &[u8], format: ListFormat) -> Self {
        Self::Shape { found: crate::clip(record), expected: format.command() }
    }
}
