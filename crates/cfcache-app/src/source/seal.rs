//! Checks that the second reading of a file returns the same entries as the first.

use core::hash::Hasher as _;
use std::fs::{File, Metadata};
use std::rc::Rc;
use std::time::SystemTime;

use siphasher::sip::SipHasher13;

use crate::source::{CHUNK, CHUNK_BYTES};

/// The result of the first reading of a file: a digest for each block of entries, and the file's metadata.
#[derive(Debug)]
pub(crate) struct Seal {
    blocks: Vec<Block>,
    /// The size and time of the file before it was read.
    metadata: (Option<u64>, Option<SystemTime>),
}

/// A block of entries that are passed on together.
#[derive(Debug)]
struct Block {
    entries: usize,
    digest: u64,
}

/// Returns metadata that changes when a file changes: its size in bytes, and when it was modified.
fn size_and_time(file: &File) -> (Option<u64>, Option<SystemTime>) {
    let metadata = file.metadata().ok();
    let bytes = metadata.as_ref().map(Metadata::len);
    (bytes, metadata.and_then(|metadata| metadata.modified().ok()))
}

/// Computes a [`Seal`].
pub(crate) struct Sealer {
    seal: Seal,
    block: OpenBlock,
}

/// A block that is being read.
#[derive(Default)]
struct OpenBlock {
    hasher: SipHasher13,
    entries: usize,
    bytes: usize,
}

impl OpenBlock {
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

    fn close(&mut self) -> Block {
        let block = core::mem::take(self);
        Block { entries: block.entries, digest: block.hasher.finish() }
    }
}

impl Sealer {
    /// Starts before the file is read for the first time.
    pub(crate) fn new(file: &File) -> Self {
        let seal = Seal { blocks: Vec::new(), metadata: size_and_time(file) };
        Self { seal, block: OpenBlock::default() }
    }

    /// Adds an entry, valid or not.
    pub(crate) fn push(&mut self, given: &str) {
        self.block.push(given);
        if self.block.is_full() {
            self.seal.blocks.push(self.block.close());
        }
    }

    pub(crate) fn finish(mut self) -> Seal {
        if self.block.entries > 0 {
            self.seal.blocks.push(self.block.close());
        }
        self.seal
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
    block: OpenBlock,
}

/// The state of a second reading.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SealCheck {
    /// Within a block, whose entries are not verified yet.
    NotYet,
    /// At the end of a block: all entries so far are equal.
    UpToHere,
    /// The entries differ.
    Changed,
}

impl<'a> SealVerifier<'a> {
    pub(crate) fn new(seal: &'a Seal, file: Rc<File>) -> Self {
        Self { seal, file, met: 0, entries: 0, block: OpenBlock::default() }
    }

    /// The number of entries that were verified.
    pub(crate) const fn entries(&self) -> u64 {
        self.entries
    }

    /// Adds an entry, valid or not.
    pub(crate) fn push(&mut self, given: &str) -> SealCheck {
        let Some(expected) = self.seal.blocks.get(self.met) else { return SealCheck::Changed };
        self.block.push(given);
        if self.block.entries < expected.entries {
            return SealCheck::NotYet;
        }
        let block = self.block.close();
        if block.digest != expected.digest || self.is_modified() {
            return SealCheck::Changed;
        }
        self.met += 1;
        self.entries += block.entries as u64;
        SealCheck::UpToHere
    }

    /// Handles the end of the file.
    pub(crate) fn end(&self) -> SealCheck {
        if self.block.entries == 0 && self.met == self.seal.blocks.len() && !self.is_modified() {
            SealCheck::UpToHere
        } else {
            SealCheck::Changed
        }
    }

    /// Returns whether the file was modified since, according to its metadata.
    fn is_modified(&self) -> bool {
        size_and_time(&self.file) != self.seal.metadata
    }
}
