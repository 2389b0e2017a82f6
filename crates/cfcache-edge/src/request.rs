//! A request in the form that rules and keys use.

use core::net::IpAddr;
use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Request, Uri};

use crate::settings::VisitorInfo;

/// A request for rules and keys: a visitor's, or the one that represents a file of a purge.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) is_https: bool,
    /// In lower case, without the port.
    pub(crate) host: String,
    /// The port, if it is not the scheme's default.
    pub(crate) port: Option<u16>,
    /// The path in ASCII; other characters are percent-encoded.
    pub(crate) path: Cow<'a, str>,
    pub(crate) query: Option<Cow<'a, str>>,
    pub(crate) headers: Cow<'a, HeaderMap>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) country: Option<&'a str>,
    /// The device type, if a purge names it.
    pub(crate) device: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new<B>(request: &'a Request<B>, visitor: &'a VisitorInfo) -> Self {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        Self {
            method: request.method().as_str(),
            headers: Cow::Borrowed(request.headers()),
            address: visitor.address,
            country: visitor.country.as_deref(),
            ..Self::from_uri(request.uri(), host)
        }
    }

    /// The request for a URL, without headers. `host` is used if the URL has none.
    pub(crate) fn from_uri(uri: &'a Uri, host: Option<&str>) -> Self {
        let is_https = uri.scheme_str() != Some("http");
        let authority = uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default();
        // The text before an `@` is not part of the host.
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are in brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, None),
        };
        let default_port = if is_https { 443 } else { 80 };
        Self {
            method: "GET",
            is_https,
            host: host.to_ascii_lowercase(),
            port: port.filter(|port| *port != default_port),
            path: encode(uri.path()),
            query: uri.query().map(encode),
            headers: Cow::Owned(HeaderMap::new()),
            address: None,
            country: None,
            device: None,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    /// All lines of a header, joined with `, `.
    pub(crate) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let mut lines = self.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let mut joined = lines.next()?.to_vec();
        for line in lines {
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(line);
        }
        Some(joined)
    }

    /// The values of a cookie.
    pub(crate) fn cookies(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.headers.get_all("cookie").iter().map(HeaderValue::as_bytes);
        lines
            .flat_map(|line| line.split(|&byte| byte == b';'))
            .filter_map(|pair| {
                let at = pair.iter().position(|&byte| byte == b'=')?;
                (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
            })
            .collect()
    }

    /// The extension of the last path segment, in lower case.
    pub(crate) fn extension(&self) -> Option<String> {
        let (_, extension) = self.path.rsplit('/').next()?.rsplit_once('.')?;
        (!extension.is_empty()).then(|| extension.to_ascii_lowercase())
    }
}

/// Percent-encodes non-ASCII characters, so that both forms of a URL are equal.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(encoded)
}
