//! Commands for zones, environments, tokens and settings.

mod dry_run;
pub mod input;
mod regions;
mod reserve;
mod table;
mod token;
mod value;
mod variants;

use core::net::IpAddr;
use core::time::Duration;

use cfcache_client::{Client, Error};
use cfcache_model::endpoint::{
    ApiRequest, CacheLevel, CacheReserveClear, CloudRegion, Endpoint, Environment, StoredCloudRegion,
    StoredVariants, SupportedRegions, Switch, TokenStatus, Variants, Zone,
};
use cfcache_model::id::{AccountId, ZoneId};
use cfcache_model::verdict::{Answer, Class};

use crate::config::Sourced;
use crate::connection::Connection;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::IdOrName;
pub use crate::manage::dry_run::{dry_run, only_reads};
pub use crate::manage::regions::{Imported, RegionImport};
pub use crate::manage::table::SettingRow;
pub use crate::manage::value::{SETTINGS, SettingValue};
use crate::observe::show_events;
use crate::purge::{confirm, describe_zone};
use crate::session::Session;
use crate::{pages, scope, wording};

/// What to read from the API, or what to change.
pub enum ManageJob {
    /// All zones that the token may read.
    ListZones(Connection),
    /// The environments of a zone.
    ListEnvironments(Connection, IdOrName<ZoneId>),
    /// Verifies the token.
    VerifyToken {
        /// How to reach the API.
        connection: Connection,
        /// The account of the token; `None` for the token of a user.
        account: Option<Sourced<AccountId>>,
        /// Variables that were probably meant to name an account but are not read.
        unread: Vec<String>,
    },
    /// A setting of a zone.
    Setting {
        /// What to do with it.
        command: SettingCommand,
        /// The zone.
        zone: IdOrName<ZoneId>,
        /// How to reach the API.
        connection: Connection,
        /// Whether to skip the confirmation.
        yes: bool,
    },
}

/// What to do with a setting.
#[expect(missing_docs, reason = "the names say what they do")]
pub enum SettingCommand {
    Get(Switch),
    Set(Switch, bool),
    GetCacheLevel,
    SetCacheLevel(CacheLevel),
    GetBrowserCacheTtl,
    SetBrowserCacheTtl(u32),
    DeleteSmart,
    ClearReserve { wait: bool },
    ReserveStatus,
    GetVariants,
    SetVariants(Variants),
    DeleteVariants,
    ListRegions,
    GetRegion(IpAddr),
    SetRegion(CloudRegion),
    DeleteRegion(IpAddr),
    DeleteRegions(Vec<IpAddr>),
    ImportRegions(Vec<CloudRegion>),
    SupportedRegions,
    Table,
}

/// The result of a command.
pub struct ManageReport {
    /// How the process ends.
    pub exit: Exit,
    /// The result as JSON: the unchanged `result` of the API, or our own object if there was more than one response.
    pub json: String,
    /// The result for people.
    pub result: ManageResult,
    /// Why parts of it could not be read; shown below it.
    pub problem: Option<Failure>,
}

/// The result of a command, by its type.
pub enum ManageResult {
    /// All zones.
    Zones(Vec<Zone>),
    /// The environments of a zone.
    Environments(Vec<Environment>),
    /// A token.
    Token {
        /// The state of the token.
        status: TokenStatus,
        /// Whether it is not valid yet. (The API calls it active nonetheless.)
        is_early: bool,
    },
    /// A setting with one value; `None` if it is not set.
    Value(&'static str, Option<SettingValue>, SettingChange),
    /// The variants; `None` if there are none.
    Variants(Option<StoredVariants>, SettingChange),
    /// The state of the latest clear of Cache Reserve; `None` if it was never cleared.
    ReserveClear(Option<CacheReserveClear>),
    /// The cloud regions of origins.
    Regions(Vec<StoredCloudRegion>),
    /// The cloud region of one origin.
    Region(StoredCloudRegion, SettingChange),
    /// The mapping of this origin was deleted.
    RegionDeleted(IpAddr),
    /// The supported regions.
    Supported(SupportedRegions),
    /// Mappings that were imported or deleted.
    Imported {
        /// What was done: "mapped" or "deleted".
        done: &'static str,
        /// The mappings, and what failed.
        imported: Imported,
    },
    /// All settings.
    Table(Vec<SettingRow>),
}

/// What happened to a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingChange {
    /// It was only read.
    Read,
    /// It already had the value, and was not changed.
    Unchanged,
    /// It was set.
    Set,
    /// It was deleted.
    Deleted,
}

impl ManageReport {
    fn new(json: impl Into<String>, result: ManageResult) -> Self {
        Self { exit: Exit::Accepted, json: json.into(), result, problem: None }
    }
}

impl SettingCommand {
    /// Returns whether it changes anything.
    pub const fn is_change(&self) -> bool {
        match self {
            Self::Get(_)
            | Self::GetCacheLevel
            | Self::GetBrowserCacheTtl
            | Self::ReserveStatus
            | Self::GetVariants
            | Self::ListRegions
            | Self::GetRegion(_)
            | Self::SupportedRegions
            | Self::Table => false,
            Self::Set(..)
            | Self::SetCacheLevel(_)
            | Self::SetBrowserCacheTtl(_)
            | Self::DeleteSmart
            | Self::ClearReserve { .. }
            | Self::SetVariants(_)
            | Self::DeleteVariants
            | Self::SetRegion(_)
            | Self::DeleteRegion(_)
            | Self::DeleteRegions(_)
            | Self::ImportRegions(_) => true,
        }
    }

    /// Returns whether it handles interrupts itself and reports its progress.
    const fn ends_itself(&self) -> bool {
        matches!(self, Self::ImportRegions(_) | Self::DeleteRegions(_) | Self::ClearReserve { .. })
    }

    /// The question to confirm, if confirmation is required.
    fn question(&self, zone: &str) -> Option<String> {
        match self {
            Self::ClearReserve { .. } => Some(format!(
                "Clearing Cache Reserve removes everything in it. It must be off, it cannot be turned on again while the \
                 clear runs (up to 24 hours), and a clear cannot be undone or cancelled.\nClear Cache Reserve of {zone}?",
            )),
            Self::DeleteSmart => {
                Some(format!("Delete the setting of Smart Tiered Cache of {zone}, which turns it off?"))
            }
            Self::DeleteVariants => Some(format!("Delete all variants of {zone}?")),
            Self::DeleteRegion(ip) => Some(format!("Delete the cloud region of {ip} of {zone}?")),
            Self::DeleteRegions(ips) => {
                let origins = wording::count(ips.len() as u64, "origin");
                Some(format!("Delete the cloud regions of {origins} of {zone}?"))
            }
            _ => None,
        }
    }
}

/// Runs a command.
///
/// # Errors
///
/// [`Failure`] if the API refuses it or cannot be reached, if it is not confirmed, or if it is interrupted.
pub async fn run(job: ManageJob, console: &dyn Console) -> Result<ManageReport, Failure> {
    // Commands for settings handle interrupts themselves.
    let is_setting = matches!(job, ManageJob::Setting { .. });
    tokio::select! {
        report = ask(job, console) => report,
        () = console.interrupted(1), if !is_setting => Err(interrupted(false)),
    }
}

async fn ask(job: ManageJob, console: &dyn Console) -> Result<ManageReport, Failure> {
    match job {
        ManageJob::ListZones(connection) => zones(&connection, console).await,
        ManageJob::ListEnvironments(connection, zone) => environments(&connection, &zone, console).await,
        ManageJob::VerifyToken { connection, account, unread } => {
            token::verify(&connection, account.as_ref(), unread, console).await
        }
        ManageJob::Setting { command, zone, connection, yes } => {
            if let Some(question) = command.question(&describe_zone(&zone)) {
                confirm(console, yes, &question)?;
            }
            setting(&connection, &zone, command, console).await
        }
    }
}

fn interrupted(is_change: bool) -> Failure {
    let message =
        if is_change { "interrupted; requests in flight may have taken effect" } else { "interrupted" };
    Failure::new(Exit::Interrupted, message)
}

async fn zones(connection: &Connection, console: &dyn Console) -> Result<ManageReport, Failure> {
    let session = Session::open(connection).await?;
    let client = &session.client;
    let zones =
        pages::all(async |page| client.call(&ApiRequest::zones(page), &mut show_events(console)).await)
            .await
            .map_err(|error| Failure::from_error(&error, "cannot list the zones"))?;
    session.close().await;
    Ok(ManageReport::new(zones.raw, ManageResult::Zones(zones.result)))
}

async fn environments(
    connection: &Connection,
    zone: &IdOrName<ZoneId>,
    console: &dyn Console,
) -> Result<ManageReport, Failure> {
    let session = Session::open(connection).await?;
    let zone = scope::zone(&session.client, zone, console).await?;
    let answer = session
        .client
        .call(&ApiRequest::environments(&zone), &mut show_events(console))
        .await
        .map_err(|error| Failure::from_error(&error, "cannot list the environments"))?;
    session.close().await;
    Ok(ManageReport::new(answer.raw, ManageResult::Environments(answer.result.environments)))
}

/// The context of a command for settings.
struct SettingsContext<'a> {
    client: &'a Client,
    zone: ZoneId,
    console: &'a dyn Console,
}

impl SettingsContext<'_> {
    /// Calls the API.
    async fn call<E: Endpoint>(&self, request: &E) -> Result<Answer<E::Reply>, Error> {
        self.client.call(request, &mut show_events(self.console)).await
    }
}

/// Returns whether a request was refused because the setting was never set, which is not a failure.
fn is_unset(error: &Error) -> bool {
    error.failure().is_some_and(|failure| {
        failure.status == 404 && failure.class == Class::Missing && matches!(failure.code(), 1142 | 1144)
    })
}

async fn setting(
    connection: &Connection,
    zone: &IdOrName<ZoneId>,
    command: SettingCommand,
    console: &dyn Console,
) -> Result<ManageReport, Failure> {
    let session = Session::open(connection).await?;
    let zone = tokio::select! {
        zone = scope::zone(&session.client, zone, console) => zone?,
        () = console.interrupted(1) => return Err(interrupted(false)),
    };
    let context = SettingsContext { client: &session.client, zone, console };
    let (is_change, ends_itself) = (command.is_change(), command.ends_itself());
    let report = tokio::select! {
        report = carry_out(&context, command) => report,
        () = console.interrupted(1), if !ends_itself => Err(interrupted(is_change)),
    }?;
    drop(context);
    session.close().await;
    Ok(report)
}

async fn carry_out(context: &SettingsContext<'_>, command: SettingCommand) -> Result<ManageReport, Failure> {
    match command {
        SettingCommand::Get(switch) => value::get_switch(context, switch).await,
        SettingCommand::Set(switch, value) => value::set_switch(context, switch, value).await,
        SettingCommand::GetCacheLevel => value::get_cache_level(context).await,
        SettingCommand::SetCacheLevel(level) => value::set_cache_level(context, level).await,
        SettingCommand::GetBrowserCacheTtl => value::get_browser_cache_ttl(context).await,
        SettingCommand::SetBrowserCacheTtl(seconds) => value::set_browser_cache_ttl(context, seconds).await,
        SettingCommand::DeleteSmart => value::delete_smart(context).await,
        SettingCommand::ClearReserve { wait } => reserve::clear(context, wait).await,
        SettingCommand::ReserveStatus => reserve::status(context).await,
        SettingCommand::GetVariants => variants::get(context).await,
        SettingCommand::SetVariants(variants) => variants::set(context, &variants).await,
        SettingCommand::DeleteVariants => variants::delete(context).await,
        SettingCommand::ListRegions => regions::list(context).await,
        SettingCommand::GetRegion(ip) => regions::get(context, ip).await,
        SettingCommand::SetRegion(mapping) => regions::set(context, &mapping).await,
        SettingCommand::DeleteRegion(ip) => regions::delete(context, ip).await,
        SettingCommand::DeleteRegions(ips) => regions::delete_many(context, &ips).await,
        SettingCommand::SupportedRegions => regions::supported(context).await,
        SettingCommand::ImportRegions(mappings) => regions::import(context, &mappings).await,
        SettingCommand::Table => table::read(context).await,
    }
}

/// How long a setting keeps its value, if it ends by itself.
fn left(time_remaining: Option<i64>) -> Option<Duration> {
    let seconds = u64::try_from(time_remaining?).ok().filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}
