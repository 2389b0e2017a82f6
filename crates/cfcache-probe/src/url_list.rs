//! A compact list of URLs.

use std::fmt;

use cfcache_model::target::{Kind, Target};

/// The number of entries in a block. To find one entry, its block is read from the start.
const BLOCK_SIZE: usize = 32;

/// A list of entries of `files`. Each is stored as its difference from the previous one.
///
/// An entry takes three bytes or slightly more, in addition to the end of its text that differs. [`UrlList::get`] reads
/// up to 32 entries to find one.
#[derive(Clone, Default)]
pub struct UrlList {
    /// Complete blocks of [`BLOCK_SIZE`] entries each.
    blocks: Vec<Box<[u8]>>,
    /// The entries of the last, incomplete block.
    open_block: Vec<u8>,
    /// The last entry in `open_block`.
    last: String,
    len: usize,
}

impl UrlList {
    /// Creates an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: Vec::new(), open_block: Vec::new(), last: String::new(), len: 0 }
    }

    /// Adds an entry. An entry of another kind than `files` is ignored.
    pub fn push(&mut self, target: &Target) {
        if target.kind() != Kind::Files {
            return;
        }
        let text = target.text();
        let same = self.last.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
        let rest = &text.as_bytes()[same..];
        push_number(&mut self.open_block, same);
        push_number(&mut self.open_block, rest.len());
        self.open_block.extend_from_slice(rest);
        self.last.clear();
        self.last.push_str(&text);
        self.len += 1;
        if self.len.is_multiple_of(BLOCK_SIZE) {
            self.blocks.push(self.open_block.as_slice().into());
            self.open_block.clear();
            self.last.clear();
        }
    }

    /// Returns the number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns an entry by its index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Target> {
        if index >= self.len {
            return None;
        }
        let mut bytes = self.blocks.get(index / BLOCK_SIZE).map_or(&self.open_block[..], |block| block);
        let mut text = Vec::new();
        for _ in 0..=index % BLOCK_SIZE {
            let same = take_number(&mut bytes)?;
            let len = take_number(&mut bytes)?;
            let (rest, after) = bytes.split_at_checked(len)?;
            text.truncate(same);
            text.extend_from_slice(rest);
            bytes = after;
        }
        // The text came from an entry, so it can be parsed.
        Target::parse(Kind::Files, str::from_utf8(&text).ok()?).ok()
    }

    /// Returns all entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Target> {
        (0..self.len).filter_map(|index| self.get(index))
    }
}

impl fmt::Debug for UrlList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlList").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<'a> Extend<&'a Target> for UrlList {
    fn extend<I: IntoIterator<Item = &'a Target>>(&mut self, targets: I) {
        for target in targets {
            self.push(target);
        }
    }
}

impl<'a> FromIterator<&'a Target> for UrlList {
    fn from_iter<I: IntoIterator<Item = &'a Target>>(targets: I) -> Self {
        let mut list = Self::new();
        list.extend(targets);
        list
    }
}

/// Seven bits per byte, lowest bits first. All bytes but the last have the highest bit set.
fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(Kind::Files, text).unwrap()
    }

    #[test]
    fn returns_entries_unchanged() {
        let long = format!("https://a.test/{}", "x".repeat(9000));
        let mut texts = vec![
            long.clone(),
            format!("{long}/y"),
            "https://a.test/".to_owned(),
            // Two characters that share their first byte.
            "https://a.test/é".to_owned(),
            "https://a.test/è".to_owned(),
            "https://a.test/è".to_owned(),
            r#"{"url":"https://a.test/m","headers":{"CF-Device-Type":"mobile"}}"#.to_owned(),
        ];
        texts.extend((0..300).map(|number| format!("https://{}.test/{}", number % 3, number * 7919)));
        let targets: Vec<Target> = texts.iter().map(|text| target(text)).collect();
        for len in 0..targets.len() {
            let list: UrlList = targets[..len].iter().collect();
            assert_eq!((list.len(), list.is_empty()), (len, len == 0));
            assert_eq!(list.get(len), None);
            assert_eq!(list.get(len.saturating_sub(1)).as_ref(), targets[..len].last());
        }
        let list: UrlList = targets.iter().collect();
        assert!(list.iter().eq(targets.iter().cloned()));
    }

    #[test]
    fn ignores_entries_of_other_kinds() {
        let mut list = UrlList::new();
        list.push(&Target::parse(Kind::Hosts, "a.test").unwrap());
        assert_eq!((list.len(), list.get(0)), (0, None));
    }

    #[test]
    fn encodes_numbers_of_any_size() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, usize::MAX] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            let mut rest = &bytes[..];
            assert_eq!((take_number(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(take_number(&mut &bytes[..bytes.len() - 1]), None);
        }
    }
}
