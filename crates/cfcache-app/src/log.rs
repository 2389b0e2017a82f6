//! Logging for services: the spans and events of `tracing`, as lines of text or JSON.
//!
//! [`Logger`] is this project's own subscriber, because `tracing-subscriber` is larger (see `docs/performance.md`). A
//! span is logged when it ends, with all its fields and its duration. An event is logged at once. Both name their
//! enclosing spans.

use core::cell::RefCell;
use core::fmt::{Debug, Write as _};
use core::str::FromStr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cfcache_client::Redactor;
use cfcache_model::date::rfc_3339;
use cfcache_model::text::{clip, quote};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use crate::failure::Failure;

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people: `TIME LEVEL span{field=value}: target: message field=value`.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// Selects the spans and events to log: those of a level and the more severe ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    level: LevelFilter,
    /// The levels of targets with a given prefix.
    targets: Vec<(String, LevelFilter)>,
}

impl Default for LogFilter {
    /// `info,cfcache_transport=warn`: requests are logged, connections are not.
    fn default() -> Self {
        Self {
            level: LevelFilter::INFO,
            targets: Vec::from([("cfcache_transport".to_owned(), LevelFilter::WARN)]),
        }
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// Parses a level such as `info`, or targets with levels such as `warn,cfcache_transport=info`. The levels are
    /// `off`, `error`, `warn` and `info`; `debug` and `trace` equal `info` in a release build.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut filter = Self { targets: Vec::new(), ..Self::default() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (target, level) = match part.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, part),
            };
            let is_word = level.starts_with(|first: char| first.is_ascii_alphabetic());
            let level: LevelFilter = level
                .parse()
                .ok()
                .filter(|_| is_word)
                .ok_or_else(|| format!("{} is not a level: off, error, warn or info", quote(level)))?;
            match target {
                None => filter.level = level,
                // Other crates may log text that must not be shown.
                Some(target) if !target.starts_with(OURS) => {
                    return Err(format!("{} is not a target; targets begin with `{OURS}`", quote(target)));
                }
                Some(target) => filter.targets.push((target.to_owned(), level)),
            }
        }
        // The longest first, because it is the most specific.
        filter.targets.sort_by_key(|(target, _)| core::cmp::Reverse(target.len()));
        Ok(filter)
    }
}

impl LogFilter {
    fn enables(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        if target == MESSAGES {
            return true;
        }
        let nearest = self.targets.iter().find(|(prefix, _)| target.starts_with(prefix.as_str()));
        let level = nearest.map_or(self.level, |(_, level)| *level);
        target.starts_with(OURS) && *metadata.level() <= level
    }

    fn max_level(&self) -> LevelFilter {
        let levels = self.targets.iter().map(|(_, level)| *level);
        levels.chain([self.level, LevelFilter::INFO]).max().unwrap_or(LevelFilter::INFO)
    }
}

/// The prefix of the targets of these crates.
const OURS: &str = "cfcache";

/// The target of messages for people. Filters do not apply to it; use `--quiet` instead.
const MESSAGES: &str = "cfcache";

/// Logs a message for people, such as one of a [`Console`](crate::console::Console), at the level of its label.
pub fn message(line: &str) {
    match line.split_once(": ") {
        Some(("error", rest)) => tracing::error!(target: MESSAGES, "{rest}"),
        Some(("warning", rest)) => tracing::warn!(target: MESSAGES, "{rest}"),
        Some(("invalid", _)) => tracing::warn!(target: MESSAGES, "{line}"),
        _ => tracing::info!(target: MESSAGES, "{}", line.trim_start()),
    }
}

/// Logs the failure of a command or a task.
pub fn failure(failure: &Failure) {
    let Failure { exit, message, causes, hint } = failure;
    let causes = (!causes.is_empty()).then(|| causes.join(": "));
    tracing::error!(target: MESSAGES, exit_code = exit.code(), causes, hint, "{message}");
}

/// A subscriber that writes spans and events that pass a filter as lines.
///
/// Values are passed through a [`Redactor`], so text that looks like a credential is not logged.
pub struct Logger {
    format: LogFormat,
    filter: LogFilter,
    /// Writes a line, which contains no line break.
    write: Box<dyn Fn(&str) + Send + Sync>,
    open: Mutex<HashMap<u64, OpenSpan>>,
    last: AtomicU64,
}

struct OpenSpan {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    fields: Fields,
    began: Instant,
    handles: usize,
}

#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

std::thread_local! {
    /// The spans that this thread has entered, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

impl Logger {
    /// Creates a logger that passes each line to `write`.
    pub fn new(format: LogFormat, filter: LogFilter, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { format, filter, write: Box::new(write), open: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// Makes this the logger of the process. Returns `false` if there already is one.
    pub fn install(self) -> bool {
        tracing::subscriber::set_global_default(self).is_ok()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, OpenSpan>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line. `name` is the name of a span that ended; `None` for an event.
    fn line(&self, metadata: &Metadata<'_>, name: Option<&str>, fields: &Fields, parent: Option<u64>) {
        let open = self.open();
        let mut within = Vec::new();
        let mut next = parent.and_then(|id| open.get(&id));
        while let Some(span) = next {
            within.push(span);
            next = span.parent.and_then(|id| open.get(&id));
        }
        within.reverse();
        let line = match self.format {
            LogFormat::Json => json(metadata, name, fields, &within),
            LogFormat::Text => text(metadata, name, fields, &within),
        };
        drop(open);
        (self.write)(&line);
    }
}

fn json(metadata: &Metadata<'_>, name: Option<&str>, fields: &Fields, within: &[&OpenSpan]) -> String {
    let mut line = format!("{{\"timestamp\":\"{}\",\"level\":\"{}\"", now(), metadata.level());
    let member = |line: &mut String, name: &str, value: &Value| {
        // Cannot fail, because it writes to a string.
        let _ = write!(line, ",{}:{value}", Value::from(name));
    };
    member(&mut line, "target", &metadata.target().into());
    if let Some(name) = name {
        member(&mut line, "span", &name.into());
    }
    for (name, value) in &fields.0 {
        member(&mut line, name, value);
    }
    if !within.is_empty() {
        let spans = within.iter().map(|span| {
            let fields = span.fields.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Object(
                [("span".to_owned(), span.metadata.name().into())].into_iter().chain(fields).collect(),
            )
        });
        member(&mut line, "spans", &spans.collect());
    }
    line.push('}');
    line
}

fn text(metadata: &Metadata<'_>, name: Option<&str>, fields: &Fields, within: &[&OpenSpan]) -> String {
    let mut line = format!("{} {:>5} ", now(), metadata.level());
    for span in within {
        let fields: Vec<String> = span.fields.0.iter().map(pair).collect();
        let _ = write!(line, "{}{{{}}}: ", span.metadata.name(), fields.join(" "));
    }
    let _ = write!(line, "{}:", metadata.target());
    if let Some(name) = name {
        let _ = write!(line, " {name}");
    }
    for field in &fields.0 {
        match field {
            ("message", Value::String(message)) => {
                let _ = write!(line, " {}", clip(message, usize::MAX));
            }
            field => {
                let _ = write!(line, " {}", pair(field));
            }
        }
    }
    line
}

fn pair((name, value): &(&'static str, Value)) -> String {
    match value {
        Value::String(text) if is_plain(text) => format!("{name}={text}"),
        Value::String(text) => format!("{name}={text:?}"),
        value => format!("{name}={value}"),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'{' | b'}'))
}

#[expect(clippy::disallowed_methods, reason = "a line of a log says when it was written")]
fn now() -> String {
    let mut time = rfc_3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    // Always the same length, so that lines sort by time.
    if time.ends_with('Z') {
        time.pop();
    }
    if !time.contains('.') {
        time.push('.');
    }
    format!("{time:0<26}Z")
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Redactor::default().redact(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match self.0.iter_mut().find(|(name, _)| *name == field.name()) {
            Some((_, known)) => *known = value,
            None => self.0.push((field.name(), value)),
        }
    }
}

impl Subscriber for Logger {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.filter.enables(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enables(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.max_level())
    }

    #[expect(clippy::disallowed_methods, reason = "a span says how long it took")]
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => innermost(),
            None => None,
        };
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = self.open();
        // An open span keeps its parent spans open.
        if let Some(parent) = parent.and_then(|id| open.get_mut(&id)) {
            parent.handles += 1;
        }
        let span =
            OpenSpan { metadata: attributes.metadata(), parent, fields, began: Instant::now(), handles: 1 };
        open.insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(span) = self.open().get_mut(&span.into_u64()) {
            values.record(&mut span.fields);
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let parent = match event.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if event.is_contextual() => innermost(),
            None => None,
        };
        self.line(event.metadata(), None, &fields, parent);
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(last) = entered.iter().rposition(|id| *id == span.into_u64()) {
                entered.remove(last);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(span) = self.open().get_mut(&span.into_u64()) {
            span.handles += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let mut next = Some(span.into_u64());
        let mut is_closed = false;
        while let Some(id) = next.take() {
            let mut open = self.open();
            let Some(span) = open.get_mut(&id) else { break };
            span.handles -= 1;
            if span.handles > 0 {
                break;
            }
            let Some(mut span) = open.remove(&id) else { break };
            drop(open);
            is_closed = true;
            let millis = span.began.elapsed().as_secs_f64() * 1e3;
            // Rounded to microseconds, because more digits are not meaningful.
            span.fields.0.push(("elapsed_ms", ((millis * 1e3).round() / 1e3).into()));
            self.line(span.metadata, Some(span.metadata.name()), &span.fields, span.parent);
            next = span.parent;
        }
        is_closed
    }
}

fn innermost() -> Option<u64> {
    ENTERED.with_borrow(|entered| entered.last().copied())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Returns the lines that a logger writes while `done` runs.
    fn lines(format: LogFormat, filter: &str, done: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        let logger = Logger::new(format, filter.parse().unwrap(), move |line: &str| {
            written.lock().unwrap().push(line.to_owned());
        });
        // With only one subscriber, the first thread that reaches a callsite decides for all threads whether it is
        // enabled, and that thread may belong to another test.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        tracing::subscriber::with_default(logger, done);
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn a_span_is_logged_as_json_when_it_ends_with_its_parent_spans() {
        let lines = lines(LogFormat::Json, "info", || {
            let request = tracing::info_span!("request", batch = 7, status = tracing::field::Empty);
            request.in_scope(|| {
                let step =
                    tracing::info_span!("connect", host = "a \"b\"\u{7}", error = tracing::field::Empty);
                step.in_scope(|| tracing::info!(is_late = true, "reached {}", 1));
                step.record("error", tracing::field::display("refused"));
            });
            request.record("status", 200_u16);
        });
        let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [event, connect, request] = values.as_slice() else { panic!("{lines:?}") };
        assert_eq!(
            (&event["level"], &event["message"], &event["is_late"]),
            (&"INFO".into(), &"reached 1".into(), &true.into())
        );
        assert_eq!(event["spans"][1]["host"], "a \"b\"\u{7}");
        assert_eq!((&event["spans"][0]["span"], &event["spans"][0]["batch"]), (&"request".into(), &7.into()));
        assert_eq!((&connect["span"], &connect["error"]), (&"connect".into(), &"refused".into()));
        assert!(connect["elapsed_ms"].is_f64() && connect["timestamp"].as_str().unwrap().len() == 27);
        assert_eq!(
            (&request["status"], &request["target"]),
            (&200.into(), &"cfcache_app::log::tests".into())
        );
        assert!(request.get("spans").is_none());
    }

    #[test]
    fn text_lines_contain_no_control_characters() {
        let lines = lines(LogFormat::Text, "info", || {
            tracing::info!(name = "a\u{1b}[31m b", code = 5, "two\nlines");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(
            line.ends_with(r#"  INFO cfcache_app::log::tests: two\nlines name="a\u{1b}[31m b" code=5"#),
            "{line}"
        );
    }

    #[test]
    fn a_filter_applies_by_level_and_most_specific_target() {
        let logged = |filter: &str| {
            lines(LogFormat::Text, filter, || {
                tracing::debug!(target: "cfcache_client::trace", "client debug");
                tracing::debug!(target: "cfcache_transport", "transport debug");
                tracing::error!(target: "h2", "of another crate");
                message("warning: a message");
            })
            .iter()
            .map(|line| line.split(": ").last().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
        };
        assert_eq!(logged("info"), ["a message"]);
        assert_eq!(logged("off"), ["a message"]);
        assert_eq!(logged("debug"), ["client debug", "transport debug", "a message"]);
        assert_eq!(logged("cfcache_client=debug"), ["client debug", "a message"]);
        assert_eq!(logged("debug, cfcache_client=warn"), ["transport debug", "a message"]);
        assert_eq!(logged("cfcache=warn,cfcache_client::trace=trace"), ["client debug", "a message"]);
    }

    #[test]
    fn an_invalid_filter_is_an_error_that_says_what_is_valid() {
        for (text, expected) in [
            ("loud", "`loud` is not a level: off, error, warn or info"),
            ("cfcache_client=", "`` is not a level: off, error, warn or info"),
            ("3", "`3` is not a level: off, error, warn or info"),
            ("h2=trace", "`h2` is not a target; targets begin with `cfcache`"),
        ] {
            assert_eq!(text.parse::<LogFilter>().unwrap_err(), expected);
        }
    }

    #[test]
    fn text_that_looks_like_a_token_is_not_logged() {
        const TOKEN: &str = "cfut_0123456789abcdefghijABCDEFGHIJ0123456789";
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = lines(format, "trace", || {
                let _span = tracing::info_span!("a", header = TOKEN).entered();
                message(&format!("error: {TOKEN}"));
                failure(&Failure::usage(TOKEN).with_cause(TOKEN).with_hint(format!("Bearer {TOKEN}")));
            });
            assert_eq!(lines.len(), 3);
            assert!(!lines.concat().contains(TOKEN) && lines.concat().contains("[secret]"), "{lines:?}");
        }
    }

    #[test]
    fn timestamps_have_a_fixed_length() {
        assert_eq!(now().len(), "2026-03-01T12:00:00.000000Z".len());
    }
}
