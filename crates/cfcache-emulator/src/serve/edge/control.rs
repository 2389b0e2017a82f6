//! Requests to the emulator itself: to move the clock, and to show the cached objects.

use core::time::Duration;

use bytes::Bytes;
use cfcache_model::date;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::edge::{Inventory, PurgeRecord};
use crate::serve::edge::page;
use crate::serve::{MAX_ADVANCED, ServerState};

/// Paths below this belong to the emulator, and are never sent to the origin or the API.
const BASE: &str = "/__cfcache";

/// The maximum number of seconds to move the clock at once: ten years.
const MAX_SECONDS: f64 = 315_360_000.0;

/// The maximum number of objects to list.
const MAX_OBJECTS: usize = 1_000;

/// Answers a request to the emulator itself; `None` if it is another request.
///
/// - `GET /__cfcache/` is a page with the cached objects and the last purges; with `?json`, the same as data.
/// - `POST /__cfcache/advance?seconds=N` moves the clock.
pub(crate) fn control<B>(shared: &ServerState, request: &Request<B>) -> Option<Response<Bytes>> {
    let name = request.uri().path().strip_prefix(BASE)?;
    let query = request.uri().query().unwrap_or_default();
    let method = request.method();
    Some(match (name, method) {
        ("/", &Method::GET | &Method::HEAD) => show(shared, query),
        ("/advance", &Method::POST) => match advance(shared, query) {
            Ok(value) => data(StatusCode::OK, &value),
            Err(error) => data(StatusCode::BAD_REQUEST, &json!({ "error": error })),
        },
        ("/", _) => not_allowed(name, "GET, HEAD"),
        ("/advance", _) => not_allowed(name, "POST"),
        // Another path that starts with the same characters.
        _ if !name.is_empty() && !name.starts_with('/') => return None,
        _ => {
            let error =
                "GET /__cfcache/ shows the cached objects, POST /__cfcache/advance?seconds=N moves the clock";
            data(StatusCode::NOT_FOUND, &json!({ "error": error }))
        }
    })
}

fn show(shared: &ServerState, query: &str) -> Response<Bytes> {
    let now = date::rfc_3339(shared.since_1970());
    let Some(inventory) = shared.emulator.inventory(shared.elapsed(), MAX_OBJECTS) else {
        let error = "there is no cache: the emulator was started without an origin";
        return data(StatusCode::NOT_FOUND, &json!({ "error": error }));
    };
    let date = |record: &PurgeRecord| date::rfc_3339(shared.emulator.config().beginning + record.at);
    match query {
        "json" => data(StatusCode::OK, &to_json(&inventory, &now, date)),
        "" => {
            let mut response = Response::new(Bytes::from(page::render(&inventory, &now, date)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
            response
        }
        _ => data(StatusCode::BAD_REQUEST, &json!({ "error": "the only supported query is ?json" })),
    }
}

fn to_json(inventory: &Inventory, now: &str, date: impl Fn(&PurgeRecord) -> String) -> Value {
    let objects = inventory.objects.iter().map(|object| {
        json!({
            "url": object.url,
            "key": object.key,
            "variant": object.variant,
            "environment": object.environment,
            "status": object.status.as_u16(),
            "size": object.size,
            "tags": object.tags,
            "age": object.age,
            "fresh_for": object.fresh_for,
            "in_reserve": object.in_reserve,
        })
    });
    let purges = inventory.purges.iter().map(|purge| {
        json!({
            "at": date(purge),
            "operation": purge.action.verb(),
            "kind": purge.kind,
            "environment": purge.environment,
            "items": purge.items,
            "items_count": purge.count,
            "survived": purge.survived,
            "objects": purge.objects,
        })
    });
    json!({
        "now": now,
        "count": inventory.count,
        "bytes": inventory.bytes,
        "objects": objects.collect::<Value>(),
        "purges": purges.collect::<Value>(),
    })
}

fn advance(shared: &ServerState, query: &str) -> Result<Value, String> {
    let expected = "use ?seconds=N, with N from 0 to 315360000";
    let seconds = query.strip_prefix("seconds=").ok_or(expected)?;
    let seconds: f64 = seconds.parse().map_err(|_| expected)?;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err(expected.to_owned());
    }
    let time = Duration::from_secs_f64(seconds);
    if shared.advanced() + time > MAX_ADVANCED {
        return Err("the clock can be moved by at most 5,000 years in total".to_owned());
    }
    let advanced = shared.advance(time);
    Ok(json!({ "advanced_seconds": advanced.as_secs_f64(), "now": date::rfc_3339(shared.since_1970()) }))
}

fn not_allowed(name: &str, allowed: &'static str) -> Response<Bytes> {
    let error = format!("{BASE}{name} supports only {allowed}");
    let mut response = data(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": error }));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn data(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{value}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
