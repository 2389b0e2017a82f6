//! `GET` and `PATCH` of every setting that is on or off; `POST` and `DELETE` of the one that can be created and deleted
//!
//! - `/zones/{zone_id}/cache/cache_reserve`
//! - `/zones/{zone_id}/cache/regional_tiered_cache`
//! - `/zones/{zone_id}/cache/tiered_cache_smart_topology_enable` (also `POST` and `DELETE`)
//! - `/zones/{zone_id}/argo/tiered_caching`
//! - `/zones/{zone_id}/settings/development_mode`
//! - `/zones/{zone_id}/settings/always_online`
//! - `/zones/{zone_id}/settings/sort_query_string_for_cache`

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::endpoint::{
    Area, Descriptor, Endpoint, Method, OF_ANY_PLAN, Replay, Sample, example, forbidden, refusal, sample,
    settings_permission, success,
};
use crate::id::ZoneId;

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Switch {
    /// Keeps cached files in persistent storage as well.
    CacheReserve,
    /// A second tier of caches between the lower and the upper one, in each region. Its id on the wire is `tc_regional`.
    RegionalTieredCache,
    /// Lets the vendor choose the upper tier that is closest to each origin.
    SmartTieredCache,
    /// Tiers at all (`argo/tiered_caching`): "generic" with Smart Tiered Cache off, "smart" with it on.
    TieredCaching,
    /// Bypasses the cache without purging it, and turns itself off after three hours.
    DevelopmentMode,
    /// Serves copies of pages while the origin is down.
    AlwaysOnline,
    /// Takes URLs for the same whose query strings have the same parts in another order.
    SortQueryString,
}

/// Reads a switch.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GetSwitch<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
    /// The setting.
    pub switch: Switch,
}

/// Turns a switch on or off.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EditSwitch<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
    /// The setting.
    pub switch: Switch,
    /// On or off.
    pub value: OnOff,
}

/// Creates Smart Tiered Cache's setting, where it was never set or was deleted.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CreateSmartTieredCache<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
    /// On or off.
    pub value: OnOff,
}

/// Deletes Smart Tiered Cache's setting, which is off then.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DeleteSmartTieredCache<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
}

/// What a switch is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing between")]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// A setting as the API tells it. Every part may be absent or null, and has been.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de>"))]
#[non_exhaustive]
pub struct Setting<V> {
    /// The id on the wire, which is not always the name in the path.
    #[serde(default)]
    pub id: Option<String>,
    /// Whether the API says that it can be changed. A change was seen to be accepted where it says no.
    #[serde(default)]
    pub editable: Option<bool>,
    /// When it was last changed, as RFC 3339.
    #[serde(default)]
    pub modified_on: Option<String>,
    /// What it is set to.
    #[serde(default)]
    pub value: Option<V>,
    /// Development Mode: seconds until it ends; negative, since it ended.
    #[serde(default, deserialize_with = "number_or_nothing")]
    pub time_remaining: Option<i64>,
}

impl Switch {
    /// All of them, in the order in which help and documents list them.
    pub const ALL: &'static [Self] = &[
        Self::CacheReserve,
        Self::RegionalTieredCache,
        Self::SmartTieredCache,
        Self::TieredCaching,
        Self::DevelopmentMode,
        Self::AlwaysOnline,
        Self::SortQueryString,
    ];

    /// The name that people use.
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

impl<'a> GetSwitch<'a> {
    /// Asks for a switch of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId, switch: Switch) -> Self {
        Self { zone, switch }
    }
}

impl<'a> EditSwitch<'a> {
    /// Sets a switch of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId, switch: Switch, value: OnOff) -> Self {
        Self { zone, switch, value }
    }
}

impl<'a> CreateSmartTieredCache<'a> {
    /// Creates the setting of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId, value: OnOff) -> Self {
        Self { zone, value }
    }
}

impl<'a> DeleteSmartTieredCache<'a> {
    /// Deletes the setting of a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId) -> Self {
        Self { zone }
    }
}

impl Endpoint for GetSwitch<'_> {
    type Reply = Setting<String>;

    fn descriptor(&self) -> &'static Descriptor {
        // Two for each switch, in the order of the enum.
        &ENDPOINTS[2 * self.switch as usize]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }
}

impl Endpoint for EditSwitch<'_> {
    type Reply = Setting<String>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[2 * self.switch as usize + 1]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }

    fn body(&self) -> Option<String> {
        Some(self.value.body())
    }
}

impl Endpoint for CreateSmartTieredCache<'_> {
    type Reply = Setting<String>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[14]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }

    fn body(&self) -> Option<String> {
        Some(self.value.body())
    }
}

impl Endpoint for DeleteSmartTieredCache<'_> {
    type Reply = Setting<String>;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINTS[15]
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }
}

impl OnOff {
    /// `on` or `off`, as the wire has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    fn body(self) -> String {
        alloc::format!(r#"{{"value":"{}"}}"#, self.as_str())
    }
}

impl fmt::Display for OnOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnOff {
    type Err = NeitherOnNorOff;

    fn from_str(text: &str) -> Result<Self, NeitherOnNorOff> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(NeitherOnNorOff),
        }
    }
}

/// The text is neither `on` nor `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is `on` or `off`")]
#[non_exhaustive]
pub struct NeitherOnNorOff;

/// `time_remaining` is a number by its type, and `false` where the mode was never on.
fn number_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
    Ok(value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)))
}

pub(super) static ENDPOINTS: &[Descriptor] = &[
    get(&RESERVE, "get_cache_reserve", || read_samples(&RESERVE)),
    edit(&RESERVE, "edit_cache_reserve", || edit_samples(&RESERVE)),
    get(&REGIONAL, "get_regional_tiered_cache", || read_samples(&REGIONAL)),
    edit(&REGIONAL, "edit_regional_tiered_cache", || edit_samples(&REGIONAL)),
    get(&SMART, "get_smart_tiered_cache", || read_samples(&SMART)),
    edit(&SMART, "edit_smart_tiered_cache", || edit_samples(&SMART)),
    get(&ARGO, "get_tiered_caching", || read_samples(&ARGO)),
    edit(&ARGO, "edit_tiered_caching", || edit_samples(&ARGO)),
    get(&DEVELOPMENT, "get_development_mode", || read_samples(&DEVELOPMENT)),
    edit(&DEVELOPMENT, "edit_development_mode", || edit_samples(&DEVELOPMENT)),
    get(&ALWAYS_ONLINE, "get_always_online", || read_samples(&ALWAYS_ONLINE)),
    edit(&ALWAYS_ONLINE, "edit_always_online", || edit_samples(&ALWAYS_ONLINE)),
    get(&SORT_QUERY_STRING, "get_sort_query_string", || read_samples(&SORT_QUERY_STRING)),
    edit(&SORT_QUERY_STRING, "edit_sort_query_string", || edit_samples(&SORT_QUERY_STRING)),
    descriptor(
        &SMART,
        Method::Post,
        Replay::UndeliveredOnly,
        "create_smart_tiered_cache",
        "Create Smart Tiered Cache's setting",
        create_samples,
    ),
    descriptor(
        &SMART,
        Method::Delete,
        Replay::UndeliveredOnly,
        "delete_smart_tiered_cache",
        "Delete Smart Tiered Cache's setting",
        delete_samples,
    ),
];

/// What differs between the settings.
struct Facts {
    switch: Switch,
    path: &'static str,
    /// The id in its answers.
    id: &'static str,
    plans: &'static str,
    page: &'static str,
    reads: &'static str,
    edits: &'static str,
    /// How it is refused, other than for a missing permission: status, code, text.
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

/// A refusal for that reason, or else for a missing permission.
fn refused_sample<E: Endpoint>(name: &'static str, request: &E, refused: Option<(u16, u32, &str)>) -> Sample {
    match refused {
        Some((status, code, text)) => sample(name, request, status, refusal(code, text)),
        None => sample(name, request, 403, forbidden(request.descriptor())),
    }
}

fn read_samples(facts: &Facts) -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = GetSwitch::new(&zone, facts.switch);
    Vec::from([
        sample("off", &request, 200, state(facts, "off")),
        refused_sample("refused", &request, facts.refused),
    ])
}

fn edit_samples(facts: &Facts) -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = |value| EditSwitch::new(&zone, facts.switch, value);
    // What an edit of a setting that does not exist answers is not documented.
    let refused = facts.refused.filter(|_| facts.switch != Switch::SmartTieredCache);
    let mut samples = Vec::from([
        sample("on", &request(OnOff::On), 200, state(facts, "on")),
        sample("off", &request(OnOff::Off), 200, state(facts, "off")),
        refused_sample("refused", &request(OnOff::On), refused),
    ]);
    if facts.switch == Switch::CacheReserve {
        let clearing = "Cache Reserve cannot be turned on: a deletion is already in progress.";
        samples.push(sample("refused_clearing", &request(OnOff::On), 400, refusal(1153, clearing)));
    }
    samples
}

fn create_samples() -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = CreateSmartTieredCache::new(&zone, OnOff::On);
    Vec::from([sample("on", &request, 200, state(&SMART, "on")), refused_sample("refused", &request, None)])
}

fn delete_samples() -> Vec<Sample> {
    let Some(zone) = zone() else { return Vec::new() };
    let request = DeleteSmartTieredCache::new(&zone);
    let deleted = r#"{"id":"tiered_cache_smart_topology_enable","editable":true}"#;
    Vec::from([
        sample("deleted", &request, 200, success(deleted)),
        refused_sample("refused_never_set", &request, SMART.refused),
    ])
}
