//! A URL prefix.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::fmt;

use crate::shared_text::SharedText;
use crate::target::{
    TargetKind, Warning, cure_of_character, forbidden, name_of, not_in_host, unescaped, warn_of_dot_segment,
    warn_of_invisible, without_port,
};
use crate::text::quote;

/// The maximum number of `/` in a prefix.
///
/// Source: <https://developers.cloudflare.com/cache/how-to/purge-cache/purge_by_prefix/>, 2026.
pub const MAX_SEPARATORS: usize = 31;

/// The beginning of the URLs to purge, starting with the host: `www.example.com/foo`.
///
/// - It has no scheme, no query and no fragment, and begins with a host.
/// - It has at most [`MAX_SEPARATORS`] `/`.
/// - It has no white space, control characters or backslashes, and its host has no wildcard.
///
/// It is not documented whether `…/foo` includes `…/food`, and what a trailing `/` means.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(SharedText);

impl Prefix {
    /// Parses a prefix.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`] if it has a scheme, a query, a fragment, no host, too many separators, or a character that no
    /// request can have there.
    pub fn parse(text: &str) -> Result<Self, InvalidPrefix> {
        let found = || text.to_owned();
        if text.is_empty() {
            return Err(InvalidPrefix::Empty);
        }
        let path = text.split(['?', '#']).next().unwrap_or("");
        // After the first `/` it is part of the path, as in `example.com/go/https://…`.
        if path.split_once("://").is_some_and(|(scheme, _)| !scheme.contains('/')) {
            return Err(InvalidPrefix::Scheme { found: found() });
        }
        if let Some(index) = text.chars().position(|char| char == '?' || char == '#') {
            let part = if text[path.len()..].starts_with('?') { "query" } else { "fragment" };
            return Err(InvalidPrefix::QueryOrFragment { found: found(), part, at: index + 1 });
        }
        if text.starts_with('/') {
            return Err(InvalidPrefix::NoHost { found: found() });
        }
        if let Some((at, char)) = forbidden(text) {
            return Err(InvalidPrefix::Character { found: found(), char, at });
        }
        let host = text.split('/').next().unwrap_or_default();
        if host.contains('*') {
            return Err(InvalidPrefix::Wildcard { found: found() });
        }
        let name = without_port(host);
        if name.is_empty() {
            return Err(InvalidPrefix::NoHost { found: found() });
        }
        if let Some((index, char)) = not_in_host(name) {
            return Err(InvalidPrefix::HostCharacter { found: found(), char, at: index + 1 });
        }
        match text.bytes().filter(|byte| *byte == b'/').count() {
            separators if separators > MAX_SEPARATORS => {
                Err(InvalidPrefix::Separators { found: found(), separators })
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// The prefix as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TargetKind for Prefix {
    const FIELD: &'static str = "prefixes";
    const WORD: &'static str = "prefixes";
    const NOUN: &'static str = "prefix";

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
        if self.0.contains('*') {
            warn(Warning::WildcardInPrefix);
        }
        warn_of_dot_segment(&self.0, warn);
        warn_of_invisible(Self::NOUN, &self.0, warn);
        if !self.0.split('/').next().unwrap_or("").is_ascii() {
            warn(Warning::HostNotAscii);
        }
    }
}

/// Why a text is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPrefix {
    /// It is empty.
    #[error("the prefix is empty")]
    Empty,
    /// It begins with a scheme.
    #[error("the prefix {} has a scheme: a prefix begins with the host", quote(found))]
    Scheme {
        /// The given text.
        found: String,
    },
    /// It begins with a path and has no host.
    #[error(
        "the prefix {} has no host: a prefix begins with one, such as `www.example.com/foo`",
        quote(found)
    )]
    NoHost {
        /// The given text.
        found: String,
    },
    /// It has a query or a fragment, which prefixes do not have.
    #[error("the prefix {} has a {part} at character {at}: a prefix is a host and a path", quote(found))]
    QueryOrFragment {
        /// The given text.
        found: String,
        /// `query` or `fragment`.
        part: &'static str,
        /// Its position, counted from 1.
        at: usize,
    },
    /// It contains white space, a control character or a backslash.
    #[error(
        "the prefix {} has {} at character {at}, and no visitor's request has one",
        quote(found),
        name_of(*char)
    )]
    Character {
        /// The given text.
        found: String,
        /// The character.
        char: char,
        /// The position of the character, counted from 1.
        at: usize,
    },
    /// It contains a character that is not allowed in a host name.
    #[error("the host of {} has {} at character {at}, and no host name has one", quote(found), name_of(*char))]
    HostCharacter {
        /// The given text.
        found: String,
        /// The character.
        char: char,
        /// The position of the character, counted from 1.
        at: usize,
    },
    /// Its host contains a wildcard.
    #[error("the host of the prefix {} has `*`, and no host name has one", quote(found))]
    Wildcard {
        /// The given text.
        found: String,
    },
    /// It has too many separators.
    #[error("the prefix {} has {separators} `/`, and the API takes at most {MAX_SEPARATORS}", quote(found))]
    Separators {
        /// The given text.
        found: String,
        /// The number of `/`.
        separators: usize,
    },
}

impl InvalidPrefix {
    /// A suggestion, if there is a likely one.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        let (too_much, found) = match self {
            Self::Empty => return None,
            Self::Character { found, char, .. } | Self::HostCharacter { found, char, .. } => {
                return cure_of_character("prefix", found, *char, |text| Prefix::parse(text).is_ok());
            }
            Self::Wildcard { .. } => return Some("purge the prefix of each host".to_owned()),
            Self::Scheme { found } => ("scheme", found.split_once("://").map_or("", |(_, rest)| rest)),
            Self::NoHost { found } => ("`/` before the host", found.trim_start_matches('/')),
            Self::QueryOrFragment { found, part, .. } => (*part, found.as_str()),
            Self::Separators { found, .. } => {
                let end = found.match_indices('/').nth(MAX_SEPARATORS).map_or(0, |(index, _)| index);
                let at = found[..end].chars().count() + 1;
                return Some(alloc::format!(
                    "remove the part that begins at character {at}; that covers more files"
                ));
            }
        };
        if matches!(self, Self::NoHost { found } if !found.starts_with('/')) {
            return None;
        }
        if matches!(self, Self::NoHost { found } if !found.starts_with("//")) {
            let meant = alloc::format!("www.example.com/{found}");
            return Some(alloc::format!("put the host before it, as in {}", quote(&meant)));
        }
        let meant = found.split(['?', '#']).next().unwrap_or("");
        let also = match self {
            Self::Scheme { .. } if meant.len() < found.len() => " and the text after the path",
            _ => "",
        };
        let meant = Prefix::parse(meant).ok()?;
        Some(alloc::format!("leave out the {too_much}{also}: {}", quote(meant.as_str())))
    }
}
