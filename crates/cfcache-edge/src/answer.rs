//! The response to a visitor.

use core::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE,
    ETAG, EXPIRES, SERVER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::decide::CLOUDFLARE_CDN_CACHE_CONTROL;
use crate::range::{self, Part};
use crate::rule::BrowserTtl;

/// Headers of a connection and not of a message, in addition to those that `Connection` names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The maximum length of the key in a response: programs refuse responses with very long headers.
const MAX_SHOWN: usize = 2000;

/// The cache status. Source: <https://developers.cloudflare.com/cache/concepts/cache-responses/>, 2026.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Hit,
    Miss,
    Expired,
    Revalidated,
    Updating,
    Stale,
    Bypass,
    Dynamic,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::Expired => "EXPIRED",
            Self::Revalidated => "REVALIDATED",
            Self::Updating => "UPDATING",
            Self::Stale => "STALE",
            Self::Bypass => "BYPASS",
            Self::Dynamic => "DYNAMIC",
        }
    }

    /// Whether the request was eligible for the cache.
    const fn is_cacheable(self) -> bool {
        !matches!(self, Self::Bypass | Self::Dynamic)
    }
}

/// Facts about a response for its headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) status: Status,
    /// The reason, in a word or two.
    pub(crate) reason: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) ray: u64,
    pub(crate) now: SystemTime,
    /// How long browsers keep it: the zone's default if nothing else applies, and a rule's value.
    pub(crate) browser_ttl: (Option<Duration>, Option<BrowserTtl>),
}

/// Removes the headers of a connection.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A ray id, which differs for each request and is the same in each run.
pub(crate) fn ray(number: u64) -> String {
    // Spread over all digits, as in real ones.
    format!("{:016x}-LOC", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Removes headers that are never stored from an origin's response to an eligible request.
///
/// An `ETag` that does not have the standard's form is dropped
/// (<https://developers.cloudflare.com/cache/reference/etag-headers/>).
pub(crate) fn clean(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    let is_tag = |value: &HeaderValue| {
        let value = value.as_bytes();
        let value = value.strip_prefix(b"W/").unwrap_or(value);
        value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"")
    };
    if headers.get(ETAG).is_some_and(|value| !is_tag(value)) {
        headers.remove(ETAG);
    }
    headers.remove(AGE);
}

/// Adds the headers that all responses have, and removes those that none has.
pub(crate) fn finish(headers: &mut HeaderMap, about: &About<'_>) {
    strip_hop_by_hop(headers);
    headers.remove("cache-tag");
    headers.remove(CLOUDFLARE_CDN_CACHE_CONTROL);
    if about.status.is_cacheable() {
        set_browser_ttl(headers, about);
    }
    // A response that is passed on keeps the origin's date.
    if about.status != Status::Dynamic || !headers.contains_key(DATE) {
        set(headers, DATE, &date(about.now));
    }
    headers.insert(SERVER, HeaderValue::from_static("cloudflare"));
    headers.insert("cf-cache-status", HeaderValue::from_static(about.status.as_str()));
    set(headers, HeaderName::from_static("cf-ray"), &ray(about.ray));
    let mut why = about.status.as_str().to_ascii_lowercase();
    for (name, value) in [("", about.reason), ("key=", about.key.unwrap_or_default())] {
        if !value.is_empty() {
            why.push_str("; ");
            why.push_str(name);
            why.push_str(value.get(..MAX_SHOWN).unwrap_or(value));
            if value.len() > MAX_SHOWN {
                why.push_str("...");
            }
        }
    }
    set(headers, HeaderName::from_static("x-cfcache-edge"), &why);
}

/// Source: <https://developers.cloudflare.com/cache/how-to/edge-browser-cache-ttl/set-browser-ttl/>, 2026.
fn set_browser_ttl(headers: &mut HeaderMap, about: &About<'_>) {
    let (by_zone, by_rule) = about.browser_ttl;
    let ttl = match by_rule {
        Some(BrowserTtl::RespectOrigin) => return,
        Some(BrowserTtl::Bypass) => {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.remove(EXPIRES);
            return;
        }
        // "The value you set will be ignored if max-age is higher."
        Some(BrowserTtl::Override(ttl)) => {
            let directives = crate::directive::Directives::parse(&headers.get_all(CACHE_CONTROL));
            let is_higher = directives.seconds("max-age").is_some_and(|own| u64::from(own) > ttl.as_secs());
            if is_higher {
                return;
            }
            headers.remove(EXPIRES);
            ttl
        }
        None => {
            let says_something = headers.contains_key(CACHE_CONTROL) || headers.contains_key(EXPIRES);
            match by_zone {
                Some(ttl) if !says_something => ttl,
                _ => return,
            }
        }
    };
    set(headers, CACHE_CONTROL, &format!("max-age={}", ttl.as_secs()));
}

pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Formats a date for a header; a time that the format cannot represent is replaced by the epoch.
pub(crate) fn date(at: SystemTime) -> String {
    // The year 9999 is the last one of the format.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let at = if at < SystemTime::UNIX_EPOCH || at > last { SystemTime::UNIX_EPOCH } else { at };
    httpdate::fmt_http_date(at)
}

/// The part of a complete response that a visitor gets: all of it, ranges, or "not modified".
pub(crate) fn serve(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Bytes> {
    let length = body.len() as u64;
    let part = if status == StatusCode::OK { range::part(request, &headers, length) } else { Part::Whole };
    let (status, body) = match part {
        Part::Whole => {
            let has_body = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            if has_body {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            (status, body)
        }
        Part::NotModified => {
            for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING] {
                headers.remove(name);
            }
            (StatusCode::NOT_MODIFIED, Bytes::new())
        }
        Part::Ranges(ranges) => {
            let body = range::partial(&ranges, &mut headers, &body);
            headers.insert(CONTENT_LENGTH, body.len().into());
            (StatusCode::PARTIAL_CONTENT, body)
        }
        Part::Unsatisfiable => {
            set(&mut headers, CONTENT_RANGE, &format!("bytes */{length}"));
            headers.insert(CONTENT_LENGTH, 0.into());
            (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new())
        }
    };
    let body = if method == Method::HEAD { Bytes::new() } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A response that is not from the origin, in the vendor's wording for programs.
pub(crate) fn error(status: StatusCode, method: &Method) -> Response<Bytes> {
    let text = format!("error code: {}\n", status.as_u16());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert(CONTENT_LENGTH, text.len().into());
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=0, no-store, no-cache, must-revalidate"),
    );
    let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from(text) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
