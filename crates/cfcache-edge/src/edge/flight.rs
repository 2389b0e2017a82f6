//! A fetch in progress.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};

use crate::answer::Status;
use crate::decide::{Terms, Variation};
use crate::entry::StoredResponse;
use crate::key::Key;
use crate::rule::Effects;
use crate::settings::VisitorInfo;

/// A fetch in progress.
#[derive(Debug)]
pub(super) struct Flight {
    /// The number of its ticket; later fetches have higher numbers.
    pub(super) number: u64,
    /// The visitor's request.
    pub(super) request: Request<()>,
    pub(super) visitor: VisitorInfo,
    pub(super) ray: u64,
    /// The number of purges when it started.
    pub(super) began: u64,
    pub(super) route: Purpose,
}

/// What happens to the response.
#[derive(Debug)]
pub(super) enum Purpose {
    /// It bypasses the cache for this reason.
    Dynamic(String),
    /// It is stored, if allowed.
    Fill(Box<Fill>),
}

#[derive(Debug)]
pub(super) struct Fill {
    pub(super) key: Arc<str>,
    /// The position of the URL in the key.
    pub(super) place: (u32, u32),
    /// Whether a purge left the key in the lower tier.
    pub(super) was_purged: bool,
    pub(super) effects: Effects,
    pub(super) environment: Option<Arc<str>>,
    /// The stored object that is not fresh.
    pub(super) stale: Option<Arc<StoredResponse>>,
    /// Whether its visitor was already answered.
    pub(super) for_nobody: bool,
    /// The headers, while the body is awaited.
    pub(super) pending: Option<ReceivedHead>,
}

#[derive(Debug)]
pub(super) struct ReceivedHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) terms: Terms,
    pub(super) variation: Variation,
    pub(super) variant: String,
}

impl Fill {
    pub(super) fn new(
        key: Key,
        effects: Effects,
        environment: Option<Arc<str>>,
        stale: Option<Arc<StoredResponse>>,
    ) -> Self {
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let place = (bound(key.place.0), bound(key.place.1));
        let (key, was_purged) = (key.text.into(), false);
        Self { key, place, was_purged, effects, environment, stale, for_nobody: false, pending: None }
    }

    /// The cache status if the origin's response is stored.
    pub(super) const fn status(&self) -> Status {
        if self.stale.is_some() || self.was_purged { Status::Expired } else { Status::Miss }
    }
}
