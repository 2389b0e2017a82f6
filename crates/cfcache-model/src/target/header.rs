//! A header of a cache key.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde::Serializer;

use crate::InvalidInput;
use crate::target::Warning;
use crate::text::quote;

/// The values that the API documents for `CF-Device-Type`.
pub const DEVICE_TYPES: [&str; 3] = ["mobile", "desktop", "tablet"];

/// The value of `CF-IPCountry` for the Tor network, the only one that is not two letters.
///
/// Source: <https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-ipcountry>.
const TOR: &str = "T1";

/// A header that is part of a file's cache key and is therefore needed to purge it.
///
/// - The name is an HTTP field name in the given case.
/// - The value has no control characters and no surrounding blanks.
/// - `CF-Device-Type`, `CF-IPCountry` and `Origin` have values of the documented form.
///
/// Other names are passed on: a custom cache key may contain any header. Source:
/// <https://developers.cloudflare.com/cache/how-to/purge-cache/purge-cache-key/>.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKeyHeader {
    name: String,
    value: String,
}

impl CacheKeyHeader {
    /// Creates a header.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the name is not a field name, or if the value does not have the form documented for that
    /// name.
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidInput> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(InvalidInput::new(alloc::format!(
                "{} is not the name of a header: a name has letters, digits and `-`",
                quote(name)
            )));
        }
        if let Some(index) = value.chars().position(char::is_control) {
            return Err(InvalidInput::new(alloc::format!(
                "the value of {} has a control character at character {}",
                quote(name),
                index + 1
            )));
        }
        // No cache key contains such blanks.
        if value.trim_matches([' ', '\t']) != value {
            let message =
                alloc::format!("the value of {} has a blank around it: {}", quote(name), quote(value));
            return Err(InvalidInput::new(message).with_cure(write(value.trim())));
        }
        check_value(name, value)?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Parses `NAME: VALUE`, the format of `curl`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if there is no colon, or for the reasons of [`CacheKeyHeader::new`].
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let Some((name, value)) = text.split_once(':') else {
            let message = alloc::format!("{} is not a header: it is written `NAME: VALUE`", quote(text));
            let meant =
                text.split_once('=').and_then(|(name, value)| Self::new(name.trim(), value.trim()).ok());
            let cure = meant.and_then(|header| write(&alloc::format!("{}: {}", header.name, header.value)));
            return Err(InvalidInput::new(message).with_cure(cure));
        };
        Self::new(name.trim(), value.trim_matches([' ', '\t']))
    }

    /// The name in the given case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns whether this header has that name; case-insensitive.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub(super) fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        if self.is("CF-IPCountry") && self.value.bytes().any(|byte| byte.is_ascii_lowercase()) {
            warn(Warning::CountryNotCapitals { found: self.value.clone() });
        }
    }
}

fn check_value(name: &str, value: &str) -> Result<(), InvalidInput> {
    if name.eq_ignore_ascii_case("CF-Device-Type") && !DEVICE_TYPES.contains(&value) {
        let lower = value.trim().to_ascii_lowercase();
        let cure = if DEVICE_TYPES.contains(&lower.as_str()) { write(&lower) } else { None };
        let message = alloc::format!(
            "{} is not a value of `CF-Device-Type`: it is one of `mobile`, `desktop`, `tablet`",
            quote(value)
        );
        return Err(InvalidInput::new(message).with_cure(cure));
    }
    let is_code = value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic());
    if name.eq_ignore_ascii_case("CF-IPCountry") && !is_code && value != TOR {
        return Err(InvalidInput::new(alloc::format!(
            "{} is not a value of `CF-IPCountry`: it is two letters, such as `US`, or `T1` for Tor",
            quote(value)
        )));
    }
    if name.eq_ignore_ascii_case("Origin")
        && let Some((rule, meant)) = broken_origin_rule(value)
    {
        let message = alloc::format!("{} is not a value of `Origin`: {rule}", quote(value));
        let cure = meant.and_then(valid_origin).and_then(|meant| write(&meant));
        return Err(InvalidInput::new(message).with_cure(cure));
    }
    Ok(())
}

fn write(meant: &str) -> Option<String> {
    Some(alloc::format!("write {}", quote(meant)))
}

/// The rule of an `Origin` that a value breaks, and the value that is probably meant. An `Origin` is a scheme and a
/// host; the port is omitted if it is the scheme's default.
fn broken_origin_rule(value: &str) -> Option<(&'static str, Option<String>)> {
    let Some((scheme, rest)) = value.split_once("://").filter(|(scheme, _)| !scheme.is_empty()) else {
        let meant = value.contains('.').then(|| alloc::format!("https://{}", value.trim_start_matches('/')));
        return Some(("it is a scheme and a host, such as `https://www.example.com`", meant));
    };
    if let Some(end) = rest.find(['/', '?', '#']) {
        let meant = alloc::format!("{scheme}://{}", &rest[..end]);
        return Some(("nothing follows the host and port", Some(meant)));
    }
    let (host, port) = match rest.rsplit_once(':') {
        // A colon in brackets is part of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if host.is_empty() {
        return Some(("a host must follow the `://`", None));
    }
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => "80",
        "https" => "443",
        // Other schemes (for example of a browser extension) are passed on, because nothing is documented about them.
        _ => return None,
    };
    (port == Some(default_port)).then(|| {
        let rule = "the port is left out where it is the scheme's own (80 for http, 443 for https)";
        (rule, Some(alloc::format!("{scheme}://{host}")))
    })
}

/// Removes surplus parts of an `Origin`; returns `None` if the result is not valid.
fn valid_origin(mut value: String) -> Option<String> {
    // Removes a path, and the port before it; more is not worth a suggestion.
    for _ in 0..2 {
        match broken_origin_rule(&value) {
            Some((_, Some(meant))) => value = meant,
            _ => break,
        }
    }
    broken_origin_rule(&value).is_none().then_some(value)
}

/// Encodes headers as one object, with the names in the given order.
pub(super) fn serialize<S: Serializer>(headers: &[CacheKeyHeader], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|header| (&header.name, &header.value)))
}
