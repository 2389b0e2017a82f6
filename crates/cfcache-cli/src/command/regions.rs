//! `origin-regions`

use cfcache_app::pages;
use cfcache_client::Error;
use cfcache_model::endpoint::{
    CloudRegion, CloudRegionBatch, DeleteCloudRegion, DeleteCloudRegions, GetCloudRegion, ListCloudRegions,
    ListSupportedRegions, MAX_REGIONS_PER_BATCH, OriginIp, SetCloudRegion, SetCloudRegions,
    StoredCloudRegion,
};
use cfcache_model::verdict::Answer;
use serde::Serialize;

use crate::command::Interrupts;
use crate::command::setting::SettingsContext;
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::render::human;

const TITLES: [&str; 4] = ["ORIGIN", "VENDOR", "REGION", "CHANGED"];

pub(super) async fn list(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    let regions = pages::all(async |page| context.call(&ListCloudRegions::page(&context.zone, page)).await)
        .await
        .map_err(|error| Failure::of(&error, "cannot list the cloud regions"))?;
    if !context.is_human() {
        context.talk.data(&regions.raw);
    } else if regions.items.is_empty() {
        context.talk.note("no origin has a cloud region");
    } else {
        let rows: Vec<Vec<String>> = regions.items.iter().map(row).collect();
        human::table(&TITLES, &rows).iter().for_each(|line| context.talk.data(line));
    }
    Ok(Exit::Accepted)
}

fn row(region: &StoredCloudRegion) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![region.origin_ip.clone(), text(&region.vendor), text(&region.region), text(&region.modified_on)]
}

pub(super) async fn get(context: &SettingsContext<'_>, ip: &OriginIp) -> Result<Exit, Failure> {
    let answer = context
        .call(&GetCloudRegion::new(&context.zone, ip))
        .await
        .map_err(|error| Failure::of(&error, format!("cannot read the cloud region of {ip}")))?;
    context.print(&answer.raw, &describe_region(&answer.result));
    Ok(Exit::Accepted)
}

pub(super) async fn set(context: &SettingsContext<'_>, mapping: &CloudRegion) -> Result<Exit, Failure> {
    if let Ok(ip) = OriginIp::parse(mapping.origin_ip())
        && let Ok(before) = context.call(&GetCloudRegion::new(&context.zone, &ip)).await
        && before.result.vendor.as_deref() == Some(mapping.vendor())
        && before.result.region.as_deref() == Some(mapping.region())
    {
        let told = format!("{} already; nothing was changed", describe_region(&before.result));
        context.print(&before.raw, &told);
        return Ok(Exit::Accepted);
    }
    let answer = context
        .call(&SetCloudRegion::new(&context.zone, mapping))
        .await
        .map_err(|error| Failure::of(&error, format!("cannot map {}", mapping.origin_ip())))?;
    context.print(&answer.raw, &describe_region(&answer.result));
    Ok(Exit::Accepted)
}

pub(super) async fn delete(context: &SettingsContext<'_>, ip: &OriginIp) -> Result<Exit, Failure> {
    let answer = context
        .call(&DeleteCloudRegion::new(&context.zone, ip))
        .await
        .map_err(|error| Failure::of(&error, format!("cannot delete the mapping of {ip}")))?;
    context.print(&answer.raw, &format!("the mapping of {ip} is deleted"));
    Ok(Exit::Accepted)
}

fn describe_region(region: &StoredCloudRegion) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "(not told)".to_owned());
    format!("{} is in {} {}", region.origin_ip, text(&region.vendor), text(&region.region))
}

pub(super) async fn supported(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    let answer = context
        .call(&ListSupportedRegions::new(&context.zone))
        .await
        .map_err(|error| Failure::of(&error, "cannot list the regions that there are"))?;
    if !context.is_human() {
        context.talk.data(&answer.raw);
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
    human::table(&["VENDOR", "REGION", "UPPER TIER"], &rows).iter().for_each(|line| context.talk.data(line));
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

/// A mapping that was imported or deleted, or was not.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "mapping", deny_unknown_fields))]
struct Entry {
    /// The address of the origin.
    origin_ip: String,
    /// The region; left out of what was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    region: Option<String>,
    /// Whose region it is; left out of what was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    vendor: Option<String>,
    /// Why it failed; left out if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    error: Option<String>,
}

/// Sends mappings in batches.
pub(super) async fn import(
    context: &SettingsContext<'_>,
    mappings: &[CloudRegion],
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let send = async |batch: &[CloudRegion]| context.call(&SetCloudRegions::new(&context.zone, batch)).await;
    Ok(in_batches(context, mappings, entry, send, "mapped", interrupts).await)
}

/// Deletes mappings in batches.
pub(super) async fn delete_many(
    context: &SettingsContext<'_>,
    ips: &[OriginIp],
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let entry = |ip: &OriginIp, error| Entry { origin_ip: ip.to_string(), region: None, vendor: None, error };
    let send = async |batch: &[OriginIp]| context.call(&DeleteCloudRegions::new(&context.zone, batch)).await;
    Ok(in_batches(context, ips, entry, send, "deleted", interrupts).await)
}

/// Sends what there is in batches. An item is done only if the API says so of it; a batch that fails as a whole fails all of
/// its items, and the batches behind it are tried all the same, unless the credentials are refused.
async fn in_batches<T>(
    context: &SettingsContext<'_>,
    items: &[T],
    entry: impl Fn(&T, Option<String>) -> Entry,
    send: impl AsyncFn(&[T]) -> Result<Answer<CloudRegionBatch>, Error>,
    done: &str,
    interrupts: &Interrupts,
) -> Exit {
    let mut imported = Imported::default();
    let mut exit = Exit::Accepted;
    let mut told = 0;
    for batch in items.chunks(MAX_REGIONS_PER_BATCH) {
        let fail = |imported: &mut Imported, why: &str| {
            imported.failed.extend(batch.iter().map(|item| entry(item, Some(why.to_owned()))));
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
            () = interrupts.nth(1) => {
                exit = Exit::Interrupted;
                fail(&mut imported, "interrupted; it may have taken effect");
                continue;
            }
        };
        match answered {
            Ok(answer) => {
                for item in batch {
                    let sent = entry(item, None);
                    let is_it = |told: &&StoredCloudRegion| told.origin_ip == sent.origin_ip;
                    let failed = answer.result.failed.iter().find(is_it);
                    let why = match (failed, answer.result.succeeded.iter().find(is_it)) {
                        (None, Some(_)) => {
                            imported.succeeded.push(sent);
                            continue;
                        }
                        (Some(told), _) => {
                            told.error.clone().unwrap_or_else(|| "no reason in the answer".to_owned())
                        }
                        (None, None) => "the answer does not mention it".to_owned(),
                    };
                    imported.failed.push(entry(item, Some(why)));
                }
            }
            Err(error) => {
                exit = exit.or(error.kind().into());
                told += batch.len();
                context.talk.failure(&Failure::of(&error, format!("{} mappings failed", batch.len())));
                fail(&mut imported, &describe(&error));
            }
        }
    }
    if !imported.failed.is_empty() {
        let (failed, all) = (imported.failed.len(), items.len());
        exit = exit.or(Exit::Failed);
        // Of a batch that failed as a whole that was told.
        if failed > told {
            let failure = Failure::new(exit, format!("{failed} of {all} mappings failed"));
            exit = context.talk.failure(&failure);
        }
    }
    if context.is_human() {
        let (succeeded, failed) = (imported.succeeded.len(), imported.failed.len());
        context.talk.data(&format!("{done}: {succeeded} of {}", succeeded + failed));
        for entry in &imported.failed {
            let parts = [Some(&entry.origin_ip), entry.vendor.as_ref(), entry.region.as_ref()];
            let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
            let mapping = format!("  {}", parts.join(" "));
            match entry.error.as_deref().filter(|why| !context.talk.has_told(why)) {
                Some(why) => {
                    context.talk.tell(&format!("{mapping}: {}", cfcache_model::text::clip(why, 300)))
                }
                None => context.talk.data(&mapping),
            }
        }
    } else {
        context.talk.json(&imported);
    }
    exit
}

fn entry(mapping: &CloudRegion, error: Option<String>) -> Entry {
    Entry {
        origin_ip: mapping.origin_ip().to_owned(),
        region: Some(mapping.region().to_owned()),
        vendor: Some(mapping.vendor().to_owned()),
        error,
    }
}
