//! What the last distinct targets were, in bounded memory.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::target::Target;

/// The marker of a free slot. Numbers stay below it.
const FREE: u32 = u32::MAX;

/// The last so many distinct targets, by a 128-bit fingerprint: a ring in the order of arrival, and a hash table of
/// places in that ring.
///
/// A fingerprint and not the text, because a million URLs would not fit the memory that a run is allowed. Two different
/// targets of one list share one with a probability far below that of a memory error (10 million entries: 10⁻²⁵), and
/// the key is ours, so that only somebody who reads this file could make two that do.
#[derive(Debug)]
pub(super) struct Window {
    capacity: usize,
    ring: VecDeque<u128>,
    /// The number of the ring's first entry, counted over all that ever came in.
    first: u32,
    slots: Vec<u32>,
}

impl Window {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, ring: VecDeque::new(), first: 0, slots: vec![FREE; 16] }
    }

    /// Remembers a target; `false` where it is known already.
    pub(super) fn insert(&mut self, target: &Target) -> bool {
        let mut hasher = SipHasher13::new_with_keys(0x6366_6361_6368_6520, 0x6475_706c_6963_6174);
        target.fingerprint(&mut hasher);
        self.insert_fingerprint(hasher.finish128().as_u128())
    }

    fn insert_fingerprint(&mut self, fingerprint: u128) -> bool {
        if self.find(fingerprint).is_some() {
            return false;
        }
        if self.ring.len() == self.capacity {
            self.forget_first();
        }
        // The ring is reserved in steps, and never beyond what it may hold.
        if self.ring.len() == self.ring.capacity() {
            let more = self.ring.len().max(16).min(self.capacity - self.ring.len());
            self.ring.reserve_exact(more);
        }
        self.ring.push_back(fingerprint);
        if self.ring.len() * 4 > self.slots.len() * 3 {
            self.grow();
        } else {
            let number = self.number(self.ring.len() - 1);
            let slot = self.free_slot(fingerprint);
            self.slots[slot] = number;
        }
        true
    }

    fn number(&self, index: usize) -> u32 {
        // Numbers wrap around below `FREE`; they stay distinct because the window is far smaller.
        (self.first as usize + index).rem_euclid(FREE as usize) as u32
    }

    fn fingerprint(&self, number: u32) -> u128 {
        let index = (number as usize + FREE as usize - self.first as usize) % FREE as usize;
        self.ring.get(index).copied().unwrap_or_default()
    }

    fn home(&self, fingerprint: u128) -> usize {
        // The table's length is a power of two.
        (fingerprint as usize) & (self.slots.len() - 1)
    }

    fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    fn find(&self, fingerprint: u128) -> Option<usize> {
        let mut slot = self.home(fingerprint);
        while self.slots[slot] != FREE {
            if self.fingerprint(self.slots[slot]) == fingerprint {
                return Some(slot);
            }
            slot = self.next(slot);
        }
        None
    }

    fn free_slot(&self, fingerprint: u128) -> usize {
        let mut slot = self.home(fingerprint);
        while self.slots[slot] != FREE {
            slot = self.next(slot);
        }
        slot
    }

    fn forget_first(&mut self) {
        let Some(&oldest) = self.ring.front() else { return };
        if let Some(slot) = self.find(oldest) {
            self.free(slot);
        }
        self.ring.pop_front();
        self.first = self.number(1);
    }

    /// Empties a slot, and moves up those behind it that would no longer be found across the gap.
    fn free(&mut self, slot: usize) {
        let mask = self.slots.len() - 1;
        let mut gap = slot;
        let mut probe = self.next(slot);
        while self.slots[probe] != FREE {
            let home = self.home(self.fingerprint(self.slots[probe]));
            // How far the entry stands from its home, against how far the gap does.
            if (probe.wrapping_sub(home) & mask) >= (probe.wrapping_sub(gap) & mask) {
                self.slots[gap] = self.slots[probe];
                gap = probe;
            }
            probe = self.next(probe);
        }
        self.slots[gap] = FREE;
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 2];
        for index in 0..self.ring.len() {
            let slot = self.free_slot(self.ring[index]);
            self.slots[slot] = self.number(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeSet, VecDeque};
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::Window;

    proptest! {
        /// The window against the plainest thing that could be one, over a small range so that entries leave and
        /// come back, with every fingerprint in a few neighboring slots so that the gaps matter.
        #[test]
        fn it_is_a_queue_with_a_memory(
            capacity in 1_usize..40,
            spread in prop::sample::select(&[0_u32, 1, 64][..]),
            keys in prop::collection::vec(0_u128..64, 0..400),
        ) {
            let mut window = Window::new(capacity);
            let mut model = VecDeque::new();
            for key in keys {
                let fingerprint = key << spread | key >> 3;
                let is_new = !model.contains(&fingerprint);
                prop_assert_eq!(window.insert_fingerprint(fingerprint), is_new);
                if is_new {
                    model.push_back(fingerprint);
                    if model.len() > capacity {
                        model.pop_front();
                    }
                }
            }
            prop_assert_eq!(window.ring.iter().copied().collect::<Vec<_>>(), Vec::from(model));
        }
    }

    #[test]
    fn it_finds_again_all_that_it_holds() {
        let mut window = Window::new(1000);
        let keys: BTreeSet<u128> =
            (0..1000_u128).map(|key| key.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        assert!(keys.iter().all(|key| window.insert_fingerprint(*key)));
        assert!(keys.iter().all(|key| !window.insert_fingerprint(*key)));
    }

    /// Numbers wrap around once four thousand million entries have come by.
    #[test]
    fn it_survives_the_wrap_of_its_numbers() {
        let mut window = Window::new(8);
        window.first = super::FREE - 5;
        for key in 0..100_u128 {
            assert!(window.insert_fingerprint(key));
            assert!(!window.insert_fingerprint(key));
            if key >= 8 {
                assert!(window.find(key - 8).is_none(), "{key}");
                assert!(window.find(key - 7).is_some(), "{key}");
            }
        }
    }
}
