//! `settings`: all of them, a line each

use cfcache_client::Error;
use cfcache_model::endpoint::{
    CacheReserveClear, GetCacheReserveClear, GetSwitch, GetVariants, Setting as Stored, Switch,
};
use cfcache_model::verdict::{Answer, Class};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::command::setting::{Desk, is_unset};
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::render::human;

/// Reads all settings side by side. What cannot be read says so in its line, and the rest stands.
///
/// A setting that the plan does not have, or that was never set, is an answer; only one that could not be asked for makes
/// the command fail.
pub(super) async fn table(desk: &Desk<'_>) -> Result<Exit, Failure> {
    let switch = async |switch: Switch| {
        Line::of(switch.title(), desk.call(&GetSwitch::new(&desk.zone, switch)).await, |stored| Shown {
            value: match (&stored.value, stored.time_remaining) {
                (Some(value), Some(seconds)) if seconds > 0 => format!("{value}, for another {seconds} s"),
                (value, _) => value.clone().unwrap_or_default(),
            },
            ..Shown::of(stored)
        })
    };
    let variants = async {
        Line::of("Variants", desk.call(&GetVariants::new(&desk.zone)).await, |stored| Shown {
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
            desk.call(&GetCacheReserveClear::new(&desk.zone)).await,
            |clear: &CacheReserveClear| Shown {
                value: clear.state.clone(),
                editable: None,
                changed: clear.end_ts.clone().or_else(|| clear.start_ts.clone()),
            },
        )
    };
    let lines: [Line; 7] = tokio::join!(
        switch(Switch::CacheReserve),
        clear,
        switch(Switch::RegionalTieredCache),
        switch(Switch::SmartTieredCache),
        switch(Switch::TieredCaching),
        variants,
        switch(Switch::DevelopmentMode),
    )
    .into();
    if desk.is_human() {
        let rows: Vec<Vec<String>> = lines.iter().map(Line::row).collect();
        human::table(&["SETTING", "VALUE", "EDITABLE", "CHANGED"], &rows)
            .iter()
            .for_each(|line| desk.talk.data(line));
        for line in &lines {
            if let Some(why) = &line.why {
                desk.talk.note(&format!("{}: {why}", line.setting));
            }
        }
    } else {
        desk.talk.json(&lines);
    }
    Ok(lines.iter().fold(Exit::Accepted, |exit, line| exit.or(line.exit)))
}

/// A setting, or why it cannot be told.
#[derive(Serialize)]
struct Line {
    setting: &'static str,
    /// The API's `result`, as it is; null where there is none.
    result: Option<Box<RawValue>>,
    error: Option<String>,
    #[serde(skip)]
    shown: Shown,
    /// What is behind a value that is none, for people; it stands below the table.
    #[serde(skip)]
    why: Option<String>,
    #[serde(skip)]
    exit: Exit,
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
        let line = |error: Option<String>, exit, value: &str| Self {
            setting,
            result: None,
            error,
            shown: Shown { value: value.to_owned(), ..Shown::default() },
            why: None,
            exit,
        };
        match answer {
            Ok(answer) => Self {
                setting,
                shown: show(&answer.result),
                result: RawValue::from_string(answer.raw).ok(),
                error: None,
                why: None,
                exit: Exit::Accepted,
            },
            Err(error) if is_unset(&error) => line(None, Exit::Accepted, "never set"),
            Err(error) => {
                let failure = error.failure();
                let (value, why, exit) = match failure.map(|failure| failure.class) {
                    Some(Class::Plan) => {
                        ("not on this plan", format!("for {}", error.endpoint.plans), Exit::Accepted)
                    }
                    Some(Class::Credentials) if failure.is_some_and(|failure| failure.status == 401) => (
                        "not readable",
                        "the token is not valid (`cfcache token verify` tells more)".to_owned(),
                        error.kind().into(),
                    ),
                    Some(Class::Credentials) => (
                        "not readable",
                        format!(
                            "the token needs the permission \"{}\", for this zone",
                            error.endpoint.permission
                        ),
                        error.kind().into(),
                    ),
                    _ => ("not readable", describe(&error), error.kind().into()),
                };
                let mut line = line(Some(describe(&error)), exit, value);
                line.why = Some(why);
                line
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
