//! `GET` and `POST /zones/{zone_id}/cache/cache_reserve_clear`
//!
//! Clearing removes everything from Cache Reserve, which must be off and cannot be turned on while a clear runs. A
//! clear cannot be undone or canceled. It usually takes up to 24 hours.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use crate::endpoint::{
    ApiRequest, Area, Descriptor, Method, Replay, Sample, example, refusal, sample, settings_permission,
    success,
};
use crate::id::ZoneId;

/// The state of a clear.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CacheReserveClear {
    /// The id, which is `cache_reserve_clear`.
    #[serde(default)]
    pub id: Option<String>,
    /// `In-progress` or `Completed`; no other is documented.
    pub state: String,
    /// When it started, in RFC 3339 format.
    #[serde(default)]
    pub start_ts: Option<String>,
    /// When it ended, in RFC 3339 format.
    #[serde(default)]
    pub end_ts: Option<String>,
}

impl CacheReserveClear {
    /// Returns whether it has ended.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.state.eq_ignore_ascii_case("completed")
    }

    /// Returns whether it is still running.
    #[must_use]
    pub fn is_in_progress(&self) -> bool {
        self.state.eq_ignore_ascii_case("in-progress")
    }
}

impl ApiRequest<CacheReserveClear> {
    /// Reads the state of the latest clear.
    #[must_use]
    pub fn cache_reserve_clear(zone: &ZoneId) -> Self {
        Self::new(&GET, [zone.as_str()])
    }

    /// Starts a clear.
    #[must_use]
    pub fn clear_cache_reserve(zone: &ZoneId) -> Self {
        // The schema requires a body but uses none of it; the reference's `curl` example sends none.
        Self::new(&CLEAR, [zone.as_str()]).with_body("{}".to_owned())
    }
}

pub(super) static ENDPOINTS: &[&Descriptor] = &[&GET, &CLEAR];

static GET: Descriptor = descriptor(
    Method::Get,
    // Reading changes nothing.
    Replay::Safe,
    "get_cache_reserve_clear",
    "Read the state of a Cache Reserve clear",
    read_samples,
);

static CLEAR: Descriptor = descriptor(
    Method::Post,
    // The effect of a second clear while one runs is not documented.
    Replay::UndeliveredOnly,
    "clear_cache_reserve",
    "Clear Cache Reserve",
    clear_samples,
);

const fn descriptor(
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
        path: "/zones/{zone_id}/cache/cache_reserve_clear",
        area: Area::Settings,
        replay,
        permission: settings_permission(method),
        plans: "paid plans with a Cache Reserve subscription",
        page: "https://developers.cloudflare.com/api/resources/cache/subresources/cache_reserve/",
        samples,
    }
}

fn read_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::cache_reserve_clear(&zone);
    let completed = r#"{"id":"cache_reserve_clear","start_ts":"2023-10-02T10:00:00.12345Z","end_ts":"2023-10-02T12:00:00.12345Z","state":"Completed"}"#;
    Vec::from([
        sample("completed", &request, 200, success(completed)),
        sample("refused_never", &request, 404, refusal(1142, NEVER)),
    ])
}

fn clear_samples() -> Vec<Sample> {
    let Ok(zone) = ZoneId::parse(example::ZONE_ID) else { return Vec::new() };
    let request = ApiRequest::clear_cache_reserve(&zone);
    let begun =
        r#"{"id":"cache_reserve_clear","start_ts":"2023-10-02T10:00:00.12345Z","state":"In-progress"}"#;
    let is_on = "Turn off Cache Reserve sync to proceed with deletion.";
    Vec::from([
        sample("begun", &request, 200, success(begun)),
        sample("refused_on", &request, 400, refusal(1152, is_on)),
    ])
}

const NEVER: &str = "Unable to retrieve cache_reserve_clear setting value. The zone setting does not exist because you never performed a Cache Reserve Clear operation.";
