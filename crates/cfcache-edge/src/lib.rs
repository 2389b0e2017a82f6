//! The rules of Cloudflare's cache, without IO.
//!
//! This crate is a state machine that decides what a cache in front of an origin does: which request is eligible, what
//! is stored, for how long, under which key, and what a purge removes. It has no sockets and no clock. The caller
//! passes the time and sends the requests to the origin, so a test can let an object expire without waiting.
//!
//! - [`Edge`]: the cache of one zone
//! - [`RequestStep`]: the result of a request: a response, a request to the origin, or a wait for another one
//! - [`ResponseStep`]: the result of the headers of the origin's response: pass it on, keep it, or answer from the cache
//! - [`CacheSettings`]: plan, cache level, development mode, tiered cache, variants, rules, environments, limits
//! - [`CacheRules`]: cache rules, from the API's own JSON
//! - [`Purge`]: a purge or invalidation, by file, tag, host, prefix, or of everything
//!
//! Each response has the header `x-cfcache-edge`, which contains the reason for its cache status, and the cache key.
//!
//! `docs/emulator.md` lists which behavior is documented, and which is a choice of this crate.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use bytes::Bytes;
//! use cfcache_edge::{Edge, Purge, PurgeItems, CacheSettings, RequestStep, VisitorInfo};
//!
//! let mut edge = Edge::new(CacheSettings::new("example.com"));
//! let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
//! let request = http::Request::get("https://example.com/app.js").body(())?;
//!
//! // Nothing is stored, so the origin is asked and its response is stored.
//! let RequestStep::Fetch(fetch) = edge.request(now, &request, &VisitorInfo::default()) else { panic!() };
//! let answer = edge.fetched(now, fetch.ticket, Ok(http::Response::new(Bytes::from_static(b"1"))));
//! assert_eq!(answer.headers()["cf-cache-status"], "MISS");
//!
//! let RequestStep::Answer { response, .. } = edge.request(now, &request, &VisitorInfo::default()) else { panic!() };
//! assert_eq!(response.headers()["cf-cache-status"], "HIT");
//!
//! let purged = edge.purge(now, &Purge::new(PurgeItems::Tags(vec!["none".to_owned()])));
//! assert_eq!(purged.objects, 0);
//! let purged = edge.purge(now, &Purge::new(PurgeItems::Everything));
//! assert_eq!(purged.objects, 1);
//! assert!(matches!(edge.request(now, &request, &VisitorInfo::default()), RequestStep::Fetch(_)));
//! # Ok::<(), http::Error>(())
//! ```

mod answer;
mod collector;
mod decide;
mod directive;
mod edge;
mod entry;
mod key;
mod purge;
mod range;
mod request;
mod rule;
mod settings;
mod step;
mod store;

pub use crate::collector::{BodyCollector, Full};
pub use crate::edge::{Edge, Object};
pub use crate::purge::{Purge, PurgeEffect, PurgeFile, PurgeItems};
pub use crate::rule::{CacheRules, Expression};
pub use crate::settings::{CacheEnvironment, CacheSettings, VisitorInfo};
pub use crate::step::{Fetch, FetchTicket, FillId, Keep, OriginFailure, RequestStep, ResponseStep};
