//! A long list of URLs in little memory.

use std::fmt;

use cfcache_model::target::{Kind, Target};

/// So many entries are read to find the last of them.
const BLOCK: usize = 32;

/// A list of entries of `files`, each kept as what its text does not have in common with the one before it.
///
/// An entry takes three bytes or a little more, beside the end of its text that differs. [`UrlList::get`] reads up to 32
/// entries to find one.
#[derive(Clone, Default)]
pub struct UrlList {
    /// Of [`BLOCK`] entries each.
    blocks: Vec<Box<[u8]>>,
    /// The entries that fill no block yet.
    open: Vec<u8>,
    /// The last entry in `open`.
    last: String,
    len: usize,
}

impl UrlList {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: Vec::new(), open: Vec::new(), last: String::new(), len: 0 }
    }

    /// Adds an entry; one that is none of `files` is left out.
    pub fn push(&mut self, target: &Target) {
        if target.kind() != Kind::Files {
            return;
        }
        let text = target.text();
        let same = self.last.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
        let rest = &text.as_bytes()[same..];
        push_number(&mut self.open, same);
        push_number(&mut self.open, rest.len());
        self.open.extend_from_slice(rest);
        self.last.clear();
        self.last.push_str(&text);
        self.len += 1;
        if self.len.is_multiple_of(BLOCK) {
            self.blocks.push(self.open.as_slice().into());
            self.open.clear();
            self.last.clear();
        }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// An entry, by its place in the list.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<Target> {
        if place >= self.len {
            return None;
        }
        let mut bytes = self.blocks.get(place / BLOCK).map_or(&self.open[..], |block| block);
        let mut text = Vec::new();
        for _ in 0..=place % BLOCK {
            let same = take_number(&mut bytes)?;
            let len = take_number(&mut bytes)?;
            let (rest, after) = bytes.split_at_checked(len)?;
            text.truncate(same);
            text.extend_from_slice(rest);
            bytes = after;
        }
        // It is the text of an entry, so that it is one.
        Target::parse(Kind::Files, str::from_utf8(&text).ok()?).ok()
    }

    /// All entries, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Target> {
        (0..self.len).filter_map(|place| self.get(place))
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

/// Seven bits a byte, the lowest first; all but the last byte have the highest bit set.
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
    fn entries_come_back_as_they_were_pushed() {
        let long = format!("https://a.test/{}", "x".repeat(9000));
        let mut texts = vec![
            long.clone(),
            format!("{long}/y"),
            "https://a.test/".to_owned(),
            // Two letters that have their first byte in common.
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
    fn an_entry_of_another_kind_is_left_out() {
        let mut list = UrlList::new();
        list.push(&Target::parse(Kind::Hosts, "a.test").unwrap());
        assert_eq!((list.len(), list.get(0)), (0, None));
    }

    #[test]
    fn numbers_of_any_size_come_back() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, usize::MAX] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            let mut rest = &bytes[..];
            assert_eq!((take_number(&mut rest), rest.len()), (Some(number), 0));
            assert_eq!(take_number(&mut &bytes[..bytes.len() - 1]), None);
        }
    }
}
