//! One connection: the handshake, one exchange on it, and what is known about both.

use core::convert::Infallible;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::Uri;
use http::header::HOST;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::hyper::deadline::{Deadline, Expired};
use crate::hyper::failure::{self, Unprocessed};
use crate::hyper::tls::{Protocol, Stream};
use crate::hyper::{Proxy, Route, Timeouts};
use crate::{Cause, Delivery, Phase, Response, TransportError};

/// How often a peer is asked over HTTP/2 whether it is still there while a request is in flight, and how long it
/// may take to say so.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// What `current_max_send_streams` says until the server's SETTINGS frame has come.
///
/// No server can set it: the setting has 32 bits, and without the setting h2 says `usize::MAX`.
const LIMIT_UNKNOWN: usize = usize::MAX - 1;

/// A connection that is ready for requests.
pub(crate) enum Connected {
    Http1(Http1),
    Http2(Http2),
}

/// An HTTP/1.1 connection, which carries one exchange at a time.
pub(crate) struct Http1 {
    /// `None` once the connection has ended.
    sender: Option<http1::SendRequest<Payload>>,
    ended: oneshot::Receiver<()>,
    link: Arc<Link>,
    /// Held to be dropped.
    _driver: Driver,
}

/// A handle on an HTTP/2 connection, which carries many.
#[derive(Clone)]
pub(crate) struct Http2 {
    /// `None` once this handle has sent its request.
    sender: Option<http2::SendRequest<Payload>>,
    link: Arc<Link>,
}

/// The task that moves an HTTP/1.1 connection's bytes; the connection is cut when this is dropped.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connected {
    /// Starts HTTP on a stream. `changed` is called whenever a waiting request may find more room than before.
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
                let task = tokio::spawn(async move {
                    // Its error reaches the request that it concerns; an idle connection may end as it likes.
                    drop(connection.await);
                    drop(end);
                    changed();
                });
                Ok(Self::Http1(Http1 {
                    sender: Some(sender),
                    ended,
                    link,
                    _driver: Driver(task.abort_handle()),
                }))
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

    /// Waits until the exchange before is wound up. `false` if the connection has ended instead.
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

    /// How many streams the server allows at once; `None` until it has said so.
    pub(crate) fn limit(&self) -> Option<usize> {
        let limit = self.link.streams.load(Ordering::Relaxed);
        (limit != LIMIT_UNKNOWN as u64).then(|| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// What both sides of a connection know of it: hyper's tasks write, the exchanges read.
struct Link {
    peer: String,
    /// Counts the reads that brought something, to tell a slow server from a dead connection.
    reads: AtomicU64,
    /// HTTP/2: the server's limit.
    streams: AtomicU64,
    /// Told when everything that has arrived was worked through.
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

    /// Everything that hyper had taken is on its way now.
    fn flushed(&self) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        for request in unwritten.extract_if(.., |request| request.taken.load(Ordering::Acquire)) {
            // Nobody listens any more where the answer came early.
            let _: Result<(), ()> = request.written.send(());
        }
    }
}

/// Counts reads and notices complete writes on a connection.
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
            // hyper reads again only when it has worked through what came before: now it knows the limit.
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

/// A request's body, given to hyper in pieces so that it is plain when the last one was taken.
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

    /// hyper asks this when it takes the request's head, and of an empty body it asks nothing else.
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

/// How an exchange failed, and whether it may be repeated here.
pub(crate) struct Failed {
    pub(crate) error: TransportError,
    /// Proof that the server did not process it, `None` where it may have.
    pub(crate) unsent: Option<Unsent>,
    /// Whether the connection is fit for other requests.
    pub(crate) fit: bool,
}

/// Why it is certain that a request was not processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// hyper gave it back before a byte of it was written.
    Returned,
    /// The server said so.
    Said(Unprocessed),
}

impl Http1 {
    /// Sends `message` and reads the answer. `true` says that the connection can carry another exchange.
    pub(crate) async fn exchange(
        &mut self,
        message: &http::Request<Bytes>,
        route: &Route,
        limits: &ExchangeLimits,
        sink: &mut Sink<'_>,
    ) -> Result<(Response, bool), Failed> {
        let (payload, written) = self.link.payload(message.body().clone());
        let mut request = copy(message, payload);
        if route.absolute_form {
            *request.uri_mut() = route.uri(message.uri());
            if let Some(credentials) = route.forward_proxy.as_ref().and_then(Proxy::credentials) {
                request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, credentials.clone());
            }
        } else if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(path);
        }
        request.headers_mut().insert(HOST, route.host.clone());
        let Some(sender) = &mut self.sender else { return Err(closed(&self.link)) };
        let mut sending = pin!(sender.try_send_request(request));
        let (sender, ended) = (&mut self.sender, &mut self.ended);
        // A request that is put into the channel while hyper drops the other end can stay there for ever
        // (hyper issue 4122). With the sender the channel goes too, and gives the request back.
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
        let (response, whole) = exchange(sending, written, &self.link, limits, sink).await?;
        // A server that answers early may never read the rest, and the next request would queue up behind it.
        Ok((response, whole && !self.is_closed()))
    }
}

impl Http2 {
    /// Sends `message` on a stream of its own and reads the answer.
    pub(crate) async fn exchange(
        &mut self,
        message: &http::Request<Bytes>,
        route: &Route,
        limits: &ExchangeLimits,
        sink: &mut Sink<'_>,
    ) -> Result<Response, Failed> {
        let (payload, written) = self.link.payload(message.body().clone());
        let mut request = copy(message, payload);
        // HTTP/2 carries the authority in the URI; beside it a Host header is at best a copy.
        *request.uri_mut() = route.uri(message.uri());
        request.headers_mut().remove(HOST);
        let Some(mut sender) = self.sender.take() else { return Err(closed(&self.link)) };
        let sending = sender.try_send_request(request);
        // Not kept while waiting, so that the channel can go, as above: the pool drops its own handle when the
        // connection ends.
        drop(sender);
        let (response, _) = exchange(sending, written, &self.link, limits, sink).await?;
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

/// What bounds an exchange.
pub(crate) struct ExchangeLimits {
    pub(crate) deadline: Deadline,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body: usize,
}

/// Where an answer's body goes.
pub(crate) enum Sink<'a> {
    /// Into the response.
    Keep,
    /// To the caller, piece by piece; so many bytes so far.
    Pass { take: &'a mut (dyn FnMut(&[u8]) + Send), bytes: u64 },
}

type SendResult<B> = Result<http::Response<Incoming>, TrySendError<http::Request<B>>>;

/// Runs one exchange, phase by phase. `true` says that the request was written in whole when the answer came.
async fn exchange<B>(
    sending: impl Future<Output = SendResult<B>>,
    mut written: oneshot::Receiver<()>,
    link: &Link,
    limits: &ExchangeLimits,
    sink: &mut Sink<'_>,
) -> Result<(Response, bool), Failed> {
    let ExchangeLimits { deadline, timeouts, max_body } = limits;
    let mut sending = pin!(sending);
    let peer = link.peer.as_str();
    let reads = || link.reads.load(Ordering::Relaxed);
    let late = |expired: Expired, phase, missed: &str, reads_before| Failed {
        error: expired.into_error(Delivery::Unknown, phase, format_args!("`{peer}` {missed}")),
        unsent: None,
        // A connection on which nothing at all arrived is taken for dead: the next request gets another.
        fit: reads() != reads_before,
    };

    let in_write = deadline.within(timeouts.write, async {
        poll_fn(|cx| {
            // The answer first: it may come before all of the request is out.
            if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                return Poll::Ready(Some(sent));
            }
            Pin::new(&mut written).poll(cx).map(|_| None)
        })
        .await
    });
    let mut whole = true;
    let mut before = reads();
    let sent = match in_write.await {
        Err(expired) => return Err(late(expired, Phase::Write, "did not take the whole request", before)),
        Ok(Some(sent)) => {
            whole = written.try_recv().is_ok();
            sent
        }
        Ok(None) => {
            before = reads();
            match deadline.within(timeouts.head, sending).await {
                Err(expired) => return Err(late(expired, Phase::Head, "sent no answer", before)),
                Ok(sent) => sent,
            }
        }
    };
    let (head, body) = match sent {
        Ok(response) => response.into_parts(),
        Err(error) => {
            return Err(failed(error, if whole { Phase::Head } else { Phase::Write }, peer));
        }
    };

    before = reads();
    let mut failed = match deadline.within(timeouts.body, read(body, *max_body, sink)).await {
        Ok(Ok(bytes)) => return Ok((http::Response::from_parts(head, bytes), whole)),
        Ok(Err(BrokenRead::TooLong(found))) => {
            let detail = match found {
                Some(found) => {
                    format!("`{peer}` announced an answer of {found} bytes, and {max_body} are allowed")
                }
                None => format!("`{peer}` sent more than the {max_body} bytes allowed for an answer"),
            };
            let error = TransportError::new(Delivery::Unknown, Phase::Body, Cause::TooLarge, detail);
            Failed { error, unsent: None, fit: true }
        }
        Ok(Err(BrokenRead::Broken(error))) => {
            let error = failure::exchange(error, Delivery::Unknown, Phase::Body, peer);
            Failed { error, unsent: None, fit: true }
        }
        Err(expired) => late(expired, Phase::Body, "did not send the whole answer", before),
    };
    failed.error = failed.error.with_head(head);
    Err(failed)
}

/// The connection ended before it was asked for anything.
fn closed(link: &Link) -> Failed {
    let detail = format!("`{}` closed the connection", link.peer);
    let error = TransportError::new(Delivery::NotSent, Phase::Write, Cause::Io, detail);
    Failed { error, unsent: Some(Unsent::Returned), fit: false }
}

fn failed<B>(mut error: TrySendError<http::Request<B>>, phase: Phase, peer: &str) -> Failed {
    let unsent = match error.take_message() {
        Some(_) => Some(Unsent::Returned),
        None => failure::proof_of_unprocessed(error.error()).map(Unsent::Said),
    };
    let delivery = if unsent.is_some() { Delivery::NotSent } else { Delivery::Unknown };
    let phase = if unsent == Some(Unsent::Returned) { Phase::Write } else { phase };
    // One stream reset by the server says nothing about the others; all else ends the connection.
    let error = failure::exchange(error.into_error(), delivery, phase, peer);
    Failed { error, unsent, fit: unsent.is_none() }
}

enum BrokenRead {
    TooLong(Option<u64>),
    Broken(hyper::Error),
}

async fn read(body: Incoming, max: usize, sink: &mut Sink<'_>) -> Result<Bytes, BrokenRead> {
    let mut body = pin!(body);
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(BrokenRead::TooLong(Some(announced)));
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        // Trailers are read past: nothing here has a use for them.
        let Ok(piece) = frame.map_err(BrokenRead::Broken)?.into_data() else { continue };
        if let Sink::Pass { take, bytes } = sink {
            *bytes += piece.len() as u64;
            if *bytes > max as u64 {
                return Err(BrokenRead::TooLong(None));
            }
            take(&piece);
            continue;
        }
        if first.len() + all.len() + piece.len() > max {
            return Err(BrokenRead::TooLong(None));
        }
        if first.is_empty() && all.is_empty() {
            // Most answers come in one piece, which needs no copy.
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.reserve(usize::try_from(announced).unwrap_or(0).max(first.len() + piece.len()));
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use core::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// What becomes of a request that was written, and is never answered.
    async fn unanswered(timeouts: Timeouts) -> (Duration, TransportError) {
        let limits = ExchangeLimits { deadline: Deadline::start(timeouts.total), timeouts, max_body: 1024 };
        let (written, when_written) = oneshot::channel();
        written.send(()).unwrap();
        let started = Instant::now();
        let sending = pending::<SendResult<Payload>>();
        let Err(failed) = exchange(sending, when_written, &Link::new("a"), &limits, &mut Sink::Keep).await
        else {
            panic!("it was answered");
        };
        (started.elapsed(), failed.error)
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_timeout_waits_longer_for_the_answer() {
        let (waited, error) = unanswered(Timeouts::new()).await;
        assert_eq!(waited.as_secs(), 30);
        assert_eq!(error.detail(), "`a` sent no answer within 30 s");
        for seconds in [5, 60, 600] {
            let (waited, error) = unanswered(Timeouts::from_total(Duration::from_secs(seconds))).await;
            assert_eq!(waited.as_secs(), seconds);
            assert_eq!((error.phase(), error.cause()), (Phase::Head, Cause::TimedOut), "{seconds}");
        }
    }
}
