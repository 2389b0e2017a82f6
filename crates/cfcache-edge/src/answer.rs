//! The answer to a visitor.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What belongs to a connection and not to a message.
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

/// Removes what belongs to a connection.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Gives an answer what all have: who serves it, what the cache did, and why.
pub(crate) fn finish(headers: &mut HeaderMap, status: &'static str, why: &str, ray: u64) {
    strip_hop_by_hop(headers);
    headers.remove("cache-tag");
    headers.remove("cloudflare-cdn-cache-control");
    headers.insert("server", HeaderValue::from_static("cloudflare"));
    headers.insert("cf-cache-status", HeaderValue::from_static(status));
    if let Ok(ray) = HeaderValue::try_from(format!("{ray:016x}-LOC")) {
        headers.insert("cf-ray", ray);
    }
    if let Ok(why) = HeaderValue::try_from(why) {
        headers.insert("x-cfcache-edge", why);
    }
}
