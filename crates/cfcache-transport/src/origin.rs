use core::error::Error as StdError;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// The scheme of an origin.
///
/// `http` is meant for this machine; a transport refuses it for other machines unless it was explicitly allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The default port of the scheme.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme as in a URL, without `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The scheme, host and port that a transport sends all requests to.
///
/// - The host is ASCII: a name, an IPv4 address, or an IPv6 address (kept without brackets).
/// - It has no path, user or password.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; the scheme's default if none was given.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns `host` or `host:port` as in a `Host` header: without the default port, IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    /// Returns whether the host is this machine: `localhost`, `127.0.0.0/8` or `::1`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => is_loopback_name(&self.host),
        }
    }

    /// Returns whether a credential would travel in cleartext to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.scheme == Scheme::Http && !self.is_loopback()
    }
}

/// Returns whether a name means this machine wherever it is used (RFC 6761, section 6.3).
pub(crate) fn is_loopback_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

impl FromStr for Origin {
    type Err = InvalidUrl;

    /// Parses `https://host`, `http://127.0.0.1:8787` or `https://[::1]:8443`.
    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let bad_scheme = InvalidUrl::new("it must begin with `https://` or `http://`");
        let bad_host = InvalidUrl::new(
            "its host is not a name or an address (ASCII letters, digits, `.`, `-`, `_`, or `[IPv6]`)",
        );
        let bad_port = InvalidUrl::new("its port is not a number from 1 to 65535");
        let (scheme, rest) = text.split_once("://").ok_or(bad_scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(bad_scheme),
        };
        if rest.contains('@') {
            return Err(InvalidUrl::new("it must not contain a user or a password"));
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(InvalidUrl::new("nothing may follow the host and port"));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or(bad_host)?;
                let address: core::net::Ipv6Addr = host.parse().map_err(|_| bad_host)?;
                let port = match after {
                    "" => None,
                    _ => Some(after.strip_prefix(':').ok_or(bad_host)?),
                };
                (address.to_string(), port)
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port)),
                None => (rest.to_owned(), None),
            },
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(bad_host);
        }
        let port = match port {
            None => scheme.default_port(),
            // `parse` also accepts a sign, which a URL does not allow.
            Some(port) if !port.bytes().all(|byte| byte.is_ascii_digit()) => return Err(bad_port),
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(bad_port)?,
        };
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// Why a text is not an [`Origin`] or a proxy. It does not contain the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUrl {
    message: &'static str,
}

impl InvalidUrl {
    pub(crate) const fn new(message: &'static str) -> Self {
        Self { message }
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl StdError for InvalidUrl {}
