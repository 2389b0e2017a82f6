//! Finds the classes of bytes in a text, in one pass.
//!
//! It uses a table and arithmetic on words, or sixteen bytes at a time, so its speed does not depend on how well the
//! compiler optimizes loops.

use wide::u8x16;

/// Not printable ASCII: white space, control characters, non-ASCII.
pub(crate) const UNPRINTABLE: u8 = 1;
/// Escaped in JSON: `"`, `\` and control characters.
pub(crate) const ESCAPED: u8 = 1 << 1;
/// A backslash.
pub(crate) const BACKSLASH: u8 = 1 << 2;
/// Unusual characters in a URL: `*`, `#`, `@`, and the comma, which may separate two URLs.
pub(crate) const MARK: u8 = 1 << 3;
/// Allowed in a host name: letters, digits, `-`, `_` and `*`, and the dot, which is [`DOT`] as well.
pub(crate) const HOST: u8 = 1 << 4;
/// A dot.
pub(crate) const DOT: u8 = 1 << 5;
/// An ampersand.
pub(crate) const AMPERSAND: u8 = 1 << 6;
/// A `/` with a `.` after it, which [`sorts`] does not look for: there may be a segment `.` or `..`.
pub(crate) const SLASH_DOT: u8 = 1 << 7;

static SORTS: [u8; 256] = {
    let mut sorts = [0; 256];
    let mut index = 0;
    while index < sorts.len() {
        let byte = index as u8;
        let sort = match byte {
            0..0x20 => UNPRINTABLE | ESCAPED,
            b' ' | 0x7f.. => UNPRINTABLE,
            b'"' => ESCAPED,
            b'\\' => ESCAPED | BACKSLASH,
            b'*' => MARK | HOST,
            b'#' | b'@' | b',' => MARK,
            b'&' => AMPERSAND,
            b'.' => HOST | DOT,
            b'-' | b'_' => HOST,
            _ if byte.is_ascii_alphanumeric() => HOST,
            _ => 0,
        };
        sorts[index] = sort;
        index += 1;
    }
    sorts
};

/// The class of a byte.
pub(crate) fn sort(byte: u8) -> u8 {
    SORTS[usize::from(byte)]
}

/// The union of the classes of all bytes of a text. [`HOST`] and [`DOT`] only mean that there is such a byte.
pub(crate) fn sorts(text: &[u8]) -> u8 {
    let of_word = |word: &[u8; 8]| {
        let [a, b, c, d, e, f, g, h] = *word;
        sort(a) | sort(b) | sort(c) | sort(d) | sort(e) | sort(f) | sort(g) | sort(h)
    };
    let (words, rest) = text.as_chunks::<8>();
    let of_words = words.iter().fold(0, |all, word| all | of_word(word));
    match text.last_chunk::<8>() {
        // Some bytes are read twice, which is faster than reading them one by one.
        Some(last) => of_words | of_word(last),
        None => rest.iter().fold(of_words, |all, byte| all | sort(*byte)),
    }
}

/// Returns whether two given bytes occur next to each other in a text.
pub(crate) fn has_pair(text: &[u8], first: u8, second: u8) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let (firsts, seconds) = (ONES * u64::from(first), ONES * u64::from(second));
    // Eight pairs at a time: a byte of `different` is 0 if both bytes match.
    let is_in = |ones: &[u8; 8], others: &[u8; 8]| {
        let different = (u64::from_le_bytes(*ones) ^ firsts) | (u64::from_le_bytes(*others) ^ seconds);
        different.wrapping_sub(ONES) & !different & HIGHS != 0
    };
    let Some((_, behind)) = text.split_first() else { return false };
    let before = &text[..behind.len()];
    match (before.last_chunk(), behind.last_chunk()) {
        (Some(ones), Some(others)) => {
            let words = before.as_chunks().0.iter().zip(behind.as_chunks().0);
            // Some bytes are read twice, which is faster than reading them one by one.
            words.fold(false, |found, (ones, others)| found | is_in(ones, others)) || is_in(ones, others)
        }
        _ => before.iter().zip(behind).any(|pair| pair == (&first, &second)),
    }
}

/// Returns whether a URL has no unusual characters after its scheme, and a plain name as its host.
///
/// - All bytes are [plain](not_plain), and no dot follows a slash. So the [`sorts`] are only [`HOST`] and [`DOT`].
/// - The host consists of letters, digits, `-`, `_` and dots, each dot after a name, without a user or a port.
/// - `false` is not a verdict: a short or unusual URL must be checked byte by byte.
pub(crate) fn is_plain_url(rest: &[u8]) -> bool {
    are_plain(rest) && plain_host(rest).is_some()
}

/// Returns whether a text consists of plain lines with LF at their ends: all bytes except LF are [plain](not_plain), and
/// no dot follows a slash. Calls `on_end` with the position of each LF, until it finds something else.
pub(crate) fn find_plain_lines(text: &[u8], mut on_end: impl FnMut(usize)) -> bool {
    if text.last().is_some_and(|last| *last != b'\n') {
        return false;
    }
    // The end of the text, and other bytes that are plain.
    let mut last = [b'-'; 65];
    let rest = &text[text.len().saturating_sub(1) / 64 * 64..];
    last[..rest.len()].copy_from_slice(rest);
    let mut found = u8x16::ZERO;
    let mut start = 0;
    while start < text.len() {
        // 64 bytes, and the one behind them.
        let block: &[u8; 65] = text[start..].first_chunk().unwrap_or(&last);
        let pairs = block.as_chunks().0.iter().zip(block[1..].as_chunks().0);
        let mut ends = 0_u64;
        for (index, (ones, others)) in pairs.enumerate() {
            let (ones, others) = (u8x16::new(*ones), u8x16::new(*others));
            let is_end = ones.simd_eq(u8x16::splat(b'\n'));
            found |= (not_plain(ones) & !is_end) | is_slash_dot(ones, others);
            ends |= u64::from(is_end.to_bitmask()) << (16 * index);
        }
        if ends != 0 && found.to_bitmask() != 0 {
            return false;
        }
        while ends != 0 {
            on_end(start + ends.trailing_zeros() as usize);
            ends &= ends - 1;
        }
        start += block.len() - 1;
    }
    // An LF is last, and everything before it was looked at.
    true
}

/// Returns whether no byte of a text is unusual, and no dot follows a slash. Checks sixteen bytes at a time, so `false` is
/// not a verdict on a text of at most sixteen.
#[inline]
fn are_plain(text: &[u8]) -> bool {
    let Some((_, behind)) = text.split_first() else { return false };
    let before = &text[..behind.len()];
    let (Some(last), Some(behind_last)) = (before.last_chunk(), behind.last_chunk()) else { return false };
    let unusual_pairs = |ones: &[u8; 16], others: &[u8; 16]| {
        let (ones, others) = (u8x16::new(*ones), u8x16::new(*others));
        not_plain(ones) | is_slash_dot(ones, others)
    };
    let pairs = before.as_chunks().0.iter().zip(behind.as_chunks().0);
    // Some bytes are read twice, which is faster than reading them one by one.
    let last = unusual_pairs(last, behind_last) | not_plain(u8x16::new(*behind_last));
    let found = pairs.fold(last, |found, (ones, others)| found | unusual_pairs(ones, others));
    found.to_bitmask() == 0
}

/// Returns which of sixteen bytes are not printable ASCII, or are a blank or one of ``!"#$&'()*+,@\``.
#[inline]
fn not_plain(bytes: u8x16) -> u8x16 {
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    let is_beyond = !is_between(bytes, b'-', b'~');
    (is_beyond & !is(b'%')) | is(b'@') | is(b'\\')
}

/// Returns which of sixteen bytes are a slash before a dot. `others` are the same bytes, one further on.
#[inline]
fn is_slash_dot(ones: u8x16, others: u8x16) -> u8x16 {
    ones.simd_eq(u8x16::splat(b'/')) & others.simd_eq(u8x16::splat(b'.'))
}

/// Which of sixteen bytes are from `low` to `high`.
#[inline]
fn is_between(bytes: u8x16, low: u8, high: u8) -> u8x16 {
    let above = bytes - u8x16::splat(low);
    above.min(u8x16::splat(high - low)).simd_eq(above)
}

/// Returns what a URL starts with if that is a lower-case scheme and a [plain host](plain_host), with the delimiter after
/// it.
pub(crate) fn plain_origin(url: &[u8]) -> Option<&[u8]> {
    let rest = url.strip_prefix(b"https://").or_else(|| url.strip_prefix(b"http://"))?;
    let scheme = url.len() - rest.len();
    plain_host(rest).map(|length| &url[..scheme + length + 1])
}

/// Returns the length of the host after a scheme if it is plain, has at most 64 bytes, and is followed by a delimiter, all
/// but the delimiter within whole blocks of sixteen bytes. `None` is not a verdict.
#[inline]
fn plain_host(rest: &[u8]) -> Option<usize> {
    let (mut parts, mut dots) = (0_u64, 0_u64);
    for (index, bytes) in rest.as_chunks().0.iter().take(4).enumerate() {
        let bytes = u8x16::new(*bytes);
        let is = |byte| bytes.simd_eq(u8x16::splat(byte));
        let is_letter = is_between(bytes | u8x16::splat(0x20), b'a', b'z');
        // From `-` to `9` are `-`, `.`, `/` and the digits.
        let is_part = is_letter | (is_between(bytes, b'-', b'9') & !is(b'/')) | is(b'_');
        let sixteen = is_part.to_bitmask();
        parts |= u64::from(sixteen) << (16 * index);
        dots |= u64::from(is(b'.').to_bitmask()) << (16 * index);
        if sixteen != 0xFFFF {
            break;
        }
    }
    let length = (!parts).trailing_zeros() as usize;
    // At the beginning, or after another dot.
    let stray_dots = dots & (dots << 1 | 1);
    let is_host = stray_dots.trailing_zeros() as usize >= length
        && length > 0
        && matches!(rest.get(length), Some(b'/' | b'?' | b'#'));
    is_host.then_some(length)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_has_the_classes_of_its_definition() {
        for byte in 0..=u8::MAX {
            let is = |sort_of: u8| sort(byte) & sort_of != 0;
            assert_eq!(is(UNPRINTABLE), !byte.is_ascii_graphic(), "{byte:#x}");
            let json = serde_json::to_string(&char::from(byte)).unwrap();
            assert_eq!(is(ESCAPED), byte.is_ascii() && json.contains('\\'), "{byte:#x}");
            assert_eq!(is(BACKSLASH), byte == b'\\', "{byte:#x}");
            assert_eq!(is(MARK), b"*#@,".contains(&byte), "{byte:#x}");
            assert_eq!(is(AMPERSAND), byte == b'&', "{byte:#x}");
            assert_eq!(is(HOST), byte.is_ascii_alphanumeric() || b"-._*".contains(&byte), "{byte:#x}");
            assert_eq!(is(DOT), byte == b'.', "{byte:#x}");
        }
    }

    proptest! {
        #[test]
        fn the_classes_of_a_text_are_those_of_its_bytes(text in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(sorts(&text), text.iter().fold(0, |all, byte| all | sort(*byte)));
        }

        /// Compares with the definition, byte by byte. Most texts start with a host, and contain at most one unusual
        /// byte.
        #[test]
        fn is_plain_url_agrees_with_its_definition(
            host in "([a-z0-9A-Z_.-]{0,18}|[a-z]{0,60}[.-]?[a-z]{0,20})[/?#:@]?",
            path in prop::collection::vec(prop::sample::select(&b"abcz019-./_~%=?/:;[]"[..]), 0..60),
            odd in prop::option::of((any::<u8>(), any::<prop::sample::Index>())),
        ) {
            let mut rest = [host.as_bytes(), &path].concat();
            if let Some((byte, at)) = odd.filter(|_| !rest.is_empty()) {
                let at = at.index(rest.len());
                rest[at] = byte;
            }
            let length = rest.iter().take_while(|byte| sort(**byte) & HOST != 0 && **byte != b'*').count();
            let (name, behind) = rest.split_at(length);
            let looked_at = (rest.len() / 16 * 16).min(64);
            let is_host = (1..=looked_at).contains(&length)
                && !name.starts_with(b".")
                && !has_pair(name, b'.', b'.')
                && matches!(behind.first(), Some(b'/' | b'?' | b'#'));
            let is_plain = |byte: &u8| {
                matches!(byte, b'%' | b'-'..=b'~') && !matches!(byte, b'@' | b'\\')
            };
            let expected = rest.len() > 16 && is_host && rest.iter().all(is_plain) && !has_pair(&rest, b'/', b'.');
            prop_assert_eq!(is_plain_url(&rest), expected, "{}", String::from_utf8_lossy(&rest));
            if expected {
                prop_assert_eq!(sorts(&rest) & !(HOST | DOT), 0);
            }
        }

        #[test]
        fn finds_a_pair_at_any_position(
            text in prop::collection::vec(prop::sample::select(&b"/.a\xFF\0\x2E\x2F\x80"[..]), 0..40),
        ) {
            let expected = text.windows(2).any(|pair| pair == b"/.");
            prop_assert_eq!(has_pair(&text, b'/', b'.'), expected);
            for at in 0..=text.len() {
                let mut with: Vec<u8> = text.clone();
                with.splice(at..at, *b"/.");
                prop_assert!(has_pair(&with, b'/', b'.'));
            }
        }
    }
}
