//! Checks that the second reading of a file returns the same entries as the first.

use core::hash::Hasher as _;
use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::time::SystemTime;

use cfcache_model::target::Kind;
use siphasher::sip::SipHasher13;

use crate::failure::Failure;
use crate::source::{CHUNK, CHUNK_BYTES};

/// The first reading of a file, with which the second one is compared: a digest for each block of entries, and the
/// file's metadata.
pub(crate) struct Seal {
    /// The name of the file.
    name: String,
    /// The kind of the entries.
    kind: Kind,
    /// The number of entries of each block that is passed on together, and their digest; the second reading removes
    /// those that are equal.
    blocks: VecDeque<(usize, u64)>,
    /// The digest of the block that is being read, and the number of its entries and of their bytes.
    hasher: SipHasher13,
    entries: usize,
    bytes: usize,
    /// The number of entries of the equal blocks.
    verified: u64,
    /// The size and time of the file before it was read.
    metadata: (Option<u64>, Option<SystemTime>),
}

/// Returns metadata that changes when a file changes: its size in bytes, and when it was modified.
fn size_and_time(file: &File) -> (Option<u64>, Option<SystemTime>) {
    let metadata = file.metadata().ok();
    let bytes = metadata.as_ref().map(Metadata::len);
    (bytes, metadata.and_then(|metadata| metadata.modified().ok()))
}

impl Seal {
    /// Starts before the file is read for the first time.
    pub(crate) fn new(name: &str, kind: Kind, file: &File) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            blocks: VecDeque::new(),
            hasher: SipHasher13::default(),
            entries: 0,
            bytes: 0,
            verified: 0,
            metadata: size_and_time(file),
        }
    }

    /// Adds an entry of the first reading, valid or not.
    pub(crate) fn push(&mut self, given: &str) {
        self.add(given);
        if self.entries >= CHUNK || self.bytes >= CHUNK_BYTES {
            let block = self.end_block();
            self.blocks.push_back(block);
        }
    }

    /// Ends the first reading.
    pub(crate) fn finish(mut self) -> Self {
        if self.entries > 0 {
            let block = self.end_block();
            self.blocks.push_back(block);
        }
        self
    }

    fn add(&mut self, given: &str) {
        self.hasher.write(given.as_bytes());
        // No text contains this byte, so it separates entries unambiguously.
        self.hasher.write_u8(0xFF);
        self.entries += 1;
        self.bytes += given.len();
    }

    /// Ends the block: returns the number of its entries, and their digest.
    fn end_block(&mut self) -> (usize, u64) {
        self.bytes = 0;
        (core::mem::take(&mut self.entries), core::mem::take(&mut self.hasher).finish())
    }

    /// Compares an entry of the second reading, valid or not. Returns whether all entries so far are verified; `false`
    /// within a block.
    ///
    /// # Errors
    ///
    /// If the file has changed.
    pub(crate) fn verify(&mut self, given: &str, file: &File) -> Result<bool, Failure> {
        let Some(&(entries, digest)) = self.blocks.front() else { return Err(self.changed()) };
        self.add(given);
        if self.entries < entries {
            return Ok(false);
        }
        if self.end_block() != (entries, digest) || self.is_modified(file) {
            return Err(self.changed());
        }
        self.blocks.pop_front();
        self.verified += entries as u64;
        Ok(true)
    }

    /// Ends the second reading.
    ///
    /// # Errors
    ///
    /// If the file has changed.
    pub(crate) fn verify_end(&self, file: &File) -> Result<bool, Failure> {
        if self.entries == 0 && self.blocks.is_empty() && !self.is_modified(file) {
            Ok(true)
        } else {
            Err(self.changed())
        }
    }

    /// Returns whether the file was modified since, according to its metadata.
    fn is_modified(&self, file: &File) -> bool {
        size_and_time(file) != self.metadata
    }

    /// The failure for a file that changed after it was checked.
    fn changed(&self) -> Failure {
        let sent = match self.verified {
            0 => "none of it is sent".to_owned(),
            entries => format!("entries after its first {} are not sent", self.kind.count(entries)),
        };
        Failure::usage(format!("`{}` changed after it was checked: {sent}", self.name)).with_hint(
            "run it again with the current list; a new list that is moved into its place does not \
             change under a run",
        )
    }
}
