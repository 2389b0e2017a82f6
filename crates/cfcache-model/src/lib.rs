//! The types of Cloudflare's Cache API: requests, their encoding, and the meaning of responses.
//!
//! The crate has no IO, no clock and no credentials, and needs no `std`. It consists of values and pure functions, so
//! it can be used in a server, a build script, a WebAssembly worker or a test.
//!
//! - [`target`]: things that can be purged (URLs, tags, hosts, prefixes), as types that only hold valid values
//! - [`id`]: ids of zones and environments, safe to use in a path
//! - [`plan`]: splits targets into request-sized batches
//! - [`limits`]: the limits of the API, each with its source and date
//! - [`endpoint`]: one module for each operation: path, body, reply, samples
//! - [`envelope`]: the envelope of every response, parsed leniently
//! - [`verdict`]: the meaning of a response, from its status and body
//! - [`catalog`]: the API's error codes, their meaning, and what to do about them
//! - [`date`]: dates as the API writes them
//!
//! One rule decides how doubtful input is handled: **refuse what is documented to fail, warn about what is documented
//! to have an unexpected effect, and pass everything else through unchanged.** A URL is never rewritten, because its
//! bytes are the cache key.
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
pub mod endpoint;
pub mod envelope;
pub mod id;
mod invalid;
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
pub use crate::invalid::InvalidInput;
pub use crate::limits::Plan;
pub use crate::shared_text::SharedText;
pub use crate::target::{Kind, Target};
