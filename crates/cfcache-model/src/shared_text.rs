//! A text of which many entries of one list share the allocation.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, Range};

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
    /// Whether it is a plain line that starts with a lower-case scheme and a plain host. `false` means that it is not
    /// known.
    is_plain_url: bool,
}

/// The classes of a text whose bytes were not checked.
const UNKNOWN: u8 = u8::MAX;

impl SharedText {
    /// Adds its lines to `lines`, without the LF at their ends, if all of them are plain; returns whether they are.
    ///
    /// Plain lines end with LF, the last one as well. Their bytes are printable ASCII except blanks and
    /// ``!"#$&'()*+,@\``, and no `.` comes after a `/`. Nearly all lists of URLs are like this. All bytes are checked
    /// together, so that those of a line need no check of their own.
    pub fn split_plain_lines(&self, lines: &mut VecDeque<Self>) -> bool {
        let (text, before) = (self.as_bytes(), lines.len());
        let mut start = 0;
        // What the last URL starts with, up to the delimiter after its host.
        let mut origin = &text[..0];
        let are_plain = bytes::find_plain_lines(text, |end| {
            let line = &text[start..end];
            // The host is nearly always that of the URL before.
            let is_known = !origin.is_empty() && line.starts_with(origin);
            let found = if is_known { Some(origin) } else { bytes::plain_origin(line) };
            origin = found.unwrap_or(origin);
            // In plain lines, each byte is a character.
            let range = self.range.start + start..self.range.start + end;
            let whole = Arc::clone(&self.whole);
            lines.push_back(Self { whole, range, sorts: 0, is_plain_url: found.is_some() });
            start = end + 1;
        });
        if !are_plain {
            lines.truncate(before);
        }
        are_plain
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
        Self { whole: Arc::clone(&self.whole), range, sorts: self.sorts, is_plain_url: false }
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

    /// Returns whether it is [one of plain lines](Self::split_plain_lines) and starts as nearly all URLs do.
    pub(crate) const fn is_plain_url(&self) -> bool {
        self.is_plain_url
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
        Self { whole, range, sorts: UNKNOWN, is_plain_url: false }
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
    fn plain_lines_are_cut_at_each_lf_wherever_that_is() {
        let texts = [
            "",
            "a",
            "/b/0123456789ab",
            "/b/0123456789abc",
            "/b/0123456789abcd",
            "https://www.example.com/0",
        ];
        for first in texts {
            for second in texts {
                let text = SharedText::from(&*format!("before\n{first}\n{second}\n"))
                    .part(7..first.len() + second.len() + 9);
                let mut lines = VecDeque::new();
                assert!(text.split_plain_lines(&mut lines));
                assert_eq!(lines, [first, second].map(SharedText::from));
                assert!(lines.iter().all(|line| line.sorts() == 0));
                for odd in ["\r\n", " \n", "ü\n", "/.\n", "\0", "no end"] {
                    let text = SharedText::from(&*format!("{first}\n{second}{odd}"));
                    assert!(!text.split_plain_lines(&mut lines), "{text:?}");
                    assert_eq!(lines.len(), 2, "nothing was added");
                }
            }
        }
    }

    #[test]
    fn a_url_after_another_one_is_plain_if_its_own_host_is() {
        let texts = [
            ("https://www.example.com/a", true),
            ("https://www.example.com:80/a", false),
            ("https://www.example.com/b", true),
            ("https://www.example.co", false),
            ("http://www.example.com/b?c", true),
            ("https://www.example.com?b", true),
            ("/b", false),
            ("https://www.example.org/b", true),
            ("https://", false),
            ("HTTPS://www.example.org/b", false),
        ];
        let text: String = texts.iter().flat_map(|(text, _)| [*text, "\n"]).collect();
        let mut lines = VecDeque::new();
        assert!(SharedText::from(text).split_plain_lines(&mut lines));
        for (line, (text, is_plain_url)) in lines.iter().zip(texts) {
            assert_eq!((&**line, line.is_plain_url()), (text, is_plain_url));
        }
    }
}
