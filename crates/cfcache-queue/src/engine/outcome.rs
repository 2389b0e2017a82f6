//! From what the client says of a request to the API to what becomes of the requests that it was for.

use cfcache_client::{Error, ErrorCause, ErrorKind};

use crate::engine::retry::backoff;
use crate::store::{DeadReason, Settlement};

/// What became of one entry of a request to the API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the worker makes it")]
pub enum EntryOutcome {
    /// The API said that it accepted it.
    Accepted,
    /// The API refused it, sent by itself, for what it is.
    Refused(String),
    /// It was not sent, or the API refused everything for now: for the rate or the credentials, or the worker ends.
    NotSent,
    /// It may have been sent, and no answer says what became of it.
    Failed(String),
}

impl EntryOutcome {
    /// What an error of the client means for each of the `entries` that the request to the API had.
    ///
    /// A refusal of several entries is not known to be about each of them, unless the client found out which one it is by
    /// sending them in parts. So it counts as a failure here, and the entries are tried again.
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

/// What becomes of the requests for one target that was sent.
///
/// - `attempts` is how often the most tried of them had been sent before: it decides how long they wait.
/// - `is_down` is [`ApiHealth::is_down`](crate::engine::ApiHealth::is_down): while the API does nothing at all, no attempt
///   counts against a request.
/// - Nothing is given up here for its attempts. Requests for one target may have been stored at different times, so the
///   store judges each by its own ([`MAX_ATTEMPTS`](crate::engine::MAX_ATTEMPTS)).
#[must_use]
pub fn settle(outcome: &EntryOutcome, attempts: u32, is_down: bool, random: u64) -> Settlement {
    match outcome {
        EntryOutcome::Accepted => Settlement::Accepted,
        EntryOutcome::Refused(error) => {
            Settlement::Dead { reason: DeadReason::Refused, error: error.clone() }
        }
        EntryOutcome::NotSent => Settlement::Untouched,
        EntryOutcome::Failed(error) => {
            Settlement::TryAgain { after: backoff(attempts, random), error: error.clone(), counts: !is_down }
        }
    }
}
