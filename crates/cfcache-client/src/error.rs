//! Why something did not happen.

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;

use cfcache_model::endpoint::{Descriptor, Method};
use cfcache_model::plan::InvalidBatch;
use cfcache_model::verdict::{ApiFailure, Class};
use cfcache_transport::{Delivery, TransportError};

use crate::engine::Stop;

/// A request, or a batch, that did not succeed, after all the tries it was allowed.
///
/// `Display` says what the API or the network said last; [`Error::attempts`], [`Error::elapsed`] and [`Error::ray`] say
/// how it came to that.
#[derive(Debug)]
#[non_exhaustive]
pub struct Error {
    /// What was asked.
    pub endpoint: &'static Descriptor,
    /// Why it did not succeed.
    pub cause: ErrorCause,
    /// How often it was sent.
    pub attempts: u32,
    /// How long it was from the first try to the end of the last.
    pub elapsed: Duration,
    /// The `cf-ray` of the last answer, which the vendor's support asks for.
    pub ray: Option<String>,
    /// Whether an earlier attempt ended without saying whether it was done.
    pub unclear: bool,
    /// What came of the last try, where that is not what ended it.
    pub last_try: Option<Box<ErrorCause>>,
}

/// What ended it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorCause {
    /// The API, or something in front of it, answered.
    Answer(ApiFailure),
    /// No whole answer came.
    Transport(TransportError),
    /// It was not sent, or not sent again, because the run had been stopped.
    Stopped(Stop),
    /// It could not be written as a request.
    Unwritable(http::Error),
    /// It is of another kind than its run.
    Misplaced(InvalidBatch),
    /// The API accepted it, but [`Observer::record`](crate::Observer::record) could not record that.
    Unrecorded(Box<dyn StdError + Send + Sync>),
}

/// What sort of error it is, by what somebody can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The API refused it: the request has to change.
    Refused,
    /// The API refused the credentials: the token, its permissions or its zones have to change.
    Credentials,
    /// Too many requests, still: it can be tried later.
    RateLimited,
    /// The API could not be reached, or not understood, or is broken: it can be tried later.
    Unreachable,
    /// Somebody stopped the run before it was sent.
    Interrupted,
    /// What was accepted could not be recorded.
    Unrecorded,
}

impl Error {
    /// What sort of error it is.
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
            ErrorCause::Unwritable(_) | ErrorCause::Misplaced(_) => ErrorKind::Refused,
        }
    }

    /// Returns whether the API refused it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), ErrorKind::Refused | ErrorKind::Credentials)
    }

    /// Returns whether it may have been done all the same, by this or an earlier try. What only reads has no effect, so of
    /// that it is never unclear.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        let is_left_open = || match &self.cause {
            ErrorCause::Answer(failure) => failure.unclear,
            ErrorCause::Transport(error) => error.delivery() != Delivery::NotSent,
            ErrorCause::Unrecorded(_) => true,
            ErrorCause::Stopped(_) | ErrorCause::Unwritable(_) | ErrorCause::Misplaced(_) => false,
        };
        self.endpoint.method != Method::Get && (self.unclear || is_left_open())
    }

    /// What the API answered, where it did.
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
            Self::Unwritable(_) => f.write_str("it cannot be written as a request"),
            Self::Misplaced(invalid) => write!(f, "{invalid}"),
            Self::Unrecorded(_) => f.write_str("accepted by the API, but that could not be recorded"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            // What `Display` shows is the transport error itself, so its source is ours.
            ErrorCause::Transport(error) => error.source(),
            ErrorCause::Unwritable(error) => Some(error),
            ErrorCause::Unrecorded(error) => Some(error.as_ref()),
            ErrorCause::Answer(_) | ErrorCause::Stopped(_) | ErrorCause::Misplaced(_) => None,
        }
    }
}
