//! The operations of the API, one module for each.
//!
//! To add an endpoint, write a file in `endpoint/` whose first line is the method and path, with a constructor of
//! [`ApiRequest`], and add one line to `endpoints!` below. `docs/adding-an-endpoint.md` has all steps.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::target::Kind;

macro_rules! endpoints {
    ($($module:ident;)*) => {
        $(mod $module;)*
        $(pub use crate::endpoint::$module::*;)*

        /// All endpoints.
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
    zones;
    list_environments;
    verify_token;
}

/// One operation of the API, with its arguments.
pub trait Endpoint {
    /// The type of `result` in a successful response.
    type Reply: DeserializeOwned + Send;

    /// The constant properties of the endpoint.
    fn descriptor(&self) -> &'static Descriptor;

    /// The values of the path's `{…}`, in order, as they are: [`encode`] percent-encodes them.
    fn arguments(&self) -> Vec<Cow<'_, str>>;

    /// The names and values of the query string, in order, as they are: [`encode`] percent-encodes the values.
    fn query(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        Vec::new()
    }

    /// The JSON body; `None` for no body.
    fn body(&self) -> Option<String> {
        None
    }

    /// The cost of the request in the API's limits.
    fn cost(&self) -> Cost {
        Cost::Call
    }
}

/// A request with its arguments; `R` is the type of its reply.
///
/// It serves every endpoint except purge and invalidate, which have [`PurgeCache`]. Its constructors, such as
/// [`switch`](Self::switch) and [`set_cloud_region`](Self::set_cloud_region), choose the endpoint.
#[derive(Debug, Clone)]
pub struct ApiRequest<R> {
    endpoint: &'static Descriptor,
    arguments: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
    reply: PhantomData<fn() -> R>,
}

impl<R> ApiRequest<R> {
    /// Creates a request; the arguments are the values of the path's `{…}`.
    fn new<const N: usize>(endpoint: &'static Descriptor, arguments: [&str; N]) -> Self {
        let arguments = arguments.map(ToOwned::to_owned).into();
        Self { endpoint, arguments, query: Vec::new(), body: None, reply: PhantomData }
    }

    fn with_query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    fn with_json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        // Writing strings to memory cannot fail.
        self.with_body(serde_json::to_string(body).unwrap_or_default())
    }

    /// Sets the body that changes a setting.
    fn with_value<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.with_json(&BTreeMap::from([("value", value)]))
    }
}

impl<R: DeserializeOwned + Send> Endpoint for ApiRequest<R> {
    type Reply = R;

    fn descriptor(&self) -> &'static Descriptor {
        self.endpoint
    }

    fn arguments(&self) -> Vec<Cow<'_, str>> {
        self.arguments.iter().map(|argument| argument.as_str().into()).collect()
    }

    fn query(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        self.query.iter().map(|(name, value)| (*name, value.as_str().into())).collect()
    }

    fn body(&self) -> Option<String> {
        self.body.clone()
    }
}

/// The constant properties of an endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Descriptor {
    /// The unique name, such as `purge_zone_cache`.
    pub name: &'static str,
    /// What the endpoint does, in the imperative, such as `Purge files of a zone`.
    pub summary: &'static str,
    /// The method.
    pub method: Method,
    /// The path below the base URL, with `{…}` for arguments. Method and path together are unique.
    pub path: &'static str,
    /// The area of the API whose error codes apply.
    pub area: Area,
    /// Whether it may be repeated if it is unknown whether it was executed.
    pub replay: Replay,
    /// The permissions of which a token needs one, with the names of the dashboard.
    pub permission: &'static str,
    /// The plans that have the endpoint: "all plans", or a list with conditions.
    pub plans: &'static str,
    /// The documentation page.
    pub page: &'static str,
    /// Example requests and responses, from which the fixtures, the reference and tests are made. At least one succeeds
    /// and one is refused.
    pub samples: fn() -> Vec<Sample>,
}

/// An area of the API in which a code has one meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Area {
    /// Purge and invalidate.
    Purge,
    /// The cache settings of a zone: Cache Reserve, tiered caches, Variants, Development Mode.
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
    /// Reads.
    Get,
    /// Creates or starts something.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// The method as in a request.
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
    /// It may always be repeated: doing it twice has the same effect as doing it once.
    Safe,
    /// It may be repeated only if it was certainly not processed.
    UndeliveredOnly,
}

/// The cost of a request in the API's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cost {
    /// An ordinary call, which counts against the global limit.
    Call,
    /// A purge of tags, hosts, prefixes or everything: one request of the plan's bucket.
    Flexible,
    /// A purge of this many URLs.
    Urls(usize),
}

impl Cost {
    /// The cost of purging or invalidating `targets` targets of a kind in one request.
    #[must_use]
    pub const fn new(kind: Kind, targets: usize) -> Self {
        match kind {
            Kind::Files => Self::Urls(targets),
            Kind::Tags | Kind::Hosts | Kind::Prefixes => Self::Flexible,
        }
    }
}

/// A request without base URL and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parts {
    /// The method.
    pub method: Method,
    /// The path below the base URL, with the query string.
    pub path: String,
    /// The body, as `application/json`; `None` for no body.
    pub body: Option<String>,
}

/// An example request with its response; tests check them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// A name that is unique for the endpoint: `tags`, `refused_rate_limited`.
    pub name: &'static str,
    /// The request.
    pub request: Parts,
    /// The status of the response.
    pub status: u16,
    /// The body of the response.
    pub reply: String,
}

/// Encodes a request.
#[must_use]
pub fn encode<E: Endpoint>(request: &E) -> Parts {
    let mut path = String::new();
    let mut arguments = request.arguments().into_iter();
    let mut rest = request.descriptor().path;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        let argument = arguments.next();
        debug_assert!(argument.is_some(), "an argument for each `{{…}}` of `{}`", request.descriptor().path);
        percent_encode(&mut path, &argument.unwrap_or_default());
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

/// Escapes all characters except RFC 3986's unreserved ones and `:`, which is allowed in a path segment and a query.
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

/// Creates a sample.
fn sample<E: Endpoint>(name: &'static str, request: &E, status: u16, reply: impl Into<String>) -> Sample {
    Sample { name, request: encode(request), status, reply: reply.into() }
}

/// The plans of a setting for which no source names any.
const OF_ANY_PLAN: &str = "the plans that Cloudflare's documentation names";

/// The permission that the settings of a zone require.
///
/// The documentation also lists "Zone Read" and "Zone Write"; these permissions are narrower.
const fn settings_permission(method: Method) -> &'static str {
    match method {
        Method::Get => "Zone Settings Read",
        _ => "Zone Settings Write",
    }
}

/// A successful response with a `result`.
fn success(result: &str) -> String {
    alloc::format!(r#"{{"result":{result},"success":true,"errors":[],"messages":[]}}"#)
}

/// The response to a token without the permission. Since 2026-08-21 it contains the documentation page of the endpoint
/// (<https://developers.cloudflare.com/changelog/>).
fn forbidden(descriptor: &Descriptor) -> String {
    let page = descriptor.page;
    alloc::format!(
        r#"{{"result":null,"success":false,"errors":[{{"code":10000,"message":"Forbidden","documentation_url":"{page}"}}],"messages":[]}}"#
    )
}

/// A response that refuses with one error.
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
