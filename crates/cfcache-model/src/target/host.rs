//! A host name.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::shared_text::SharedText;
use crate::target::{
    TargetKind, Warning, cure_of_character, forbidden, name_of, not_in_host, unescaped, without_port,
};
use crate::text::quote;

/// File extensions, which are hardly ever the top-level domain of a site.
const FILE_ENDINGS: [&str; 56] = [
    "asp", "aspx", "avif", "bak", "bin", "bmp", "cfg", "conf", "css", "csv", "doc", "docx", "eot", "exe",
    "flac", "gif", "gz", "htm", "html", "ico", "jpeg", "jpg", "js", "json", "jsonl", "jsp", "jsx", "list",
    "lock", "log", "map", "mjs", "ndjson", "ogg", "otf", "pdf", "php", "png", "rss", "svg", "tar", "tif",
    "tiff", "toml", "ts", "tsv", "ttf", "txt", "wasm", "webm", "webp", "woff", "xml", "yaml", "yml", "zip",
];

/// A host whose files are to be purged.
///
/// - It is a host name or an address, optionally with a port, without scheme, path, wildcard, white space or other
///   characters that are not allowed in a host name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(SharedText);

impl Host {
    /// Parses a host.
    ///
    /// # Errors
    ///
    /// [`InvalidHost`] if the text is empty or not a host.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let found = || text.to_owned();
        if text.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if text.contains("://") {
            return Err(InvalidHost::Scheme { found: found() });
        }
        if let Some((at, char)) = forbidden(text) {
            return Err(InvalidHost::Character { found: found(), char, at });
        }
        if text.contains(['/', '?', '#']) {
            return Err(InvalidHost::Path { found: found() });
        }
        if text.contains('*') {
            return Err(InvalidHost::Wildcard { found: found() });
        }
        let name = without_port(text);
        if name.is_empty() {
            return Err(InvalidHost::NoName { found: found() });
        }
        // An IPv6 address without brackets contains colons.
        let is_bare_address = name.parse::<core::net::Ipv6Addr>().is_ok();
        if let Some((index, char)) = not_in_host(name).filter(|_| !is_bare_address) {
            return Err(InvalidHost::Character { found: found(), char, at: index + 1 });
        }
        Ok(Self(text.into()))
    }

    /// Returns whether a text is probably a host name or an address, and not a file name, a version or a tag with a
    /// dot.
    ///
    /// Use it for suggestions only, because it is not exact: `localhost` is a host as well.
    #[must_use]
    pub fn is_plausible(text: &str) -> bool {
        let name = without_port(text);
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.parse::<core::net::Ipv4Addr>().is_ok() {
            return true;
        }
        let Some((first, last)) = name.rsplit_once('.') else { return false };
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && label.chars().all(|char| char.is_alphanumeric() || matches!(char, '-' | '_'))
        };
        let is_top = last.starts_with("xn--") || (last.len() >= 2 && last.chars().all(char::is_alphabetic));
        first.split('.').all(is_label)
            && is_top
            && !FILE_ENDINGS.iter().any(|ending| last.eq_ignore_ascii_case(ending))
    }

    /// The host as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TargetKind for Host {
    const FIELD: &'static str = "hosts";
    const WORD: &'static str = "hosts";
    const NOUN: &'static str = "host";

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn unescaped(&self) -> Option<&str> {
        unescaped(&self.0)
    }

    fn key(&self) -> SharedText {
        self.0.clone()
    }

    fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        let name = without_port(&self.0);
        if name.len() < self.0.len() {
            warn(Warning::Port { found: self.0.to_string(), meant: name.to_owned() });
        }
        if !name.is_ascii() {
            warn(Warning::HostNotAscii);
        }
        let chars = self.0.chars().count();
        if chars > 200 {
            warn(Warning::LongHost { chars });
        }
    }
}

/// Why a text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHost {
    /// It is empty.
    #[error("the host is empty")]
    Empty,
    /// It begins with a scheme.
    #[error("the host {} has a scheme: a host is a name, such as `www.example.com`", quote(found))]
    Scheme {
        /// The given text.
        found: String,
    },
    /// It is followed by a path, a query or a fragment.
    #[error("the host {} has more than a host: a host is a name, such as `www.example.com`", quote(found))]
    Path {
        /// The given text.
        found: String,
    },
    /// It contains a wildcard.
    #[error("the host {} has `*`, and no host name has one: each host is purged by its name", quote(found))]
    Wildcard {
        /// The given text.
        found: String,
    },
    /// It has a port but no name.
    #[error("{} has no host name in it", quote(found))]
    NoName {
        /// The given text.
        found: String,
    },
    /// It contains a character that is not allowed in a host name.
    #[error("the host {} has {} at character {at}, and no host name has one", quote(found), name_of(*char))]
    Character {
        /// The given text.
        found: String,
        /// The character.
        char: char,
        /// The position of the character, counted from 1.
        at: usize,
    },
}

impl InvalidHost {
    /// A suggestion, if there is a likely one.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        let (too_much, found) = match self {
            Self::Scheme { found } => ("scheme", found.split_once("://").map_or("", |(_, rest)| rest)),
            Self::Path { found } => ("path", found.as_str()),
            Self::Character { found, char, .. } => {
                return cure_of_character("host", found, *char, |text| Host::parse(text).is_ok());
            }
            Self::Empty | Self::Wildcard { .. } | Self::NoName { .. } => return None,
        };
        let meant = found.split(['/', '?', '#']).next().unwrap_or_default();
        let also = if matches!(self, Self::Scheme { .. }) && meant.len() < found.trim_end_matches('/').len() {
            " and the text after the host"
        } else {
            ""
        };
        let meant = Host::parse(meant).ok()?;
        Some(alloc::format!("leave out the {too_much}{also}: {}", quote(meant.as_str())))
    }
}
