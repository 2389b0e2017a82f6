//! `/zones/{zone_id}/origin/cloud_regions`: the cloud region of each origin's address
//!
//! - `GET` and `PUT …/{origin_ip}`, `DELETE …/{origin_ip}`
//! - `GET` (a list in pages), `PUT …/batch`, `DELETE …/batch`, `GET …/supported_regions`

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::InvalidInput;
use crate::endpoint::{
    ApiRequest, Area, Descriptor, Endpoint, Method, Replay, Sample, example, forbidden, refusal, sample,
    settings_permission, success,
};
use crate::id::ZoneId;
use crate::text::{clip, quote};

/// The cloud vendors that the API supports.
pub const VENDORS: [&str; 4] = ["aws", "azure", "gcp", "oci"];

/// The maximum number of mappings in a batch.
pub const MAX_REGIONS_PER_BATCH: usize = 100;

/// The maximum number of mappings on a page of the list.
pub const MAX_REGIONS_PER_PAGE: u32 = 100;

/// The maximum number of mappings of a zone (code 1164).
pub const MAX_REGIONS_PER_ZONE: usize = 3500;

/// A mapping from an origin's address to a cloud region.
///
/// - The address is written as the API writes it: IPv6 in the form of RFC 5952.
/// - The vendor is one of [`VENDORS`]; the region is not empty. [`ApiRequest::supported_regions`] lists the regions; the API
///   refuses others (code 1157).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct CloudRegion {
    origin_ip: IpAddr,
    region: String,
    vendor: String,
}

impl CloudRegion {
    /// Creates a mapping.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if one of the three values is invalid.
    pub fn new(origin_ip: &str, vendor: &str, region: &str) -> Result<Self, InvalidInput> {
        let origin_ip = parse_origin_ip(origin_ip)?;
        if !VENDORS.contains(&vendor) {
            return Err(InvalidInput::new(alloc::format!(
                "{} is not a vendor: it is one of `aws`, `azure`, `gcp`, `oci`",
                quote(vendor)
            )));
        }
        if region.trim().is_empty() {
            return Err(InvalidInput::new("the region is empty"));
        }
        Ok(Self { origin_ip, region: region.to_owned(), vendor: vendor.to_owned() })
    }

    /// Parses an entry of a list: `192.0.2.1 aws us-east-1` (separated by blanks or commas), or the API's JSON form
    /// `{"origin_ip":"192.0.2.1","region":"us-east-1","vendor":"aws"}`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the text has neither form, or for the reasons of [`CloudRegion::new`].
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct RawRegion {
            origin_ip: String,
            region: String,
            vendor: String,
            /// A field of the API's list that is ignored.
            #[serde(default, rename = "modified_on")]
            _modified_on: Option<String>,
        }
        if text.starts_with('{') {
            let raw: RawRegion = serde_json::from_str(text).map_err(|error| {
                let reason = clip(&error.to_string(), 200);
                InvalidInput::new(alloc::format!("this is not a mapping in JSON: {reason}"))
            })?;
            return Self::new(&raw.origin_ip, &raw.vendor, &raw.region);
        }
        let fields: Vec<&str> = text
            .split(|char: char| char == ',' || char.is_whitespace())
            .filter(|field| !field.is_empty())
            .collect();
        match fields.as_slice() {
            [origin_ip, vendor, region] => Self::new(origin_ip, vendor, region),
            _ => Err(InvalidInput::new(alloc::format!(
                "{} has {} fields: an entry is an address, a vendor and a region",
                quote(text),
                fields.len()
            ))),
        }
    }

    /// The address.
    #[must_use]
    pub const fn origin_ip(&self) -> IpAddr {
        self.origin_ip
    }

    /// The vendor.
    #[must_use]
    pub fn vendor(&self) -> &str {
        &self.vendor
    }

    /// The region of the vendor.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// Parses the address of an origin.
///
/// # Errors
///
/// [`InvalidInput`] if the text is not an IPv4 or IPv6 address.
pub fn parse_origin_ip(text: &str) -> Result<IpAddr, InvalidInput> {
    text.parse()
        .map_err(|_| InvalidInput::new(alloc::format!("{} is not an IPv4 or IPv6 address", quote(text))))
}

/// A mapping as the API returns it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct StoredCloudRegion {
    /// The address.
    pub origin_ip: String,
    /// The region; missing in the response to a delete.
    #[serde(default)]
    pub region: Option<String>,
    /// The vendor; missing in the response to a delete.
    #[serde(default)]
    pub vendor: Option<String>,
    /// When it was last changed, in RFC 3339 format.
    #[serde(default)]
    pub modified_on: Option<String>,
    /// Why this item of a batch failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// The result of a batch, item by item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CloudRegionBatch {
    /// The items that failed, each with its error.
    #[serde(default)]
    pub failed: Vec<StoredCloudRegion>,
    /// The items that succeeded.
    #[serde(default)]
    pub succeeded: Vec<StoredCloudRegion>,
}

/// The supported regions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SupportedRegions {
    /// Whether the upper tiers could be determined.
    #[serde(default)]
    pub obtained_codes: Option<bool>,
    /// The regions of each vendor.
    pub vendors: BTreeMap<String, Vec<SupportedRegion>>,
}

/// A region of a vendor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SupportedRegion {
    /// The name, as used in [`CloudRegion`].
    pub name: String,
    /// The data centers that are its upper tier.
    #[serde(default)]
    pub upper_tier_colos: Vec<String>,
}

impl ApiRequest<Vec<StoredCloudRegion>> {
    /// Lists the mappings of a zone: a page, counted from 1, with the maximum number of mappings.
    #[must_use]
    pub fn cloud_regions(zone: &ZoneId, page: u32) -> Self {
        let request = Self::new(&LIST, [zone.as_str()]);
        request.with_query("page", page).with_query("per_page", MAX_REGIONS_PER_PAGE)
    }
}

impl ApiRequest<StoredCloudRegion> {
    /// Reads the mapping of an address.
    #[must_use]
    pub fn cloud_region(zone: &ZoneId, origin_ip: IpAddr) -> Self {
        Self::new(&GET, [zone.as_str(), &origin_ip.to_string()])
    }

    /// Sets one mapping.
    #[must_use]
    pub fn set_cloud_region(zone: &ZoneId, mapping: &CloudRegion) -> Self {
        Self::new(&SET, [zone.as_str(), &mapping.origin_ip.to_string()]).with_json(mapping)
    }

    /// Deletes the mapping of an address.
    #[must_use]
    pub fn delete_cloud_region(zone: &ZoneId, origin_ip: IpAddr) -> Self {
        Self::new(&DELETE, [zone.as_str(), &origin_ip.to_string()])
    }
}

impl ApiRequest<CloudRegionBatch> {
    /// Sets up to [`MAX_REGIONS_PER_BATCH`] mappings; other mappings are not changed. Some may fail while others
    /// succeed.
    #[must_use]
    pub fn set_cloud_regions(zone: &ZoneId, mappings: &[CloudRegion]) -> Self {
        Self::new(&SET_MANY, [zone.as_str()]).with_json(mappings)
    }

    /// Deletes up to [`MAX_REGIONS_PER_BATCH`] mappings. Some may fail while others succeed.
    ///
    /// The body is a JSON array of addresses. Source: the schema of the operation in cloudflare/api-schemas (c92b9b0).
    /// Cloudflare's SDKs of 2026 send no body, contrary to the schema.
    #[must_use]
    pub fn delete_cloud_regions(zone: &ZoneId, origin_ips: &[IpAddr]) -> Self {
        Self::new(&DELETE_MANY, [zone.as_str()]).with_json(origin_ips)
    }
}

impl ApiRequest<SupportedRegions> {
    /// Lists the regions that a zone can use. Needs Tiered Cache.
    #[must_use]
    pub fn supported_regions(zone: &ZoneId) -> Self {
        Self::new(&SUPPORTED, [zone.as_str()])
    }
}

/// All endpoints of this file.
///
/// The API's router matches `batch` and `supported_regions` before `{origin_ip}`; an address never equals them.
pub(super) static ENDPOINTS: &[&Descriptor] =
    &[&LIST, &GET, &SET, &DELETE, &SET_MANY, &SUPPORTED, &DELETE_MANY];

static LIST: Descriptor = descriptor(
    Method::Get,
    "/zones/{zone_id}/origin/cloud_regions",
    Replay::Safe,
    "list_cloud_regions",
    "List the cloud regions of origins",
    list_samples,
);

static GET: Descriptor = descriptor(
    Method::Get,
    "/zones/{zone_id}/origin/cloud_regions/{origin_ip}",
    Replay::Safe,
    "get_cloud_region",
    "Read the cloud region of an origin",
    get_samples,
);

static SET: Descriptor = descriptor(
    Method::Put,
    "/zones/{zone_id}/origin/cloud_regions/{origin_ip}",
    Replay::Safe,
    "set_cloud_region",
    "Set the cloud region of an origin",
    set_samples,
);

static DELETE: Descriptor = descriptor(
    Method::Delete,
    "/zones/{zone_id}/origin/cloud_regions/{origin_ip}",
    Replay::UndeliveredOnly,
    "delete_cloud_region",
    "Delete the cloud region of an origin",
    delete_samples,
);

static SET_MANY: Descriptor = descriptor(
    Method::Put,
    "/zones/{zone_id}/origin/cloud_regions/batch",
    Replay::Safe,
    "set_cloud_regions",
    "Set the cloud regions of many origins",
    batch_samples,
);

static SUPPORTED: Descriptor = descriptor(
    Method::Get,
    "/zones/{zone_id}/origin/cloud_regions/supported_regions",
    Replay::Safe,
    "list_supported_regions",
    "List the regions that origins can be in",
    supported_samples,
);

static DELETE_MANY: Descriptor = descriptor(
    Method::Delete,
    "/zones/{zone_id}/origin/cloud_regions/batch",
    Replay::UndeliveredOnly,
    "delete_cloud_regions",
    "Delete the cloud regions of many origins",
    delete_batch_samples,
);

const fn descriptor(
    method: Method,
    path: &'static str,
    replay: Replay,
    name: &'static str,
    summary: &'static str,
    samples: fn() -> Vec<Sample>,
) -> Descriptor {
    Descriptor {
        name,
        summary,
        method,
        path,
        area: Area::CloudRegions,
        replay,
        permission: settings_permission(method),
        plans: "all plans",
        page: "https://developers.cloudflare.com/api/resources/cache/subresources/origin_cloud_regions/",
        samples,
    }
}

const STORED: &str =
    r#"{"origin_ip":"192.0.2.1","region":"us-east-1","vendor":"aws","modified_on":"2026-03-01T12:00:00Z"}"#;
const MISSING: &str = "No cloud region mapping exists for this origin IP.";
const BAD_REGION: &str = "Invalid vendor or region.";

fn parsed() -> Option<(ZoneId, IpAddr, CloudRegion)> {
    let ip = "192.0.2.1";
    let mapping = CloudRegion::new(ip, "aws", "us-east-1").ok()?;
    Some((ZoneId::parse(example::ZONE_ID).ok()?, parse_origin_ip(ip).ok()?, mapping))
}

fn list_samples() -> Vec<Sample> {
    let Some((zone, ..)) = parsed() else { return Vec::new() };
    let request = ApiRequest::cloud_regions(&zone, 1);
    let page = alloc::format!(
        r#"{{"result":[{STORED}],"result_info":{{"page":1,"per_page":100,"total_pages":1,"count":1,"total_count":1}},"success":true,"errors":[],"messages":[]}}"#
    );
    Vec::from([
        sample("one", &request, 200, page),
        sample("refused_permission", &request, 403, forbidden(request.descriptor())),
    ])
}

fn get_samples() -> Vec<Sample> {
    let Some((zone, origin_ip, _)) = parsed() else { return Vec::new() };
    let request = ApiRequest::cloud_region(&zone, origin_ip);
    Vec::from([
        sample("found", &request, 200, success(STORED)),
        sample("refused_missing", &request, 404, refusal(1142, MISSING)),
    ])
}

fn set_samples() -> Vec<Sample> {
    let Some((zone, _, mapping)) = parsed() else { return Vec::new() };
    let Ok(nowhere) = CloudRegion::new("192.0.2.1", "aws", "nowhere-1") else { return Vec::new() };
    Vec::from([
        sample("set", &ApiRequest::set_cloud_region(&zone, &mapping), 200, success(STORED)),
        sample(
            "refused_region",
            &ApiRequest::set_cloud_region(&zone, &nowhere),
            400,
            refusal(1157, BAD_REGION),
        ),
    ])
}

fn delete_samples() -> Vec<Sample> {
    let Some((zone, origin_ip, _)) = parsed() else { return Vec::new() };
    let request = ApiRequest::delete_cloud_region(&zone, origin_ip);
    Vec::from([
        sample("deleted", &request, 200, success(r#"{"origin_ip":"192.0.2.1"}"#)),
        sample("refused_missing", &request, 404, refusal(1142, MISSING)),
    ])
}

fn batch_samples() -> Vec<Sample> {
    let Some((zone, _, mapping)) = parsed() else { return Vec::new() };
    let Ok(other) = CloudRegion::new("2001:DB8::1", "gcp", "nowhere-1") else { return Vec::new() };
    let mappings = [mapping, other];
    let request = ApiRequest::set_cloud_regions(&zone, &mappings);
    let partly = r#"{"failed":[{"origin_ip":"2001:db8::1","error":"Invalid vendor or region."}],"succeeded":[{"origin_ip":"192.0.2.1","region":"us-east-1","vendor":"aws"}]}"#;
    Vec::from([
        sample("partly", &request, 200, success(partly)),
        sample("refused_permission", &request, 403, forbidden(request.descriptor())),
    ])
}

fn delete_batch_samples() -> Vec<Sample> {
    let Some((zone, origin_ip, _)) = parsed() else { return Vec::new() };
    let Ok(other) = parse_origin_ip("2001:DB8::1") else { return Vec::new() };
    let origin_ips = [origin_ip, other];
    let request = ApiRequest::delete_cloud_regions(&zone, &origin_ips);
    let partly = r#"{"failed":[{"origin_ip":"2001:db8::1","error":"No cloud region mapping exists for this origin IP."}],"succeeded":[{"origin_ip":"192.0.2.1"}]}"#;
    Vec::from([
        sample("partly", &request, 200, success(partly)),
        sample("refused_permission", &request, 403, forbidden(request.descriptor())),
    ])
}

fn supported_samples() -> Vec<Sample> {
    let Some((zone, ..)) = parsed() else { return Vec::new() };
    let request = ApiRequest::supported_regions(&zone);
    let regions = r#"{"obtained_codes":true,"vendors":{"aws":[{"name":"us-east-1","upper_tier_colos":["IAD"]}],"gcp":[{"name":"europe-west1","upper_tier_colos":["BRU"]}]}}"#;
    Vec::from([
        sample("two", &request, 200, success(regions)),
        sample("refused_permission", &request, 403, forbidden(request.descriptor())),
    ])
}
