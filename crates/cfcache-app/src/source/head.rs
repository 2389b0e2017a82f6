//! Detects the format of an input from its first bytes.

use std::io::{Chain, Cursor, Error, ErrorKind, Read};

/// An input to which its first bytes have been prepended again.
pub(crate) type WithHead<R> = Chain<Cursor<Vec<u8>>, R>;

/// The format of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text, without a byte order mark.
    Text,
    /// A JSON array.
    Array,
    Gzip,
    Utf16,
}

/// Reads the start of an input, and removes a UTF-8 byte order mark. It reads no more than necessary.
///
/// # Errors
///
/// If the input cannot be read.
pub(crate) fn look<R: Read>(mut reader: R) -> Result<(Format, WithHead<R>), Error> {
    let mut head = Vec::new();
    let mut is_whole = false;
    let format = loop {
        if let Some(format) = format(&head, is_whole) {
            break format;
        }
        let mut bytes = [0; 4096];
        match reader.read(&mut bytes) {
            Ok(0) => is_whole = true,
            Ok(read) => head.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    if let Some(text) = head.strip_prefix(MARK) {
        head = text.to_vec();
    }
    Ok((format, Cursor::new(head).chain(reader)))
}

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The maximum number of bytes that are read to find the start of an array.
const MOST: usize = 1 << 16;

/// The format, if these bytes are enough to detect it.
fn format(head: &[u8], is_whole: bool) -> Option<Format> {
    match head {
        [0x1F, 0x8B, ..] => return Some(Format::Gzip),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => return Some(Format::Utf16),
        // Two ASCII letters without a byte order mark.
        [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..] => return Some(Format::Utf16),
        _ => {}
    }
    // A byte order mark may be incomplete, and a line may have a single letter.
    let is_open = match head {
        [0x1F] | [0xFF] | [0xFE] | [0xEF] | [0xEF, 0xBB] | [] => true,
        // The second byte may be the first NUL of UTF-16.
        [0, ..] | [_, 0, ..] => head.len() < 4,
        [byte] => *byte != b'\n',
        _ => false,
    };
    if is_open && !is_whole {
        return None;
    }
    let text = head.strip_prefix(MARK).unwrap_or(head);
    let mut seen = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (seen.next(), seen.next()) {
        (Some(b'['), Some(b'"' | b'{' | b']')) => Some(Format::Array),
        (None, _) | (Some(b'['), None) if !is_whole && head.len() < MOST => None,
        _ => Some(Format::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns one byte per read.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
            let read = self.0.len().min(1);
            buffer[..read].copy_from_slice(&self.0[..read]);
            self.0 = &self.0[read..];
            Ok(read)
        }
    }

    #[test]
    fn the_format_is_detected_without_consuming_the_input() {
        for (bytes, expected, text) in [
            (&b""[..], Format::Text, &b""[..]),
            (b"\n \n", Format::Text, b"\n \n"),
            (b"a", Format::Text, b"a"),
            (b"\xEF\xBB\xBFa\n", Format::Text, b"a\n"),
            (b"\xEF\xBB\xBF\xEF\xBB\xBFa", Format::Text, b"\xEF\xBB\xBFa"),
            (b"[\"a\"]", Format::Array, b"[\"a\"]"),
            (b"\xEF\xBB\xBF\n [ \n {}", Format::Array, b"\n [ \n {}"),
            (b"[]", Format::Array, b"[]"),
            (b"[2001:db8::1]", Format::Text, b"[2001:db8::1]"),
            (b"[", Format::Text, b"["),
            (b"a\n[\"b\"]", Format::Text, b"a\n[\"b\"]"),
            (b"\x1F\x8B\x08", Format::Gzip, b"\x1F\x8B\x08"),
            (b"\xFF\xFEa\0", Format::Utf16, b"\xFF\xFEa\0"),
            (b"\xFE\xFF\0a", Format::Utf16, b"\xFE\xFF\0a"),
            (b"h\0t\0", Format::Utf16, b"h\0t\0"),
            (b"\0h\0t", Format::Utf16, b"\0h\0t"),
            (b"a\0bc", Format::Text, b"a\0bc"),
        ] {
            let mut read = Vec::new();
            let (format, mut rest) = look(bytes).unwrap();
            rest.read_to_end(&mut read).unwrap();
            assert_eq!((format, read.as_slice()), (expected, text));
            let (format, mut rest) = look(Trickle(bytes)).unwrap();
            read.clear();
            rest.read_to_end(&mut read).unwrap();
            assert_eq!((format, read.as_slice()), (expected, text), "a byte at a time");
        }
    }
}
