//! Checks that the second reading of a file returns the same entries as the first.

use core::hash::Hasher as _;
use std::fs::{File, Metadata};
use std::rc::Rc;
use std::time::SystemTime;

use siphasher::sip::SipHasher13;

use crate::source::{CHUNK, CHUNK_BYTES};

/// The first reading of a file: a digest for each block of entries, and the file's metadata.
pub(crate) struct Seal {
    /// The number of entries of each block that is passed on together, and their digest.
    blocks: Vec<(usize, u64)>,
    /// The block that is being read.
    block: Block,
    /// The size and time of the file before it was read.
    metadata: (Option<u64>, Option<SystemTime>),
}

/// Returns metadata that changes when a file changes: its size in bytes, and when it was modified.
fn size_and_time(file: &File) -> (Option<u64>, Option<SystemTime>) {
    let metadata = file.metadata().ok();
    let bytes = metadata.as_ref().map(Metadata::len);
    (bytes, metadata.and_then(|metadata| metadata.modified().ok()))
}

/// A block of entries that is being read.
#[derive(Default)]
struct Block {
    hasher: SipHasher13,
    entries: usize,
    bytes: usize,
}

impl Block {
    fn push(&mut self, given: &str) {
        self.hasher.write(given.as_bytes());
        // No text contains this byte, so it separates entries unambiguously.
        self.hasher.write_u8(0xFF);
        self.entries += 1;
        self.bytes += given.len();
    }

    const fn is_full(&self) -> bool {
        self.entries >= CHUNK || self.bytes >= CHUNK_BYTES
    }

    /// Ends the block: returns the number of its entries, and their digest.
    fn close(&mut self) -> (usize, u64) {
        let block = core::mem::take(self);
        (block.entries, block.hasher.finish())
    }
}

impl Seal {
    /// Starts before the file is read for the first time.
    pub(crate) fn new(file: &File) -> Self {
        Self { blocks: Vec::new(), block: Block::default(), metadata: size_and_time(file) }
    }

    /// Adds an entry, valid or not.
    pub(crate) fn push(&mut self, given: &str) {
        self.block.push(given);
        if self.block.is_full() {
            self.blocks.push(self.block.close());
        }
    }

    /// Ends the first reading.
    pub(crate) fn finish(mut self) -> Self {
        if self.block.entries > 0 {
            self.blocks.push(self.block.close());
        }
        self
    }
}

/// Compares a second reading with a [`Seal`].
pub(crate) struct SealVerifier<'a> {
    seal: &'a Seal,
    file: Rc<File>,
    /// The number of blocks that were equal.
    met: usize,
    /// The number of entries in those blocks.
    entries: u64,
    block: Block,
}

impl<'a> SealVerifier<'a> {
    pub(crate) fn new(seal: &'a Seal, file: Rc<File>) -> Self {
        Self { seal, file, met: 0, entries: 0, block: Block::default() }
    }

    /// The number of entries that were verified.
    pub(crate) const fn entries(&self) -> u64 {
        self.entries
    }

    /// Adds an entry, valid or not. Returns whether all entries so far are equal; `None` within a block, whose entries
    /// are not verified yet.
    pub(crate) fn push(&mut self, given: &str) -> Option<bool> {
        let Some(&(entries, digest)) = self.seal.blocks.get(self.met) else { return Some(false) };
        self.block.push(given);
        if self.block.entries < entries {
            return None;
        }
        if self.block.close() != (entries, digest) || self.is_modified() {
            return Some(false);
        }
        self.met += 1;
        self.entries += entries as u64;
        Some(true)
    }

    /// Handles the end of the file. Returns whether all entries are equal.
    pub(crate) fn end(&self) -> bool {
        self.block.entries == 0 && self.met == self.seal.blocks.len() && !self.is_modified()
    }

    /// Returns whether the file was modified since, according to its metadata.
    fn is_modified(&self) -> bool {
        size_and_time(&self.file) != self.seal.metadata
    }
}
