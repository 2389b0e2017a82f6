use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use crate::request::{NewRequest, Request};

/// What the methods of [`Store`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where requests wait. There are two: PostgreSQL for many machines, and one SQLite file for one.
pub trait Store: fmt::Debug + Send + Sync {
    /// Stores all of them or none, and returns once they are on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; whether they were stored is then unknown if the connection broke while committing.
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()>;

    /// Takes requests that go into one request to the API together with all that they cover, so that nobody else takes
    /// them; `None` where nothing is ready.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is taken then.
    fn claim<'a>(&'a self, limits: &'a ClaimLimits) -> StoreFuture<'a, Option<Box<dyn Claim>>>;

    /// What waits, for the status page, metrics and the command `status`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read.
    fn status(&self) -> StoreFuture<'_, Status>;
}

/// Requests that one worker has taken. Dropping it gives them back untouched.
pub trait Claim: Send {
    /// What was taken. The first is what the request to the API is for; the others have the same key or are covered.
    fn requests(&self) -> &[Request];

    /// Says what became of each, and lets go of them: what was accepted is removed, in one transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; all of them will be sent again then.
    fn settle(self: Box<Self>, outcomes: Vec<Settlement>) -> StoreFuture<'static, ()>;
}

/// How much one claim may take, by the limits of the API for the zone's plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the worker makes it")]
pub struct ClaimLimits {
    /// The most distinct keys of each kind that one request to the API takes.
    pub keys: usize,
}

/// What became of one claimed request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "stores handle each")]
pub enum Settlement {
    /// The API accepted a purge that covers it: it leaves the queue.
    Accepted,
    /// The API refuses it for what it is: it goes to the dead letters with that reason.
    Refused(String),
    /// It was not sent, or the API refused it for now: it goes back as it was.
    Untouched,
    /// It may have been sent, without an answer that says so: it is tried again after that long.
    TryAgain(Duration),
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
    /// What was asked for, as `kind` and `key`.
    pub kind: String,
    /// See `kind`.
    pub key: String,
    /// The zone, as it was given.
    pub zone: String,
    /// Why: `refused`, `expired` or `attempts`.
    pub reason: String,
    /// What the API said last.
    pub last_error: String,
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
