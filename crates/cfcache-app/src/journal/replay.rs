//! Finds out whether the input is the same again.

use core::hash::Hasher as _;
use std::collections::VecDeque;

use siphasher::sip::SipHasher13;

use crate::failure::Failure;
use crate::journal::Point;
use crate::source::Chunk;

/// The digest of entries as they are read.
///
/// It is stored in files that are used by later versions, so it is precisely defined: SipHash-1-3 with the key 0, over
/// the length (eight bytes, little-endian) and the bytes of each entry as given.
#[derive(Debug, Clone, Default)]
pub struct Rolling {
    hasher: SipHasher13,
    read: u64,
}

impl Rolling {
    /// Adds an entry of the input.
    pub fn push(&mut self, given: &str) {
        self.hasher.write(&(given.len() as u64).to_le_bytes());
        self.hasher.write(given.as_bytes());
        self.read += 1;
    }

    /// Returns the current position and digest.
    pub fn point(&self) -> Point {
        Point { read: self.read, digest: self.hasher.finish() }
    }
}

/// Passes an input on once it is known to be the one of the journal.
pub struct JournalReplay {
    name: String,
    points: VecDeque<Point>,
    rolling: Rolling,
    /// The entries after the last verified point.
    held: VecDeque<Chunk>,
    verified: u64,
}

impl JournalReplay {
    pub(crate) fn new(name: String, points: Vec<Point>) -> Self {
        Self { name, points: points.into(), rolling: Rolling::default(), held: VecDeque::new(), verified: 0 }
    }

    /// Takes a chunk, and passes on what is verified. Returns `false` if reading should stop.
    pub fn pass(&mut self, mut chunk: Chunk, give: &mut dyn FnMut(Chunk) -> bool) -> bool {
        for entry in &chunk.entries {
            self.rolling.push(&entry.given());
            let Some(next) = self.points.front().filter(|next| next.read == self.rolling.read) else {
                continue;
            };
            let here = self.rolling.point();
            if *next != here {
                let between = format!("entries {} to {}", self.verified + 1, here.read);
                self.refuse(&format!("{between} of this input have changed"), give);
                return false;
            }
            self.verified = here.read;
            self.points.pop_front();
        }
        chunk.point = self.rolling.point();
        self.held.push_back(chunk);
        while self
            .held
            .front()
            .is_some_and(|chunk| self.points.is_empty() || chunk.point.read <= self.verified)
        {
            if let Some(chunk) = self.held.pop_front()
                && !give(chunk)
            {
                return false;
            }
        }
        true
    }

    /// Handles the end of the input, or of reading it.
    pub fn end(mut self, give: &mut dyn FnMut(Chunk) -> bool) {
        let Some(missing) = self.points.back() else { return };
        let (had, read) = (missing.read, self.rolling.point().read);
        // If reading stopped early, there is already an error, and the end proves nothing.
        let mut rest = Chunk::default();
        for held in core::mem::take(&mut self.held) {
            rest.broken = rest.broken.or(held.broken);
            rest.invalid.extend(held.invalid);
        }
        if rest.broken.is_some() || !rest.invalid.is_empty() {
            rest.point = self.rolling.point();
            give(rest);
            return;
        }
        self.refuse(&format!("it had at least {had} entries, this one has {read}"), give);
    }

    fn refuse(&self, why: &str, give: &mut dyn FnMut(Chunk) -> bool) {
        let failure =
            Failure::usage(format!("the journal `{}` was made with another input: {why}", self.name))
                .with_hint("use another journal for this run, or remove that one to start it again");
        give(Chunk::broken(failure));
    }
}
