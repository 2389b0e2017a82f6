//! The envelope of every response of the API.
//!
//! The schema says `{"success", "errors", "messages", "result", "result_info"?}`. The real API omits parts, sends null
//! for them, sends strings instead of objects, and sometimes sends no envelope. Therefore each part is parsed
//! separately, and every JSON object is accepted as an envelope.
//!
//! Errors of the edge in front of the API have another body, problem details (RFC 9457), which are parsed here too.
//! Source: Cloudflare's changelog of 2026-03-11, 2026-03-12 and 2026-04-27.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::text::snippet;

/// The maximum number of errors, and of items of an error chain, that a message shows.
pub(crate) const MAX_SHOWN: usize = 8;

/// An envelope whose parts are parsed when they are read, so an invalid one does not affect the others.
#[derive(Debug, Clone, Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow, default)]
    success: Option<&'a RawValue>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    detail: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    retry_after: Option<&'a RawValue>,
}

/// One item of `errors` or `messages`.
///
/// Source: the schema `ResponseInfo` of the API reference, 2026-10; deviations that were observed are named where they
/// are handled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResponseInfo {
    /// The code; 0 if the API sent none. Codes above 65,535 exist.
    pub code: u32,
    /// The text; empty if the API sent none.
    pub message: String,
    /// A documentation page about it.
    pub documentation_url: Option<String>,
    /// The part of the request that it refers to: `pointer` in the API's `source`, a JSON pointer into the body.
    pub pointer: Option<String>,
    /// The underlying errors, for example of code 6003.
    pub error_chain: Vec<Self>,
}

/// The position of a page in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ResultInfo {
    /// Items on this page.
    pub count: Option<u64>,
    /// This page, counted from 1.
    pub page: Option<u64>,
    /// The maximum number of items per page.
    pub per_page: Option<u64>,
    /// Items on all pages.
    pub total_count: Option<u64>,
    /// The number of pages.
    pub total_pages: Option<u64>,
}

impl<'a> Envelope<'a> {
    /// Parses the body of a response.
    ///
    /// # Errors
    ///
    /// [`NoEnvelope`] if the body is empty, not JSON, or JSON other than an object.
    pub fn parse(body: &'a [u8]) -> Result<Self, NoEnvelope> {
        match NoEnvelope::new(body) {
            Some(no_envelope) => Err(no_envelope),
            None => serde_json::from_slice(body).map_err(|error| NoEnvelope::Broken(error.to_string())),
        }
    }

    /// The value of `success`; `None` if it is missing or not a boolean.
    #[must_use]
    pub fn success(&self) -> Option<bool> {
        match self.success?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The reasons of a failure: `errors`, otherwise [`problem`](Self::problem), otherwise an error outside of a list.
    #[must_use]
    pub fn errors(&self) -> Vec<ResponseInfo> {
        let mut errors = infos(self.errors);
        if errors.is_empty() && self.success() != Some(true) {
            errors.extend(self.problem().or_else(|| self.outside_error()));
        }
        errors
    }

    /// Messages. A code in here is not an error: token verification sends 10000 for a valid token.
    #[must_use]
    pub fn messages(&self) -> Vec<ResponseInfo> {
        infos(self.messages)
    }

    /// The page information of a list.
    #[must_use]
    pub fn result_info(&self) -> Option<ResultInfo> {
        serde_json::from_str(self.result_info?.get()).ok()
    }

    /// The unchanged JSON of `result`; `null` if it is missing.
    #[must_use]
    pub fn raw_result(&self) -> &'a str {
        self.result.map_or("null", RawValue::get)
    }

    /// Problem details of the edge, as an error: the body has a title, and neither `success` nor `errors`. If their `type`
    /// is a URL, it is the documentation page.
    #[must_use]
    pub fn problem(&self) -> Option<ResponseInfo> {
        if self.success().is_some() || !infos(self.errors).is_empty() {
            return None;
        }
        let text = |part: Option<&RawValue>| match part.map(value) {
            Some(Value::String(text)) => Some(text).filter(|text| !text.trim().is_empty()),
            _ => None,
        };
        let title = text(self.title)?;
        let message = match text(self.detail) {
            Some(detail) if detail != title => alloc::format!("{title}: {detail}"),
            _ => title,
        };
        Some(ResponseInfo {
            // The sources do not name the field for the number of a 1xxx error, so both likely names are read.
            code: self.error_code.or(self.code).map(|raw| code(&value(raw))).unwrap_or_default(),
            message,
            documentation_url: text(self.kind).filter(|kind| kind.contains("://")),
            ..ResponseInfo::default()
        })
    }

    /// The field `retry_after` of the body, in seconds. Problem details have it.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        seconds(&value(self.retry_after?))
    }

    /// `{"code":1000,"error":"not_found"}` was observed instead of an envelope.
    fn outside_error(&self) -> Option<ResponseInfo> {
        let outside = ResponseInfo {
            code: self.code.map(|raw| code(&value(raw))).unwrap_or_default(),
            message: self.error.or(self.message).map(|raw| words(&value(raw))).unwrap_or_default(),
            ..ResponseInfo::default()
        };
        outside.says_something()
    }
}

/// A number of seconds, which may be a string; a fraction is rounded up.
fn seconds(value: &Value) -> Option<u64> {
    let text = match value {
        Value::String(text) => text.trim(),
        other => return other.as_u64().or_else(|| whole(other.as_f64()?)),
    };
    text.parse().ok().or_else(|| whole(text.parse().ok()?))
}

fn whole(seconds: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the conversion saturates")]
    (seconds >= 0.0).then(|| seconds as u64 + u64::from(seconds > (seconds as u64) as f64))
}

/// Parses a part; if that fails (half a surrogate pair, too many levels), returns its JSON as a string.
fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().to_owned()))
}

/// Parses `errors` or `messages`: by the schema an array of objects; in practice it may be missing, be null, or contain
/// strings.
fn infos(raw: Option<&RawValue>) -> Vec<ResponseInfo> {
    raw.map(|raw| items(&value(raw))).unwrap_or_default()
}

fn items(value: &Value) -> Vec<ResponseInfo> {
    match value {
        Value::Array(items) => items.iter().filter_map(info).collect(),
        single => info(single).into_iter().collect(),
    }
}

fn info(value: &Value) -> Option<ResponseInfo> {
    let Value::Object(map) = value else {
        return ResponseInfo { message: words(value), ..ResponseInfo::default() }.says_something();
    };
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let info = ResponseInfo {
        code: map.get("code").map(code).unwrap_or_default(),
        message: map.get("message").or_else(|| map.get("error")).map(words).unwrap_or_default(),
        documentation_url: map.get("documentation_url").and_then(text),
        pointer: map.get("source").and_then(|source| source.get("pointer")).and_then(text),
        error_chain: map.get("error_chain").map(items).unwrap_or_default(),
    };
    info.says_something()
}

/// Parses a text: by the schema a string; any other value is returned as its JSON.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Parses a code: by the schema an integer; a string with an integer is accepted too. Other values give 0, which means
/// none.
fn code(value: &Value) -> u32 {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|code| u32::try_from(code).ok()),
    };
    number.unwrap_or_default()
}

impl ResponseInfo {
    /// Returns `None` if all fields are empty.
    fn says_something(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }

    /// Iterates over this item and its error chain, in order.
    pub fn flatten(&self) -> impl Iterator<Item = &Self> {
        let mut stack = alloc::vec![self];
        core::iter::from_fn(move || {
            let info = stack.pop()?;
            stack.extend(info.error_chain.iter().rev());
            Some(info)
        })
    }
}

impl fmt::Display for ResponseInfo {
    /// Formats as `Invalid request headers (code 6003): Invalid format for Authorization header (code 6111)`, or with a
    /// documentation page as `Forbidden (code 10000, see https://developers.cloudflare.com/…)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, info) in self.flatten().enumerate() {
            if index == MAX_SHOWN {
                return f.write_str(": …");
            }
            if index > 0 {
                f.write_str(": ")?;
            }
            let message = snippet(&info.message, 500);
            f.write_str(if message.is_empty() { "no message" } else { &message })?;
            let page = info.documentation_url.as_deref().map(|url| snippet(url, 300));
            match (info.code, page) {
                (0, None) => {}
                (code, None) => write!(f, " (code {code})")?,
                (0, Some(page)) => write!(f, " (see {page})")?,
                (code, Some(page)) => write!(f, " (code {code}, see {page})")?,
            }
        }
        Ok(())
    }
}

/// Why a body is not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEnvelope {
    /// It is empty or blank.
    #[error("an empty body")]
    Empty,
    /// It looks like an HTML page.
    #[error("HTML instead of JSON")]
    Html,
    /// It is JSON, but not an object.
    #[error("JSON that is not an object")]
    OtherJson,
    /// It starts like an envelope but is truncated or invalid.
    #[error("broken JSON ({0})")]
    Broken(String),
    /// Anything else.
    #[error("text instead of JSON")]
    Text,
}

impl NoEnvelope {
    /// Classifies a body that does not start like a JSON object.
    fn new(body: &[u8]) -> Option<Self> {
        match body.trim_ascii_start().first() {
            None => Some(Self::Empty),
            Some(b'{') => None,
            Some(b'<') => Some(Self::Html),
            _ if serde_json::from_slice::<IgnoredAny>(body).is_ok() => Some(Self::OtherJson),
            _ => Some(Self::Text),
        }
    }
}
