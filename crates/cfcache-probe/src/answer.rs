//! The parts of a visitor's answer that say something about the cache.

use core::fmt;
use core::time::Duration;
use std::time::SystemTime;

use cfcache_model::InvalidInput;
use http::header::{AGE, CONTENT_ENCODING, ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

/// The maximum length of a header value that is kept; longer values are truncated.
const MAX_HEADER_CHARS: usize = 512;

/// The value of an `Age` that is greater (<https://www.rfc-editor.org/rfc/rfc9111#section-1.2.2>).
const MAX_AGE: u64 = 1 << 31;

/// The value of `CF-Cache-Status` (<https://developers.cloudflare.com/cache/concepts/cache-responses/>).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheStatus {
    /// In the cache and fresh.
    Hit,
    /// Cacheable, but not in the cache.
    Miss,
    /// In the cache but stale; the origin answered with new content.
    Expired,
    /// In the cache but stale; the origin answered that it did not change.
    Revalidated,
    /// Stale, and being refreshed in the background.
    Updating,
    /// Stale, and the origin cannot be reached.
    Stale,
    /// Eligible for the cache, but the answer forbids caching.
    Bypass,
    /// Not eligible for the cache.
    Dynamic,
    /// An undocumented value.
    Other(String),
}

impl CacheStatus {
    /// Parses the header's value, in any case.
    #[must_use]
    pub fn from_header(value: &str) -> Self {
        let word = value.trim();
        let known = [
            Self::Hit,
            Self::Miss,
            Self::Expired,
            Self::Revalidated,
            Self::Updating,
            Self::Stale,
            Self::Bypass,
            Self::Dynamic,
        ];
        known
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(word))
            .unwrap_or_else(|| Self::Other(truncated(word)))
    }

    /// Returns the value of the header, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Expired => "EXPIRED",
            Self::Revalidated => "REVALIDATED",
            Self::Updating => "UPDATING",
            Self::Stale => "STALE",
            Self::Bypass => "BYPASS",
            Self::Dynamic => "DYNAMIC",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Wraps the bytes of a hash.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses 64 hex digits, in any case.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl core::str::FromStr for Sha256 {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        Self::from_hex(text).ok_or_else(|| InvalidInput::new("a SHA-256 hash has 64 hex digits"))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The result of reading an answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Body {
    /// The length in bytes.
    pub bytes: u64,
    /// The hash of the whole body, if it was computed.
    pub sha256: Option<Sha256>,
    /// The code of one of Cloudflare's own error pages (such as "error code: 1020"), if it is one.
    pub edge_error: Option<u16>,
}

impl Body {
    /// Creates a body of which only the length is known.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { bytes, sha256: None, edge_error: None }
    }
}

/// An answer to a visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VisitorAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `CF-Cache-Status`. Different values in several lines are one undocumented value, such as `MISS, HIT`.
    pub cache_status: Option<CacheStatus>,
    /// `Age`, in seconds.
    pub age: Option<u64>,
    /// `CF-RAY`: names the request in Cloudflare's logs.
    pub ray: Option<String>,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Location`, of a redirect.
    pub location: Option<String>,
    /// `Content-Encoding`, unless it is `identity`: the body is compressed, although no request asks for that.
    pub encoding: Option<String>,
    /// `CF-Mitigated`: a challenge was served in place of the page
    /// (<https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/>).
    pub mitigated: Option<String>,
    /// `Retry-After`: how long to wait before the next request.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Body,
}

impl VisitorAnswer {
    /// Parses the head of an answer. `now` is used for a `Retry-After` in the form of a date.
    #[must_use]
    pub fn from_head(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        let text =
            |name: &str| headers.get(name).map(|value| truncated(&String::from_utf8_lossy(value.as_bytes())));
        let retry_after = text(RETRY_AFTER.as_str()).and_then(|value| match value.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let date = httpdate::parse_http_date(value.trim()).ok()?;
                Some(date.duration_since(now).unwrap_or(Duration::ZERO))
            }
        });
        let encoding = text(CONTENT_ENCODING.as_str());
        Self {
            status: status.as_u16(),
            cache_status: cache_status(headers),
            age: text(AGE.as_str()).and_then(|value| parse_age(&value)),
            ray: text("cf-ray"),
            etag: text(ETAG.as_str()),
            location: text(LOCATION.as_str()),
            encoding: encoding.filter(|value| !matches!(value.trim(), "" | "identity")),
            mitigated: text("cf-mitigated"),
            retry_after,
            body: Body::new(0),
        }
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Returns the data center that answered, such as `FRA`: the suffix of `CF-RAY`.
    #[must_use]
    pub fn colo(&self) -> Option<&str> {
        let (_, colo) = self.ray.as_deref()?.rsplit_once('-')?;
        let is_code = colo.len() == 3 && colo.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code.then_some(colo)
    }

    /// Returns whether a header shows that Cloudflare answered.
    #[must_use]
    pub const fn is_from_edge(&self) -> bool {
        self.ray.is_some() || self.cache_status.is_some()
    }

    /// Returns whether the answer is a redirect to another URL.
    #[must_use]
    pub const fn is_redirect(&self) -> bool {
        matches!(self.status, 300..=303 | 307 | 308) && self.location.is_some()
    }

    /// Returns why the edge did not serve the requested page, if it did not.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        if let Some(how) = &self.mitigated {
            return Some(Obstacle::Challenge(how.clone()));
        }
        if self.is_redirect()
            && let Some(location) = &self.location
            && is_access_login(location)
        {
            return Some(Obstacle::Login);
        }
        if self.status == 429 {
            return Some(Obstacle::RateLimited);
        }
        if let Some(code) = self.body.edge_error {
            return Some(Obstacle::EdgeError(code));
        }
        // A firewall rule answers before the cache is checked.
        (self.status == 403 && self.ray.is_some() && self.cache_status.is_none()).then_some(Obstacle::Blocked)
    }
}

/// A reason why the edge did not serve the requested page.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// A challenge page, which tests whether the visitor is a person; contains the value of `CF-Mitigated`.
    Challenge(String),
    /// Cloudflare Access requires a login.
    Login,
    /// Too many requests (429).
    RateLimited,
    /// An error page of the edge, with its code.
    EdgeError(u16),
    /// The edge refused the request (403) before checking the cache.
    Blocked,
}

impl Obstacle {
    /// Returns what to do about it.
    #[must_use]
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::Challenge(_) => {
                "let the probe pass: a WAF rule with the action Skip, for an extra header that only the probe sends"
            }
            Self::Login => {
                "give the probe a service token of Cloudflare Access: the extra headers `CF-Access-Client-Id` and \
                 `CF-Access-Client-Secret`"
            }
            Self::RateLimited => "probe fewer URLs, or exempt the probe from the rate limiting rule",
            Self::EdgeError(1000..=1004 | 1014 | 1016 | 1018 | 1023 | 1033 | 1034 | 1101 | 1102) => {
                "the site itself is broken at the edge: see Cloudflare's documentation of 1xxx errors for this code"
            }
            Self::EdgeError(_) | Self::Blocked => {
                "a rule refuses the probe: find it under Security, Events, and skip it for an extra header that \
                 only the probe sends"
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Challenge(how) => write!(f, "a challenge page was served (cf-mitigated: {how})"),
            Self::Login => f.write_str("Cloudflare Access requires a login"),
            Self::RateLimited => {
                f.write_str("the edge refused the request because of the request rate (429)")
            }
            Self::EdgeError(code) => write!(f, "the edge answered with its error {code}"),
            Self::Blocked => f.write_str("the edge refused the request (403) before it checked the cache"),
        }
    }
}

/// Returns the value of `CF-Cache-Status`.
fn cache_status(headers: &HeaderMap) -> Option<CacheStatus> {
    let mut values: Vec<_> =
        headers.get_all("cf-cache-status").iter().map(|value| value.as_bytes()).collect();
    values.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    let value = String::from_utf8_lossy(&values.join(&b", "[..])).into_owned();
    // The documented name for a response in which the cache had no part. Usually there is no header.
    let is_none =
        ["", "NONE", "UNKNOWN", "NONE/UNKNOWN"].iter().any(|none| none.eq_ignore_ascii_case(value.trim()));
    (!is_none).then(|| CacheStatus::from_header(&value))
}

/// Parses `Age`: of a list, only the first member counts (<https://www.rfc-editor.org/rfc/rfc9111#section-5.1>).
fn parse_age(value: &str) -> Option<u64> {
    let age = value.split(',').next()?.trim();
    let is_number = !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| age.parse().map_or(MAX_AGE, |age: u64| age.min(MAX_AGE)))
}

/// Returns whether a redirect leads to the login of Cloudflare Access.
fn is_access_login(location: &str) -> bool {
    let Some((_, rest)) = location.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or("").to_ascii_lowercase();
    host.split(':').next().is_some_and(|host| host.ends_with(".cloudflareaccess.com"))
}

/// Returns the code of an error page of the edge, if `beginning` is the start of one.
///
/// Plain clients get the text `error code: 1020`; browsers get a page that contains `Error 1020` and mentions
/// Cloudflare.
#[must_use]
pub fn edge_error(beginning: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(beginning);
    let number = |rest: &str| {
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|code| (1000..2000).contains(code))
    };
    let trimmed = text.trim_start();
    if let Some(rest) = trimmed.strip_prefix("error code:") {
        return number(rest);
    }
    if !text.to_ascii_lowercase().contains("cloudflare") {
        return None;
    }
    text.match_indices("Error").find_map(|(at, word)| {
        // The page contains `Error</span> <span>1020` or `Error 1020`.
        let rest = text.get(at + word.len()..)?;
        let rest = rest.trim_start_matches(|char: char| !char.is_ascii_digit() && char != '\n');
        number(rest.get(..rest.len().min(8)).unwrap_or(rest))
    })
}

/// Truncates a header value to the maximum length.
fn truncated(text: &str) -> String {
    text.chars().take(MAX_HEADER_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> VisitorAnswer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).unwrap();
        VisitorAnswer::from_head(status, &map, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn parses_the_head() {
        let found = answer(
            200,
            &[
                ("cf-cache-status", "hit"),
                ("age", " 12 "),
                ("cf-ray", "8f3a1b2c3d4e5f60-FRA"),
                ("etag", "\"a\""),
            ],
        );
        assert_eq!(found.cache_status, Some(CacheStatus::Hit));
        assert_eq!((found.age, found.colo(), found.etag.as_deref()), (Some(12), Some("FRA"), Some("\"a\"")));
    }

    #[test]
    fn ignores_invalid_numbers_and_codes() {
        let found = answer(200, &[("age", "-1"), ("cf-ray", "8f3a-fra1"), ("cf-cache-status", "WARP")]);
        assert_eq!((found.age, found.colo()), (None, None));
        assert_eq!(found.cache_status, Some(CacheStatus::Other("WARP".to_owned())));
        assert!(!answer(200, &[]).is_from_edge());
    }

    #[test]
    fn parses_unusual_ages() {
        let age = |value: &'static str| answer(200, &[("age", value)]).age;
        for (value, expected) in [
            ("99999999999999999999999", Some(MAX_AGE)),
            ("18446744073709551615", Some(MAX_AGE)),
            ("7, 99", Some(7)),
            ("007", Some(7)),
            ("+7", None),
            ("7.5", None),
            ("", None),
            (", 7", None),
        ] {
            assert_eq!(age(value), expected, "{value}");
        }
        assert_eq!(answer(200, &[("age", "7"), ("age", "99")]).age, Some(7));
    }

    #[test]
    fn contradictory_cache_statuses_are_an_undocumented_one() {
        let both = answer(200, &[("cf-cache-status", "MISS"), ("cf-cache-status", "HIT")]);
        assert_eq!(both.cache_status, Some(CacheStatus::Other("MISS, HIT".to_owned())));
        let same = answer(200, &[("cf-cache-status", "MISS"), ("cf-cache-status", "miss")]);
        assert_eq!(same.cache_status, Some(CacheStatus::Miss));
    }

    #[test]
    fn a_response_without_the_cache_has_no_status() {
        for value in ["NONE", "none", "UNKNOWN", "NONE/UNKNOWN", ""] {
            let found = answer(403, &[("cf-cache-status", value), ("cf-ray", "8f3a1b2c3d4e5f60-FRA")]);
            assert_eq!(
                (found.cache_status.as_ref(), found.obstacle()),
                (None, Some(Obstacle::Blocked)),
                "{value}"
            );
        }
    }

    #[test]
    fn parses_retry_after_in_seconds_or_as_a_date() {
        let wait = |value: &'static str| answer(429, &[("retry-after", value)]).retry_after;
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn recognizes_only_logins_of_cloudflare_access() {
        for (location, is_login) in [
            ("https://team.cloudflareaccess.com/cdn-cgi/access/login/app", true),
            ("https://TEAM.cloudflareaccess.com:443?x", true),
            ("https://cloudflareaccess.com.evil.example/", false),
            ("/cloudflareaccess.com", false),
            ("https://www.example.com/?to=https://team.cloudflareaccess.com/", false),
        ] {
            assert_eq!(is_access_login(location), is_login, "{location}");
        }
    }

    #[test]
    fn recognizes_error_pages_of_the_edge() {
        for (page, code) in [
            ("error code: 1020", Some(1020)),
            ("error code: 1015\n", Some(1015)),
            (
                "<title>Access denied | www.example.com used Cloudflare</title><span>Error</span> <span>1020</span>",
                Some(1020),
            ),
            ("<h1>Error 1020 of our shop</h1>", None),
            ("error code: 20", None),
            ("<p>powered by Cloudflare</p> Error: no", None),
            ("", None),
        ] {
            assert_eq!(edge_error(page.as_bytes()), code, "{page}");
        }
    }
}
