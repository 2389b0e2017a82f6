//! The targets that have not been sent.

use alloc::collections::VecDeque;
use core::hash::{BuildHasher as _, Hasher as _};

use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{self, HashTable};

use crate::plan::Entry;
use crate::shared_text::SharedText;

/// The keys of unsent targets, for detecting duplicates. They are numbered in the order in which they are added.
#[derive(Debug, Default)]
pub(super) struct UnsentKeys {
    hasher: DefaultHashBuilder,
    /// The keys from the oldest unsent one on, with the ordinals of their entries; `None` if it was sent before an older
    /// one.
    keys: VecDeque<(u64, Option<SharedText>)>,
    /// The number of the first of them.
    first: u64,
    /// Finds the number of a key by its hash. Numbers of keys that were sent stay in it until it is full: filling it again
    /// takes less time than removing each of them.
    numbers: HashTable<u64>,
}

impl UnsentKeys {
    /// Adds the key of an entry with a higher ordinal than those before it. Returns `false` if the key is already known.
    pub(super) fn insert(&mut self, ordinal: u64, key: SharedText) -> bool {
        if self.numbers.len() == self.numbers.capacity() {
            self.make_room();
        }
        let hash = |text: &SharedText| hash_of(&self.hasher, text);
        let text = |number: &u64| self.keys.get(number.checked_sub(self.first)? as usize)?.1.as_ref();
        let number = self.first + self.keys.len() as u64;
        let place = self.numbers.entry(
            hash(&key),
            |number| text(number) == Some(&key),
            |number| text(number).map_or(0, hash),
        );
        let hash_table::Entry::Vacant(place) = place else { return false };
        place.insert(number);
        self.keys.push_back((ordinal, Some(key)));
        true
    }

    /// Removes the numbers of keys that were sent from the table. It grows unless most of its keys were sent.
    fn make_room(&mut self) {
        self.numbers.clear();
        let no_hash = |_: &u64| unreachable!("there is room");
        self.numbers.reserve(16 + 4 * self.keys.len(), no_hash);
        for (number, (_, text)) in (self.first..).zip(&self.keys) {
            if let Some(text) = text {
                self.numbers.insert_unique(hash_of(&self.hasher, text), number, no_hash);
            }
        }
    }

    /// Removes the keys of entries, because they were sent.
    pub(super) fn sent(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let is_at =
            |place: usize, entry: &Entry| self.keys.get(place).is_some_and(|key| key.0 == entry.ordinal);
        if is_at(0, first) && is_at(entries.len() - 1, last) {
            // They are the oldest, as nearly always, because batches are sent in order.
            self.keys.drain(..entries.len());
            self.first += entries.len() as u64;
        } else {
            for entry in entries {
                if let Ok(place) = self.keys.binary_search_by_key(&entry.ordinal, |key| key.0) {
                    self.keys[place].1 = None;
                }
            }
        }
        while let Some((_, None)) = self.keys.front() {
            self.keys.pop_front();
            self.first += 1;
        }
    }
}

/// The hash of a text, without its length, which `hash_one` adds.
#[inline]
fn hash_of(hasher: &DefaultHashBuilder, text: &SharedText) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::target::File;

    #[test]
    fn memory_is_proportional_to_the_unsent_keys() {
        let entry = |number: u64| {
            let file = File::parse(&alloc::format!("https://www.example.com/{number}")).unwrap();
            Entry { ordinal: number, ..Entry::from(file) }
        };
        let mut keys = UnsentKeys::default();
        let insert = |keys: &mut UnsentKeys, number| keys.insert(number, entry(number).target.key());
        for number in 0..10_000 {
            assert!(insert(&mut keys, number));
            if number >= 105 && number % 10 == 5 {
                let sent: Vec<Entry> = (number - 105..number - 95).map(entry).collect();
                keys.sent(&sent);
                assert_eq!(keys.keys.len(), 96);
                assert!(keys.numbers.capacity() < 1000, "{}", keys.numbers.capacity());
            }
        }
        assert!((9_900..10_000).all(|number| !insert(&mut keys, number)), "they were not sent");
    }
}
