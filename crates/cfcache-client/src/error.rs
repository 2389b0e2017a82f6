//! Errors of requests and batches.

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;

use cfcache_model::Kind;
use cfcache_model::endpoint::{Descriptor, Method};
use cfcache_model::verdict::{ApiFailure, Class};
use cfcache_transport::{Delivery, TransportError};

use crate::engine::{Ended, Stop};

/// A request or a batch that failed after all attempts that it was allowed.
///
/// `Display` shows the last message of the API or the network; [`Error::attempts`], [`Error::elapsed`] and
/// [`Error::ray`] contain details.
#[derive(Debug)]
#[non_exhaustive]
pub struct Error {
    /// The endpoint.
    pub endpoint: &'static Descriptor,
    /// Why it failed.
    pub cause: ErrorCause,
    /// How many times it was sent.
    pub attempts: u32,
    /// The time from the first attempt to the end of the last one.
    pub elapsed: Duration,
    /// The `cf-ray` of the last response, which Cloudflare's support asks for.
    pub ray: Option<String>,
    /// Whether an attempt that failed may have taken effect nonetheless.
    pub unclear: bool,
    /// The result of the last attempt, if it is not the reason why the request ended.
    pub last_try: Option<Box<ErrorCause>>,
}

/// Why a request or batch failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorCause {
    /// The API, or a server in front of it, responded with an error.
    Answer(ApiFailure),
    /// There was no complete response.
    Transport(TransportError),
    /// It was not sent, or not sent again, because the run was stopped.
    Stopped(Stop),
    /// It could not be encoded as a request.
    Unwritable(http::Error),
    /// An entry is of another kind than its scope.
    Misplaced {
        /// The kind of the scope.
        expected: Kind,
        /// The kind of the entry.
        found: Kind,
    },
    /// The API accepted it, but [`Observer::record`](crate::Observer::record) could not record that.
    Unrecorded(Box<dyn StdError + Send + Sync>),
}

/// The kind of an error, which suggests what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The API refused the request, which has to be changed.
    Refused,
    /// The API refused the credentials: the token, its permissions or its zones have to be changed.
    Credentials,
    /// There were still too many requests; retry later.
    RateLimited,
    /// The API could not be reached or understood, or failed; retry later.
    Unreachable,
    /// The run was stopped before the request was sent.
    Interrupted,
    /// An accepted batch could not be recorded.
    Unrecorded,
}

impl Error {
    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            ErrorCause::Answer(failure) => match failure.class {
                Class::Credentials => ErrorKind::Credentials,
                Class::RateLimited => ErrorKind::RateLimited,
                Class::Unavailable
                | Class::Unclear
                | Class::UnexpectedResult
                | Class::NotTheApi
                | Class::Redirected => ErrorKind::Unreachable,
                _ => ErrorKind::Refused,
            },
            ErrorCause::Transport(_) => ErrorKind::Unreachable,
            ErrorCause::Stopped(Stop::Interrupted) => ErrorKind::Interrupted,
            ErrorCause::Stopped(Stop::WaitTooLong { .. }) => ErrorKind::RateLimited,
            ErrorCause::Stopped(Stop::Credentials) => ErrorKind::Credentials,
            ErrorCause::Stopped(Stop::SameRefusal) => ErrorKind::Refused,
            ErrorCause::Stopped(Stop::Observer) | ErrorCause::Unrecorded(_) => ErrorKind::Unrecorded,
            ErrorCause::Stopped(_) => ErrorKind::Unreachable,
            ErrorCause::Unwritable(_) | ErrorCause::Misplaced { .. } => ErrorKind::Refused,
        }
    }

    /// Returns whether the API refused it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), ErrorKind::Refused | ErrorKind::Credentials)
    }

    /// Returns whether the request may have taken effect nonetheless, in this or an earlier attempt. This is never the
    /// case for requests that only read.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        let is_left_open = || match &self.cause {
            ErrorCause::Answer(failure) => failure.may_be_processed,
            ErrorCause::Transport(error) => error.delivery() != Delivery::NotSent,
            ErrorCause::Unrecorded(_) => true,
            ErrorCause::Stopped(_) | ErrorCause::Unwritable(_) | ErrorCause::Misplaced { .. } => false,
        };
        self.endpoint.method != Method::Get && (self.unclear || is_left_open())
    }

    /// The API's error, if it responded with one.
    #[must_use]
    pub const fn failure(&self) -> Option<&ApiFailure> {
        match &self.cause {
            ErrorCause::Answer(failure) => Some(failure),
            _ => None,
        }
    }
}

impl Error {
    pub(crate) const fn new(endpoint: &'static Descriptor, cause: ErrorCause) -> Self {
        Self {
            endpoint,
            cause,
            attempts: 0,
            elapsed: Duration::ZERO,
            ray: None,
            unclear: false,
            last_try: None,
        }
    }

    /// Adds the attempts of the request.
    pub(crate) fn with_attempts<R>(self, ended: &Ended<R>) -> Self {
        Self { attempts: ended.attempts, elapsed: ended.elapsed, unclear: ended.unclear, ..self }
    }

    /// Returns whether the response leaves open whether the request was done. (The scheduler knows by itself of what
    /// was lost.)
    pub(crate) const fn is_answer_unclear(&self) -> bool {
        matches!(&self.cause, ErrorCause::Answer(failure) if failure.may_be_processed)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = if self.attempts > 0 { " again" } else { "" };
        match &self.cause {
            ErrorCause::Stopped(Stop::Interrupted) => write!(f, "interrupted before it was sent{again}"),
            ErrorCause::Stopped(stop) => write!(f, "not sent{again}: {stop}"),
            cause => write!(f, "{cause}"),
        }?;
        match &self.last_try {
            Some(last) => write!(f, " (the last try: {last})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(failure) => write!(f, "the API answered with {failure}"),
            Self::Transport(error) => write!(f, "{error}"),
            Self::Stopped(stop) => write!(f, "{stop}"),
            Self::Unwritable(_) => f.write_str("it cannot be encoded as a request"),
            Self::Misplaced { expected, found } => {
                write!(f, "`{expected}` and `{found}` do not go into one request")
            }
            Self::Unrecorded(_) => f.write_str("accepted by the API, but that could not be recorded"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            // `Display` shows the message of the transport error itself, so only its source remains.
            ErrorCause::Transport(error) => error.source(),
            ErrorCause::Unwritable(error) => Some(error),
            ErrorCause::Unrecorded(error) => Some(error.as_ref()),
            ErrorCause::Answer(_) | ErrorCause::Stopped(_) | ErrorCause::Misplaced { .. } => None,
        }
    }
}
