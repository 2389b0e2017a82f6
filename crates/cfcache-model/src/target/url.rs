//! The URL of a single file.

use alloc::string::String;
use core::fmt;

use crate::InvalidInput;
use crate::bytes::{self, AMPERSAND, DOT, ESCAPED, HOST, MARK, SLASH_DOT, UNPRINTABLE};
use crate::shared_text::SharedText;
use crate::target::{
    Host, Warning, cure_of_character, forbidden, forbidden_among, name_of, not_in_host, warn_of_dot_segment,
    warn_of_invisible,
};
use crate::text::{is_invisible, quote};

/// The URL of a cached file, as visitors request it.
///
/// - It begins with `http://` or `https://` (in any case) and has a host.
/// - It has no white space, control characters or backslashes, which no visitor's request contains.
/// - Its bytes are as given: nothing is rewritten, normalized, decoded or encoded, because they are the cache key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PurgeUrl {
    /// With the classes of its bytes, so that they need not be computed again.
    text: SharedText,
}

impl PurgeUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if there is no `http` or `https`, no host, or a character or a port that no request can contain.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let sorts = check(text)?;
        Ok(Self { text: SharedText::from(text).with_sorts(sorts) })
    }

    /// Parses a URL, and shares its text instead of copying it.
    ///
    /// # Errors
    ///
    /// As with [`parse`](Self::parse).
    #[inline]
    pub fn parse_shared(text: &SharedText) -> Result<Self, InvalidInput> {
        if text.is_plain_url() {
            return Ok(Self { text: text.clone() });
        }
        let sorts = check(text)?;
        Ok(Self { text: text.clone().with_sorts(sorts) })
    }

    /// Returns the text as a URL if [it is known to be one](SharedText::split_plain_lines), or else the text.
    #[inline]
    pub(crate) fn from_plain_line(text: SharedText) -> Result<Self, SharedText> {
        if text.is_plain_url() { Ok(Self { text }) } else { Err(text) }
    }

    /// The URL, byte for byte as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) const fn shared(&self) -> &SharedText {
        &self.text
    }

    /// Returns whether it certainly causes no warning: see [`MARK`] and [`AMPERSAND`].
    pub(crate) const fn is_plain(&self) -> bool {
        self.text.sorts() & (UNPRINTABLE | MARK | AMPERSAND | SLASH_DOT) == 0
    }

    /// Returns whether JSON needs escapes for it.
    pub(crate) const fn needs_escape(&self) -> bool {
        self.text.sorts() & ESCAPED != 0
    }

    /// Its host, without user and port; an IPv6 address has its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        after_scheme(&self.text).map_or("", host)
    }

    pub(super) fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        if self.text.sorts() & SLASH_DOT != 0 {
            let path = self.text.split(['?', '#']).next().unwrap_or_default();
            warn_of_dot_segment(path, warn);
        }
        if self.text.sorts() & MARK != 0 {
            if self.text.contains('*') {
                warn(Warning::WildcardInUrl);
            }
            if let Some((_, fragment)) = self.text.split_once('#') {
                warn(Warning::Fragment { fragment: crate::text::clip(fragment, 40) });
            }
            let authority = after_scheme(&self.text).and_then(|rest| rest.split(['/', '?', '#']).next());
            if authority.is_some_and(|authority| authority.contains('@')) {
                warn(Warning::UserInfo);
            }
        }
        if self.text.sorts() & AMPERSAND != 0 && self.text.contains("&amp;") {
            warn(Warning::EscapedAmpersand);
        }
        if self.text.sorts() & UNPRINTABLE != 0 {
            warn_of_invisible("URL", &self.text, warn);
            if !self.host().is_ascii() {
                warn(Warning::HostNotAscii);
            }
        }
    }
}

impl fmt::Display for PurgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PurgeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PurgeUrl").field(&self.text).finish()
    }
}

/// Checks a URL, and returns what is in it: [`bytes::sorts`], and [`SLASH_DOT`].
#[inline]
fn check(text: &str) -> Result<u8, InvalidInput> {
    match after_scheme(text) {
        // Nearly every URL is.
        Some(rest) if bytes::is_plain_url(rest.as_bytes()) => Ok(0),
        rest => check_odd(text, rest).map_err(|invalid| invalid.with_cure(cure(text))),
    }
}

/// Checks a URL byte by byte. `rest` is the part after the scheme.
#[cold]
fn check_odd(text: &str, rest: Option<&str>) -> Result<u8, InvalidInput> {
    if text.is_empty() {
        return Err(InvalidInput::new("the URL is empty"));
    }
    let Some(rest) = rest else {
        return Err(without_scheme(text));
    };
    let (plain, of_host) = plain_host(rest);
    let odd_host = if plain > 0 { None } else { Some(host(rest)) };
    if odd_host == Some("") {
        let message = alloc::format!("{} has no host: one must follow the `://`", quote(text));
        return Err(InvalidInput::new(message));
    }
    // The scheme contains only letters, `:` and `/`.
    let mut sorts = of_host | bytes::sorts(&rest.as_bytes()[plain..]);
    if let Some((at, char)) = forbidden_among(sorts, text) {
        let message = alloc::format!(
            "the URL {} has {} at character {at}, and no visitor's request has one",
            quote(text),
            name_of(char)
        );
        return Err(InvalidInput::new(message));
    }
    if let Some(host) = odd_host {
        check_host(text, host)?;
    }
    if bytes::has_pair(&rest.as_bytes()[plain..], b'/', b'.') {
        sorts |= SLASH_DOT;
    }
    Ok(sorts)
}

/// The length of the host at the start of `rest`, and the classes of its bytes, if it is a plain name without a user or
/// a port, as almost all are. Otherwise the length is 0.
fn plain_host(rest: &str) -> (usize, u8) {
    // Before the first name, treat the position like one after a dot.
    let (mut sorts, mut before) = (0, DOT);
    for (at, byte) in rest.bytes().enumerate() {
        let sort = bytes::sort(byte);
        if sort & HOST == 0 {
            return if matches!(byte, b'/' | b'?' | b'#') { (at, sorts) } else { (0, 0) };
        }
        // A dot without a name before it.
        if sort & before & DOT != 0 {
            return (0, 0);
        }
        sorts |= sort;
        before = sort;
    }
    (rest.len(), sorts)
}

/// The text after `http://` or `https://`.
#[inline]
fn after_scheme(text: &str) -> Option<&str> {
    after("https://", text).or_else(|| after("http://", text))
}

/// The text after `beginning`, which may have any case.
#[inline]
fn after<'a>(beginning: &str, text: &'a str) -> Option<&'a str> {
    // Almost always it has the same case.
    if let Some(rest) = text.strip_prefix(beginning) {
        return Some(rest);
    }
    let (first, rest) = text.split_at_checked(beginning.len())?;
    first.eq_ignore_ascii_case(beginning).then_some(rest)
}

/// The host in the text after the scheme: up to the path, without user and port.
fn host(rest: &str) -> &str {
    let (mut begin, mut end) = (0, rest.len());
    let (mut colon, mut bracket) = (None, None);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'/' | b'?' | b'#' | b'\\' => {
                end = at;
                break;
            }
            // The text before it was the user.
            b'@' => (begin, colon, bracket) = (at + 1, None, None),
            b':' => colon = colon.or(Some(at)),
            b']' => bracket = bracket.or(Some(at)),
            _ => {}
        }
    }
    match bracket.filter(|_| rest[begin..].starts_with('[')) {
        Some(bracket) => &rest[begin..=bracket],
        None => &rest[begin..colon.unwrap_or(end)],
    }
}

/// Validates a host that is not plain, and the port after it.
fn check_host(text: &str, host: &str) -> Result<(), InvalidInput> {
    let begin = host.as_ptr().addr() - text.as_ptr().addr();
    if let Some((index, char)) = not_in_host(host) {
        let at = text[..begin].chars().count() + index + 1;
        let message = alloc::format!(
            "the host of {} has {} at character {at}, and no host name has one",
            quote(text),
            name_of(char)
        );
        return Err(InvalidInput::new(message));
    }
    if !has_possible_port(&text[begin + host.len()..]) {
        let message =
            alloc::format!("{} has no valid port after the `:`: a port is a number up to 65535", quote(text));
        return Err(InvalidInput::new(message));
    }
    Ok(())
}

/// Returns whether the text after the host is empty, a path, or a valid port.
fn has_possible_port(behind_host: &str) -> bool {
    let Some(rest) = behind_host.strip_prefix(':') else { return true };
    let port = rest.split(['/', '?', '#']).next().unwrap_or_default();
    port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// The error for a text that begins with neither `https://` nor `http://`.
fn without_scheme(text: &str) -> InvalidInput {
    let found = quote(text);
    InvalidInput::new(match other_scheme(text) {
        Some(scheme) => alloc::format!(
            "{found} begins with {}: only URLs with `https://` or `http://` are cached",
            quote(scheme)
        ),
        None => alloc::format!("{found} does not begin with `https://` or `http://`"),
    })
}

/// The scheme of a text, with `://`. Files with another scheme than `https` and `http` are never cached.
fn other_scheme(text: &str) -> Option<&str> {
    let in_scheme = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.');
    let end = text.find("://")?;
    // A `://` after the start of the path or query is part of it, as in `example.com/?next=https://…`.
    (end > 0 && text[..end].chars().all(in_scheme)).then(|| &text[..end + 3])
}

/// A suggestion for a text that is not a URL.
fn cure(text: &str) -> Option<String> {
    let is_url = |text: &str| check_odd(text, after_scheme(text)).is_ok();
    if after_scheme(text).is_some() {
        let (_, char) = forbidden(text)?;
        return cure_of_character("URL", text, char, is_url);
    }
    if other_scheme(text).is_some() {
        return None;
    }
    let is_unseen = |char: char| char.is_whitespace() || is_invisible(char);
    let unpacked = text.trim_matches(|char| is_unseen(char) || "\"'`<>()[],;".contains(char));
    if after_scheme(unpacked).is_some() {
        return Some(alloc::format!("remove the characters around it: {}", quote(unpacked)));
    }
    let bare = text.trim_matches(is_unseen);
    for scheme in ["https:", "http:"] {
        if let Some(rest) = after(scheme, bare) {
            let meant = alloc::format!("{scheme}//{}", rest.trim_start_matches(['/', '\\']));
            let meant = meant.replace('\\', "/");
            return is_url(&meant).then(|| alloc::format!("write {}", quote(&meant)));
        }
    }
    if bare.starts_with('/') && !bare.starts_with("//") {
        let meant = alloc::format!("https://www.example.com{bare}");
        return Some(alloc::format!("put the scheme and the host before it, as in {}", quote(&meant)));
    }
    let rest = bare.trim_start_matches('/');
    let host = host(rest);
    // A text with a user before the host is more likely an e-mail address.
    let meant = alloc::format!("https://{rest}");
    (Host::is_plausible(host) && rest.starts_with(host) && is_url(&meant))
        .then(|| alloc::format!("write it as the browser shows it: {}", quote(&meant)))
}
