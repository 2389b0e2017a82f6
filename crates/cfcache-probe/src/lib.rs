//! The visitor's side of a purge: what do the URLs answer, now that the API has accepted?
//!
//! The API's 200 means "accepted". This crate asks visitor URLs and tells what their answers prove. It knows nothing of
//! the API; purging again is the caller's business.
//!
//! - [`Answer`]: what a visitor was answered, as far as it tells something about the cache
//! - [`judge`]: from a purge and an answer to a [`Verdict`]
//! - [`Verification`]: when to ask again, when to purge again, when to give up
//! - [`Gate`]: waits before a purge until the origin serves the new version
//! - [`Warmer`]: fetches URLs so that they are cached again
//!
//! All of these are pure or state machines without IO, with `now` as a parameter. The feature `visitor`, on by default,
//! is the part that needs a runtime (tokio): [`Visitor`] asks over HTTP, and [`probe`], [`verify`], [`warm`] and
//! [`wait_at_gate`] run the machines over it.

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
pub use crate::accepted::{AcceptedUrl, AcceptedUrls, Sample, seed};
pub use crate::answer::{Answer, Body, CacheStatus, InvalidSha256, Obstacle, Sha256, edge_error};
#[cfg(feature = "visitor")]
pub use crate::drive::{Passage, Progress, Target, probe, verify, wait_at_gate, warm};
pub use crate::gate::{
    Condition, Expectation, Gate, GateSettings, GateStep, InvalidCondition, Matcher, busted,
};
pub use crate::pace::{Limits, Reaction};
pub use crate::queue::Ticket;
pub use crate::url_list::UrlList;
pub use crate::variant::{FilesEntry, Variant};
pub use crate::verdict::{ExpectedBody, NotCached, Purged, Survivor, Unproven, Verdict, judge};
pub use crate::verify::{Ask, Counts, Decided, Settings, Step, Subject, Verification};
#[cfg(feature = "visitor")]
pub use crate::visitor::{BodySink, NoAnswer, Visit, Visitor, VisitorBuilder, hash, host_of};
pub use crate::warm::{Fetch, Skipped, WarmFailure, WarmStep, Warmed, Warmer};
