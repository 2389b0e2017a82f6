//! Parses the records of `git ls-tree -r -z`.

use ring::digest::{Context, SHA256};

use crate::path::Root;
use crate::snapshot::{FileEntry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

/// Parses a git tree, one record at a time: `100644 blob <id>\tpath`.
///
/// The id of a symbolic link is that of its target's path, and not of the served content. Therefore a link counts as
/// changed whenever anything in the tree changed.
pub struct GitTree {
    builder: Option<SnapshotBuilder>,
    links: Vec<String>,
    all: Context,
}

impl Default for GitTree {
    fn default() -> Self {
        Self { builder: None, links: Vec::new(), all: Context::new(&SHA256) }
    }
}

impl GitTree {
    /// Adds the next record, without the NUL at its end. `ignores` returns which files are not part of the site.
    ///
    /// # Errors
    ///
    /// [`InvalidSnapshot`] if it is not such a record, or is a submodule.
    pub fn push(&mut self, record: &[u8], ignores: &dyn Fn(&[u8]) -> bool) -> Result<(), InvalidSnapshot> {
        let shape = || InvalidSnapshot::shape(record, "record of `git ls-tree -r -z`");
        let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(shape)?;
        let (head, name) = (&record[..tab], &record[tab + 1..]);
        let mut words = head.split(|byte| *byte == b' ');
        let (Some(mode), Some(object), Some(id), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(shape());
        };
        let Some(path) = Root::none().site_path(name)?.filter(|path| !ignores(&crate::path::decode(path)))
        else {
            return Ok(());
        };
        if object == b"commit" {
            return Err(InvalidSnapshot::Submodule { path: crate::path::display(&path).into_owned() });
        }
        let kind = match id.len() {
            40 => HashKind::GitSha1,
            64 => HashKind::GitSha256,
            _ => return Err(shape()),
        };
        let hash = Hash::from_hex(id).filter(|_| object == b"blob").ok_or_else(shape)?;
        self.all.update(record);
        self.all.update(&[0]);
        let builder = self.builder.get_or_insert_with(|| SnapshotBuilder::new(kind));
        if mode == b"120000" {
            self.links.push(path.into_owned());
            return Ok(());
        }
        builder.push(FileEntry { path: &path, size: None, hash })
    }

    /// Completes the snapshot.
    ///
    /// # Errors
    ///
    /// The same as [`SnapshotBuilder::finish`].
    pub fn finish(self) -> Result<Snapshot, InvalidSnapshot> {
        let mut builder = self.builder.ok_or(InvalidSnapshot::Empty)?;
        let all = self.all.finish();
        let len = builder.snapshot.kind.bytes();
        let hash = Hash::from_bytes(&all.as_ref()[..len]).ok_or(InvalidSnapshot::Empty)?;
        for path in &self.links {
            builder.push(FileEntry { path, size: None, hash })?;
        }
        builder.finish()
    }
}
