//! A text of which many entries of one list share the allocation.

use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, Range};

use memchr::memchr;

use crate::bytes;

/// A text that can be a part of a larger one. Clones and parts share one allocation, which is freed with the last of
/// them.
///
/// It is compared, hashed and formatted like a `str`.
#[derive(Clone)]
pub struct SharedText {
    whole: Arc<str>,
    range: Range<usize>,
    /// At least the classes of its bytes ([`bytes::sorts`] and [`bytes::SLASH_DOT`], possibly without those of a host):
    /// all classes if its bytes were not checked.
    sorts: u8,
}

/// The classes of a text whose bytes were not checked.
const UNKNOWN: u8 = u8::MAX;

impl SharedText {
    /// Copies a text of several lines, and checks all its bytes together, so that those of a [`line`](Self::line) need no
    /// check of their own.
    #[must_use]
    pub fn from_lines(lines: &str) -> Self {
        let sorts = if bytes::are_plain_lines(lines.as_bytes()) { bytes::LINE_FEED } else { UNKNOWN };
        Self::from(lines).with_sorts(sorts)
    }

    /// Returns whether its lines are known to be plain: they end with LF, and contain only printable ASCII except blanks
    /// and ``!"#$&'()*+,@\``, and no `.` after a `/`. Nearly all lists of URLs are like this.
    #[must_use]
    #[inline]
    pub const fn has_plain_lines(&self) -> bool {
        self.sorts & !bytes::LINE_FEED == 0
    }

    /// Returns the line that starts at this byte, without the LF at its end.
    ///
    /// # Panics
    ///
    /// If the text is shorter, or the byte is not the start of a character.
    #[must_use]
    #[inline]
    pub fn line(&self, start: usize) -> Self {
        let rest = &self.as_bytes()[start..];
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        if !self.has_plain_lines() {
            return self.part(start..start + length);
        }
        // In plain lines, each byte is a character.
        let start = self.range.start + start;
        Self { whole: Arc::clone(&self.whole), range: start..start + length, sorts: 0 }
    }

    /// Returns a part of this text.
    ///
    /// # Panics
    ///
    /// If the range is not within the text, or splits a character.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(self.get(range.clone()).is_some(), "{range:?} is not a part of the text");
        let range = self.range.start + range.start..self.range.start + range.end;
        Self { whole: Arc::clone(&self.whole), range, sorts: self.sorts }
    }

    /// Sets what is known of the classes of its bytes.
    pub(crate) const fn with_sorts(mut self, sorts: u8) -> Self {
        self.sorts = sorts;
        self
    }

    /// The classes of its bytes, and possibly more.
    pub(crate) const fn sorts(&self) -> u8 {
        self.sorts
    }

    /// Returns its bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // Unlike a `str`, bytes can be cut anywhere, so this is faster.
        &self.whole.as_bytes()[self.range.clone()]
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
        Self { whole, range, sorts: UNKNOWN }
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
        is_same || self.as_bytes() == other.as_bytes()
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
        let whole = SharedText::from("tea, müsli, tea").part(5..16);
        let word = whole.part(0..6);
        drop(whole);
        assert_eq!((&*word, word.len(), word.is_empty()), ("müsli", 6, false));
        assert_eq!(word, SharedText::from("müsli"));
        assert_eq!(format!("{word} {word:?}"), r#"müsli "müsli""#);
        assert!(SharedText::from("").is_empty());
    }

    #[test]
    fn a_line_is_cut_at_its_lf_wherever_that_is() {
        let lines = ["/b/0123456789abc", "/b/0123456789abcd", "https://www.example.com/0123456789", "", "ü"];
        for first in lines {
            for second in lines {
                let text = SharedText::from_lines(&format!("{first}\n{second}"));
                // So few bytes are not looked at.
                let is_plain = first.len() + second.len() >= 16 && first != "ü" && second != "ü";
                assert_eq!(text.has_plain_lines(), is_plain);
                for (line, expected) in [(text.line(0), first), (text.line(first.len() + 1), second)] {
                    assert_eq!(&*line, expected);
                    assert_eq!(line.sorts() == 0, is_plain);
                }
                assert_ne!(text.part(0..first.len()).sorts(), 0, "a part may contain an LF");
            }
        }
        assert!(!SharedText::from("a").has_plain_lines(), "it was not looked at");
    }
}
