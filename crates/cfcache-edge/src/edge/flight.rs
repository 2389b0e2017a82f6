//! A fetch under way.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};

use crate::answer::Status;
use crate::decide::{Terms, Variation};
use crate::entry::Entry;
use crate::rule::Effects;
use crate::settings::Visitor;

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Flight {
    /// The number of its ticket; one that began later has a higher one.
    pub(super) number: u64,
    /// The visitor's request.
    pub(super) request: Request<()>,
    pub(super) visitor: Visitor,
    pub(super) ray: u64,
    /// How many purges there had been when it began.
    pub(super) began: u64,
    pub(super) route: Route,
}

/// Which way the answer goes.
#[derive(Debug)]
pub(super) enum Route {
    /// Past the cache, for this reason.
    Dynamic(String),
    /// Into the cache, if it may.
    Fill(Box<Fill>),
}

#[derive(Debug)]
pub(super) struct Fill {
    pub(super) key: FillKey,
    pub(super) effects: Effects,
    pub(super) environment: Option<Arc<str>>,
    /// What was there, and is not fresh.
    pub(super) stale: Option<Arc<Entry>>,
    /// Its visitor was answered already.
    pub(super) for_nobody: bool,
    /// The head, once it is there and the body is waited for.
    pub(super) pending: Option<Pending>,
}

#[derive(Debug)]
pub(super) struct FillKey {
    pub(super) text: Arc<str>,
    pub(super) place: (u32, u32),
    /// A purge left a trace of it in the lower tier.
    pub(super) was_purged: bool,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) terms: Terms,
    pub(super) variation: Variation,
    pub(super) variant: String,
}

impl Fill {
    /// What the cache did where the origin's answer is stored.
    pub(super) const fn status(&self) -> Status {
        if self.stale.is_some() || self.key.was_purged { Status::Expired } else { Status::Miss }
    }
}
