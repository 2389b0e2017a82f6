//! `--dry-run` of commands for settings.

use cfcache_model::endpoint::{ApiRequest, MAX_REGIONS_PER_BATCH, Parts, encode};
use cfcache_model::id::ZoneId;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::IdOrName;
use crate::manage::value::on_or_off;
use crate::manage::{ManageJob, SettingCommand};
use crate::purge::{ZONE_STAND_IN, shown};
use crate::session::shown_base;
use crate::wording;

/// Writes the requests of a change to the console, one per line, without sending them.
///
/// # Errors
///
/// [`Failure`] if the job changes nothing, or if the base URL is invalid.
pub fn dry_run(job: &ManageJob, console: &dyn Console) -> Result<Exit, Failure> {
    let (command, zone, connection) = match job {
        ManageJob::Setting { command, zone, connection, .. } if command.is_change() => {
            (command, zone, connection)
        }
        _ => return Err(only_reads()),
    };
    let base = shown_base(connection)?.to_string();
    let zone = match zone {
        IdOrName::Id(id) => id.clone(),
        IdOrName::Name(domain) => {
            console.note(&format!(
                "`{domain}` is not looked up in a dry run: {ZONE_STAND_IN} stands for its id"
            ));
            ZoneId::parse(ZONE_STAND_IN).map_err(|invalid| Failure::usage(invalid.to_string()))?
        }
    };
    if let SettingCommand::Set(switch, is_on) = command {
        let title = wording::capitalized(switch.title());
        let value = on_or_off(*is_on);
        console.note(&format!("{title} is read first, and not changed if it is already {value}"));
    }
    for request in requests(command, &zone) {
        console.data(&shown(&request, &base));
    }
    Ok(Exit::Accepted)
}

/// The failure of a dry run of a command that only reads.
pub fn only_reads() -> Failure {
    Failure::usage("`--dry-run` is for commands that change something; this one only reads")
}

/// The requests that change something.
fn requests(command: &SettingCommand, zone: &ZoneId) -> Vec<Parts> {
    let one = |request| Vec::from([request]);
    match command {
        SettingCommand::Set(switch, is_on) => one(encode(&ApiRequest::set_switch(zone, *switch, *is_on))),
        SettingCommand::SetCacheLevel(level) => one(encode(&ApiRequest::set_cache_level(zone, *level))),
        SettingCommand::SetBrowserCacheTtl(seconds) => {
            one(encode(&ApiRequest::set_browser_cache_ttl(zone, *seconds)))
        }
        SettingCommand::DeleteSmart => one(encode(&ApiRequest::delete_smart_tiered_cache(zone))),
        SettingCommand::ClearReserve { .. } => one(encode(&ApiRequest::clear_cache_reserve(zone))),
        SettingCommand::SetVariants(variants) => one(encode(&ApiRequest::set_variants(zone, variants))),
        SettingCommand::DeleteVariants => one(encode(&ApiRequest::delete_variants(zone))),
        SettingCommand::SetRegion(mapping) => one(encode(&ApiRequest::set_cloud_region(zone, mapping))),
        SettingCommand::DeleteRegion(ip) => one(encode(&ApiRequest::delete_cloud_region(zone, *ip))),
        SettingCommand::DeleteRegions(ips) => ips
            .chunks(MAX_REGIONS_PER_BATCH)
            .map(|batch| encode(&ApiRequest::delete_cloud_regions(zone, batch)))
            .collect(),
        SettingCommand::ImportRegions(mappings) => mappings
            .chunks(MAX_REGIONS_PER_BATCH)
            .map(|batch| encode(&ApiRequest::set_cloud_regions(zone, batch)))
            .collect(),
        // These only read, and were refused before.
        SettingCommand::Get(_)
        | SettingCommand::GetCacheLevel
        | SettingCommand::GetBrowserCacheTtl
        | SettingCommand::ReserveStatus
        | SettingCommand::GetVariants
        | SettingCommand::ListRegions
        | SettingCommand::GetRegion(_)
        | SettingCommand::SupportedRegions
        | SettingCommand::Table => Vec::new(),
    }
}
