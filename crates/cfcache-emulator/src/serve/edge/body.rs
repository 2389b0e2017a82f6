//! The bodies of the edge's answers: from the cache, from the origin, or from both.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;

use bytes::{Bytes, BytesMut};
use cfcache_edge::Failure;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Sleep};

/// The number of bytes of a file to read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The body of an answer to a visitor.
pub(crate) enum EdgeBody {
    /// The complete body.
    Whole(Option<Bytes>),
    /// From the origin, without storing it.
    Origin(OriginBody),
    /// From the origin, while it is also collected for the cache.
    Shared { pieces: UnboundedReceiver<Piece>, rest: Option<OriginBody> },
    /// The collected part, followed by the rest from the origin.
    Resumed { pieces: VecDeque<Bytes>, rest: OriginBody },
}

/// A piece of a body that is being collected.
pub(crate) enum Piece {
    Data(Bytes),
    /// The body is too large for the cache; the rest is not collected.
    Rest(OriginBody),
    /// The origin closed the connection early.
    Broken,
}

/// A body from the origin.
pub(crate) enum OriginBody {
    /// From a server. The timeout applies to each piece.
    Server { body: Incoming, timeout: Duration, sleep: Option<Pin<Box<Sleep>>> },
    /// From a file, with the number of remaining bytes.
    File { file: File, left: u64 },
    /// A text for a folder without a file.
    Text(Option<Bytes>),
}

/// Why a body is incomplete.
#[derive(Debug)]
pub(crate) enum BrokenBody {
    /// The origin closed the connection early.
    Origin(hyper::Error),
    /// The origin paused for too long.
    Timeout,
    /// The file can no longer be read.
    File(io::Error),
    /// The origin closed the connection early while the body was collected.
    Collected,
}

impl BrokenBody {
    pub(super) const fn failure(&self) -> Failure {
        match self {
            Self::Timeout => Failure::Timeout,
            Self::Origin(_) | Self::File(_) | Self::Collected => Failure::Closed,
        }
    }
}

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Origin(_) | Self::Collected => "the origin closed the connection early",
            Self::Timeout => "the origin sent nothing for too long",
            Self::File(_) => "the file cannot be read",
        })
    }
}

impl core::error::Error for BrokenBody {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Origin(error) => Some(error),
            Self::File(error) => Some(error),
            Self::Timeout | Self::Collected => None,
        }
    }
}

impl EdgeBody {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self::Whole((!body.is_empty()).then_some(body))
    }

    pub(super) const fn shared(pieces: UnboundedReceiver<Piece>) -> Self {
        Self::Shared { pieces, rest: None }
    }

    pub(super) fn resumed(pieces: Vec<Bytes>, rest: OriginBody) -> Self {
        Self::Resumed { pieces: pieces.into(), rest }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BrokenBody>>>;

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Origin(body) => Pin::new(body).poll_frame(context),
            Self::Resumed { pieces, rest } => match pieces.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Pin::new(rest).poll_frame(context),
            },
            Self::Shared { pieces, rest } => loop {
                if let Some(rest) = rest {
                    return Pin::new(rest).poll_frame(context);
                }
                match ready!(pieces.poll_recv(context)) {
                    None => return Poll::Ready(None),
                    Some(Piece::Data(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    Some(Piece::Rest(body)) => *rest = Some(body),
                    Some(Piece::Broken) => return Poll::Ready(Some(Err(BrokenBody::Collected))),
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Origin(body) => body.size_hint(),
            // The length is in the head, if it is known.
            Self::Shared { .. } | Self::Resumed { .. } => SizeHint::new(),
        }
    }
}

impl OriginBody {
    pub(super) const fn server(body: Incoming, timeout: Duration) -> Self {
        Self::Server { body, timeout, sleep: None }
    }

    pub(super) fn text(text: Bytes) -> Self {
        Self::Text((!text.is_empty()).then_some(text))
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Server { body, timeout, sleep } => {
                if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
                    *sleep = None;
                    return Poll::Ready(frame.map(|frame| frame.map_err(BrokenBody::Origin)));
                }
                let until = Instant::now() + *timeout;
                let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                ready!(sleep.as_mut().poll(context));
                Poll::Ready(Some(Err(BrokenBody::Timeout)))
            }
            Self::File { file, left } => {
                if *left == 0 {
                    return Poll::Ready(None);
                }
                let most = usize::try_from(*left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                let mut buffer = BytesMut::zeroed(most);
                let mut read = ReadBuf::new(&mut buffer);
                let result = ready!(Pin::new(file).poll_read(context, &mut read));
                let length = read.filled().len();
                Poll::Ready(Some(match result {
                    Ok(()) if length > 0 => {
                        *left -= length as u64;
                        buffer.truncate(length);
                        Ok(Frame::data(buffer.freeze()))
                    }
                    // The file has become shorter since the head was sent.
                    Ok(()) => Err(BrokenBody::File(io::ErrorKind::UnexpectedEof.into())),
                    Err(error) => Err(BrokenBody::File(error)),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Server { body, .. } => body.is_end_stream(),
            Self::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Server { body, .. } => body.size_hint(),
            Self::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}
