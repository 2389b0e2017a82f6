//! The settings of a zone's cache.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::SystemTime;

use cfcache_model::Plan;
use cfcache_model::endpoint::CacheLevel;

use crate::rule::{CacheRules, Expression};

/// The settings of a zone's cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheSettings {
    /// The name of the zone, a domain. It is part of the key as written.
    pub zone: String,
    /// The plan, which decides about Origin Cache Control: always on below Enterprise, otherwise off unless a rule
    /// enables it.
    pub plan: Plan,
    /// Whether requests to the origin use `https`. The key contains this scheme, not the visitor's.
    pub origin_is_https: bool,
    /// Cache rules.
    pub rules: CacheRules,
    /// The effect of a query string. With [`CacheLevel::Simplified`], it is not in the key of files with a default
    /// extension.
    pub cache_level: CacheLevel,
    /// Whether the parts of a query string are sorted for the key.
    pub sort_query: bool,
    /// How long browsers keep a cacheable response that does not say so itself; `None` does not change responses.
    pub browser_ttl: Option<Duration>,
    /// When development mode was turned on, if it is on; it ends after three hours.
    pub development_mode: Option<SystemTime>,
    /// Whether Tiered Cache is on.
    pub tiered_cache: bool,
    /// Whether Always Online is on.
    pub always_online: bool,
    /// The types that may be served for file extensions; empty means off.
    pub variants: BTreeMap<String, Vec<String>>,
    /// Whether Cache Reserve is on.
    pub cache_reserve: bool,
    /// Environments, in the order in which they are matched. One with an empty expression is production, wherever it is
    /// in the list: it has the requests that match no other one.
    pub environments: Vec<CacheEnvironment>,
    /// The maximum size of a body that is kept, in bytes. Cloudflare's limit is 512 MB, or 5 GB on Enterprise.
    pub max_object: u64,
    /// The maximum memory of all objects in bytes. Responses that do not fit are answered with BYPASS; nothing is
    /// evicted.
    pub max_memory: u64,
    /// How long a request waits for another one that fetches the same object, before it is sent to the origin.
    pub lock_timeout: Duration,
}

/// An environment: a version of the zone's settings for some requests, with its own cache.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheEnvironment {
    /// Its id, which the API calls `ref`.
    pub id: String,
    /// The expression that selects its requests.
    pub expression: Expression,
}

/// Facts about a visitor that are not in the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VisitorInfo {
    /// The address.
    pub address: Option<IpAddr>,
    /// The country, as an ISO 3166-1 code.
    pub country: Option<String>,
}

impl CacheSettings {
    /// The settings of a new zone on Enterprise, without rules.
    #[must_use]
    pub fn new(zone: impl Into<String>) -> Self {
        Self {
            zone: zone.into(),
            plan: Plan::Enterprise,
            origin_is_https: true,
            rules: CacheRules::default(),
            cache_level: CacheLevel::Aggressive,
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

impl CacheEnvironment {
    /// An environment for the requests that match an expression.
    #[must_use]
    pub fn new(id: impl Into<String>, expression: Expression) -> Self {
        Self { id: id.into(), expression }
    }

    pub(crate) fn is_production(&self) -> bool {
        self.expression.as_str().trim().is_empty()
    }
}

impl VisitorInfo {
    /// A visitor with that address.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        Self { address: Some(address), country: None }
    }

    /// Sets the country.
    #[must_use]
    pub fn with_country(mut self, country: impl Into<String>) -> Self {
        self.country = Some(country.into());
        self
    }
}
