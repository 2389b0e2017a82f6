//! Why something did not happen.

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;

use cfcache_model::endpoint::Descriptor;
use cfcache_model::verdict::{Class, Failure};
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
}

/// What ended it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorCause {
    /// The API, or something in front of it, answered.
    Answer(Failure),
    /// No whole answer came.
    Transport(TransportError),
    /// It was not sent, or not sent again, because the run had been stopped.
    Stopped(Stop),
    /// It could not be written as a request.
    Unwritable(http::Error),
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
}

impl Error {
    /// What sort of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            ErrorCause::Answer(failure) => match failure.class {
                Class::Credentials => ErrorKind::Credentials,
                Class::RateLimited => ErrorKind::RateLimited,
                Class::Unavailable | Class::Unclear | Class::NotTheApi | Class::Redirected => {
                    ErrorKind::Unreachable
                }
                _ => ErrorKind::Refused,
            },
            ErrorCause::Transport(_) => ErrorKind::Unreachable,
            ErrorCause::Stopped(Stop::Interrupted) => ErrorKind::Interrupted,
            ErrorCause::Stopped(Stop::WaitTooLong { .. }) => ErrorKind::RateLimited,
            ErrorCause::Stopped(Stop::Credentials) => ErrorKind::Credentials,
            ErrorCause::Stopped(_) => ErrorKind::Unreachable,
            ErrorCause::Unwritable(_) => ErrorKind::Refused,
        }
    }

    /// Did the API say no?
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.kind(), ErrorKind::Refused | ErrorKind::Credentials)
    }

    /// Is it unknown whether it was done?
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        match &self.cause {
            ErrorCause::Answer(failure) => failure.class == Class::Unclear,
            ErrorCause::Transport(error) => error.delivery() == Delivery::Unknown,
            ErrorCause::Stopped(_) | ErrorCause::Unwritable(_) => false,
        }
    }

    /// What the API answered, where it did.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.cause {
            ErrorCause::Answer(failure) => Some(failure),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            ErrorCause::Answer(failure) => write!(f, "the API answered with {failure}"),
            ErrorCause::Transport(error) => write!(f, "{error}"),
            ErrorCause::Stopped(Stop::Interrupted) => f.write_str("interrupted before it was sent"),
            ErrorCause::Stopped(Stop::WaitTooLong { demanded }) => {
                write!(f, "not sent: the API demanded a wait of {} s", demanded.as_secs())
            }
            ErrorCause::Stopped(Stop::Credentials) => f.write_str("not sent: the credentials were refused"),
            ErrorCause::Stopped(_) => {
                f.write_str("not sent: so many tries had failed that the run was given up")
            }
            ErrorCause::Unwritable(_) => f.write_str("it cannot be written as a request"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            // What `Display` shows is the transport error itself, so its source is ours.
            ErrorCause::Transport(error) => error.source(),
            ErrorCause::Unwritable(error) => Some(error),
            ErrorCause::Answer(_) | ErrorCause::Stopped(_) => None,
        }
    }
}
