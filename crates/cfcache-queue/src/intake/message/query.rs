//! The query parameters for the entries of an `application/x-ndjson` body.

use std::time::Duration;

use cfcache_model::Kind;
use cfcache_model::text::{CLIP_CHARS, clip, quote};
use percent_encoding::percent_decode_str;

use crate::intake::message::{Problems, delay};

/// The parameters of a URL.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) zone: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) action: Option<String>,
    pub(super) priority: i16,
    pub(super) delay: Duration,
    pub(super) kind: Kind,
}

impl Query {
    /// Parses the parameters. If the body is not `application/x-ndjson`, the only parameter is `source`.
    pub(super) fn read(query: Option<&str>, is_for_lines: bool, problems: &mut Problems) -> Self {
        let mut read = Self {
            zone: None,
            environment: None,
            action: None,
            priority: 0,
            delay: Duration::ZERO,
            kind: Kind::Files,
        };
        let mut names = Vec::new();
        for (name, value) in parameters(query) {
            let at = format!("query, `{}`", clip(&name, CLIP_CHARS));
            if names.contains(&name) {
                problems.add(&at, "it is given twice");
            }
            match name.as_str() {
                "source" => {}
                "zone" | "environment" | "action" | "priority" | "delay" | "kind" if !is_for_lines => {
                    problems.add(&at, "it is for `application/x-ndjson`; here it is a field of the body");
                }
                "zone" => read.zone = Some(value),
                "environment" => read.environment = Some(value),
                "action" => read.action = Some(value),
                "priority" => match value.parse() {
                    Ok(priority) => read.priority = priority,
                    Err(_) => problems.add(&at, "it must be a whole number from -32768 to 32767"),
                },
                "delay" => match delay(&value) {
                    Ok(delay) => read.delay = delay,
                    Err(message) => problems.add(&at, message),
                },
                "kind" => match value.parse() {
                    Ok(kind) => read.kind = kind,
                    Err(_) => {
                        let message = "and must be `urls`, `tags`, `hosts` or `prefixes`";
                        problems.add(&at, format!("it is {}, {message}", quote(&value)));
                    }
                },
                _ => problems.add(&at, "there is no such parameter"),
            }
            names.push(name);
        }
        read
    }
}

/// Returns the source that a URL names.
pub(super) fn source(query: Option<&str>) -> Option<String> {
    parameters(query).find_map(|(name, value)| (name == "source").then_some(value))
}

/// Returns the pairs of a query. Invalid UTF-8 is replaced, and so matches nothing.
fn parameters(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}
