//! The table of all settings.

use cfcache_client::Error;
use cfcache_model::endpoint::{ApiRequest, CacheReserveClear, Switch};
use cfcache_model::verdict::{Answer, Class};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::manage::value::{
    BROWSER_CACHE_TTL, CACHE_LEVEL, CACHE_RESERVE_CLEAR, SettingValue, VARIANTS, browser_cache_ttl,
};
use crate::manage::{ManageReport, ManageResult, SettingsContext, is_unset};
use crate::wording;

/// A setting, or why it could not be read.
#[derive(Serialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "setting", deny_unknown_fields)
)]
pub struct SettingRow {
    /// The name of the setting, as in the table.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = crate::manage::SETTINGS)))]
    pub setting: &'static str,
    /// The unchanged `result` of the API; null if there is none.
    pub result: Option<Box<RawValue>>,
    /// Why it could not be read.
    pub error: Option<String>,
    /// The value for people.
    #[serde(skip)]
    pub value: SettingValue,
    /// Why there is no value; shown below the table.
    #[serde(skip)]
    pub note: Option<String>,
    /// The error of reading it.
    #[serde(skip)]
    failure: Option<Failure>,
}

/// Reads all settings concurrently. A setting that cannot be read has its error in its row, and does not affect the
/// others.
///
/// A setting that is not in the plan or was never set is not an error; the command fails only if a setting could not be
/// read.
pub(super) async fn read(context: &SettingsContext<'_>) -> Result<ManageReport, Failure> {
    let zone = &context.zone;
    let switch = async |switch: Switch| {
        let answer = context.call(&ApiRequest::switch(zone, switch)).await;
        SettingRow::new(switch.title(), answer, |stored| SettingValue::new(stored, String::clone))
    };
    let variants = async {
        let answer = context.call(&ApiRequest::variants(zone)).await;
        SettingRow::new(VARIANTS, answer, |stored| SettingValue {
            value: Some(wording::count(
                stored.value.as_ref().map_or(0, |value| value.values().flatten().count() as u64),
                "extension",
            )),
            ..SettingValue::new(stored, |_| String::new())
        })
    };
    let clear = async {
        let answer = context.call(&ApiRequest::cache_reserve_clear(zone)).await;
        SettingRow::new(CACHE_RESERVE_CLEAR, answer, |clear: &CacheReserveClear| SettingValue {
            value: Some(clear.state.clone()),
            changed: clear.end_ts.clone().or_else(|| clear.start_ts.clone()),
            ..SettingValue::default()
        })
    };
    let level = async {
        let answer = context.call(&ApiRequest::cache_level(zone)).await;
        SettingRow::new(CACHE_LEVEL, answer, |stored| SettingValue::new(stored, String::clone))
    };
    let ttl = async {
        let answer = context.call(&ApiRequest::browser_cache_ttl(zone)).await;
        SettingRow::new(BROWSER_CACHE_TTL, answer, |stored| SettingValue::new(stored, browser_cache_ttl))
    };
    let rows: [SettingRow; 11] = tokio::join!(
        switch(Switch::CacheReserve),
        clear,
        switch(Switch::RegionalTieredCache),
        switch(Switch::SmartTieredCache),
        switch(Switch::TieredCaching),
        variants,
        level,
        ttl,
        switch(Switch::AlwaysOnline),
        switch(Switch::SortQueryString),
        switch(Switch::DevelopmentMode),
    )
    .into();
    let json = serde_json::to_string(&rows).unwrap_or_default();
    let problem = problem(&rows);
    let exit = problem.as_ref().map_or(Exit::Accepted, |failure| failure.exit);
    Ok(ManageReport { exit, problem, ..ManageReport::new(json, ManageResult::Table(rows.into())) })
}

/// Combines the errors of settings into one failure.
fn problem(rows: &[SettingRow]) -> Option<Failure> {
    let failed: Vec<&Failure> = rows.iter().filter_map(|row| row.failure.as_ref()).collect();
    let first = failed.first()?;
    let exit = failed.iter().fold(Exit::Accepted, |exit, failure| exit.or(failure.exit));
    let count = wording::count(failed.len() as u64, "setting");
    let mut failure = Failure::new(exit, format!("{count} cannot be read"));
    // Each cause names the setting. The hint is usually the same for all.
    failure.causes = failed.iter().map(|failure| failure.described()).collect();
    failure.hint.clone_from(&first.hint);
    Some(failure)
}

impl SettingRow {
    fn new<T>(
        setting: &'static str,
        answer: Result<Answer<T>, Error>,
        value: impl Fn(&T) -> SettingValue,
    ) -> Self {
        let row = |error: Option<String>, value: &str| Self {
            setting,
            result: None,
            error,
            value: SettingValue { value: Some(value.to_owned()), ..SettingValue::default() },
            note: None,
            failure: None,
        };
        match answer {
            Ok(answer) => Self {
                value: value(&answer.result),
                result: RawValue::from_string(answer.raw).ok(),
                ..row(None, "")
            },
            Err(error) if is_unset(&error) => row(None, "never set"),
            Err(error) => {
                let described = Some(describe(&error));
                match error.failure().map(|failure| failure.class) {
                    Some(Class::Plan) => Self {
                        note: Some(format!("for {}", error.endpoint.plans)),
                        ..row(described, "not on this plan")
                    },
                    _ => Self {
                        failure: Some(Failure::from_error(&error, setting)),
                        ..row(described, "not readable")
                    },
                }
            }
        }
    }
}
