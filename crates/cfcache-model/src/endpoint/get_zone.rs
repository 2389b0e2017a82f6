//! `GET /zones/{zone_id}`

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::endpoint::list_zones::{SAMPLE_ZONE, Zone};
use crate::endpoint::{
    Area, Descriptor, Endpoint, Method, Replay, Sample, example, refusal, sample, success,
};
use crate::id::ZoneId;

/// Reads one zone, for its name and plan.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct GetZone<'a> {
    /// The zone.
    pub zone: &'a ZoneId,
}

impl<'a> GetZone<'a> {
    /// Reads a zone.
    #[must_use]
    pub const fn new(zone: &'a ZoneId) -> Self {
        Self { zone }
    }
}

impl Endpoint for GetZone<'_> {
    type Reply = Zone;

    fn descriptor(&self) -> &'static Descriptor {
        &ENDPOINT
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        Vec::from([self.zone.as_str().into()])
    }
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[&ENDPOINT];

static ENDPOINT: Descriptor = Descriptor {
    name: "get_zone",
    summary: "Read a zone",
    method: Method::Get,
    path: "/zones/{zone_id}",
    area: Area::Zones,
    replay: Replay::Safe,
    permission: "Zone Read",
    plans: "all plans",
    page: "https://developers.cloudflare.com/api/resources/zones/methods/get/",
    samples,
};

fn samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = GetZone::new(&zone);
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
