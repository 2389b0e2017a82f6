//! The bodies of the edge's answers: from the cache, from the origin, or from both.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use bytes::{Bytes, BytesMut};
use cfcache_edge::OriginFailure;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Sleep};

/// The number of bytes of a file to read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The body of an answer of the edge or of its origin.
pub(crate) enum EdgeBody {
    /// The complete body: from the cache, or a text of the edge.
    Whole(Option<Bytes>),
    /// From a server. The timeout applies to each piece.
    Server { body: Incoming, timeout: Duration, sleep: Option<Pin<Box<Sleep>>> },
    /// From a file, with the number of remaining bytes.
    File { file: File, left: u64 },
    /// The parts of a body that is also collected for the cache, one after the other.
    Parts { parts: UnboundedReceiver<Self>, current: Option<Box<Self>> },
    /// Ends a body early, because the origin did.
    Broken,
}

/// Returns how the origin failed that sent an incomplete body.
pub(super) fn failure(error: &io::Error) -> OriginFailure {
    match error.kind() {
        io::ErrorKind::TimedOut => OriginFailure::Timeout,
        _ => OriginFailure::Closed,
    }
}

impl EdgeBody {
    pub(crate) fn whole(body: Bytes) -> Self {
        Self::Whole((!body.is_empty()).then_some(body))
    }

    pub(super) const fn server(body: Incoming, timeout: Duration) -> Self {
        Self::Server { body, timeout, sleep: None }
    }

    pub(super) const fn parts(parts: UnboundedReceiver<Self>) -> Self {
        Self::Parts { parts, current: None }
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Server { body, timeout, sleep } => {
                if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
                    *sleep = None;
                    return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
                }
                let until = Instant::now() + *timeout;
                let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                ready!(sleep.as_mut().poll(context));
                let error = io::Error::new(io::ErrorKind::TimedOut, "the origin sent nothing for too long");
                Poll::Ready(Some(Err(error)))
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
                    Ok(()) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) => Err(error),
                }))
            }
            Self::Parts { parts, current } => loop {
                if let Some(part) = current {
                    match ready!(Pin::new(&mut **part).poll_frame(context)) {
                        Some(frame) => return Poll::Ready(Some(frame)),
                        None => *current = None,
                    }
                }
                match ready!(parts.poll_recv(context)) {
                    Some(part) => *current = Some(Box::new(part)),
                    None => return Poll::Ready(None),
                }
            },
            Self::Broken => {
                Poll::Ready(Some(Err(io::Error::other("the origin closed the connection early"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_none(),
            Self::Server { body, .. } => body.is_end_stream(),
            Self::File { left, .. } => *left == 0,
            Self::Parts { .. } | Self::Broken => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Server { body, .. } => body.size_hint(),
            Self::File { left, .. } => SizeHint::with_exact(*left),
            // The length is in the head, if it is known.
            Self::Parts { .. } | Self::Broken => SizeHint::new(),
        }
    }
}
