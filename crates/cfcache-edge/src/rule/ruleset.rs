//! Parses a ruleset in JSON.

use core::time::Duration;
use std::sync::Arc;

use cfcache_model::InvalidInput;
use http::HeaderName;
use serde_json::{Map, Value};

use crate::directive::MAX_SECONDS;
use crate::rule::expression::Expression;
use crate::rule::{
    BrowserTtl, CacheRule, CacheRules, EdgeMode, EdgeTtl, Effects, KeyTemplate, QueryPart, Reserve,
    RuleCondition, Vary, VaryAction,
};

/// Headers that a key cannot contain, in addition to those that begin with `cf-`. Source: "Cache keys", 2026.
const NO_KEY_HEADERS: [&str; 12] = [
    "connection",
    "content-length",
    "cache-control",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
    "upgrade",
    "cookie",
    "host",
    "origin",
];

/// Headers that a key can only contain with listed values. Source: "Cache Rules settings", 2026.
const RESTRICTED_HEADERS: [&str; 7] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-datetime",
    "accept-language",
    "referer",
    "user-agent",
];

/// Source: "Cache Rules settings", 2026.
const MAX_QUERY_NAMES: usize = 100;

/// The fields of a ruleset besides its rules, and of a rule besides its action.
const RULESET_FIELDS: [&str; 8] =
    ["id", "name", "description", "kind", "version", "last_updated", "source", "shareable_entitlement_name"];
const RULE_FIELDS: [&str; 8] =
    ["id", "version", "description", "last_updated", "ref", "categories", "logging", "position"];

pub(super) fn parse(json: &str) -> Result<CacheRules, InvalidInput> {
    let value: Value =
        serde_json::from_str(json).map_err(|error| InvalidInput::new(format!("not JSON: {error}")))?;
    let list = match value {
        Value::Array(list) => At { value: Value::Array(list), place: "rules".to_owned() },
        Value::Object(mut object) => {
            // A response of the API: the ruleset is its `result`.
            if object.contains_key("success")
                && let Some(Value::Object(result)) = object.remove("result")
            {
                object = result;
            }
            let mut fields = RuleFields { map: object, place: String::new() };
            for name in RULESET_FIELDS {
                fields.map.remove(name);
            }
            if let Some(phase) = fields.take("phase") {
                let phase = phase.text()?;
                if phase.value != "http_request_cache_settings" {
                    return Err(phase.wrong("`http_request_cache_settings`, the phase of cache rules"));
                }
            }
            let list = fields.need("rules")?;
            fields.end()?;
            list
        }
        other => {
            let found = At { value: other, place: String::new() };
            return Err(found.wrong("a ruleset: an object with `rules`, or a list of rules"));
        }
    };
    let mut rules = CacheRules::default();
    for rule in list.list()? {
        if let Some(rule) = read_rule(rule, &mut rules.notes)? {
            rules.list.push(rule);
        }
    }
    Ok(rules)
}

/// The error for what is at a place in the JSON, such as `rules[0].expression`; the whole has none.
fn invalid(place: &str, message: impl core::fmt::Display) -> InvalidInput {
    InvalidInput::new(if place.is_empty() { message.to_string() } else { format!("{place}: {message}") })
}

/// Parses a rule; returns `None` if it is disabled.
fn read_rule(rule: At<Value>, notes: &mut Vec<String>) -> Result<Option<CacheRule>, InvalidInput> {
    let mut fields = rule.fields()?;
    for name in RULE_FIELDS {
        fields.map.remove(name);
    }
    let is_enabled = fields.flag("enabled")?.unwrap_or(true);
    let action = fields.need("action")?.text()?;
    if action.value != "set_cache_settings" {
        return Err(action.wrong("`set_cache_settings`, the action of cache rules"));
    }
    let text = fields.need("expression")?.text()?;
    let expression = Expression::parse(&text.value).map_err(|error| invalid(&text.place, error))?;
    let mut rule_notes: Vec<String> =
        expression.notes().iter().map(|note| format!("{}: {note}", text.place)).collect();
    let effects = match fields.take("action_parameters") {
        Some(parameters) => read_effects(parameters.fields()?, &mut rule_notes)?,
        None => Effects::default(),
    };
    fields.end()?;
    if !is_enabled {
        return Ok(None);
    }
    notes.append(&mut rule_notes);
    Ok(Some(CacheRule { condition: RuleCondition::Expression(expression), effects }))
}

fn read_effects(mut fields: RuleFields, notes: &mut Vec<String>) -> Result<Effects, InvalidInput> {
    let mut effects = Effects { is_eligible: fields.flag("cache")?, ..Effects::default() };
    if let Some(ttl) = fields.take("edge_ttl") {
        effects.edge_ttl = Some(Arc::new(read_edge_ttl(ttl.fields()?)?));
    }
    if let Some(ttl) = fields.take("browser_ttl") {
        effects.browser_ttl = Some(read_browser_ttl(ttl.fields()?)?);
    }
    if let Some(key) = fields.take("cache_key") {
        effects.key = Some(Arc::new(read_key(key.fields()?)?));
    }
    if let Some(stale) = fields.take("serve_stale") {
        let mut stale = stale.fields()?;
        effects.no_stale_while_updating = stale.flag("disable_stale_while_updating")?;
        stale.end()?;
    }
    effects.origin_cache_control = fields.flag("origin_cache_control")?;
    if let Some(vary) = fields.take("vary") {
        effects.vary = Some(Arc::new(read_vary(vary.fields()?)?));
    }
    if let Some(reserve) = fields.take("cache_reserve") {
        let mut reserve = reserve.fields()?;
        let is_eligible = reserve.flag("eligible")?.unwrap_or_default();
        let min_bytes = reserve.number("minimum_file_size")?.unwrap_or_default();
        let min_bytes = u64::try_from(min_bytes.max(0)).unwrap_or_default();
        effects.reserve = Some(Reserve { is_eligible, min_bytes });
        reserve.end()?;
    }
    let mut without_effect = |fields: &RuleFields, name: &str| {
        notes.push(format!("{}: has no effect here", fields.at(name)));
    };
    for name in ["respect_strong_etags", "origin_error_page_passthru"] {
        if fields.flag(name)?.is_some() {
            without_effect(&fields, name);
        }
    }
    if fields.number("read_timeout")?.is_some() {
        without_effect(&fields, "read_timeout");
    }
    if let Some(ports) = fields.take("additional_cacheable_ports") {
        for port in ports.list()? {
            port.number()?;
        }
        without_effect(&fields, "additional_cacheable_ports");
    }
    if let Some(ranges) = fields.take("origin_range_requests") {
        let mut ranges = ranges.fields()?;
        ranges.need("mode")?.one_of(&["on", "off", "default"])?;
        ranges.end()?;
        without_effect(&fields, "origin_range_requests");
    }
    fields.end()?;
    Ok(effects)
}

fn read_edge_ttl(mut fields: RuleFields) -> Result<EdgeTtl, InvalidInput> {
    let mode = fields.need("mode")?.one_of(&["respect_origin", "override_origin", "bypass_by_default"])?;
    let default = fields.take("default");
    let mode = match mode.value {
        "override_origin" => {
            let default = default.ok_or_else(|| fields.missing("default"))?;
            EdgeMode::Override(default.seconds()?)
        }
        mode => {
            if let Some(default) = default {
                return Err(default.wrong("nothing: only `override_origin` has a default"));
            }
            if mode == "respect_origin" { EdgeMode::RespectOrigin } else { EdgeMode::BypassByDefault }
        }
    };
    let mut by_status = Vec::new();
    if let Some(list) = fields.take("status_code_ttl") {
        for item in list.list()? {
            let mut item = item.fields()?;
            let value = item.need("value")?;
            let seconds = match value.value.as_str() {
                Some("no-store") => -1,
                Some("no-cache") => 0,
                _ => value.number()?,
            };
            if !(-1..=i64::from(MAX_SECONDS)).contains(&seconds) {
                return Err(value.wrong("seconds, or 0 for no-cache, or -1 for no-store"));
            }
            let (first, last) = match (item.take("status_code"), item.take("status_code_range")) {
                (Some(code), None) => {
                    let code = code.status()?;
                    (code, code)
                }
                (None, Some(range)) => {
                    let mut range = range.fields()?;
                    let first = range.take("from").map(|from| from.status()).transpose()?;
                    let last = range.take("to").map(|to| to.status()).transpose()?;
                    let (first, last) = (first.unwrap_or(100), last.unwrap_or(999));
                    if first > last {
                        return Err(range.invalid("contains no status: `from` is above `to`"));
                    }
                    range.end()?;
                    (first, last)
                }
                _ => return Err(item.invalid("must have `status_code` or `status_code_range`, one of them")),
            };
            item.end()?;
            by_status.push((first, last, seconds));
        }
    }
    fields.end()?;
    Ok(EdgeTtl { mode, by_status })
}

fn read_browser_ttl(mut fields: RuleFields) -> Result<BrowserTtl, InvalidInput> {
    let mode = fields.need("mode")?.one_of(&["respect_origin", "override_origin", "bypass_by_default"])?;
    let default = fields.take("default").map(|default| default.seconds()).transpose()?;
    let ttl = match (mode.value, default) {
        ("override_origin", Some(default)) => BrowserTtl::Override(default),
        ("override_origin", None) => return Err(fields.missing("default")),
        ("bypass_by_default", _) => BrowserTtl::Bypass,
        _ => BrowserTtl::RespectOrigin,
    };
    fields.end()?;
    Ok(ttl)
}

fn read_key(mut fields: RuleFields) -> Result<KeyTemplate, InvalidInput> {
    let mut key = KeyTemplate {
        sorts_query: fields.flag("ignore_query_strings_order")?,
        has_deception_armor: fields.flag("cache_deception_armor")?.unwrap_or_default(),
        has_device: fields.flag("cache_by_device_type")?.unwrap_or_default(),
        ..KeyTemplate::default()
    };
    if let Some(custom) = fields.take("custom_key") {
        let mut custom = custom.fields()?;
        if let Some(query) = custom.take("query_string") {
            key.query = read_query(query.fields()?)?;
        }
        if let Some(header) = custom.take("header") {
            let mut header = header.fields()?;
            key.headers = header.names("include", read_key_header)?;
            key.header_presence = header.names("check_presence", |name| name.header())?;
            key.excludes_origin = header.flag("exclude_origin")?.unwrap_or_default();
            if let Some(contains) = header.take("contains") {
                let contains = contains.fields()?;
                let place = contains.place.clone();
                for (name, values) in contains.map {
                    let values = At { value: values, place: format!("{place}.{name}") };
                    let name = At { value: Value::String(name), place: place.clone() }.header()?;
                    let values = values.list()?.into_iter().map(|value| value.text().map(|text| text.value));
                    key.header_contains.push((name, values.collect::<Result<_, _>>()?));
                }
                key.header_contains.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
            }
            header.end()?;
        }
        if let Some(cookie) = custom.take("cookie") {
            let mut cookie = cookie.fields()?;
            let name = |name: At<Value>| name.text().map(|name| name.value);
            key.cookies = cookie.names("include", name)?;
            key.cookie_presence = cookie.names("check_presence", name)?;
            cookie.end()?;
        }
        if let Some(user) = custom.take("user") {
            let mut user = user.fields()?;
            key.has_device |= user.flag("device_type")?.unwrap_or_default();
            key.has_country = user.flag("geo")?.unwrap_or_default();
            key.has_language = user.flag("lang")?.unwrap_or_default();
            user.end()?;
        }
        if let Some(host) = custom.take("host") {
            let mut host = host.fields()?;
            // No host is resolved here, so both values give the same key.
            host.flag("resolved")?;
            host.end()?;
        }
        custom.end()?;
    }
    fields.end()?;
    Ok(key)
}

/// Parses `include` or `exclude`: a list of names, `"*"`, or an object with `all` or `list`, as in the SDKs.
fn read_query(mut fields: RuleFields) -> Result<Option<QueryPart>, InvalidInput> {
    let mut read = |name: &str| -> Result<Option<Option<Vec<String>>>, InvalidInput> {
        let Some(part) = fields.take(name) else { return Ok(None) };
        let list = match &part.value {
            Value::String(text) if text == "*" => return Ok(Some(None)),
            Value::Object(_) => {
                let mut part = part.fields()?;
                let is_all = part.flag("all")?.unwrap_or_default();
                let list = part.take("list");
                let place = part.place.clone();
                part.end()?;
                match list {
                    _ if is_all => return Ok(Some(None)),
                    Some(list) => list,
                    None => At { value: Value::Array(Vec::new()), place },
                }
            }
            _ => part,
        };
        let place = list.place.clone();
        let names = list.list()?.into_iter().map(|name| name.text().map(|name| name.value));
        let names: Vec<String> = names.collect::<Result<_, _>>()?;
        if names.len() > MAX_QUERY_NAMES {
            let message = format!("has {} parameters, at most {MAX_QUERY_NAMES} are possible", names.len());
            return Err(invalid(&place, message));
        }
        Ok(Some((names != ["*"]).then_some(names)))
    };
    let (include, exclude) = (read("include")?, read("exclude")?);
    let part = match (include, exclude) {
        (Some(_), Some(_)) => return Err(fields.invalid("must have `include` or `exclude`, one of them")),
        (Some(None), None) => Some(QueryPart::All),
        (Some(Some(names)), None) => Some(QueryPart::Only(names)),
        (None, Some(None)) => Some(QueryPart::None),
        (None, Some(Some(names))) => Some(QueryPart::Except(names)),
        (None, None) => None,
    };
    fields.end()?;
    Ok(part)
}

fn read_key_header(name: At<Value>) -> Result<HeaderName, InvalidInput> {
    let place = name.place.clone();
    let name = name.header()?;
    let text = name.as_str();
    if NO_KEY_HEADERS.contains(&text) || text.starts_with("cf-") {
        return Err(invalid(&place, format!("`{text}` cannot be in a custom key")));
    }
    if RESTRICTED_HEADERS.contains(&text) {
        let message = format!("`{text}` can only be in a custom key with its values, by `contains`");
        return Err(invalid(&place, message));
    }
    Ok(name)
}

fn read_vary(mut fields: RuleFields) -> Result<Vary, InvalidInput> {
    let default = read_vary_action(fields.need("default")?, None)?;
    let mut headers = Vec::new();
    if let Some(list) = fields.take("headers") {
        let list = list.fields()?;
        if list.map.len() > 50 {
            return Err(list.invalid("has more than 50 headers"));
        }
        for (name, action) in list.map {
            let place = format!("{}.{name}", list.place);
            let is_valid = name.len() <= 128
                && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
                && !name.starts_with("cf-")
                && !name.starts_with("cf_")
                && !["connection", "host", "cache-control"].contains(&name.as_str());
            let (true, Ok(header)) = (is_valid, HeaderName::try_from(&name)) else {
                let message =
                    "is no header that `vary` can name: in lower case, at most 128 letters, digits, `_` and \
                               `-`, not `cf-…`, no header of a connection or cache"
                        .to_owned();
                return Err(invalid(&place, message));
            };
            let action = read_vary_action(At { value: action, place }, Some(header.as_str()))?;
            headers.push((header, action));
        }
    }
    fields.end()?;
    Ok(Vary { default, headers })
}

fn read_vary_action(value: At<Value>, header: Option<&str>) -> Result<VaryAction, InvalidInput> {
    let mut fields = value.fields()?;
    let action = fields.need("action")?.one_of(&["normalize", "passthrough", "bypass"])?;
    let known = match header {
        Some("accept") => Some(("media_types", 10)),
        Some("accept-language") => Some(("languages", 20)),
        _ => None,
    };
    let mut list = None;
    if let Some((name, max)) = known
        && let Some(values) = fields.take(name)
    {
        let place = values.place.clone();
        let values =
            values.list()?.into_iter().map(|value| value.text().map(|text| text.value.to_lowercase()));
        let values: Vec<String> = values.collect::<Result<_, _>>()?;
        if values.len() > max {
            let message = format!("has {} values, at most {max} are possible", values.len());
            return Err(invalid(&place, message));
        }
        list = Some(values);
    }
    fields.end()?;
    Ok(match action.value {
        "normalize" => VaryAction::Normalize(list),
        "passthrough" => VaryAction::Passthrough,
        _ => VaryAction::Bypass,
    })
}

/// A value and its place.
struct At<T> {
    value: T,
    place: String,
}

/// The fields of an object that were not read yet.
struct RuleFields {
    map: Map<String, Value>,
    place: String,
}

impl<T> At<T> {
    fn with<U>(&self, value: U) -> At<U> {
        At { value, place: self.place.clone() }
    }
}

impl<T: core::fmt::Display> At<T> {
    fn wrong(&self, expected: &str) -> InvalidInput {
        let found: String = self.value.to_string().chars().take(60).collect();
        invalid(&self.place, format!("found `{found}`, expected {expected}"))
    }
}

impl At<Value> {
    fn fields(self) -> Result<RuleFields, InvalidInput> {
        match self.value {
            Value::Object(map) => Ok(RuleFields { map, place: self.place }),
            _ => Err(self.wrong("an object")),
        }
    }

    fn list(self) -> Result<Vec<Self>, InvalidInput> {
        let place = self.place.clone();
        match self.value {
            Value::Array(list) => {
                let items = list.into_iter().enumerate();
                Ok(items.map(|(index, value)| Self { value, place: format!("{place}[{index}]") }).collect())
            }
            _ => Err(self.wrong("a list")),
        }
    }

    fn text(&self) -> Result<At<String>, InvalidInput> {
        match &self.value {
            Value::String(text) => Ok(self.with(text.clone())),
            _ => Err(self.wrong("a text")),
        }
    }

    fn one_of(&self, words: &[&'static str]) -> Result<At<&'static str>, InvalidInput> {
        let found = words.iter().find(|word| self.value.as_str() == Some(word));
        found
            .map(|word| self.with(*word))
            .ok_or_else(|| self.wrong(&format!("one of `{}`", words.join("`, `"))))
    }

    fn number(&self) -> Result<i64, InvalidInput> {
        self.value.as_i64().ok_or_else(|| self.wrong("a whole number"))
    }

    fn seconds(&self) -> Result<Duration, InvalidInput> {
        match u32::try_from(self.number()?) {
            Ok(seconds) if seconds <= MAX_SECONDS => Ok(Duration::from_secs(seconds.into())),
            _ => Err(self.wrong("seconds")),
        }
    }

    fn status(&self) -> Result<u16, InvalidInput> {
        match u16::try_from(self.number()?) {
            Ok(status @ 100..=999) => Ok(status),
            _ => Err(self.wrong("a status code, 100 to 999")),
        }
    }

    fn header(&self) -> Result<HeaderName, InvalidInput> {
        let name = self.text()?;
        HeaderName::try_from(&name.value).map_err(|_| name.wrong("the name of a header"))
    }
}

impl RuleFields {
    fn at(&self, name: &str) -> String {
        match self.place.as_str() {
            "" => name.to_owned(),
            place => format!("{place}.{name}"),
        }
    }

    /// Takes a field; `null` counts as missing.
    fn take(&mut self, name: &str) -> Option<At<Value>> {
        let value = self.map.remove(name).filter(|value| !value.is_null())?;
        Some(At { value, place: self.at(name) })
    }

    fn need(&mut self, name: &str) -> Result<At<Value>, InvalidInput> {
        self.take(name).ok_or_else(|| self.missing(name))
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, InvalidInput> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.value.as_bool().map(Some).ok_or_else(|| value.wrong("`true` or `false`"))
    }

    fn number(&mut self, name: &str) -> Result<Option<i64>, InvalidInput> {
        self.take(name).map(|value| value.number()).transpose()
    }

    fn names<T>(
        &mut self,
        name: &str,
        read: impl Fn(At<Value>) -> Result<T, InvalidInput>,
    ) -> Result<Vec<T>, InvalidInput> {
        match self.take(name) {
            Some(list) => list.list()?.into_iter().map(read).collect(),
            None => Ok(Vec::new()),
        }
    }

    fn missing(&self, name: &str) -> InvalidInput {
        self.invalid(&format!("has no `{name}`"))
    }

    fn invalid(&self, message: &str) -> InvalidInput {
        invalid(&self.place, message)
    }

    /// Fails if a field was not read.
    fn end(self) -> Result<(), InvalidInput> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(invalid(&self.at(name), "is not supported")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::parse;

    fn with_parameters(parameters: &str) -> String {
        format!(
            r#"{{"rules":[{{"action":"set_cache_settings","expression":"true","action_parameters":{parameters}}}]}}"#
        )
    }

    #[test]
    fn names_unknown_fields_with_their_path() {
        let cases = [
            ("{", "not JSON"),
            ("1", "found `1`, expected a ruleset"),
            ("{}", "has no `rules`"),
            (r#"{"rules":[],"fases":1}"#, "fases: is not supported"),
            (r#"{"rules":[],"phase":"http_request_transform"}"#, "phase: found `http_request_transform`"),
            (r#"[{"action":"block","expression":"true"}]"#, "rules[0].action: found `block`"),
            (r#"[{"action":"set_cache_settings"}]"#, "rules[0]: has no `expression`"),
            (
                r#"[{"action":"set_cache_settings","expression":"a"}]"#,
                "rules[0].expression: field `a` is not",
            ),
            (
                r#"[{"action":"set_cache_settings","expression":"true","x":1}]"#,
                "rules[0].x: is not supported",
            ),
        ];
        for (json, expected) in cases {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
        let cases = [
            (r#"{"cach":true}"#, "action_parameters.cach: is not supported"),
            (r#"{"cache":1}"#, "action_parameters.cache: found `1`, expected `true` or `false`"),
            (
                r#"{"edge_ttl":{"mode":"a"}}"#,
                "edge_ttl.mode: found `\"a\"`, expected one of `respect_origin`",
            ),
            (r#"{"edge_ttl":{"mode":"override_origin"}}"#, "edge_ttl: has no `default`"),
            (r#"{"edge_ttl":{"mode":"respect_origin","ttl":1}}"#, "edge_ttl.ttl: is not supported"),
            (
                r#"{"edge_ttl":{"mode":"respect_origin","status_code_ttl":[{"value":1}]}}"#,
                "status_code_ttl[0]",
            ),
            (
                r#"{"edge_ttl":{"mode":"respect_origin","status_code_ttl":[{"status_code":99,"value":1}]}}"#,
                "status_code_ttl[0].status_code: found `99`",
            ),
            (r#"{"browser_ttl":{"mode":"override_origin"}}"#, "browser_ttl: has no `default`"),
            (
                r#"{"edge_ttl":{"mode":"respect_origin","status_code_ttl":[{"value":1,
                    "status_code_range":{"from":500,"to":400}}]}}"#,
                "status_code_ttl[0].status_code_range: contains no status",
            ),
            (r#"{"cache_key":{"custom_key":{"header":{"include":["cookie"]}}}}"#, "`cookie` cannot be in"),
            (r#"{"cache_key":{"custom_key":{"header":{"include":["accept"]}}}}"#, "`accept` can only be in"),
            (
                r#"{"cache_key":{"custom_key":{"query_string":{"include":["a"],"exclude":["b"]}}}}"#,
                "one of them",
            ),
            (r#"{"cache_key":{"custom_key":{"user":{"city":true}}}}"#, "user.city: is not supported"),
            (r#"{"vary":{}}"#, "vary: has no `default`"),
            (
                r#"{"vary":{"default":{"action":"bypass"},"headers":{"Accept":{"action":"bypass"}}}}"#,
                "vary.headers.Accept",
            ),
            (r#"{"vary":{"default":{"action":"bypass","languages":[]}}}"#, "vary.default.languages: is not"),
        ];
        for (parameters, expected) in cases {
            let error = parse(&with_parameters(parameters)).unwrap_err().to_string();
            assert!(error.contains(expected), "{parameters}: {error}");
            assert!(error.contains("rules[0].action_parameters"), "{parameters}: {error}");
        }
    }

    #[test]
    fn parses_the_whole_documented_form() {
        let rules = parse(
            r#"{"success":true,"errors":[],"messages":[],"result":{
                "id":"2c0fc9fa937b11eaa1b71c4d701ab86e","name":"default","kind":"zone","version":"3",
                "phase":"http_request_cache_settings","last_updated":"2026-01-01T00:00:00Z","rules":[{
                "id":"1","version":"1","ref":"1","enabled":true,"description":"all","last_updated":"2026-01-01T00:00:00Z",
                "expression":"(http.host eq \"example.net\")","action":"set_cache_settings","action_parameters":{
                "cache":true,
                "edge_ttl":{"mode":"override_origin","default":60,"status_code_ttl":[
                    {"status_code":200,"value":50},{"status_code_range":{"from":201,"to":300},"value":30},
                    {"status_code_range":{"from":500},"value":"no-store"}]},
                "browser_ttl":{"mode":"respect_origin"},
                "serve_stale":{"disable_stale_while_updating":true},
                "respect_strong_etags":true,"read_timeout":900,"origin_error_page_passthru":false,
                "additional_cacheable_ports":[8443],"origin_range_requests":{"mode":"on"},
                "origin_cache_control":true,"cache_reserve":{"eligible":true,"minimum_file_size":100000},
                "vary":{"default":{"action":"bypass"},"headers":{
                    "accept":{"action":"normalize","media_types":["text/html"]},
                    "accept-language":{"action":"normalize","languages":["en"]}}},
                "cache_key":{"ignore_query_strings_order":false,"cache_deception_armor":true,"custom_key":{
                    "query_string":{"exclude":{"all":true}},
                    "header":{"include":["habc"],"check_presence":["habc_t"],"exclude_origin":true,
                        "contains":{"accept-encoding":["br","zstd"]}},
                    "cookie":{"include":["cabc"],"check_presence":["cabc_t"]},
                    "user":{"device_type":true,"geo":false,"lang":true},"host":{"resolved":true}}}}},
                {"enabled":false,"expression":"true","action":"set_cache_settings","action_parameters":{"cache":false}}]}}"#,
        )
        .unwrap();
        assert_eq!(rules.len(), 1);
        let told: Vec<_> = rules.notes().iter().map(|note| note.rsplit('.').next().unwrap()).collect();
        assert_eq!(
            told,
            [
                "respect_strong_etags: has no effect here",
                "origin_error_page_passthru: has no effect here",
                "read_timeout: has no effect here",
                "additional_cacheable_ports: has no effect here",
                "origin_range_requests: has no effect here",
            ]
        );
    }

    proptest! {
        #[test]
        fn parses_any_text(text in any::<String>()) {
            drop(parse(&text));
            drop(parse(&with_parameters(&text)));
        }
    }
}
