//! `GET` and `PATCH /zones/{zone_id}/settings/cache_level`: what of a query string is part of a cache key
//!
//! Source: <https://developers.cloudflare.com/api/resources/zones/subresources/settings/>, 2026-11.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::endpoint::{
    Area, Descriptor, Endpoint, Method, OF_ANY_PLAN, Replay, Sample, Setting, example, forbidden, sample,
    settings_permission, success,
};
use crate::id::ZoneId;

/// What of a query string is part of a cache key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheLevel {
    /// All of it. The dashboard calls it "Standard".
    Aggressive,
    /// A URL with a query string is not served from the cache. The dashboard calls it "No query string".
    Basic,
    /// Nothing of it. The dashboard calls it "Ignore query string".
    Simplified,
}

impl CacheLevel {
    /// All of them, in the order of the API's documentation.
    pub const ALL: &'static [Self] = &[Self::Aggressive, Self::Basic, Self::Simplified];

    /// The level as the wire has it.
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
    type Err = InvalidCacheLevel;

    fn from_str(text: &str) -> Result<Self, InvalidCacheLevel> {
        Self::ALL.iter().copied().find(|level| level.as_str() == text).ok_or(InvalidCacheLevel)
    }
}

/// The text is no cache level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is `aggressive`, `basic` or `simplified`")]
#[non_exhaustive]
pub struct InvalidCacheLevel;

/// Reads the cache level.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GetCacheLevel<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
}

/// Sets the cache level.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EditCacheLevel<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
    /// The level.
    pub level: CacheLevel,
}

impl<'a> GetCacheLevel<'a> {
    /// Asks for the cache level of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId) -> Self {
        Self { zone }
    }
}

impl<'a> EditCacheLevel<'a> {
    /// Sets the cache level of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId, level: CacheLevel) -> Self {
        Self { zone, level }
    }
}

impl Endpoint for GetCacheLevel<'_> {
    type Reply = Setting<String>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[0]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }
}

impl Endpoint for EditCacheLevel<'_> {
    type Reply = Setting<String>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[1]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }

    fn body(&self) -> Option<String> {
        Some(alloc::format!(r#"{{"value":"{}"}}"#, self.level))
    }
}

pub(super) static ENDPOINTS: &[Descriptor] = &[
    descriptor(Method::Get, "get_cache_level", "Read the cache level", read_samples),
    descriptor(Method::Patch, "edit_cache_level", "Set the cache level", edit_samples),
];

const fn descriptor(
    method: Method,
    name: &'static str,
    summary: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Descriptor {
    Descriptor {
        name,
        summary,
        method,
        path: "/zones/{zone_id}/settings/cache_level",
        area: Area::Settings,
        replay: Replay::Safe,
        permission: settings_permission(method),
        plans: OF_ANY_PLAN,
        page: "https://developers.cloudflare.com/api/resources/zones/subresources/settings/",
        samples,
    }
}

fn stored(level: CacheLevel) -> String {
    success(&alloc::format!(r#"{{"id":"cache_level","editable":true,"value":"{level}"}}"#))
}

fn read_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = GetCacheLevel::new(&zone);
    Vec::from([
        sample("aggressive", &request, 200, stored(CacheLevel::Aggressive)),
        sample("refused", &request, 403, forbidden(request.descriptor())),
    ])
}

fn edit_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = |level| EditCacheLevel::new(&zone, level);
    let basic = request(CacheLevel::Basic);
    Vec::from([
        sample("basic", &basic, 200, stored(CacheLevel::Basic)),
        sample("simplified", &request(CacheLevel::Simplified), 200, stored(CacheLevel::Simplified)),
        sample("refused", &basic, 403, forbidden(basic.descriptor())),
    ])
}
