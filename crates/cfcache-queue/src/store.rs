mod json;
mod postgres;
mod sqlite;
mod transfer;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;

use crate::request::{NewRequest, QueuedRequest};
pub(crate) use crate::store::json::millis;
pub use crate::store::postgres::{IDLE_TIMEOUT, InvalidPostgresUrl, PostgresStore, PostgresUrl};
pub use crate::store::sqlite::SqliteStore;
pub use crate::store::transfer::{MoveSummary, move_queue};

/// How long a request may wait before it is given up. A request for everything never expires.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The result of the methods of [`Store`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The storage of the queue: PostgreSQL for many machines, or one SQLite file for one machine.
///
/// Every method fails with [`StoreError`] if the database cannot be reached or refuses the operation. Unless the method
/// says otherwise, nothing was changed then. Only the clock of the database counts.
pub trait Store: fmt::Debug + Send + Sync {
    /// Stores either all of the requests or none, and returns when they are on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. If the connection broke during the commit, it is unknown whether they were stored.
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()>;

    /// Returns the groups with at least one request that may be sent now, in no particular order. Requests that another
    /// worker has claimed are included.
    ///
    /// Delayed and failed requests whose time has come become available for claims by this call, at most 5,000 at a
    /// time.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the groups cannot be read.
    fn ready_groups(&self) -> StoreFuture<'_, Vec<RequestGroup>>;

    /// Claims requests of one group, so that no other worker claims them: by highest priority, then by age, up to
    /// `limit` different targets. Each claim includes all other requests for the same targets, and all requests that
    /// they cover. Requests that another worker has claimed are skipped. Returns `None` if there are no requests.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is claimed then.
    fn claim<'a>(&'a self, group: &'a RequestGroup, limit: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>>;

    /// Takes tokens from either all of these budgets or none. Returns zero if they were taken, otherwise the time until
    /// they will be available if nobody else takes any.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the tokens may be lost then.
    fn take_tokens<'a>(&'a self, tokens: &'a [Tokens]) -> StoreFuture<'a, Duration>;

    /// Blocks these budgets for this long, because the API demanded it. They are empty afterwards. An existing longer
    /// block is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the budgets cannot be written.
    fn block_budgets<'a>(&'a self, names: &'a [String], duration: Duration) -> StoreFuture<'a, ()>;

    /// Returns the status of the queue, for the status page, metrics and the command `status`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be read.
    fn status(&self) -> StoreFuture<'_, QueueStatus>;

    /// Checks whether requests could be stored now, for readiness.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they could not.
    fn check_writable(&self) -> StoreFuture<'_, ()>;

    /// Returns the newest dead letters, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    fn dead(&self, limit: usize) -> StoreFuture<'_, Vec<DeadRequest>>;

    /// Puts dead letters back into the queue as new requests: without attempts, and with an age of zero. Returns their
    /// number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the queue cannot be written.
    fn retry_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64>;

    /// Deletes dead letters. Returns their number.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the queue cannot be written.
    fn drop_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64>;
}

/// The properties that requests must share to be sent in one API request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct RequestGroup {
    /// The zone, as written in the request: an id or a domain.
    pub zone: String,
    /// The id of an environment; `None` is the whole zone.
    pub environment: Option<String>,
    /// Purge or invalidate.
    pub action: Action,
    /// The kind of targets; `None` is everything.
    pub kind: Option<Kind>,
}

/// Requests that one worker has claimed. Dropping the claim returns them to the queue unchanged.
pub trait Claim: fmt::Debug + Send {
    /// Returns the claimed targets, at least one.
    fn requests(&self) -> &[ClaimedTarget];

    /// Renews the claim. It is called every few seconds during an API request, so that a store can take back the claim
    /// of a worker that hangs or has lost its connection.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the claim is lost: another worker may have claimed the requests.
    fn keep(&mut self) -> StoreFuture<'_, ()>;

    /// Settles each of [`requests`](Self::requests), in that order, and ends the claim, in one transaction. A store in
    /// a file deletes large numbers of accepted requests in several transactions. Returns the new dead letters.
    ///
    /// - All requests for a target get its settlement. If the attempt counts ([`Settlement::TryAgain`]), each request
    ///   is judged by its own number of attempts: with [`MAX_ATTEMPTS`](crate::engine::MAX_ATTEMPTS) it becomes a dead
    ///   letter, with fewer it is tried again.
    /// - Covered requests are removed if the target was accepted, otherwise they return to the queue unchanged.
    /// - Rows that cannot be parsed also become dead letters. A claim of only such rows has no targets and takes no
    ///   settlements.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; requests that were not removed may be sent again then.
    fn settle(self: Box<Self>, settlements: Vec<Settlement>) -> StoreFuture<'static, Vec<NewDeadLetters>>;
}

/// Requests that became dead letters for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct NewDeadLetters {
    /// The reason.
    pub reason: DeadReason,
    /// The last error of the API, or what is invalid.
    pub error: String,
    /// The number of requests.
    pub requests: u64,
}

/// A target that a worker has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct ClaimedTarget {
    /// The first request for the target.
    pub request: QueuedRequest,
    /// The highest number of attempts among the requests for the target.
    pub attempts: u32,
    /// How many other requests for the same target are claimed with it.
    pub same: u64,
    /// How many requests that the target covers are claimed with it.
    pub covered: u64,
}

impl ClaimedTarget {
    /// Creates a target of one request.
    pub(crate) const fn new(request: QueuedRequest) -> Self {
        let attempts = request.attempts;
        Self { request, attempts, same: 0, covered: 0 }
    }

    /// Adds another request for the same target, with its number of attempts.
    pub(crate) fn add_same(&mut self, attempts: u32) {
        self.attempts = self.attempts.max(attempts);
        self.same += 1;
    }
}

/// A number of tokens of one budget. A budget is a token bucket that gains one token per interval. Whoever takes tokens
/// describes the bucket, and it is created on first use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the worker makes it")]
pub struct Tokens {
    /// The name of the budget, which contains the account, the plan and what is counted.
    pub budget: String,
    /// The time until the next token.
    pub interval: Duration,
    /// The number of tokens in a full bucket.
    pub burst: u32,
    /// The number of tokens to take. A number above `burst` counts as `burst`, because the bucket never holds more.
    pub count: u32,
}

/// The result of one claimed request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores handle each")]
pub enum Settlement {
    /// The API accepted a purge that covers it. It leaves the queue.
    Accepted,
    /// It will not be sent again. It becomes a dead letter.
    Dead {
        /// The reason.
        reason: DeadReason,
        /// The last error of the API, or what is invalid.
        error: String,
    },
    /// It was not sent, or the API refused it for an unrelated reason. It returns to the queue unchanged.
    Untouched,
    /// It may have been sent, but there was no conclusive answer. It is tried again later.
    TryAgain {
        /// The time until the next attempt.
        after: Duration,
        /// The error.
        error: String,
        /// Whether the attempt counts. It does not during an outage of the API.
        counts: bool,
    },
}

/// Why a request is no longer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "users handle each")]
pub enum DeadReason {
    /// The API refused it, or it cannot be sent at all.
    Refused,
    /// It waited longer than [`MAX_AGE`].
    Expired,
    /// It was tried too many times.
    Attempts,
}

impl DeadReason {
    /// Returns the name of the reason in tables, metrics and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Attempts => "attempts",
        }
    }
}

/// A selection of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores handle each")]
pub enum DeadSelection {
    /// All dead letters.
    All,
    /// The dead letters with these ids ([`DeadRequest::id`]). Unknown ids are ignored.
    Ids(Vec<i64>),
}

/// The status of a queue.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct QueueStatus {
    /// The waiting requests by kind. Kinds without waiting requests may be missing.
    pub kinds: Vec<KindStatus>,
    /// The budgets that workers share.
    pub budgets: Vec<BudgetStatus>,
    /// The newest dead letters, at most 100.
    pub dead: Vec<DeadRequest>,
    /// The number of dead letters.
    pub dead_count: u64,
    /// The number of rows that the database has not cleaned up yet; `None` if the database has no such number.
    pub dead_tuples: Option<u64>,
    /// The age of the oldest transaction of the database, which prevents cleaning up; `None` if the database has no
    /// such value.
    pub oldest_transaction: Option<Duration>,
}

impl QueueStatus {
    /// Returns the number of waiting requests of all kinds.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.waiting).sum()
    }
}

/// The waiting requests of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct KindStatus {
    /// `everything`, `files`, `tags`, `hosts` or `prefixes`.
    pub kind: String,
    /// The number of waiting requests.
    pub waiting: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// The status of a budget.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct BudgetStatus {
    /// The name of the budget.
    pub name: String,
    /// The number of available tokens.
    pub tokens: f64,
    /// The time for which the API has blocked the budget.
    pub blocked_for: Duration,
}

/// A dead letter: a request that will not be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct DeadRequest {
    /// Its id in the queue.
    pub id: i64,
    /// The zone, as written in the request.
    pub zone: String,
    /// The id of an environment of the zone; `None` is the whole zone.
    pub environment: Option<String>,
    /// Purge or invalidate.
    pub action: Action,
    /// The kind of the subject.
    pub kind: String,
    /// The key of the subject.
    pub key: String,
    /// How many times it was sent without an answer that accepted or refused it.
    pub attempts: u32,
    /// The reason: `refused`, `expired` or `attempts`.
    pub reason: String,
    /// The last error of the API.
    pub last_error: String,
}

/// Returns the name of an action in tables and output.
const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Purge => "purge",
        Action::Invalidate => "invalidate",
    }
}

/// Parses an action in a table, which contains no other text.
fn parse_action(word: &str) -> Action {
    if word == action_word(Action::Invalidate) { Action::Invalidate } else { Action::Purge }
}

/// An operation of the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{doing}: {source}")]
pub struct StoreError {
    /// The failed operation, such as `cannot store requests`.
    pub doing: &'static str,
    /// The error of the database.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// Creates an error of an operation.
    #[must_use]
    pub fn new(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { doing, source: source.into() }
    }
}
