//! A host name.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::fmt;

use crate::target::{TargetKind, Warning, warn_of_blank};
use crate::text::{clip, is_invisible};

/// A host whose files are all to go.
///
/// - It is not empty. The API documents no other rule for a host, so everything else is passed on, with a
///   [`Warning`] where it can hardly be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Parses a host.
    ///
    /// # Errors
    ///
    /// [`InvalidHost::Empty`] where there is nothing.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        match text {
            "" => Err(InvalidHost::Empty),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The host, as it was given.
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

    fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        let is_around = |char: char| char.is_whitespace() || is_invisible(char);
        let trimmed = self.0.trim_matches(is_around);
        let without_scheme = trimmed.split_once("://").map_or(trimmed, |(_, rest)| rest);
        let host = without_scheme.split(['/', '?', '#']).next().unwrap_or("");
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                name
            }
            _ => host,
        };
        let what = if self.0.trim() != self.0 {
            Some("a blank around it")
        } else if trimmed.len() != self.0.len() {
            Some("an invisible character around it")
        } else if without_scheme.len() != trimmed.len() {
            Some("a scheme")
        } else if host.len() != without_scheme.len() {
            Some("more than a host")
        } else if name.len() != host.len() {
            Some("a port")
        } else {
            None
        };
        match what {
            Some(what) if !name.is_empty() => {
                warn(Warning::NotOnlyHost { found: clip(&self.0, 80), what, meant: clip(name, 80) });
            }
            Some(_) => warn(Warning::NoHost { found: clip(&self.0, 80) }),
            None => {}
        }
        warn_of_blank(Self::NOUN, trimmed, warn);
        let in_no_host = |char: char| char.is_ascii_punctuation() && !"-._:[]*/?#".contains(char);
        if let Some((index, char)) = self.0.chars().enumerate().find(|(_, char)| in_no_host(*char)) {
            warn(Warning::NotInHost { char, at: index + 1 });
        }
        if self.0.contains('*') {
            warn(Warning::Wildcard { noun: Self::NOUN });
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
    /// There is nothing.
    #[error("the host is empty")]
    Empty,
}

impl InvalidHost {
    /// What was probably meant: of nothing, nothing can be told.
    #[must_use]
    pub const fn cure(&self) -> Option<String> {
        None
    }
}
