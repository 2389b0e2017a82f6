use core::error::Error as StdError;
use core::fmt;

use cfcache_client::{InvalidBaseUrl, InvalidCredentials};
use cfcache_model::id::InvalidId;
use cfcache_model::target::InvalidTarget;
use cfcache_model::text::UnknownName;

use crate::summary::Summary;

/// Why a client cannot be made, nothing was sent, or not everything was accepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No credentials were given.
    NoCredentials,
    /// The credentials cannot be sent.
    Credentials(InvalidCredentials),
    /// The base URL is none.
    BaseUrl(InvalidBaseUrl),
    /// The user agent holds characters that no header does.
    UserAgent,
    /// A variable of the environment names no plan.
    Plan(UnknownName),
    /// The connection cannot be set up.
    Connection(cfcache_transport::BuildError),
    /// A text is no id.
    Id(InvalidId),
    /// An entry is invalid: nothing was sent.
    Entry {
        /// Which entry, counted from 0 in the order in which they were given.
        index: usize,
        /// Why.
        reason: InvalidTarget,
    },
    /// There are no entries. Nothing is not everything: nothing was sent.
    Empty,
    /// Everything was asked for together with entries, or an input without an end together with either: nothing was sent.
    Mixed,
    /// Not everything was accepted ([`Summary::into_result`]).
    Incomplete(Box<Summary>),
    /// A URL to verify is invalid: nothing was sent.
    #[cfg(feature = "verify")]
    VerifyUrl {
        /// The URL.
        url: String,
        /// Why.
        reason: InvalidTarget,
    },
    /// Which URLs show what is purged cannot be told, and none was named to be verified: nothing was sent.
    #[cfg(feature = "verify")]
    NothingToVerify,
    /// Everything was accepted, and it is not proven that visitors see it
    /// ([`Summary::all_proven`](crate::Summary::all_proven)).
    #[cfg(feature = "verify")]
    Unproven(Box<Summary>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str(
                "no credentials: give an API token, or set CLOUDFLARE_API_TOKEN, or CLOUDFLARE_API_KEY and \
                 CLOUDFLARE_EMAIL",
            ),
            Self::Credentials(invalid) => write!(f, "{invalid}"),
            Self::BaseUrl(invalid) => write!(f, "not a base URL: {invalid}"),
            Self::UserAgent => f.write_str("the user agent holds characters that no header does"),
            Self::Plan(unknown) => write!(f, "CFCACHE_PLAN: {unknown}"),
            Self::Connection(error) => write!(f, "{error}"),
            Self::Id(invalid) => write!(f, "{invalid}"),
            Self::Entry { index, reason } => {
                write!(f, "entry {index} is invalid, and nothing was sent: {reason}")
            }
            Self::Empty => f.write_str("there is nothing to purge: the list is empty, and nothing was sent"),
            Self::Mixed => f.write_str(
                "everything, entries and a stream cannot be purged with one request, and nothing was sent",
            ),
            #[cfg(feature = "verify")]
            Self::VerifyUrl { url, reason } => {
                write!(f, "the URL to verify `{url}` is invalid, and nothing was sent: {reason}")
            }
            #[cfg(feature = "verify")]
            Self::NothingToVerify => f.write_str(
                "which URLs show this purge cannot be told, and nothing was sent: name them with `Verify::urls`",
            ),
            #[cfg(feature = "verify")]
            Self::Unproven(summary) => match &summary.verified {
                Some(verified) => {
                    let open = verified.survivors + verified.unproven;
                    write!(f, "{open} of {} URLs are not proven", verified.probed)?;
                    verified.open.first().map_or(Ok(()), |first| write!(f, ", the first: {first}"))
                }
                None => f.write_str("no URL was asked, so that nothing is proven"),
            },
            Self::Incomplete(summary) => {
                write!(f, "{} of {} entries were not accepted", summary.failed, summary.items)?;
                summary.failures.first().map_or(Ok(()), |first| write!(f, ", the first: {}", first.message))
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // What `Display` shows is that error itself, so its source is ours.
            Self::Connection(error) => error.source(),
            _ => None,
        }
    }
}

impl From<InvalidId> for Error {
    fn from(invalid: InvalidId) -> Self {
        Self::Id(invalid)
    }
}
