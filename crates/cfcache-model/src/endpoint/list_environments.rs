//! `GET /zones/{zone_id}/environments`

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use crate::endpoint::{
    ApiRequest, Area, Descriptor, Endpoint, Method, Replay, Sample, example, forbidden, sample, success,
};
use crate::id::ZoneId;

impl ApiRequest<Environments> {
    /// Lists the environments of a zone with Version Management. The list has no pages.
    #[must_use]
    pub fn environments(zone: &ZoneId) -> Self {
        Self::new(&ENDPOINT, [zone.as_str()])
    }
}

/// The environments of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Environments {
    /// The environments, in the order in which they are matched to a request.
    pub environments: Vec<Environment>,
}

/// An environment of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// Its name: `Production`, `Staging`, and others.
    pub name: String,
    /// Its id, which purge and invalidate use. (The API calls it `ref` here.)
    #[serde(rename = "ref")]
    pub id: String,
    /// The version of its configuration.
    #[serde(default)]
    pub version: Option<i64>,
    /// The rule expression that selects its requests.
    #[serde(default)]
    pub expression: Option<String>,
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[&ENDPOINT];

static ENDPOINT: Descriptor = Descriptor {
    name: "list_environments",
    summary: "List the environments of a zone",
    method: Method::Get,
    path: "/zones/{zone_id}/environments",
    area: Area::Zones,
    replay: Replay::Safe,
    permission: "Zone Versioning Read",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/zones/subresources/environments/methods/list/",
    samples,
};

fn samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::environments(&zone);
    let environments = r#"{"environments":[{"name":"Production","ref":"12f4c9a5f0d14b7a9b8e7d6c5b4a39","version":0,"expression":"","locked_on_deployment":false,"position":{"after":"8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"}},{"name":"Staging","ref":"4e9f1d2a7b8c3f60a5d4e3c2b1a09f","version":0,"expression":"(http.request.cookies[\"cf_env\"][0] eq \"staging\")","locked_on_deployment":false,"position":{"before":"8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"}},{"name":"Development","ref":"8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c","version":0,"expression":"(ip.src in {192.0.2.0/24})","locked_on_deployment":false,"position":{"before":"12f4c9a5f0d14b7a9b8e7d6c5b4a39"}}]}"#;
    Vec::from([
        sample("three", &request, 200, success(environments)),
        sample("refused_permission", &request, 403, forbidden(request.descriptor())),
    ])
}
