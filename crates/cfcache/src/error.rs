use core::error::Error as StdError;
use core::fmt;

use cfcache_model::InvalidInput;

use crate::summary::Summary;

/// Why a client cannot be built, why nothing was sent, or why a result is not complete.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No credentials were given.
    NoCredentials,
    /// The credentials cannot be used in a header.
    Credentials(InvalidInput),
    /// The base URL is invalid.
    BaseUrl(InvalidInput),
    /// The user agent contains characters that are not allowed in a header.
    UserAgent,
    /// An environment variable has an invalid value ([`Client::from_env`](crate::Client::from_env)).
    Variable {
        /// The name of the variable.
        name: &'static str,
        /// Why.
        reason: InvalidInput,
    },
    /// The connection cannot be set up.
    Connection(cfcache_transport::BuildError),
    /// A text is invalid: an id, an entry, a header, the name of a plan.
    Invalid(InvalidInput),
    /// An entry is invalid. Nothing was sent.
    Entry {
        /// The index of the entry, counted from 0 in the order in which entries were given.
        index: usize,
        /// Why.
        reason: InvalidInput,
    },
    /// There are no entries. This does not mean everything: nothing was sent.
    Empty,
    /// A request combines everything, entries and a stream. Nothing was sent.
    Mixed,
    /// Not all entries were accepted ([`Summary::into_result`]).
    Incomplete(Box<Summary>),
    /// A URL to verify is invalid. Nothing was sent.
    #[cfg(feature = "verify")]
    VerifyUrl {
        /// The URL.
        url: String,
        /// Why.
        reason: InvalidInput,
    },
    /// It is not known which URLs the purge affects, and no URLs to verify were given. Nothing was sent.
    #[cfg(feature = "verify")]
    NothingToVerify,
    /// All entries were accepted, but it is not proven that visitors no longer get the old copies
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
            Self::UserAgent => f.write_str("the user agent contains characters that are not allowed in a header"),
            Self::Variable { name, reason } => write!(f, "{name} is invalid: {reason}"),
            Self::Connection(error) => write!(f, "{error}"),
            Self::Invalid(invalid) => write!(f, "{invalid}"),
            Self::Entry { index, reason } => {
                write!(f, "the entry at index {index} is invalid, and nothing was sent: {reason}")
            }
            Self::Empty => f.write_str("there is nothing to purge: the list is empty, and nothing was sent"),
            Self::Mixed => f.write_str(
                "everything, entries and a stream cannot be combined in one request; nothing was sent",
            ),
            #[cfg(feature = "verify")]
            Self::VerifyUrl { url, reason } => {
                write!(f, "the URL to verify `{url}` is invalid, and nothing was sent: {reason}")
            }
            #[cfg(feature = "verify")]
            Self::NothingToVerify => f.write_str(
                "it is not known which URLs this purge affects: name URLs to verify with `Verify::urls`; nothing was sent",
            ),
            #[cfg(feature = "verify")]
            Self::Unproven(summary) => match &summary.verified {
                Some(verified) => {
                    let open = verified.survivors + verified.unproven;
                    write!(f, "{open} of {} URLs are not proven", verified.probed)?;
                    verified.open.first().map_or(Ok(()), |first| write!(f, ", the first: {first}"))
                }
                None => f.write_str("no URL was checked, so nothing is proven"),
            },
            Self::Incomplete(summary) => {
                write!(f, "{} of {} entries were not accepted", summary.failed, summary.items)?;
                summary.failures.first().map_or(Ok(()), |first| write!(f, ", the first: {first}"))
            }
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // `Display` shows the message of this error itself, so only its source remains.
            Self::Connection(error) => error.source(),
            _ => None,
        }
    }
}

impl From<InvalidInput> for Error {
    fn from(invalid: InvalidInput) -> Self {
        Self::Invalid(invalid)
    }
}
