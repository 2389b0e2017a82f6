//! The targets that have not been sent.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};

use crate::shared_text::SharedText;

/// The keys of unsent targets, for detecting duplicates.
#[derive(Debug, Default)]
pub(super) struct UnsentKeys {
    hasher: DefaultHashBuilder,
    keys: HashTable<(KeyId, SharedText)>,
    inserted: u64,
    /// The keys that are in no batch yet, in order.
    pending: VecDeque<KeyId>,
    /// The keys of each batch, by the ordinal of its first entry.
    batches: BTreeMap<u64, Vec<KeyId>>,
}

/// Identifies a key, and locates it in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyId {
    hash: u64,
    number: u64,
}

impl UnsentKeys {
    /// Adds a key. Returns `false` if it is already known.
    pub(super) fn insert(&mut self, text: SharedText) -> bool {
        let hash = self.hasher.hash_one(text.as_bytes());
        match self.keys.entry(hash, |(_, known)| *known == text, |(id, _)| id.hash) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                let id = KeyId { hash, number: self.inserted };
                self.inserted += 1;
                place.insert((id, text));
                self.pending.push_back(id);
                true
            }
        }
    }

    /// Moves the first `count` pending keys to the batch that starts with that entry.
    pub(super) fn planned(&mut self, first_ordinal: u64, count: usize) {
        let batch = self.pending.drain(..count.min(self.pending.len())).collect();
        self.batches.insert(first_ordinal, batch);
    }

    /// Removes the keys of the batch that starts with that entry, because it was sent.
    pub(super) fn sent(&mut self, first_ordinal: u64) {
        for id in self.batches.remove(&first_ordinal).unwrap_or_default() {
            if let Ok(key) = self.keys.find_entry(id.hash, |(known, _)| *known == id) {
                key.remove();
            }
        }
    }
}
