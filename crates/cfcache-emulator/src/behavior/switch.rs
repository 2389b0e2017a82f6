//! The on/off settings. Each is a row of the table, and all behave the same.

use core::time::Duration;

use cfcache_model::Plan;
use cfcache_model::endpoint::Method;
use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::ApiResponse;
use crate::behavior::{Call, invalid, not_available, not_set, reserve};
use crate::state::{StoredSwitch, ZoneSettings};

/// The properties of a setting.
pub(super) struct Rules {
    path: &'static str,
    /// The id in answers.
    id: &'static str,
    /// The smallest plan that has it.
    plan: Plan,
    /// Whether it can be read or deleted only after it was set.
    is_missing_at_first: bool,
    /// The time after which it turns itself off.
    lasts: Option<Duration>,
}

static SWITCHES: [Rules; 7] = [
    Rules {
        path: "/zones/{zone_id}/cache/cache_reserve",
        id: RESERVE,
        plan: Plan::Pro,
        is_missing_at_first: false,
        lasts: None,
    },
    Rules {
        path: "/zones/{zone_id}/cache/regional_tiered_cache",
        id: "tc_regional",
        plan: Plan::Enterprise,
        is_missing_at_first: false,
        lasts: None,
    },
    Rules {
        path: "/zones/{zone_id}/cache/tiered_cache_smart_topology_enable",
        id: "tiered_cache_smart_topology_enable",
        plan: Plan::Free,
        is_missing_at_first: true,
        lasts: None,
    },
    Rules {
        path: "/zones/{zone_id}/argo/tiered_caching",
        id: "tiered_caching",
        plan: Plan::Free,
        is_missing_at_first: false,
        lasts: None,
    },
    Rules {
        path: "/zones/{zone_id}/settings/development_mode",
        id: DEVELOPMENT,
        plan: Plan::Free,
        is_missing_at_first: false,
        // <https://developers.cloudflare.com/cache/reference/development-mode/>
        lasts: Some(Duration::from_secs(3 * 60 * 60)),
    },
    Rules {
        path: "/zones/{zone_id}/settings/always_online",
        id: "always_online",
        plan: Plan::Free,
        is_missing_at_first: false,
        lasts: None,
    },
    Rules {
        path: "/zones/{zone_id}/settings/sort_query_string_for_cache",
        id: "sort_query_string_for_cache",
        plan: Plan::Free,
        is_missing_at_first: false,
        lasts: None,
    },
];

const RESERVE: &str = "cache_reserve";
const DEVELOPMENT: &str = "development_mode";

/// Returns the properties of the setting with that path.
pub(super) fn rules(path: &str) -> Option<&'static Rules> {
    SWITCHES.iter().find(|rules| rules.path == path)
}

/// Reads, sets (or creates, which is the same) or deletes a setting.
pub(super) fn answer(rules: &Rules, settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    if call.config.plan < rules.plan {
        return not_available();
    }
    let stored = settings.switches.get(rules.id).copied();
    let is_missing = rules.is_missing_at_first && stored.is_none();
    match call.endpoint.method {
        Method::Get | Method::Delete if is_missing => not_set("retrieve", rules.id, 1142),
        Method::Get => to_json(rules, stored, call),
        Method::Delete => {
            settings.switches.remove(rules.id);
            let deleted = json!({ "id": rules.id, "editable": true, "modified_on": call.date(call.now) });
            ApiResponse::success(&deleted.to_string())
        }
        _ => set(rules, settings, stored, call).unwrap_or_else(|refusal| refusal),
    }
}

/// Returns whether Cache Reserve is on.
pub(super) fn is_reserve_on(settings: &ZoneSettings) -> bool {
    settings.switches.get(RESERVE).is_some_and(|reserve| reserve.on)
}

/// Returns the remaining seconds of Development Mode; negative for the seconds since it ended; `None` if it was never
/// on.
pub(super) fn development_mode(settings: &ZoneSettings, now: Duration) -> Option<i64> {
    settings.switches.get(DEVELOPMENT).and_then(|switch| switch.remaining(now))
}

/// Returns when Development Mode was turned on; `None` if it is off. Its automatic end is not considered here.
pub(crate) fn development_mode_since(settings: &ZoneSettings) -> Option<Duration> {
    settings.switches.get(DEVELOPMENT).filter(|switch| switch.on).map(|switch| switch.set)
}

fn set(
    rules: &Rules,
    settings: &mut ZoneSettings,
    stored: Option<StoredSwitch>,
    call: &Call<'_>,
) -> Result<ApiResponse, ApiResponse> {
    let on = match call.fields()?.get("value").and_then(Value::as_str) {
        Some("on") => true,
        Some("off") => false,
        _ => return Err(invalid(format!("invalid value for {}, must be on or off", rules.id))),
    };
    if on && rules.id == RESERVE && reserve::is_running(settings, call) {
        let message = "Cache Reserve cannot be turned on: a deletion is already in progress.";
        return Err(ApiResponse::refused(StatusCode::BAD_REQUEST, 1153, message));
    }
    let last_end = stored.and_then(|stored| stored.end);
    let end = match rules.lasts {
        Some(time) if on => Some(call.now + time),
        // Turned off before its end, or after it.
        _ => last_end.map(|end| end.min(call.now)),
    };
    let switch = StoredSwitch { on, set: call.now, end };
    settings.switches.insert(rules.id, switch);
    Ok(to_json(rules, Some(switch), call))
}

fn to_json(rules: &Rules, stored: Option<StoredSwitch>, call: &Call<'_>) -> ApiResponse {
    let is_on = stored.is_some_and(|switch| switch.on && switch.end.is_none_or(|end| call.now < end));
    let mut result = json!({ "id": rules.id, "editable": true, "value": if is_on { "on" } else { "off" } });
    if let Some(switch) = stored {
        result["modified_on"] = call.date(switch.set).into();
    }
    if rules.lasts.is_some() {
        let remaining = stored.and_then(|switch| switch.remaining(call.now));
        // Documented as a number, and as `false` without one.
        result["time_remaining"] = remaining.map_or(Value::Bool(false), Value::from);
    }
    ApiResponse::success(&result.to_string())
}

impl StoredSwitch {
    fn remaining(self, now: Duration) -> Option<i64> {
        let end = self.end?;
        let seconds = end.abs_diff(now).as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Some(if now < end { seconds } else { -seconds })
    }
}
