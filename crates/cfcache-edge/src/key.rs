//! The cache key.

use http::{HeaderMap, Uri};

/// The key, written as the vendor's Trace writes it: `example.com::::https://example.com/images/hero.jpg:::::`.
pub(crate) fn key(zone: &str, environment: Option<&str>, uri: &Uri, headers: &HeaderMap) -> String {
    let environment = environment.unwrap_or_default();
    let origin = headers.get("origin").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let origin = origin.unwrap_or_default().replace(':', "%3A");
    format!("{zone}:{environment}::{origin}:{uri}:::::")
}
