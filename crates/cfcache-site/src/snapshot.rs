//! The files of a site at one time: the path, size and hash of each file.

pub mod git_tree;
pub mod manifest;
pub mod sitemap;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::path::{self, InvalidPath};

/// The type of the hashes in a snapshot. Hashes of different types are never equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HashKind {
    /// MD5 of the content, of `md5sum`.
    Md5,
    /// SHA-1 of the content, of `sha1sum`.
    Sha1,
    /// SHA-256 of the content, or another hash of 256 bits: a manifest of `b3sum` looks the same.
    Sha256,
    /// The id of a git object, SHA-1.
    GitSha1,
    /// The id of a git object, SHA-256.
    GitSha256,
    /// SHA-256 of the `<lastmod>` of a sitemap, which is a date and not content.
    Lastmod,
}

impl HashKind {
    /// The length in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 | Self::GitSha1 => 20,
            Self::Sha256 | Self::GitSha256 | Self::Lastmod => 32,
        }
    }
}

/// A hash of at most 32 bytes; shorter ones are padded with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Creates a hash from bytes; returns `None` if there are more than 32.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut hash = [0; 32];
        hash.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(hash))
    }

    /// Parses hexadecimal digits of either case; returns `None` if the text is not hexadecimal.
    #[must_use]
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let mut hash = [0; 32];
        if !hex.len().is_multiple_of(2) || hex.len() > 64 {
            return None;
        }
        let mut all = 0;
        for (byte, pair) in hash.iter_mut().zip(hex.chunks_exact(2)) {
            let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
            all |= high | low;
            *byte = high << 4 | low & 15;
        }
        (all < 16).then_some(Self(hash))
    }

    /// The SHA-256 of some bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::from_bytes(digest(&SHA256, bytes).as_ref()).unwrap_or(Self([0; 32]))
    }

    /// Its bytes; those of a shorter hash end with zeros.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Appends its hexadecimal digits.
    pub fn write_hex(&self, kind: HashKind, text: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in &self.0[..kind.bytes()] {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// The value of each byte as a hexadecimal digit; 255 if it is none.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// One file of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// Its [site path](crate::path).
    pub path: &'a str,
    /// The size in bytes, if it is known.
    pub size: Option<u64>,
    /// The hash of its content.
    pub hash: Hash,
}

/// All files of a site, sorted by path; never empty.
///
/// It takes about 60 bytes per file in addition to the path.
#[derive(Debug)]
pub struct Snapshot {
    kind: HashKind,
    paths: String,
    files: Vec<Packed>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    start: usize,
    len: u32,
    /// [`NO_SIZE`] if it is not known.
    size: u64,
    hash: Hash,
}

const NO_SIZE: u64 = u64::MAX;

impl Packed {
    fn path(self, paths: &str) -> &str {
        &paths[self.start..self.start + self.len as usize]
    }
}

impl Snapshot {
    /// The type of its hashes.
    #[must_use]
    pub const fn kind(&self) -> HashKind {
        self.kind
    }

    /// The number of files.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// The files, ordered by path.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FileEntry<'_>> {
        self.files.iter().map(|file| FileEntry {
            path: file.path(&self.paths),
            size: (file.size != NO_SIZE).then_some(file.size),
            hash: file.hash,
        })
    }

    /// Returns whether it contains a file with this path.
    #[must_use]
    pub fn contains(&self, site_path: &str) -> bool {
        self.hash_of(site_path).is_some()
    }

    /// The hash of the file with this path.
    #[must_use]
    pub fn hash_of(&self, site_path: &str) -> Option<Hash> {
        let place = self.files.binary_search_by(|file| file.path(&self.paths).cmp(site_path)).ok()?;
        Some(self.files[place].hash)
    }

    /// The files whose names are not in composed form (NFC), at most `limit` of them, and their total number.
    #[must_use]
    pub fn not_composed(&self, limit: usize) -> (Vec<&str>, usize) {
        let mut named = Vec::new();
        let mut count = 0;
        for entry in self.iter().filter(|entry| !path::is_composed(entry.path)) {
            if named.len() < limit {
                named.push(entry.path);
            }
            count += 1;
        }
        (named, count)
    }
}

/// Collects the files of a snapshot.
#[derive(Debug)]
pub struct SnapshotBuilder {
    snapshot: Snapshot,
    is_sorted: bool,
}

impl SnapshotBuilder {
    /// Starts a snapshot with hashes of this type.
    #[must_use]
    pub const fn new(kind: HashKind) -> Self {
        Self { snapshot: Snapshot { kind, paths: String::new(), files: Vec::new() }, is_sorted: true }
    }

    /// Adds a file, in any order.
    ///
    /// # Errors
    ///
    /// [`InvalidSnapshot::LongPath`].
    pub fn push(&mut self, entry: FileEntry<'_>) -> Result<(), InvalidSnapshot> {
        let snapshot = &mut self.snapshot;
        let Ok(len) = u32::try_from(entry.path.len()) else {
            return Err(InvalidSnapshot::LongPath { bytes: entry.path.len() });
        };
        self.is_sorted = self.is_sorted
            && snapshot.files.last().is_none_or(|last| last.path(&snapshot.paths) < entry.path);
        let start = snapshot.paths.len();
        snapshot.paths.push_str(entry.path);
        snapshot.files.push(Packed { start, len, size: entry.size.unwrap_or(NO_SIZE), hash: entry.hash });
        Ok(())
    }

    /// Completes the snapshot.
    ///
    /// # Errors
    ///
    /// [`InvalidSnapshot`] if it contains no file, or a file twice with different content.
    pub fn finish(self) -> Result<Snapshot, InvalidSnapshot> {
        let Self { mut snapshot, is_sorted } = self;
        if snapshot.files.is_empty() {
            return Err(InvalidSnapshot::Empty);
        }
        if !is_sorted {
            let paths = snapshot.paths.as_str();
            snapshot.files.sort_unstable_by(|left, right| left.path(paths).cmp(right.path(paths)));
            let mut twice = None;
            snapshot.files.dedup_by(|next, kept| {
                let is_same = next.path(paths) == kept.path(paths);
                if is_same && next.hash != kept.hash {
                    twice = Some(next.path(paths).to_owned());
                }
                is_same
            });
            if let Some(path) = twice {
                return Err(InvalidSnapshot::Twice { path: path::display(&path).into_owned() });
            }
        }
        Ok(snapshot)
    }
}

/// Why files do not form a snapshot of a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSnapshot {
    /// There are no files, which is more likely a mistake than an empty site.
    #[error("there is no file in it")]
    Empty,
    /// A path has two different contents.
    #[error("`{path}` is in it twice, with different content")]
    Twice {
        /// The path.
        path: String,
    },
    /// The path is longer than any file system allows.
    #[error("a path has {bytes} bytes")]
    LongPath {
        /// The length.
        bytes: usize,
    },
    /// A path is not that of a file of the site.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A record or a line of the source has another form.
    #[error("`{found}` is no {expected}")]
    Shape {
        /// Its beginning.
        found: String,
        /// The form that was expected.
        expected: &'static str,
    },
    /// A file of a git tree is a submodule, whose content is in another repository.
    #[error("`{path}` is a submodule, and its files are not in this tree")]
    Submodule {
        /// Its path.
        path: String,
    },
    /// A hash of a manifest has an unknown length.
    #[error("a hash of {digits} hex digits; md5sum writes 32, sha1sum 40, sha256sum and b3sum 64")]
    Digits {
        /// The number of digits.
        digits: usize,
    },
    /// A hash of a manifest has another type than the previous ones.
    #[error("a hash of {digits} hex digits, after hashes of {first}")]
    Mixed {
        /// The number of digits of the first hash.
        first: usize,
        /// The number of digits of this hash.
        digits: usize,
    },
    /// A page of a sitemap belongs to another site.
    #[error("`{loc}` is under none of the site's URLs")]
    Elsewhere {
        /// The page.
        loc: String,
    },
    /// A page of a sitemap has no date to compare.
    #[error("`{loc}` has no <lastmod>, so that nothing tells whether it changed")]
    NoLastmod {
        /// The page.
        loc: String,
    },
}

impl InvalidSnapshot {
    fn shape(found: &[u8], expected: &'static str) -> Self {
        Self::Shape { found: crate::clip(found), expected }
    }
}
