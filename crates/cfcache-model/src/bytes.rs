//! What sorts of bytes a text has, found out in one pass.
//!
//! A table and a few words of arithmetic, so that it takes as long whatever the optimizer makes of loops.

/// No printable ASCII: white space, control characters, everything beyond ASCII.
pub(crate) const UNPRINTABLE: u8 = 1;
/// What JSON writes with an escape: `"`, `\` and control characters.
pub(crate) const ESCAPED: u8 = 1 << 1;
/// A backslash.
pub(crate) const BACKSLASH: u8 = 1 << 2;
/// What may be odd in a URL: `*`, `#`, `@`.
pub(crate) const MARK: u8 = 1 << 3;
/// A part of most host names: letters, digits, `-`, `_` and `*`, and the dot, which is [`DOT`] as well.
pub(crate) const HOST: u8 = 1 << 4;
/// A dot.
pub(crate) const DOT: u8 = 1 << 5;
/// An ampersand.
pub(crate) const AMPERSAND: u8 = 1 << 6;

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
            b'#' | b'@' => MARK,
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

/// What sort a byte is of.
pub(crate) fn sort(byte: u8) -> u8 {
    SORTS[usize::from(byte)]
}

/// The sorts of all bytes of a text in one. [`HOST`] and [`DOT`] are no more than that there is one such byte.
pub(crate) fn sorts(text: &[u8]) -> u8 {
    let of_word = |word: &[u8; 8]| {
        let [a, b, c, d, e, f, g, h] = *word;
        sort(a) | sort(b) | sort(c) | sort(d) | sort(e) | sort(f) | sort(g) | sort(h)
    };
    let (words, rest) = text.as_chunks::<8>();
    let of_words = words.iter().fold(0, |all, word| all | of_word(word));
    match text.last_chunk::<8>() {
        // Some are looked at twice, which is faster than one by one.
        Some(last) => of_words | of_word(last),
        None => rest.iter().fold(of_words, |all, byte| all | sort(*byte)),
    }
}

/// Whether two bytes follow each other anywhere in a text.
pub(crate) fn has_pair(text: &[u8], first: u8, second: u8) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let (firsts, seconds) = (ONES * u64::from(first), ONES * u64::from(second));
    // Eight pairs at a time: a byte of `different` is 0 where both are what is looked for.
    let is_in = |ones: &[u8; 8], others: &[u8; 8]| {
        let different = (u64::from_le_bytes(*ones) ^ firsts) | (u64::from_le_bytes(*others) ^ seconds);
        different.wrapping_sub(ONES) & !different & HIGHS != 0
    };
    let Some((_, behind)) = text.split_first() else { return false };
    let before = &text[..behind.len()];
    match (before.last_chunk(), behind.last_chunk()) {
        (Some(ones), Some(others)) => {
            let words = before.as_chunks().0.iter().zip(behind.as_chunks().0);
            // Some are looked at twice, which is faster than one by one.
            words.fold(false, |found, (ones, others)| found | is_in(ones, others)) || is_in(ones, others)
        }
        _ => before.iter().zip(behind).any(|pair| pair == (&first, &second)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_has_the_sorts_that_the_definitions_say() {
        for byte in 0..=u8::MAX {
            let is = |sort_of: u8| sort(byte) & sort_of != 0;
            assert_eq!(is(UNPRINTABLE), !byte.is_ascii_graphic(), "{byte:#x}");
            let json = serde_json::to_string(&char::from(byte)).unwrap();
            assert_eq!(is(ESCAPED), byte.is_ascii() && json.contains('\\'), "{byte:#x}");
            assert_eq!(is(BACKSLASH), byte == b'\\', "{byte:#x}");
            assert_eq!(is(MARK), b"*#@".contains(&byte), "{byte:#x}");
            assert_eq!(is(AMPERSAND), byte == b'&', "{byte:#x}");
            assert_eq!(is(HOST), byte.is_ascii_alphanumeric() || b"-._*".contains(&byte), "{byte:#x}");
            assert_eq!(is(DOT), byte == b'.', "{byte:#x}");
        }
    }

    proptest! {
        #[test]
        fn the_sorts_of_a_text_are_those_of_its_bytes(text in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(sorts(&text), text.iter().fold(0, |all, byte| all | sort(*byte)));
        }

        #[test]
        fn a_pair_is_found_wherever_it_stands(
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
