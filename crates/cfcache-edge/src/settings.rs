//! What a zone's cache is set to.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::SystemTime;

use cfcache_model::Plan;

use crate::rule::{Expression, Rules};

/// What a zone's cache is set to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The name of the zone: a domain. It stands in the key as it is written.
    pub zone: String,
    /// The plan, which decides over Origin Cache Control: always on below Enterprise, off there unless a rule has it.
    pub plan: Plan,
    /// Is the origin asked by `https`? The scheme towards it is in the key, the visitor's is not.
    pub origin_is_https: bool,
    /// Cache rules.
    pub rules: Rules,
    /// What a query string means.
    pub cache_level: CacheLevel,
    /// Are the parts of a query string sorted for the key?
    pub sort_query: bool,
    /// How long a browser keeps a cacheable answer that says nothing about it; `None` leaves answers as they are.
    pub browser_ttl: Option<Duration>,
    /// When development mode was turned on, if it is on; it ends by itself after three hours.
    pub development_mode: Option<SystemTime>,
    /// Is Tiered Cache on?
    pub tiered_cache: bool,
    /// Is Always Online on?
    pub always_online: bool,
    /// For some file extensions, the types that may be served for them; empty is off.
    pub variants: BTreeMap<String, Vec<String>>,
    /// Is Cache Reserve on?
    pub cache_reserve: bool,
    /// Environments, in the order in which they are tried. One whose expression is empty is production, wherever it
    /// stands: what fits no other one.
    pub environments: Vec<Environment>,
    /// The largest body that is kept, in bytes. Cloudflare's is 512 MB, or 5 GB on Enterprise.
    pub max_object: u64,
    /// How many bytes all objects may take together. What does not fit is answered with BYPASS; nothing is evicted.
    pub max_memory: u64,
    /// How long a request waits for another one that fetches the same object, before it asks the origin itself.
    pub lock_timeout: Duration,
}

/// What a query string means for the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "the API has these three")]
pub enum CacheLevel {
    /// "No query string": what has one is not cached.
    Basic,
    /// "Ignore query string": for the default extensions, it is not in the key.
    Simplified,
    /// "Standard": each query string is an object of its own.
    #[default]
    Aggressive,
}

/// An environment: a version of the zone's settings for some requests, with a cache of its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Environment {
    /// Its id, which the API calls `ref`.
    pub id: String,
    /// Which requests belong to it.
    pub expression: Expression,
}

/// What is known of a visitor besides the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Visitor {
    /// The address.
    pub address: Option<IpAddr>,
    /// The country, as ISO 3166-1 has it.
    pub country: Option<String>,
}

impl Settings {
    /// What a new zone on Enterprise has, without a rule.
    #[must_use]
    pub fn new(zone: impl Into<String>) -> Self {
        Self {
            zone: zone.into(),
            plan: Plan::Enterprise,
            origin_is_https: true,
            rules: Rules::default(),
            cache_level: CacheLevel::default(),
            sort_query: false,
            browser_ttl: Some(Duration::from_secs(4 * 60 * 60)),
            development_mode: None,
            tiered_cache: false,
            always_online: false,
            variants: BTreeMap::new(),
            cache_reserve: false,
            environments: Vec::new(),
            max_object: 64 << 20,
            max_memory: 1 << 30,
            lock_timeout: Duration::from_secs(10),
        }
    }
}

impl Environment {
    /// An environment for the requests that fit an expression.
    #[must_use]
    pub fn new(id: impl Into<String>, expression: Expression) -> Self {
        Self { id: id.into(), expression }
    }

    pub(crate) fn is_production(&self) -> bool {
        self.expression.as_str().trim().is_empty()
    }
}

impl Visitor {
    /// A visitor from there.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        Self { address: Some(address), country: None }
    }

    /// Names the country.
    #[must_use]
    pub fn with_country(mut self, country: impl Into<String>) -> Self {
        self.country = Some(country.into());
        self
    }
}
