//! What a purge is for.

use core::ops::Range;
use core::time::Duration;

use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::plan::{BatchLimits, Dedupe};
use cfcache_model::target::Kind;

use crate::entry_ranges::EntryRanges;

/// What is done where, to entries of one kind. A job has one or several.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PurgeScope {
    /// Purge or invalidate.
    pub action: Action,
    /// The zone.
    pub zone: ZoneId,
    /// One environment of it; `None` is the zone.
    pub environment: Option<EnvironmentId>,
    /// The kind of all entries.
    pub kind: Kind,
    /// How large a request may be.
    pub limits: BatchLimits,
    /// How long an entry waits for others to fill a batch with it, while the input keeps it waiting and the request could
    /// be sent; a second, unless it is changed. `None` is until the input ends.
    pub patience: Option<Duration>,
    /// How far back duplicates are looked for: over the whole input, unless it is changed.
    pub dedupe: Dedupe,
    /// Entries that were accepted before, which are counted as skipped and not sent.
    pub accepted: EntryRanges,
}

impl PurgeScope {
    /// A scope for entries of `kind` on a zone.
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

    /// Restricts it to an environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Option<EnvironmentId>) -> Self {
        self.environment = environment;
        self
    }

    /// Waits so long for a batch to fill, or until the input ends.
    #[must_use]
    pub const fn with_patience(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }

    /// Looks for duplicates as far back as that.
    #[must_use]
    pub const fn with_dedupe(mut self, dedupe: Dedupe) -> Self {
        self.dedupe = dedupe;
        self
    }

    /// Leaves out entries that were accepted before, by their ordinals: an earlier run over the same input, which a
    /// journal remembers.
    ///
    /// With [`Dedupe::WholeInput`] an entry that is a duplicate is still one, also of an entry that is left out.
    #[must_use]
    pub fn with_accepted(mut self, accepted: impl IntoIterator<Item = Range<u64>>) -> Self {
        self.accepted.extend(accepted);
        self
    }

    /// The request for a body of this scope.
    #[must_use]
    pub const fn request<'a>(&'a self, body: &'a PurgeBody) -> PurgeCache<'a> {
        let request = PurgeCache::new(self.action, &self.zone, body);
        match &self.environment {
            Some(environment) => request.with_environment(environment),
            None => request,
        }
    }
}
