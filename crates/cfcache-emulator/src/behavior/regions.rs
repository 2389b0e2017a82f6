//! `/zones/{zone_id}/origin/cloud_regions` and all below it

mod table;

use core::net::IpAddr;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::answer::ApiResponse;
use crate::behavior::page::{PageSizes, Query};
use crate::behavior::regions::table::VENDORS;
use crate::behavior::{Call, invalid};
use crate::state::{Region, ZoneSettings};

/// How many mappings a page has.
const PAGES: PageSizes = PageSizes { fewest: 1, most: 100, usual: 20 };

/// How many mappings a zone has: <https://developers.cloudflare.com/api/resources/cache/>, 2026-10, and so the next.
const MOST: usize = 3500;

/// How many a batch has.
const MOST_IN_BATCH: usize = 100;

const BAD_REGION: &str = "Invalid vendor or region.";
const MISSING: &str = "No cloud region mapping exists for this origin IP.";
const TOO_MANY: &str = "The zone has reached the limit of 3500 cloud region mappings.";

/// Lists the mappings, by address.
pub(super) fn list(settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let mappings: Vec<_> = settings.regions.iter().collect();
    PAGES.answer(&Query::new(call), &mappings, |(ip, region)| to_json(**ip, region, call).to_string())
}

pub(super) fn get(settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let found = address(call).and_then(|ip| settings.regions.get(&ip).map(|region| (ip, region)));
    found.map_or_else(missing, |(ip, region)| ApiResponse::success(&to_json(ip, region, call).to_string()))
}

pub(super) fn delete(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let found = address(call).filter(|ip| settings.regions.remove(ip).is_some());
    found.map_or_else(missing, |ip| ApiResponse::success(&json!({ "origin_ip": ip.to_string() }).to_string()))
}

/// Sets one mapping.
pub(super) fn set(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    set_or_refuse(settings, call).unwrap_or_else(|refusal| refusal)
}

fn set_or_refuse(settings: &mut ZoneSettings, call: &Call<'_>) -> Result<ApiResponse, ApiResponse> {
    let body = Value::Object(call.fields()?);
    let (ip, region) = read(&body, call).map_err(Wrong::answer)?;
    // Two ways of writing one address are no mismatch.
    if address(call) != Some(ip) {
        return Err(invalid("body origin_ip does not match URL"));
    }
    store(settings, ip, region).map_err(Wrong::answer)?;
    Ok(ApiResponse::success(&to_json(ip, &settings.regions[&ip], call).to_string()))
}

/// Sets, or deletes, up to a hundred mappings, each for itself. Others stay as they are.
///
/// A delete takes a JSON array of addresses, as the schema of cloudflare/api-schemas (c92b9b0) has it.
pub(super) fn batch(settings: &mut ZoneSettings, call: &Call<'_>) -> ApiResponse {
    let is_delete = call.method == Method::DELETE;
    let Ok(Value::Array(items)) = serde_json::from_slice(call.body) else {
        return invalid("the body must be a JSON array");
    };
    if items.len() > MOST_IN_BATCH {
        return invalid(format!("too many items in the batch, must be at most {MOST_IN_BATCH}"));
    }
    let (mut failed, mut succeeded) = (Vec::new(), Vec::new());
    for item in &items {
        let done = if is_delete {
            remove(settings, item)
        } else {
            read(item, call).and_then(|(ip, region)| store(settings, ip, region))
        };
        match done {
            Ok(done) => succeeded.push(done),
            Err(wrong) => {
                let ip = named(item);
                // One that is an address comes back as the API writes it.
                let ip = ip.parse().map_or_else(|_| ip.to_owned(), |ip: IpAddr| ip.to_string());
                failed.push(json!({ "origin_ip": ip, "error": wrong.message() }));
            }
        }
    }
    ApiResponse::success(&json!({ "failed": failed, "succeeded": succeeded }).to_string())
}

/// Tells which regions there are. (Whether Tiered Cache is on, as the reference asks for, is not looked at.)
pub(super) fn supported() -> ApiResponse {
    let region = |(name, colo): &(&str, &str)| json!({ "name": name, "upper_tier_colos": [colo] });
    let vendors: Map<String, Value> = VENDORS
        .iter()
        .map(|(vendor, regions)| ((*vendor).to_owned(), regions.iter().map(region).collect()))
        .collect();
    ApiResponse::success(&json!({ "obtained_codes": true, "vendors": vendors }).to_string())
}

/// What is wrong with a mapping.
enum Wrong {
    Form(&'static str),
    Region,
    Missing,
    TooMany,
}

impl Wrong {
    const fn message(&self) -> &'static str {
        match self {
            Self::Form(message) => message,
            Self::Region => BAD_REGION,
            Self::Missing => MISSING,
            Self::TooMany => TOO_MANY,
        }
    }

    fn answer(self) -> ApiResponse {
        let (status, code) = match self {
            Self::Form(_) => (StatusCode::BAD_REQUEST, 1146),
            Self::Region => (StatusCode::BAD_REQUEST, 1157),
            Self::Missing => (StatusCode::NOT_FOUND, 1142),
            Self::TooMany => (StatusCode::FORBIDDEN, 1164),
        };
        ApiResponse::refused(status, code, self.message())
    }
}

/// Reads the mapping of an address.
fn read(item: &Value, call: &Call<'_>) -> Result<(IpAddr, Region), Wrong> {
    let field = |name| item.get(name).and_then(Value::as_str);
    let (Some(ip), Some(name), Some(vendor)) = (field("origin_ip"), field("region"), field("vendor")) else {
        return Err(Wrong::Form("origin_ip, region and vendor are required, and must be strings"));
    };
    let ip = ip.parse().map_err(|_| Wrong::Form(BAD_ADDRESS))?;
    Ok((ip, Region { vendor: vendor.to_owned(), name: name.to_owned(), set: call.now }))
}

/// Stores a mapping, and tells what a batch tells of it.
fn store(settings: &mut ZoneSettings, ip: IpAddr, region: Region) -> Result<Value, Wrong> {
    let regions = VENDORS.iter().find(|(vendor, _)| *vendor == region.vendor).map(|(_, regions)| *regions);
    if !regions.is_some_and(|regions| regions.iter().any(|(name, _)| *name == region.name)) {
        return Err(Wrong::Region);
    }
    if settings.regions.len() >= MOST && !settings.regions.contains_key(&ip) {
        return Err(Wrong::TooMany);
    }
    let stored = json!({ "origin_ip": ip.to_string(), "region": region.name, "vendor": region.vendor });
    settings.regions.insert(ip, region);
    Ok(stored)
}

const BAD_ADDRESS: &str = "invalid origin_ip, must be an IPv4 or IPv6 address";

fn remove(settings: &mut ZoneSettings, item: &Value) -> Result<Value, Wrong> {
    let ip = item.as_str().and_then(|ip| ip.parse::<IpAddr>().ok()).ok_or(Wrong::Form(BAD_ADDRESS))?;
    settings.regions.remove(&ip).ok_or(Wrong::Missing)?;
    Ok(json!({ "origin_ip": ip.to_string() }))
}

/// The address of an item of a batch, which a delete names without more.
fn named(item: &Value) -> &str {
    item.as_str().or_else(|| item.get("origin_ip")?.as_str()).unwrap_or_default()
}

/// The address in the path; what is none has no mapping.
fn address(call: &Call<'_>) -> Option<IpAddr> {
    call.route.argument("origin_ip")?.parse().ok()
}

fn missing() -> ApiResponse {
    Wrong::Missing.answer()
}

/// A mapping as the API tells it: IPv6 in the form of RFC 5952, which is the standard library's as well.
fn to_json(ip: IpAddr, region: &Region, call: &Call<'_>) -> Value {
    json!({
        "origin_ip": ip.to_string(),
        "region": region.name,
        "vendor": region.vendor,
        "modified_on": call.date(region.set),
    })
}
