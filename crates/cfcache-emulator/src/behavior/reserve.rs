//! `GET` and `POST /zones/{zone_id}/cache/cache_reserve_clear`

use core::time::Duration;

use cfcache_model::Plan;
use http::StatusCode;
use serde_json::json;

use crate::answer::ApiResponse;
use crate::behavior::{Call, not_available, switch};
use crate::state::ZoneSettings;

/// Returns the state of the last clear.
pub(super) fn status(settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    match settings.clear {
        _ if call.config.plan < Plan::Pro => not_available(),
        Some(start) => to_json(start, call),
        None => {
            let message = "Unable to retrieve cache_reserve_clear setting value. The zone setting does not exist \
                           because you never performed a Cache Reserve Clear operation.";
            ApiResponse::refused(StatusCode::NOT_FOUND, 1142, message)
        }
    }
}

/// Starts a clear, with any body. If a clear is running, returns the state of that one.
pub(super) fn clear(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    if call.config.plan < Plan::Pro {
        return not_available();
    }
    if settings.is_on(switch::RESERVE) {
        let message = "Turn off Cache Reserve sync to proceed with deletion.";
        return ApiResponse::refused(StatusCode::BAD_REQUEST, 1152, message);
    }
    let start = match settings.clear {
        Some(start) if is_running(settings, call) => start,
        _ => *settings.clear.insert(call.now),
    };
    to_json(start, call)
}

/// Returns whether a clear is running.
pub(super) fn is_running(settings: &ZoneSettings, call: &Call<'_>) -> bool {
    settings.clear.is_some_and(|start| call.now < start + call.config.clear_time)
}

fn to_json(start: Duration, call: &Call<'_>) -> ApiResponse {
    let end = start + call.config.clear_time;
    let mut result =
        json!({ "id": "cache_reserve_clear", "start_ts": call.date(start), "state": "In-progress" });
    if call.now >= end {
        result["state"] = "Completed".into();
        result["end_ts"] = call.date(end).into();
    }
    ApiResponse::success(&result.to_string())
}
