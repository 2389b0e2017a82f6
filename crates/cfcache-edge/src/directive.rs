//! The directives of `Cache-Control` and its kind.

/// The largest value; what is larger is cut to it.
const MAX_SECONDS: u32 = i32::MAX as u32;

/// The directives of one header, which may have come in several lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    list: Vec<(String, Option<Vec<u8>>)>,
}

impl Directives {
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for line in lines {
            found.read(line);
        }
        found
    }

    fn read(&mut self, line: &[u8]) {
        let mut rest = line;
        loop {
            let start = rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len());
            rest = &rest[start..];
            let name = &rest[..rest.iter().position(|&byte| !is_token(byte)).unwrap_or(rest.len())];
            rest = &rest[name.len()..];
            let mut value = None;
            if !name.is_empty()
                && let Some(behind) = rest.strip_prefix(b"=")
            {
                let end = value_end(behind);
                value = (end > 0).then(|| unquote(&behind[..end]));
                rest = &behind[end..];
            }
            if !name.is_empty() {
                self.insert(name, value);
            }
            match rest.iter().position(|byte| matches!(byte, b',' | b';')) {
                Some(at) => rest = &rest[at + 1..],
                None => return,
            }
        }
    }

    fn insert(&mut self, name: &[u8], value: Option<Vec<u8>>) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match self.list.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.list.push((name, value)),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(known, _)| known == name)
    }

    /// Is it there, and without a value?
    pub(crate) fn has_bare(&self, name: &str) -> bool {
        self.list.iter().any(|(known, value)| known == name && value.is_none())
    }

    /// The seconds of a directive, where it has such a value.
    pub(crate) fn seconds(&self, name: &str) -> Option<u32> {
        let (_, value) = self.list.iter().find(|(known, _)| known == name)?;
        seconds(value.as_deref()?)
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Where a value ends: a token, or a text in quotes.
fn value_end(text: &[u8]) -> usize {
    if text.first() != Some(&b'"') {
        return text.iter().position(|&byte| !is_token(byte)).unwrap_or(text.len());
    }
    let mut index = 1;
    while let Some(&byte) = text.get(index) {
        match byte {
            b'"' => return index + 1,
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
    0
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or(value).to_vec()
}

fn seconds(value: &[u8]) -> Option<u32> {
    let text = str::from_utf8(value).ok()?;
    let whole = match text.split_once('.') {
        Some((whole, part)) if part.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        Some(_) => return None,
        None => text,
    };
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits only, so what does not fit is too large.
    Some(whole.parse::<u32>().map_or(MAX_SECONDS, |number| number.min(MAX_SECONDS)))
}
