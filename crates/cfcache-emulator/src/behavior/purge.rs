//! `POST /zones/{zone_id}/purge_cache` and `…/invalidate_cache`, and the same below `…/environments/{environment_id}`
//!
//! The body is parsed from plain JSON without the model's types, so that a mistake of the client cannot be repeated
//! here. `docs/emulator.md` lists the choices that were made because nothing is published.

use cfcache_model::endpoint::Action;
use http::StatusCode;
use serde_json::{Map, Value};

use crate::answer::ApiResponse;
use crate::behavior::Call;
use crate::route;
use crate::state::{AcceptedPurge, State, Zone};
use cfcache_edge::{PurgeFile, PurgeItems};

/// <https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags/>, 2026
const MAX_TAG_CHARS: usize = 1024;

/// From the error tables from before 2021; there is no newer source.
const MAX_HOST_CHARS: usize = 200;

/// <https://developers.cloudflare.com/cache/how-to/purge-cache/purge_by_prefix/>, 2026
const MAX_PREFIX_SEPARATORS: usize = 31;

/// Parses and checks the items of a list.
type ParseList = fn(Vec<Value>, &Call<'_>, &Zone) -> Result<PurgeItems, ApiResponse>;

/// The fields of the body that contain a list.
const LISTS: [(&str, ParseList); 4] =
    [("files", files), ("tags", tags), ("hosts", hosts), ("prefixes", prefixes)];

/// Records the purges of a request.
pub(crate) fn carry_out(state: &mut State, call: &Call<'_>, purges: Vec<AcceptedPurge>) -> ApiResponse {
    for purge in purges {
        state.purge(purge);
    }
    let zone = call.argument("zone_id").unwrap_or_default();
    ApiResponse::success(&format!(r#"{{"id":{}}}"#, crate::answer::quote(zone)))
}

/// Parses and checks a body. Each of its fields is a purge.
pub(super) fn check(call: &Call<'_>, zone: &Zone, action: Action) -> Result<Vec<AcceptedPurge>, ApiResponse> {
    let environment = match call.argument("environment_id") {
        None => None,
        Some(id) => {
            let found = zone.environments.iter().find(|environment| environment.id == id);
            // The API's answer is not known; this one says that an id is wrong.
            Some(found.ok_or_else(|| route::no_route(call.below_base()))?)
        }
    };

    let mut fields = fields(call.body)?;
    let everything = fields.remove("purge_everything");
    let lists: Vec<(&str, ParseList, Value)> = LISTS
        .into_iter()
        .filter_map(|(name, parse)| fields.remove(name).map(|value| (name, parse, value)))
        .collect();

    let mut purged = Vec::new();
    match (everything, lists.is_empty()) {
        (None, true) => return Err(names_nothing()),
        (Some(_), false) => {
            let message = "purge_everything cannot be combined with files, tags, hosts or prefixes";
            return Err(refused(1092, message));
        }
        (Some(Value::Bool(true)), true) => {
            purged.push(PurgeItems::Everything);
        }
        (Some(_), true) => return Err(refused(1013, "purge_everything must be true")),
        (None, false) => {
            for (name, parse, value) in lists {
                let Value::Array(items) = value else {
                    return Err(refused(1014, format!("{name} must be an array")));
                };
                purged.push(parse(items, call, zone)?);
            }
        }
    }

    let has_files = purged.iter().any(|items| matches!(items, PurgeItems::Files(_)));
    if has_files && environment.is_some_and(|environment| environment.is_by_address()) {
        let verb = action.verb();
        let message = format!("Unable to {verb} by files for this environment");
        return Err(refused(1136, message));
    }

    let purge = |items| AcceptedPurge {
        at: call.now,
        action,
        zone: zone.id.clone(),
        environment: environment.map(|environment| environment.id.clone()),
        items,
    };
    Ok(purged.into_iter().map(purge).collect())
}

/// Returns the fields of the body that are not null. A body that is not an object has none.
fn fields(body: &[u8]) -> Result<Map<String, Value>, ApiResponse> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut fields)) => {
            fields.retain(|_, value| !value.is_null());
            Ok(fields)
        }
        Ok(_) | Err(_) => Err(names_nothing()),
    }
}

fn files(items: Vec<Value>, call: &Call<'_>, zone: &Zone) -> Result<PurgeItems, ApiResponse> {
    check_count(&items, call.config.purge_limits.urls_per_request, 1094, "files")?;
    let files = items
        .into_iter()
        .map(|item| {
            let file = file(item).ok_or_else(names_nothing)?;
            match host_of(&file.url) {
                _ if has_forbidden(&file.url) => Err(invalid_url(&file.url)),
                None => Err(invalid_url(&file.url)),
                Some(host) if !zone.covers(host) => {
                    let message = format!(
                        "Unable to purge {}: you can only purge files of the zone {}",
                        clip(&file.url),
                        zone.name
                    );
                    Err(refused(1082, message))
                }
                Some(_) => Ok(file),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(PurgeItems::Files(files))
}

/// Parses a string, or an object with `url` and optional `headers`. The API has been seen to accept both in one list.
fn file(item: Value) -> Option<PurgeFile> {
    match item {
        Value::String(url) => Some(PurgeFile::new(url)),
        Value::Object(mut fields) => {
            let Some(Value::String(url)) = fields.remove("url") else { return None };
            let headers = match fields.remove("headers") {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Object(headers)) => headers
                    .into_iter()
                    .map(|(name, value)| match value {
                        Value::String(value) => Some((name, value)),
                        _ => None,
                    })
                    .collect::<Option<_>>()?,
                Some(_) => return None,
            };
            let mut file = PurgeFile::new(url);
            file.headers = headers;
            Some(file)
        }
        _ => None,
    }
}

fn tags(items: Vec<Value>, call: &Call<'_>, _: &Zone) -> Result<PurgeItems, ApiResponse> {
    check_count(&items, call.config.purge_limits.flexible_per_request, 1101, "tags")?;
    strings(items, |tag| match tag.chars().count() {
        0..=MAX_TAG_CHARS => Ok(()),
        _ => {
            Err(refused(1100, format!("Tags must be at most {MAX_TAG_CHARS} characters long: {}", clip(tag))))
        }
    })
    .map(PurgeItems::Tags)
}

fn hosts(items: Vec<Value>, call: &Call<'_>, _: &Zone) -> Result<PurgeItems, ApiResponse> {
    check_count(&items, call.config.purge_limits.flexible_per_request, 1111, "hosts")?;
    strings(items, |host| match host.chars().count() {
        _ if has_forbidden(host) || host.contains("://") => {
            Err(refused(1016, format!("Invalid host: {}", clip(host))))
        }
        0..=MAX_HOST_CHARS => Ok(()),
        _ => Err(refused(
            1114,
            format!("Hosts must be at most {MAX_HOST_CHARS} characters long: {}", clip(host)),
        )),
    })
    .map(PurgeItems::Hosts)
}

fn prefixes(items: Vec<Value>, call: &Call<'_>, _: &Zone) -> Result<PurgeItems, ApiResponse> {
    // No code for prefixes is known. The code for tags, which share their limit, is used.
    check_count(&items, call.config.purge_limits.flexible_per_request, 1101, "prefixes")?;
    strings(items, |prefix| {
        let problem = if prefix.contains("://") {
            "must not have a scheme"
        } else if prefix.contains('?') {
            "must not have a query"
        } else if prefix.contains('#') {
            "must not have a fragment"
        } else if has_forbidden(prefix) {
            "must not have white space, control characters or backslashes"
        } else if prefix.matches('/').count() > MAX_PREFIX_SEPARATORS {
            "must have at most 31 path separators"
        } else {
            return Ok(());
        };
        Err(refused(1016, format!("Invalid prefix, it {problem}: {}", clip(prefix))))
    })
    .map(PurgeItems::Prefixes)
}

fn strings(
    items: Vec<Value>,
    check: impl Fn(&str) -> Result<(), ApiResponse>,
) -> Result<Vec<String>, ApiResponse> {
    items
        .into_iter()
        .map(|item| match item {
            Value::String(text) => check(&text).map(|()| text),
            _ => Err(names_nothing()),
        })
        .collect()
}

fn check_count(items: &[Value], most: usize, code: u32, noun: &str) -> Result<(), ApiResponse> {
    if items.len() > most {
        let found = items.len();
        Err(refused(code, format!("Unable to purge {found} {noun}: at most {most} in a request")))
    } else {
        Ok(())
    }
}

/// Returns the host of a URL with a scheme that a cache supports.
fn host_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => place.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// Returns whether a text contains white space, a control character or a backslash. No URL of a request contains these,
/// so no cache key does.
fn has_forbidden(text: &str) -> bool {
    text.contains(|char: char| char.is_whitespace() || char.is_control() || char == '\\')
}

/// The text was seen at the API (GitHub, `cloudflare/cloudflare-docs#25277`, 2025); its code was not.
fn invalid_url(url: &str) -> ApiResponse {
    refused(1016, format!("Unable to purge {}, which is an invalid URL.", clip(url)))
}

fn names_nothing() -> ApiResponse {
    refused(
        1012,
        "Request must contain one of \"purge_everything\", \"files\", \"tags\", \"hosts\" or \"prefixes\"",
    )
}

fn refused(code: u32, message: impl Into<String>) -> ApiResponse {
    ApiResponse::refused(StatusCode::BAD_REQUEST, code, message)
}

/// Shortens a text for a message.
fn clip(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
