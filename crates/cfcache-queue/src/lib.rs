//! A durable queue in front of Cloudflare's cache purge API. All workers, on any number of machines, share one rate
//! limit.
//!
//! The guarantee: a request leaves the queue only after the API has accepted a purge that covers it, and that was sent
//! after the request was committed and read.
//!
//! - [`NewRequest`]: a request from a producer
//! - [`Store`]: stores requests, in PostgreSQL or in one SQLite file
//! - [`engine`]: the decisions of a worker, without IO and without a clock
//! - [`intake`]: receives requests over HTTP
//! - [`admin`]: metrics, health and a status page

mod account;
pub mod admin;
pub mod config;
pub mod engine;
pub mod health;
pub mod intake;
pub mod metrics;
mod request;
pub mod server;
mod store;
mod worker;

pub use crate::account::{Account, Accounts};
pub use crate::request::{NewRequest, QueuedRequest, Subject};
pub use crate::store::{
    BudgetStatus, Claim, ClaimedTarget, DeadReason, DeadRequest, DeadSelection, IDLE_TIMEOUT,
    InvalidPostgresUrl, KindStatus, MAX_AGE, MoveSummary, NewDeadLetters, PostgresStore, PostgresUrl,
    QueueStatus, RequestGroup, Settlement, SqliteStore, Store, StoreError, StoreFuture, Tokens, move_queue,
};
pub use crate::worker::Worker;
