//! A header of a cache key.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde::Serializer;

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
    /// [`InvalidHeader`] if the name is not a field name, or if the value does not have the form documented for that
    /// name.
    pub fn new(name: &str, value: &str) -> Result<Self, InvalidHeader> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(InvalidHeader::Name { found: name.to_owned() });
        }
        if let Some(index) = value.chars().position(char::is_control) {
            return Err(InvalidHeader::ControlCharacter { name: name.to_owned(), at: index + 1 });
        }
        if value.trim_matches([' ', '\t']) != value {
            return Err(InvalidHeader::BlankAround { name: name.to_owned(), found: value.to_owned() });
        }
        check_value(name, value)?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// Parses `NAME: VALUE`, the format of `curl`.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] if there is no colon, or for the reasons of [`CacheKeyHeader::new`].
    pub fn parse(text: &str) -> Result<Self, InvalidHeader> {
        let Some((name, value)) = text.split_once(':') else {
            return Err(InvalidHeader::NoColon { found: text.to_owned() });
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

fn check_value(name: &str, value: &str) -> Result<(), InvalidHeader> {
    let found = || value.to_owned();
    if name.eq_ignore_ascii_case("CF-Device-Type") {
        return if DEVICE_TYPES.contains(&value) {
            Ok(())
        } else {
            Err(InvalidHeader::DeviceType { found: found() })
        };
    }
    if name.eq_ignore_ascii_case("CF-IPCountry") {
        let is_code = value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic());
        return if is_code || value == TOR { Ok(()) } else { Err(InvalidHeader::Country { found: found() }) };
    }
    if name.eq_ignore_ascii_case("Origin") {
        return check_origin(value);
    }
    Ok(())
}

/// Validates an `Origin`: a scheme and a host; the port is omitted if it is the scheme's default.
fn check_origin(value: &str) -> Result<(), InvalidHeader> {
    let found = || value.to_owned();
    let (scheme, rest) =
        value.split_once("://").ok_or_else(|| InvalidHeader::OriginScheme { found: found() })?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some("80"),
        "https" => Some("443"),
        "" => return Err(InvalidHeader::OriginScheme { found: found() }),
        // Other schemes (for example of a browser extension) are passed on, because nothing is documented about them.
        _ => None,
    };
    if let Some(end) = rest.find(['/', '?', '#']) {
        let meant = alloc::format!("{scheme}://{}", &rest[..end]);
        return Err(InvalidHeader::OriginPath { found: found(), meant });
    }
    let (host, port) = match rest.rsplit_once(':') {
        // A colon in brackets is part of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if host.is_empty() {
        return Err(InvalidHeader::OriginHost { found: found() });
    }
    if port.is_some() && port == default_port {
        Err(InvalidHeader::OriginPort { found: found(), meant: alloc::format!("{scheme}://{host}") })
    } else {
        Ok(())
    }
}

/// Encodes headers as one object, with the names in the given order.
pub(super) fn serialize<S: Serializer>(headers: &[CacheKeyHeader], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|header| (&header.name, &header.value)))
}

/// Why a header of a cache key is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// There is no colon between name and value.
    #[error("{} is not a header: it is written `NAME: VALUE`", quote(found))]
    NoColon {
        /// The given text.
        found: String,
    },
    /// The name is empty or contains a character that is not allowed.
    #[error("{} is not the name of a header: a name has letters, digits and `-`", quote(found))]
    Name {
        /// The given text.
        found: String,
    },
    /// A name is repeated, in any case.
    #[error("the header {} is given twice", quote(name))]
    Twice {
        /// The name.
        name: String,
    },
    /// The value contains a line break or another control character.
    #[error("the value of {} has a control character at character {at}", quote(name))]
    ControlCharacter {
        /// The header's name.
        name: String,
        /// Its position, counted from 1.
        at: usize,
    },
    /// The value has surrounding blanks, which no cache key contains.
    #[error("the value of {} has a blank around it: {}", quote(name), quote(found))]
    BlankAround {
        /// The header's name.
        name: String,
        /// The value.
        found: String,
    },
    /// The device type does not exist.
    #[error(
        "{} is not a value of `CF-Device-Type`: it is one of `mobile`, `desktop`, `tablet`",
        quote(found)
    )]
    DeviceType {
        /// The value.
        found: String,
    },
    /// The value is not a country code.
    #[error(
        "{} is not a value of `CF-IPCountry`: it is two letters, such as `US`, or `T1` for Tor",
        quote(found)
    )]
    Country {
        /// The value.
        found: String,
    },
    /// The `Origin` has no scheme.
    #[error(
        "{} is not a value of `Origin`: it is a scheme and a host, such as `https://www.example.com`",
        quote(found)
    )]
    OriginScheme {
        /// The value.
        found: String,
    },
    /// The `Origin` has no host.
    #[error("{} is not a value of `Origin`: a host must follow the `://`", quote(found))]
    OriginHost {
        /// The value.
        found: String,
    },
    /// The `Origin` has more text after the host and port.
    #[error("{} is not a value of `Origin`: nothing follows the host and port", quote(found))]
    OriginPath {
        /// The value.
        found: String,
        /// The value without that text.
        meant: String,
    },
    /// The `Origin` has the default port of the scheme.
    #[error(
        "{} is not a value of `Origin`: the port is left out where it is the scheme's own (80 for http, 443 for https)",
        quote(found)
    )]
    OriginPort {
        /// The value.
        found: String,
        /// The value without its port.
        meant: String,
    },
}

impl InvalidHeader {
    /// A suggestion, if there is a likely one.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        let write = |meant: &str| Some(alloc::format!("write {}", quote(meant)));
        match self {
            Self::NoColon { found } => found.split_once('=').and_then(|(name, value)| {
                CacheKeyHeader::new(name.trim(), value.trim())
                    .ok()
                    .and_then(|header| write(&alloc::format!("{}: {}", header.name, header.value)))
            }),
            Self::BlankAround { found, .. } => write(found.trim()),
            Self::DeviceType { found } => {
                let lower = found.trim().to_ascii_lowercase();
                DEVICE_TYPES.contains(&lower.as_str()).then(|| write(&lower)).flatten()
            }
            Self::OriginScheme { found } if found.contains('.') => {
                write(&valid_origin(alloc::format!("https://{}", found.trim_start_matches('/')))?)
            }
            Self::OriginPath { meant, .. } | Self::OriginPort { meant, .. } => {
                write(&valid_origin(meant.clone())?)
            }
            _ => None,
        }
    }
}

/// Removes surplus parts of an `Origin`; returns `None` if the result is not valid.
fn valid_origin(mut value: String) -> Option<String> {
    // Removes a path, and the port before it; more is not worth a suggestion.
    for _ in 0..2 {
        match check_origin(&value) {
            Err(InvalidHeader::OriginPath { meant, .. } | InvalidHeader::OriginPort { meant, .. }) => {
                value = meant
            }
            _ => break,
        }
    }
    check_origin(&value).is_ok().then_some(value)
}
