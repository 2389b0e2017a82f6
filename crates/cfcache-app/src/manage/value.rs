//! Settings with one value: on or off, the cache level, the browser cache TTL.

use core::time::Duration;

use cfcache_client::Error;
use cfcache_model::endpoint::{ApiRequest, CacheLevel, Setting, Switch};
use cfcache_model::verdict::Answer;
use serde::de::DeserializeOwned;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::manage::{ManageReport, ManageResult, SettingChange, SettingsContext, is_unset, left};
use crate::wording;

pub(super) const CACHE_LEVEL: &str = "Cache level";
pub(super) const BROWSER_CACHE_TTL: &str = "Browser cache TTL";
pub(super) const VARIANTS: &str = "Variants";
pub(super) const CACHE_RESERVE_CLEAR: &str = "Cache Reserve clear";

/// The names of all settings, as in the table.
pub const SETTINGS: &[&str] = &[
    Switch::CacheReserve.title(),
    CACHE_RESERVE_CLEAR,
    Switch::RegionalTieredCache.title(),
    Switch::SmartTieredCache.title(),
    Switch::TieredCaching.title(),
    VARIANTS,
    CACHE_LEVEL,
    BROWSER_CACHE_TTL,
    Switch::AlwaysOnline.title(),
    Switch::SortQueryString.title(),
    Switch::DevelopmentMode.title(),
];

/// A setting in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingValue {
    /// The value, such as "on" or "14400 s"; `None` if the API does not return it.
    pub value: Option<String>,
    /// How long it keeps the value, if it ends by itself.
    pub left: Option<Duration>,
    /// Whether the API says that it can be changed.
    pub editable: Option<bool>,
    /// When it was last changed, in RFC 3339 format.
    pub changed: Option<String>,
}

impl SettingValue {
    /// Converts a setting of the API; `describe` converts its value.
    pub(super) fn new<V>(stored: &Setting<V>, describe: impl Fn(&V) -> String) -> Self {
        Self {
            value: stored.value.as_ref().map(describe),
            left: left(stored.time_remaining),
            editable: stored.editable,
            changed: stored.modified_on.clone(),
        }
    }

    /// A description that follows the name of the setting: "is on, last changed 2026-…".
    pub fn describe(&self) -> String {
        let mut text = format!("is {}", self.value.as_deref().unwrap_or("in an unknown state"));
        if let Some(left) = self.left {
            text.push_str(&format!(", for another {}", wording::whole(left)));
        }
        if let Some(changed) = &self.changed {
            text.push_str(&format!(", last changed {changed}"));
        }
        if self.editable == Some(false) {
            text.push_str("; the API says that it is not editable");
        }
        text
    }
}

/// The value of a switch, as in the API.
pub(super) const fn on_or_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// "14400 s", or that the origin's headers are used.
pub(super) fn browser_cache_ttl(seconds: &u64) -> String {
    match seconds {
        0 => "0 (the origin's headers)".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

fn report<V>(
    title: &'static str,
    answer: Answer<Setting<V>>,
    describe: impl Fn(&V) -> String,
    change: SettingChange,
) -> ManageReport {
    let value = SettingValue::new(&answer.result, describe);
    ManageReport::new(answer.raw, ManageResult::Value(title, Some(value), change))
}

/// The name within a sentence: names of Cloudflare's features keep their capital letters.
fn in_a_sentence(title: &'static str) -> String {
    match title {
        CACHE_LEVEL => "the cache level".to_owned(),
        BROWSER_CACHE_TTL => "the browser cache TTL".to_owned(),
        title => title.to_owned(),
    }
}

/// Sets a value, unless it is already set, and checks that the API returns the new value.
async fn set<V: DeserializeOwned + Send + PartialEq>(
    context: &SettingsContext<'_>,
    title: &'static str,
    before: Result<Answer<Setting<V>>, Error>,
    edit: &ApiRequest<Setting<V>>,
    wanted: V,
    describe: impl Fn(&V) -> String,
) -> Result<ManageReport, Failure> {
    if let Ok(before) = before
        && before.result.value.as_ref() == Some(&wanted)
    {
        return Ok(report(title, before, describe, SettingChange::Unchanged));
    }
    let name = in_a_sentence(title);
    let mut answer = context.call(edit).await.map_err(|error| {
        let value = describe(&wanted);
        Failure::from_error(
            &error,
            if matches!(title, CACHE_LEVEL | BROWSER_CACHE_TTL) {
                format!("cannot set {name} to {value}")
            } else {
                format!("cannot turn {name} {value}")
            },
        )
    })?;
    if answer.result.value.as_ref().is_some_and(|now| *now != wanted) {
        let now = SettingValue::new(&answer.result, describe);
        let message = format!("the API accepted it, but says that {name} {}", now.describe());
        return Err(Failure::new(Exit::Failed, message));
    }
    answer.result.value = Some(wanted);
    Ok(report(title, answer, describe, SettingChange::Set))
}

pub(super) async fn get_switch(
    context: &SettingsContext<'_>,
    switch: Switch,
) -> Result<ManageReport, Failure> {
    let title = switch.title();
    match context.call(&ApiRequest::switch(&context.zone, switch)).await {
        Ok(answer) => Ok(report(title, answer, String::clone, SettingChange::Read)),
        Err(error) if is_unset(&error) => {
            Ok(ManageReport::new("null", ManageResult::Value(title, None, SettingChange::Read)))
        }
        Err(error) => Err(Failure::from_error(&error, format!("cannot read {title}"))),
    }
}

/// Sets a switch, unless it already has the value.
pub(super) async fn set_switch(
    context: &SettingsContext<'_>,
    switch: Switch,
    is_on: bool,
) -> Result<ManageReport, Failure> {
    let before = context.call(&ApiRequest::switch(&context.zone, switch)).await;
    let is_missing = before.as_ref().is_err_and(is_unset);
    // A setting that was never set is created; only Smart Tiered Cache has a separate request for that.
    let edit = if is_missing && switch == Switch::SmartTieredCache {
        ApiRequest::create_smart_tiered_cache(&context.zone, is_on)
    } else {
        ApiRequest::set_switch(&context.zone, switch, is_on)
    };
    set(context, switch.title(), before, &edit, on_or_off(is_on).to_owned(), String::clone).await
}

pub(super) async fn delete_smart(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let title = Switch::SmartTieredCache.title();
    let report = |raw: String, change| ManageReport::new(raw, ManageResult::Value(title, None, change));
    match context.call(&ApiRequest::delete_smart_tiered_cache(&context.zone)).await {
        Ok(answer) => Ok(report(answer.raw, SettingChange::Deleted)),
        Err(error) if is_unset(&error) => Ok(report("null".to_owned(), SettingChange::Unchanged)),
        Err(error) => Err(Failure::from_error(&error, "cannot delete the setting of Smart Tiered Cache")),
    }
}

pub(super) async fn get_cache_level(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let answer = context.call(&ApiRequest::cache_level(&context.zone)).await;
    let answer = answer.map_err(|error| Failure::from_error(&error, "cannot read the cache level"))?;
    Ok(report(CACHE_LEVEL, answer, String::clone, SettingChange::Read))
}

pub(super) async fn set_cache_level(
    context: &SettingsContext<'_>,
    level: CacheLevel,
) -> Result<ManageReport, Failure> {
    let before = context.call(&ApiRequest::cache_level(&context.zone)).await;
    let edit = ApiRequest::set_cache_level(&context.zone, level);
    set(context, CACHE_LEVEL, before, &edit, level.as_str().to_owned(), String::clone).await
}

pub(super) async fn get_browser_cache_ttl(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let answer = context.call(&ApiRequest::browser_cache_ttl(&context.zone)).await;
    let answer = answer.map_err(|error| Failure::from_error(&error, "cannot read the browser cache TTL"))?;
    Ok(report(BROWSER_CACHE_TTL, answer, browser_cache_ttl, SettingChange::Read))
}

pub(super) async fn set_browser_cache_ttl(
    context: &SettingsContext<'_>,
    seconds: u32,
) -> Result<ManageReport, Failure> {
    let before = context.call(&ApiRequest::browser_cache_ttl(&context.zone)).await;
    let edit = ApiRequest::set_browser_cache_ttl(&context.zone, seconds);
    set(context, BROWSER_CACHE_TTL, before, &edit, u64::from(seconds), browser_cache_ttl).await
}
