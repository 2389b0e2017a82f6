//! What the API can be asked, one module an operation.
//!
//! To add an endpoint: write its file in `endpoint/`, whose first line is the method and path, with a type that
//! implements [`Endpoint`]; give it one line in `endpoints!` below. `docs/adding-an-endpoint.md` has the whole recipe.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::DeserializeOwned;

use crate::target::Kind;

macro_rules! endpoints {
    ($($module:ident;)*) => {
        $(mod $module;)*
        $(pub use crate::endpoint::$module::*;)*

        /// Every endpoint there is.
        pub fn all() -> impl Iterator<Item = &'static Descriptor> {
            [$($module::ENDPOINTS,)*].into_iter().flatten().copied()
        }
    };
}

endpoints! {
    purge_cache;
    switch;
    setting;
    cache_reserve_clear;
    variants;
    cloud_regions;
    list_zones;
    get_zone;
    list_environments;
    verify_token;
}

/// One operation of the API, with its arguments.
pub trait Endpoint {
    /// What `result` holds when it succeeds.
    type Reply: DeserializeOwned + Send;

    /// What is the same for every request to it.
    fn descriptor(&self) -> &'static Descriptor;

    /// What goes into the path's `{…}`, in order; it is percent-encoded for the wire.
    fn arguments(&self) -> Vec<Cow<'_, str>>;

    /// The pairs of the query, in order; they are percent-encoded for the wire.
    fn query(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        Vec::new()
    }

    /// The JSON of the body; `None` sends none.
    fn body(&self) -> Option<String> {
        None
    }

    /// What it costs of the API's limits.
    fn cost(&self) -> Cost {
        Cost::Call
    }
}

/// What is the same for every request to an endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its name, unique: `purge_zone_cache`.
    pub name: &'static str,
    /// What it does, in the imperative: `Purge files of a zone`.
    pub summary: &'static str,
    /// The method.
    pub method: Method,
    /// The path below the base URL, with `{…}` for arguments. Unique together with the method.
    pub path: &'static str,
    /// The part of the API in which its error codes have their meaning.
    pub area: Area,
    /// Whether it may be repeated when it is not known whether it was done.
    pub replay: Replay,
    /// The permissions of a token of which it needs one, in the dashboard's words.
    pub permission: &'static str,
    /// The plans that have it: "all plans", or which and with what.
    pub plans: &'static str,
    /// The page that documents it.
    pub page: &'static str,
    /// Requests and answers: what the fixtures, the reference and the tests are made from. At least one that succeeds and
    /// one that is refused.
    pub samples: fn() -> Vec<Sample>,
}

/// A part of the API, in which a code has one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Area {
    /// Purge and invalidate.
    Purge,
    /// The settings of a zone's cache: Cache Reserve, tiered caches, Variants, Development Mode.
    Settings,
    /// Origin cloud regions.
    CloudRegions,
    /// Zones and their environments.
    Zones,
    /// Token verification.
    Token,
}

/// The methods that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// Read.
    Get,
    /// Do, or create.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl Method {
    /// The method as the wire has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether a request may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Replay {
    /// Doing it twice is the same as doing it once.
    Safe,
    /// Only when it is certain that it was not done.
    UndeliveredOnly,
}

/// What a request costs of the API's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cost {
    /// A call like any other: one of the global limit.
    Call,
    /// A purge of tags, hosts, prefixes or everything: one request of the plan's bucket.
    Flexible,
    /// A purge of so many URLs.
    Urls(usize),
}

impl Cost {
    /// Of a purge or invalidation of so many targets of a kind, in one request.
    #[must_use]
    pub const fn new(kind: Kind, targets: usize) -> Self {
        match kind {
            Kind::Files => Self::Urls(targets),
            Kind::Tags | Kind::Hosts | Kind::Prefixes => Self::Flexible,
        }
    }
}

/// A request as it goes over the wire, but for base URL and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parts {
    /// The method.
    pub method: Method,
    /// The path below the base URL, with the query.
    pub path: String,
    /// The body, `application/json`; none is sent where there is none.
    pub body: Option<String>,
}

/// A request, and what the API answers to it: documentation that is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// A name, unique for the endpoint: `tags`, `refused_rate_limited`.
    pub name: &'static str,
    /// The request.
    pub request: Parts,
    /// The status of the answer.
    pub status: u16,
    /// The body of the answer.
    pub reply: String,
}

/// Writes a request.
#[must_use]
pub fn encode<E: Endpoint>(request: &E) -> Parts {
    let mut path = String::new();
    let mut arguments = request.arguments().into_iter();
    let mut rest = request.descriptor().path;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        percent_encode(&mut path, &arguments.next().unwrap_or_default());
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    path.push_str(rest);
    for (index, (name, value)) in request.query().into_iter().enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        percent_encode(&mut path, &value);
    }
    Parts { method: request.descriptor().method, path, body: request.body() }
}

/// Escapes all but RFC 3986's unreserved characters and `:`, which a path segment and a query may hold.
fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                out.push(byte as char)
            }
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(DIGITS[usize::from(byte >> 4)] as char);
                out.push(DIGITS[usize::from(byte & 15)] as char);
            }
        }
    }
}

/// Puts a sample together.
fn sample<E: Endpoint>(name: &'static str, request: &E, status: u16, reply: impl Into<String>) -> Sample {
    Sample { name, request: encode(request), status, reply: reply.into() }
}

/// The plans of a setting for which no source here names any.
const OF_ANY_PLAN: &str = "the plans that the vendor's documentation names";

/// The permission that the settings of a zone ask for.
///
/// The documents also name "Zone Read" and "Zone Write"; these are the least that serves.
const fn settings_permission(method: Method) -> &'static str {
    match method {
        Method::Get => "Zone Settings Read",
        _ => "Zone Settings Write",
    }
}

/// An answer that succeeds, around a `result`.
fn success(result: &str) -> String {
    alloc::format!(r#"{{"result":{result},"success":true,"errors":[],"messages":[]}}"#)
}

/// An answer to a token that may not do it. Since 2026-08-21 it names the page of the endpoint that was denied
/// (<https://developers.cloudflare.com/changelog/>).
fn forbidden(descriptor: &Descriptor) -> String {
    let page = descriptor.page;
    alloc::format!(
        r#"{{"result":null,"success":false,"errors":[{{"code":10000,"message":"Forbidden","documentation_url":"{page}"}}],"messages":[]}}"#
    )
}

/// An answer that refuses, with one error.
fn refusal(code: u32, message: &str) -> String {
    alloc::format!(
        r#"{{"result":null,"success":false,"errors":[{{"code":{code},"message":"{message}"}}],"messages":[]}}"#
    )
}

/// The ids that the API's own documentation uses in its examples.
pub mod example {
    /// A zone.
    pub const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
    /// The zone's name.
    pub const ZONE_NAME: &str = "example.com";
}
