//! `GET /zones` and `GET /zones/{zone_id}`

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Plan;
use crate::endpoint::{
    ApiRequest, Area, Descriptor, Method, Replay, Sample, example, refusal, sample, success,
};
use crate::id::ZoneId;

/// The maximum number of zones on a page (the minimum is 5).
pub const MAX_ZONES_PER_PAGE: u32 = 50;

/// A zone, with the fields that are reliably present; other fields have been removed without notice before.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Zone {
    /// Its id.
    pub id: String,
    /// Its name: a domain.
    pub name: String,
    /// `active`, `pending`, and others.
    #[serde(default)]
    pub status: Option<String>,
    /// Its plan, by the `legacy_id` of the API: `free`, `pro`, `business`, `enterprise`. The API has deprecated the field,
    /// but no other field contains the plan.
    #[serde(default, deserialize_with = "legacy_id")]
    pub plan: Option<String>,
}

/// Reads the `legacy_id` of a plan. Since the field is deprecated, anything else is treated as missing.
fn legacy_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let plan = Value::deserialize(deserializer)?;
    Ok(plan.get("legacy_id").and_then(Value::as_str).map(ToOwned::to_owned))
}

impl Zone {
    /// Returns the plan whose limits apply to the zone; `None` if the plan is missing or unknown.
    #[must_use]
    pub fn known_plan(&self) -> Option<Plan> {
        self.plan.as_deref()?.parse().ok()
    }
}

impl ApiRequest<Vec<Zone>> {
    /// Lists the zones that the token may read: a page, counted from 1, with the maximum number of zones.
    #[must_use]
    pub fn zones(page: u32) -> Self {
        Self::new(&LIST, []).with_query("page", page).with_query("per_page", MAX_ZONES_PER_PAGE)
    }

    /// Lists the zone with exactly this name. If there is none, the list is empty.
    #[must_use]
    pub fn zones_named(name: &str) -> Self {
        Self::new(&LIST, []).with_query("name", name)
    }
}

impl ApiRequest<Zone> {
    /// Reads the zone, for its name and plan.
    #[must_use]
    pub fn zone(zone: &ZoneId) -> Self {
        Self::new(&GET, [zone.as_str()])
    }
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[&LIST, &GET];

static LIST: Descriptor = Descriptor {
    name: "list_zones",
    summary: "List zones",
    method: Method::Get,
    path: "/zones",
    area: Area::Zones,
    replay: Replay::Safe,
    permission: "Zone Read",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/zones/methods/list/",
    samples: list_samples,
};

static GET: Descriptor = Descriptor {
    name: "get_zone",
    summary: "Read a zone",
    method: Method::Get,
    path: "/zones/{zone_id}",
    area: Area::Zones,
    replay: Replay::Safe,
    permission: "Zone Read",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/zones/methods/get/",
    samples: read_samples,
};

/// A zone as the API returns it, reduced to the fields that the examples have in common.
const SAMPLE_ZONE: &str = r#"{"id":"023e105f4ecef8ad9ca31a8372d0c353","name":"example.com","status":"active","paused":false,"type":"full","development_mode":0,"plan":{"id":"94f3b7b768b0458b56d2cac4fe5ec0f9","name":"Enterprise Website","legacy_id":"enterprise"}}"#;

fn list_samples() -> Vec<Sample> {
    let page = |zones: &str, count: u32, per_page: u32| {
        alloc::format!(
            r#"{{"result":[{zones}],"result_info":{{"page":1,"per_page":{per_page},"total_pages":{count},"count":{count},"total_count":{count}}},"success":true,"errors":[],"messages":[]}}"#
        )
    };
    Vec::from([
        sample("by_name", &ApiRequest::zones_named("example.com"), 200, page(SAMPLE_ZONE, 1, 20)),
        sample("by_name_none", &ApiRequest::zones_named("example.net"), 200, page("", 0, 20)),
        sample("page", &ApiRequest::zones(1), 200, page(SAMPLE_ZONE, 1, MAX_ZONES_PER_PAGE)),
        sample(
            "refused_permission",
            &ApiRequest::zones_named("example.com"),
            403,
            refusal(9109, "Unauthorized to access requested resource"),
        ),
    ])
}

fn read_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::zone(&zone);
    Vec::from([
        sample("found", &request, 200, success(SAMPLE_ZONE)),
        sample(
            "refused_permission",
            &request,
            403,
            refusal(9109, "Unauthorized to access requested resource"),
        ),
    ])
}
