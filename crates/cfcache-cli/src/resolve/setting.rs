//! Commands for cache settings.

use cfcache_app::manage::SettingCommand;
use cfcache_app::manage::input::{
    addresses, mappings, no_secret, origin_ip, variants_of_file, variants_of_rows,
};
use cfcache_model::endpoint::{CloudRegion, Switch};

use crate::args::{
    BrowserCacheTtlCommand, CacheLevelCommand, RegionsCommand, ReserveCommand, SmartCommand, SwitchCommand,
    VariantsCommand,
};
use crate::failure::Failure;

/// A setting that is on or off.
pub(super) const fn switch(switch: Switch, command: &SwitchCommand) -> SettingCommand {
    match command {
        SwitchCommand::Get => SettingCommand::Get(switch),
        SwitchCommand::Set { value } => SettingCommand::Set(switch, *value),
    }
}

/// The cache level.
pub(super) const fn cache_level(command: &CacheLevelCommand) -> SettingCommand {
    match command {
        CacheLevelCommand::Get => SettingCommand::GetCacheLevel,
        CacheLevelCommand::Set { level } => SettingCommand::SetCacheLevel(*level),
    }
}

/// The browser cache TTL.
pub(super) const fn browser_cache_ttl(command: &BrowserCacheTtlCommand) -> SettingCommand {
    match command {
        BrowserCacheTtlCommand::Get => SettingCommand::GetBrowserCacheTtl,
        BrowserCacheTtlCommand::Set { seconds } => SettingCommand::SetBrowserCacheTtl(*seconds),
    }
}

/// Cache Reserve.
pub(super) const fn reserve(command: &ReserveCommand) -> SettingCommand {
    match command {
        ReserveCommand::Get => SettingCommand::Get(Switch::CacheReserve),
        ReserveCommand::Set { value } => SettingCommand::Set(Switch::CacheReserve, *value),
        ReserveCommand::Clear { wait } => SettingCommand::ClearReserve { wait: *wait },
        ReserveCommand::Status => SettingCommand::ReserveStatus,
    }
}

/// Smart Tiered Cache.
pub(super) const fn smart(command: &SmartCommand) -> SettingCommand {
    match command {
        SmartCommand::Get => SettingCommand::Get(Switch::SmartTieredCache),
        SmartCommand::Set { value } => SettingCommand::Set(Switch::SmartTieredCache, *value),
        SmartCommand::Delete => SettingCommand::DeleteSmart,
    }
}

/// Variants from the command line or a file.
///
/// # Errors
///
/// [`Failure`] if they are invalid.
pub(super) fn variants(command: VariantsCommand) -> Result<SettingCommand, Failure> {
    Ok(match command {
        VariantsCommand::Get => SettingCommand::GetVariants,
        VariantsCommand::Set { rows, from } => SettingCommand::SetVariants(match from {
            Some(path) => variants_of_file(&path)?,
            None => variants_of_rows(&rows)?,
        }),
        VariantsCommand::Delete => SettingCommand::DeleteVariants,
    })
}

/// Origin cloud regions.
///
/// # Errors
///
/// [`Failure`] if an address, a region or the file is invalid.
pub(super) fn regions(command: RegionsCommand) -> Result<SettingCommand, Failure> {
    Ok(match command {
        RegionsCommand::List => SettingCommand::ListRegions,
        RegionsCommand::Get { ip } => SettingCommand::GetRegion(origin_ip(&ip)?),
        RegionsCommand::Set { ip, vendor, region } => {
            for (text, noun) in [(&ip, "an address"), (&vendor, "a vendor"), (&region, "a region")] {
                no_secret(text, noun)?;
            }
            let region = CloudRegion::new(&ip, &vendor, &region);
            SettingCommand::SetRegion(region.map_err(|invalid| Failure::usage(invalid.to_string()))?)
        }
        RegionsCommand::Delete { ips, from } => match (ips.as_slice(), from) {
            ([ip], None) => SettingCommand::DeleteRegion(origin_ip(ip)?),
            (_, from) => SettingCommand::DeleteRegions(addresses(&ips, from.as_deref())?),
        },
        RegionsCommand::Import { file } => SettingCommand::ImportRegions(mappings(&file)?),
        RegionsCommand::Supported => SettingCommand::SupportedRegions,
    })
}
