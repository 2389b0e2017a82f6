//! One connection: the HTTP handshake, and the requests that are sent on it.

use core::convert::Infallible;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Uri;
use http::header::HOST;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::hyper::deadline::Deadline;
use crate::hyper::dial::Route;
use crate::hyper::failure::{self, NotProcessed};
use crate::hyper::tls::{Protocol, Stream};
use crate::{Cause, Delivery, Phase, TransportError};

/// How often an HTTP/2 peer is pinged while a request is in flight, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// The value of `current_max_send_streams` before the server's SETTINGS frame has arrived.
///
/// No server can set it: the setting has 32 bits, and without the setting h2 returns `usize::MAX`.
const LIMIT_UNKNOWN: usize = usize::MAX - 1;

/// A connection that is ready for requests.
pub(crate) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

/// An HTTP/1.1 connection, which carries one request at a time.
pub(crate) struct Http1 {
    /// `None` once the connection has ended.
    sender: Option<http1::SendRequest<Payload>>,
    ended: oneshot::Receiver<()>,
    link: Arc<Link>,
    /// The task that runs the connection. Dropping this closes the connection.
    _driver: JoinSet<()>,
}

/// A handle to an HTTP/2 connection, which carries many requests.
#[derive(Clone)]
pub(crate) struct Http2 {
    /// `None` after this handle has sent its request.
    sender: Option<http2::SendRequest<Payload>>,
    link: Arc<Link>,
}

impl Connection {
    /// Starts HTTP on a stream. `changed` is called whenever a waiting request may find a free connection.
    pub(crate) async fn start(
        stream: Stream,
        protocol: Protocol,
        peer: &str,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, TransportError> {
        let link = Arc::new(Link::new(peer));
        let io = TokioIo::new(Watched { stream: TokioIo::new(stream), link: Arc::clone(&link) });
        let fail = |error| failure::exchange(error, Delivery::NotSent, Phase::Connect, peer);
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(fail)?;
                let (end, ended) = oneshot::channel();
                let mut driver = JoinSet::new();
                driver.spawn(async move {
                    // The request in flight gets the error; an idle connection has nothing to report.
                    drop(connection.await);
                    drop(end);
                    changed();
                });
                Ok(Self::Http1(Http1 { sender: Some(sender), ended, link, _driver: driver }))
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder
                    .timer(TokioTimer::new())
                    .initial_max_send_streams(LIMIT_UNKNOWN)
                    .keep_alive_interval(PING_EVERY)
                    .keep_alive_timeout(PONG_WITHIN)
                    .keep_alive_while_idle(false);
                let (sender, mut connection) = builder.handshake(io).await.map_err(fail)?;
                let watched = Arc::clone(&link);
                drop(tokio::spawn(async move {
                    loop {
                        let mut arrived = pin!(watched.arrived.notified());
                        let ended = poll_fn(|cx| {
                            let ended = Pin::new(&mut connection).poll(cx).is_ready();
                            let limit = connection.current_max_send_streams() as u64;
                            if watched.streams.swap(limit, Ordering::Relaxed) != limit {
                                changed();
                            }
                            match (ended, arrived.as_mut().poll(cx)) {
                                (true, _) => Poll::Ready(true),
                                (false, Poll::Ready(())) => Poll::Ready(false),
                                (false, Poll::Pending) => Poll::Pending,
                            }
                        });
                        if ended.await {
                            break;
                        }
                    }
                    drop(connection);
                    changed();
                }));
                Ok(Self::Http2(Http2 { sender: Some(sender), link }))
            }
        }
    }
}

impl Http1 {
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(http1::SendRequest::is_closed)
    }

    /// Waits until the previous exchange is complete. Returns `false` if the connection has ended.
    pub(crate) async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        }
    }
}

impl Http2 {
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(http2::SendRequest::is_closed)
    }

    /// Returns whether both are handles to the same connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.link, &other.link)
    }

    /// The number of concurrent streams that the server allows; `None` until it has announced it.
    pub(crate) fn limit(&self) -> Option<usize> {
        let limit = self.link.streams.load(Ordering::Relaxed);
        (limit != LIMIT_UNKNOWN as u64).then(|| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// The shared state of a connection: hyper's tasks write it, the exchanges read it.
struct Link {
    peer: String,
    /// Counts reads that returned data, to distinguish a slow server from a dead connection.
    reads: AtomicU64,
    /// HTTP/2: the server's limit.
    streams: AtomicU64,
    /// Notified when everything that has arrived was processed.
    arrived: Notify,
    /// Requests that are not on the wire yet.
    unwritten: Mutex<Vec<Unwritten>>,
}

struct Unwritten {
    taken: Arc<AtomicBool>,
    written: oneshot::Sender<()>,
}

impl Link {
    fn new(peer: &str) -> Self {
        Self {
            peer: peer.to_owned(),
            reads: AtomicU64::new(0),
            streams: AtomicU64::new(LIMIT_UNKNOWN as u64),
            arrived: Notify::new(),
            unwritten: Mutex::default(),
        }
    }

    fn payload(&self, bytes: Bytes) -> (Payload, oneshot::Receiver<()>) {
        let taken = Arc::new(AtomicBool::new(false));
        let (written, when_written) = oneshot::channel();
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.retain(|request| !request.written.is_closed());
        unwritten.push(Unwritten { taken: Arc::clone(&taken), written });
        (Payload { bytes, taken }, when_written)
    }

    /// Marks all requests that hyper has taken as written.
    fn flushed(&self) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        for request in unwritten.extract_if(.., |request| request.taken.load(Ordering::Acquire)) {
            // The receiver is gone if the response came early.
            let _: Result<(), ()> = request.written.send(());
        }
    }
}

/// Counts reads and detects completed writes on a connection.
struct Watched {
    stream: TokioIo<Stream>,
    link: Arc<Link>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.link.reads.fetch_add(1, Ordering::Relaxed);
        } else if polled.is_pending() && self.link.streams.load(Ordering::Relaxed) == LIMIT_UNKNOWN as u64 {
            // hyper reads again only after it has processed the previous data, so the limit is known now.
            self.link.arrived.notify_one();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.link.flushed();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of a request, passed to hyper in pieces to detect when the last one was taken.
pub(crate) struct Payload {
    bytes: Bytes,
    taken: Arc<AtomicBool>,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        /// The largest DATA frame that every HTTP/2 peer accepts (RFC 9113, section 4.2).
        const PIECE: usize = 16 * 1024;
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.bytes.len().min(PIECE);
        let piece = self.bytes.split_to(piece);
        if self.bytes.is_empty() {
            self.taken.store(true, Ordering::Release);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// hyper calls this when it takes the headers of a request; for an empty body it calls nothing else.
    fn is_end_stream(&self) -> bool {
        if self.bytes.is_empty() {
            self.taken.store(true, Ordering::Release);
        }
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// A failed exchange, and whether the request may be resent.
pub(crate) struct Failed {
    pub(crate) error: TransportError,
    /// Evidence that the server did not process the request; `None` if it may have.
    pub(crate) not_processed: Option<NotProcessed>,
    /// Whether the connection can be used for other requests.
    pub(crate) fit: bool,
}

impl Http1 {
    /// Sends `message`, and passes the body of the response to `take`. Returns `true` if the connection can carry
    /// another exchange.
    pub(crate) async fn exchange(
        &mut self,
        message: &http::Request<Bytes>,
        route: &Route,
        deadline: Deadline,
        max_body: usize,
        take: &mut TakePiece<'_>,
    ) -> Result<(http::Response<u64>, bool), Failed> {
        let (payload, written) = self.link.payload(message.body().clone());
        let mut request = copy(message, payload);
        if let Some(proxy) = route.forward_proxy() {
            *request.uri_mut() = route.uri(message.uri());
            if let Some(credentials) = proxy.credentials() {
                request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, credentials.clone());
            }
        } else if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(path);
        }
        request.headers_mut().insert(HOST, route.host.clone());
        let Some(sender) = &mut self.sender else { return Err(closed(&self.link)) };
        let mut sending = pin!(sender.try_send_request(request));
        let (sender, ended) = (&mut self.sender, &mut self.ended);
        // A request that enters the channel while hyper drops the other end can stay there forever (hyper issue 4122).
        // Dropping the sender drops the channel, which returns the request.
        let sending = poll_fn(|cx| {
            if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                return Poll::Ready(sent);
            }
            if sender.is_some() && Pin::new(&mut *ended).poll(cx).is_ready() {
                *sender = None;
                return sending.as_mut().poll(cx);
            }
            Poll::Pending
        });
        let (response, whole) = exchange(sending, written, &self.link, deadline, max_body, take).await?;
        // A server that responds early may never read the rest of the request, and the next one would wait behind it.
        Ok((response, whole && !self.is_closed()))
    }
}

impl Http2 {
    /// Sends `message` on its own stream, and passes the body of the response to `take`.
    pub(crate) async fn exchange(
        &mut self,
        message: &http::Request<Bytes>,
        route: &Route,
        deadline: Deadline,
        max_body: usize,
        take: &mut TakePiece<'_>,
    ) -> Result<http::Response<u64>, Failed> {
        let (payload, written) = self.link.payload(message.body().clone());
        let mut request = copy(message, payload);
        // HTTP/2 carries the authority in the URI; a `Host` header would only repeat it.
        *request.uri_mut() = route.uri(message.uri());
        request.headers_mut().remove(HOST);
        let Some(mut sender) = self.sender.take() else { return Err(closed(&self.link)) };
        let sending = sender.try_send_request(request);
        // Dropped while waiting, so that the channel can be dropped as described above: the pool drops its own handle
        // when the connection ends.
        drop(sender);
        let (response, _) = exchange(sending, written, &self.link, deadline, max_body, take).await?;
        Ok(response)
    }
}

fn copy(message: &http::Request<Bytes>, payload: Payload) -> http::Request<Payload> {
    let mut request = http::Request::new(payload);
    *request.method_mut() = message.method().clone();
    *request.uri_mut() = message.uri().clone();
    *request.headers_mut() = message.headers().clone();
    request
}

/// Takes a piece of the body of a response.
pub(crate) type TakePiece<'a> = dyn FnMut(Bytes) + Send + 'a;

type SendResult<B> = Result<http::Response<Incoming>, TrySendError<http::Request<B>>>;

/// Runs one exchange, phase by phase, and returns the response with the size of its body. Returns `true` if the whole
/// request was written before the response.
async fn exchange<B>(
    sending: impl Future<Output = SendResult<B>>,
    mut written: oneshot::Receiver<()>,
    link: &Link,
    deadline: Deadline,
    max_body: usize,
    take: &mut TakePiece<'_>,
) -> Result<(http::Response<u64>, bool), Failed> {
    let mut sending = pin!(sending);
    let peer = link.peer.as_str();
    let reads = || link.reads.load(Ordering::Relaxed);
    let late = |error, reads_before| Failed {
        error,
        not_processed: None,
        // A connection on which nothing arrived counts as dead: the next request gets another one.
        fit: reads() != reads_before,
    };

    let writing = poll_fn(|cx| {
        // Checks for the response first: it may arrive before the whole request is sent.
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            return Poll::Ready(Some(sent));
        }
        Pin::new(&mut written).poll(cx).map(|_| None)
    });
    let missed = || format!("`{peer}` did not accept the whole request");
    let mut whole = true;
    let mut before = reads();
    let sent = match deadline.run(Phase::Write, writing, missed).await {
        Err(error) => return Err(late(error, before)),
        Ok(Some(sent)) => {
            whole = written.try_recv().is_ok();
            sent
        }
        Ok(None) => {
            before = reads();
            let missed = || format!("`{peer}` sent no response");
            deadline.run(Phase::Head, sending, missed).await.map_err(|error| late(error, before))?
        }
    };
    let (head, body) = match sent {
        Ok(response) => response.into_parts(),
        Err(error) => {
            return Err(failed(error, if whole { Phase::Head } else { Phase::Write }, peer));
        }
    };

    before = reads();
    let missed = || format!("`{peer}` did not send the whole response");
    let mut failed = match deadline.run(Phase::Body, read(body, max_body, take, peer), missed).await {
        Ok(Ok(size)) => return Ok((http::Response::from_parts(head, size), whole)),
        Ok(Err(error)) => Failed { error, not_processed: None, fit: true },
        Err(error) => late(error, before),
    };
    failed.error = failed.error.with_head(head);
    Err(failed)
}

/// The error for a connection that ended before the request was sent.
fn closed(link: &Link) -> Failed {
    let detail = format!("`{}` closed the connection", link.peer);
    let error = TransportError::new(Delivery::NotSent, Phase::Write, Cause::Io, detail);
    Failed { error, not_processed: Some(NotProcessed::NotSent), fit: false }
}

fn failed<B>(mut error: TrySendError<http::Request<B>>, phase: Phase, peer: &str) -> Failed {
    let not_processed = match error.take_message() {
        Some(_) => Some(NotProcessed::NotSent),
        None => failure::proof_of_unprocessed(error.error()),
    };
    let delivery = if not_processed.is_some() { Delivery::NotSent } else { Delivery::Unknown };
    let phase = if not_processed == Some(NotProcessed::NotSent) { Phase::Write } else { phase };
    // A stream that the server reset does not affect the others; any other error ends the connection.
    let error = failure::exchange(error.into_error(), delivery, phase, peer);
    Failed { error, not_processed, fit: not_processed.is_none() }
}

/// Passes a body to `take`, and returns its size in bytes.
async fn read(
    body: Incoming,
    max_bytes: usize,
    take: &mut TakePiece<'_>,
    peer: &str,
) -> Result<u64, TransportError> {
    let max = max_bytes as u64;
    let too_large =
        |detail: String| TransportError::new(Delivery::Unknown, Phase::Body, Cause::TooLarge, detail);
    let mut body = pin!(body);
    let announced = body.size_hint().lower();
    if announced > max {
        return Err(too_large(format!(
            "`{peer}` announced a response of {announced} bytes; the limit is {max}"
        )));
    }
    let mut size = 0;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        // Trailers are ignored.
        let frame = frame.map_err(|error| failure::exchange(error, Delivery::Unknown, Phase::Body, peer))?;
        let Ok(piece) = frame.into_data() else { continue };
        size += piece.len() as u64;
        if size > max {
            return Err(too_large(format!("`{peer}` sent a response longer than the limit of {max} bytes")));
        }
        take(piece);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use tokio::time::Instant;

    use super::*;
    use crate::hyper::Timeouts;

    /// Sends a request that is never answered; returns the elapsed time and the error.
    async fn unanswered(timeouts: Timeouts) -> (Duration, TransportError) {
        let deadline = Deadline::start(timeouts);
        let (written, when_written) = oneshot::channel();
        written.send(()).unwrap();
        let started = Instant::now();
        let sending = pending::<SendResult<Payload>>();
        let Err(failed) = exchange(sending, when_written, &Link::new("a"), deadline, 1024, &mut |_| ()).await
        else {
            panic!("it was answered");
        };
        (started.elapsed(), failed.error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_timeout_waits_longer_for_the_response() {
        let (waited, error) = unanswered(Timeouts::new()).await;
        assert_eq!(waited.as_secs(), 30);
        assert_eq!(error.detail(), "`a` sent no response within 30 s");
        for seconds in [5, 60, 600] {
            let (waited, error) = unanswered(Timeouts::from_total(Duration::from_secs(seconds))).await;
            assert_eq!(waited.as_secs(), seconds);
            assert_eq!((error.phase(), error.cause()), (Phase::Head, Cause::TimedOut), "{seconds}");
        }
    }
}
