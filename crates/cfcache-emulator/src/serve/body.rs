//! The bodies of answers: complete, in pieces, or incomplete.

use core::future;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;

/// The delay before a body ends early, so that the sent bytes can arrive. A reset discards bytes in transit.
const SETTLE: Duration = Duration::from_millis(30);

/// The number of pieces of a slow body.
const PIECES: u32 = 10;

/// The number of bytes of a file to read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The body of an answer. Unless it is [`whole`], its length has to be in the head.
///
/// Only hyper sees an error: it closes the connection, or the stream on HTTP/2.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// Sends these bytes.
pub(super) fn whole(body: Bytes) -> ResponseBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// Sends these bytes over a time.
pub(super) fn slow(body: Bytes, time: Duration) -> ResponseBody {
    let size = body.len().div_ceil(PIECES as usize);
    let pause = time / PIECES;
    in_frames(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok(Frame::data(piece)), rest))
    }))
}

/// Sends the first half, or this many bytes, and then ends early.
pub(super) fn incomplete(
    body: &Bytes,
    bytes: Option<usize>,
    end: impl Future<Output = io::Error> + Send + 'static,
) -> ResponseBody {
    // At least one byte is not sent.
    let bytes = bytes.unwrap_or(body.len() / 2).min(body.len().saturating_sub(1));
    let sent = stream::once(future::ready(Ok(Frame::data(body.slice(..bytes)))));
    let end = stream::once(async move {
        tokio::time::sleep(SETTLE).await;
        Err(end.await)
    });
    in_frames(sent.chain(end))
}

/// Sends the body of a server. The timeout applies to each piece.
pub(super) fn from_server(body: Incoming, timeout: Duration) -> ResponseBody {
    in_frames(stream::unfold(body, move |mut body| async move {
        let frame = match tokio::time::timeout(timeout, body.frame()).await {
            Ok(frame) => frame?.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the origin sent nothing for too long")),
        };
        Some((frame, body))
    }))
}

/// Sends this many bytes of a file.
pub(super) fn from_file(file: File, length: u64) -> ResponseBody {
    in_frames(stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let mut piece = BytesMut::zeroed(most);
        let read = file.read(&mut piece).await?;
        if read == 0 {
            // The file has become shorter since the head was sent.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        Ok(Some((Frame::data(piece.freeze()), (file, left - read as u64))))
    }))
}

/// Sends a piece of a body, whose memory is released when the client takes it, or is gone.
pub(super) fn piece(bytes: Bytes, memory: Arc<OwnedSemaphorePermit>) -> ResponseBody {
    in_frames(stream::once(async move {
        drop(memory);
        Ok(Frame::data(bytes))
    }))
}

/// Sends bodies one after the other, as they are received.
pub(super) fn parts(mut parts: UnboundedReceiver<ResponseBody>) -> ResponseBody {
    in_frames(stream::poll_fn(move |context| parts.poll_recv(context)).flat_map(BodyStream::new))
}

/// Ends early, because the origin did.
pub(super) fn broken() -> ResponseBody {
    let error = io::Error::other("the origin closed the connection early");
    in_frames(stream::once(future::ready(Err(error))))
}

fn in_frames(frames: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static) -> ResponseBody {
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    #[tokio::test]
    async fn a_part_that_is_not_read_holds_its_memory() {
        let memory = Arc::new(Semaphore::new(10));
        let (sender, receiver) = mpsc::unbounded_channel();
        for _ in 0..3 {
            let taken = Arc::clone(&memory).try_acquire_many_owned(3).unwrap();
            sender.send(piece(Bytes::from_static(b"abc"), Arc::new(taken))).unwrap();
        }
        let mut body = parts(receiver);
        assert_eq!(memory.available_permits(), 1);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert_eq!(memory.available_permits(), 4);
        // The visitor leaves.
        drop(body);
        assert_eq!(memory.available_permits(), 10);
    }
}
