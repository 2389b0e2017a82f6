//! `GET`, `PATCH` and `DELETE /zones/{zone_id}/cache/variants`

use core::time::Duration;

use cfcache_model::Plan;
use cfcache_model::endpoint::Method;
use serde_json::{Map, Value, json};

use crate::answer::ApiResponse;
use crate::behavior::{Call, invalid, not_available, not_set};
use crate::state::ZoneSettings;

/// <https://developers.cloudflare.com/api/resources/cache/subresources/variants/>, 2026-10. Not taken from the model,
/// because the client checks its requests with the model's list.
const EXTENSIONS: [&str; 11] =
    ["avif", "bmp", "gif", "jp2", "jpeg", "jpg", "jpg2", "png", "tif", "tiff", "webp"];

/// Reads, replaces or deletes the variants.
pub(super) fn answer(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    if call.config.plan < Plan::Pro {
        return not_available();
    }
    match call.endpoint.method {
        Method::Get => match &settings.variants {
            None => not_set("retrieve", "variants", 1142),
            Some((value, set)) => to_json(value, *set, call),
        },
        Method::Delete => match settings.variants.take() {
            None => not_set("delete", "variants", 1144),
            Some(_) => {
                let deleted =
                    json!({ "id": "variants", "editable": true, "modified_on": call.date(call.now) });
                ApiResponse::success(&deleted.to_string())
            }
        },
        _ => match checked(call) {
            Err(refusal) => refusal,
            Ok(value) => {
                let (value, set) = settings.variants.insert((value, call.now));
                to_json(value, *set, call)
            }
        },
    }
}

/// Returns the `value` of the body, if it conforms to the schema. Null instead of a list is accepted, because reads
/// have returned it.
fn checked(call: &Call<'_>) -> Result<Map<String, Value>, ApiResponse> {
    let Some(Value::Object(value)) = call.fields()?.remove("value") else {
        return Err(invalid("invalid value for variants, must be an object"));
    };
    for (extension, types) in &value {
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

fn to_json(value: &Map<String, Value>, set: Duration, call: &Call<'_>) -> ApiResponse {
    let result = json!({
        "id": "variants",
        "editable": true,
        "value": value,
        "modified_on": call.date(set),
    });
    ApiResponse::success(&result.to_string())
}
