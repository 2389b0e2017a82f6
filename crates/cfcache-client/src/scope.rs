//! The scope of a purge.

use core::ops::Range;
use core::time::Duration;

use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::plan::{BatchLimits, Dedupe};
use cfcache_model::target::Kind;

use crate::entry_ranges::EntryRanges;

/// What entries are purged: the action, the zone, and the kind of the entries. A job has one or more scopes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PurgeScope {
    /// Purge or invalidate.
    pub action: Action,
    /// The zone.
    pub zone: ZoneId,
    /// An environment of the zone; `None` for the whole zone.
    pub environment: Option<EnvironmentId>,
    /// The kind of all entries.
    pub kind: Kind,
    /// The maximum size of a request.
    pub limits: BatchLimits,
    /// How long an entry waits for others to fill its batch, if there is no further input and the request could be sent
    /// (default: 1 s). `None` waits until the input ends.
    pub patience: Option<Duration>,
    /// The range in which duplicates are detected (default: the whole input).
    pub dedupe: Dedupe,
    /// Entries that were accepted before; they are counted as skipped and not sent.
    pub accepted: EntryRanges,
}

impl PurgeScope {
    /// Creates a scope for entries of `kind` on a zone.
    #[must_use]
    pub const fn new(action: Action, zone: ZoneId, kind: Kind, limits: BatchLimits) -> Self {
        Self {
            action,
            zone,
            environment: None,
            kind,
            limits,
            patience: Some(Duration::from_secs(1)),
            dedupe: Dedupe::WholeInput,
            accepted: EntryRanges::new(),
        }
    }

    /// Restricts the scope to an environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Option<EnvironmentId>) -> Self {
        self.environment = environment;
        self
    }

    /// Sets how long a batch waits to be filled; `None` waits until the input ends.
    #[must_use]
    pub const fn with_patience(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the range in which duplicates are detected.
    #[must_use]
    pub const fn with_dedupe(mut self, dedupe: Dedupe) -> Self {
        self.dedupe = dedupe;
        self
    }

    /// Skips entries that were accepted by an earlier run over the same input, identified by their ordinals.
    ///
    /// With [`Dedupe::WholeInput`], an entry can also be a duplicate of a skipped one.
    #[must_use]
    pub fn with_accepted(mut self, accepted: impl IntoIterator<Item = Range<u64>>) -> Self {
        self.accepted.extend(accepted);
        self
    }

    /// The request for a body in this scope.
    #[must_use]
    pub const fn request<'a>(&'a self, body: &'a PurgeBody) -> PurgeCache<'a> {
        let request = PurgeCache::new(self.action, &self.zone, body);
        match &self.environment {
            Some(environment) => request.with_environment(environment),
            None => request,
        }
    }
}
