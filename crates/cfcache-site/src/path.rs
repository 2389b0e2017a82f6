//! Paths of files below a site's root, encoded as in URLs.
//!
//! A *site path* is relative to the root, has `/` between its parts, and is percent-encoded as browsers encode a path:
//! `blog/%C3%BC%20b.html`. It is ASCII, so it can be written anywhere. Two files have the same site path only if their
//! names are equal byte for byte.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// The characters that browsers encode in a path, and those that would have another meaning there if a file name
/// contained them.
///
/// Source: the path percent-encode set of <https://url.spec.whatwg.org/#path-percent-encode-set>, which has `^` since
/// 2023. `%` and `\` are added because a name may hold them: `%` begins an escape and `\` is read as `/`.
const IN_FILE_NAMES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%')
    .add(b'\\');

/// The same for a part of a URL, in which escapes are kept.
const IN_URLS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// Characters that browsers do not encode in a path, but some programs do.
const ENCODED_BY_SOME: &[u8] = b"[]|!*'();:@&=+$,";

/// The sets that programs encode: JavaScript's `encodeURI`, Go's `URL.String`, JavaScript's `encodeURIComponent`, and
/// Python's `quote` or PHP's `rawurlencode`, which encode everything but RFC 3986's unreserved characters.
const ENCODED_BY_PROGRAMS: [&AsciiSet; 4] = [URI, GO, COMPONENT, RESERVED];
const URI: &AsciiSet = &AsciiSet::EMPTY.add(b'[').add(b']').add(b'|');
const GO: &AsciiSet = &URI.add(b'!').add(b'*').add(b'\'').add(b'(').add(b')');
const COMPONENT: &AsciiSet =
    &URI.add(b';').add(b':').add(b'@').add(b'&').add(b'=').add(b'+').add(b'$').add(b',');
const RESERVED: &AsciiSet = &COMPONENT.add(b'!').add(b'*').add(b'\'').add(b'(').add(b')');

/// Encodes the path of a file, with `/` between its parts.
#[must_use]
pub fn encode(path: &[u8]) -> String {
    percent_encode(path, IN_FILE_NAMES).to_string()
}

/// Encodes as a browser does for a part of a URL that may already contain escapes.
#[must_use]
pub fn encode_url_part(part: &str) -> String {
    percent_encode(part.as_bytes(), IN_URLS).to_string()
}

/// The bytes of the file name.
#[must_use]
pub fn decode(site_path: &str) -> Cow<'_, [u8]> {
    percent_decode_str(site_path).into()
}

/// The path for people; text that is not UTF-8 stays encoded.
#[must_use]
pub fn display(site_path: &str) -> Cow<'_, str> {
    match percent_decode_str(site_path).decode_utf8() {
        Ok(text) if !text.contains(char::is_control) => text,
        _ => Cow::Borrowed(site_path),
    }
}

/// The other encodings of a path in links, if there are any. In a query, only `^` is changed.
///
/// Older browsers do not encode `^`. Programs encode characters that browsers do not, each its own set. RFC 3986
/// (section 2.2) calls them reserved: the encoded and the plain form are different URLs.
#[must_use]
pub fn other_spellings(path: &str) -> Vec<String> {
    let (below, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut spellings = Vec::new();
    if path.contains("%5E") {
        spellings.push(path.replace("%5E", "^"));
    }
    if below.bytes().all(|byte| !ENCODED_BY_SOME.contains(&byte)) {
        return spellings;
    }
    for set in ENCODED_BY_PROGRAMS {
        let spelling = format!("{}{query}", percent_encode(below.as_bytes(), set));
        if spelling != path && !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    }
    spellings
}

/// The site path of a path in any encoding. A path with an encoded slash is unchanged; no file has such a name.
#[must_use]
pub fn from_any_spelling(path: String) -> String {
    let has_slash =
        path.match_indices("%2").any(|(at, _)| matches!(path.as_bytes().get(at + 2), Some(b'F' | b'f')));
    if has_slash { path } else { encode(&decode(&path)) }
}

/// Returns whether the name is in Unicode's composed form (NFC), in which links are typed. Otherwise its URL differs
/// from that of a link that looks the same. Bytes that are not UTF-8 count as composed.
#[must_use]
pub fn is_composed(site_path: &str) -> bool {
    if !site_path.contains('%') {
        return true;
    }
    let Ok(name) = percent_decode_str(site_path).decode_utf8() else { return true };
    match is_nfc_quick(name.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => name.nfc().eq(name.chars()),
    }
}

/// Why a path in a list is not that of a file of the site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPath {
    /// It is empty.
    #[error("the path is empty")]
    Empty,
    /// It is absolute.
    #[error("`{found}` is absolute, and no folder is named that it is in; name the folder of the site")]
    Absolute {
        /// The path.
        found: String,
    },
    /// It contains NUL, which no path does: the paths are separated by NUL, but were read as lines.
    #[error("`{found}` contains NUL, so these are not lines; `--null` reads names that end with NUL")]
    Null {
        /// Its beginning.
        found: String,
    },
    /// It leaves the site.
    #[error("`{found}` has a `..`: which file it names depends on where the list was made")]
    Parent {
        /// The path.
        found: String,
    },
}

/// The folder that paths in lists are relative to.
///
/// `public` removes `public/` from the start of each path; paths outside of it are not part of the site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root(Vec<u8>);

impl Root {
    /// The root that removes nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The folder that paths begin with.
    #[must_use]
    pub fn new(folder: &[u8]) -> Self {
        Self(clean(folder))
    }

    /// The site path of a file in a list; `None` for a file outside of the root.
    ///
    /// # Errors
    ///
    /// [`InvalidPath`] if the path is empty, is absolute although the root is not, or contains `..` or NUL.
    pub fn site_path<'a>(&self, path: &'a [u8]) -> Result<Option<Cow<'a, str>>, InvalidPath> {
        // Of a million paths almost all have this form, and copying them would take most of the time.
        if self.0.is_empty()
            && let Some(plain) = plain(path.strip_prefix(b"./").unwrap_or(path))
        {
            return Ok(Some(Cow::Borrowed(plain)));
        }
        if path.is_empty() {
            return Err(InvalidPath::Empty);
        }
        let found = || String::from_utf8_lossy(path).into_owned();
        if path.contains(&0) {
            return Err(InvalidPath::Null { found: crate::clip(path) });
        }
        if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
            return Err(InvalidPath::Parent { found: found() });
        }
        if path.starts_with(b"/") && !self.0.starts_with(b"/") {
            return Err(InvalidPath::Absolute { found: found() });
        }
        let path = clean(path);
        let below = if self.0.is_empty() {
            Some(path.as_slice())
        } else if self.0 == b"/" {
            path.strip_prefix(b"/")
        } else {
            path.strip_prefix(self.0.as_slice()).and_then(|rest| rest.strip_prefix(b"/"))
        };
        Ok(below.filter(|below| !below.is_empty()).map(|below| Cow::Owned(encode(below))))
    }
}

/// Returns whether a path needs no encoding: it is relative, without empty, `.` and `..` parts and without bytes to
/// encode.
fn plain(path: &[u8]) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    let begins_with_slash = path.first().is_none_or(|byte| *byte == b'/');
    // A part that begins with a dot may be `.` or `..`.
    let has_odd_part = path.windows(2).any(|pair| pair[0] == b'/' && matches!(pair[1], b'/' | b'.'));
    let is_odd = begins_with_slash || path.starts_with(b".") || path.ends_with(b"/") || has_odd_part;
    if is_odd || !path.iter().all(|byte| is_plain(*byte)) {
        return None;
    }
    core::str::from_utf8(path).ok()
}

/// Removes empty and `.` parts from a path; a leading `/` is kept.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut cleaned = Vec::with_capacity(path.len());
    if path.starts_with(b"/") {
        cleaned.push(b'/');
    }
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        if !matches!(cleaned.last(), None | Some(b'/')) {
            cleaned.push(b'/');
        }
        cleaned.extend_from_slice(part);
    }
    cleaned
}
