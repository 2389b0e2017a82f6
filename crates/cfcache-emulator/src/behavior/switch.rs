//! The on/off settings. All behave the same, with the exceptions that are stated here.

use core::time::Duration;

use cfcache_model::Plan;
use cfcache_model::endpoint::Method;
use http::StatusCode;
use serde_json::Value;

use crate::answer::ApiResponse;
use crate::behavior::{Call, deleted, invalid, not_available, not_set, reserve, setting};
use crate::state::ZoneSettings;

/// The path of each setting, and its id in answers.
const SWITCHES: [(&str, &str); 7] = [
    ("/zones/{zone_id}/cache/cache_reserve", RESERVE),
    ("/zones/{zone_id}/cache/regional_tiered_cache", REGIONAL),
    ("/zones/{zone_id}/cache/tiered_cache_smart_topology_enable", SMART_TOPOLOGY),
    ("/zones/{zone_id}/argo/tiered_caching", "tiered_caching"),
    ("/zones/{zone_id}/settings/development_mode", DEVELOPMENT),
    ("/zones/{zone_id}/settings/always_online", "always_online"),
    ("/zones/{zone_id}/settings/sort_query_string_for_cache", "sort_query_string_for_cache"),
];

pub(super) const RESERVE: &str = "cache_reserve";
const REGIONAL: &str = "tc_regional";
/// The only setting that can be read or deleted only after it was set.
const SMART_TOPOLOGY: &str = "tiered_cache_smart_topology_enable";
/// The only setting that turns itself off.
const DEVELOPMENT: &str = "development_mode";

/// <https://developers.cloudflare.com/cache/reference/development-mode/>
const DEVELOPMENT_TIME: Duration = Duration::from_secs(3 * 60 * 60);

/// Returns the id of the setting with that path.
pub(super) fn id(path: &str) -> Option<&'static str> {
    SWITCHES.iter().find(|(known, _)| *known == path).map(|(_, id)| *id)
}

/// Returns the smallest plan that has a setting.
fn smallest_plan(id: &str) -> Plan {
    match id {
        RESERVE => Plan::Pro,
        REGIONAL => Plan::Enterprise,
        _ => Plan::Free,
    }
}

/// Reads, sets (or creates, which is the same) or deletes a setting.
pub(super) fn answer(id: &'static str, settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    if call.config.plan < smallest_plan(id) {
        return not_available();
    }
    let is_missing = id == SMART_TOPOLOGY && settings.value(id).is_none();
    match call.endpoint.method {
        Method::Get | Method::Delete if is_missing => not_set("retrieve", id, 1142),
        Method::Get => to_json(id, settings, call),
        Method::Delete => {
            settings.values.remove(id);
            deleted(id, call)
        }
        _ => set(id, settings, call).unwrap_or_else(|refusal| refusal),
    }
}

/// Returns the remaining seconds of Development Mode; negative for the seconds since it ended; `None` if it was never
/// on.
pub(super) fn development_mode(settings: &ZoneSettings, now: Duration) -> Option<i64> {
    let end = settings.development_end?;
    let seconds = i64::try_from(end.abs_diff(now).as_secs()).unwrap_or(i64::MAX);
    Some(if now < end { seconds } else { -seconds })
}

/// Returns when Development Mode was turned on; `None` if it is off. Its automatic end is not considered here.
pub(crate) fn development_mode_since(settings: &ZoneSettings) -> Option<Duration> {
    settings.values.get(DEVELOPMENT).filter(|(value, _)| value == "on").map(|(_, set)| *set)
}

fn set(id: &'static str, settings: &mut ZoneSettings, call: &Call<'_>) -> Result<ApiResponse, ApiResponse> {
    let value = call.fields()?.remove("value").unwrap_or_default();
    let on = value == "on";
    if !on && value != "off" {
        return Err(invalid(format!("invalid value for {id}, must be on or off")));
    }
    if on && id == RESERVE && reserve::is_running(settings, call) {
        let message = "Cache Reserve cannot be turned on: a deletion is already in progress.";
        return Err(ApiResponse::refused(StatusCode::BAD_REQUEST, 1153, message));
    }
    if id == DEVELOPMENT {
        settings.development_end = if on {
            Some(call.now + DEVELOPMENT_TIME)
        } else {
            // Turned off before its end, or after it.
            settings.development_end.map(|end| end.min(call.now))
        };
    }
    settings.values.insert(id, (value, call.now));
    Ok(to_json(id, settings, call))
}

fn to_json(id: &str, settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let has_ended = id == DEVELOPMENT && settings.development_end.is_some_and(|end| call.now >= end);
    let value = if settings.is_on(id) && !has_ended { "on" } else { "off" };
    let set = settings.values.get(id).map(|(_, set)| *set);
    let mut shown = setting(id, &value.into(), set, call);
    if id == DEVELOPMENT {
        // Documented as a number, and as `false` without one.
        shown["time_remaining"] =
            development_mode(settings, call.now).map_or(Value::Bool(false), Value::from);
    }
    ApiResponse::success(&shown.to_string())
}
