//! `/zones/{zone_id}/origin/cloud_regions` and everything below it

mod table;

use core::net::IpAddr;
use core::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::answer::{ApiResponse, Notice};
use crate::behavior::regions::table::VENDORS;
use crate::behavior::{Call, invalid, page};
use crate::route;
use crate::state::ZoneSettings;

/// The maximum number of mappings on a page.
const MAX_PER_PAGE: usize = 100;

/// The maximum number of mappings of a zone: <https://developers.cloudflare.com/api/resources/cache/>, 2026-10. The
/// same page is the source of the next one.
const MAX_MAPPINGS: usize = 3500;

/// The maximum number of items in a batch.
const MAX_BATCH: usize = 100;

/// Lists the mappings by address.
pub(super) fn list(settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let mappings: Vec<_> = settings.regions.values().collect();
    page::answer(MAX_PER_PAGE, &route::query(call.query), &mappings, |mapping| {
        to_json(mapping, call).to_string()
    })
}

pub(super) fn get(settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let found = address(call).and_then(|ip| settings.regions.get(&ip));
    found.map_or_else(
        || refused(missing()),
        |mapping| ApiResponse::success(&to_json(mapping, call).to_string()),
    )
}

pub(super) fn delete(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let found = address(call).filter(|ip| settings.regions.remove(ip).is_some());
    found.map_or_else(
        || refused(missing()),
        |ip| ApiResponse::success(&json!({ "origin_ip": ip.to_string() }).to_string()),
    )
}

/// Sets one mapping.
pub(super) fn set(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    set_or_refuse(settings, call).unwrap_or_else(|refusal| refusal)
}

fn set_or_refuse(settings: &mut ZoneSettings, call: &Call<'_>) -> Result<ApiResponse, ApiResponse> {
    let body = Value::Object(call.fields()?);
    let (ip, mapping) = read(&body).map_err(refused)?;
    // Two spellings of one address are equal.
    if address(call) != Some(ip) {
        return Err(invalid("body origin_ip does not match URL"));
    }
    store(settings, ip, mapping, call).map_err(refused)?;
    Ok(ApiResponse::success(&to_json(&settings.regions[&ip], call).to_string()))
}

/// Sets or deletes up to a hundred mappings independently. Other mappings are unchanged.
///
/// A delete takes a JSON array of addresses, as in the schema of cloudflare/api-schemas (c92b9b0).
pub(super) fn batch(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let is_delete = call.method == Method::DELETE;
    let Ok(Value::Array(items)) = serde_json::from_slice(call.body) else {
        return invalid("the body must be a JSON array");
    };
    if items.len() > MAX_BATCH {
        return invalid(format!("too many items in the batch, must be at most {MAX_BATCH}"));
    }
    let (mut failed, mut succeeded) = (Vec::new(), Vec::new());
    for item in &items {
        let done = if is_delete {
            remove(settings, item)
        } else {
            read(item).and_then(|(ip, mapping)| store(settings, ip, mapping, call))
        };
        match done {
            Ok(done) => succeeded.push(done),
            Err(wrong) => {
                let ip = address_of_item(item);
                // An address is returned in the API's spelling.
                let ip = ip.parse().map_or_else(|_| ip.to_owned(), |ip: IpAddr| ip.to_string());
                failed.push(json!({ "origin_ip": ip, "error": wrong.message }));
            }
        }
    }
    ApiResponse::success(&json!({ "failed": failed, "succeeded": succeeded }).to_string())
}

/// Returns the supported regions. (The reference requires Tiered Cache, which is not checked.)
pub(super) fn supported() -> ApiResponse {
    let region = |(name, colo): &(&str, &str)| json!({ "name": name, "upper_tier_colos": [colo] });
    let vendors: Map<String, Value> = VENDORS
        .iter()
        .map(|(vendor, regions)| ((*vendor).to_owned(), regions.iter().map(region).collect()))
        .collect();
    ApiResponse::success(&json!({ "obtained_codes": true, "vendors": vendors }).to_string())
}

/// Refuses a request because of a mapping.
fn refused(notice: Notice) -> ApiResponse {
    let status = match notice.code {
        1142 => StatusCode::NOT_FOUND,
        1164 => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    };
    ApiResponse::refused_with(status, &[notice])
}

/// The error of a mapping that cannot be parsed.
fn malformed(message: &str) -> Notice {
    Notice::new(1146, message)
}

/// The error of an address without a mapping.
fn missing() -> Notice {
    Notice::new(1142, "No cloud region mapping exists for this origin IP.")
}

/// Parses a mapping, and returns it with the address in the form of RFC 5952, which the standard library uses.
fn read(item: &Value) -> Result<(IpAddr, Value), Notice> {
    let field = |name| item.get(name).and_then(Value::as_str);
    let (Some(ip), Some(region), Some(vendor)) = (field("origin_ip"), field("region"), field("vendor"))
    else {
        return Err(malformed("origin_ip, region and vendor are required, and must be strings"));
    };
    let ip: IpAddr = ip.parse().map_err(|_| malformed(BAD_ADDRESS))?;
    Ok((ip, json!({ "origin_ip": ip.to_string(), "region": region, "vendor": vendor })))
}

/// Stores a mapping, and returns its result in a batch.
fn store(settings: &mut ZoneSettings, ip: IpAddr, mapping: Value, call: &Call<'_>) -> Result<Value, Notice> {
    let regions =
        VENDORS.iter().find(|(vendor, _)| mapping["vendor"] == *vendor).map(|(_, regions)| *regions);
    if !regions.is_some_and(|regions| regions.iter().any(|(region, _)| mapping["region"] == *region)) {
        return Err(Notice::new(1157, "Invalid vendor or region."));
    }
    if settings.regions.len() >= MAX_MAPPINGS && !settings.regions.contains_key(&ip) {
        return Err(Notice::new(
            1164,
            format!("The zone has reached the limit of {MAX_MAPPINGS} cloud region mappings."),
        ));
    }
    settings.regions.insert(ip, (mapping.clone(), call.now));
    Ok(mapping)
}

const BAD_ADDRESS: &str = "invalid origin_ip, must be an IPv4 or IPv6 address";

fn remove(settings: &mut ZoneSettings, item: &Value) -> Result<Value, Notice> {
    let ip = item.as_str().and_then(|ip| ip.parse::<IpAddr>().ok()).ok_or_else(|| malformed(BAD_ADDRESS))?;
    settings.regions.remove(&ip).ok_or_else(missing)?;
    Ok(json!({ "origin_ip": ip.to_string() }))
}

/// Returns the address of an item of a batch. A delete contains only the address.
fn address_of_item(item: &Value) -> &str {
    item.as_str().or_else(|| item.get("origin_ip")?.as_str()).unwrap_or_default()
}

/// Returns the address in the path; an invalid one has no mapping.
fn address(call: &Call<'_>) -> Option<IpAddr> {
    call.argument("origin_ip")?.parse().ok()
}

/// Returns a stored mapping as JSON.
fn to_json((mapping, set): &(Value, Duration), call: &Call<'_>) -> Value {
    let mut shown = mapping.clone();
    shown["modified_on"] = call.date(*set).into();
    shown
}
