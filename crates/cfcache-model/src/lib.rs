//! The Cloudflare Cache API as data: what can be asked, how it is written, and what the answers mean.
//!
//! No IO, no clock, no credentials, no `std`. Everything here is a value or a function from values to values, so it
//! can be embedded anywhere: in a server, a build script, a WebAssembly worker, a test.
//!
//! - [`target`]: what can be purged (URLs, tags, hosts, prefixes), parsed into types that cannot hold a bad one
//! - [`id`]: zone and environment ids, safe to put in a path
//! - [`plan`]: many targets in, request-sized batches out
//! - [`limits`]: the numbers of the API, each with its source and date
//! - [`endpoint`]: one module an operation: path, body, reply, samples
//! - [`envelope`]: the wrapping around every answer, tolerant of what the real API does to it
//! - [`verdict`]: status and body in, meaning out
//! - [`catalog`]: the API's error codes, what they mean here, and what to do about them
//! - [`date`]: times as the API writes them
//! - [`diagnose`]: a whole list in, the good entries and *every* complaint out
//!
//! One rule decides every doubtful input: **refuse what is documented to fail, warn about what is documented not to
//! do what one would think, pass everything else through byte for byte.** A URL is never rewritten, because its bytes
//! are the cache key.
//!
//! ```
//! use cfcache_model::endpoint::{self, PurgeCache};
//! use cfcache_model::target::Tag;
//! use cfcache_model::{PurgeBody, ZoneId};
//!
//! let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;
//! let body = PurgeBody::from_targets([Tag::parse("a-cache-tag")?, Tag::parse("another-cache-tag")?])?;
//! let request = endpoint::encode(&PurgeCache::purge(&zone, &body));
//!
//! assert_eq!(request.path, "/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache");
//! assert_eq!(request.body.as_deref(), Some(r#"{"tags":["a-cache-tag","another-cache-tag"]}"#));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#![no_std]

extern crate alloc;

pub mod body;
mod bytes;
pub mod catalog;
pub mod date;
pub mod diagnose;
pub mod endpoint;
pub mod envelope;
pub mod id;
pub mod limits;
mod pairs;
pub mod plan;
mod shared_text;
pub mod target;
pub mod text;
mod text_traits;
pub mod verdict;

pub use crate::body::PurgeBody;
pub use crate::endpoint::Endpoint;
pub use crate::id::{EnvironmentId, ZoneId};
pub use crate::limits::Plan;
pub use crate::shared_text::SharedText;
pub use crate::target::{Kind, Target};
