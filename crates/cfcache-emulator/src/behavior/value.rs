//! `GET` and `PATCH` of the settings with other values than on and off: `/zones/{zone_id}/settings/cache_level` and
//! `…/browser_cache_ttl`

use cfcache_model::endpoint::Method;
use serde_json::Value;

use crate::answer::ApiResponse;
use crate::behavior::{Call, invalid, setting};
use crate::state::ZoneSettings;

const CACHE_LEVEL: &str = "cache_level";
const BROWSER_CACHE_TTL: &str = "browser_cache_ttl";

/// <https://developers.cloudflare.com/api/resources/zones/subresources/settings/>, 2026-11.
const CACHE_LEVELS: [&str; 3] = ["aggressive", "basic", "simplified"];

/// The default: four hours. A choice.
const DEFAULT_TTL: u64 = 14_400;

/// Reads or sets the cache level.
pub(super) fn cache_level(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let is_level = |value: &Value| value.as_str().is_some_and(|level| CACHE_LEVELS.contains(&level));
    answer(settings, call, CACHE_LEVEL, &"aggressive".into(), is_level)
        .unwrap_or_else(|| invalid("invalid value for cache_level, must be aggressive, basic or simplified"))
}

/// Reads or sets the browser cache TTL to any number of seconds. The sources do not say which values a plan allows.
pub(super) fn browser_cache_ttl(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    answer(settings, call, BROWSER_CACHE_TTL, &DEFAULT_TTL.into(), Value::is_u64)
        .unwrap_or_else(|| invalid("invalid value for browser_cache_ttl, must be a number of seconds"))
}

/// Returns `None` if the value in the body is invalid.
fn answer(
    settings: &mut ZoneSettings,
    call: &Call<'_>,
    id: &'static str,
    default: &Value,
    is_good: impl Fn(&Value) -> bool,
) -> Option<ApiResponse> {
    if call.endpoint.method != Method::Get {
        let value = call.fields().ok()?.remove("value").filter(is_good)?;
        settings.values.insert(id, (value, call.now));
    }
    let shown = match settings.values.get(id) {
        Some((value, set)) => setting(id, value, Some(*set), call),
        None => setting(id, default, None, call),
    };
    Some(ApiResponse::success(&shown.to_string()))
}
