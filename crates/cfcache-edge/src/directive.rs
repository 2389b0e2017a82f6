//! The directives of `Cache-Control` and similar headers.
//!
//! The grammar is wider than the standard's, like that of Cloudflare's parser (Pingora, `cache_control.rs`): `;` is a
//! separator like `,`, numbers may be quoted, non-ASCII bytes may be part of a name or value, and unreadable text is
//! skipped up to the next separator.

use std::collections::HashMap;

use http::header::GetAll;
use http::{HeaderName, HeaderValue};

/// The maximum number of seconds; larger ones are reduced to it. Source: Pingora, `DELTA_SECONDS_OVERFLOW_VALUE`.
pub(crate) const MAX_SECONDS: u32 = i32::MAX as u32;

/// The directives in all lines of one header. If a name is repeated, the last one is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    by_name: HashMap<String, Option<Vec<u8>>>,
}

impl Directives {
    pub(crate) fn parse(lines: &GetAll<'_, HeaderValue>) -> Self {
        let mut found = Self::default();
        for line in lines {
            found.read(line.as_bytes());
        }
        found
    }

    fn read(&mut self, line: &[u8]) {
        let mut rest = line;
        loop {
            let name = &rest[..token_length(rest)];
            rest = &rest[name.len()..];
            let mut value = None;
            // Blanks around `=` are not allowed: `max-age = 5` is `max-age` without a value.
            if !name.is_empty()
                && let Some(behind) = rest.strip_prefix(b"=")
            {
                let length = value_length(behind);
                value = (length > 0).then(|| unquote(&behind[..length]).to_vec());
                rest = &behind[length..];
            }
            // No known name contains non-UTF-8 bytes.
            if let Ok(name) = str::from_utf8(name)
                && !name.is_empty()
            {
                self.by_name.insert(name.to_lowercase(), value);
            }
            let Some(at) = rest.iter().position(|byte| matches!(byte, b',' | b';')) else { return };
            rest = rest[at + 1..].trim_ascii_start();
        }
    }

    fn find(&self, name: &str) -> Option<Option<&[u8]>> {
        self.by_name.get(name).map(Option::as_deref)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Returns whether it is present without a value.
    pub(crate) fn has_bare(&self, name: &str) -> bool {
        self.find(name) == Some(None)
    }

    /// Its number of seconds, rounded down; `None` if it has another value or none.
    pub(crate) fn seconds(&self, name: &str) -> Option<u32> {
        let text = str::from_utf8(self.find(name)??).ok()?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => {
                Some(number.min(f64::from(MAX_SECONDS)) as u32)
            }
            _ => None,
        }
    }

    /// The TTL of a response by these directives alone.
    ///
    /// Source: Pingora, `fresh_duration`. As there, an invalid `s-maxage` means that there is no TTL.
    pub(crate) fn freshness(&self) -> Option<u32> {
        if self.has_bare("no-cache") {
            return Some(0);
        }
        match self.find("s-maxage") {
            Some(Some(_)) => self.seconds("s-maxage"),
            Some(None) | None => self.seconds("max-age"),
        }
    }

    /// The headers that `private="…"` and `no-cache="…"` name.
    pub(crate) fn named_headers(&self) -> Vec<HeaderName> {
        let values = ["private", "no-cache"].into_iter().filter_map(|name| self.find(name).flatten());
        values
            .flat_map(|value| value.split(|&byte| byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect()
    }
}

/// Returns whether a name or an unquoted value may contain a byte.
fn is_token(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !br#"()<>@,;:\"/[]?={}"#.contains(&byte)
}

fn token_length(text: &[u8]) -> usize {
    text.iter().position(|&byte| !is_token(byte)).unwrap_or(text.len())
}

/// The length of the value that starts here: a token or a quoted text; 0 if there is none.
fn value_length(text: &[u8]) -> usize {
    if text.first() != Some(&b'"') {
        return token_length(text);
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

fn unquote(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::{any, prop, proptest};

    use super::{Directives, MAX_SECONDS};

    fn parse(lines: &[&[u8]]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("cache-control", http::HeaderValue::from_bytes(line).unwrap());
        }
        Directives::parse(&headers.get_all("cache-control"))
    }

    #[test]
    fn parses_freshness_as_the_vendor_does() {
        let cases: &[(&[&[u8]], Option<u32>)] = &[
            (&[b"max-age=10"], Some(10)),
            (&[b"Max-Age=10"], Some(10)),
            (&[b"public; max-age=10"], Some(10)),
            (&[b"public ; max-age=10"], Some(10)),
            (&[br#"max-age="10""#], Some(10)),
            (&[b"max-age=1, max-age=2"], Some(2)),
            (&[b"max-age=1", b"max-age=2"], Some(2)),
            (&[b"max-age=1, s-maxage=2"], Some(2)),
            (&[b"s-maxage=2, max-age=1"], Some(2)),
            (&[b"max-age=9, no-cache"], Some(0)),
            (&[br#"max-age=9, no-cache="set-cookie""#], Some(9)),
            (&[b"max-age=2147483648"], Some(MAX_SECONDS)),
            (&[b"max-age=99999999999999999999"], Some(MAX_SECONDS)),
            (&[b"max-age=1.9"], Some(1)),
            (&[b"max-age=0.5"], Some(0)),
            (&[b"max-age=-1"], None),
            (&[b"max-age=a"], None),
            (&[b"max-age=10s"], None),
            (&[b"max-age="], None),
            (&[b"max-age"], None),
            (&[b"max-age =10"], None),
            (&[b"max-age= 10"], None),
            (&[b"max-age=ba\xffr"], None),
            (&[b"max-age=inf"], None),
            (&[b"s-maxage=a, max-age=10"], None),
            (&[b"s-maxage, max-age=10"], Some(10)),
            (&[b"xmax-age=10"], None),
            (&[br#"foo="bar, max-age=10""#], None),
            (&[br#"foo="bar, max-age=10"#], Some(10)),
            (&[br#"foo="a\",max-age=10""#], None),
            (&[b",,max-age=10"], Some(10)),
            (&[b""], None),
            (&[], None),
        ];
        for (lines, expected) in cases {
            let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            assert_eq!(parse(lines).freshness(), *expected, "{shown:?}");
        }
    }

    #[test]
    fn distinguishes_directives_with_and_without_a_value() {
        let directives = parse(&[br#"private="set-cookie, X-A ,,\xff", no-cache"#]);
        assert!(directives.has("private"));
        assert!(!directives.has_bare("private"));
        assert!(directives.has_bare("no-cache"));
        assert!(!directives.has("public"));
        assert_eq!(directives.named_headers(), ["set-cookie", "x-a"]);
    }

    proptest! {
        #[test]
        fn parses_any_bytes(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
            let mut found = Directives::default();
            for line in &lines {
                found.read(line);
            }
            let _ = (found.freshness(), found.has_bare("private"), found.named_headers().len());
        }

        #[test]
        fn finds_a_number_of_seconds_among_other_directives(
            number in any::<u32>(),
            before in r"[a-z]{1,5}(=[a-z0-9]{1,5})?",
            separator in r" {0,2}[,;] {0,2}",
        ) {
            let line = format!("{before}{separator}max-age={number}");
            assert_eq!(parse(&[line.as_bytes()]).seconds("max-age"), Some(number.min(MAX_SECONDS)));
        }
    }
}
