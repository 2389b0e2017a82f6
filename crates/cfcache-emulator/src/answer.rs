//! An answer of the API before it is serialized.

use core::fmt::Write as _;

use cfcache_model::endpoint::Sample;
use http::{HeaderName, StatusCode};

/// A status, an envelope, headers, and what a purge did.
#[derive(Debug, Clone)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    /// The headers that not every answer has.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The number of items that it purged.
    pub(crate) purged_items: u64,
}

/// An item of `errors`.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) code: u32,
    pub(crate) message: String,
    pub(crate) documentation_url: Option<&'static str>,
    pub(crate) chain: Vec<Self>,
}

impl Notice {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), documentation_url: None, chain: Vec::new() }
    }
}

impl ApiResponse {
    /// Creates a successful answer with a `result`, which is JSON.
    pub(crate) fn success(result: &str) -> Self {
        Self::new(
            StatusCode::OK,
            format!(r#"{{"result":{result},"success":true,"errors":[],"messages":[]}}"#),
        )
    }

    /// Creates a successful answer with a page of a list.
    pub(crate) fn page(result: &str, info: &str) -> Self {
        Self::new(
            StatusCode::OK,
            format!(r#"{{"result":{result},"result_info":{info},"success":true,"errors":[],"messages":[]}}"#),
        )
    }

    /// Creates a successful answer with a message. Its `type` is null in every published example.
    pub(crate) fn remark(result: &str, code: u32, message: &str) -> Self {
        let message = quote(message);
        Self::new(
            StatusCode::OK,
            format!(
                r#"{{"result":{result},"success":true,"errors":[],"messages":[{{"code":{code},"message":{message},"type":null}}]}}"#
            ),
        )
    }

    /// Creates a refusal with one error.
    pub(crate) fn refused(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self::refused_with(status, &[Notice::new(code, message)])
    }

    /// Creates a refusal with any number of errors.
    pub(crate) fn refused_with(status: StatusCode, errors: &[Notice]) -> Self {
        let mut body = String::from(r#"{"result":null,"success":false,"errors":["#);
        write_notices(&mut body, errors);
        body.push_str(r#"],"messages":[]}"#);
        Self::new(status, body)
    }

    /// Creates the answer of a sample of the model.
    pub(crate) fn sample(sample: &Sample) -> Self {
        // Every sample has a valid status; tests of the model check it.
        let status = StatusCode::from_u16(sample.status).unwrap_or(StatusCode::OK);
        Self::new(status, sample.reply.clone())
    }

    pub(crate) fn with_headers(mut self, headers: impl IntoIterator<Item = (HeaderName, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    const fn new(status: StatusCode, body: String) -> Self {
        Self { status, body, headers: Vec::new(), purged_items: 0 }
    }
}

fn write_notices(out: &mut String, notices: &[Notice]) {
    for (index, notice) in notices.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        // Writing to a string cannot fail.
        _ = write!(out, r#"{{"code":{},"message":{}"#, notice.code, quote(&notice.message));
        if let Some(page) = notice.documentation_url {
            _ = write!(out, r#","documentation_url":{}"#, quote(page));
        }
        if !notice.chain.is_empty() {
            out.push_str(r#","error_chain":["#);
            write_notices(out, &notice.chain);
            out.push(']');
        }
        out.push('}');
    }
}

/// Writes a text as JSON.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
