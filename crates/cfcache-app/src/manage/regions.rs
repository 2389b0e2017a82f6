//! The cloud regions of origins.

use core::net::IpAddr;

use cfcache_client::Error;
use cfcache_model::endpoint::{
    ApiRequest, CloudRegion, CloudRegionBatch, MAX_REGIONS_PER_BATCH, StoredCloudRegion,
};
use cfcache_model::verdict::Answer;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::manage::{ManageReport, ManageResult, SettingChange, SettingsContext};
use crate::pages;

pub(super) async fn list(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let regions =
        pages::all(async |page| context.call(&ApiRequest::cloud_regions(&context.zone, page)).await)
            .await
            .map_err(|error| Failure::from_error(&error, "cannot list the cloud regions"))?;
    Ok(ManageReport::new(regions.raw, ManageResult::Regions(regions.result)))
}

pub(super) async fn get(context: &SettingsContext<'_>, ip: IpAddr) -> Result<ManageReport, Failure> {
    let answer = context
        .call(&ApiRequest::cloud_region(&context.zone, ip))
        .await
        .map_err(|error| Failure::from_error(&error, format!("cannot read the cloud region of {ip}")))?;
    Ok(ManageReport::new(answer.raw, ManageResult::Region(answer.result, SettingChange::Read)))
}

/// Maps an origin, unless it is already mapped like this.
pub(super) async fn set(
    context: &SettingsContext<'_>,
    mapping: &CloudRegion,
) -> Result<ManageReport, Failure> {
    if let Ok(before) = context.call(&ApiRequest::cloud_region(&context.zone, mapping.origin_ip())).await
        && before.result.vendor.as_deref() == Some(mapping.vendor())
        && before.result.region.as_deref() == Some(mapping.region())
    {
        return Ok(ManageReport::new(
            before.raw,
            ManageResult::Region(before.result, SettingChange::Unchanged),
        ));
    }
    let answer = context
        .call(&ApiRequest::set_cloud_region(&context.zone, mapping))
        .await
        .map_err(|error| Failure::from_error(&error, format!("cannot map {}", mapping.origin_ip())))?;
    Ok(ManageReport::new(answer.raw, ManageResult::Region(answer.result, SettingChange::Set)))
}

pub(super) async fn delete(context: &SettingsContext<'_>, ip: IpAddr) -> Result<ManageReport, Failure> {
    let answer = context
        .call(&ApiRequest::delete_cloud_region(&context.zone, ip))
        .await
        .map_err(|error| Failure::from_error(&error, format!("cannot delete the mapping of {ip}")))?;
    Ok(ManageReport::new(answer.raw, ManageResult::RegionDeleted(ip)))
}

pub(super) async fn supported(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let answer = context
        .call(&ApiRequest::supported_regions(&context.zone))
        .await
        .map_err(|error| Failure::from_error(&error, "cannot list the supported regions"))?;
    Ok(ManageReport::new(answer.raw, ManageResult::Supported(answer.result)))
}

/// The output of `origin-regions import` for programs.
#[derive(Default, Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "imported", deny_unknown_fields)
)]
pub struct Imported {
    /// Mappings that the API did not accept, or that are not known to be accepted.
    pub failed: Vec<RegionImport>,
    /// Mappings that the API accepted.
    pub succeeded: Vec<RegionImport>,
}

/// A mapping, with its error if it failed.
#[derive(Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "mapping", deny_unknown_fields)
)]
pub struct RegionImport {
    /// The address of the origin.
    pub origin_ip: String,
    /// The region; omitted after a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub region: Option<String>,
    /// The vendor of the region; omitted after a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub vendor: Option<String>,
    /// Why it failed; omitted if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub error: Option<String>,
}

/// Sends mappings in batches.
pub(super) async fn import(
    context: &SettingsContext<'_>,
    mappings: &[CloudRegion],
) -> Result<ManageReport, Failure> {
    let send = async |batch: &[CloudRegion]| {
        context.call(&ApiRequest::set_cloud_regions(&context.zone, batch)).await
    };
    in_batches(context, mappings, mapping, send, "mapped").await
}

/// Deletes mappings in batches.
pub(super) async fn delete_many(
    context: &SettingsContext<'_>,
    ips: &[IpAddr],
) -> Result<ManageReport, Failure> {
    let mapping =
        |ip: &IpAddr, error| RegionImport { origin_ip: ip.to_string(), region: None, vendor: None, error };
    let send =
        async |batch: &[IpAddr]| context.call(&ApiRequest::delete_cloud_regions(&context.zone, batch)).await;
    in_batches(context, ips, mapping, send, "deleted").await
}

/// Sends items in batches. An item succeeded only if the API says so. If a whole batch fails, all its items fail, and
/// the following batches are still sent unless the credentials were refused.
async fn in_batches<T>(
    context: &SettingsContext<'_>,
    items: &[T],
    mapping: impl Fn(&T, Option<String>) -> RegionImport,
    send: impl AsyncFn(&[T]) -> Result<Answer<CloudRegionBatch>, Error>,
    done: &'static str,
) -> Result<ManageReport, Failure> {
    let mut imported = Imported::default();
    let mut exit = Exit::Accepted;
    let mut told = 0;
    for batch in items.chunks(MAX_REGIONS_PER_BATCH) {
        let fail = |imported: &mut Imported, why: &str| {
            imported.failed.extend(batch.iter().map(|item| mapping(item, Some(why.to_owned()))));
        };
        match exit {
            Exit::Interrupted => fail(&mut imported, "not sent: interrupted"),
            Exit::Credentials => fail(&mut imported, "not sent: the credentials were refused"),
            _ => {}
        }
        if let Exit::Credentials | Exit::Interrupted = exit {
            continue;
        }
        let answered = tokio::select! {
            answered = send(batch) => answered,
            () = context.console.interrupted(1) => {
                exit = Exit::Interrupted;
                fail(&mut imported, "interrupted; it may have taken effect");
                continue;
            }
        };
        match answered {
            Ok(answer) => {
                for item in batch {
                    let sent = mapping(item, None);
                    let is_it = |told: &&StoredCloudRegion| told.origin_ip == sent.origin_ip;
                    let failed = answer.result.failed.iter().find(is_it);
                    let why = match (failed, answer.result.succeeded.iter().find(is_it)) {
                        (None, Some(_)) => {
                            imported.succeeded.push(sent);
                            continue;
                        }
                        (Some(told), _) => {
                            told.error.clone().unwrap_or_else(|| "the response states no reason".to_owned())
                        }
                        (None, None) => "the response does not mention it".to_owned(),
                    };
                    imported.failed.push(mapping(item, Some(why)));
                }
            }
            Err(error) => {
                exit = exit.or(error.kind().into());
                told += batch.len();
                context
                    .console
                    .failure(&Failure::from_error(&error, format!("{} mappings failed", batch.len())));
                fail(&mut imported, &describe(&error));
            }
        }
    }
    if !imported.failed.is_empty() {
        let (failed, all) = (imported.failed.len(), items.len());
        exit = exit.or(Exit::Failed);
        // The failure of a whole batch was already reported.
        if failed > told {
            let failure = Failure::new(exit, format!("{failed} of {all} mappings failed"));
            exit = context.console.failure(&failure);
        }
    }
    let json = serde_json::to_string(&imported).unwrap_or_default();
    Ok(ManageReport { exit, ..ManageReport::new(json, ManageResult::Imported { done, imported }) })
}

fn mapping(region: &CloudRegion, error: Option<String>) -> RegionImport {
    RegionImport {
        origin_ip: region.origin_ip().to_string(),
        region: Some(region.region().to_owned()),
        vendor: Some(region.vendor().to_owned()),
        error,
    }
}
