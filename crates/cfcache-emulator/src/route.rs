//! Finds the endpoint of a method and path.

use std::collections::HashMap;

use cfcache_model::endpoint::{self, Descriptor};
use http::header::ALLOW;
use http::{Method, StatusCode};

use crate::answer::{ApiResponse, Notice};

/// The path prefix of all endpoints.
pub(crate) const BASE_PATH: &str = "/client/v4";

/// The schema's maximum length of an id in a path.
const MAX_ID_CHARS: usize = 32;

/// Finds the endpoint of a request.
pub(crate) fn endpoint(method: &Method, path: &str) -> Option<&'static Descriptor> {
    route(method, path).ok().map(|(endpoint, _)| endpoint)
}

/// Finds the endpoint of a request and the values of the `{…}` in its path, or returns the answer if there is none.
pub(crate) fn route(
    method: &Method,
    path: &str,
) -> Result<(&'static Descriptor, HashMap<&'static str, String>), ApiResponse> {
    let below = path.strip_prefix(BASE_PATH).filter(|below| below.starts_with('/'));
    let Some(below) = below else { return Err(no_route(path)) };
    // The documentation uses both `/purge_cache/` and `/purge_cache`.
    let plain = below.strip_suffix('/').unwrap_or(below);

    let mut matches: Vec<_> = endpoint::all()
        .filter_map(|endpoint| arguments(endpoint, plain).map(|arguments| (endpoint, arguments)))
        .collect();
    // A literal segment takes precedence over an argument: `/cloud_regions/batch` is not the region of an address
    // "batch".
    let Some(fewest) = matches.iter().map(|(_, arguments)| arguments.len()).min() else {
        return Err(no_route(below));
    };
    matches.retain(|(_, arguments)| arguments.len() == fewest);
    match matches.iter().position(|(endpoint, _)| accepts(endpoint, method)) {
        Some(index) => Ok(matches.swap_remove(index)),
        None => {
            let methods: Vec<_> = matches.iter().map(|(endpoint, _)| endpoint.method.as_str()).collect();
            Err(ApiResponse::refused(StatusCode::METHOD_NOT_ALLOWED, 10405, "Method not allowed")
                .with_headers([(ALLOW, methods.join(", "))]))
        }
    }
}

/// Returns the values of the `{…}` in the path of an endpoint; `None` if another path is requested.
fn arguments(endpoint: &Descriptor, path: &str) -> Option<HashMap<&'static str, String>> {
    let mut arguments = HashMap::new();
    let mut segments = path.split('/');
    for expected in endpoint.path.split('/') {
        let segment = segments.next()?;
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            None if expected == segment => {}
            None => return None,
            Some(name) => {
                let value = decode(segment)?;
                let is_id = name.ends_with("_id");
                if value.is_empty() || (is_id && value.chars().count() > MAX_ID_CHARS) {
                    return None;
                }
                arguments.insert(name, value);
            }
        }
    }
    segments.next().is_none().then_some(arguments)
}

/// Returns whether an endpoint supports a method. The model lacks one: `DELETE …/purge_cache`, an old form that the
/// real API still routes. It answers 429 and not 405 when the limit is reached (putyourlightson/craft-blitz#880,
/// 2026-03).
fn accepts(endpoint: &Descriptor, method: &Method) -> bool {
    endpoint.method.as_str() == method.as_str()
        || (endpoint.name == "purge_zone_cache" && method == Method::DELETE)
}

/// The two errors that appear together in published logs; 404 in newer ones, 400 in older ones.
pub(crate) fn no_route(path: &str) -> ApiResponse {
    let where_to = format!("Could not route to {path}, perhaps your object identifier is invalid?");
    ApiResponse::refused_with(
        StatusCode::NOT_FOUND,
        &[Notice::new(7003, where_to), Notice::new(7000, "No route for that URI")],
    )
}

/// Returns the parameters of a query; of a repeated one, the last value.
pub(crate) fn query(text: &str) -> HashMap<String, String> {
    let plain = |part: &str| decode(&part.replace('+', " ")).unwrap_or_else(|| part.to_owned());
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// Decodes percent-encoding; `None` if it is invalid or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}
