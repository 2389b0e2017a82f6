//! A queue in front of Cloudflare's cache purge API: many machines, one budget, nothing lost.
//!
//! The one rule: a request leaves the queue only after the API has accepted a purge that covers it and that was sent
//! after the request had been committed and read.
//!
//! - [`NewRequest`]: what a producer asks for
//! - [`Store`]: where requests wait, on PostgreSQL or on one SQLite file
//! - [`engine`]: what a worker decides, without IO and without a clock
//! - [`intake`]: where requests come in over HTTP
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
pub use crate::request::{NewRequest, Request, Subject};
pub use crate::store::{
    BudgetStatus, Buried, Claim, Claimed, DeadReason, DeadRequest, DeadSelection, Group, IDLE_TIMEOUT,
    InvalidUrl, KindStatus, MAX_AGE, Moved, PostgresStore, PostgresUrl, Settlement, SqliteStore, Status,
    Store, StoreError, StoreFuture, Tokens, move_queue,
};
pub use crate::worker::Worker;
