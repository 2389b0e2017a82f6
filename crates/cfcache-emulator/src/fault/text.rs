//! The text form of a fault, such as `status=503,times=3`.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::borrow::Cow;

use cfcache_model::InvalidInput;

use crate::fault::{Fault, FaultAction, FaultScope};

/// The keywords of all actions, for messages.
const ACTIONS: &str = "`status=N`, `delay=TIME`, `reset-before`, `reset-after`, `reset-mid`, `truncate`, `malformed`, \
    `html`, `edge=N`, `empty`, `success-false`, `goaway`, `slow=TIME`, `stall` or `survive`";

fn invalid(message: impl Into<Cow<'static, str>>) -> InvalidInput {
    InvalidInput::new(message)
}

impl FromStr for Fault {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let pairs = pairs(text)?;
        let value_of =
            |name| pairs.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref());
        let mut fault = Self::new(FaultAction::None);
        let mut action_name = None;
        for (name, value) in &pairs {
            match action(name, value.as_deref())? {
                None => fault.read_option(name, value.as_deref())?,
                Some(action) => {
                    if let Some(first) = action_name.replace(name.as_str()) {
                        return Err(invalid(format!(
                            "`{first}` and `{name}` are two faults; use a separate `--fault` for each"
                        )));
                    }
                    fault.action = action;
                }
            }
        }
        // Without an action, `status` is one of its own.
        if action_name.is_none()
            && let Some(value) = value_of("status")
        {
            fault.action = FaultAction::status(status(value)?);
        }
        for (name, value) in &pairs {
            if let Some(value) = value {
                fault.action.read_detail(action_name.unwrap_or("delay"), name, value)?;
            }
        }
        fault.check(value_of("delay").is_some(), value_of("seed").is_some())?;
        Ok(fault)
    }
}

/// Splits at commas. The value of `at=2,5` contains one, and so does a date; `body=…` takes the rest of the text.
fn pairs(text: &str) -> Result<Vec<(String, Option<String>)>, InvalidInput> {
    let mut pairs: Vec<(String, Option<String>)> = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid(format!("a fault is empty; it starts with {ACTIONS}")));
    }
    while !rest.is_empty() {
        if let Some(body) = rest.strip_prefix("body=") {
            pairs.push(("body".to_owned(), Some(body.to_owned())));
            break;
        }
        let (word, left) = rest.split_once(',').unwrap_or((rest, ""));
        rest = left.trim_start();
        let word = word.trim();
        match (word.split_once('='), pairs.last_mut()) {
            (Some((name, value)), _) => {
                let (name, value) = (name.trim(), value.trim());
                if pairs.iter().any(|(known, _)| known == name) {
                    return Err(invalid(format!("`{name}` is given twice in `{text}`")));
                }
                pairs.push((name.to_owned(), Some(value.to_owned())));
            }
            (None, Some((name, Some(value)))) if name == "at" && is_number(word) => {
                value.push(',');
                value.push_str(word);
            }
            // `retry-after=Sun, 06 Nov 1994 08:49:37 GMT`
            (None, Some((name, Some(value))))
                if name == "retry-after" && value.len() == 3 && !is_number(value) =>
            {
                value.push_str(", ");
                value.push_str(word);
            }
            (None, _) if word.is_empty() => {}
            (None, _) => pairs.push((word.to_owned(), None)),
        }
    }
    Ok(pairs)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the action with that name; `None` if the word is not an action.
fn action(name: &str, value: Option<&str>) -> Result<Option<FaultAction>, InvalidInput> {
    let bytes = || value.map(|value| number(name, value)).transpose();
    Ok(Some(match (name, value) {
        ("slow", Some(value)) => FaultAction::Slow(time(name, value)?),
        ("reset-before", None) => FaultAction::ResetBefore,
        ("reset-after", None) => FaultAction::ResetAfter,
        ("reset-mid", _) => FaultAction::ResetMid(bytes()?),
        ("truncate", _) => FaultAction::Truncate(bytes()?),
        ("malformed", None) => FaultAction::Malformed,
        ("edge", Some(value)) => {
            let code: u16 = number(name, value)?;
            if !(500..=599).contains(&code) && !(1000..=1999).contains(&code) {
                return Err(invalid(format!(
                    "`edge={value}`: an error of the edge must be from 1000 to 1999, or from 500 to 599"
                )));
            }
            FaultAction::Edge { code, status: None, retry_after: None }
        }
        ("html", None) => FaultAction::Html { status: 502 },
        ("empty", None) => FaultAction::Empty { status: None },
        ("success-false", None) => FaultAction::SuccessFalse { code: None },
        ("goaway", None) => FaultAction::GoAway,
        ("stall", None) => FaultAction::Stall,
        ("survive", None) => FaultAction::Survive,
        _ => return Ok(None),
    }))
}

impl FaultAction {
    /// Reads a word that completes an action, and ignores other words.
    fn read_detail(&mut self, action_name: &str, name: &str, value: &str) -> Result<(), InvalidInput> {
        let allowed = match (name, self) {
            ("status", Self::Html { status: own }) => {
                *own = status(value)?;
                None
            }
            ("status", Self::Empty { status: own } | Self::Edge { status: own, .. }) => {
                *own = Some(status(value)?);
                None
            }
            ("code", Self::Status { code, .. } | Self::SuccessFalse { code }) => {
                *code = Some(number(name, value)?);
                None
            }
            ("retry-after", Self::Status { retry_after, .. } | Self::Edge { retry_after, .. }) => {
                // Invalid values are allowed for tests, but a line break would start another header.
                if value.is_empty() || value.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
                    return Err(invalid("`retry-after` takes the text of the header: seconds, or a date"));
                }
                *retry_after = Some(value.to_owned());
                None
            }
            ("body", Self::Status { body, .. }) => {
                *body = Some(value.to_owned());
                None
            }
            // Then the status is the action.
            ("status", Self::Status { .. }) => None,
            ("status", _) => Some("`html`, `empty` or `edge`, or alone"),
            ("code", _) => Some("`status` or `success-false`"),
            ("retry-after", _) => Some("`status` or `edge`"),
            ("body", _) => Some("`status`"),
            _ => None,
        };
        match allowed {
            None => Ok(()),
            Some(allowed) => {
                Err(invalid(format!("`{name}` has no effect with `{action_name}`; use it with {allowed}")))
            }
        }
    }
}

impl Fault {
    /// Reads a word that is not an action.
    fn read_option(&mut self, name: &str, value: Option<&str>) -> Result<(), InvalidInput> {
        match (name, value) {
            // These complete the action.
            ("status" | "code" | "retry-after" | "body", Some(_)) => {}
            ("delay", Some(value)) => self.delay = time(name, value)?,
            ("processed", Some("yes")) => self.processed = Some(true),
            ("processed", Some("no")) => self.processed = Some(false),
            ("processed", Some(value)) => {
                return Err(invalid(format!("`processed={value}`: must be `yes` or `no`")));
            }
            ("on", Some("purge")) => self.scope = FaultScope::Purges,
            ("on", Some("all")) => self.scope = FaultScope::All,
            ("on", Some(endpoint)) => self.scope = FaultScope::Endpoint(known_endpoint(endpoint)?),
            ("every", Some(value)) => self.every = Some(positive(name, value)?),
            ("at", Some(value)) => {
                self.at = value.split(',').map(|one| positive(name, one)).collect::<Result<_, _>>()?;
            }
            ("after", Some(value)) => self.after = number(name, value)?,
            ("times", Some(value)) => self.times = Some(positive(name, value)?),
            ("probability", Some(value)) => {
                let probability: f64 = number(name, value)?;
                if !(0.0..=1.0).contains(&probability) {
                    return Err(invalid(format!("`probability={value}`: must be from 0 to 1")));
                }
                self.probability = Some(probability);
            }
            ("seed", Some(value)) => self.seed = number(name, value)?,
            (name, None) if takes_value(name) => {
                return Err(invalid(format!("`{name}` needs a value: `{name}=…`")));
            }
            (name, Some(_)) if takes_none(name) => return Err(invalid(format!("`{name}` takes no value"))),
            (name, _) => {
                return Err(invalid(format!(
                    "`{name}` is not known; use {ACTIONS} for the action, and select requests with `on`, `every`, `at`, \
                     `after`, `times`, `probability` and `seed`"
                )));
            }
        }
        Ok(())
    }

    /// Refuses combinations that have no effect.
    fn check(&self, has_delay: bool, has_seed: bool) -> Result<(), InvalidInput> {
        if self.action == FaultAction::None && !has_delay {
            return Err(invalid(format!("the action is missing: {ACTIONS}")));
        }
        if matches!(self.action, FaultAction::ResetBefore | FaultAction::ResetAfter)
            && self.processed.is_some()
        {
            return Err(invalid(
                "`processed` is fixed for a reset: `yes` for `reset-after`, `no` for `reset-before`",
            ));
        }
        let has_more = has_delay || self.processed.is_some() || self.scope != FaultScope::Purges;
        if self.action == FaultAction::Survive && has_more {
            return Err(invalid(
                "`survive` applies to the items of purges; `delay`, `processed` and `on` have no effect with it",
            ));
        }
        if let FaultAction::Status { status: status @ (204 | 205 | 304), body: Some(_), .. } = self.action {
            return Err(invalid(format!("`body` has no effect with `status={status}`, which has no body")));
        }
        if let Some(every) = self.every
            && !self.at.is_empty()
            && !self.at.iter().any(|at| at % every == 0)
        {
            return Err(invalid(format!(
                "`every={every}` selects none of the requests of `at`; use one of the two"
            )));
        }
        if has_seed && self.probability.is_none() {
            return Err(invalid("`seed` needs `probability`"));
        }
        Ok(())
    }
}

fn takes_value(name: &str) -> bool {
    let names = [
        "status",
        "code",
        "retry-after",
        "body",
        "edge",
        "delay",
        "slow",
        "processed",
        "on",
        "every",
        "at",
        "after",
        "times",
        "probability",
        "seed",
    ];
    names.contains(&name)
}

fn takes_none(name: &str) -> bool {
    let names = [
        "reset-before",
        "reset-after",
        "malformed",
        "html",
        "empty",
        "success-false",
        "goaway",
        "stall",
        "survive",
    ];
    names.contains(&name)
}

fn known_endpoint(name: &str) -> Result<String, InvalidInput> {
    let names: Vec<_> = cfcache_model::endpoint::all().map(|endpoint| endpoint.name).collect();
    if names.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(invalid(format!("`on={name}`: must be `purge`, `all`, or an endpoint: {}", names.join(", "))))
    }
}

fn status(value: &str) -> Result<u16, InvalidInput> {
    let status = number("status", value)?;
    if !(200..=599).contains(&status) {
        return Err(invalid(format!("`status={value}`: a status must be from 200 to 599")));
    }
    Ok(status)
}

fn number<N: FromStr>(name: &str, value: &str) -> Result<N, InvalidInput> {
    value.trim().parse().map_err(|_| invalid(format!("`{name}={value}`: the number is invalid")))
}

fn positive(name: &str, value: &str) -> Result<u64, InvalidInput> {
    match number(name, value)? {
        0 => Err(invalid(format!("`{name}={value}`: must be at least 1"))),
        number => Ok(number),
    }
}

/// Parses `200ms`, `1.5s`, `2m`, or a number of seconds.
fn time(name: &str, value: &str) -> Result<Duration, InvalidInput> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0)];
    let (digits, unit) = units
        .into_iter()
        .find_map(|(unit, seconds)| value.strip_suffix(unit).map(|digits| (digits, seconds)))
        .unwrap_or((value, 1.0));
    let invalid_time = || invalid(format!("`{name}={value}`: a time must be like `200ms`, `1.5s` or `2m`"));
    let number: f64 = digits.trim().parse().map_err(|_| invalid_time())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| invalid_time())
}

impl fmt::Display for Fault {
    /// Writes the text form. Parsing it gives the same fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        let mut last = None;
        let milliseconds = |time: Duration| format!("{}ms", time.as_secs_f64() * 1000.0);
        match &self.action {
            FaultAction::None => {}
            FaultAction::Status { status, code, retry_after, body } => {
                words.push(format!("status={status}"));
                words.extend(code.map(|code| format!("code={code}")));
                words.extend(retry_after.as_ref().map(|text| format!("retry-after={text}")));
                last = body.as_ref().map(|body| format!("body={body}"));
            }
            FaultAction::ResetBefore => words.push("reset-before".to_owned()),
            FaultAction::ResetAfter => words.push("reset-after".to_owned()),
            FaultAction::ResetMid(None) => words.push("reset-mid".to_owned()),
            FaultAction::ResetMid(Some(bytes)) => words.push(format!("reset-mid={bytes}")),
            FaultAction::Truncate(None) => words.push("truncate".to_owned()),
            FaultAction::Truncate(Some(bytes)) => words.push(format!("truncate={bytes}")),
            FaultAction::Malformed => words.push("malformed".to_owned()),
            FaultAction::Html { status } => words.push(format!("html,status={status}")),
            FaultAction::Edge { code, status, retry_after } => {
                words.push(format!("edge={code}"));
                words.extend(status.map(|status| format!("status={status}")));
                words.extend(retry_after.as_ref().map(|text| format!("retry-after={text}")));
            }
            FaultAction::Empty { status } => {
                words.push("empty".to_owned());
                words.extend(status.map(|status| format!("status={status}")));
            }
            FaultAction::SuccessFalse { code } => {
                words.push("success-false".to_owned());
                words.extend(code.map(|code| format!("code={code}")));
            }
            FaultAction::GoAway => words.push("goaway".to_owned()),
            FaultAction::Slow(time) => words.push(format!("slow={}", milliseconds(*time))),
            FaultAction::Stall => words.push("stall".to_owned()),
            FaultAction::Survive => words.push("survive".to_owned()),
        }
        if !self.delay.is_zero() || self.action == FaultAction::None {
            words.push(format!("delay={}", milliseconds(self.delay)));
        }
        words.extend(self.processed.map(|is_yes| format!("processed={}", if is_yes { "yes" } else { "no" })));
        match &self.scope {
            FaultScope::Purges => {}
            FaultScope::All => words.push("on=all".to_owned()),
            FaultScope::Endpoint(name) => words.push(format!("on={name}")),
        }
        words.extend(self.every.map(|every| format!("every={every}")));
        if !self.at.is_empty() {
            let at: Vec<_> = self.at.iter().map(u64::to_string).collect();
            words.push(format!("at={}", at.join(",")));
        }
        if self.after > 0 {
            words.push(format!("after={}", self.after));
        }
        words.extend(self.times.map(|times| format!("times={times}")));
        if let Some(probability) = self.probability {
            words.push(format!("probability={probability},seed={}", self.seed));
        }
        words.extend(last);
        f.write_str(&words.join(","))
    }
}
