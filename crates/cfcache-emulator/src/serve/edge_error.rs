//! Errors of the edge in front of the API: problem details (RFC 9457).
//!
//! Source: the vendor's changelog of 2026-03-11, 2026-03-12 and 2026-04-27. These are choices: the status of codes for
//! which the sources name none, the wording, and the `Retry-After` of a 5xx.

use bytes::Bytes;
use http::header::{ACCEPT, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::serve::{PAGE, plain};

/// Returns the answer with an error: 1000 to 1999, or a status from 500 on. `status` and the text of `Retry-After`
/// replace the defaults of the error.
pub(super) fn response(
    request_headers: &HeaderMap,
    code: u16,
    status: Option<StatusCode>,
    retry_after: Option<&str>,
) -> Response<Bytes> {
    let (default_status, title, default_seconds) = match code {
        1004 => (403, "DNS resolution error", Some(120)),
        1005 => (403, "Banned zone", Some(120)),
        1015 => (429, "You are being rate limited", Some(30)),
        1033 => (530, "Argo Tunnel error", Some(120)),
        1038 => (530, "HTTP headers limit exceeded", Some(60)),
        1200 => (503, "Cache connection limit", Some(60)),
        1205 => (530, "Too many redirects", Some(5)),
        1006..=1014 | 1020 => (403, "Access denied", None),
        1000..=1999 => (530, "Error of the edge", None),
        525 => (525, "SSL handshake failed", None),
        526 => (526, "Invalid SSL certificate", None),
        500 | 502 | 504 | 520..=524 => (code, "The server behind the edge did not answer", Some(60)),
        _ => (code, "Error of the edge", None),
    };
    let status =
        status.or(StatusCode::from_u16(default_status).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry_after = match (retry_after, default_seconds) {
        (Some(text), _) => Some(text.to_owned()),
        (None, seconds) => seconds.map(|seconds: u32| seconds.to_string()),
    };
    let mut response = if wants_json(request_headers) {
        let body = problem_details(code, title, status, retry_after.as_deref());
        plain(status, "application/problem+json", body)
    } else {
        plain(status, "text/html", PAGE)
    };
    if let Some(value) = retry_after.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

/// Returns the problem details. An invalid number of seconds is omitted.
fn problem_details(code: u16, title: &str, status: StatusCode, retry_after: Option<&str>) -> String {
    let family = if code < 1000 { "5xx" } else { "1xxx" };
    let advice = match code {
        525 | 526 => "Do not retry: the server behind the edge must be fixed first.",
        _ => "The edge did not forward the request.",
    };
    let mut body = json!({
        "type": format!(
            "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-{family}-errors/error-{code}/"
        ),
        "title": format!("Error {code}: {title}"),
        "status": status.as_u16(),
        "detail": advice,
        "instance": "8f3a000000000000",
        "error_category": if status == StatusCode::FORBIDDEN { "access_denied" } else { "edge" },
    });
    if let Some(seconds) = retry_after.and_then(|text| text.parse::<u32>().ok()) {
        body["retry_after"] = seconds.into();
    }
    body.to_string()
}

/// Returns whether a request asks for JSON. Otherwise the edge sends a web page.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/problem+json")
    })
}
