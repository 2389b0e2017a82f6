//! The wrapping around every answer of the API.
//!
//! The schema says `{"success", "errors", "messages", "result", "result_info"?}`. The real API leaves parts out, sends
//! null for them, puts strings where objects should be, and sometimes sends no envelope at all; so it is read part by
//! part, and only a body that is no JSON object is not an envelope.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// An answer of the API, unwrapped, with its `result` still as it came.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Envelope {
    /// What `success` says; `None` where it is missing or is no boolean.
    pub success: Option<bool>,
    /// Why the request failed.
    pub errors: Vec<ResponseInfo>,
    /// Remarks. A code in here is no error: token verify says 10000 for good news.
    pub messages: Vec<ResponseInfo>,
    /// The page of a list.
    pub result_info: Option<ResultInfo>,
    /// The `result`, byte for byte; `None` where it is missing.
    result: Option<Box<RawValue>>,
}

/// One item of `errors` or `messages`.
///
/// Source: the schema `ResponseInfo` of the API reference, 2026-10, and section by section what was seen besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResponseInfo {
    /// The code; 0 where the API sent none. Codes above 65,535 exist.
    pub code: u32,
    /// The text; empty where the API sent none.
    pub message: String,
    /// A page about it.
    pub documentation_url: Option<String>,
    /// Which part of the request is meant.
    pub source: Option<Source>,
    /// What is behind it, as with code 6003.
    pub error_chain: Vec<Self>,
}

/// Which part of the request an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Source {
    /// A JSON pointer into the request's body.
    pub pointer: Option<String>,
}

/// Which page of a list an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ResultInfo {
    /// Items on this page.
    pub count: Option<u64>,
    /// This page, counted from 1.
    pub page: Option<u64>,
    /// The most items a page holds.
    pub per_page: Option<u64>,
    /// Items on all pages.
    pub total_count: Option<u64>,
    /// How many pages there are.
    pub total_pages: Option<u64>,
}

impl Envelope {
    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// [`NoEnvelope`] where the body is empty, is no JSON, or is JSON other than an object.
    pub fn parse(body: &[u8]) -> Result<Self, NoEnvelope> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(NoEnvelope::Empty);
        }
        let raw: Raw = match serde_json::from_slice(body) {
            Ok(raw) => raw,
            Err(_) => return Err(NoEnvelope::of(body)),
        };
        let mut errors = infos(raw.errors);
        // `{"code":1000,"error":"not_found"}` was seen instead of an envelope.
        if raw.success.is_none() && errors.is_empty() && (raw.code.is_some() || raw.error.is_some()) {
            let message = raw.error.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            let code = raw.code.as_ref().map(code).unwrap_or_default();
            errors.push(ResponseInfo { code, message, ..ResponseInfo::default() });
        }
        Ok(Self {
            success: raw.success.as_ref().and_then(Value::as_bool),
            errors,
            messages: infos(raw.messages),
            result_info: raw.result_info.and_then(|value| ResultInfo::deserialize(value).ok()),
            result: raw.result,
        })
    }

    /// The `result` as the API wrote it, byte for byte; `null` where it is missing.
    #[must_use]
    pub fn raw_result(&self) -> &str {
        self.result.as_deref().map_or("null", RawValue::get)
    }
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    success: Option<Value>,
    #[serde(default)]
    errors: Option<Value>,
    #[serde(default)]
    messages: Option<Value>,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    result_info: Option<Value>,
    #[serde(default)]
    code: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

/// `errors` or `messages`: an array of objects by the schema; absent, null, or with strings in it in the wild.
fn infos(value: Option<Value>) -> Vec<ResponseInfo> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().filter_map(info).collect(),
        Some(single) => info(&single).into_iter().collect(),
    }
}

fn info(value: &Value) -> Option<ResponseInfo> {
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    match value {
        Value::Null => None,
        Value::Object(map) => Some(ResponseInfo {
            code: map.get("code").map(code).unwrap_or_default(),
            message: map.get("message").or_else(|| map.get("error")).and_then(text).unwrap_or_default(),
            documentation_url: map.get("documentation_url").and_then(text),
            source: map
                .get("source")
                .and_then(Value::as_object)
                .map(|source| Source { pointer: source.get("pointer").and_then(text) }),
            error_chain: infos(map.get("error_chain").cloned()),
        }),
        Value::String(message) => Some(ResponseInfo { message: message.clone(), ..ResponseInfo::default() }),
        other => Some(ResponseInfo { message: other.to_string(), ..ResponseInfo::default() }),
    }
}

/// A code: an integer by the schema; one in a string is taken too. What does not fit is 0, as if there were none.
fn code(value: &Value) -> u32 {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|code| u32::try_from(code).ok()),
    };
    number.unwrap_or_default()
}

impl ResponseInfo {
    /// Itself and everything behind it, in the order of reading.
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
    /// `Invalid request headers (code 6003): Invalid format for Authorization header (code 6111)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, info) in self.flatten().enumerate() {
            if index > 0 {
                f.write_str(": ")?;
            }
            let message = match info.message.is_empty() {
                true => "no message",
                false => info.message.as_str(),
            };
            f.write_str(&crate::text::clip(message, 500))?;
            if info.code != 0 {
                write!(f, " (code {})", info.code)?;
            }
        }
        Ok(())
    }
}

/// Why a body is not an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEnvelope {
    /// There is nothing, or only blanks.
    #[error("an empty body")]
    Empty,
    /// It looks like a page for a browser.
    #[error("HTML instead of JSON")]
    Html,
    /// It is JSON of another shape.
    #[error("JSON that is not an object")]
    OtherJson,
    /// It begins like an envelope and breaks off, or is broken.
    #[error("broken JSON ({0})")]
    Broken(String),
    /// Anything else.
    #[error("text instead of JSON")]
    Text,
}

impl NoEnvelope {
    fn of(body: &[u8]) -> Self {
        match body.trim_ascii_start().first() {
            Some(b'<') => Self::Html,
            Some(b'{') => match serde_json::from_slice::<Raw>(body) {
                Err(error) => Self::Broken(error.to_string()),
                Ok(_) => Self::Text,
            },
            _ if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => Self::OtherJson,
            _ => Self::Text,
        }
    }
}
