//! The body of an answer: complete, slow, or incomplete.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::serve::connection::{Order, ServerConnection};

/// The delay before a connection is reset, so that sent bytes can arrive. A reset discards bytes in transit.
const SETTLE: Duration = Duration::from_millis(30);

/// The number of pieces of a slow body.
const PIECES: u32 = 10;

/// A body that is sent in steps.
pub(super) struct FaultyBody {
    steps: VecDeque<BodyStep>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The announced length that has not been sent yet.
    promised: u64,
}

enum BodyStep {
    Send(Bytes),
    Wait(Duration),
    Reset(Arc<ServerConnection>),
    Break,
}

/// The error that ends an answer early. Only hyper sees it: it closes the connection, or the stream on HTTP/2.
pub(super) fn truncated() -> io::Error {
    io::Error::other("truncated by a fault")
}

impl FaultyBody {
    pub(super) fn all(body: Bytes) -> Self {
        let promised = body.len() as u64;
        let steps = if body.is_empty() { VecDeque::new() } else { VecDeque::from([BodyStep::Send(body)]) };
        Self { steps, sleep: None, promised }
    }

    /// Resets the connection after this many bytes, or half of them.
    pub(super) fn reset_after(body: Bytes, bytes: Option<usize>, connection: &Arc<ServerConnection>) -> Self {
        Self::part(body, bytes, BodyStep::Reset(Arc::clone(connection)))
    }

    /// Ends the body early after this many bytes, or half of them.
    pub(super) fn truncated_after(body: Bytes, bytes: Option<usize>) -> Self {
        Self::part(body, bytes, BodyStep::Break)
    }

    /// Sends the whole body over this time.
    pub(super) fn slow(body: &Bytes, time: Duration) -> Self {
        let size = body.len().div_ceil(PIECES as usize).max(1);
        let mut pieces = body.chunks(size).map(|piece| body.slice_ref(piece));
        let pause = time / PIECES;
        let mut steps = VecDeque::new();
        for piece in &mut pieces {
            steps.extend([BodyStep::Wait(pause), BodyStep::Send(piece)]);
        }
        Self { steps, sleep: None, promised: body.len() as u64 }
    }

    fn part(body: Bytes, bytes: Option<usize>, end: BodyStep) -> Self {
        let promised = body.len() as u64;
        // At least one byte is not sent, so that the body is incomplete.
        let bytes = bytes.unwrap_or(body.len() / 2).min(body.len().saturating_sub(1));
        let steps = [BodyStep::Send(body.slice(..bytes)), BodyStep::Wait(SETTLE), end].into();
        Self { steps, sleep: None, promised }
    }
}

impl Body for FaultyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(context));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(BodyStep::Send(bytes)) => {
                    self.promised = self.promised.saturating_sub(bytes.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(BodyStep::Wait(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(BodyStep::Break) => return Poll::Ready(Some(Err(truncated()))),
                Some(BodyStep::Reset(connection)) => {
                    connection.order(Order::Reset);
                    // Nothing wakes this task: the connection is dropped together with the body.
                    self.steps.push_front(BodyStep::Reset(connection));
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}
