//! Requests to the origin.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ETAG, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use http::{HeaderName, HeaderValue, Method, Request};

use crate::answer;
use crate::entry::StoredResponse;
use crate::key;
use crate::request::Asked;
use crate::rule::{Effects, VaryAction};

/// Request headers that are not forwarded if the response is to be stored.
const NOT_FORWARDED: [HeaderName; 6] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];

/// The request that is sent to the origin.
pub(super) fn forwarded<B>(request: &Request<B>, asked: &Asked<'_>, ray: u64) -> Request<()> {
    let mut out = Request::new(());
    *out.method_mut() = request.method().clone();
    *out.uri_mut() = request.uri().clone();
    let mut headers = request.headers().clone();
    answer::strip_hop_by_hop(&mut headers);
    let host = match asked.port {
        Some(port) => format!("{}:{port}", asked.host),
        None => asked.host.clone(),
    };
    answer::set(&mut headers, HOST, &host);
    let name = HeaderName::from_static;
    if let Some(address) = asked.address {
        answer::set(&mut headers, name("cf-connecting-ip"), &address.to_string());
        let before = asked.joined("x-forwarded-for").map(|list| String::from_utf8_lossy(&list).into_owned());
        let list = before.map_or_else(|| address.to_string(), |before| format!("{before},{address}"));
        answer::set(&mut headers, name("x-forwarded-for"), &list);
    }
    if let Some(country) = asked.country {
        answer::set(&mut headers, name("cf-ipcountry"), country);
    }
    let scheme = if asked.is_https { "https" } else { "http" };
    answer::set(&mut headers, name("x-forwarded-proto"), scheme);
    answer::set(&mut headers, name("cf-visitor"), &format!(r#"{{"scheme":"{scheme}"}}"#));
    answer::set(&mut headers, name("cf-ray"), &answer::ray(ray));
    answer::set(&mut headers, name("cdn-loop"), "cloudflare; loops=1");
    *out.headers_mut() = headers;
    out
}

/// The request that is sent to the origin if the response is to be stored: for the complete object, if it changed.
pub(super) fn conditional<B>(
    request: &Request<B>,
    asked: &Asked<'_>,
    effects: &Effects,
    ray: u64,
    stale: Option<&StoredResponse>,
) -> Request<()> {
    let mut out = forwarded(request, asked, ray);
    if out.method() == Method::HEAD {
        *out.method_mut() = Method::GET;
    }
    let headers = out.headers_mut();
    for name in NOT_FORWARDED {
        headers.remove(name);
    }
    for name in ["content-length", "content-type"] {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if effects.key.as_deref().is_some_and(|key| key.has_device) {
        let device = HeaderValue::from_static(key::device(asked));
        headers.insert(HeaderName::from_static("cf-device-type"), device);
    }
    if let Some(vary) = effects.vary.as_deref() {
        for name in [ACCEPT, ACCEPT_LANGUAGE] {
            let action = vary.action(&name);
            if !matches!(action, VaryAction::Normalize(_)) {
                continue;
            }
            let value = key::vary_value(&name, action, asked).filter(|value| !value.is_empty());
            match value.and_then(|value| HeaderValue::try_from(value).ok()) {
                Some(value) => headers.insert(name, value),
                None => headers.remove(name),
            };
        }
    }
    if let Some(stale) = stale {
        let stored = stale.head.to_map();
        for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
            if let Some(value) = stored.get(validator) {
                headers.insert(condition, value.clone());
            }
        }
    }
    out
}
