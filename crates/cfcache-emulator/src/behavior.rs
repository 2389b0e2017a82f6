//! The behavior of each endpoint.
//!
//! An endpoint with state has an arm in [`decide`]. Any other endpoint answers with a sample of the model: one with the
//! same request, otherwise one with the same body, otherwise one with the same path, otherwise the first successful
//! one.

mod page;
mod purge;
mod regions;
mod reserve;
mod switch;
mod token;
mod value;
mod variants;
mod zones;

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::HashMap;

use bytes::Bytes;
use cfcache_model::date;
use cfcache_model::endpoint::{Action, Descriptor, Sample};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::answer::ApiResponse;
use crate::auth::{self, Token};
use crate::config::Config;
use crate::route;
use crate::state::{AcceptedPurge, State, Zone};

/// An authorized request to an endpoint.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) now: Duration,
    pub(crate) endpoint: &'static Descriptor,
    /// The values of the `{…}` in the path of the endpoint.
    pub(crate) arguments: HashMap<&'static str, String>,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a Bytes,
    /// The configured token; `None` if the caller has all permissions.
    pub(crate) caller: Option<&'a Token>,
    pub(crate) config: &'a Config,
}

impl Call<'_> {
    /// Returns the argument with that name.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str)
    }

    /// Formats a time for answers.
    fn date(&self, at: Duration) -> String {
        date::rfc_3339(self.config.beginning + at)
    }

    /// Returns the path relative to the base URL.
    fn below_base(&self) -> &str {
        self.path.strip_prefix(route::BASE_PATH).unwrap_or(self.path)
    }

    /// Returns the fields of a body that is an object.
    fn fields(&self) -> Result<Map<String, Value>, ApiResponse> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            _ => Err(invalid("the body must be a JSON object")),
        }
    }
}

/// Executes a request and answers it. A purge is only checked here; the limits may still refuse it.
pub(crate) fn decide(state: &mut State, call: &Call<'_>) -> ControlFlow<ApiResponse, Vec<AcceptedPurge>> {
    let endpoint = call.endpoint;
    let Some(id) = call.argument("zone_id") else {
        return ControlFlow::Break(match endpoint.name {
            "list_zones" => zones::list(state, call),
            "verify_token" | "verify_account_token" => token::verify(call),
            _ => by_sample(call),
        });
    };
    // A zone that does not exist looks like one that the token may not see.
    let Some((zone, settings)) = state.zone(id) else { return ControlFlow::Break(auth::forbidden(endpoint)) };
    ControlFlow::Break(match endpoint.name {
        "purge_zone_cache" | "purge_environment_cache" => return purge(call, zone, Action::Purge),
        "invalidate_zone_cache" | "invalidate_environment_cache" => {
            return purge(call, zone, Action::Invalidate);
        }
        "get_zone" => zones::get(zone, settings, call),
        "list_environments" => zones::environments(zone),
        "get_cache_reserve_clear" => reserve::status(settings, call),
        "clear_cache_reserve" => reserve::clear(settings, call),
        "get_variants" | "edit_variants" | "delete_variants" => variants::answer(settings, call),
        "list_cloud_regions" => regions::list(settings, call),
        "get_cloud_region" => regions::get(settings, call),
        "set_cloud_region" => regions::set(settings, call),
        "delete_cloud_region" => regions::delete(settings, call),
        "set_cloud_regions" | "delete_cloud_regions" => regions::batch(settings, call),
        "get_cache_level" | "edit_cache_level" => value::cache_level(settings, call),
        "get_browser_cache_ttl" | "edit_browser_cache_ttl" => value::browser_cache_ttl(settings, call),
        "list_supported_regions" => regions::supported(),
        _ => match switch::id(endpoint.path) {
            Some(id) => switch::answer(id, settings, call),
            None => by_sample(call),
        },
    })
}

pub(crate) use purge::carry_out;
pub(crate) use switch::development_mode_since;

fn purge(call: &Call<'_>, zone: &Zone, action: Action) -> ControlFlow<ApiResponse, Vec<AcceptedPurge>> {
    match purge::check(call, zone, action) {
        Ok(purges) => ControlFlow::Continue(purges),
        Err(refusal) => ControlFlow::Break(refusal),
    }
}

/// Refuses a request because of its content. The code is documented for the same errors of the origin regions; for
/// other endpoints no code is documented.
fn invalid(message: impl Into<String>) -> ApiResponse {
    ApiResponse::refused(StatusCode::BAD_REQUEST, 1146, message)
}

/// The answer of a plan that lacks a setting, to reads and to writes.
fn not_available() -> ApiResponse {
    ApiResponse::refused(StatusCode::FORBIDDEN, 1135, "This setting is not available for your plan type")
}

/// The answer if a setting was never set, or was deleted.
fn not_set(verb: &str, id: &str, code: u32) -> ApiResponse {
    let message = format!("Unable to {verb} {id} setting value. The zone setting does not exist.");
    ApiResponse::refused(StatusCode::NOT_FOUND, code, message)
}

/// Returns a setting as JSON, with the time of its last change if there was one.
fn setting(id: &str, value: &Value, set: Option<Duration>, call: &Call<'_>) -> Value {
    let mut shown = json!({ "id": id, "editable": true, "value": value });
    if let Some(set) = set {
        shown["modified_on"] = call.date(set).into();
    }
    shown
}

/// The answer to the deletion of a setting.
fn deleted(id: &str, call: &Call<'_>) -> ApiResponse {
    let shown = json!({ "id": id, "editable": true, "modified_on": call.date(call.now) });
    ApiResponse::success(&shown.to_string())
}

/// Answers with a sample of the model.
fn by_sample(call: &Call<'_>) -> ApiResponse {
    let samples = (call.endpoint.samples)();
    closest(&samples, call.below_base(), call.query, call.body)
        .map_or_else(|| ApiResponse::success("null"), ApiResponse::sample)
}

/// Returns the successful sample whose request is most similar to this one; the first of several.
fn closest<'s>(samples: &'s [Sample], path: &str, query: &str, body: &[u8]) -> Option<&'s Sample> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let likeness = |sample: &Sample| {
        let (sample_path, sample_query) =
            sample.request.path.split_once('?').unwrap_or((&sample.request.path, ""));
        let sample_body = sample.request.body.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let same_path = sample_path.trim_end_matches('/') == path.trim_end_matches('/');
        (sample_body == body, same_path, same_path && sample_query == query)
    };
    let good = samples.iter().filter(|sample| (200..300).contains(&sample.status));
    // `max_by_key` returns the last maximum, so the order is reversed.
    good.rev().max_by_key(|sample| likeness(sample))
}

#[cfg(test)]
mod tests {
    use cfcache_model::endpoint;

    use super::*;

    /// A sample that can be recognized by its reply.
    fn sample(path: &str, body: Option<&str>, status: u16, reply: &str) -> Sample {
        let mut sample = endpoint::all().find_map(|endpoint| (endpoint.samples)().pop()).unwrap();
        sample.request.path = path.to_owned();
        sample.request.body = body.map(ToOwned::to_owned);
        sample.status = status;
        sample.reply = reply.to_owned();
        sample
    }

    #[test]
    fn answers_with_the_most_similar_sample() {
        let samples = [
            sample("/things/a", None, 403, "refused"),
            sample("/things/a", None, 200, "a"),
            sample("/things/a?page=2", None, 200, "a, page 2"),
            sample("/things/b/", None, 200, "b"),
            sample("/things/b", Some(r#"{"value": "on"}"#), 200, "b is on"),
            sample("/things/a", Some(r#"{"value": "off"}"#), 200, "a is off"),
        ];
        for (path, query, body, expected) in [
            ("/things/a", "", "", "a"),
            ("/things/a", "page=2", "", "a, page 2"),
            ("/things/a", "page=3", "", "a"),
            ("/things/b", "", "", "b"),
            ("/things/c", "", "", "a"),
            ("/things/b", "", r#"{"value":"on"}"#, "b is on"),
            ("/things/c", "", r#"{"value":"off"}"#, "a is off"),
            ("/things/b", "", r#"{"value":"other"}"#, "b"),
        ] {
            let found = closest(&samples, path, query, body.as_bytes()).unwrap();
            assert_eq!(found.reply, expected, "{path}?{query} {body}");
        }
        assert!(closest(&samples[..1], "/things/a", "", b"").is_none());
    }
}
