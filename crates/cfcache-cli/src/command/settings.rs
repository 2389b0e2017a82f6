//! `settings`: all of them, a line each

use cfcache_client::Error;
use cfcache_model::endpoint::{
    CacheReserveClear, GetBrowserCacheTtl, GetCacheLevel, GetCacheReserveClear, GetSwitch, GetVariants,
    Setting as Stored, Switch,
};
use cfcache_model::verdict::{Answer, Class};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::command::setting::{
    BROWSER_CACHE_TTL, CACHE_LEVEL, SettingsContext, browser_cache_ttl, is_unset, left,
};
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::render::human;

/// Reads all settings side by side. What cannot be read says so in its line, and the rest stands.
///
/// A setting that the plan does not have, or that was never set, is an answer; only one that could not be asked for makes
/// the command fail.
pub(super) async fn table(context: &SettingsContext<'_>) -> Result<Exit, Failure> {
    let switch = async |switch: Switch| {
        Line::of(switch.title(), context.call(&GetSwitch::new(&context.zone, switch)).await, |stored| Shown {
            value: match (&stored.value, left(stored)) {
                (Some(value), Some(time)) => format!("{value}, for another {time}"),
                (value, _) => value.clone().unwrap_or_default(),
            },
            ..Shown::of(stored)
        })
    };
    let variants = async {
        Line::of("Variants", context.call(&GetVariants::new(&context.zone)).await, |stored| Shown {
            value: match stored.value.as_ref().map_or(0, |value| value.values().flatten().count()) {
                1 => "1 extension".to_owned(),
                count => format!("{count} extensions"),
            },
            ..Shown::of(stored)
        })
    };
    let clear = async {
        Line::of(
            "Cache Reserve clear",
            context.call(&GetCacheReserveClear::new(&context.zone)).await,
            |clear: &CacheReserveClear| Shown {
                value: clear.state.clone(),
                editable: None,
                changed: clear.end_ts.clone().or_else(|| clear.start_ts.clone()),
            },
        )
    };
    let level = async {
        Line::of(CACHE_LEVEL, context.call(&GetCacheLevel::new(&context.zone)).await, |stored| Shown {
            value: stored.value.clone().unwrap_or_default(),
            ..Shown::of(stored)
        })
    };
    let ttl = async {
        Line::of(BROWSER_CACHE_TTL, context.call(&GetBrowserCacheTtl::new(&context.zone)).await, |stored| {
            Shown { value: stored.value.map(browser_cache_ttl).unwrap_or_default(), ..Shown::of(stored) }
        })
    };
    let lines: [Line; 11] = tokio::join!(
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
    if context.is_human() {
        let rows: Vec<Vec<String>> = lines.iter().map(Line::row).collect();
        human::table(&["SETTING", "VALUE", "EDITABLE", "CHANGED"], &rows)
            .iter()
            .for_each(|line| context.talk.data(line));
        for line in &lines {
            if let Some(note) = &line.note {
                context.talk.note(&format!("{}: {note}", line.setting));
            }
        }
    } else {
        context.talk.json(&lines);
    }
    let failed: Vec<&Failure> = lines.iter().filter_map(|line| line.failure.as_ref()).collect();
    let Some(first) = failed.first() else { return Ok(Exit::Accepted) };
    let exit = failed.iter().fold(Exit::Accepted, |exit, failure| exit.or(failure.exit));
    let count = human::count(failed.len() as u64, "setting");
    let mut failure = Failure::new(exit, format!("{count} cannot be read"));
    // Behind each stands what was asked for; what it needs is most often the same for all.
    failure.causes = failed.iter().map(|failure| failure.described()).collect();
    failure.hint.clone_from(&first.hint);
    Ok(context.talk.failure(&failure))
}

/// A setting, or why it cannot be told.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "setting", deny_unknown_fields))]
pub(super) struct Line {
    /// Its name, as in the table.
    #[cfg_attr(test, schemars(extend("enum" = super::schema::settings())))]
    setting: &'static str,
    /// The API's `result`, as it is; null where there is none.
    result: Option<Box<RawValue>>,
    /// Why it cannot be told.
    error: Option<String>,
    #[serde(skip)]
    shown: Shown,
    /// What is behind a value that is none, for people; it stands below the table.
    #[serde(skip)]
    note: Option<String>,
    /// What kept it from being read.
    #[serde(skip)]
    failure: Option<Failure>,
}

/// A setting in the words of the table.
#[derive(Default)]
struct Shown {
    value: String,
    editable: Option<bool>,
    changed: Option<String>,
}

impl Shown {
    fn of<V>(stored: &Stored<V>) -> Self {
        Self { value: String::new(), editable: stored.editable, changed: stored.modified_on.clone() }
    }
}

impl Line {
    fn of<T>(setting: &'static str, answer: Result<Answer<T>, Error>, show: impl Fn(&T) -> Shown) -> Self {
        let line = |error: Option<String>, value: &str| Self {
            setting,
            result: None,
            error,
            shown: Shown { value: value.to_owned(), ..Shown::default() },
            note: None,
            failure: None,
        };
        match answer {
            Ok(answer) => Self {
                shown: show(&answer.result),
                result: RawValue::from_string(answer.raw).ok(),
                ..line(None, "")
            },
            Err(error) if is_unset(&error) => line(None, "never set"),
            Err(error) => {
                let described = Some(describe(&error));
                match error.failure().map(|failure| failure.class) {
                    Some(Class::Plan) => Self {
                        note: Some(format!("for {}", error.endpoint.plans)),
                        ..line(described, "not on this plan")
                    },
                    _ => Self {
                        failure: Some(Failure::of(&error, setting)),
                        ..line(described, "not readable")
                    },
                }
            }
        }
    }

    fn row(&self) -> Vec<String> {
        let editable = match self.shown.editable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let changed = self.shown.changed.clone().unwrap_or_default();
        vec![self.setting.to_owned(), self.shown.value.clone(), editable.to_owned(), changed]
    }
}
