//! Shared helpers for requests and answers.

use core::time::Duration;

use bytes::Bytes;
use cfcache_emulator::{Config, Emulator, Zone};
use cfcache_model::Plan;
use http::{Request, Response};
use serde_json::Value;

pub(crate) const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
pub(crate) const STAGING: &str = "4e9f1d2a7b8c3f60a5d4e3c2b1a09f";
pub(crate) const DEVELOPMENT: &str = "8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c";
pub(crate) const PRODUCTION: &str = "12f4c9a5f0d14b7a9b8e7d6c5b4a39";
pub(crate) const TOKEN: &str = "a-token-for-tests";

pub(crate) fn unlimited() -> Config {
    Config::new(Plan::Enterprise).with_limits(false)
}

/// Returns a request below the base path, with a token.
pub(crate) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(format!("/client/v4{path}"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(body.into())
        .unwrap()
}

/// Returns a purge of the zone.
pub(crate) fn purge(body: impl Into<Bytes>) -> Request<Bytes> {
    request("POST", &format!("/zones/{ZONE}/purge_cache"), body)
}

pub(crate) fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// Returns the status and the codes of the errors.
pub(crate) fn verdict(response: &Response<Bytes>) -> (u16, Vec<u64>) {
    let body = json(response);
    let errors = body["errors"].as_array().unwrap();
    let codes = errors.iter().map(|error| error["code"].as_u64().unwrap()).collect();
    assert_eq!(body["success"], Value::from(response.status().is_success()), "{body}");
    assert!(body["messages"].is_array(), "{body}");
    (response.status().as_u16(), codes)
}

/// Sends a request at time zero.
pub(crate) fn send(emulator: &Emulator, request: &Request<Bytes>) -> Response<Bytes> {
    emulator.handle(Duration::ZERO, request)
}

pub(crate) fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Adds zones with the names `a.example`, `b.example`, ….
pub(crate) fn with_zones(config: Config, count: usize) -> Config {
    (0..count).fold(config, |config, index| {
        config.with_zone(Zone::new(format!("{index:032x}"), format!("zone-{index}.example")))
    })
}
