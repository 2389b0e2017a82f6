//! The set of the last distinct targets, in bounded memory.

use alloc::vec;
use alloc::vec::Vec;
use core::hint;

use siphasher::sip128::SipHasher13;

use crate::plan::DUPLICATE_WINDOW;
use crate::target::Target;

/// A slot contains an index into the ring, and above it a mark: the low bits of its home, which is the slot it would
/// have if that had been free, and some more bits of the fingerprint. With the mark, a slot can be distinguished from
/// its neighbors and moved without reading the ring, which would cause a cache miss each time.
///
/// No entry is as far from its home as the mark can represent. (If someone deliberately constructed such entries, a
/// duplicate could be missed, and would be purged twice.)
const PLACE_BITS: u32 = 20;
const PLACE: u32 = (1 << PLACE_BITS) - 1;
const HOME_BITS: u32 = 8;
const HOME: usize = (1 << HOME_BITS) - 1;

/// The marker of a free slot. No index is as large.
const FREE: u32 = u32::MAX;
const _: () = assert!(DUPLICATE_WINDOW <= PLACE as usize);

/// The last distinct targets, identified by 128-bit fingerprints: a ring in the order of arrival, and a hash table of
/// indexes into that ring.
///
/// Fingerprints are stored instead of texts, because a million URLs would not fit into the memory that a run is
/// allowed. The probability that two different targets of one list have the same fingerprint is far below that of a
/// memory error (10 million entries: 10⁻²⁵). The key is fixed in this file, so a collision could only be constructed
/// deliberately.
#[derive(Debug)]
pub(super) struct FingerprintWindow {
    capacity: usize,
    ring: Vec<u128>,
    /// The index of the oldest entry, once the ring is full.
    oldest: usize,
    /// The hash table, with linear probing. Its length is a power of two, and at least half of it is free.
    slots: Vec<u32>,
}

/// The fingerprint of a target.
pub(super) fn fingerprint(target: &Target) -> u128 {
    let hasher = SipHasher13::new_with_keys(0x6366_6361_6368_6520, 0x6475_706c_6963_6174);
    hasher.hash(target.key().as_bytes()).as_u128()
}

impl FingerprintWindow {
    /// Creates a window of `capacity` targets, at most [`DUPLICATE_WINDOW`].
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, DUPLICATE_WINDOW);
        Self { capacity, ring: Vec::new(), oldest: 0, slots: vec![FREE; 16] }
    }

    /// Reads the slots that will be needed for fingerprints, and those of the entries that will be removed for them.
    ///
    /// Each read is a cache miss. When fingerprints are inserted, they happen one after the other; here they are
    /// independent, so the processor does them concurrently.
    pub(super) fn expect(&self, fingerprints: &[u128]) {
        let is_full = self.ring.len() == self.capacity;
        let leaving = self.ring[self.oldest..].iter().take(if is_full { fingerprints.len() } else { 0 });
        let touch = |sum: u32, fingerprint: &u128| sum ^ self.slots[self.home(*fingerprint)];
        hint::black_box(fingerprints.iter().chain(leaving).fold(0, touch));
    }

    /// Stores the fingerprint of a target; returns `false` if it is already known.
    pub(super) fn insert(&mut self, fingerprint: u128) -> bool {
        if self.contains(fingerprint) {
            return false;
        }
        if self.ring.len() == self.capacity {
            let place = self.oldest;
            self.forget(place);
            self.ring[place] = fingerprint;
            self.occupy(place);
            self.oldest = (place + 1) % self.capacity;
            return true;
        }
        // The ring is reserved in steps, and never beyond its maximum.
        if self.ring.len() == self.ring.capacity() {
            let more = self.ring.len().max(16).min(self.capacity - self.ring.len());
            self.ring.reserve_exact(more);
        }
        self.ring.push(fingerprint);
        if self.ring.len() * 2 > self.slots.len() {
            self.grow();
        } else {
            self.occupy(self.ring.len() - 1);
        }
        true
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    fn home(&self, fingerprint: u128) -> usize {
        (fingerprint as usize) & self.mask()
    }

    fn mark(&self, fingerprint: u128) -> u32 {
        let more = (fingerprint >> 64) as u32;
        (more << HOME_BITS | (self.home(fingerprint) & HOME) as u32) << PLACE_BITS
    }

    /// Iterates over the slots from `slot` to the first free one: slot and content.
    fn probe(&self, slot: usize) -> impl Iterator<Item = (usize, u32)> {
        let mask = self.mask();
        (slot..)
            .map(move |slot| slot & mask)
            .map(|slot| (slot, self.slots[slot]))
            .take_while(|(_, held)| *held != FREE)
    }

    fn contains(&self, fingerprint: u128) -> bool {
        let mark = self.mark(fingerprint);
        self.probe(self.home(fingerprint))
            .any(|(_, held)| held & !PLACE == mark && self.ring[(held & PLACE) as usize] == fingerprint)
    }

    /// Adds the entry at an index of the ring to the table.
    fn occupy(&mut self, place: usize) {
        let fingerprint = self.ring[place];
        let home = self.home(fingerprint);
        let behind = self.probe(home).last().map_or(home, |(slot, _)| (slot + 1) & self.mask());
        self.slots[behind] = self.mark(fingerprint) | place as u32;
    }

    /// Removes the entry at an index of the ring from the table, and moves up later entries that could no longer be
    /// found across the gap.
    fn forget(&mut self, place: usize) {
        let home = self.home(self.ring[place]);
        let found = self.probe(home).find(|(_, held)| (held & PLACE) as usize == place);
        let Some((mut gap, _)) = found else { return };
        let mask = self.mask();
        let mut slot = (gap + 1) & mask;
        while self.slots[slot] != FREE {
            let held = self.slots[slot];
            let from_home = slot.wrapping_sub((held >> PLACE_BITS) as usize) & mask & HOME;
            if from_home >= slot.wrapping_sub(gap) & mask {
                self.slots[gap] = held;
                gap = slot;
            }
            slot = (slot + 1) & mask;
        }
        self.slots[gap] = FREE;
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 2];
        for place in 0..self.ring.len() {
            self.occupy(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeSet, VecDeque};

    use proptest::prelude::*;

    use super::FingerprintWindow;

    proptest! {
        /// Compares the window with a trivial implementation, over a small range so that entries leave and come back,
        /// with all fingerprints in a few neighboring slots so that gaps matter.
        #[test]
        fn the_window_behaves_like_a_queue_with_a_set(
            capacity in 1_usize..40,
            spread in prop::sample::select(&[0_u32, 1, 64][..]),
            keys in prop::collection::vec(0_u128..64, 0..400),
        ) {
            let mut window = FingerprintWindow::new(capacity);
            let mut model = VecDeque::new();
            for key in keys {
                let fingerprint = key << spread | key >> 3;
                let is_new = !model.contains(&fingerprint);
                prop_assert_eq!(window.insert(fingerprint), is_new);
                if is_new {
                    model.push_back(fingerprint);
                    if model.len() > capacity {
                        model.pop_front();
                    }
                }
                prop_assert!(model.iter().all(|known| window.contains(*known)));
                let held = window.slots.iter().filter(|slot| **slot != super::FREE).count();
                prop_assert_eq!(held, model.len());
            }
        }
    }

    #[test]
    fn the_window_finds_all_entries_that_it_holds() {
        let mut window = FingerprintWindow::new(1000);
        let keys: BTreeSet<u128> =
            (0..1000_u128).map(|key| key.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        assert!(keys.iter().all(|key| window.insert(*key)));
        assert!(keys.iter().all(|key| !window.insert(*key)));
    }

    /// Uses the full size several times, with a table larger than the bits of a home that a slot holds.
    #[test]
    fn the_window_holds_exactly_its_capacity() {
        let key = |number: usize| (number as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let size = super::DUPLICATE_WINDOW;
        let mut window = FingerprintWindow::new(usize::MAX);
        for number in 0..3 * size {
            assert!(window.insert(key(number)), "{number} is new");
            if number % 997 == 0 {
                assert!(
                    window.contains(key(number.saturating_sub(size - 1))),
                    "{number}: the oldest is held"
                );
                assert!(number < size || !window.contains(key(number - size)), "{number}: one older is not");
            }
        }
        assert_eq!(window.ring.len(), size);
        assert_eq!(window.ring.capacity(), size);
    }
}
