//! What a worker decides, without IO and without a clock: `now` and random numbers are parameters.
//!
//! - [`covers`]: whether an accepted request to the API settles another request as well
//! - [`rank`]: which kind goes first
//! - [`Bucket`]: how much may be sent, as a row that many workers share
//! - [`EntryOutcome`], [`settle`]: what becomes of what was sent
//! - [`backoff`], [`ApiHealth`], [`MAX_ATTEMPTS`]: when something is tried again, and when not any more

mod budget;
mod coverage;
mod outcome;
mod retry;

use cfcache_model::target::Kind;

pub use crate::engine::budget::{Bucket, flexible_bucket, global_bucket, url_bucket};
pub use crate::engine::coverage::{covers, host_of, identity};
pub use crate::engine::outcome::{EntryOutcome, settle};
pub use crate::engine::retry::{ApiHealth, MAX_ATTEMPTS, backoff};

/// The place of a kind in the order in which kinds are sent, where `None` is everything: everything, hosts, prefixes,
/// tags, URLs.
///
/// What covers more goes first, so that what it covers need not be sent. Within a kind, a higher priority goes first,
/// then what has waited longest.
#[must_use]
pub const fn rank(kind: Option<Kind>) -> u8 {
    match kind {
        None => 0,
        Some(Kind::Hosts) => 1,
        Some(Kind::Prefixes) => 2,
        Some(Kind::Tags) => 3,
        Some(_) => 4,
    }
}
