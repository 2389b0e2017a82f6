//! What a run is made of.

use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::target::Kind;
use futures_core::Stream;

use crate::entry_ranges::EntryRanges;

/// A run: what to do to a stream of targets of one kind.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PurgeScope {
    /// Purge or invalidate.
    pub action: Action,
    /// The zone.
    pub zone: ZoneId,
    /// One environment of it; `None` is the zone.
    pub environment: Option<EnvironmentId>,
    /// The kind of all targets.
    pub kind: Kind,
    /// How large a request may be.
    pub caps: BatchLimits,
    /// How long an entry waits for others to fill a batch with it, while the input keeps it waiting and the request could
    /// be sent; a second, unless it is changed. `None` is until the input ends.
    pub patience: Option<Duration>,
    /// Entries that were accepted before, which are counted as skipped and not sent.
    pub accepted: EntryRanges,
}

impl PurgeScope {
    /// A run over targets of `kind` on a zone.
    #[must_use]
    pub const fn new(action: Action, zone: ZoneId, kind: Kind, caps: BatchLimits) -> Self {
        let patience = Some(Duration::from_secs(1));
        Self { action, zone, environment: None, kind, caps, patience, accepted: EntryRanges::new() }
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

    /// Leaves out entries that were accepted before, by their ordinals: an earlier run over the same input, which a
    /// journal remembers.
    ///
    /// An entry that is a duplicate is still one, also of an entry that is left out.
    #[must_use]
    pub fn with_accepted(mut self, accepted: impl IntoIterator<Item = Range<u64>>) -> Self {
        self.accepted.extend(accepted);
        self
    }

    /// The request for a body of this run.
    #[must_use]
    pub const fn request<'a>(&'a self, body: &'a PurgeBody) -> PurgeCache<'a> {
        let request = PurgeCache::new(self.action, &self.zone, body);
        match &self.environment {
            Some(environment) => request.with_environment(environment),
            None => request,
        }
    }
}

/// Makes the input of a [`Client::run`](crate::Client::run) of something at hand.
///
/// - What comes back is a [`Stream`] of `futures-core` 0.3, the one that `futures` and `tokio-stream` have too.
/// - The iterator is asked for as many as make a request, and asked again when those are on their way. It may not block:
///   what has to be waited for is a stream of its own, of which [`Client::run`](crate::Client::run) has an example.
pub fn entries<I>(targets: I) -> impl Stream<Item = Vec<Entry>>
where
    I: IntoIterator<Item: Into<Entry>, IntoIter: Unpin>,
{
    Chunks(targets.into_iter())
}

/// How many entries of an iterator go on together: as many as make a request, most often.
const CHUNK: usize = 100;

struct Chunks<I>(I);

impl<I> Stream for Chunks<I>
where
    I: Iterator<Item: Into<Entry>> + Unpin,
{
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        // An iterator need not know how much is left of it.
        let mut chunk: Vec<Entry> = Vec::with_capacity(CHUNK);
        chunk.extend(self.0.by_ref().take(CHUNK).map(Into::into));
        Poll::Ready((!chunk.is_empty()).then_some(chunk))
    }
}
