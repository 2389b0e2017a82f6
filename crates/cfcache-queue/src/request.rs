use std::borrow::Cow;
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::target::{InvalidTarget, Kind, Target};

/// What a request asks to have purged or invalidated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every file of the zone or environment.
    Everything,
    /// One URL, tag, host or prefix.
    Target(Target),
}

impl Subject {
    /// The name of its kind in the queue: `everything`, or the field of the API's body (`files`, `tags`, `hosts`,
    /// `prefixes`).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Target(target) => target.kind().field(),
        }
    }

    /// The text that two requests for the same thing have in common. It is empty for everything.
    #[must_use]
    pub fn key(&self) -> Cow<'_, str> {
        match self {
            Self::Everything => Cow::Borrowed(""),
            Self::Target(target) => target.text(),
        }
    }

    /// Reads what [`kind`](Self::kind) and [`key`](Self::key) wrote.
    ///
    /// # Errors
    ///
    /// `None` where there is no such kind, [`InvalidTarget`] where the key is none of that kind.
    pub fn parse(kind: &str, key: &str) -> Option<Result<Self, InvalidTarget>> {
        if kind == "everything" {
            return Some(Ok(Self::Everything));
        }
        let kind = Kind::ALL.iter().find(|known| known.field() == kind)?;
        Some(Target::parse(*kind, key).map(Self::Target))
    }
}

/// A request as a producer makes it, before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "producers make it")]
pub struct NewRequest {
    /// The zone: its id, or its domain in lower case (`xn--` form).
    pub zone: String,
    /// The id of an environment of the zone; without it, all of the zone.
    pub environment: Option<String>,
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// What.
    pub subject: Subject,
    /// Requests of a higher priority are sent first, among those of one kind. 0 is the usual one.
    pub priority: i16,
    /// How long to wait before it may be sent.
    pub delay: Duration,
    /// Who asked for it: the `source` of a CloudEvent, or the name of the intake's source.
    pub source: Option<String>,
    /// The `id` of the event that it came in, to follow it; requests are not told apart by it.
    pub event: Option<String>,
}

/// A request that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The store's number for it. Later requests have higher numbers, but may be committed earlier.
    pub id: i64,
    /// What was asked for.
    pub request: NewRequest,
    /// How long it has waited since it was stored, by the store's clock.
    pub age: Duration,
    /// How often it was sent without the API saying that it accepted or refused it.
    pub attempts: u32,
    /// Whether it has waited longer than it may ([`MAX_AGE`](crate::MAX_AGE)).
    pub is_expired: bool,
}

impl Request {
    /// A request as a store read it.
    #[must_use]
    pub const fn new(id: i64, request: NewRequest, age: Duration, attempts: u32, is_expired: bool) -> Self {
        Self { id, request, age, attempts, is_expired }
    }
}
