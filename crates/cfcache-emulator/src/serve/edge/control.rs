//! What a test asks the emulator itself, beside what it serves: to move the clock, and to show what is stored.

use core::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::date;
use crate::serve::Shared;

/// Everything below is for the emulator itself, and never reaches the origin or the API.
const BASE: &str = "/__cfcache/";

/// The furthest that the clock is moved at once: ten years.
const MOST_SECONDS: f64 = 315_360_000.0;

/// Answers a request to the emulator itself; `None` where it is not one.
///
/// - `POST /__cfcache/advance?seconds=N` moves the clock.
/// - `GET /__cfcache/objects` shows what is stored.
pub(crate) fn control<B>(shared: &Shared, request: &Request<B>) -> Option<Response<Bytes>> {
    let name = request.uri().path().strip_prefix(BASE)?;
    let (allowed, answer) = match name {
        "advance" => (Method::POST, advance as fn(&Shared, &str) -> Result<Value, String>),
        "objects" => (Method::GET, objects as fn(&Shared, &str) -> Result<Value, String>),
        _ => {
            return Some(respond(StatusCode::NOT_FOUND, &json!({ "error": "there is advance and objects" })));
        }
    };
    if request.method() != allowed {
        let mut response = respond(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({ "error": format!("{BASE}{name} takes {allowed}") }),
        );
        if let Ok(allowed) = HeaderValue::try_from(allowed.as_str()) {
            response.headers_mut().insert(ALLOW, allowed);
        }
        return Some(response);
    }
    Some(match answer(shared, request.uri().query().unwrap_or_default()) {
        Ok(value) => respond(StatusCode::OK, &value),
        Err(error) => respond(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    })
}

fn advance(shared: &Shared, query: &str) -> Result<Value, String> {
    let expected = "the time to add is ?seconds=N, with N from 0 to 315360000";
    let seconds = query.strip_prefix("seconds=").ok_or(expected)?;
    let seconds: f64 = seconds.parse().map_err(|_| expected)?;
    if !(0.0..=MOST_SECONDS).contains(&seconds) {
        return Err(expected.to_owned());
    }
    let advanced = shared.advance(Duration::from_secs_f64(seconds));
    Ok(json!({ "advanced_seconds": advanced.as_secs_f64(), "now": date::rfc_3339(shared.since_1970()) }))
}

fn objects(shared: &Shared, _: &str) -> Result<Value, String> {
    let objects = shared.emulator.objects(shared.elapsed());
    Ok(objects
        .iter()
        .map(|object| {
            json!({
                "url": object.url,
                "key": object.key,
                "environment": object.environment,
                "status": object.status.as_u16(),
                "size": object.size,
                "tags": object.tags,
                "age": object.age,
                "fresh_for": object.fresh_for,
                "in_reserve": object.in_reserve,
            })
        })
        .collect())
}

fn respond(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
