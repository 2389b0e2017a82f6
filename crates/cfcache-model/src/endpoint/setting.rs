//! Settings as the API returns them, and two settings with a value: the cache level and the browser cache TTL
//!
//! - `/zones/{zone_id}/settings/cache_level`: which part of the query string belongs to the cache key
//! - `/zones/{zone_id}/settings/browser_cache_ttl`: how long browsers keep responses
//!
//! Source: <https://developers.cloudflare.com/api/resources/zones/subresources/settings/>, 2026-11.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::InvalidInput;
use crate::endpoint::{
    ApiRequest, Area, Descriptor, Endpoint, Method, OF_ANY_PLAN, Replay, Sample, example, forbidden, sample,
    settings_permission, success,
};
use crate::id::ZoneId;

/// A setting as the API returns it. Every field may be missing or null.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de>"))]
#[non_exhaustive]
pub struct Setting<V> {
    /// The id in the response, which may differ from the name in the path.
    #[serde(default)]
    pub id: Option<String>,
    /// Whether the API says that it can be changed. The API was observed to accept changes even if it says no.
    #[serde(default)]
    pub editable: Option<bool>,
    /// When it was last changed, in RFC 3339 format.
    #[serde(default)]
    pub modified_on: Option<String>,
    /// The value.
    #[serde(default)]
    pub value: Option<V>,
    /// Development Mode: seconds until it ends; negative after it ended.
    #[serde(default, deserialize_with = "number_or_nothing")]
    pub time_remaining: Option<i64>,
}

/// Which part of the query string belongs to the cache key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheLevel {
    /// The whole query string. The dashboard calls it "Standard".
    Aggressive,
    /// URLs with a query string are not served from the cache. The dashboard calls it "No query string".
    Basic,
    /// No part of the query string. The dashboard calls it "Ignore query string".
    Simplified,
}

impl CacheLevel {
    /// All levels, in the order of the API's documentation.
    pub const ALL: &'static [Self] = &[Self::Aggressive, Self::Basic, Self::Simplified];

    /// The level as in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggressive => "aggressive",
            Self::Basic => "basic",
            Self::Simplified => "simplified",
        }
    }
}

impl fmt::Display for CacheLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CacheLevel {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let expected = "expected `aggressive`, `basic` or `simplified`";
        Self::ALL
            .iter()
            .copied()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| InvalidInput::new(expected))
    }
}

impl ApiRequest<Setting<String>> {
    /// Reads the cache level.
    #[must_use]
    pub fn cache_level(zone: &ZoneId) -> Self {
        Self::new(&GET_CACHE_LEVEL, [zone.as_str()])
    }

    /// Sets the cache level.
    #[must_use]
    pub fn set_cache_level(zone: &ZoneId, level: CacheLevel) -> Self {
        Self::new(&EDIT_CACHE_LEVEL, [zone.as_str()]).with_value(level.as_str())
    }
}

impl ApiRequest<Setting<u64>> {
    /// Reads how long browsers keep responses, in seconds; 0 means that the origin's headers decide.
    #[must_use]
    pub fn browser_cache_ttl(zone: &ZoneId) -> Self {
        Self::new(&GET_BROWSER_CACHE_TTL, [zone.as_str()])
    }

    /// Sets how long browsers keep responses, in seconds; 0 means that the origin's headers decide.
    ///
    /// The allowed values depend on the plan; the API refuses others.
    #[must_use]
    pub fn set_browser_cache_ttl(zone: &ZoneId, seconds: u32) -> Self {
        Self::new(&EDIT_BROWSER_CACHE_TTL, [zone.as_str()]).with_value(&seconds)
    }
}

/// `time_remaining` is documented as a number, but is `false` if the mode was never on.
fn number_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
    Ok(value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)))
}

pub(super) static ENDPOINTS: &[&Descriptor] =
    &[&GET_CACHE_LEVEL, &EDIT_CACHE_LEVEL, &GET_BROWSER_CACHE_TTL, &EDIT_BROWSER_CACHE_TTL];

const CACHE_LEVEL: &str = "/zones/{zone_id}/settings/cache_level";
const BROWSER_CACHE_TTL: &str = "/zones/{zone_id}/settings/browser_cache_ttl";

static GET_CACHE_LEVEL: Descriptor =
    descriptor(Method::Get, CACHE_LEVEL, "get_cache_level", "Read the cache level", read_level_samples);
static EDIT_CACHE_LEVEL: Descriptor =
    descriptor(Method::Patch, CACHE_LEVEL, "edit_cache_level", "Set the cache level", edit_level_samples);
static GET_BROWSER_CACHE_TTL: Descriptor = descriptor(
    Method::Get,
    BROWSER_CACHE_TTL,
    "get_browser_cache_ttl",
    "Read the browser cache TTL",
    read_ttl_samples,
);
static EDIT_BROWSER_CACHE_TTL: Descriptor = descriptor(
    Method::Patch,
    BROWSER_CACHE_TTL,
    "edit_browser_cache_ttl",
    "Set the browser cache TTL",
    edit_ttl_samples,
);

const fn descriptor(
    method: Method,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Descriptor {
    Descriptor {
        name,
        summary,
        method,
        path,
        area: Area::Settings,
        replay: Replay::Safe,
        permission: settings_permission(method),
        plans: OF_ANY_PLAN,
        page: "https://developers.cloudflare.com/api/resources/zones/subresources/settings/",
        samples,
    }
}

fn level_stored(level: CacheLevel) -> String {
    success(&alloc::format!(r#"{{"id":"cache_level","editable":true,"value":"{level}"}}"#))
}

fn read_level_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::cache_level(&zone);
    Vec::from([
        sample("aggressive", &request, 200, level_stored(CacheLevel::Aggressive)),
        sample("refused", &request, 403, forbidden(request.descriptor())),
    ])
}

fn edit_level_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = |level| ApiRequest::set_cache_level(&zone, level);
    let basic = request(CacheLevel::Basic);
    Vec::from([
        sample("basic", &basic, 200, level_stored(CacheLevel::Basic)),
        sample("simplified", &request(CacheLevel::Simplified), 200, level_stored(CacheLevel::Simplified)),
        sample("refused", &basic, 403, forbidden(basic.descriptor())),
    ])
}

fn ttl_stored(seconds: u32) -> String {
    success(&alloc::format!(r#"{{"id":"browser_cache_ttl","editable":true,"value":{seconds}}}"#))
}

fn read_ttl_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::browser_cache_ttl(&zone);
    Vec::from([
        sample("default", &request, 200, ttl_stored(14400)),
        sample("refused", &request, 403, forbidden(request.descriptor())),
    ])
}

fn edit_ttl_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = |seconds| ApiRequest::set_browser_cache_ttl(&zone, seconds);
    let respect = request(0);
    Vec::from([
        sample("respect_origin", &respect, 200, ttl_stored(0)),
        sample("day", &request(86400), 200, ttl_stored(86400)),
        sample("refused", &respect, 403, forbidden(respect.descriptor())),
    ])
}
