//! Purges and their results.

use cfcache_model::endpoint::Action;

use std::sync::Arc;

use crate::entry::StoredResponse;
use crate::store::CacheStore;

/// A purge or an invalidation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purge {
    /// Whether to remove or to mark as stale.
    pub action: Action,
    /// The id of the environment; `None` is production.
    pub environment: Option<String>,
    /// What to purge.
    pub items: PurgeItems,
}

/// The items of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeItems {
    /// Everything. For production, this includes all environments.
    Everything,
    /// Single files.
    Files(Vec<PurgeFile>),
    /// Objects with one of these tags; case-insensitive.
    Tags(Vec<String>),
    /// Objects of one of these hosts.
    Hosts(Vec<String>),
    /// Objects whose host and path begin with one of these.
    Prefixes(Vec<String>),
}

/// A file, by URL and the headers of its cache key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeFile {
    /// The URL as sent.
    pub url: String,
    /// The headers, by name.
    pub headers: Vec<(String, String)>,
}

/// The result of a purge. Dropping it may free the removed objects, which takes time if there are many.
#[derive(Debug)]
#[non_exhaustive]
pub struct PurgeEffect {
    /// The number of objects that were removed or marked as stale.
    pub objects: usize,
    /// Some of the removed objects; none for an invalidation.
    pub(crate) shown: Vec<Arc<StoredResponse>>,
    /// All removed objects with their indexes, if nothing was left.
    pub(crate) _indexes: Option<Box<CacheStore>>,
}

/// The environments that a purge affects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All environments.
    All,
    /// One environment; `None` for production.
    In(Option<String>),
}

impl Reach {
    pub(crate) fn includes(&self, environment: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::In(own) => own.as_deref() == environment,
        }
    }

    /// The environment in whose keys files are looked up.
    pub(crate) fn environment(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::In(own) => own.as_deref(),
        }
    }
}

impl Purge {
    /// Creates a purge in production.
    #[must_use]
    pub const fn new(items: PurgeItems) -> Self {
        Self { action: Action::Purge, environment: None, items }
    }

    /// Marks objects as stale instead of removing them.
    #[must_use]
    pub const fn with_action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// Restricts it to one environment, by its id.
    #[must_use]
    pub fn with_environment(mut self, id: Option<String>) -> Self {
        self.environment = id;
        self
    }
}

impl PurgeEffect {
    pub(crate) const fn invalidated(objects: usize) -> Self {
        Self { objects, shown: Vec::new(), _indexes: None }
    }

    /// The URLs of removed objects, as in their keys: at most 100, and none for an invalidation.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.shown.iter().map(|object| object.url())
    }
}

impl PurgeItems {
    /// The number of items; everything is not an item.
    #[must_use]
    pub const fn item_count(&self) -> usize {
        match self {
            Self::Everything => 0,
            Self::Files(files) => files.len(),
            Self::Tags(items) | Self::Hosts(items) | Self::Prefixes(items) => items.len(),
        }
    }
}

impl PurgeFile {
    /// A file whose key has no headers.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new() }
    }

    /// Adds a header of the key.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
