//! `GET` and `PATCH` of every setting that is on or off; `POST` and `DELETE` of Smart Tiered Cache
//!
//! - `/zones/{zone_id}/cache/cache_reserve`
//! - `/zones/{zone_id}/cache/regional_tiered_cache`
//! - `/zones/{zone_id}/cache/tiered_cache_smart_topology_enable` (also `POST` and `DELETE`)
//! - `/zones/{zone_id}/argo/tiered_caching`
//! - `/zones/{zone_id}/settings/development_mode`
//! - `/zones/{zone_id}/settings/always_online`
//! - `/zones/{zone_id}/settings/sort_query_string_for_cache`

use alloc::string::String;
use alloc::vec::Vec;

use crate::endpoint::{
    ApiRequest, Area, Descriptor, Endpoint, Method, OF_ANY_PLAN, Replay, Sample, Setting, example, forbidden,
    refusal, sample, settings_permission, success,
};
use crate::id::ZoneId;

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Switch {
    /// Also keeps cached files in persistent storage.
    CacheReserve,
    /// A tier of caches in each region, between the lower and the upper tier. Its id in the API is `tc_regional`.
    RegionalTieredCache,
    /// Cloudflare chooses the upper tier that is closest to each origin.
    SmartTieredCache,
    /// Tiered Cache (`argo/tiered_caching`): "generic" if Smart Tiered Cache is off, "smart" if it is on.
    TieredCaching,
    /// Bypasses the cache without purging it, and turns itself off after three hours.
    DevelopmentMode,
    /// Serves copies of pages while the origin is down.
    AlwaysOnline,
    /// Ignores the order of the parts of a query string.
    SortQueryString,
}

impl Switch {
    /// All switches, in the order of help and documentation.
    pub const ALL: &'static [Self] = &[
        Self::CacheReserve,
        Self::RegionalTieredCache,
        Self::SmartTieredCache,
        Self::TieredCaching,
        Self::DevelopmentMode,
        Self::AlwaysOnline,
        Self::SortQueryString,
    ];

    /// The name in Cloudflare's documentation.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::CacheReserve => "Cache Reserve",
            Self::RegionalTieredCache => "Regional Tiered Cache",
            Self::SmartTieredCache => "Smart Tiered Cache",
            Self::TieredCaching => "Tiered Cache",
            Self::DevelopmentMode => "Development Mode",
            Self::AlwaysOnline => "Always Online",
            Self::SortQueryString => "Query String Sort",
        }
    }
}

impl ApiRequest<Setting<String>> {
    /// Reads a switch.
    #[must_use]
    pub fn switch(zone: &ZoneId, switch: Switch) -> Self {
        Self::new(switch.endpoints().0, [zone.as_str()])
    }

    /// Turns a switch on or off.
    #[must_use]
    pub fn set_switch(zone: &ZoneId, switch: Switch, is_on: bool) -> Self {
        Self::new(switch.endpoints().1, [zone.as_str()]).with_value(on_or_off(is_on))
    }

    /// Creates the setting of Smart Tiered Cache if it was never set or was deleted.
    #[must_use]
    pub fn create_smart_tiered_cache(zone: &ZoneId, is_on: bool) -> Self {
        Self::new(&CREATE_SMART, [zone.as_str()]).with_value(on_or_off(is_on))
    }

    /// Deletes the setting of Smart Tiered Cache, which turns it off.
    #[must_use]
    pub fn delete_smart_tiered_cache(zone: &ZoneId) -> Self {
        Self::new(&DELETE_SMART, [zone.as_str()])
    }
}

impl Switch {
    /// The endpoints that read and set it.
    const fn endpoints(self) -> (&'static Descriptor, &'static Descriptor) {
        match self {
            Self::CacheReserve => (&GET_RESERVE, &EDIT_RESERVE),
            Self::RegionalTieredCache => (&GET_REGIONAL, &EDIT_REGIONAL),
            Self::SmartTieredCache => (&GET_SMART, &EDIT_SMART),
            Self::TieredCaching => (&GET_ARGO, &EDIT_ARGO),
            Self::DevelopmentMode => (&GET_DEVELOPMENT, &EDIT_DEVELOPMENT),
            Self::AlwaysOnline => (&GET_ALWAYS_ONLINE, &EDIT_ALWAYS_ONLINE),
            Self::SortQueryString => (&GET_SORT_QUERY_STRING, &EDIT_SORT_QUERY_STRING),
        }
    }
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[
    &GET_RESERVE,
    &EDIT_RESERVE,
    &GET_REGIONAL,
    &EDIT_REGIONAL,
    &GET_SMART,
    &EDIT_SMART,
    &GET_ARGO,
    &EDIT_ARGO,
    &GET_DEVELOPMENT,
    &EDIT_DEVELOPMENT,
    &GET_ALWAYS_ONLINE,
    &EDIT_ALWAYS_ONLINE,
    &GET_SORT_QUERY_STRING,
    &EDIT_SORT_QUERY_STRING,
    &CREATE_SMART,
    &DELETE_SMART,
];

static GET_RESERVE: Descriptor = get(&RESERVE, "get_cache_reserve", || read_samples(&RESERVE));
static EDIT_RESERVE: Descriptor = edit(&RESERVE, "edit_cache_reserve", || edit_samples(&RESERVE));
static GET_REGIONAL: Descriptor = get(&REGIONAL, "get_regional_tiered_cache", || read_samples(&REGIONAL));
static EDIT_REGIONAL: Descriptor = edit(&REGIONAL, "edit_regional_tiered_cache", || edit_samples(&REGIONAL));
static GET_SMART: Descriptor = get(&SMART, "get_smart_tiered_cache", || read_samples(&SMART));
static EDIT_SMART: Descriptor = edit(&SMART, "edit_smart_tiered_cache", || edit_samples(&SMART));
static GET_ARGO: Descriptor = get(&ARGO, "get_tiered_caching", || read_samples(&ARGO));
static EDIT_ARGO: Descriptor = edit(&ARGO, "edit_tiered_caching", || edit_samples(&ARGO));
static GET_DEVELOPMENT: Descriptor = get(&DEVELOPMENT, "get_development_mode", || read_samples(&DEVELOPMENT));
static EDIT_DEVELOPMENT: Descriptor =
    edit(&DEVELOPMENT, "edit_development_mode", || edit_samples(&DEVELOPMENT));
static GET_ALWAYS_ONLINE: Descriptor =
    get(&ALWAYS_ONLINE, "get_always_online", || read_samples(&ALWAYS_ONLINE));
static EDIT_ALWAYS_ONLINE: Descriptor =
    edit(&ALWAYS_ONLINE, "edit_always_online", || edit_samples(&ALWAYS_ONLINE));
static GET_SORT_QUERY_STRING: Descriptor =
    get(&SORT_QUERY_STRING, "get_sort_query_string", || read_samples(&SORT_QUERY_STRING));
static EDIT_SORT_QUERY_STRING: Descriptor =
    edit(&SORT_QUERY_STRING, "edit_sort_query_string", || edit_samples(&SORT_QUERY_STRING));
static CREATE_SMART: Descriptor = descriptor(
    &SMART,
    Method::Post,
    Replay::UndeliveredOnly,
    "create_smart_tiered_cache",
    "Create Smart Tiered Cache's setting",
    create_samples,
);
static DELETE_SMART: Descriptor = descriptor(
    &SMART,
    Method::Delete,
    Replay::UndeliveredOnly,
    "delete_smart_tiered_cache",
    "Delete Smart Tiered Cache's setting",
    delete_samples,
);

/// The facts that differ between the settings.
struct Facts {
    switch: Switch,
    path: &'static str,
    /// The id in the responses.
    id: &'static str,
    plans: &'static str,
    page: &'static str,
    reads: &'static str,
    edits: &'static str,
    /// The refusal, if it is not for a missing permission: status, code, text.
    refused: Option<(u16, u32, &'static str)>,
}

const NOT_AVAILABLE: Option<(u16, u32, &str)> =
    Some((403, 1135, "This setting is not available for your plan type"));

static RESERVE: Facts = Facts {
    switch: Switch::CacheReserve,
    path: "/zones/{zone_id}/cache/cache_reserve",
    id: "cache_reserve",
    plans: "paid plans with a Cache Reserve subscription",
    page: "https://developers.cloudflare.com/api/resources/cache/subresources/cache_reserve/",
    reads: "Read Cache Reserve",
    edits: "Turn Cache Reserve on or off",
    refused: NOT_AVAILABLE,
};

static REGIONAL: Facts = Facts {
    switch: Switch::RegionalTieredCache,
    path: "/zones/{zone_id}/cache/regional_tiered_cache",
    id: "tc_regional",
    plans: "Enterprise, or Smart Shield Advanced",
    page: "https://developers.cloudflare.com/api/resources/cache/subresources/regional_tiered_cache/",
    reads: "Read Regional Tiered Cache",
    edits: "Turn Regional Tiered Cache on or off",
    refused: NOT_AVAILABLE,
};

static SMART: Facts = Facts {
    switch: Switch::SmartTieredCache,
    path: "/zones/{zone_id}/cache/tiered_cache_smart_topology_enable",
    id: "tiered_cache_smart_topology_enable",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/cache/subresources/smart_tiered_cache/",
    reads: "Read Smart Tiered Cache",
    edits: "Turn Smart Tiered Cache on or off",
    refused: Some((
        404,
        1142,
        "Unable to retrieve tiered_cache_smart_topology_enable setting value. The zone setting does not exist.",
    )),
};

static ARGO: Facts = Facts {
    switch: Switch::TieredCaching,
    path: "/zones/{zone_id}/argo/tiered_caching",
    id: "tiered_caching",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/argo/subresources/tiered_caching/",
    reads: "Read Tiered Cache",
    edits: "Turn Tiered Cache on or off",
    refused: None,
};

static DEVELOPMENT: Facts = Facts {
    switch: Switch::DevelopmentMode,
    path: "/zones/{zone_id}/settings/development_mode",
    id: "development_mode",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/zones/subresources/settings/",
    reads: "Read Development Mode",
    edits: "Turn Development Mode on or off",
    refused: None,
};

static ALWAYS_ONLINE: Facts = Facts {
    switch: Switch::AlwaysOnline,
    path: "/zones/{zone_id}/settings/always_online",
    id: "always_online",
    plans: OF_ANY_PLAN,
    page: "https://developers.cloudflare.com/api/resources/zones/subresources/settings/",
    reads: "Read Always Online",
    edits: "Turn Always Online on or off",
    refused: None,
};

static SORT_QUERY_STRING: Facts = Facts {
    switch: Switch::SortQueryString,
    path: "/zones/{zone_id}/settings/sort_query_string_for_cache",
    id: "sort_query_string_for_cache",
    plans: OF_ANY_PLAN,
    page: "https://developers.cloudflare.com/api/resources/zones/subresources/settings/",
    reads: "Read Query String Sort",
    edits: "Turn Query String Sort on or off",
    refused: None,
};

const fn get(facts: &Facts, name: &'static str, samples: fn() -> Vec<Sample>) -> Descriptor {
    descriptor(facts, Method::Get, Replay::Safe, name, facts.reads, samples)
}

const fn edit(facts: &Facts, name: &'static str, samples: fn() -> Vec<Sample>) -> Descriptor {
    descriptor(facts, Method::Patch, Replay::Safe, name, facts.edits, samples)
}

const fn descriptor(
    facts: &Facts,
    method: Method,
    replay: Replay,
    name: &'static str,
    summary: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Descriptor {
    Descriptor {
        name,
        summary,
        method,
        path: facts.path,
        area: Area::Settings,
        replay,
        permission: settings_permission(method),
        plans: facts.plans,
        page: facts.page,
        samples,
    }
}

/// A value as in the API.
const fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

fn zone() -> Option<ZoneId> {
    ZoneId::parse(example::ZONE_ID).ok()
}

fn state(facts: &Facts, value: &str) -> String {
    let id = facts.id;
    let remaining = match facts.switch {
        Switch::DevelopmentMode if value == "on" => r#","time_remaining":10800"#,
        Switch::DevelopmentMode => r#","time_remaining":false"#,
        _ => "",
    };
    success(&alloc::format!(r#"{{"id":"{id}","editable":true,"value":"{value}"{remaining}}}"#))
}

/// A refusal for the given reason, or for a missing permission if there is none.
fn refused_sample<E: Endpoint>(name: &'static str, request: &E, refused: Option<(u16, u32, &str)>) -> Sample {
    match refused {
        Some((status, code, text)) => sample(name, request, status, refusal(code, text)),
        None => sample(name, request, 403, forbidden(request.descriptor())),
    }
}

fn read_samples(facts: &Facts) -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = ApiRequest::switch(&zone, facts.switch);
    Vec::from([
        sample("off", &request, 200, state(facts, "off")),
        refused_sample("refused", &request, facts.refused),
    ])
}

fn edit_samples(facts: &Facts) -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = |is_on| ApiRequest::set_switch(&zone, facts.switch, is_on);
    // The response to editing a setting that does not exist is not documented.
    let refused = facts.refused.filter(|_| facts.switch != Switch::SmartTieredCache);
    let mut samples = Vec::from([
        sample("on", &request(true), 200, state(facts, "on")),
        sample("off", &request(false), 200, state(facts, "off")),
        refused_sample("refused", &request(true), refused),
    ]);
    if facts.switch == Switch::CacheReserve {
        let clearing = "Cache Reserve cannot be turned on: a deletion is already in progress.";
        samples.push(sample("refused_clearing", &request(true), 400, refusal(1153, clearing)));
    }
    samples
}

fn create_samples() -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = ApiRequest::create_smart_tiered_cache(&zone, true);
    Vec::from([sample("on", &request, 200, state(&SMART, "on")), refused_sample("refused", &request, None)])
}

fn delete_samples() -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = ApiRequest::delete_smart_tiered_cache(&zone);
    let deleted = r#"{"id":"tiered_cache_smart_topology_enable","editable":true}"#;
    Vec::from([
        sample("deleted", &request, 200, success(deleted)),
        refused_sample("refused_never_set", &request, SMART.refused),
    ])
}
