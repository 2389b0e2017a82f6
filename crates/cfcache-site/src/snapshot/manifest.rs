//! Parses the lines of `sha256sum`, `b3sum`, `md5sum` and `sha1sum`.

use std::borrow::Cow;

use crate::path::Root;
use crate::snapshot::{FileEntry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

/// Parses a manifest, one line at a time.
///
/// A line is `<hex>␠␠path` or `<hex>␠*path`. If it begins with a backslash, a backslash and line breaks in its path are
/// escaped. `b3sum` writes the same format, and so does each tool with `--zero`, without escapes.
#[derive(Debug)]
pub struct Manifest {
    root: Root,
    digits: Option<usize>,
    builder: SnapshotBuilder,
    outside: u64,
}

impl Manifest {
    /// Starts a manifest whose paths are relative to `root`.
    #[must_use]
    pub const fn new(root: Root) -> Self {
        Self { root, digits: None, builder: SnapshotBuilder::new(HashKind::Sha256), outside: 0 }
    }

    /// Adds the next line, without its end. `ignores` returns which files are not part of the site.
    ///
    /// # Errors
    ///
    /// [`InvalidSnapshot`] if it is not a line of a manifest.
    pub fn push(&mut self, line: &[u8], ignores: &dyn Fn(&[u8]) -> bool) -> Result<(), InvalidSnapshot> {
        let shape = || {
            InvalidSnapshot::shape(line, "line of a manifest, `<hex digits>  path` as sha256sum writes it")
        };
        let (is_escaped, rest) = match line.strip_prefix(b"\\") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (hex, rest) = rest.split_at(digits);
        let [b' ', b' ' | b'*', name @ ..] = rest else { return Err(shape()) };
        let kind = match digits {
            32 => HashKind::Md5,
            40 => HashKind::Sha1,
            64 => HashKind::Sha256,
            _ => return Err(InvalidSnapshot::Digits { digits }),
        };
        match self.digits {
            None => {
                self.digits = Some(digits);
                self.builder = SnapshotBuilder::new(kind);
            }
            Some(first) if first != digits => return Err(InvalidSnapshot::Mixed { first, digits }),
            Some(_) => {}
        }
        let name = if is_escaped { unescape(name).ok_or_else(shape)? } else { name.into() };
        let Some(path) = self.root.site_path(&name)? else {
            self.outside += 1;
            return Ok(());
        };
        if ignores(&crate::path::decode(&path)) {
            return Ok(());
        }
        let hash = Hash::from_hex(hex).ok_or_else(shape)?;
        self.builder.push(FileEntry { path: &path, size: None, hash })
    }

    /// The number of files outside of the root.
    #[must_use]
    pub const fn outside(&self) -> u64 {
        self.outside
    }

    /// Completes the snapshot.
    ///
    /// # Errors
    ///
    /// The same as [`SnapshotBuilder::finish`].
    pub fn finish(self) -> Result<Snapshot, InvalidSnapshot> {
        self.builder.finish()
    }
}

fn unescape(name: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut bytes = name.iter();
    let mut unescaped = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(Cow::Owned(unescaped))
}
