//! A compact set of entries of an input.

use core::ops::Range;

/// A set of entries, identified by their positions in the input ([`Entry::ordinal`](cfcache_model::plan::Entry)), and
/// stored as ranges.
///
/// - Ten million entries that were accepted in sequence are one range.
/// - Ranges may be inserted in any order and may overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryRanges {
    /// Ascending; no range is empty or adjacent to the next.
    ranges: Vec<Range<u64>>,
}

impl EntryRanges {
    /// No entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Adds a range of entries.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.ranges.partition_point(|known| known.end < range.start);
        let to = self.ranges.partition_point(|known| known.start <= range.end);
        let touched = &self.ranges[from..to];
        let start = touched.first().map_or(range.start, |first| first.start.min(range.start));
        let end = touched.last().map_or(range.end, |last| last.end.max(range.end));
        self.ranges.splice(from..to, core::iter::once(start..end));
    }

    /// Returns whether an entry is one of them.
    #[must_use]
    pub fn contains(&self, ordinal: u64) -> bool {
        let next = self.ranges.partition_point(|known| known.end <= ordinal);
        self.ranges.get(next).is_some_and(|known| known.start <= ordinal)
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in ascending order; no range is empty or adjacent to the next.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }
}

impl FromIterator<Range<u64>> for EntryRanges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut ordinals = Self::default();
        ordinals.extend(ranges);
        ordinals
    }
}

impl Extend<Range<u64>> for EntryRanges {
    fn extend<I: IntoIterator<Item = Range<u64>>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compares it with a plain set.
        #[test]
        fn ranges_behave_like_a_set(ranges in prop::collection::vec((0_u64..60, 0_u64..9), 0..30)) {
            let mut plain = BTreeSet::new();
            let mut ordinals = EntryRanges::default();
            for (start, len) in ranges {
                plain.extend(start..start + len);
                ordinals.insert(start..start + len);
                prop_assert!(ordinals.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            prop_assert!((0..80).all(|ordinal| ordinals.contains(ordinal) == plain.contains(&ordinal)));
            prop_assert_eq!(ordinals.len(), plain.len() as u64);
            prop_assert_eq!(ordinals.is_empty(), plain.is_empty());
        }
    }

    #[test]
    fn consecutive_entries_form_one_range() {
        let ordinals: EntryRanges = (0..100_000).map(|batch| batch * 100..(batch + 1) * 100).collect();
        assert_eq!(ordinals.ranges().first(), Some(&(0..10_000_000)));
        assert_eq!(ordinals.ranges().len(), 1);
        let last: EntryRanges = core::iter::once(u64::MAX - 1..u64::MAX).collect();
        assert!(last.contains(u64::MAX - 1) && !last.contains(u64::MAX));
    }
}
