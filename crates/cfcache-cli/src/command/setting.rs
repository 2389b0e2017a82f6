//! The commands around settings: what they have in common, and those that are on or off.

use core::time::Duration;

use cfcache_app::observe::CallObserver;
use cfcache_app::purge::{ZONE_STAND_IN, describe_zone, shown};
use cfcache_app::scope;
use cfcache_client::{Client, Error};
use cfcache_model::endpoint::{
    CacheLevel, ClearCacheReserve, CreateSmartTieredCache, DeleteCloudRegion, DeleteCloudRegions,
    DeleteSmartTieredCache, DeleteVariants, EditBrowserCacheTtl, EditCacheLevel, EditSwitch, EditVariants,
    Endpoint, GetBrowserCacheTtl, GetCacheLevel, GetSwitch, MAX_REGIONS_PER_BATCH, OnOff, SetCloudRegion,
    SetCloudRegions, Setting as Stored, Switch, encode,
};
use cfcache_model::id::ZoneId;
use cfcache_model::verdict::{Answer, Class};

use crate::args::OutputArg;
use crate::command::{Interrupts, regions, reserve, settings, variants};
use crate::confirm::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};
use crate::resolve::{Setting, SettingJob, ZoneRef};
use crate::session::{Session, shown_base};

/// What every command around settings needs.
pub(super) struct SettingsContext<'a> {
    pub(super) client: &'a Client,
    pub(super) zone: ZoneId,
    pub(super) talk: &'a Talk,
}

impl SettingsContext<'_> {
    /// Asks the API.
    pub(super) async fn call<E: Endpoint>(&self, request: &E) -> Result<Answer<E::Reply>, Error> {
        self.client.call(request, &mut CallObserver(self.talk)).await
    }

    /// Prints the `result` as the API wrote it, or what it means to people.
    pub(super) fn print(&self, raw: &str, human: &str) {
        self.talk.data(if self.is_human() { human } else { raw });
    }

    pub(super) fn is_human(&self) -> bool {
        self.talk.output == OutputArg::Human
    }
}

/// Was it refused because it was never set? That is an answer, and no failure.
pub(super) fn is_unset(error: &Error) -> bool {
    error.failure().is_some_and(|failure| {
        failure.status == 404 && failure.class == Class::Missing && matches!(failure.code(), 1142 | 1144)
    })
}

/// Does a job around settings.
pub(super) async fn execute(job: SettingJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    if !job.yes
        && let Some(question) = question(&job.setting, &describe_zone(&job.zone))
    {
        confirm(talk, &question)?;
    }
    let session = Session::open(&job.connection).await?;
    let zone = tokio::select! {
        zone = scope::zone(&session.client, &job.zone, talk) => zone?,
        () = interrupts.nth(1) => return Err(interrupted(false)),
    };
    let context = SettingsContext { client: &session.client, zone, talk };
    let is_change = job.setting.is_change();
    // These tell for themselves how far they came.
    let ends_itself = matches!(
        job.setting,
        Setting::ImportRegions(_) | Setting::DeleteRegions(_) | Setting::ClearReserve { .. }
    );
    let exit = tokio::select! {
        exit = carry_out(&context, job.setting, interrupts) => exit,
        () = interrupts.nth(1), if !ends_itself => Err(interrupted(is_change)),
    }?;
    drop(context);
    session.close().await;
    Ok(exit)
}

pub(super) fn interrupted(is_change: bool) -> Failure {
    Failure::new(
        Exit::Interrupted,
        match is_change {
            true => "interrupted; what was under way may have taken effect",
            false => "interrupted",
        },
    )
}

async fn carry_out(
    context: &SettingsContext<'_>,
    setting: Setting,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    match setting {
        Setting::Get(switch) => get(context, switch).await,
        Setting::Set(switch, value) => set(context, switch, value).await,
        Setting::GetCacheLevel => {
            let answer = context.call(&GetCacheLevel::new(&context.zone)).await;
            show_value(context, CACHE_LEVEL, answer, ToString::to_string)
        }
        Setting::SetCacheLevel(level) => set_cache_level(context, level).await,
        Setting::GetBrowserCacheTtl => {
            let answer = context.call(&GetBrowserCacheTtl::new(&context.zone)).await;
            show_value(context, BROWSER_CACHE_TTL, answer, |seconds| browser_cache_ttl(*seconds))
        }
        Setting::SetBrowserCacheTtl(seconds) => set_browser_cache_ttl(context, seconds).await,
        Setting::DeleteSmart => delete_smart(context).await,
        Setting::ClearReserve { wait } => reserve::clear(context, wait, interrupts).await,
        Setting::ReserveStatus => reserve::status(context).await,
        Setting::GetVariants => variants::get(context).await,
        Setting::SetVariants(variants) => variants::set(context, &variants).await,
        Setting::DeleteVariants => variants::delete(context).await,
        Setting::ListRegions => regions::list(context).await,
        Setting::GetRegion(ip) => regions::get(context, &ip).await,
        Setting::SetRegion(mapping) => regions::set(context, &mapping).await,
        Setting::DeleteRegion(ip) => regions::delete(context, &ip).await,
        Setting::DeleteRegions(ips) => regions::delete_many(context, &ips, interrupts).await,
        Setting::SupportedRegions => regions::supported(context).await,
        Setting::ImportRegions(mappings) => regions::import(context, &mappings, interrupts).await,
        Setting::Table => settings::table(context).await,
    }
}

/// What is asked before it is done, where it must be confirmed.
fn question(setting: &Setting, zone: &str) -> Option<String> {
    match setting {
        Setting::ClearReserve { .. } => Some(format!(
            "Clearing Cache Reserve removes everything in it. It must be off, it cannot be turned on again while the \
             clear runs (up to 24 hours), and a clear cannot be undone or cancelled.\nClear Cache Reserve of {zone}?",
        )),
        Setting::DeleteSmart => {
            Some(format!("Delete the setting of Smart Tiered Cache of {zone}, and so turn it off?"))
        }
        Setting::DeleteVariants => Some(format!("Delete all variants of {zone}?")),
        Setting::DeleteRegion(ip) => Some(format!("Delete the cloud region of {ip} of {zone}?")),
        Setting::DeleteRegions(ips) => {
            let origins = human::count(ips.len() as u64, "origin");
            Some(format!("Delete the cloud regions of {origins} of {zone}?"))
        }
        Setting::Get(_)
        | Setting::Set(..)
        | Setting::GetCacheLevel
        | Setting::SetCacheLevel(_)
        | Setting::GetBrowserCacheTtl
        | Setting::SetBrowserCacheTtl(_)
        | Setting::ReserveStatus
        | Setting::GetVariants
        | Setting::SetVariants(_)
        | Setting::ListRegions
        | Setting::GetRegion(_)
        | Setting::SetRegion(_)
        | Setting::ImportRegions(_)
        | Setting::SupportedRegions
        | Setting::Table => None,
    }
}

async fn get(context: &SettingsContext<'_>, switch: Switch) -> Result<Exit, Failure> {
    let title = switch.title();
    match context.call(&GetSwitch::new(&context.zone, switch)).await {
        Ok(answer) => context.print(&answer.raw, &describe(switch, &answer.result)),
        Err(error) if is_unset(&error) => {
            context.print("null", &format!("{title} is off (it was never set)"))
        }
        Err(error) => return Err(Failure::of(&error, format!("cannot read {title}"))),
    }
    Ok(Exit::Accepted)
}

/// "Cache Reserve is on, last changed 2026-…".
fn describe(switch: Switch, stored: &Stored<String>) -> String {
    let mut text =
        format!("{} is {}", switch.title(), stored.value.as_deref().unwrap_or("in an unknown state"));
    if let Some(time) = left(stored) {
        text.push_str(&format!(", for another {time}"));
    }
    with_marks(text, stored)
}

pub(super) const CACHE_LEVEL: &str = "Cache level";
pub(super) const BROWSER_CACHE_TTL: &str = "Browser cache TTL";

/// "14400 s", or that the origin decides.
pub(super) fn browser_cache_ttl(seconds: u64) -> String {
    match seconds {
        0 => "0 (the origin's headers)".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

/// Prints a setting that has more values than on and off.
fn show_value<V>(
    context: &SettingsContext<'_>,
    title: &str,
    answer: Result<Answer<Stored<V>>, Error>,
    shown: impl Fn(&V) -> String,
) -> Result<Exit, Failure> {
    let answer =
        answer.map_err(|error| Failure::of(&error, format!("cannot read the {}", in_a_sentence(title))))?;
    let stored = &answer.result;
    let value = stored.value.as_ref().map_or_else(|| "in an unknown state".to_owned(), shown);
    context.print(&answer.raw, &with_marks(format!("{title} is {value}"), stored));
    Ok(Exit::Accepted)
}

fn in_a_sentence(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Says when a setting was changed, and whether the API says that it can be.
fn with_marks<V>(mut text: String, stored: &Stored<V>) -> String {
    if let Some(changed) = &stored.modified_on {
        text.push_str(&format!(", last changed {changed}"));
    }
    if stored.editable == Some(false) {
        text.push_str("; the API says that it is not editable");
    }
    text
}

async fn set_cache_level(context: &SettingsContext<'_>, level: CacheLevel) -> Result<Exit, Failure> {
    let before = context.call(&GetCacheLevel::new(&context.zone)).await.ok();
    if let Some(before) = before.filter(|before| before.result.value.as_deref() == Some(level.as_str())) {
        context.print(&before.raw, &format!("{CACHE_LEVEL} is {level} already; nothing was changed"));
        return Ok(Exit::Accepted);
    }
    let answer = context.call(&EditCacheLevel::new(&context.zone, level)).await;
    let answer =
        answer.map_err(|error| Failure::of(&error, format!("cannot set the cache level to {level}")))?;
    confirm_value(context, CACHE_LEVEL, &answer, &level.as_str().to_owned(), ToString::to_string)
}

async fn set_browser_cache_ttl(context: &SettingsContext<'_>, seconds: u32) -> Result<Exit, Failure> {
    let wanted = u64::from(seconds);
    let shown = browser_cache_ttl(wanted);
    let before = context.call(&GetBrowserCacheTtl::new(&context.zone)).await.ok();
    if let Some(before) = before.filter(|before| before.result.value == Some(wanted)) {
        context.print(&before.raw, &format!("{BROWSER_CACHE_TTL} is {shown} already; nothing was changed"));
        return Ok(Exit::Accepted);
    }
    let answer = context.call(&EditBrowserCacheTtl::new(&context.zone, seconds)).await;
    let answer = answer
        .map_err(|error| Failure::of(&error, format!("cannot set the browser cache TTL to {shown}")))?;
    confirm_value(context, BROWSER_CACHE_TTL, &answer, &wanted, |seconds| browser_cache_ttl(*seconds))
}

/// Tells a value that was set, if the API says that it is set now.
fn confirm_value<V: PartialEq>(
    context: &SettingsContext<'_>,
    title: &str,
    answer: &Answer<Stored<V>>,
    wanted: &V,
    shown: impl Fn(&V) -> String,
) -> Result<Exit, Failure> {
    match answer.result.value.as_ref().filter(|now| *now != wanted) {
        Some(now) => Err(Failure::new(
            Exit::Failed,
            format!("the API accepted it, and says that the {} is {}", in_a_sentence(title), shown(now)),
        )),
        None => {
            context.print(&answer.raw, &format!("{title} is {} now", shown(wanted)));
            Ok(Exit::Accepted)
        }
    }
}

/// How long a setting stays as it is, where it ends by itself.
pub(super) fn left(stored: &Stored<String>) -> Option<String> {
    let seconds = u64::try_from(stored.time_remaining?).ok().filter(|seconds| *seconds > 0)?;
    Some(human::whole(Duration::from_secs(seconds)))
}

/// Sets a switch; what is so already is left alone.
async fn set(context: &SettingsContext<'_>, switch: Switch, value: OnOff) -> Result<Exit, Failure> {
    let title = switch.title();
    let before = context.call(&GetSwitch::new(&context.zone, switch)).await;
    let mut is_missing = false;
    match &before {
        Ok(answer) if answer.result.value.as_deref() == Some(value.as_str()) => {
            context.print(&answer.raw, &format!("{title} is {value} already; nothing was changed"));
            return Ok(Exit::Accepted);
        }
        Err(error) => is_missing = is_unset(error),
        Ok(_) => {}
    }
    // A setting that was never set is created; only Smart Tiered Cache has a request of its own for that.
    let answer = match is_missing && switch == Switch::SmartTieredCache {
        true => context.call(&CreateSmartTieredCache::new(&context.zone, value)).await,
        false => context.call(&EditSwitch::new(&context.zone, switch, value)).await,
    }
    .map_err(|error| Failure::of(&error, format!("cannot turn {title} {value}")))?;
    if answer.result.value.as_deref().is_some_and(|now| now != value.as_str()) {
        return Err(Failure::new(
            Exit::Failed,
            format!("the API accepted it, and says that {}", describe(switch, &answer.result)),
        ));
    }
    context.print(&answer.raw, &format!("{title} is {value} now"));
    Ok(Exit::Accepted)
}

async fn delete_smart(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    match context.call(&DeleteSmartTieredCache::new(&context.zone)).await {
        Ok(answer) => context.print(&answer.raw, "the setting of Smart Tiered Cache is deleted; it is off"),
        Err(error) if is_unset(&error) => {
            context.print("null", "Smart Tiered Cache was never set; nothing was changed");
        }
        Err(error) => return Err(Failure::of(&error, "cannot delete the setting of Smart Tiered Cache")),
    }
    Ok(Exit::Accepted)
}

/// Prints the requests of a change, and sends nothing.
pub(super) fn dry_run(job: &SettingJob, talk: &Talk) -> Result<Exit, Failure> {
    let base = shown_base(&job.connection)?.to_string();
    let zone = match &job.zone {
        ZoneRef::Id(id) => id.clone(),
        ZoneRef::Domain(domain) => {
            talk.note(&format!(
                "`{domain}` is not looked up in a dry run: {ZONE_STAND_IN} stands for its id"
            ));
            ZoneId::parse(ZONE_STAND_IN).map_err(|invalid| Failure::usage(invalid.to_string()))?
        }
    };
    let show = |parts| talk.data(&shown(&parts, &base));
    match &job.setting {
        Setting::Set(switch, value) => {
            talk.note(&format!(
                "{} is read first, and left alone where it is {value}",
                human::capitalized(switch.title())
            ));
            show(encode(&EditSwitch::new(&zone, *switch, *value)));
        }
        Setting::SetCacheLevel(level) => show(encode(&EditCacheLevel::new(&zone, *level))),
        Setting::SetBrowserCacheTtl(seconds) => show(encode(&EditBrowserCacheTtl::new(&zone, *seconds))),
        Setting::DeleteSmart => show(encode(&DeleteSmartTieredCache::new(&zone))),
        Setting::ClearReserve { .. } => show(encode(&ClearCacheReserve::new(&zone))),
        Setting::SetVariants(variants) => show(encode(&EditVariants::new(&zone, variants))),
        Setting::DeleteVariants => show(encode(&DeleteVariants::new(&zone))),
        Setting::SetRegion(mapping) => show(encode(&SetCloudRegion::new(&zone, mapping))),
        Setting::DeleteRegion(ip) => show(encode(&DeleteCloudRegion::new(&zone, ip))),
        Setting::DeleteRegions(ips) => {
            for batch in ips.chunks(MAX_REGIONS_PER_BATCH) {
                show(encode(&DeleteCloudRegions::new(&zone, batch)));
            }
        }
        Setting::ImportRegions(mappings) => {
            for batch in mappings.chunks(MAX_REGIONS_PER_BATCH) {
                show(encode(&SetCloudRegions::new(&zone, batch)));
            }
        }
        // These only read, and are refused before.
        Setting::Get(_)
        | Setting::GetCacheLevel
        | Setting::GetBrowserCacheTtl
        | Setting::ReserveStatus
        | Setting::GetVariants
        | Setting::ListRegions
        | Setting::GetRegion(_)
        | Setting::SupportedRegions
        | Setting::Table => {}
    }
    Ok(Exit::Accepted)
}
