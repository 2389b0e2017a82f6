use std::borrow::Cow;
use std::time::Duration;

use cfcache_model::InvalidInput;
use cfcache_model::endpoint::Action;
use cfcache_model::target::{Kind, Target};

/// The subject of a request: what to purge or invalidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Every file of the zone or environment.
    Everything,
    /// One URL, tag, host or prefix.
    Target(Target),
}

impl Subject {
    /// Returns the name of its kind in the queue: `everything`, or the field in the API's body (`files`, `tags`,
    /// `hosts`, `prefixes`).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Target(target) => target.kind().field(),
        }
    }

    /// Returns the text of the target. It is empty for everything.
    #[must_use]
    pub fn key(&self) -> Cow<'_, str> {
        match self {
            Self::Everything => Cow::Borrowed(""),
            Self::Target(target) => target.text(),
        }
    }

    /// Parses the values of [`kind`](Self::kind) and [`key`](Self::key). Returns `None` if there is no such kind.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the key is not a valid target of that kind.
    pub fn parse(kind: &str, key: &str) -> Option<Result<Self, InvalidInput>> {
        if kind == "everything" {
            return Some(Ok(Self::Everything));
        }
        let kind = Kind::ALL.iter().find(|known| known.field() == kind)?;
        Some(Target::parse(*kind, key).map(Self::Target))
    }
}

/// A request from a producer, before it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "producers make it")]
pub struct NewRequest {
    /// The zone: its id, or its domain in lower case (`xn--` form).
    pub zone: String,
    /// The id of an environment of the zone; `None` is the whole zone.
    pub environment: Option<String>,
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// What to purge or invalidate.
    pub subject: Subject,
    /// The priority. Within one kind, requests with a higher priority are sent first. The default is 0.
    pub priority: i16,
    /// How long to wait before sending.
    pub delay: Duration,
    /// Who asked for it: the `source` of a CloudEvent, or the name of the intake's source.
    pub source: Option<String>,
    /// The `id` of the event that contained it, for tracing. It is not used to compare requests.
    pub event: Option<String>,
}

/// A stored request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedRequest {
    /// Its id in the store. Later requests have higher ids, but may be committed earlier.
    pub id: i64,
    /// The request of the producer.
    pub request: NewRequest,
    /// How long it has waited since it was stored, by the store's clock.
    pub age: Duration,
    /// How many times it was sent without an answer that accepted or refused it.
    pub attempts: u32,
    /// Whether it has waited longer than [`MAX_AGE`](crate::MAX_AGE).
    pub is_expired: bool,
}

impl QueuedRequest {
    /// Creates a request from the values in a store.
    #[must_use]
    pub const fn new(id: i64, request: NewRequest, age: Duration, attempts: u32, is_expired: bool) -> Self {
        Self { id, request, age, attempts, is_expired }
    }
}
