//! `GET` and `PATCH /zones/{zone_id}/settings/browser_cache_ttl`: how long browsers keep what they were sent
//!
//! Source: <https://developers.cloudflare.com/api/resources/zones/subresources/settings/>, 2026-11.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::endpoint::{
    Area, Descriptor, Endpoint, Method, OF_ANY_PLAN, Replay, Sample, Setting, example, forbidden, sample,
    settings_permission, success,
};
use crate::id::ZoneId;

/// Reads how long browsers keep what they were sent, in seconds; 0 leaves it to the origin's headers.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GetBrowserCacheTtl<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
}

/// Sets how long browsers keep what they are sent.
///
/// Which times there are depends on the plan; the API refuses the others.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EditBrowserCacheTtl<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
    /// The time in seconds; 0 leaves it to the origin's headers.
    pub seconds: u32,
}

impl<'a> GetBrowserCacheTtl<'a> {
    /// Asks for the time of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId) -> Self {
        Self { zone }
    }
}

impl<'a> EditBrowserCacheTtl<'a> {
    /// Sets the time of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId, seconds: u32) -> Self {
        Self { zone, seconds }
    }
}

impl Endpoint for GetBrowserCacheTtl<'_> {
    type Reply = Setting<u64>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[0]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }
}

impl Endpoint for EditBrowserCacheTtl<'_> {
    type Reply = Setting<u64>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[1]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }

    fn body(&self) -> Option<String> {
        Some(alloc::format!(r#"{{"value":{}}}"#, self.seconds))
    }
}

pub(super) static ENDPOINTS: &[Descriptor] = &[
    descriptor(Method::Get, "get_browser_cache_ttl", "Read the browser cache TTL", read_samples),
    descriptor(Method::Patch, "edit_browser_cache_ttl", "Set the browser cache TTL", edit_samples),
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
        path: "/zones/{zone_id}/settings/browser_cache_ttl",
        area: Area::Settings,
        replay: Replay::Safe,
        permission: settings_permission(method),
        plans: OF_ANY_PLAN,
        page: "https://developers.cloudflare.com/api/resources/zones/subresources/settings/",
        samples,
    }
}

fn stored(seconds: u32) -> String {
    success(&alloc::format!(r#"{{"id":"browser_cache_ttl","editable":true,"value":{seconds}}}"#))
}

fn read_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = GetBrowserCacheTtl::new(&zone);
    Vec::from([
        sample("default", &request, 200, stored(14400)),
        sample("refused", &request, 403, forbidden(request.descriptor())),
    ])
}

fn edit_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = |seconds| EditBrowserCacheTtl::new(&zone, seconds);
    let respect = request(0);
    Vec::from([
        sample("respect_origin", &respect, 200, stored(0)),
        sample("day", &request(86400), 200, stored(86400)),
        sample("refused", &respect, 403, forbidden(respect.descriptor())),
    ])
}
