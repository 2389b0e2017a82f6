//! A text of which many entries of one list share the allocation.

use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, Range};

/// A text that can be a part of a larger one. Clones and parts share one allocation, which is freed with the last of
/// them.
///
/// It is compared, hashed and formatted like a `str`.
#[derive(Clone)]
pub struct SharedText {
    whole: Arc<str>,
    range: Range<usize>,
}

impl SharedText {
    /// Returns a part of a text.
    ///
    /// # Panics
    ///
    /// If the range is not within the text, or splits a character.
    #[must_use]
    #[inline]
    pub fn part_of(whole: &Arc<str>, range: Range<usize>) -> Self {
        assert!(whole.get(range.clone()).is_some(), "{range:?} is not a part of the text");
        Self { whole: Arc::clone(whole), range }
    }

    /// Returns the length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Returns whether it is empty.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl Deref for SharedText {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.whole[self.range.clone()]
    }
}

impl From<Arc<str>> for SharedText {
    fn from(whole: Arc<str>) -> Self {
        let range = 0..whole.len();
        Self { whole, range }
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        Self::from(Arc::from(text))
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self::from(Arc::from(text))
    }
}

impl PartialEq for SharedText {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let is_same = Arc::ptr_eq(&self.whole, &other.whole) && self.range == other.range;
        is_same || **self == **other
    }
}

impl Eq for SharedText {}

impl PartialOrd for SharedText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SharedText {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for SharedText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_part_equals_its_range_of_the_text() {
        let whole = Arc::from("müsli, tea");
        let word = SharedText::part_of(&whole, 0..6);
        drop(whole);
        assert_eq!((&*word, word.len(), word.is_empty()), ("müsli", 6, false));
        assert_eq!(word, SharedText::from("müsli"));
        assert_eq!(format!("{word} {word:?}"), r#"müsli "müsli""#);
        assert!(SharedText::from("").is_empty());
    }
}
