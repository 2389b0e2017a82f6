//! The targets that were not handed out to be sent.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};

use crate::shared_text::SharedText;

/// The keys of the targets that were not sent, so that another one that is the same is found.
#[derive(Debug, Default)]
pub(super) struct UnsentKeys {
    hasher: DefaultHashBuilder,
    keys: HashTable<Key>,
    inserted: u64,
    /// Those that are in no batch yet, in their order.
    pending: VecDeque<KeyId>,
    /// Those of each batch, by the ordinal of its first entry.
    batches: BTreeMap<u64, Vec<KeyId>>,
}

#[derive(Debug)]
struct Key {
    id: KeyId,
    text: SharedText,
}

/// Names a key, and says where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyId {
    hash: u64,
    number: u64,
}

impl UnsentKeys {
    /// Remembers a key; `false` where it is known already.
    pub(super) fn insert(&mut self, text: SharedText) -> bool {
        let hash = self.hasher.hash_one(&text);
        match self.keys.entry(hash, |known| known.text == text, |known| known.id.hash) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                let id = KeyId { hash, number: self.inserted };
                self.inserted += 1;
                place.insert(Key { id, text });
                self.pending.push_back(id);
                true
            }
        }
    }

    /// The first so many that are pending make the batch that begins with that entry.
    pub(super) fn planned(&mut self, first_ordinal: u64, count: usize) {
        let batch = self.pending.drain(..count.min(self.pending.len())).collect();
        self.batches.insert(first_ordinal, batch);
    }

    /// The batch that begins with that entry is sent.
    pub(super) fn sent(&mut self, first_ordinal: u64) {
        for id in self.batches.remove(&first_ordinal).unwrap_or_default() {
            if let Ok(key) = self.keys.find_entry(id.hash, |known| known.id == id) {
                key.remove();
            }
        }
    }
}
