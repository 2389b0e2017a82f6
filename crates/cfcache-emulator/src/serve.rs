//! The API behind a socket: HTTP/1.1 and cleartext HTTP/2 on one port, and the faults of the wire.

mod body;
mod connection;

use core::future;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cfcache_model::endpoint::Area;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::answer::{Answer, Notice};
use crate::config::Config;
use crate::emulator::{Emulator, Handled, RATE_LIMITED, THROTTLED};
use crate::fault::edge;
use crate::fault::{Fault, FaultAction, FaultSequence};
use crate::log::{Log, LogEntry, RequestOutcome};
use crate::route;
use crate::serve::body::{FaultyBody, Truncated};
use crate::serve::connection::{Connection, Order, Socket};
use crate::state::Purge;

/// The largest body that is read. A choice: the real bound is not published.
const MAX_BODY_BYTES: usize = 16 << 20;

/// How long [`Server::stop`] waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(2);

/// An emulator that accepts connections, until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Emulator {
    /// Builds it, and lets it accept connections. Port 0 picks one that is free.
    ///
    /// # Errors
    ///
    /// Where nothing can listen there.
    pub async fn start(config: Config, listen: SocketAddr) -> io::Result<Server> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let script = Mutex::new(FaultSequence::new(&config.faults));
        let has_faults = !config.faults.is_empty();
        let emulator = Self::new(config);
        let shared = Arc::new(Shared { emulator, script, has_faults, begun: Instant::now() });
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared), stopped));
        Ok(Server { address, shared, stop, accepting })
    }
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, without a slash at its end: `http://127.0.0.1:8787/client/v4`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, route::BASE_PATH)
    }

    /// What was received.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.emulator.log().clone()
    }

    /// The purges and invalidations that were accepted, oldest first, as far as the log keeps them.
    #[must_use]
    pub fn purges(&self) -> Vec<Purge> {
        self.shared.emulator.purges()
    }

    /// Stops: accepts no more, lets what is being answered end for up to two seconds, then closes every connection.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // An error is the runtime's end, which is an end as well.
        drop(self.accepting.await);
    }
}

/// What all connections use.
#[derive(Debug)]
struct Shared {
    emulator: Emulator,
    script: Mutex<FaultSequence>,
    has_faults: bool,
    begun: Instant,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Dropping the set, by whatever way out, ends every connection in it.
    let mut connections = JoinSet::new();
    let mut accepted = 0;
    let is_graceful = loop {
        tokio::select! {
            // An error here means that `Server` was dropped.
            change = stopped.changed() => break change.is_ok(),
            incoming = listener.accept() => match incoming {
                Ok((stream, _)) => {
                    accepted += 1;
                    shared.emulator.log().connected();
                    connections.spawn(connection(stream, accepted, Arc::clone(&shared), stopped.clone()));
                }
                // Out of file descriptors, most likely: some will be free again.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    };
    drop(listener);
    if is_graceful {
        let all = async { while connections.join_next().await.is_some() {} };
        // Over the time, the rest is cut.
        drop(tokio::time::timeout(GRACE, all).await);
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, number: u64, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    // Answers are small, and waiting to fill a packet would only delay them. Without it, it works as well.
    drop(stream.set_nodelay(true));
    let (connection, mut orders) = Connection::new(number);
    let connection = Arc::new(connection);
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, connection) = (Arc::clone(&shared), Arc::clone(&connection));
        async move { respond(&shared, &connection, request).await }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let socket = TokioIo::new(Socket::new(stream, Arc::clone(&connection)));
    let mut serving = pin!(builder.serve_connection(socket, service));
    let mut is_ending = false;
    loop {
        tokio::select! {
            // However it ended, with an error of the other side or well: there is nobody to tell.
            _ = serving.as_mut() => return,
            change = orders.changed() => {
                let order = *orders.borrow_and_update();
                if change.is_err() || order == Order::Reset {
                    return;
                }
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
            change = stopped.changed(), if !is_ending => {
                if change.is_err() {
                    return;
                }
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Answers a request, or damages it.
async fn respond(
    shared: &Shared,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<FaultyBody>, Truncated> {
    let fault = shared.fault(&request);
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head, Bytes::new());
    if let Some(fault) = fault.as_ref().filter(|fault| fault.action == FaultAction::ResetBefore) {
        shared.record(connection, &request, None, Some(fault), None);
        tokio::time::sleep(fault.delay).await;
        connection.order(Order::Reset);
        return future::pending().await;
    }

    let request = match read(&request, body).await {
        Ok(body) => request.map(|_| body),
        Err(Unread::TooLarge) => {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            shared.record(connection, &request, None, fault.as_ref(), Some(status));
            return Ok(plain(status, "text/plain", "the body is too large").map(FaultyBody::all));
        }
        Err(Unread::Broken) => {
            shared.record(connection, &request, None, fault.as_ref(), None);
            return Err(Truncated);
        }
    };

    let Some(fault) = fault else {
        let handled = shared.emulator.process(shared.begun.elapsed(), &request);
        shared.record(connection, &request, Some(&handled), None, Some(handled.response.status()));
        wait(shared.emulator.config().latency).await;
        return Ok(handled.response.map(FaultyBody::all));
    };

    let handled = fault.takes_effect().then(|| shared.emulator.process(shared.begun.elapsed(), &request));
    let is_answered = !matches!(fault.action, FaultAction::ResetAfter | FaultAction::Stall);
    let response = damaged(shared, &request, &fault, handled.as_ref());
    let status = is_answered.then(|| response.status());
    shared.record(connection, &request, handled.as_ref(), Some(&fault), status);
    wait(shared.emulator.config().latency.saturating_add(fault.delay)).await;
    match fault.action {
        FaultAction::ResetAfter => {
            connection.order(Order::Reset);
            future::pending().await
        }
        FaultAction::Stall => future::pending().await,
        FaultAction::ResetMid(bytes) => {
            Ok(response.map(|body| FaultyBody::reset_behind(body, bytes, connection)))
        }
        FaultAction::Truncate(bytes) => Ok(response.map(|body| FaultyBody::broken_behind(body, bytes))),
        FaultAction::Slow(time) => Ok(response.map(|body| FaultyBody::slow(&body, time))),
        FaultAction::GoAway => {
            connection.order(Order::Finish);
            let mut response = response.map(FaultyBody::all);
            if request.version() < http::Version::HTTP_2 {
                // The order would come too late for this answer's head.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
        _ => Ok(response.map(FaultyBody::all)),
    }
}

/// A timer of no time at all would still wait for the timer's next tick.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Shared {
    fn fault<B>(&self, request: &Request<B>) -> Option<Fault> {
        if !self.has_faults {
            return None;
        }
        let route = route::route(request.method(), request.uri().path()).ok();
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.next(route.map(|route| route.endpoint))
    }

    fn record(
        &self,
        connection: &Connection,
        request: &Request<Bytes>,
        handled: Option<&Handled>,
        fault: Option<&Fault>,
        status: Option<StatusCode>,
    ) {
        let status = status.map(|status| status.as_u16());
        let processed = handled.is_some_and(|handled| handled.processed);
        let items = handled.map_or(0, |handled| handled.items);
        let outcome = RequestOutcome { status, processed, faulted: fault.is_some(), items };
        self.emulator.log().record(outcome, || LogEntry {
            endpoint: route::route(request.method(), request.uri().path())
                .ok()
                .map(|route| route.endpoint.name),
            body: request.body().clone(),
            status,
            processed,
            fault: fault.map(ToString::to_string),
            ..LogEntry::begun(self.begun.elapsed(), connection.number, request)
        });
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    /// Whoever sent it stopped in the middle.
    Broken,
}

async fn read(request: &Request<Bytes>, body: Incoming) -> Result<Bytes, Unread> {
    let promised =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|promised: usize| promised > MAX_BODY_BYTES) {
        return Err(Unread::TooLarge);
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Unread::TooLarge),
        Err(_) => Err(Unread::Broken),
    }
}

/// The answer of a request that met a fault. Where it took no effect and the fault has no answer of its own, the API
/// is taken to be out of service.
fn damaged(
    shared: &Shared,
    request: &Request<Bytes>,
    fault: &Fault,
    handled: Option<&Handled>,
) -> Response<Bytes> {
    let envelope = |status: StatusCode, code: Option<u32>| {
        let message = match code {
            Some(1134) => RATE_LIMITED,
            Some(971) => THROTTLED,
            _ => "A fault that was asked for",
        };
        let errors: Vec<_> = code.map(|code| Notice::new(code, message)).into_iter().collect();
        plain(status, "application/json", Answer::refused_with(status, &errors).body)
    };
    let own = || match handled {
        Some(handled) => handled.response.clone(),
        None => envelope(StatusCode::SERVICE_UNAVAILABLE, None),
    };
    // Only what the text form and the documents name as a status gets here as one.
    let valid = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);

    let mut response = match &fault.action {
        FaultAction::Status { status, code, retry_after, body } => {
            let status = valid(*status);
            let usual = || {
                let area = route::route(request.method(), request.uri().path()).ok()?.endpoint.area;
                (status == StatusCode::TOO_MANY_REQUESTS).then_some(if area == Area::Purge {
                    1134
                } else {
                    971
                })
            };
            let mut response = match body {
                Some(body) => plain(status, "text/plain", body.clone()),
                None => envelope(status, code.or_else(usual)),
            };
            let value = retry_after.as_ref().and_then(|text| HeaderValue::try_from(text).ok());
            if let Some(value) = value {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            response
        }
        FaultAction::Edge { code, status, retry_after } => {
            let usual = edge::usual(*code);
            let status = status.map_or(usual.status, valid);
            let retry_after = retry_after.clone().or(usual.retry_after.map(|seconds| seconds.to_string()));
            let mut response = match edge::wants_json(request.headers()) {
                true => plain(status, "application/problem+json", usual.body(status, retry_after.as_deref())),
                false => plain(status, "text/html", PAGE),
            };
            if let Some(value) = retry_after.and_then(|text| HeaderValue::try_from(text).ok()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            response
        }
        FaultAction::SuccessFalse { code } => envelope(StatusCode::OK, *code),
        FaultAction::Html { status } => plain(valid(*status), "text/html", PAGE),
        FaultAction::Empty { status } => {
            let mut response = own().map(|_| Bytes::new());
            if let Some(status) = status {
                *response.status_mut() = valid(*status);
            }
            response
        }
        FaultAction::Malformed => own().map(|body| body.slice(..body.len() / 2)),
        _ => own(),
    };
    if !response.headers().contains_key("cf-ray") {
        let ray = shared.emulator.next_ray();
        if let Ok(ray) = HeaderValue::try_from(ray) {
            response.headers_mut().insert("cf-ray", ray);
        }
    }
    if matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        // These have no body, whatever is asked for.
        *response.body_mut() = Bytes::new();
    }
    response
}

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n";

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
