//! Converts the result of an API request into the settlement of the queue's requests.

use cfcache_client::{Error, ErrorCause, ErrorKind};

use crate::engine::retry::backoff;
use crate::store::{DeadReason, Settlement};

/// The outcome of one entry of an API request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the worker makes it")]
pub enum TargetOutcome {
    /// The API accepted it.
    Accepted,
    /// The API refused this entry, which was sent by itself.
    Refused(String),
    /// It was not sent, or the API refused the whole request because of the rate or the credentials, or the worker
    /// stopped.
    NotSent,
    /// It may have been sent, but there was no conclusive answer.
    Failed(String),
}

impl TargetOutcome {
    /// Returns the outcome of each entry of an API request that failed with `error` and had this many `entries`.
    ///
    /// A refusal of several entries does not say which entry is at fault, unless the client found out by sending them
    /// in parts. So it counts as a failure, and the entries are tried again.
    #[must_use]
    pub fn from_error(error: &Error, entries: usize) -> Self {
        let was_stopped = matches!(error.cause, ErrorCause::Stopped(_));
        match error.kind() {
            ErrorKind::Credentials | ErrorKind::RateLimited | ErrorKind::Interrupted => Self::NotSent,
            ErrorKind::Refused if was_stopped => Self::NotSent,
            ErrorKind::Refused if entries == 1 => Self::Refused(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Returns what happens to the requests for one target after an attempt.
///
/// - `attempts` is the highest number of earlier attempts among them. It decides how long they wait.
/// - `is_down` is [`ApiHealth::is_down`](crate::engine::ApiHealth::is_down). While the API does not work at all,
///   attempts are not counted.
/// - This function never gives up a request because of its attempts. Requests for one target may have been stored at
///   different times, so the store checks each against [`MAX_ATTEMPTS`](crate::engine::MAX_ATTEMPTS).
#[must_use]
pub fn settle(outcome: &TargetOutcome, attempts: u32, is_down: bool, random: u64) -> Settlement {
    match outcome {
        TargetOutcome::Accepted => Settlement::Accepted,
        TargetOutcome::Refused(error) => {
            Settlement::Dead { reason: DeadReason::Refused, error: error.clone() }
        }
        TargetOutcome::NotSent => Settlement::Untouched,
        TargetOutcome::Failed(error) => {
            Settlement::TryAgain { after: backoff(attempts, random), error: error.clone(), counts: !is_down }
        }
    }
}
