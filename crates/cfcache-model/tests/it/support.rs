//! Shared by several tests.

use std::borrow::Cow;

use cfcache_model::Endpoint;
use cfcache_model::endpoint::{self, Descriptor};
use cfcache_model::verdict::{Answer, ApiFailure, Class, parse_response};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;

/// Proptest prints a failing case with its seed, and writes the seed to a file next to the test. Commit that file with
/// the fix.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// Returns the endpoint with that name.
pub(crate) fn endpoint(name: &str) -> &'static Descriptor {
    let found = endpoint::all().find(|endpoint| endpoint.name == name);
    found.unwrap_or_else(|| panic!("no endpoint is called `{name}`"))
}

/// A request to any endpoint, for tests of answers.
pub(crate) struct Any(pub(crate) &'static Descriptor);

impl Endpoint for Any {
    type Reply = Value;

    fn descriptor(&self) -> &'static Descriptor {
        self.0
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

/// Whether a request was done, refused or may be repeated later, and the class of a failure: `later RateLimited`.
pub(crate) fn sort<T>(result: &Result<Answer<T>, ApiFailure>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(failure) if failure.class.is_temporary() => format!("later {:?}", failure.class),
        Err(failure) if failure.class == Class::Unclear => format!("unreadable {:?}", failure.class),
        Err(failure) => format!("refused {:?}", failure.class),
    }
}

/// What `parse_response` says of an answer of purging a zone, as far as all endpoints are alike.
pub(crate) fn judged(status: u16, body: impl AsRef<[u8]>) -> Result<Answer<Value>, ApiFailure> {
    parse_response(&Any(endpoint("purge_zone_cache")), status, body.as_ref())
}

/// Text that often causes problems: parts of URLs, JSON and markup, control characters, other scripts, or anything
/// else.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "https://", "http://", "HTTPS://", "www.example.com", "/", "//", "?", "#", ":", "443", "@", "[", "]", "\\",
            "*", ",", ";", "=", "%", "%2F", "..", "{", "}", "{\"url\":\"", "\",\"headers\":{\"", "\":\"", "\"", "'",
            "CF-IPCountry", "Origin", "US", "T1", " ", "\t", "\r", "\n", "\0", "\x1b[2J", "\x7f", "\u{85}", "\u{a0}",
            "\u{200b}", "\u{202e}", "\u{2028}", "\u{feff}", "é", "漢字", "𝕏", "ǅ", "İ", "\u{301}", "\\u0000", "\\ud800",
        ][..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[ -~]{0,12}",
    ];
    prop_oneof![
        6 => prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}
