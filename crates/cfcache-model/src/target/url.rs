//! The URL of a single file.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use crate::target::Warning;
use crate::text::quote;

/// The URL of a cached file, as its visitors ask for it.
///
/// - It begins with `http://` or `https://` (in any case) and has a host.
/// - Its bytes are those that were given: nothing is rewritten, normalised, decoded or encoded, because they are the
///   cache key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PurgeUrl(String);

impl PurgeUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] where there is no `http` or `https`, or no host.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let Some(rest) = after_scheme(text) else {
            return Err(InvalidUrl::scheme(text));
        };
        match host(rest) {
            "" => Err(InvalidUrl::NoHost { found: text.to_owned() }),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The URL, byte for byte as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host in it, without user and port; of an IPv6 address with its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        after_scheme(&self.0).map_or("", host)
    }

    pub(super) fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        if self.0.contains('*') {
            warn(Warning::WildcardInUrl);
        }
        if let Some((_, fragment)) = self.0.split_once('#') {
            warn(Warning::Fragment { fragment: crate::text::clip(fragment, 40) });
        }
        let blank = |char: char| char.is_whitespace() || char.is_control();
        if let Some((index, char)) = self.0.chars().enumerate().find(|(_, char)| blank(*char)) {
            let found = match char {
                ' ' => "space",
                '\t' => "tab",
                char if char.is_control() => "control character",
                _ => "blank",
            };
            warn(Warning::Blank { found, at: index + 1 });
        }
        if !self.host().is_ascii() {
            warn(Warning::HostNotAscii);
        }
    }
}

impl fmt::Display for PurgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What follows `http://` or `https://`.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    (scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")).then_some(rest)
}

/// The host of what follows the scheme: up to the path, without user and port.
fn host(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or("");
    let host_and_port = authority.rsplit('@').next().unwrap_or("");
    match host_and_port.find(']') {
        Some(end) if host_and_port.starts_with('[') => &host_and_port[..=end],
        _ => host_and_port.split(':').next().unwrap_or(""),
    }
}

/// Why a text is not the URL of a file that can be purged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// There is nothing.
    #[error("the URL is empty")]
    Empty,
    /// There is no scheme at all.
    #[error("{} has no scheme: a URL begins with `https://` or `http://`", quote(found))]
    NoScheme {
        /// What was given.
        found: String,
    },
    /// The scheme is one that is never cached.
    #[error("{} begins with {}: only `https://` and `http://` URLs are cached", quote(found), quote(scheme))]
    OtherScheme {
        /// What was given.
        found: String,
        /// Its scheme, with `://`.
        scheme: String,
    },
    /// There is a scheme and nothing behind it.
    #[error("{} has no host: one must follow the `://`", quote(found))]
    NoHost {
        /// What was given.
        found: String,
    },
}

impl InvalidUrl {
    fn scheme(text: &str) -> Self {
        let found = text.to_owned();
        match text.split_once("://") {
            // A `://` behind the path or query is part of them, as in `example.com/?next=https://…`.
            Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
                Self::OtherScheme { found, scheme: alloc::format!("{scheme}://") }
            }
            _ => Self::NoScheme { found },
        }
    }

    /// What was probably meant, where that can be told.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        let trimmed = |text: &str| {
            let trimmed = text.trim();
            let changed = trimmed != text && PurgeUrl::parse(trimmed).is_ok();
            changed.then(|| alloc::format!("leave out the blank around it: {}", quote(trimmed)))
        };
        match self {
            Self::Empty | Self::NoHost { .. } => None,
            Self::NoScheme { found } => trimmed(found).or_else(|| {
                let rest = found.trim_start_matches('/');
                let plausible = rest.contains('.') && !rest.starts_with('.') && !rest.contains(' ');
                plausible.then(|| alloc::format!("write it as the browser shows it: `https://{rest}`"))
            }),
            Self::OtherScheme { found, .. } => trimmed(found),
        }
    }
}
