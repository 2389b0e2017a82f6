//! Purges at the fastest legal pace, and loses nothing.
//!
//! - [`Client`]: asks the API one thing ([`Client::call`]), or purges a stream of any length ([`Client::run`])
//! - [`engine`]: the state machine below it, without IO, clock or runtime
//! - [`Credentials`]: the only type that can turn a secret into a header
//! - [`Event`], [`Observer`]: everything that happens, as it happens, for progress, journals and logs
//!
//! `examples/embed.rs` purges from an iterator and watches; `examples/sans_io.rs` drives the engine without a runtime.
//!
//! The feature `tracing` makes a span of each request: endpoint, zone, batch, attempt, status, ray, wait.
//!
//! The feature `driver`, on by default, is the part that needs a runtime (tokio). Without it there are the engine and
//! the codec, which a program can drive by itself.

mod auth;
mod codec;
#[cfg(feature = "driver")]
mod driver;
pub mod engine;
mod entry_ranges;
mod error;
mod event;
mod exchange;
mod rate_headers;
mod scope;
#[cfg(feature = "driver")]
mod stream;
mod summary;
#[cfg(feature = "driver")]
mod trace;

pub use crate::auth::{Credentials, InvalidCredentials, Redactor};
pub use crate::codec::{BaseUrl, Codec, DEFAULT_BASE_URL, InvalidBaseUrl};
#[cfg(feature = "driver")]
pub use crate::driver::Client;
pub use crate::entry_ranges::EntryRanges;
pub use crate::error::{Error, ErrorCause, ErrorKind};
pub use crate::event::{Event, Exchange, Observer, Outcome, RecordError, Recording};
pub use crate::rate_headers::RateHeaders;
pub use crate::scope::PurgeScope;
#[cfg(feature = "driver")]
pub use crate::stream::entries;
pub use crate::summary::Summary;
