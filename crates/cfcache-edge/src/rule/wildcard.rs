//! Patterns in which `*` matches any text.

/// A pattern in which `*` matches any text; `\*` and `\\` match the characters themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// The texts between the `*`.
    pieces: Vec<Vec<u8>>,
    is_strict: bool,
}

impl Wildcard {
    /// Parses a pattern; one that is not strict is case-insensitive.
    pub(crate) fn parse(text: &[u8], is_strict: bool) -> Result<Self, &'static str> {
        let mut pieces = vec![Vec::new()];
        let mut previous_is_star = false;
        let mut bytes = text.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let is_star = byte == b'*';
            if is_star && previous_is_star {
                return Err("`**` is not valid in a wildcard: one `*` stands for any text");
            }
            previous_is_star = is_star;
            if is_star {
                pieces.push(Vec::new());
                continue;
            }
            let literal = match byte {
                b'\\' => bytes.next_if(|next| matches!(next, b'*' | b'\\')).unwrap_or(byte),
                byte => byte,
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(if is_strict { literal } else { literal.to_ascii_lowercase() });
            }
        }
        Ok(Self { pieces, is_strict })
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        if self.is_strict {
            self.matches_pieces(value)
        } else {
            self.matches_pieces(&value.to_ascii_lowercase())
        }
    }

    fn matches_pieces(&self, value: &[u8]) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| only == value);
        };
        let Some(mut rest) = value.strip_prefix(first.as_slice()) else { return false };
        // The leftmost match of each piece leaves the most text for the following ones.
        for piece in middle.iter().filter(|piece| !piece.is_empty()) {
            let Some(at) = rest.windows(piece.len()).position(|window| window == piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::Wildcard;

    #[test]
    fn wildcards_match_whole_texts() {
        let cases = [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a*b*c", "a-b-b-c", true),
            ("ab*ba", "aba", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"a\\", r"a\", true),
            ("A*", "abc", false),
        ];
        for (pattern, text, expected) in cases {
            let wildcard = Wildcard::parse(pattern.as_bytes(), true).unwrap();
            assert_eq!(wildcard.matches(text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(Wildcard::parse(b"A*", false).unwrap().matches(b"abc"));
        assert!(Wildcard::parse(b"a**", true).is_err());
    }
}
