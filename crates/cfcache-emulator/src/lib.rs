//! An emulator of Cloudflare's cache API.
//!
//! It answers as documented: to valid and invalid requests, with the API's limits, codes and headers. It can also
//! simulate failures. It shares only the model's tables with this project's client, so that one mistake cannot be in
//! both. Where the API is not documented, it accepts as much as possible; `docs/emulator.md` lists these cases.
//!
//! - [`Config`]: plan, zones, credentials, limits and faults
//! - [`Emulator`]: the API as a function from a request and a time to an answer; no sockets, no clock
//! - [`Server`]: the API on a socket, with HTTP/1.1 and cleartext HTTP/2
//! - [`EdgeConfig`] and [`EdgeOrigin`]: a cache in front of an origin, which shares the zones with the API
//! - [`Fault`]: a simulated failure
//! - [`Log`]: the received requests, and whether they took effect
//!
//! ```
//! use cfcache_emulator::{Config, Emulator};
//! use cfcache_model::Plan;
//! use core::time::Duration;
//!
//! let emulator = Emulator::new(Config::new(Plan::Free));
//! let request = http::Request::post("/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/purge_cache")
//!     .header("authorization", "Bearer any-token-will-do")
//!     .body(r#"{"tags":["a-cache-tag"]}"#.into())?;
//! let answer = emulator.handle(Duration::ZERO, &request);
//! assert_eq!(answer.status(), 200);
//! assert!(emulator.log().entries()[0].processed);
//! # Ok::<(), http::Error>(())
//! ```

mod answer;
mod auth;
mod behavior;
mod config;
mod edge;
mod emulator;
mod fault;
mod limit;
mod log;
mod origin;
mod route;
mod serve;
mod state;

pub use crate::auth::{ApiKey, Token, TokenState};
pub use crate::config::{Config, Hints};
pub use crate::edge::EdgeConfig;
pub use crate::emulator::Emulator;
pub use crate::fault::{Fault, FaultAction, FaultScope};
pub use crate::log::{Counts, Log, LogEntry};
pub use crate::origin::EdgeOrigin;
pub use crate::serve::Server;
pub use crate::state::{AcceptedPurge, Environment, Zone};
pub use cfcache_edge::{CacheRules, Object};
pub use cfcache_edge::{PurgeFile, PurgeItems};
