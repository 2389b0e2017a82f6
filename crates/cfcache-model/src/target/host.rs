//! A host name.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::InvalidInput;
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
    /// [`InvalidInput`] if the text is empty or not a host.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        check(text).map_err(|invalid| invalid.with_cure(cure(text)))?;
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

fn check(text: &str) -> Result<(), InvalidInput> {
    let invalid = |message: String| Err(InvalidInput::new(message));
    if text.is_empty() {
        return Err(InvalidInput::new("the host is empty"));
    }
    if text.contains("://") {
        return invalid(alloc::format!(
            "the host {found} has a scheme: a host is a name, such as `www.example.com`",
            found = quote(text)
        ));
    }
    let odd = forbidden(text);
    if odd.is_none() && text.contains(['/', '?', '#']) {
        return invalid(alloc::format!(
            "the host {found} has more than a host: a host is a name, such as `www.example.com`",
            found = quote(text)
        ));
    }
    if odd.is_none() && text.contains('*') {
        return invalid(alloc::format!(
            "the host {found} has `*`, and no host name has one: each host is purged by its name",
            found = quote(text)
        ));
    }
    if without_port(text).is_empty() {
        return invalid(alloc::format!("{found} has no host name in it", found = quote(text)));
    }
    match odd.or_else(|| odd_in_name(text)) {
        Some((at, char)) => invalid(alloc::format!(
            "the host {found} has {} at character {at}, and no host name has one",
            name_of(char),
            found = quote(text)
        )),
        None => Ok(()),
    }
}

/// The first character that no host name has, and its position counted from 1.
fn odd_in_name(text: &str) -> Option<(usize, char)> {
    let name = without_port(text);
    // An IPv6 address without brackets contains colons.
    let is_bare_address = name.parse::<core::net::Ipv6Addr>().is_ok();
    not_in_host(name).filter(|_| !is_bare_address).map(|(index, char)| (index + 1, char))
}

/// A suggestion for a text that is not a host.
fn cure(text: &str) -> Option<String> {
    let leave_out = |what: &str, rest: &str| {
        let meant = rest.split(['/', '?', '#']).next().unwrap_or_default();
        check(meant).ok()?;
        Some(alloc::format!("leave out the {what}: {}", quote(meant)))
    };
    if let Some((_, rest)) = text.split_once("://") {
        let has_path = rest.trim_end_matches('/').contains(['/', '?', '#']);
        return leave_out(if has_path { "scheme and the text after the host" } else { "scheme" }, rest);
    }
    let odd = forbidden(text);
    if odd.is_none() && text.contains(['/', '?', '#']) {
        return leave_out("path", text);
    }
    let (_, char) = odd.or_else(|| odd_in_name(text))?;
    cure_of_character("host", text, char, |text| check(text).is_ok())
}
