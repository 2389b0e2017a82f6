//! A client of Cloudflare's purge API: it sends as fast as the limits allow, and counts every entry.
//!
//! - [`Client`]: makes one API call ([`Client::call`]), or purges a stream of any length ([`Client::run`])
//! - [`engine`]: the state machines of the client, without IO, clock or runtime
//! - [`Codec`]: converts between the model's requests and HTTP
//! - [`Credentials`]: a token or key, and the only type that puts it into a header
//! - [`PurgeScope`], [`Summary`]: the scope and the result of a run
//! - [`rate_headers`]: the wait and the quota that a response demands
//! - [`Event`], [`Observer`]: all events, for progress, journals and logs
//!
//! ```no_run
//! # #[cfg(feature = "driver")]
//! # async fn example(client: cfcache_client::Client) -> Result<(), Box<dyn core::error::Error>> {
//! use cfcache_client::{PurgeScope, entries};
//! use cfcache_model::endpoint::Action;
//! use cfcache_model::plan::BatchLimits;
//! use cfcache_model::target::Tag;
//! use cfcache_model::{Kind, Plan, ZoneId};
//!
//! let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;
//! let limits = BatchLimits::from_plan(Plan::Pro.purge_limits(), Kind::Tags);
//! let scope = PurgeScope::new(Action::Purge, zone, Kind::Tags, limits);
//! let tags = [Tag::parse("release-42")?, Tag::parse("product-1001")?];
//! let summary = client.run(&scope, entries(tags), core::future::pending(), &mut ()).await;
//! assert_eq!(summary.accepted, 2);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/embed.rs` purges from an iterator and prints events; `examples/sans_io.rs` runs the engine without a
//! runtime.
//!
//! The feature `tracing` creates a span for each request: endpoint, zone, batch, attempt, status, ray, wait.
//!
//! The feature `driver`, on by default, is the part that needs a runtime (tokio). Without it, the crate has the engine
//! and the codec, which a program can run by itself.

mod auth;
mod codec;
#[cfg(feature = "driver")]
mod driver;
pub mod engine;
mod entry_ranges;
mod error;
mod event;
mod exchange;
pub mod rate_headers;
mod scope;
#[cfg(feature = "driver")]
mod stream;
mod summary;
#[cfg(feature = "driver")]
mod trace;

pub use crate::auth::{Credentials, Redactor};
pub use crate::codec::{BaseUrl, Codec, DEFAULT_BASE_URL};
#[cfg(feature = "driver")]
pub use crate::driver::Client;
pub use crate::entry_ranges::EntryRanges;
pub use crate::error::{Error, ErrorCause, ErrorKind};
pub use crate::event::{Event, Exchange, Observer, Outcome, RecordError, Recording};
pub use crate::scope::PurgeScope;
#[cfg(feature = "driver")]
pub use crate::stream::{entries, stream_fn};
pub use crate::summary::Summary;
