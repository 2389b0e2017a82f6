//! What the caller of a cache is told to do.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

/// What a request leads to.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Step {
    /// The answer.
    Answer {
        /// What the visitor gets.
        response: Response<Bytes>,
        /// A request to the origin that refreshes the object meanwhile; its answer goes to nobody.
        refresh: Option<Fetch>,
    },
    /// The origin is to be asked.
    Fetch(Fetch),
    /// Another request fetches the same object. When the ticket of that fill has ended, or at the latest at that time,
    /// the same request is to be handed in again.
    Wait(FillId, SystemTime),
}

/// A request to the origin.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// Which one it is; its [`Ticket::id`] is what others wait for.
    pub ticket: Ticket,
    /// The request; its URI is the visitor's. `Host` is set.
    pub request: Request<()>,
    /// Does the visitor's body go with it? Only for requests that are not eligible.
    pub with_body: bool,
}

/// The right and the duty to hand in an answer of the origin.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u64);

/// A fetch that others may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FillId(u64);

/// What the head of the origin's answer leads to.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Next {
    /// Send this head, and the body as it comes; for HEAD, the head alone. Nothing is kept, the ticket has ended.
    Pass(Response<()>),
    /// Read the body, and hand it in.
    Keep(Keep),
    /// Send this; the body of the origin is not wanted, the ticket has ended.
    Answer(Response<Bytes>),
}

/// A body that is to be kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct Keep {
    /// The ticket, for [`Edge::filled`](crate::Edge::filled), [`Edge::outgrown`](crate::Edge::outgrown), [`Edge::failed`](crate::Edge::failed) or [`Edge::abandoned`](crate::Edge::abandoned).
    pub ticket: Ticket,
    /// How many bytes may be kept; one more is [`Edge::outgrown`](crate::Edge::outgrown).
    pub limit: u64,
    /// The head of the visitor's answer, where the visitor gets the whole body: it may be sent at once, and the body as
    /// it comes, while a copy is collected. What [`Edge::filled`](crate::Edge::filled) returns is then sent to nobody.
    pub pass: Option<Response<()>>,
}

/// Why the origin gave no answer.
///
/// Source: <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It closed the connection without an answer, broke off, or answered what is not HTTP: 520.
    Closed,
    /// It refused the connection: 521.
    Refused,
    /// The connection did not come about in time: 522.
    ConnectTimeout,
    /// It was not reachable: 523.
    Unreachable,
    /// It was connected and did not answer in time: 524.
    Timeout,
}

impl Ticket {
    /// The fill that ends with this ticket; a [`Step::Wait`] names it.
    #[must_use]
    pub const fn id(&self) -> FillId {
        FillId(self.0)
    }
}

impl Failure {
    /// The status of the answer.
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
