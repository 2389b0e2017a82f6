//! The API on a socket: HTTP/1.1 and cleartext HTTP/2 on one port, and faults of the connection.

mod body;
mod connection;
mod edge;
mod edge_error;

use core::future;
use core::net::SocketAddr;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use cfcache_edge::Object;
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

use crate::answer::{ApiResponse, Notice};
use crate::config::Config;
use crate::emulator::{Emulator, RATE_LIMITED, THROTTLED};
use crate::fault::{ActiveFault, Fault, FaultAction, next_fault};
use crate::log::{Counts, Log, LogEntry};
use crate::route;
use crate::serve::body::{ResponseBody, whole};
use crate::serve::connection::{Order, ServerConnection, Socket};
use crate::serve::edge::EdgeServer;
use crate::state::AcceptedPurge;

/// The maximum size of a body, in bytes. A choice: the API's limit is not published.
const MAX_BODY_BYTES: usize = 16 << 20;

/// How far the clock can be moved in total: 5,000 years.
const MAX_ADVANCED: Duration = Duration::from_secs(5_000 * 365 * 24 * 60 * 60);

/// How long [`Server::stop`] waits for requests in progress.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A running emulator, until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    edge_address: Option<SocketAddr>,
    shared: Arc<ServerState>,
    stop: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Creates an emulator that accepts connections. Port 0 selects a free port.
    ///
    /// # Errors
    ///
    /// An error that names the address if it is impossible to listen there.
    pub async fn start(config: Config, listen: SocketAddr) -> io::Result<Server> {
        let listener = bind(listen).await?;
        let address = listener.local_addr()?;
        let edge_listener = match &config.edge {
            Some(edge) => Some(bind(edge.listen).await?),
            None => None,
        };
        let edge_address = edge_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        // The caches handle survivors; the connections handle all other faults.
        let faults = config.faults.iter().filter(|fault| fault.action != FaultAction::Survive);
        let faults: Vec<ActiveFault> = faults.map(ActiveFault::new).collect();
        #[expect(clippy::disallowed_methods, reason = "the caches compare times with those of a real origin")]
        let emulator = Self::beginning_at(config, SystemTime::now());
        let shared = Arc::new(ServerState {
            emulator,
            has_faults: !faults.is_empty(),
            faults: Mutex::new(faults),
            begun: Instant::now(),
            advanced_ms: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let mut accepting = Vec::new();
        if let (Some(listener), Some(edges)) = (edge_listener, shared.emulator.edges()) {
            let server = Arc::new(EdgeServer::new(Arc::clone(&shared), Arc::clone(edges)));
            let serve = move |stream, _, stopped| edge::connection(stream, Arc::clone(&server), stopped);
            accepting.push(tokio::spawn(accept(listener, stopped.clone(), serve)));
        }
        let serve = {
            let shared = Arc::clone(&shared);
            move |stream, number, stopped| {
                shared.emulator.log().connected();
                connection(stream, number, Arc::clone(&shared), stopped)
            }
        };
        accepting.push(tokio::spawn(accept(listener, stopped, serve)));
        Ok(Server { address, edge_address, shared, stop, accepting })
    }
}

impl Server {
    /// Returns the address of the API.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL without a trailing slash: `http://127.0.0.1:8787/client/v4`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, route::BASE_PATH)
    }

    /// Returns the URL for visitors, if there is an edge: `http://127.0.0.1:8788`, without a trailing slash.
    #[must_use]
    pub fn edge_url(&self) -> Option<String> {
        self.edge_address.map(|address| format!("http://{address}"))
    }

    /// Returns the objects in the caches of the edge, in the order of their URLs.
    #[must_use]
    pub fn objects(&self) -> Vec<Object> {
        self.shared.emulator.objects(self.shared.elapsed())
    }

    /// Moves the clock of the API and the edge forward, in total by at most 5,000 years: a date in HTTP has four digits
    /// for the year.
    pub fn advance(&self, time: Duration) {
        self.shared.advance(time);
    }

    /// Returns the log of received requests.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.emulator.log().clone()
    }

    /// Returns the accepted purges and invalidations, oldest first, as far as the log keeps them.
    #[must_use]
    pub fn purges(&self) -> Vec<AcceptedPurge> {
        self.shared.emulator.purges()
    }

    /// Stops: accepts no more connections, waits up to two seconds for requests in progress, then closes all
    /// connections.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for accepting in self.accepting {
            // An error means that the runtime has ended.
            drop(accepting.await);
        }
    }
}

/// The state that all connections share.
#[derive(Debug)]
struct ServerState {
    emulator: Emulator,
    faults: Mutex<Vec<ActiveFault>>,
    has_faults: bool,
    begun: Instant,
    /// The number of milliseconds by which the clock was moved.
    advanced_ms: AtomicU64,
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Accepts connections and serves each of them, until it is told to stop.
async fn accept<F>(
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, u64, watch::Receiver<bool>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    // Dropping the set ends all of its connections.
    let mut connections = JoinSet::new();
    let mut accepted = 0;
    let is_graceful = loop {
        tokio::select! {
            // An error means that `Server` was dropped.
            change = stopped.changed() => break change.is_ok(),
            incoming = listener.accept() => match incoming {
                Ok((stream, _)) => {
                    accepted += 1;
                    connections.spawn(serve(stream, accepted, stopped.clone()));
                }
                // Most likely there are no free file descriptors; wait for some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    };
    drop(listener);
    if is_graceful {
        let all = async { while connections.join_next().await.is_some() {} };
        // Connections that take longer are closed.
        drop(tokio::time::timeout(STOP_TIMEOUT, all).await);
    }
}

/// Serves one connection until it ends.
async fn connection(
    stream: TcpStream,
    number: u64,
    shared: Arc<ServerState>,
    mut stopped: watch::Receiver<bool>,
) {
    // Answers are small, so waiting to fill a packet would only delay them. If this fails, the connection still works.
    drop(stream.set_nodelay(true));
    let (connection, mut orders) = ServerConnection::new(number);
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
            // Errors of the connection are ignored: nobody can be told.
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

/// Answers a request, or applies a fault.
async fn respond(
    shared: &ServerState,
    connection: &Arc<ServerConnection>,
    request: Request<Incoming>,
) -> io::Result<Response<ResponseBody>> {
    if let Some(response) = edge::control(shared, &request) {
        return Ok(response.map(whole));
    }
    let fault = shared.fault(&request);
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head, Bytes::new());
    if let Some(fault) = fault.as_ref().filter(|fault| fault.action == FaultAction::ResetBefore) {
        shared.record(connection, &request, Counts::default(), Some(fault), None);
        tokio::time::sleep(fault.delay).await;
        connection.order(Order::Reset);
        return future::pending().await;
    }

    let request = match read(&request, body).await {
        Ok(Some(body)) => request.map(|_| body),
        Ok(None) => {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            shared.record(connection, &request, Counts::default(), fault.as_ref(), Some(status));
            let mut response = plain(status, "text/plain", "the body is too large");
            add_ray(shared, &mut response);
            return Ok(response.map(whole));
        }
        Err(error) => {
            shared.record(connection, &request, Counts::default(), fault.as_ref(), None);
            return Err(error);
        }
    };

    let Some(fault) = fault else {
        let (response, effect) = shared.emulator.process(shared.elapsed(), &request);
        shared.record(connection, &request, effect, None, Some(response.status()));
        wait(shared.emulator.config().latency).await;
        return Ok(response.map(whole));
    };

    let (answer, effect) =
        fault.takes_effect().then(|| shared.emulator.process(shared.elapsed(), &request)).unzip();
    let is_answered = !matches!(fault.action, FaultAction::ResetAfter | FaultAction::Stall);
    let response = damaged(shared, &request, &fault, answer);
    let status = is_answered.then(|| response.status());
    shared.record(connection, &request, effect.unwrap_or_default(), Some(&fault), status);
    wait(shared.emulator.config().latency.saturating_add(fault.delay)).await;
    match fault.action {
        FaultAction::ResetAfter => {
            connection.order(Order::Reset);
            future::pending().await
        }
        FaultAction::Stall => future::pending().await,
        FaultAction::ResetMid(bytes) => {
            let connection = Arc::clone(connection);
            let end = async move {
                connection.order(Order::Reset);
                // Nothing wakes this task: the connection is dropped together with the body.
                future::pending().await
            };
            Ok(with_length(response, |body| body::incomplete(&body, bytes, end)))
        }
        FaultAction::Truncate(bytes) => {
            let end = future::ready(io::Error::other("truncated by a fault"));
            Ok(with_length(response, |body| body::incomplete(&body, bytes, end)))
        }
        FaultAction::Slow(time) => Ok(with_length(response, |body| body::slow(body, time))),
        FaultAction::GoAway => {
            connection.order(Order::Finish);
            let mut response = response.map(whole);
            if request.version() < http::Version::HTTP_2 {
                // The order would come too late for the head of this answer.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
        _ => Ok(response.map(whole)),
    }
}

/// Replaces the body by one that is not sent at once. The head announces the original length.
fn with_length(
    response: Response<Bytes>,
    body: impl FnOnce(Bytes) -> ResponseBody,
) -> Response<ResponseBody> {
    let length = response.body().len();
    let mut response = response.map(body);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// Even a timer of zero would wait for the next tick.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl ServerState {
    /// Returns the time since the start of the emulator, including moves of the clock.
    fn elapsed(&self) -> Duration {
        self.begun.elapsed() + self.advanced()
    }

    /// Returns by how much the clock was moved in total.
    fn advanced(&self) -> Duration {
        Duration::from_millis(self.advanced_ms.load(Ordering::Relaxed))
    }

    /// Returns the time that answers contain.
    fn since_1970(&self) -> Duration {
        self.emulator.config().beginning + self.elapsed()
    }

    /// Moves the clock as far as possible, and returns by how much it was moved in total.
    fn advance(&self, time: Duration) -> Duration {
        let total = |before| {
            let total = Duration::from_millis(before).saturating_add(time).min(MAX_ADVANCED);
            u64::try_from(total.as_millis()).unwrap_or(u64::MAX)
        };
        let before = self.advanced_ms.update(Ordering::Relaxed, Ordering::Relaxed, total);
        if let Some(edges) = self.emulator.edges() {
            edges.wake_all();
        }
        Duration::from_millis(total(before))
    }

    fn fault<B>(&self, request: &Request<B>) -> Option<Fault> {
        if !self.has_faults {
            return None;
        }
        let endpoint = route::endpoint(request.method(), request.uri().path());
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        next_fault(&mut faults, endpoint)
    }

    fn record(
        &self,
        connection: &ServerConnection,
        request: &Request<Bytes>,
        effect: Counts,
        fault: Option<&Fault>,
        status: Option<StatusCode>,
    ) {
        let effect = Counts { faulted: u64::from(fault.is_some()), ..effect };
        self.emulator.log().record(effect, status, || LogEntry {
            fault: fault.map(ToString::to_string),
            ..LogEntry::new(self.elapsed(), connection.number, request, effect, status)
        });
    }
}

/// Reads the body of a request; `None` if it is too large.
///
/// # Errors
///
/// If the client stopped sending.
async fn read(request: &Request<Bytes>, body: Incoming) -> io::Result<Option<Bytes>> {
    let promised =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|promised: usize| promised > MAX_BODY_BYTES) {
        return Ok(None);
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(Some(body.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Returns the answer of a request with a fault. If the request took no effect and the fault has no answer of its own,
/// the answer is that the API is unavailable.
fn damaged(
    shared: &ServerState,
    request: &Request<Bytes>,
    fault: &Fault,
    answer: Option<Response<Bytes>>,
) -> Response<Bytes> {
    let envelope = |status: StatusCode, code: Option<u32>| {
        let message = match code {
            Some(1134) => RATE_LIMITED,
            Some(971) => THROTTLED,
            _ => "A configured fault",
        };
        let errors: Vec<_> = code.map(|code| Notice::new(code, message)).into_iter().collect();
        plain(status, "application/json", ApiResponse::refused_with(status, &errors).body)
    };
    let own = || answer.unwrap_or_else(|| envelope(StatusCode::SERVICE_UNAVAILABLE, None));
    // The text form and the documentation allow only valid statuses.
    let valid = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);

    let mut response = match &fault.action {
        FaultAction::Status { status, code, retry_after, body } => {
            let status = valid(*status);
            let usual = || {
                let area = route::endpoint(request.method(), request.uri().path())?.area;
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
            edge_error::response(request.headers(), *code, status.map(valid), retry_after.as_deref())
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
    add_ray(shared, &mut response);
    if matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        // Answers with these statuses have no body.
        *response.body_mut() = Bytes::new();
    }
    response
}

/// Adds a ray to a response that has none.
fn add_ray(shared: &ServerState, response: &mut Response<Bytes>) {
    if !response.headers().contains_key("cf-ray")
        && let Ok(ray) = HeaderValue::try_from(shared.emulator.next_ray())
    {
        response.headers_mut().insert("cf-ray", ray);
    }
}

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n";

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
