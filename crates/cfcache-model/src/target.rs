//! Things that can be purged, apart from everything: URLs, tags, hosts and prefixes, one type for each.
//!
//! To add a kind, write a file in `target/` with a type that implements `TargetKind`, and add one line to `kinds!`
//! below. The planner, the bodies and the inputs of the command line follow from that list.

pub mod file;
pub mod header;
pub mod host;
pub mod prefix;
pub mod tag;
pub mod url;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::InvalidInput;
use crate::bytes;
use crate::plan::Batch;
use crate::shared_text::SharedText;
use crate::text::{is_invisible, quote};

pub use crate::target::file::File;
pub use crate::target::header::CacheKeyHeader;
pub use crate::target::host::Host;
pub use crate::target::prefix::Prefix;
pub use crate::target::tag::Tag;
pub use crate::target::url::PurgeUrl;

/// The properties of a kind of target.
trait TargetKind {
    /// The name of the field in the body.
    const FIELD: &'static str;
    /// The plural, which is also the subcommand of the command line.
    const WORD: &'static str;
    /// The singular.
    const NOUN: &'static str;

    /// The entry as in a list: parsing it again gives an equal target.
    fn text(&self) -> Cow<'_, str>;

    fn warnings(&self, warn: &mut dyn FnMut(Warning));

    /// A text that is equal for two targets if and only if the API treats them as the same.
    fn key(&self) -> SharedText;

    /// Returns the text, if a JSON string contains it without escapes.
    fn unescaped(&self) -> Option<&str>;

    /// Returns whether it certainly causes no [`warnings`](Self::warnings). `false` means that it is not known.
    fn is_plain(&self) -> bool {
        false
    }

    /// Returns whether its whole batch must be encoded as objects.
    fn needs_object(&self) -> bool {
        false
    }

    /// Adds it to a list; as an object if all entries are objects.
    fn write<S: SerializeSeq>(&self, _objects: bool, sequence: &mut S) -> Result<(), S::Error> {
        sequence.serialize_element(&*self.text())
    }

    /// The number of bytes that [`write`](Self::write) writes as a string.
    // Not inlined, so that `Target::string_bytes` is, which takes a third less for URLs.
    #[inline(never)]
    fn string_bytes(&self) -> usize {
        json_string_bytes(&self.text())
    }

    /// The number of bytes by which its object is longer than `{"url":…}`; 0 if it needs no object.
    fn header_bytes(&self) -> usize {
        0
    }
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident($type:ty);)*) => {
        /// A kind of target. A body contains targets of one kind only.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$meta])* $kind,)*
        }

        /// A target to purge or invalidate.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Target {
            $($(#[$meta])* $kind($type),)*
        }

        impl Kind {
            /// All kinds, in the order of help and documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The name of the field in the body: `files`, `tags`, `hosts`, `prefixes`.
            #[must_use]
            pub const fn field(self) -> &'static str {
                match self { $(Self::$kind => <$type as TargetKind>::FIELD,)* }
            }

            /// The plural: `urls`, `tags`, `hosts`, `prefixes`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$kind => <$type as TargetKind>::WORD,)* }
            }

            /// The singular: `URL`, `tag`, `host`, `prefix`.
            #[must_use]
            pub const fn noun(self) -> &'static str {
                match self { $(Self::$kind => <$type as TargetKind>::NOUN,)* }
            }
        }

        impl Target {
            /// Parses one entry of a list.
            ///
            /// # Errors
            ///
            /// [`InvalidInput`], which says what was found, what is allowed, and suggests a correction.
            #[inline]
            pub fn parse(kind: Kind, text: &str) -> Result<Self, InvalidInput> {
                match kind {
                    $(Kind::$kind => Ok(Self::$kind(<$type>::parse(text)?)),)*
                }
            }

            /// The kind of the target.
            #[must_use]
            #[inline]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$kind(_) => Kind::$kind,)* }
            }

            /// The entry as in a list; parsing it again gives an equal target.
            #[must_use]
            #[inline]
            pub fn text(&self) -> Cow<'_, str> {
                match self { $(Self::$kind(target) => target.text(),)* }
            }

            /// Calls `warn` for every property that is documented to have an unexpected effect.
            pub fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
                match self { $(Self::$kind(target) => target.warnings(warn),)* }
            }

            #[inline]
            pub(crate) fn needs_object(&self) -> bool {
                match self { $(Self::$kind(target) => target.needs_object(),)* }
            }

            #[inline]
            pub(crate) fn string_bytes(&self) -> usize {
                match self { $(Self::$kind(target) => target.string_bytes(),)* }
            }

            #[inline]
            pub(crate) fn header_bytes(&self) -> usize {
                match self { $(Self::$kind(target) => target.header_bytes(),)* }
            }

            #[inline]
            pub(crate) fn unescaped(&self) -> Option<&str> {
                match self { $(Self::$kind(target) => target.unescaped(),)* }
            }

            #[inline]
            pub(crate) fn key(&self) -> SharedText {
                match self { $(Self::$kind(target) => target.key(),)* }
            }

            /// Returns whether it is a URL without headers that contains no comma and certainly causes no warning. `false`
            /// does not mean that there is a warning.
            #[must_use]
            #[inline]
            pub fn is_plain(&self) -> bool {
                match self { $(Self::$kind(target) => target.is_plain(),)* }
            }

            fn write<S: SerializeSeq>(&self, objects: bool, sequence: &mut S) -> Result<(), S::Error> {
                match self { $(Self::$kind(target) => target.write(objects, sequence),)* }
            }
        }

        $(
            impl From<$type> for Target {
                fn from(target: $type) -> Self {
                    Self::$kind(target)
                }
            }
        )*
    };
}

kinds! {
    /// A single file: a URL, with the headers of its cache key.
    Files(File);
    /// All files that were served with this `Cache-Tag`.
    Tags(Tag);
    /// All files of this host.
    Hosts(Host);
    /// All files whose host and path begin with this.
    Prefixes(Prefix);
}

impl Kind {
    /// Returns whether targets of this kind contain a host.
    #[must_use]
    pub const fn has_host(self) -> bool {
        match self {
            Self::Files | Self::Hosts | Self::Prefixes => true,
            Self::Tags => false,
        }
    }

    /// Formats a number of targets: "1 tag", "2 tags", "250 URLs".
    #[must_use]
    pub fn count(self, count: u64) -> String {
        let ending = match self {
            _ if count == 1 => "",
            Self::Prefixes => "es",
            _ => "s",
        };
        alloc::format!("{count} {}{ending}", self.noun())
    }
}

impl Target {
    /// Parses one entry of a list, as [`parse`](Self::parse) does, and shares the text of a URL.
    ///
    /// # Errors
    ///
    /// As with [`parse`](Self::parse).
    #[inline]
    pub fn parse_shared(kind: Kind, text: &SharedText) -> Result<Self, InvalidInput> {
        match kind {
            Kind::Files => Ok(Self::Files(File::parse_shared(text)?)),
            kind => Self::parse(kind, text),
        }
    }

    /// Returns the target if the text is a [plain line](SharedText::split_plain_lines) that starts as nearly all URLs do.
    /// There are no warnings about it.
    ///
    /// # Errors
    ///
    /// The text if it is anything else, which [`parse_shared`](Self::parse_shared) parses.
    #[inline]
    pub fn from_plain_line(kind: Kind, text: SharedText) -> Result<Self, SharedText> {
        if kind != Kind::Files {
            return Err(text);
        }
        Ok(Self::Files(File::from(PurgeUrl::from_plain_line(text)?)))
    }

    /// The host of the target as given, without a port; `None` only if its kind [has none](Kind::has_host).
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Files(file) => Some(file.url().host()),
            Self::Tags(_) => None,
            Self::Hosts(host) => Some(without_port(host.as_str())),
            Self::Prefixes(prefix) => {
                Some(without_port(prefix.as_str().split('/').next().unwrap_or_default()))
            }
        }
    }
}

/// Removes the port, as in `:8443`; the address `::1` has no port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if (!name.contains(':') || name.ends_with(']'))
                && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

/// Writes the plural: `urls`, `tags`, `hosts`, `prefixes`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Parses the plural ([`Kind::word`]) or the name of the field in the body ([`Kind::field`]).
impl FromStr for Kind {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Self::ALL.iter().copied().find(|kind| kind.word() == text || kind.field() == text).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|kind| quote(kind.word())).collect();
            InvalidInput::new(alloc::format!("a kind is one of {}, not {}", words.join(", "), quote(text)))
        })
    }
}

impl Serialize for Batch {
    /// Encodes the targets as the API requires: as strings, or all as objects if one needs it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let objects = self.targets().any(Target::needs_object);
        let mut sequence = serializer.serialize_seq(None)?;
        for target in self.targets() {
            target.write(objects, &mut sequence)?;
        }
        sequence.end()
    }
}

/// A property of an entry that the API accepts but that probably does not have the intended effect.
///
/// A warning never stops anything: the entry is sent unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A `*` in a URL. Source: the page "Purge by single-file".
    #[error(
        "`*` is not a wildcard in a URL: only the file with a `*` in its name is meant; to purge many files at once, use a prefix, tag or host"
    )]
    WildcardInUrl,
    /// A fragment in a URL. Browsers do not send it, so no cached file has one.
    #[error("a browser never sends `#{fragment}`, so no cached file has it in its URL; leave it out")]
    Fragment {
        /// The text after the `#`.
        fragment: String,
    },
    /// A user name or password in a URL. Browsers do not send it as part of the URL.
    #[error(
        "a browser never sends the part before the `@`, so no cached file has it in its URL; leave it out"
    )]
    UserInfo,
    /// A `.` or `..` as a segment of a path. Browsers resolve it before the request
    /// (<https://url.spec.whatwg.org/#path-state>).
    #[error(
        "a browser resolves `{segment}` in a path before the request, so hardly any cached file has it in its URL"
    )]
    DotSegment {
        /// `.` or `..`.
        segment: &'static str,
    },
    /// `&amp;` in a URL, which was probably copied from HTML or XML, where it stands for `&`.
    #[error("`&amp;` is how HTML and XML write `&`: browsers request `&`")]
    EscapedAmpersand,
    /// A character in the path of a URL or prefix that is invisible or changes the direction of text.
    #[error("the {noun} has an invisible character at character {at}, U+{code:04X}")]
    Invisible {
        /// What contains it.
        noun: &'static str,
        /// Its code point.
        code: u32,
        /// Its position, counted from 1.
        at: usize,
    },
    /// A non-ASCII host. How the API interprets it is not documented.
    #[error(
        "the host is not ASCII, and whether the API converts it is not documented; browsers use its `xn--` form"
    )]
    HostNotAscii,
    /// A country in lowercase in `CF-IPCountry`, such as `us`.
    #[error(
        "`CF-IPCountry: {found}` is not in capitals, as the header is and every example of the documentation"
    )]
    CountryNotCapitals {
        /// The value.
        found: String,
    },
    /// A port after a host. How the API interprets it is not documented.
    #[error(
        "a host is matched as a whole, but {} has a port; {} is probably meant",
        quote(found),
        quote(meant)
    )]
    Port {
        /// The entry.
        found: String,
        /// The host without the port.
        meant: String,
    },
    /// A wildcard in the path of a prefix. How the API interprets it is not documented.
    #[error("`*` is not documented to be a wildcard in a prefix: expect it to match nothing but a `*`")]
    WildcardInPrefix,
    /// A tag that looks like a JSON array or object. It is valid, but it is not a list.
    #[error("the tag looks like JSON and is taken as one tag, with its brackets and quotes")]
    TagIsJson,
    /// A tag in quotes, which are valid characters of a tag.
    #[error("the quotes around the tag are taken as part of it")]
    TagIsQuoted,
    /// A host longer than the limit in the API's old error tables.
    #[error("a host of {chars} characters: the API used to refuse more than 200 (code 1114)")]
    LongHost {
        /// The number of characters.
        chars: usize,
    },
}

/// Warns about a path segment that browsers resolve.
fn warn_of_dot_segment(path: &str, warn: &mut dyn FnMut(Warning)) {
    // Almost no path has one.
    if !bytes::has_pair(path.as_bytes(), b'/', b'.') {
        return;
    }
    let found =
        path.split('/').skip(1).find_map(|segment| [".", ".."].into_iter().find(|dots| *dots == segment));
    if let Some(segment) = found {
        warn(Warning::DotSegment { segment });
    }
}

/// Warns about the first invisible character.
fn warn_of_invisible(noun: &'static str, text: &str, warn: &mut dyn FnMut(Warning)) {
    if let Some((index, char)) = text.chars().enumerate().find(|(_, char)| is_invisible(*char)) {
        warn(Warning::Invisible { noun, code: u32::from(char), at: index + 1 });
    }
}

/// The first character that no requested URL can contain, and its position counted from 1: white space, a control
/// character or a backslash.
///
/// By the URL standard, browsers remove, encode or replace each of them
/// (<https://url.spec.whatwg.org/#concept-basic-url-parser>), so no cache key contains one.
fn forbidden(text: &str) -> Option<(usize, char)> {
    forbidden_among(bytes::sorts(text.as_bytes()), text)
}

/// Like [`forbidden`], for a text whose bytes have these [`sorts`](bytes::sorts).
fn forbidden_among(sorts: u8, text: &str) -> Option<(usize, char)> {
    // Almost no text has one.
    if sorts & (bytes::UNPRINTABLE | bytes::BACKSLASH) == 0 {
        return None;
    }
    let is_forbidden = |char: char| char.is_whitespace() || char.is_control() || char == '\\';
    text.chars().enumerate().find(|(_, char)| is_forbidden(*char)).map(|(index, char)| (index + 1, char))
}

/// The first character that is not allowed in a host name, and its index. Each kind handles `*` separately.
fn not_in_host(host: &str) -> Option<(usize, char)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    if host.bytes().all(is_part) {
        return stray_dot(host);
    }
    let is_address = host.starts_with('[') && host.ends_with(']');
    let in_no_host = |char: char| {
        let is_ascii_part = char.is_ascii() && (is_part(char as u8) || (is_address && "[]:".contains(char)));
        !is_ascii_part && (char.is_ascii() || char.is_whitespace() || is_invisible(char))
    };
    host.chars().enumerate().find(|(_, char)| in_no_host(*char)).or_else(|| stray_dot(host))
}

/// The first dot of a host without a name before it. A trailing dot is allowed.
fn stray_dot(host: &str) -> Option<(usize, char)> {
    let at = if host.starts_with('.') {
        0
    } else {
        host.as_bytes().windows(2).position(|pair| pair == b"..")? + 1
    };
    Some((host[..at].chars().count(), '.'))
}

/// A description of a character, with its article.
fn name_of(char: char) -> Cow<'static, str> {
    Cow::Borrowed(match char {
        ' ' => "a space",
        '\t' => "a tab",
        '\n' | '\r' => "a line break",
        '\0' => "a NUL character",
        '\\' => "a backslash",
        '.' => "a dot without a name before it",
        char if char.is_control() => {
            return Cow::Owned(alloc::format!("a control character (U+{:04X})", u32::from(char)));
        }
        char if char.is_whitespace() => {
            return Cow::Owned(alloc::format!("white space (U+{:04X})", u32::from(char)));
        }
        char if is_invisible(char) => {
            return Cow::Owned(alloc::format!("an invisible character (U+{:04X})", u32::from(char)));
        }
        char => return Cow::Owned(alloc::format!("`{char}`")),
    })
}

/// A suggestion for a character found by [`forbidden`] or [`not_in_host`]. `is_valid` returns whether a text is an
/// entry.
fn cure_of_character(noun: &str, found: &str, char: char, is_valid: impl Fn(&str) -> bool) -> Option<String> {
    let is_unseen = |char: char| char.is_whitespace() || is_invisible(char);
    let trimmed = found.trim_matches(is_unseen);
    if trimmed.len() < found.len() && is_valid(trimmed) {
        return Some(alloc::format!("remove the characters around it: {}", quote(trimmed)));
    }
    let is_separator = |char: char| char.is_whitespace() || matches!(char, '\0' | ',' | ';' | '|');
    let mut parts = found.split(is_separator).filter(|part| !part.is_empty());
    let is_list = is_separator(char)
        && parts.clone().count() > 1
        && parts.all(|part| part.contains('.') && is_valid(part));
    if is_list {
        return Some(alloc::format!("give each {noun} as a separate argument or line"));
    }
    match char {
        '\\' => {
            let meant = found.replace('\\', "/");
            is_valid(&meant).then(|| alloc::format!("browsers request {}", quote(&meant)))
        }
        char if char.is_whitespace() => {
            let mut meant = String::new();
            for char in trimmed.chars() {
                if char.is_whitespace() && !char.is_control() {
                    let mut bytes = [0; 4];
                    for byte in char.encode_utf8(&mut bytes).bytes() {
                        meant.push_str(&alloc::format!("%{byte:02X}"));
                    }
                } else {
                    meant.push(char);
                }
            }
            is_valid(&meant)
                .then(|| alloc::format!("if it belongs there, browsers request {}", quote(&meant)))
        }
        _ => None,
    }
}

/// The number of bytes of a JSON string with quotes and escapes, exactly as `serde_json` writes it.
#[inline(never)]
fn json_string_bytes(text: &str) -> usize {
    if !needs_escape(text) {
        return 2 + text.len();
    }
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0x00..=0x1f => 5,
        _ => 0,
    });
    2 + text.len() + escapes.sum::<usize>()
}

/// Returns a text, if a JSON string contains it without escapes.
fn unescaped(text: &str) -> Option<&str> {
    (!needs_escape(text)).then_some(text)
}

/// Returns whether JSON needs escapes for a text.
fn needs_escape(text: &str) -> bool {
    bytes::sorts(text.as_bytes()) & bytes::ESCAPED != 0
}
