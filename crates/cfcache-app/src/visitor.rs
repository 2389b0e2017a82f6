//! Parses the settings of visitor requests from options, files and the environment.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;

use cfcache_model::InvalidInput;
use cfcache_model::target::{Kind, Target};
use cfcache_probe::{Expectation, GateSettings, Sha256, Visitor, VisitorBuilder, host_of};
use http::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::config::{EnvVars, VISITOR_HEADERS};
use crate::connection::Network;
use crate::failure::Failure;
use crate::job::GateJob;
use crate::secret::{path_name, shown_path};
use crate::session::USER_AGENT;
use crate::whole;

/// The maximum size of the headers; servers accept less.
const LONGEST: u64 = 64 * 1024;

/// Headers of the connection or of the URL: another value would change which resource is requested.
const RESERVED: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "proxy-authorization"];

/// Creates a visitor with the connection settings of the API. `connect_to` is the `HOST:PORT` to connect to for every
/// URL; `headers` is a file of headers, used instead of those in the environment.
///
/// # Errors
///
/// If `connect_to` is not an address, or a header is invalid.
pub fn visitor(
    network: Network,
    timeout: Option<Duration>,
    connect_to: Option<&str>,
    headers: Option<&Path>,
    environment: &EnvVars,
) -> Result<VisitorBuilder, Failure> {
    let mut visitor =
        Visitor::builder(USER_AGENT).with_roots(network.roots).with_proxy_rules(network.proxies);
    for pem in network.authorities {
        visitor = visitor.with_ca_pem(pem);
    }
    if let Some(timeout) = timeout {
        visitor = visitor.with_timeout(timeout);
    }
    if let Some(address) = connect_to {
        let (host, port) = host_and_port(address).ok_or_else(|| {
            Failure::usage(format!(
                "`--verify-connect`: {} is not HOST:PORT",
                cfcache_model::text::quote(address)
            ))
            .with_hint("use an address such as `127.0.0.1:8788` or `[::1]:8788`")
        })?;
        visitor = visitor.with_connect_to(host, port);
    }
    let (text, place) = match (headers, &environment.visitor_headers) {
        (Some(path), _) => (read_headers(path)?, shown_path(path).to_string()),
        (None, Some(lines)) => (lines.expose_secret().to_owned(), format!("`{VISITOR_HEADERS}`")),
        (None, None) => return Ok(visitor),
    };
    for (name, value) in parse_headers(&text, &place)? {
        visitor = visitor.with_header(name, value);
    }
    Ok(visitor)
}

/// Parses the condition that must be met before a purge (`--after`).
///
/// # Errors
///
/// [`Failure`] if it is not a URL and a condition.
pub fn parse_gate(condition: &str, timeout: Option<Duration>, busts: bool) -> Result<GateJob, Failure> {
    let expectation: Expectation = condition.parse().map_err(|invalid: InvalidInput| {
        Failure::usage(format!("`--after`: {invalid}"))
            .with_hint("use a condition such as `https://origin.example.com/version.txt contains 42`")
    })?;
    let mut settings = GateSettings::new();
    if let Some(timeout) = timeout {
        settings.timeout = timeout;
    }
    let host = host_of(&expectation.url);
    let is_here =
        format!("http://{host}").parse().is_ok_and(|origin: cfcache_transport::Origin| origin.is_loopback());
    Ok(GateJob { expectation, settings, busts, is_here })
}

/// Parses a URL to verify; `place` is its origin.
///
/// # Errors
///
/// [`Failure`] if it is not a URL that can be purged.
pub fn parse_url(text: &str, place: &str) -> Result<Target, Failure> {
    Target::parse(Kind::Files, text).map_err(|invalid| Failure::usage(format!("{place}: {invalid}")))
}

/// Reads URLs to verify from a file, one per line; blank lines and lines that begin with `#` are skipped.
///
/// # Errors
///
/// [`Failure`] if the file cannot be read, or a line is not a URL.
pub fn read_urls(path: &Path, take: &mut dyn FnMut(Target)) -> Result<(), Failure> {
    let text = whole::read_text(path, whole::MOST)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", shown_path(path))))?;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            take(parse_url(line, &format!("{}:{number}", path_name(path)))?);
        }
    }
    Ok(())
}

/// Reads the bodies that visitors should get: a list of hashes and URLs, or the body of the only URL. Returns the hashes
/// by URL, and that of the only URL.
///
/// # Errors
///
/// [`Failure`] if the file cannot be read, or is not a list although there are several URLs.
pub fn read_expected(
    path: &Path,
    is_one_url: bool,
) -> Result<(BTreeMap<String, Sha256>, Option<Sha256>), Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", shown_path(path)));
    if let Ok(text) = whole::read_text(path, whole::MOST)
        && let Some(by_url) = parse_hashes(&text)
    {
        return Ok((by_url, None));
    }
    if !is_one_url {
        return Err(Failure::usage(format!(
            "`--expect`: {} is not a list of hashes; a single body can only be compared for a single URL",
            shown_path(path)
        ))
        .with_hint("use a list of `SHA256  URL` lines, as `sha256sum` writes them"));
    }
    let file = std::fs::File::open(path).map_err(cannot)?;
    let hash = cfcache_probe::hash(file).map_err(cannot)?;
    Ok((BTreeMap::new(), Some(hash)))
}

/// Parses lines of a hash and a URL; returns `None` if a line has another form, or if there is none.
fn parse_hashes(text: &str) -> Option<BTreeMap<String, Sha256>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let hashes: Option<BTreeMap<String, Sha256>> = lines
        .map(|line| {
            let (hash, url) = line.split_once(char::is_whitespace)?;
            let url = url.trim_start().trim_start_matches('*');
            Some((url.to_owned(), Sha256::from_hex(hash)?))
        })
        .collect();
    hashes.filter(|hashes| !hashes.is_empty())
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!bare.is_empty() && bare.bytes().all(is_plain)).then(|| (bare.to_owned(), port))
}

fn read_headers(path: &Path) -> Result<String, Failure> {
    whole::read_text(path, LONGEST).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", shown_path(path)))
            .with_hint("`--visitor-headers` takes a file of lines such as `NAME: VALUE`")
    })
}

/// Parses headers, one per line. Errors do not contain the value, which may be secret.
fn parse_headers(text: &str, place: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let mut headers = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| {
            Failure::usage(format!("{place}, line {number}: {what}"))
                .with_hint("write a header as `NAME: VALUE`, such as `CF-Access-Client-Id: 1a2b.access`")
        };
        let Some((name, value)) = line.split_once(':') else { return Err(wrong("there is no colon")) };
        let Ok(name) = HeaderName::try_from(name.trim()) else {
            return Err(wrong("the text before the colon is not the name of a header"));
        };
        if RESERVED.contains(&name.as_str()) {
            return Err(wrong(&format!("`{name}` cannot be set: it belongs to the URL or the connection")));
        }
        let Ok(value) = HeaderValue::try_from(value.trim()) else {
            return Err(wrong("the value has characters that are not allowed in a header"));
        };
        headers.push((name, value));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verify_connect_needs_a_host_and_a_port() {
        let parsed = |text| host_and_port(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(parsed("127.0.0.1:8788").as_deref(), Some("127.0.0.1 8788"));
        assert_eq!(parsed("[::1]:80").as_deref(), Some("::1 80"));
        assert_eq!(parsed("edge.example.com:443").as_deref(), Some("edge.example.com 443"));
        for wrong in
            ["", "8788", ":8788", "a:", "a:0", "a:70000", "::1:80", "[::1]80", "http://a:80", "a b:80"]
        {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn headers_are_parsed_and_errors_do_not_show_values() {
        let read = parse_headers("\u{feff}# token\nCF-Access-Client-Id: a\r\n\nx-b:  c d \n", "f").unwrap();
        let read: Vec<_> =
            read.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(read, [("cf-access-client-id", "a"), ("x-b", "c d")]);
        for (text, what) in [
            ("s3cret", "no colon"),
            ("a b: s3cret", "not the name of a header"),
            ("x: s3\u{1}cret", "characters that are not allowed in a header"),
            ("Host: s3cret", "`host` cannot be set"),
        ] {
            let failure = parse_headers(text, "`f`").unwrap_err();
            assert!(
                failure.message.contains(what) && failure.message.contains("line 1"),
                "{}",
                failure.message
            );
            assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        }
    }
}
