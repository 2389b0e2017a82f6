//! A URL prefix.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::fmt;

use crate::InvalidInput;
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
    /// [`InvalidInput`] if it has a scheme, a query, a fragment, no host, too many separators, or a character that no
    /// request can have there.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        check(text).map_err(|invalid| invalid.with_cure(cure(text)))?;
        Ok(Self(text.into()))
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

fn check(text: &str) -> Result<(), InvalidInput> {
    let invalid = |message: String| Err(InvalidInput::new(message));
    if text.is_empty() {
        return Err(InvalidInput::new("the prefix is empty"));
    }
    if after_scheme(text).is_some() {
        return invalid(alloc::format!(
            "the prefix {found} has a scheme: a prefix begins with the host",
            found = quote(text)
        ));
    }
    if let Some((path, part)) = before_query(text) {
        let at = path.chars().count() + 1;
        return invalid(alloc::format!(
            "the prefix {found} has a {part} at character {at}: a prefix is a host and a path",
            found = quote(text)
        ));
    }
    let no_host = || {
        alloc::format!(
            "the prefix {found} has no host: a prefix begins with one, such as `www.example.com/foo`",
            found = quote(text)
        )
    };
    if text.starts_with('/') {
        return invalid(no_host());
    }
    if let Some((at, char)) = forbidden(text) {
        return invalid(alloc::format!(
            "the prefix {found} has {} at character {at}, and no visitor's request has one",
            name_of(char),
            found = quote(text)
        ));
    }
    let host = text.split('/').next().unwrap_or_default();
    if host.contains('*') {
        return invalid(alloc::format!(
            "the host of the prefix {found} has `*`, and no host name has one",
            found = quote(text)
        ));
    }
    let name = without_port(host);
    if name.is_empty() {
        return invalid(no_host());
    }
    if let Some((index, char)) = not_in_host(name) {
        return invalid(alloc::format!(
            "the host of {found} has {} at character {}, and no host name has one",
            name_of(char),
            index + 1,
            found = quote(text)
        ));
    }
    match text.bytes().filter(|byte| *byte == b'/').count() {
        separators if separators > MAX_SEPARATORS => invalid(alloc::format!(
            "the prefix {found} has {separators} `/`, and the API takes at most {MAX_SEPARATORS}",
            found = quote(text)
        )),
        _ => Ok(()),
    }
}

/// The text after a scheme, if there is one before the path, the query and the fragment.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    // After the first `/` it is part of the path, as in `example.com/go/https://…`.
    (!scheme.contains(['/', '?', '#'])).then_some(rest)
}

/// The text before a query or fragment, and which of the two it is.
fn before_query(text: &str) -> Option<(&str, &'static str)> {
    let at = text.find(['?', '#'])?;
    Some((&text[..at], if text[at..].starts_with('?') { "query" } else { "fragment" }))
}

/// A suggestion for a text that is not a prefix.
fn cure(text: &str) -> Option<String> {
    let leave_out = |what: &str, meant: &str| {
        check(meant).ok()?;
        Some(alloc::format!("leave out the {what}: {}", quote(meant)))
    };
    if let Some(rest) = after_scheme(text) {
        return match before_query(rest) {
            Some((meant, _)) => leave_out("scheme and the text after the path", meant),
            None => leave_out("scheme", rest),
        };
    }
    if let Some((meant, part)) = before_query(text) {
        return leave_out(part, meant);
    }
    if text.starts_with("//") {
        return leave_out("`/` before the host", text.trim_start_matches('/'));
    }
    if text.starts_with('/') {
        let meant = alloc::format!("www.example.com/{}", text.trim_start_matches('/'));
        return Some(alloc::format!("put the host before it, as in {}", quote(&meant)));
    }
    let host = text.split('/').next().unwrap_or_default();
    let name = without_port(host);
    if let Some((_, char)) = forbidden(text) {
        return cure_of_character("prefix", text, char, |text| check(text).is_ok());
    }
    if host.contains('*') {
        return Some("purge the prefix of each host".to_owned());
    }
    if let Some((_, char)) = not_in_host(name) {
        return cure_of_character("prefix", text, char, |text| check(text).is_ok());
    }
    let (end, _) = text.match_indices('/').nth(MAX_SEPARATORS).filter(|_| !name.is_empty())?;
    let at = text[..end].chars().count() + 1;
    Some(alloc::format!("remove the part that begins at character {at}; that covers more files"))
}
