//! `GET`, `PATCH` and `DELETE /zones/{zone_id}/cache/variants`

use core::time::Duration;

use cfcache_model::Plan;
use cfcache_model::endpoint::Method;
use serde_json::Value;

use crate::answer::ApiResponse;
use crate::behavior::{Call, deleted, invalid, not_available, not_set, setting};
use crate::state::ZoneSettings;

/// <https://developers.cloudflare.com/api/resources/cache/subresources/variants/>, 2026-10. Not taken from the model,
/// because the client checks its requests with the model's list.
const EXTENSIONS: [&str; 11] =
    ["avif", "bmp", "gif", "jp2", "jpeg", "jpg", "jpg2", "png", "tif", "tiff", "webp"];

/// The id of the setting.
const VARIANTS: &str = "variants";

/// Reads, replaces or deletes the variants.
pub(super) fn answer(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    if call.config.plan < Plan::Pro {
        return not_available();
    }
    match call.endpoint.method {
        Method::Get => match settings.values.get(VARIANTS) {
            None => not_set("retrieve", VARIANTS, 1142),
            Some((value, set)) => to_json(value, *set, call),
        },
        Method::Delete => match settings.values.remove(VARIANTS) {
            None => not_set("delete", VARIANTS, 1144),
            Some(_) => deleted(VARIANTS, call),
        },
        _ => match checked(call) {
            Err(refusal) => refusal,
            Ok(value) => {
                let answer = to_json(&value, call.now, call);
                settings.values.insert(VARIANTS, (value, call.now));
                answer
            }
        },
    }
}

/// Returns the `value` of the body, if it conforms to the schema. Null instead of a list is accepted, because reads
/// have returned it.
fn checked(call: &Call<'_>) -> Result<Value, ApiResponse> {
    let value = call.fields()?.remove("value").unwrap_or_default();
    let Some(variants) = value.as_object() else {
        return Err(invalid("invalid value for variants, must be an object"));
    };
    for (extension, types) in variants {
        if !EXTENSIONS.contains(&extension.as_str()) {
            let known = EXTENSIONS.join(", ");
            return Err(invalid(format!("invalid value for variants, extensions must be among {known}")));
        }
        let is_good = match types {
            Value::Null => true,
            Value::Array(types) => {
                let is_new = |(index, kind): (usize, &Value)| !types[..index].contains(kind);
                types.iter().all(Value::is_string) && types.iter().enumerate().all(is_new)
            }
            _ => false,
        };
        if !is_good {
            return Err(invalid(format!(
                "invalid value for variants, {extension} must be an array of unique strings"
            )));
        }
    }
    Ok(value)
}

fn to_json(value: &Value, set: Duration, call: &Call<'_>) -> ApiResponse {
    ApiResponse::success(&setting(VARIANTS, value, Some(set), call).to_string())
}
