mod json;
mod postgres;
mod sqlite;
mod transfer;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;

use crate::request::{NewRequest, Request};
pub(crate) use crate::store::json::millis;
pub use crate::store::postgres::{IDLE_TIMEOUT, InvalidUrl, PostgresStore, PostgresUrl};
pub use crate::store::sqlite::SqliteStore;
pub use crate::store::transfer::{Moved, move_queue};

/// How long a request may wait before it is given up, unless it asks for everything, which never expires.
pub const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the methods of [`Store`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where requests wait. There are two: PostgreSQL for many machines, and one SQLite file for one.
///
/// Every method fails with [`StoreError`] where the database cannot be reached or refuses; nothing was changed then,
/// unless the method says otherwise. The clock of the database is the only one that counts.
pub trait Store: fmt::Debug + Send + Sync {
    /// Stores all of them or none, and returns once they are on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; whether they were stored is then unknown if the connection broke while committing.
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()>;

    /// The groups of which at least one request may be sent now, in no order that means anything. A request that another
    /// worker has taken counts as one that may.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where they cannot be read.
    fn ready_groups(&self) -> StoreFuture<'_, Vec<Group>>;

    /// Takes requests of one group, so that nobody else takes them: the highest priority first, then the oldest, up to
    /// `limit` different targets. With each go all others for the same target, and all requests that it covers. What
    /// another worker has taken is left to it. `None` where nothing is left.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is taken then.
    fn claim<'a>(&'a self, group: &'a Group, limit: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>>;

    /// Takes tokens from all of these budgets, or from none. Zero: they are taken. Otherwise how long it is until they could
    /// be, if nobody else takes any.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the tokens may be lost then.
    fn take_tokens<'a>(&'a self, tokens: &'a [Tokens]) -> StoreFuture<'a, Duration>;

    /// Lets nobody take tokens from these budgets for that long, because the API said so; they are empty then. It never
    /// shortens what another worker said.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be written.
    fn block_budgets<'a>(&'a self, names: &'a [String], duration: Duration) -> StoreFuture<'a, ()>;

    /// What waits, for the status page, metrics and the command `status`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn status(&self) -> StoreFuture<'_, Status>;

    /// Finds out whether requests could be stored now: for readiness.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where they could not.
    fn check_writable(&self) -> StoreFuture<'_, ()>;

    /// The newest dead letters, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where they cannot be read.
    fn dead(&self, limit: usize) -> StoreFuture<'_, Vec<DeadRequest>>;

    /// Puts dead letters back into the queue as new requests, with no attempts and their age counted from now. Returns how
    /// many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be written.
    fn retry_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64>;

    /// Deletes dead letters. Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be written.
    fn drop_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64>;
}

/// Requests that can go into one request to the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Group {
    /// The zone as it was given: an id or a domain.
    pub zone: String,
    /// The id of an environment; `None` is all of the zone.
    pub environment: Option<String>,
    /// Purge or invalidate.
    pub action: Action,
    /// What kind of targets; `None` is everything.
    pub kind: Option<Kind>,
}

/// Requests that one worker has taken. Dropping it gives them back untouched.
pub trait Claim: fmt::Debug + Send {
    /// What was taken: one for each target. There is at least one.
    fn requests(&self) -> &[Claimed];

    /// Says that the worker still holds the claim. It is called every few seconds while the API is waited for, so that a
    /// store can take a claim from a worker that is frozen or cut off.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the claim is lost: somebody else may have taken the requests.
    fn keep(&mut self) -> StoreFuture<'_, ()>;

    /// Says what became of each of [`requests`](Self::requests), in that order, and lets go of them, in one transaction; a
    /// file removes many that were accepted in several. Returns what became dead letters.
    ///
    /// - The others for the same target fare alike. Where an attempt counts ([`Settlement::TryAgain`]), each is judged by its
    ///   own: what was sent [`MAX_ATTEMPTS`](crate::engine::MAX_ATTEMPTS) times with this one becomes a dead letter, and what
    ///   was stored later is tried again.
    /// - What is covered is removed with an accepted request, and otherwise goes back untouched.
    /// - Rows that cannot be read become dead letters as well. A claim may hold nothing else, and then takes no settlements.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was not removed may be sent again then.
    fn settle(self: Box<Self>, settlements: Vec<Settlement>) -> StoreFuture<'static, Vec<Buried>>;
}

/// Requests that became dead letters for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Buried {
    /// Why.
    pub reason: DeadReason,
    /// What the API said last, or what is wrong.
    pub error: String,
    /// How many.
    pub requests: u64,
}

/// A target that a worker has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Claimed {
    /// The first request for it.
    pub request: Request,
    /// How often the most tried of the requests for this target was sent.
    pub attempts: u32,
    /// How many more requests for the same target are taken with it.
    pub same: u64,
    /// How many requests for what it covers are taken with it.
    pub covered: u64,
}

impl Claimed {
    /// A request that nothing is merged into yet.
    pub(crate) const fn new(request: Request) -> Self {
        let attempts = request.attempts;
        Self { request, attempts, same: 0, covered: 0 }
    }

    /// Another request for the same target, which was sent so often.
    pub(crate) fn add_same(&mut self, attempts: u32) {
        self.attempts = self.attempts.max(attempts);
        self.same += 1;
    }
}

/// Tokens of one budget. A budget is a bucket that fills by one token an interval: it is described by whoever takes from it,
/// and made when it is first named.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the worker makes it")]
pub struct Tokens {
    /// The budget's name, such as the account, the plan and what is counted.
    pub budget: String,
    /// The time in which one token comes.
    pub interval: Duration,
    /// How many tokens a full bucket holds.
    pub burst: u32,
    /// How many to take. More than `burst` can never be had; they are taken for `burst`.
    pub count: u32,
}

/// What became of one claimed request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores handle each")]
pub enum Settlement {
    /// The API accepted a purge that covers it: it leaves the queue.
    Accepted,
    /// It will not be sent any more: it goes to the dead letters.
    Dead {
        /// Why.
        reason: DeadReason,
        /// What the API said last, or what is wrong.
        error: String,
    },
    /// It was not sent, or the API refused it for a reason that has nothing to do with it: it goes back as it was.
    Untouched,
    /// It may have been sent, without an answer that says so: it is tried again later.
    TryAgain {
        /// How much later.
        after: Duration,
        /// What happened.
        error: String,
        /// Whether its attempts are counted up, and judged. They are not while the API does nothing at all.
        counts: bool,
    },
}

/// Why a request is not sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "whoever counts them handles each")]
pub enum DeadReason {
    /// The API refuses it for what it is, or it cannot be sent at all.
    Refused,
    /// It waited longer than it may.
    Expired,
    /// It was tried too often.
    Attempts,
}

impl DeadReason {
    /// The word for it in tables, metrics and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Attempts => "attempts",
        }
    }
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores handle each")]
pub enum DeadSelection {
    /// All of them.
    All,
    /// Those with these numbers ([`DeadRequest::id`]). A number that there is not selects nothing.
    Ids(Vec<i64>),
}

/// What waits in a store.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Status {
    /// By kind; a kind of which nothing waits may be missing.
    pub kinds: Vec<KindStatus>,
    /// The budgets that workers share.
    pub budgets: Vec<BudgetStatus>,
    /// The newest dead letters, at most 100.
    pub dead: Vec<DeadRequest>,
    /// How many dead letters there are.
    pub dead_count: u64,
    /// Rows that the database has yet to clean up; `None` where there is no such thing.
    pub dead_tuples: Option<u64>,
    /// How long the oldest transaction of the database is open, which keeps it from cleaning up; `None` where there is no
    /// such thing.
    pub oldest_transaction: Option<Duration>,
}

impl Status {
    /// How many requests wait, of all kinds.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.waiting).sum()
    }
}

/// What waits of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct KindStatus {
    /// `everything`, `files`, `tags`, `hosts` or `prefixes`.
    pub kind: String,
    /// How many requests wait.
    pub waiting: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// One budget row: a bucket of an account and plan.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct BudgetStatus {
    /// Its name.
    pub name: String,
    /// How many tokens could be taken now.
    pub tokens: f64,
    /// For how long nothing goes out, because the API said so.
    pub blocked_for: Duration,
}

/// A request that will not be sent any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct DeadRequest {
    /// The number that it had in the queue.
    pub id: i64,
    /// The zone, as it was given.
    pub zone: String,
    /// The id of an environment of the zone; `None` is all of the zone.
    pub environment: Option<String>,
    /// Purge or invalidate.
    pub action: Action,
    /// What was asked for, as `kind` and `key`.
    pub kind: String,
    /// See `kind`.
    pub key: String,
    /// How often it was sent without the API saying that it accepted or refused it.
    pub attempts: u32,
    /// Why: `refused`, `expired` or `attempts`.
    pub reason: String,
    /// What the API said last.
    pub last_error: String,
}

/// The word for an action in tables and output.
const fn action_word(action: Action) -> &'static str {
    match action {
        Action::Purge => "purge",
        Action::Invalidate => "invalidate",
    }
}

/// The action of a word in a table, which has no other.
fn action_of(word: &str) -> Action {
    if word == action_word(Action::Invalidate) { Action::Invalidate } else { Action::Purge }
}

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{doing}: {source}")]
pub struct StoreError {
    /// What was being done, such as `cannot store requests`.
    pub doing: &'static str,
    /// What the database said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreError {
    /// An error of a database, and what it kept from being done.
    #[must_use]
    pub fn new(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { doing, source: source.into() }
    }
}
