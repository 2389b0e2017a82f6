//! The results that tell the caller of a cache what to do.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

/// The result of a request.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum RequestStep {
    /// The response.
    Answer {
        /// The response for the visitor.
        response: Response<Bytes>,
        /// A request to the origin that refreshes the object meanwhile; its response is not sent to a visitor.
        refresh: Option<Fetch>,
    },
    /// The request has to be sent to the origin.
    Fetch(Fetch),
    /// Another request is fetching the same object. Pass the same request again when the ticket of that fetch has
    /// ended, at the latest at that time.
    Wait(FillId, SystemTime),
}

/// A request to the origin.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// The ticket; other requests wait for its [`FetchTicket::id`].
    pub ticket: FetchTicket,
    /// The request; its URI is the visitor's. `Host` is set.
    pub request: Request<()>,
    /// Whether the visitor's body is sent with it; only for requests that are not eligible.
    pub with_body: bool,
}

/// A fetch that must be ended by passing the origin's response or failure.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FetchTicket(pub(crate) u64);

/// Identifies a fetch that others may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FillId(u64);

/// The result of the headers of the origin's response.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum ResponseStep {
    /// Send these headers, and the body as it arrives; for HEAD, only the headers. Nothing is kept, and the ticket has
    /// ended.
    Pass(Response<()>),
    /// Read the body, and pass it.
    Keep(Keep),
    /// Send this response; the origin's body is not needed, and the ticket has ended.
    Answer(Response<Bytes>),
}

/// A body that is to be kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct Keep {
    /// The ticket, for [`Edge::filled`](crate::Edge::filled), [`Edge::outgrown`](crate::Edge::outgrown), [`Edge::failed`](crate::Edge::failed) or [`Edge::abandoned`](crate::Edge::abandoned).
    pub ticket: FetchTicket,
    /// The maximum number of bytes; one more calls for [`Edge::outgrown`](crate::Edge::outgrown).
    pub limit: u64,
    /// The headers of the visitor's response, if the visitor gets the complete body: they may be sent at once, with the
    /// body as it arrives, while a copy is collected. The result of [`Edge::filled`](crate::Edge::filled) is then not
    /// sent.
    pub pass: Option<Response<()>>,
}

/// Why the origin gave no response.
///
/// Source: <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginFailure {
    /// It closed the connection without a complete response, or the response is not HTTP: 520.
    Closed,
    /// It refused the connection: 521.
    Refused,
    /// The connection was not established in time: 522.
    ConnectTimeout,
    /// It could not be reached: 523.
    Unreachable,
    /// It did not respond in time after connecting: 524.
    Timeout,
}

impl FetchTicket {
    /// The fetch that ends with this ticket; a [`RequestStep::Wait`] names it.
    #[must_use]
    pub const fn id(&self) -> FillId {
        FillId(self.0)
    }
}

impl OriginFailure {
    /// The status of the response.
    #[must_use]
    pub fn status(self) -> StatusCode {
        let code = match self {
            Self::Closed => 520,
            Self::Refused => 521,
            Self::ConnectTimeout => 522,
            Self::Unreachable => 523,
            Self::Timeout => 524,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Closed => "origin closed",
            Self::Refused => "origin refused",
            Self::ConnectTimeout => "origin connect timeout",
            Self::Unreachable => "origin unreachable",
            Self::Timeout => "origin timeout",
        }
    }
}
