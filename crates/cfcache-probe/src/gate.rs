//! The gate before a purge: waits until a URL shows that the new version is served.
//!
//! [`Gate`] is a state machine without IO; `now` is a parameter. It opens after several successes in a row, with pauses
//! of a second, because one success proves only one of several servers
//! (<https://github.com/cloudflare/vinext/pull/3038>).

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use cfcache_model::InvalidInput;
use serde_json::Value;

use crate::answer::{Sha256, VisitorAnswer};

/// The maximum size of a body in which a JSON value is searched, in bytes.
const MAX_JSON: usize = 1 << 20;

/// A condition for the answer of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The body contains a text, byte for byte.
    Contains(String),
    /// The HTTP status.
    Status(u16),
    /// A header has a value; blanks around it are ignored.
    Header {
        /// The name, in lower case.
        name: String,
        /// The value.
        value: String,
    },
    /// The body is JSON and has a value at a path. Strings are compared by their content, other values by their JSON
    /// text.
    Json {
        /// The path, such as `.build.version` or `.items[0].id`.
        path: String,
        /// The value.
        value: String,
    },
    /// The body has this hash.
    Sha256(Sha256),
}

/// A URL and the condition for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expectation {
    /// The URL.
    pub url: String,
    /// The condition for its answer.
    pub condition: Condition,
}

impl FromStr for Expectation {
    type Err = InvalidInput;

    /// Parses `URL contains TEXT`, `URL status CODE`, `URL header NAME equals VALUE`, `URL json .path equals VALUE` or
    /// `URL sha256 HEX`. The text after the last keyword is used unchanged, without the blanks around it.
    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let (url, rest) = word(text);
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            return Err(InvalidInput::new(format!("`{url}` is not a URL with `https://` or `http://`")));
        }
        let authority = url.split_once("://").map_or("", |(_, rest)| rest);
        if authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            // The URL is not shown, because it may contain a password.
            return Err(InvalidInput::new("the URL contains a user or a password, which is not sent"));
        }
        let (what, rest) = word(rest);
        let equals = |rest: &str| -> Result<(String, String), InvalidInput> {
            let (name, rest) = word(rest);
            let (equals, value) = word(rest);
            if name.is_empty() || equals != "equals" {
                let name = if what == "json" { ".path" } else { "NAME" };
                return Err(InvalidInput::new(format!("`{what}` is followed by `{name} equals VALUE`")));
            }
            Ok((name.to_owned(), value.trim().to_owned()))
        };
        let condition = match what {
            "contains" if rest.trim().is_empty() => return Err(InvalidInput::new("`contains` needs a text")),
            "contains" => Condition::Contains(rest.trim().to_owned()),
            "status" => match rest.trim().parse() {
                Ok(code @ 100..=999) => Condition::Status(code),
                _ => return Err(InvalidInput::new(format!("`{}` is not an HTTP status", rest.trim()))),
            },
            "header" => {
                let (name, value) = equals(rest)?;
                if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return Err(InvalidInput::new(format!("`{name}` is not the name of a header")));
                }
                Condition::Header { name: name.to_ascii_lowercase(), value }
            }
            "json" => {
                let (path, value) = equals(rest)?;
                if parse_path(&path).is_none() {
                    return Err(InvalidInput::new(format!(
                        "`{path}` is not a path such as `.build.version` or `.items[0].id`"
                    )));
                }
                Condition::Json { path, value }
            }
            "sha256" => match Sha256::from_hex(rest.trim()) {
                Some(hash) => Condition::Sha256(hash),
                None => return Err(InvalidInput::new("`sha256` is followed by 64 hex digits")),
            },
            "" => {
                return Err(InvalidInput::new(
                    "a condition must follow the URL: `contains`, `status`, `header`, `json` or `sha256`",
                ));
            }
            other => {
                return Err(InvalidInput::new(format!(
                    "`{other}` must be `contains`, `status`, `header`, `json` or `sha256`"
                )));
            }
        };
        Ok(Self { url: url.to_owned(), condition })
    }
}

/// Returns the first word of a text, and the rest.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(f, "contains {text}"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Header { name, value } => write!(f, "header {name} equals {value}"),
            Self::Json { path, value } => write!(f, "json {path} equals {value}"),
            Self::Sha256(hash) => write!(f, "sha256 {hash}"),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.condition)
    }
}

/// A part of a path in JSON.
#[derive(Debug, PartialEq, Eq)]
enum PathStep<'a> {
    Key(&'a str),
    Index(usize),
}

/// Parses a path such as `.a.b[0]`; `None` if it is invalid. `.` is the whole document.
fn parse_path(path: &str) -> Option<Vec<PathStep<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path;
    if rest == "." {
        return Some(steps);
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            steps.push(PathStep::Index(index.parse().ok()?));
            rest = after;
            continue;
        }
        // Other tools write an index at the beginning as `.[0]`.
        let after = rest.strip_prefix('.')?;
        if after.starts_with('[') && steps.is_empty() {
            rest = after;
            continue;
        }
        let end = after.find(['.', '[']).unwrap_or(after.len());
        let (key, after) = after.split_at(end);
        if key.is_empty() {
            return None;
        }
        steps.push(PathStep::Key(key));
        rest = after;
    }
    (!steps.is_empty()).then_some(steps)
}

/// Checks a condition while the body of an answer arrives.
#[derive(Debug)]
pub struct Matcher<'a> {
    condition: &'a Condition,
    /// The end of the last piece, in which the text may start; or the JSON so far.
    kept: Vec<u8>,
    is_found: bool,
    is_too_long: bool,
}

impl<'a> Matcher<'a> {
    /// Creates a matcher.
    #[must_use]
    pub const fn new(condition: &'a Condition) -> Self {
        Self { condition, kept: Vec::new(), is_found: false, is_too_long: false }
    }

    /// Adds the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        match self.condition {
            Condition::Contains(text) if !self.is_found => {
                self.kept.extend_from_slice(piece);
                let text = text.as_bytes();
                self.is_found = self.kept.windows(text.len().max(1)).any(|window| window == text);
                let surplus = self.kept.len().saturating_sub(text.len().saturating_sub(1));
                self.kept.drain(..surplus);
            }
            Condition::Json { .. } if !self.is_too_long => {
                self.is_too_long = self.kept.len() + piece.len() > MAX_JSON;
                if !self.is_too_long {
                    self.kept.extend_from_slice(piece);
                }
            }
            _ => {}
        }
    }

    /// Checks the condition after the whole body.
    ///
    /// # Errors
    ///
    /// Why the condition is not met, as a fragment such as ``the status is 503``.
    pub fn finish(self, answer: &VisitorAnswer, headers: &http::HeaderMap) -> Result<(), String> {
        let is_about_body =
            matches!(self.condition, Condition::Contains(_) | Condition::Json { .. } | Condition::Sha256(_));
        self.check(answer, headers).map_err(|why| match &answer.encoding {
            Some(how) if is_about_body => {
                format!("{why}; it is compressed ({how}), although the request does not ask for it")
            }
            _ => why,
        })
    }

    fn check(self, answer: &VisitorAnswer, headers: &http::HeaderMap) -> Result<(), String> {
        match self.condition {
            Condition::Status(expected) if answer.status == *expected => Ok(()),
            Condition::Status(_) => Err(format!("the status is {}", answer.status)),
            // An error page could contain the name of a version.
            _ if !(200..300).contains(&answer.status) => Err(format!("the status is {}", answer.status)),
            Condition::Contains(_) if self.is_found => Ok(()),
            Condition::Contains(_) => {
                Err(format!("the text is not in the {} bytes of the body", answer.body.bytes))
            }
            Condition::Header { name, value } => {
                let mut found = headers.get_all(name).iter();
                let is_it = |found: &http::HeaderValue| found.as_bytes().trim_ascii() == value.as_bytes();
                if found.any(is_it) {
                    return Ok(());
                }
                Err(match headers.get(name) {
                    Some(found) => {
                        let found = String::from_utf8_lossy(found.as_bytes());
                        format!("the header is {}", cfcache_model::text::quote(found.trim()))
                    }
                    None => format!("there is no header `{name}`"),
                })
            }
            Condition::Json { .. } if self.is_too_long => {
                Err(format!("the body is longer than the {MAX_JSON} bytes that are searched for JSON"))
            }
            Condition::Json { path, value } => {
                let Ok(document) = serde_json::from_slice::<Value>(&self.kept) else {
                    return Err("the body is not JSON".to_owned());
                };
                match at(&document, path) {
                    None => Err(format!("the JSON has nothing at `{path}`")),
                    Some(found) if equals_text(found, value) => Ok(()),
                    Some(found) => {
                        let found = cfcache_model::text::clip(&found.to_string(), 80);
                        Err(format!("`{path}` is {found}"))
                    }
                }
            }
            Condition::Sha256(expected) => match answer.body.sha256 {
                Some(found) if found == *expected => Ok(()),
                Some(found) => Err(format!("the body's sha256 is {found}")),
                None => Err("the body was not read completely".to_owned()),
            },
        }
    }
}

fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    parse_path(path)?.into_iter().try_fold(document, |value, step| match step {
        PathStep::Key(key) => value.get(key),
        PathStep::Index(index) => value.get(index),
    })
}

fn equals_text(found: &Value, expected: &str) -> bool {
    match found {
        Value::String(text) => text == expected,
        other => {
            let written = other.to_string();
            written == expected
        }
    }
}

/// Returns the URL with a unique query, so that no cache has an answer for it.
///
/// This works only if the query is part of the cache key, which is the default.
#[must_use]
pub fn busted(url: &str, unique: &str) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let separator = if !url.contains('?') {
        "?"
    } else if url.ends_with(['?', '&']) {
        ""
    } else {
        "&"
    };
    format!("{url}{separator}cfcache-after={unique}{fragment}")
}

/// The settings of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateSettings {
    /// The number of consecutive successes to open the gate. Default: 3.
    pub successes: u32,
    /// The time between requests. Default: 1 s.
    pub every: Duration,
    /// The time after which the gate gives up. Default: 300 s.
    pub timeout: Duration,
}

impl GateSettings {
    /// Creates the default settings.
    #[must_use]
    pub const fn new() -> Self {
        Self { successes: 3, every: Duration::from_secs(1), timeout: Duration::from_secs(300) }
    }
}

impl Default for GateSettings {
    fn default() -> Self {
        Self::new()
    }
}

/// The next step of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateStep {
    /// Request the URL before that time, and pass the result to [`Gate::on_answer`].
    Ask(Duration),
    /// Wait until that time.
    Wait(Duration),
    /// Wait for the answer.
    WaitForAnswer,
    /// The condition is met.
    Open,
    /// The condition was not met in time.
    Closed,
}

/// A state machine that waits for a condition.
#[derive(Debug, Clone)]
pub struct Gate {
    settings: GateSettings,
    began: Duration,
    due: Duration,
    is_asking: bool,
    successes: u32,
    asked: u32,
    last: Option<String>,
    is_closed: bool,
}

impl Gate {
    /// Creates a gate.
    #[must_use]
    pub const fn new(now: Duration, settings: GateSettings) -> Self {
        Self {
            settings,
            began: now,
            due: now,
            is_asking: false,
            successes: 0,
            asked: 0,
            last: None,
            is_closed: false,
        }
    }

    /// Returns the next step.
    pub fn next(&mut self, now: Duration) -> GateStep {
        let end = self.began.saturating_add(self.settings.timeout);
        if self.successes >= self.settings.successes {
            return GateStep::Open;
        }
        // At least one request is always sent, and a request in flight is always awaited.
        if self.is_closed || (now >= end && self.asked > 0 && !self.is_asking) {
            self.is_closed = true;
            return GateStep::Closed;
        }
        if self.is_asking {
            return GateStep::WaitForAnswer;
        }
        if now < self.due {
            // Success is no longer possible in time, but another answer may still explain why.
            return GateStep::Wait(self.due.min(end));
        }
        self.is_asking = true;
        self.asked += 1;
        self.due = now.saturating_add(self.settings.every);
        GateStep::Ask(end.max(now.saturating_add(self.settings.every)))
    }

    /// Records the result of a request: success, or why the condition is not met.
    pub fn on_answer(&mut self, result: Result<(), String>) {
        self.is_asking = false;
        match result {
            Ok(()) => self.successes += 1,
            Err(why) => {
                self.successes = 0;
                self.last = Some(why);
            }
        }
    }

    /// Returns the number of requests.
    #[must_use]
    pub const fn asked(&self) -> u32 {
        self.asked
    }

    /// Returns the number of consecutive successes.
    #[must_use]
    pub const fn successes(&self) -> u32 {
        self.successes
    }

    /// Returns the reason of the last failure.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::answer::Body;

    const HASH: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn conditions_round_trip_through_text() {
        for text in [
            "https://a.test/v contains build 42",
            "http://a.test/ status 204",
            "https://a.test/ header x-build equals 42 beta",
            "https://a.test/v.json json .build.items[0].id equals 42",
        ] {
            let parsed: Expectation = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        let hash: Expectation = format!("https://a.test/a.js   sha256\t{HASH} ").parse().unwrap();
        assert_eq!(hash.to_string(), format!("https://a.test/a.js sha256 {HASH}"));
    }

    #[test]
    fn refuses_invalid_conditions_with_a_reason() {
        for (text, wrong) in [
            ("", "not a URL"),
            ("www.example.com contains a", "not a URL"),
            ("ftp://a.test contains a", "not a URL"),
            ("https://user:password@a.test/ contains a", "a user or a password"),
            ("https://a.test/?q=@b", "a condition must follow"),
            ("https://a.test", "must follow the URL"),
            ("https://a.test has a", "`has` must be"),
            ("https://a.test contains ", "needs a text"),
            ("https://a.test status ok", "`ok` is not an HTTP status"),
            ("https://a.test status 1000", "not an HTTP status"),
            ("https://a.test header x-build 42", "`NAME equals VALUE`"),
            ("https://a.test header x(y equals 42", "not the name of a header"),
            ("https://a.test json build equals 42", "not a path"),
            ("https://a.test json .a..b equals 42", "not a path"),
            ("https://a.test json .a[x] equals 42", "not a path"),
            ("https://a.test json .a is 42", "`.path equals VALUE`"),
            ("https://a.test sha256 abc", "64 hex digits"),
        ] {
            let found = text.parse::<Expectation>().unwrap_err().to_string();
            assert!(found.contains(wrong), "{text}: {found}");
        }
    }

    fn check(condition: &str, status: u16, headers: &HeaderMap, pieces: &[&str]) -> Result<(), String> {
        let expectation: Expectation = format!("https://a.test/ {condition}").parse().unwrap();
        let mut matcher = Matcher::new(&expectation.condition);
        let mut bytes = 0;
        for piece in pieces {
            matcher.push(piece.as_bytes());
            bytes += piece.len() as u64;
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer =
            VisitorAnswer::from_head(status, headers, SystemTime::UNIX_EPOCH).with_body(Body::new(bytes));
        matcher.finish(&answer, headers)
    }

    #[test]
    fn finds_a_text_across_pieces_of_the_body() {
        let headers = HeaderMap::new();
        assert_eq!(check("contains build-42", 200, &headers, &["<p>bui", "ld", "-4", "2</p>"]), Ok(()));
        assert_eq!(check("contains aab", 200, &headers, &["aa", "ab"]), Ok(()));
        let missed = check("contains build-42", 200, &headers, &["build-4", "1"]).unwrap_err();
        assert_eq!(missed, "the text is not in the 8 bytes of the body");
    }

    #[test]
    fn says_that_a_body_without_the_text_is_compressed() {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        let found = check("contains v2", 200, &headers, &["\u{1f}"]).unwrap_err();
        assert!(found.contains("not in the 1 bytes") && found.contains("compressed (gzip)"), "{found}");
        assert_eq!(check("status 204", 200, &headers, &[]).unwrap_err(), "the status is 200");
    }

    #[test]
    fn an_error_page_that_contains_the_text_does_not_open_the_gate() {
        let found = check("contains v2", 503, &HeaderMap::new(), &["v2"]).unwrap_err();
        assert_eq!(found, "the status is 503");
        assert_eq!(check("status 503", 503, &HeaderMap::new(), &[]), Ok(()));
    }

    #[test]
    fn compares_whole_header_values() {
        let mut headers = HeaderMap::new();
        headers.append("x-build", " 42 ".parse().unwrap());
        headers.append("x-build", "43".parse().unwrap());
        assert_eq!(check("header X-Build equals 42", 200, &headers, &[]), Ok(()));
        assert_eq!(check("header x-build equals 43", 200, &headers, &[]), Ok(()));
        assert!(check("header x-build equals 4", 200, &headers, &[]).unwrap_err().contains("`42`"));
        assert!(check("header x-other equals 4", 200, &headers, &[]).unwrap_err().contains("no header"));
    }

    #[test]
    fn finds_json_values_by_path() {
        let headers = HeaderMap::new();
        let body = &[r#"{"build":{"version":"1.2","number":42,"#, r#""items":[{"ok":true}],"none":null}}"#];
        for condition in [
            "json .build.version equals 1.2",
            "json .build.number equals 42",
            "json .build.items[0].ok equals true",
            "json .build.none equals null",
        ] {
            assert_eq!(check(condition, 200, &headers, body), Ok(()), "{condition}");
        }
        assert_eq!(check("json .[0] equals 7", 200, &headers, &["[7]"]), Ok(()));
        assert_eq!(check("json . equals 7", 200, &headers, &["7"]), Ok(()));
        for (condition, body, wrong) in [
            ("json .a equals 1", "{\"a\":2}", "`.a` is 2"),
            ("json .b equals 1", "{\"a\":2}", "nothing at `.b`"),
            ("json .a equals 1", "<html>", "not JSON"),
        ] {
            assert!(check(condition, 200, &headers, &[body]).unwrap_err().contains(wrong), "{wrong}");
        }
        let long = " ".repeat(MAX_JSON + 1);
        assert!(check("json .a equals 1", 200, &headers, &[&long]).unwrap_err().contains("longer"));
    }

    #[test]
    fn adds_a_unique_query_to_a_url() {
        for (url, other) in [
            ("https://a.test/b", "https://a.test/b?cfcache-after=1"),
            ("https://a.test/b?c", "https://a.test/b?c&cfcache-after=1"),
            ("https://a.test/b?", "https://a.test/b?cfcache-after=1"),
            ("https://a.test/b?c#d", "https://a.test/b?c&cfcache-after=1#d"),
            ("https://a.test", "https://a.test?cfcache-after=1"),
        ] {
            assert_eq!(busted(url, "1"), other);
        }
    }

    /// Runs a gate whose answers take 100 ms. Returns the times of the requests, the last step, and its time.
    fn run(settings: GateSettings, answer: impl Fn(Duration) -> bool) -> (Vec<Duration>, GateStep, Duration) {
        let mut gate = Gate::new(secs(5), settings);
        let (mut now, mut asked) = (secs(5), Vec::new());
        loop {
            match gate.next(now) {
                GateStep::Ask(_) => {
                    asked.push(now - secs(5));
                    let met = answer(now - secs(5));
                    now += Duration::from_millis(100);
                    gate.on_answer(if met { Ok(()) } else { Err("old".to_owned()) });
                }
                GateStep::Wait(until) => now = until,
                end => return (asked, end, now - secs(5)),
            }
        }
    }

    #[test]
    fn opens_after_three_consecutive_successes() {
        let (asked, end, at) = run(GateSettings::new(), |_| true);
        assert_eq!((asked, end), (vec![secs(0), secs(1), secs(2)], GateStep::Open));
        assert_eq!(at, Duration::from_millis(2100));
    }

    #[test]
    fn a_failure_resets_the_count_of_successes() {
        let (asked, end, _) = run(GateSettings::new(), |at| at != secs(2));
        assert_eq!((asked.len(), end), (6, GateStep::Open));
    }

    #[test]
    fn closes_at_the_timeout_with_the_last_failure() {
        let mut settings = GateSettings::new();
        settings.timeout = secs(10);
        let (asked, end, at) = run(settings, |_| false);
        assert_eq!((asked.len(), end, at), (10, GateStep::Closed, secs(10)));
        // Two successes at the end are not enough.
        let (_, end, _) = run(settings, |at| at >= secs(8));
        assert_eq!(end, GateStep::Closed);
    }

    #[test]
    fn sends_at_least_one_request() {
        let mut settings = GateSettings::new();
        (settings.timeout, settings.successes) = (Duration::ZERO, 1);
        assert_eq!(run(settings, |_| true).1, GateStep::Open);
        assert_eq!(run(settings, |_| false).1, GateStep::Closed);
    }
}
