//! Checks a purge from the visitor's side: what the URLs answer after the API has accepted the purge.
//!
//! The API's 200 only means that the purge was accepted. This crate requests the URLs as a visitor does, and decides
//! what the answers prove. It does not use the API; the caller repeats purges.
//!
//! - [`VisitorAnswer`]: the parts of a visitor's answer that say something about the cache
//! - [`judge`]: converts a purge and an answer into a [`Verdict`]
//! - [`Verification`]: decides when to request a URL again, when to repeat its purge, and when to give up
//! - [`Gate`]: waits before a purge until the origin serves the new version
//! - [`Warmer`]: fetches URLs so that they are cached again
//!
//! All of these are pure functions or state machines without IO, with `now` as a parameter. The feature `visitor`, on
//! by default, adds the part that needs a runtime (tokio): [`Visitor`] sends HTTP requests, and [`probe`], [`verify`],
//! [`warm`] and [`wait_at_gate`] run the state machines with it.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//!
//! use cfcache_model::endpoint::Action;
//! use cfcache_probe::{VisitorAnswer, PurgeTimes, Verdict, judge};
//!
//! // A visitor gets a copy that is 90 seconds old, two seconds after the purge was accepted.
//! let head = http::Response::builder().header("cf-cache-status", "HIT").header("age", "90").body(())?;
//! let answer = VisitorAnswer::from_head(head.status(), head.headers(), SystemTime::now());
//! let purged = PurgeTimes::new(Action::Purge, Duration::from_millis(2000), Duration::from_millis(2050));
//! let verdict = judge(purged, &answer, None);
//! assert!(matches!(verdict, Verdict::Survivor(_)));
//! # Ok::<(), http::Error>(())
//! ```

#[cfg(feature = "visitor")]
mod accepted;
mod answer;
#[cfg(feature = "visitor")]
mod drive;
mod gate;
mod pace;
mod queue;
mod url_list;
mod variant;
mod verdict;
mod verify;
#[cfg(feature = "visitor")]
mod visitor;
mod warm;

#[cfg(feature = "visitor")]
pub use crate::accepted::{AcceptedUrl, AcceptedUrls, RandomSample, seed};
pub use crate::answer::{Body, CacheStatus, Obstacle, Sha256, VisitorAnswer, edge_error};
#[cfg(feature = "visitor")]
pub use crate::drive::{Passage, VerifyEvent, VisitRequest, probe, verify, wait_at_gate, warm};
pub use crate::gate::{Condition, Expectation, Gate, GateSettings, GateStep, Matcher, busted};
pub use crate::pace::{Limits, Reaction};
pub use crate::queue::QueueTicket;
pub use crate::url_list::UrlList;
pub use crate::variant::{FilesEntry, Variant};
pub use crate::verdict::{ExpectedBody, NotCached, PurgeTimes, Survivor, Unproven, Verdict, judge};
pub use crate::verify::{Ask, Decided, UrlToVerify, Verification, VerifyCounts, VerifySettings, VerifyStep};
#[cfg(feature = "visitor")]
pub use crate::visitor::{BodySink, NoAnswer, Visit, Visitor, VisitorBuilder, hash, host_of};
pub use crate::warm::{Skipped, WarmFailure, WarmFetch, WarmStep, Warmed, Warmer};
