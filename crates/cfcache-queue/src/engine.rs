//! The decisions of a worker, without IO and without a clock: `now` and random numbers are parameters.
//!
//! - [`covers`]: whether an accepted API request also completes another request
//! - [`rank`]: the order in which kinds are sent
//! - [`BudgetBucket`]: a rate limit that many workers share as a row of a table
//! - [`TargetOutcome`], [`settle`]: what happens to a request after an attempt
//! - [`backoff`], [`ApiHealth`], [`MAX_ATTEMPTS`]: retries

mod budget;
mod coverage;
mod outcome;
mod retry;

use cfcache_model::target::Kind;

pub use crate::engine::budget::{BudgetBucket, MAX_BLOCK, flexible_bucket, global_bucket, url_bucket};
pub use crate::engine::coverage::{covers, host_of, identity};
pub use crate::engine::outcome::{TargetOutcome, settle};
pub use crate::engine::retry::{ApiHealth, MAX_ATTEMPTS, backoff};

/// Returns the position of a kind in the sending order: everything (`None`), hosts, prefixes, tags, URLs.
///
/// Kinds that cover more go first, so that requests they cover need not be sent. Within a kind, a higher priority goes
/// first, then the request that has waited longest.
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
