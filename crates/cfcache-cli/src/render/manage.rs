//! Prints zones, environments, tokens and settings.

use cfcache_app::manage::{Imported, ManageReport, ManageResult, SettingChange, SettingRow, SettingValue};
use cfcache_app::scope;
use cfcache_model::endpoint::{
    CacheReserveClear, Environment, StoredCloudRegion, StoredVariants, SupportedRegions, TokenStatus, Zone,
};
use cfcache_model::text::clip;

use crate::args::OutputArg;
use crate::exit::Exit;
use crate::render::{Terminal, human};

const NO_VARIANTS: &str = "no variants are set";

/// Prints the result, and returns the exit code.
pub(crate) fn print(report: &ManageReport, terminal: &Terminal) -> Exit {
    if terminal.output == OutputArg::Human {
        result(&report.result, terminal);
    } else {
        terminal.data(&report.json);
    }
    match &report.problem {
        Some(failure) => terminal.failure(failure),
        None => report.exit,
    }
}

fn result(result: &ManageResult, terminal: &Terminal) {
    match result {
        ManageResult::Zones(zones) => self::zones(zones, terminal),
        ManageResult::Environments(environments) => self::environments(environments, terminal),
        ManageResult::Token { status, is_early } => terminal.tell(&token(status, *is_early)),
        ManageResult::Value(title, value, change) => terminal.data(&setting(title, value.as_ref(), *change)),
        ManageResult::Variants(stored, change) => variants(stored.as_ref(), *change, terminal),
        ManageResult::ReserveClear(clear) => terminal.data(&reserve_clear(clear.as_ref())),
        ManageResult::Regions(regions) if regions.is_empty() => terminal.note("no origin has a cloud region"),
        ManageResult::Regions(regions) => {
            table(&["ORIGIN", "VENDOR", "REGION", "CHANGED"], regions.iter().map(region_cells), terminal);
        }
        ManageResult::Region(mapping, change) => terminal.data(&region(mapping, *change)),
        ManageResult::RegionDeleted(ip) => terminal.data(&format!("the mapping of {ip} is deleted")),
        ManageResult::Supported(regions) => supported(regions, terminal),
        ManageResult::Imported { done, imported } => self::imported(done, imported, terminal),
        ManageResult::Table(rows) => settings(rows, terminal),
    }
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>, terminal: &Terminal) {
    human::table(header, &rows.collect::<Vec<_>>()).iter().for_each(|line| terminal.data(line));
}

fn zones(zones: &[Zone], terminal: &Terminal) {
    if zones.is_empty() {
        return terminal.note(scope::SEES_NONE);
    }
    let rows = zones.iter().map(|zone| {
        vec![
            zone.name.clone(),
            zone.id.clone(),
            zone.status.clone().unwrap_or_default(),
            zone.plan.clone().unwrap_or_default(),
        ]
    });
    table(&["NAME", "ID", "STATUS", "PLAN"], rows, terminal);
}

fn environments(environments: &[Environment], terminal: &Terminal) {
    if environments.is_empty() {
        return terminal.note("the zone has no environments");
    }
    let rows = environments.iter().map(|environment| {
        let version = environment.version.map(|version| version.to_string()).unwrap_or_default();
        vec![environment.name.clone(), environment.id.clone(), version]
    });
    table(&["NAME", "ID", "VERSION"], rows, terminal);
}

fn token(token: &TokenStatus, is_early: bool) -> String {
    let status = if is_early { "not valid yet" } else { token.status.as_str() };
    let mut line = format!("the token is {}", clip(status, 40));
    if let Some(begins) = &token.not_before {
        line.push_str(&format!(", from {begins}"));
    }
    match &token.expires_on {
        Some(ends) if token.status == "expired" => line.push_str(&format!(", since {ends}")),
        Some(ends) => line.push_str(&format!(", until {ends}")),
        None if token.is_active() => line.push_str(", and does not expire"),
        None => {}
    }
    line
}

fn setting(title: &str, value: Option<&SettingValue>, change: SettingChange) -> String {
    let now = value.and_then(|value| value.value.as_deref()).unwrap_or("in an unknown state");
    match (value, change) {
        (Some(value), SettingChange::Read) => format!("{title} {}", value.describe()),
        (Some(_), SettingChange::Unchanged) => format!("{title} is already {now}; nothing was changed"),
        (Some(_), SettingChange::Set) => format!("{title} is {now} now"),
        (None, SettingChange::Unchanged) => format!("{title} was never set; nothing was changed"),
        (None, SettingChange::Read | SettingChange::Set) => format!("{title} is off (it was never set)"),
        (_, SettingChange::Deleted) => format!("the setting of {title} is deleted; it is off"),
    }
}

fn variants(stored: Option<&StoredVariants>, change: SettingChange, terminal: &Terminal) {
    match (stored, change) {
        (_, SettingChange::Deleted) => return terminal.data("the variants are deleted"),
        (None, SettingChange::Unchanged) => {
            return terminal.data("no variants were set; nothing was changed");
        }
        (Some(_), SettingChange::Unchanged) => {
            return terminal.data("the variants are already set like this; nothing was changed");
        }
        _ => {}
    }
    let rows: Vec<Vec<String>> = stored
        .into_iter()
        .flatten()
        .filter_map(|(extension, types)| Some(vec![extension.clone(), types.as_ref()?.join(", ")]))
        .collect();
    if rows.is_empty() {
        terminal.data(NO_VARIANTS);
    } else {
        table(&["EXTENSION", "TYPES"], rows.into_iter(), terminal);
    }
}

fn reserve_clear(clear: Option<&CacheReserveClear>) -> String {
    let Some(clear) = clear else { return "Cache Reserve was never cleared".to_owned() };
    let began = clear.start_ts.as_deref().map(|time| format!(", started {time}")).unwrap_or_default();
    let ended = clear.end_ts.as_deref().map(|time| format!(", ended {time}")).unwrap_or_default();
    let state = if clear.is_completed() {
        "Cache Reserve is cleared".to_owned()
    } else if clear.is_in_progress() {
        "Cache Reserve is being cleared".to_owned()
    } else {
        format!("clearing Cache Reserve: {}", clip(&clear.state, 80))
    };
    format!("{state}{began}{ended}")
}

fn region_cells(region: &StoredCloudRegion) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![region.origin_ip.clone(), text(&region.vendor), text(&region.region), text(&region.modified_on)]
}

fn region(region: &StoredCloudRegion, change: SettingChange) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "(not told)".to_owned());
    let told = format!("{} is in {} {}", region.origin_ip, text(&region.vendor), text(&region.region));
    if change == SettingChange::Unchanged { format!("{told} already; nothing was changed") } else { told }
}

fn supported(regions: &SupportedRegions, terminal: &Terminal) {
    let rows = regions.vendors.iter().flat_map(|(vendor, regions)| {
        regions
            .iter()
            .map(|region| vec![vendor.clone(), region.name.clone(), region.upper_tier_colos.join(", ")])
    });
    table(&["VENDOR", "REGION", "UPPER TIER"], rows, terminal);
}

fn imported(done: &str, imported: &Imported, terminal: &Terminal) {
    let (succeeded, failed) = (imported.succeeded.len(), imported.failed.len());
    terminal.data(&format!("{done}: {succeeded} of {}", succeeded + failed));
    for mapping in &imported.failed {
        let parts = [Some(&mapping.origin_ip), mapping.vendor.as_ref(), mapping.region.as_ref()];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        let line = format!("  {}", parts.join(" "));
        match mapping.error.as_deref().filter(|why| !terminal.has_told(why)) {
            Some(why) => terminal.tell(&format!("{line}: {}", clip(why, 300))),
            None => terminal.data(&line),
        }
    }
}

fn settings(rows: &[SettingRow], terminal: &Terminal) {
    let cells = |row: &SettingRow| {
        let value = row.value.value.clone().unwrap_or_default();
        let value = match row.value.left {
            Some(left) => format!("{value}, for another {}", human::whole(left)),
            None => value,
        };
        let editable = match row.value.editable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let changed = row.value.changed.clone().unwrap_or_default();
        vec![row.setting.to_owned(), value, editable.to_owned(), changed]
    };
    table(&["SETTING", "VALUE", "EDITABLE", "CHANGED"], rows.iter().map(cells), terminal);
    for row in rows {
        if let Some(note) = &row.note {
            terminal.note(&format!("{}: {note}", row.setting));
        }
    }
}
