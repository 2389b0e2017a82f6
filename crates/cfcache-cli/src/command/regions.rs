//! `origin-regions`

use cfcache_model::endpoint::{
    CloudRegion, DeleteCloudRegion, GetCloudRegion, ListCloudRegions, ListSupportedRegions,
    MAX_REGIONS_PER_BATCH, OriginIp, SetCloudRegion, SetCloudRegions, StoredCloudRegion,
};
use serde::Serialize;

use crate::command::setting::Desk;
use crate::command::{Interrupts, pages};
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::render::human;

const TITLES: [&str; 4] = ["ORIGIN", "VENDOR", "REGION", "CHANGED"];

pub(super) async fn list(desk: &Desk<'_>) -> Result<Exit, Failure> {
    let regions = pages::all(async |page| desk.call(&ListCloudRegions::page(&desk.zone, page)).await)
        .await
        .map_err(|error| Failure::of(&error, "cannot list the cloud regions"))?;
    if !desk.is_human() {
        desk.talk.data(&regions.raw);
    } else if regions.items.is_empty() {
        desk.talk.note("no origin has a cloud region");
    } else {
        let rows: Vec<Vec<String>> = regions.items.iter().map(row).collect();
        human::table(&TITLES, &rows).iter().for_each(|line| desk.talk.data(line));
    }
    Ok(Exit::Accepted)
}

fn row(region: &StoredCloudRegion) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![region.origin_ip.clone(), text(&region.vendor), text(&region.region), text(&region.modified_on)]
}

pub(super) async fn get(desk: &Desk<'_>, ip: &OriginIp) -> Result<Exit, Failure> {
    let answer = desk
        .call(&GetCloudRegion::new(&desk.zone, ip))
        .await
        .map_err(|error| Failure::of(&error, format!("cannot read the cloud region of {ip}")))?;
    desk.print(&answer.raw, &describe_region(&answer.result));
    Ok(Exit::Accepted)
}

pub(super) async fn set(desk: &Desk<'_>, mapping: &CloudRegion) -> Result<Exit, Failure> {
    if let Ok(ip) = OriginIp::parse(mapping.origin_ip())
        && let Ok(before) = desk.call(&GetCloudRegion::new(&desk.zone, &ip)).await
        && before.result.vendor.as_deref() == Some(mapping.vendor())
        && before.result.region.as_deref() == Some(mapping.region())
    {
        let told = format!("{} already; nothing was changed", describe_region(&before.result));
        desk.print(&before.raw, &told);
        return Ok(Exit::Accepted);
    }
    let answer = desk
        .call(&SetCloudRegion::new(&desk.zone, mapping))
        .await
        .map_err(|error| Failure::of(&error, format!("cannot map {}", mapping.origin_ip())))?;
    desk.print(&answer.raw, &describe_region(&answer.result));
    Ok(Exit::Accepted)
}

pub(super) async fn delete(desk: &Desk<'_>, ip: &OriginIp) -> Result<Exit, Failure> {
    let answer = desk
        .call(&DeleteCloudRegion::new(&desk.zone, ip))
        .await
        .map_err(|error| Failure::of(&error, format!("cannot delete the mapping of {ip}")))?;
    desk.print(&answer.raw, &format!("the mapping of {ip} is deleted"));
    Ok(Exit::Accepted)
}

fn describe_region(region: &StoredCloudRegion) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "(not told)".to_owned());
    format!("{} is in {} {}", region.origin_ip, text(&region.vendor), text(&region.region))
}

pub(super) async fn supported(desk: &Desk<'_>) -> Result<Exit, Failure> {
    let answer = desk
        .call(&ListSupportedRegions::new(&desk.zone))
        .await
        .map_err(|error| Failure::of(&error, "cannot list the regions that there are"))?;
    if !desk.is_human() {
        desk.talk.data(&answer.raw);
        return Ok(Exit::Accepted);
    }
    let vendors = &answer.result.vendors;
    let rows: Vec<Vec<String>> = vendors
        .iter()
        .flat_map(|(vendor, regions)| {
            regions
                .iter()
                .map(|region| vec![vendor.clone(), region.name.clone(), region.upper_tier_colos.join(", ")])
        })
        .collect();
    human::table(&["VENDOR", "REGION", "UPPER TIER"], &rows).iter().for_each(|line| desk.talk.data(line));
    Ok(Exit::Accepted)
}

/// What `origin-regions import` prints for programs.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "imported", deny_unknown_fields))]
pub(super) struct Imported {
    /// Mappings that the API did not accept, or that are not known to be accepted.
    failed: Vec<Entry>,
    /// Mappings that the API accepted.
    succeeded: Vec<Entry>,
}

/// A mapping that was imported, or not.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "mapping", deny_unknown_fields))]
struct Entry {
    /// The address of the origin.
    origin_ip: String,
    /// The region.
    region: String,
    /// Whose region it is.
    vendor: String,
    /// Why it failed; left out if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    error: Option<String>,
}

/// Sends mappings in batches. A mapping is done only if the API says so of it; a batch that fails as a whole fails all of
/// its mappings, and the batches behind it are tried all the same, unless the credentials are refused.
pub(super) async fn import(
    desk: &Desk<'_>,
    mappings: &[CloudRegion],
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let mut imported = Imported::default();
    let mut exit = Exit::Accepted;
    let mut told = 0;
    for batch in mappings.chunks(MAX_REGIONS_PER_BATCH) {
        if let Exit::Credentials | Exit::Interrupted = exit {
            let error = match exit {
                Exit::Interrupted => "not sent: interrupted",
                _ => "not sent: the credentials were refused",
            };
            imported.failed.extend(batch.iter().map(|mapping| entry(mapping, Some(error.to_owned()))));
            continue;
        }
        let request = SetCloudRegions::new(&desk.zone, batch);
        let answered = tokio::select! {
            answered = desk.call(&request) => answered,
            () = interrupts.nth(1) => {
                exit = Exit::Interrupted;
                let why = "interrupted; it may have taken effect".to_owned();
                imported.failed.extend(batch.iter().map(|mapping| entry(mapping, Some(why.clone()))));
                continue;
            }
        };
        match answered {
            Ok(answer) => {
                for mapping in batch {
                    let is_it = |told: &&StoredCloudRegion| told.origin_ip == mapping.origin_ip();
                    let failed = answer.result.failed.iter().find(is_it);
                    match (failed, answer.result.succeeded.iter().find(is_it)) {
                        (None, Some(_)) => imported.succeeded.push(entry(mapping, None)),
                        (Some(told), _) => {
                            let why =
                                told.error.clone().unwrap_or_else(|| "no reason in the answer".to_owned());
                            imported.failed.push(entry(mapping, Some(why)));
                        }
                        (None, None) => {
                            let why = "the answer does not mention it".to_owned();
                            imported.failed.push(entry(mapping, Some(why)));
                        }
                    }
                }
            }
            Err(error) => {
                exit = exit.or(error.kind().into());
                told += batch.len();
                desk.talk.failure(&Failure::of(&error, format!("{} mappings failed", batch.len())));
                let why = describe(&error);
                imported.failed.extend(batch.iter().map(|mapping| entry(mapping, Some(why.clone()))));
            }
        }
    }
    if !imported.failed.is_empty() {
        let (failed, all) = (imported.failed.len(), mappings.len());
        exit = exit.or(Exit::Failed);
        // Of a batch that failed as a whole that was told.
        if failed > told {
            let failure = Failure::new(exit, format!("{failed} of {all} mappings failed"));
            exit = desk.talk.failure(&failure);
        }
    }
    if desk.is_human() {
        let (done, failed) = (imported.succeeded.len(), imported.failed.len());
        desk.talk.data(&format!("mapped: {done} of {}", done + failed));
        for entry in &imported.failed {
            let mapping = format!("  {} {} {}", entry.origin_ip, entry.vendor, entry.region);
            match entry.error.as_deref().filter(|why| !desk.talk.has_told(why)) {
                Some(why) => desk.talk.tell(&format!("{mapping}: {}", cfcache_model::text::clip(why, 300))),
                None => desk.talk.data(&mapping),
            }
        }
    } else {
        desk.talk.json(&imported);
    }
    Ok(exit)
}

fn entry(mapping: &CloudRegion, error: Option<String>) -> Entry {
    Entry {
        origin_ip: mapping.origin_ip().to_owned(),
        region: mapping.region().to_owned(),
        vendor: mapping.vendor().to_owned(),
        error,
    }
}
