//! What is purged, and what that removed.

use cfcache_model::endpoint::Action;

use crate::store::Removed;

/// A purge or an invalidation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purge {
    /// Remove, or mark stale.
    pub action: Action,
    /// The id of the environment; `None` is production.
    pub environment: Option<String>,
    /// What.
    pub scope: Scope,
}

/// What a purge covers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Everything. In production: of all environments.
    Everything,
    /// Single files.
    Files(Vec<File>),
    /// What has one of these tags, in whatever case.
    Tags(Vec<String>),
    /// What is on one of these hosts.
    Hosts(Vec<String>),
    /// What begins with one of these.
    Prefixes(Vec<String>),
}

/// A file, by URL and the headers of its cache key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// The URL, as it was sent.
    pub url: String,
    /// The headers, by name.
    pub headers: Vec<(String, String)>,
}

/// What a purge did. Dropping it may free what was removed, which takes a while for many objects.
#[derive(Debug)]
#[non_exhaustive]
pub struct Purged {
    /// How many objects were removed or marked stale.
    pub objects: usize,
    removed: Option<Removed>,
}

/// Where a purge has effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In all environments.
    All,
    /// In one; none is production.
    In(Option<String>),
}

impl Reach {
    pub(crate) fn includes(&self, environment: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::In(own) => own.as_deref() == environment,
        }
    }

    /// The environment in whose keys files are looked for.
    pub(crate) fn environment(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::In(own) => own.as_deref(),
        }
    }
}

impl Purge {
    /// A purge of that, in production.
    #[must_use]
    pub const fn new(scope: Scope) -> Self {
        Self { action: Action::Purge, environment: None, scope }
    }

    /// Marks stale, instead of removing.
    #[must_use]
    pub const fn with_action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// Covers one environment, by its id.
    #[must_use]
    pub fn with_environment(mut self, id: Option<String>) -> Self {
        self.environment = id;
        self
    }
}

impl Purged {
    pub(crate) const fn invalidated(objects: usize) -> Self {
        Self { objects, removed: None }
    }

    pub(crate) const fn removed(removed: Removed) -> Self {
        Self { objects: removed.objects, removed: Some(removed) }
    }

    /// The URLs of what was removed, as their keys have them: at most 100 of them, and none of an invalidation.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.removed.iter().flat_map(|removed| &removed.shown).map(|entry| entry.url())
    }
}

impl Scope {
    /// Returns how many items it names; everything is no item.
    #[must_use]
    pub const fn item_count(&self) -> usize {
        match self {
            Self::Everything => 0,
            Self::Files(files) => files.len(),
            Self::Tags(items) | Self::Hosts(items) | Self::Prefixes(items) => items.len(),
        }
    }
}

impl File {
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
