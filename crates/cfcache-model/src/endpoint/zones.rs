//! `GET /zones` and `GET /zones/{zone_id}`

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use crate::Plan;
use crate::endpoint::{
    Area, Descriptor, Endpoint, Method, Replay, Sample, ZoneRequest, example, refusal, sample, success,
};
use crate::id::ZoneId;

/// The maximum number of zones on a page (the minimum is 5).
pub const MAX_ZONES_PER_PAGE: u32 = 50;

/// Lists the zones that the token may read, one page at a time.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListZones<'a> {
    /// Only the zone with exactly this name.
    pub name: Option<&'a str>,
    /// The page, counted from 1; `None` for the first.
    pub page: Option<u32>,
    /// Zones per page, from 5 to [`MAX_ZONES_PER_PAGE`]; `None` for the API's default, 20.
    pub per_page: Option<u32>,
}

impl<'a> ListZones<'a> {
    /// Requests the zone with that name. If there is none, the list is empty.
    #[must_use]
    pub fn named(name: &'a str) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// Requests a page with the maximum number of zones.
    #[must_use]
    pub fn page(page: u32) -> Self {
        Self { page: Some(page), per_page: Some(MAX_ZONES_PER_PAGE), ..Self::default() }
    }
}

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
    /// Its plan. The API has deprecated the field, but no other field contains the plan.
    #[serde(default)]
    pub plan: Option<ZonePlan>,
}

/// The plan of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ZonePlan {
    /// `free`, `pro`, `business`, `enterprise`.
    #[serde(default)]
    pub legacy_id: Option<String>,
    /// The display name, such as `Enterprise Website`.
    #[serde(default)]
    pub name: Option<String>,
}

impl Zone {
    /// Returns the plan whose limits apply to the zone; `None` if the plan is missing or unknown.
    #[must_use]
    pub fn known_plan(&self) -> Option<Plan> {
        self.plan.as_ref()?.legacy_id.as_deref()?.parse().ok()
    }
}

impl Endpoint for ListZones<'_> {
    type Reply = Vec<Zone>;

    fn descriptor(&self) -> &'static Descriptor {
        &LIST
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    fn query(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let number = |name, number: Option<u32>| number.map(|number| (name, number.to_string().into()));
        let name = self.name.map(|name| ("name", name.into()));
        [name, number("page", self.page), number("per_page", self.per_page)].into_iter().flatten().collect()
    }
}

impl<'a> ZoneRequest<'a, Zone> {
    /// Reads the zone, for its name and plan.
    #[must_use]
    pub const fn zone(zone: &'a ZoneId) -> Self {
        Self::new(zone, &GET)
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
        sample("by_name", &ListZones::named("example.com"), 200, page(SAMPLE_ZONE, 1, 20)),
        sample("by_name_none", &ListZones::named("example.net"), 200, page("", 0, 20)),
        sample("page", &ListZones::page(1), 200, page(SAMPLE_ZONE, 1, MAX_ZONES_PER_PAGE)),
        sample(
            "refused_permission",
            &ListZones::named("example.com"),
            403,
            refusal(9109, "Unauthorized to access requested resource"),
        ),
    ])
}

fn read_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ZoneRequest::zone(&zone);
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
