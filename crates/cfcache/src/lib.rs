//! Purges Cloudflare's cache from a program.
//!
//! ```no_run
//! # async fn example(token: String, tags: Vec<String>) -> Result<(), cfcache::Error> {
//! let client = cfcache::Client::builder().api_token(token).plan(cfcache::Plan::Pro).user_agent("app/1.0").build()?;
//! let zone: cfcache::ZoneId = "023e105f4ecef8ad9ca31a8372d0c353".parse()?;
//! let summary = client.purge(&zone).urls(["https://www.example.com/a"]).send().await?;
//! println!("{} accepted, {} failed", summary.accepted, summary.failed);
//! let summary = client.invalidate(&zone).tags(tags).send().await?.into_result()?;
//! # let _ = summary;
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`] is cheap to clone. All clones share the account's limits: create one client and reuse it.
//! - [`Client::purge`] and [`Client::invalidate`] build a request; nothing is sent before [`PurgeRequest::send`].
//! - [`Summary`] counts the results of the entries. An `Err` is returned only if nothing was sent.
//! - [`PurgeRequest::outcomes`] sends the outcome of each entry with the caller's tag, and [`PurgeRequest::stream`]
//!   takes an unbounded input.
//!
//! # Errors
//!
//! [`PurgeRequest::send`] returns an [`Error`] only if nothing was sent: an entry is invalid, or the list is empty.
//! Whatever the API or the network refuses is in the [`Summary`], because other entries of the same request may have
//! been accepted. [`Summary::into_result`] turns a summary with failed entries into an error, and
//! [`FailedEntry::kind`] says what to do about one: change it, change the credentials, or purge it again later.
//! Requests are retried before an entry counts as failed.
//!
//! # Services
//!
//! [`Client::from_env`] reads the environment variables of the command line. The futures are `Send`, so a purge can run
//! in a task of its own. An entry can have a tag, such as the key of a row, which comes back with its outcome:
//!
//! ```no_run
//! use cfcache::{Client, Entry, EntryStatus, ZoneId};
//! use futures_core::Stream;
//!
//! # async fn example(
//! #     client: Client, zone: ZoneId, rows: impl Stream<Item = Entry> + Send + 'static,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // Each row is `Entry::from(tag).with_tag(key)`.
//! let (sender, mut outcomes) = tokio::sync::mpsc::channel(100);
//! let purge = tokio::spawn(client.purge(&zone).stream(rows).outcomes(sender).send());
//! while let Some(outcome) = outcomes.recv().await {
//!     match outcome.status {
//!         EntryStatus::Failed { message, .. } => eprintln!("row {}: {message}", outcome.tag),
//!         _ => println!("row {} is done", outcome.tag),
//!     }
//! }
//! let summary = purge.await??;
//! # let _ = summary;
//! # Ok(())
//! # }
//! ```
//!
//! # Verification
//!
//! A success of the API means that a purge was accepted. With the feature `verify`, which is on by default,
//! [`PurgeRequest::verify`] then requests URLs as visitors do, and [`Summary::verified`] contains the results:
//!
#![cfg_attr(feature = "verify", doc = "```no_run")]
#![cfg_attr(not(feature = "verify"), doc = "```ignore")]
//! # async fn example(client: cfcache::Client, zone: cfcache::ZoneId) -> Result<(), cfcache::Error> {
//! let verify = cfcache::Verify::new().at_most(20);
//! let summary = client.purge(&zone).urls(["https://www.example.com/a"]).verify(verify).send().await?;
//! if let Some(verified) = &summary.verified {
//!     println!("{} of {} proven, seen from {:?}", verified.proven, verified.probed, verified.colos);
//! }
//! summary.all_proven()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Other crates
//!
//! This crate is a facade without logic of its own. [`engine`] is re-exported for [`ClientBuilder::limiter`]; a program
//! that runs its state machines by itself needs `cfcache-client`. A program with its own HTTP client needs only
//! `cfcache-model`, and tests of a program that purges can use `cfcache-emulator`.

mod client;
mod environment;
mod error;
mod purge;
mod summary;
#[cfg(feature = "verify")]
mod verify;

pub use cfcache_client::{ErrorKind, engine};
pub use cfcache_model::plan::Entry;
pub use cfcache_model::target::{CacheKeyHeader, File, Host, Kind, Prefix, PurgeUrl, Tag, Target};
pub use cfcache_model::{EnvironmentId, InvalidInput, Plan, ZoneId};
#[cfg(feature = "verify")]
pub use cfcache_probe::{Sha256, Verdict};
pub use cfcache_transport::{BuildError, Proxy, ProxyRules};

pub use crate::client::{Client, ClientBuilder};
pub use crate::error::Error;
pub use crate::purge::PurgeRequest;
pub use crate::summary::{EntryOutcome, EntryStatus, FailedEntry, Summary};
#[cfg(feature = "verify")]
pub use crate::verify::{UrlVerdict, Verified, Verify};
