//! The intake: receives requests over HTTP, authenticates their source, and stores them.
//!
//! `POST /v1/requests` answers 202 only after the requests are committed. A repeated message is stored again: requests
//! for the same target are merged when they are sent, and never dropped earlier. So a message that is captured and
//! replayed within the five minutes of its timestamp costs one more purge, but loses nothing.

mod message;
mod rate;
mod signature;
pub mod sources;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use cfcache_app::failure::Failure;
use http::header::{
    ALLOW, CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info};

use crate::intake::message::{MAX_ITEMS, Message, MessageError, Problem, Problems};
use crate::intake::sources::{IntakeSources, LOCAL, Sender, Source, Unauthorized};
use crate::metrics::{KINDS, Metrics};
use crate::request::NewRequest;
use crate::server::{self, ConnectionSlot, HttpAnswer, Listener};
use crate::store::Store;

/// The default address.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8789);

/// The path for posting requests.
pub const PATH: &str = "/v1/requests";

/// The maximum size of a body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// The longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time that a message may wait for a permit, and that the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(15);

/// The maximum total size of the bodies in memory, of all connections, in bytes.
const MAX_HELD_BYTES: usize = 16 << 20;

/// The maximum total size of the bodies that are parsed and stored at the same time, in bytes. Their requests take
/// several times as much memory.
const MAX_PARSED_BYTES: usize = 4 * MAX_BODY_BYTES;

/// The minimum number of `parse_permits` for a message, however small it is.
const MIN_PARSE_PERMITS: usize = 1 << 10;

/// The maximum number of refusals that are logged per second. Metrics count all of them.
const LOGGED_PER_SECOND: u32 = 10;

/// The `Retry-After` value, in seconds, of answers about failures of this server.
const RETRY_SECONDS: u64 = 5;

/// The intake: receives requests from sources and stores them.
#[derive(Debug)]
pub struct Intake {
    sources: IntakeSources,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    /// One permit for each byte of bodies that may still arrive, from sources that were authenticated by the head of
    /// the request.
    body_permits: Arc<Semaphore>,
    /// The same for messages that are authenticated only by their whole body, so that a client without a secret cannot
    /// block the others.
    unauthenticated_body_permits: Arc<Semaphore>,
    /// One permit for each byte of bodies that may still be parsed and stored.
    parse_permits: Semaphore,
    refusals: Mutex<LoggedRefusals>,
}

/// Limits the number of log lines when many messages are refused.
#[derive(Debug, Default)]
struct LoggedRefusals {
    second: Option<Instant>,
    logged: u32,
    not_logged: u64,
}

impl LoggedRefusals {
    /// Returns whether to log another refusal: `Some` with the number of refusals that were not logged before it.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.logged) = (Some(now), 0);
        }
        if self.logged == LOGGED_PER_SECOND {
            self.not_logged += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.not_logged))
    }
}

/// The listeners of an intake.
#[derive(Debug)]
pub struct Listeners {
    /// Each listener, with the name of its source if a connection is enough to authenticate.
    listeners: Vec<(Listener, Option<String>)>,
    address: Option<SocketAddr>,
}

impl Listeners {
    /// Returns the address of the TCP listener, with the actual port if port 0 was requested.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

/// A refused message.
struct RefusedMessage {
    status: StatusCode,
    /// The reason in metrics and logs.
    reason: &'static str,
    message: String,
    /// The text to log instead of `message`. It is for the operator and is not sent to the client.
    detail: Option<String>,
    problems: Option<Box<Problems>>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Intake {
    /// Creates an intake. It accepts nothing before [`serve`](Self::serve) is called.
    #[must_use]
    pub fn new(sources: IntakeSources, store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        let [body_permits, unauthenticated_body_permits] =
            [(); 2].map(|()| Arc::new(Semaphore::new(MAX_HELD_BYTES / 2)));
        let parse_permits = Semaphore::new(MAX_PARSED_BYTES);
        Self {
            sources,
            store,
            metrics,
            body_permits,
            unauthenticated_body_permits,
            parse_permits,
            refusals: Mutex::default(),
        }
    }

    /// Listens on a port, and on the sockets of all sources that have one.
    ///
    /// # Errors
    ///
    /// [`Failure`] if that fails, or if unauthenticated requests could come from other machines: without configured
    /// sources, the address must be local.
    pub async fn listen(&self, address: SocketAddr) -> Result<Listeners, Failure> {
        let local = self.sources.named(LOCAL).filter(|_| self.sources.is_local());
        if local.is_some() && !address.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "{address} can be reached from other machines, and without sources anyone may send requests"
            ))
            .with_hint(
                "describe the sources in a file and pass it with `--config`, or listen on 127.0.0.1",
            ));
        }
        let cannot = |place: &dyn std::fmt::Display, error: &std::io::Error| {
            Failure::usage(format!("cannot listen on {place}: {error}"))
        };
        let port = Listener::tcp(address).await.map_err(|error| cannot(&address, &error))?;
        let bound = port.local_addr().map_err(|error| cannot(&address, &error))?;
        let mut listeners = vec![(port, local.map(|source| source.name().to_owned()))];
        for (name, path) in self.sources.sockets() {
            #[cfg(unix)]
            {
                let socket = Listener::unix(path)
                    .map_err(|error| cannot(&cfcache_app::secret::shown_path(path), &error))?;
                listeners.push((socket, Some(name.to_owned())));
            }
            #[cfg(not(unix))]
            return Err(Failure::usage(format!(
                "source `{name}`: there are no Unix sockets here ({path:?})"
            )));
        }
        Ok(Listeners { listeners, address: bound })
    }

    /// Accepts requests until `stop` is true or its sender is dropped, then finishes the requests in progress.
    pub async fn serve(self: Arc<Self>, listeners: Listeners, stop: watch::Receiver<bool>) {
        let mut serving = JoinSet::new();
        for (listener, source) in listeners.listeners {
            let intake = Arc::clone(&self);
            let handler = Arc::new(move |request| {
                let (intake, source) = (Arc::clone(&intake), source.clone());
                async move { intake.respond(source.as_deref(), request).await }
            });
            let mut stop = stop.clone();
            serving.spawn(server::serve(listener, handler, async move {
                // An error means that the sender was dropped.
                drop(stop.wait_for(|stop| *stop).await);
            }));
        }
        while serving.join_next().await.is_some() {}
    }

    /// Answers a request. `connected` is the source of the connection, if the listener determines it.
    async fn respond(&self, connected: Option<&str>, request: Request<Incoming>) -> HttpAnswer {
        let (head, body) = request.into_parts();
        if head.uri.path() != PATH {
            let message = format!("not found; post requests to {PATH}");
            return RefusedMessage::new(StatusCode::NOT_FOUND, "path", message).answer();
        }
        if head.method != Method::POST {
            let refusal =
                RefusedMessage::new(StatusCode::METHOD_NOT_ALLOWED, "method", "use POST for requests");
            return refusal.with_header(ALLOW, "POST").answer();
        }
        let mut source = None;
        match self.take(connected, &head, body, &mut source).await {
            Ok((stored, warnings)) => {
                debug!(source = source.map(Source::name), requests = stored, "stored");
                let mut answer = json!({ "accepted": stored });
                if warnings.total > 0 {
                    answer["warnings"] = problems_to_json(&warnings);
                    if warnings.total > warnings.shown.len() {
                        answer["warnings_omitted"] = (warnings.total - warnings.shown.len()).into();
                    }
                }
                json_answer(StatusCode::ACCEPTED, &answer)
            }
            Err(refusal) => {
                let name = source.map_or("", Source::name);
                self.metrics.rejected(name, refusal.reason);
                self.log(name, &refusal);
                refusal.answer()
            }
        }
    }

    /// Logs a refusal. The content of the request is not logged, because it may contain secrets.
    fn log(&self, source: &str, refusal: &RefusedMessage) {
        let not_logged = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        let Some(not_logged) = not_logged else { return };
        let not_logged = (not_logged > 0).then_some(not_logged);
        let problems = refusal.problems.as_ref().map(|problems| problems.total);
        let status = refusal.status.as_u16();
        if refusal.status.is_server_error() {
            error!(
                source,
                status,
                reason = refusal.reason,
                not_logged,
                "{}",
                refusal.detail.as_ref().unwrap_or(&refusal.message)
            );
        } else {
            info!(source, status, reason = refusal.reason, problems, not_logged, "refused");
        }
    }

    /// Stores the requests of a message, and returns how many there were. Sets `known` to the source as soon as it is
    /// known.
    async fn take<'s>(
        &'s self,
        connected: Option<&str>,
        head: &Parts,
        body: Incoming,
        known: &mut Option<&'s Source>,
    ) -> Result<(usize, Problems), RefusedMessage> {
        let query = head.uri.query();
        #[expect(
            clippy::disallowed_methods,
            reason = "the timestamp of a signature is compared with the clock"
        )]
        let now = SystemTime::now();
        let sender = sender(&self.sources, connected, &head.headers, query, now)?;
        let hold = || head.extensions.get::<ConnectionSlot>().into_iter().for_each(ConnectionSlot::hold);
        if let Sender::Known(source) = sender {
            *known = Some(source);
            refuse_above_rate(source)?;
            hold();
        }
        let body_permits =
            if known.is_some() { &self.body_permits } else { &self.unauthenticated_body_permits };
        let (body, _room) = read_body(&head.headers, body, body_permits).await?;
        let source = sender.verify(&body).map_err(Unauthorized::from)?;
        if known.is_none() {
            *known = Some(source);
            refuse_above_rate(source)?;
        }
        hold();
        let permits = u32::try_from(body.len().max(MIN_PARSE_PERMITS)).unwrap_or(u32::MAX);
        let permits = timeout(STORE_TIMEOUT, self.parse_permits.acquire_many(permits)).await;
        let _permit =
            permits.map_err(|_| RefusedMessage::unavailable("overload", "the server is overloaded"))?;
        let Message { requests, warnings } = message::read(&head.headers, query, &body, source)
            .inspect_err(|_| source.charge(Instant::now(), 1))?;
        source.charge(Instant::now(), requests.len());
        let stored = timeout(STORE_TIMEOUT, self.store.insert(&requests)).await;
        let problem = match stored {
            Ok(Ok(())) => {
                for kind in KINDS {
                    let count = requests.iter().filter(|request| request.subject.kind() == kind).count();
                    if count > 0 {
                        self.metrics.stored(source.name(), kind, count as u64);
                    }
                }
                return Ok((requests.len(), warnings));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the store did not answer within {} seconds", STORE_TIMEOUT.as_secs()),
        };
        source.refund(requests.len());
        let message = "the requests were not stored, or it is unknown whether they were; send them again";
        Err(RefusedMessage { detail: Some(problem), ..RefusedMessage::unavailable("store", message) })
    }
}

/// Determines the source of a message from its head, as far as possible.
fn sender<'s>(
    sources: &'s IntakeSources,
    connected: Option<&str>,
    headers: &HeaderMap,
    query: Option<&str>,
    now: SystemTime,
) -> Result<Sender<'s>, RefusedMessage> {
    let Some(source) = connected.and_then(|name| sources.named(name)) else {
        return Ok(sources.sender(headers, message::source(query).as_deref(), now)?);
    };
    if sources.is_local() {
        refuse_remote_clients(headers)?;
    }
    Ok(Sender::Known(source))
}

/// Parses a complete message, and returns the requests that the intake would store. Stores nothing.
///
/// - `connected` is the source of the connection, if the listener determines it.
/// - `now` is the time that the timestamp of a signature must be close to.
///
/// # Errors
///
/// The status and the JSON that the intake would answer.
pub fn read_message(
    sources: &IntakeSources,
    connected: Option<&str>,
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[u8],
    now: SystemTime,
) -> Result<Vec<NewRequest>, (StatusCode, String)> {
    let read = || -> Result<Vec<NewRequest>, RefusedMessage> {
        let sender = sender(sources, connected, headers, query, now)?;
        if body.len() > MAX_BODY_BYTES {
            return Err(RefusedMessage::too_large());
        }
        let source = sender.verify(body).map_err(Unauthorized::from)?;
        Ok(message::read(headers, query, body, source)?.requests)
    };
    read().map_err(|refusal| (refusal.status, refusal.to_json().to_string()))
}

/// Reads a body within its limits of size and time. The returned permit counts the bytes in `body_permits` until it is dropped.
async fn read_body(
    headers: &HeaderMap,
    mut body: Incoming,
    body_permits: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), RefusedMessage> {
    match headers.get(CONTENT_LENGTH).map(|length| length.to_str().ok()?.parse().ok()) {
        None if !headers.contains_key(TRANSFER_ENCODING) => {
            return Err(RefusedMessage::new(StatusCode::LENGTH_REQUIRED, "length", "there is no body"));
        }
        // hyper refuses a number that is too long before this code runs.
        Some(length) if length.is_none_or(|length: usize| length > MAX_BODY_BYTES) => {
            return Err(RefusedMessage::too_large());
        }
        _ => {}
    }
    let read = async {
        let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let broken = |_| RefusedMessage::new(StatusCode::BAD_REQUEST, "broken", "the body is incomplete");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if bytes.len() + data.len() > MAX_BODY_BYTES {
                return Err(RefusedMessage::too_large());
            }
            let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = Arc::clone(body_permits).try_acquire_many_owned(size);
            let more =
                more.map_err(|_| RefusedMessage::unavailable("overload", "the server is overloaded"))?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, held))
    };
    let late = |_| {
        let message = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
        RefusedMessage::new(StatusCode::REQUEST_TIMEOUT, "slow", message)
    };
    timeout(BODY_TIMEOUT, read).await.map_err(late)?
}

/// Refuses requests that do not come from a program on this machine. Without sources, a connection is enough to be
/// accepted, but a web page in a browser can also connect, with any host name that resolves to this machine, and so can
/// anyone through a proxy.
fn refuse_remote_clients(headers: &HeaderMap) -> Result<(), RefusedMessage> {
    let has = |names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
    let (reason, message) = if has(&["origin", "sec-fetch-site"]) || !server::is_sent_to_address(headers) {
        ("browser", "the request comes from a browser, or its host name is not `localhost`")
    } else if has(&["forwarded", "via", "x-forwarded-for", "x-real-ip"]) {
        (
            "proxy",
            "the request comes through a proxy: describe the sources in a file and pass it with `--config`",
        )
    } else {
        return Ok(());
    };
    Err(RefusedMessage::new(StatusCode::FORBIDDEN, reason, message))
}

/// Refuses a message of a source that is above its rate.
fn refuse_above_rate(source: &Source) -> Result<(), RefusedMessage> {
    let wait = source.wait(Instant::now());
    if wait.is_zero() {
        return Ok(());
    }
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("source `{}` is above its rate; try again in {seconds} s", source.name());
    let refusal = RefusedMessage::new(StatusCode::TOO_MANY_REQUESTS, "rate", message);
    Err(refusal.with_header(RETRY_AFTER, &seconds.to_string()))
}

impl RefusedMessage {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), detail: None, problems: None, header: None }
    }

    fn too_large() -> Self {
        let message =
            format!("the body is larger than {MAX_BODY_BYTES} bytes: split it into several requests");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "size", message)
    }

    fn unavailable(reason: &'static str, message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason, message)
            .with_header(RETRY_AFTER, &RETRY_SECONDS.to_string())
    }

    fn with_header(self, name: HeaderName, value: &str) -> Self {
        Self { header: HeaderValue::from_str(value).ok().map(|value| Box::new((name, value))), ..self }
    }

    fn to_json(&self) -> Value {
        let mut body = json!({ "error": self.message });
        if let Some(problems) = self.problems.as_deref() {
            body["items"] = problems_to_json(problems);
            body["omitted"] = (problems.total - problems.shown.len()).into();
        }
        body
    }

    fn answer(self) -> HttpAnswer {
        let mut answer = json_answer(self.status, &self.to_json());
        if let Some((name, value)) = self.header.map(|header| *header) {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<Unauthorized> for RefusedMessage {
    fn from(error: Unauthorized) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.reason(), error.to_string())
            .with_header(WWW_AUTHENTICATE, "Bearer")
    }
}

impl From<MessageError> for RefusedMessage {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::MediaType(message) => {
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", message)
            }
            MessageError::TooMany => {
                let message =
                    format!("there are more than {MAX_ITEMS} items: split them into several requests");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "items", message)
            }
            MessageError::Problems(problems) => {
                let (status, reason, are) = if problems.forbidden == problems.total {
                    (StatusCode::FORBIDDEN, "forbidden", "allowed")
                } else {
                    (StatusCode::BAD_REQUEST, "invalid", "valid")
                };
                let message = match problems.total {
                    1 => format!("one entry or field is not {are}; nothing was stored"),
                    several => format!("{several} entries or fields are not {are}; nothing was stored"),
                };
                Self { problems: Some(Box::new(problems)), ..Self::new(status, reason, message) }
            }
        }
    }
}

fn problems_to_json(problems: &Problems) -> Value {
    let item = |problem: &Problem| json!({ "at": problem.at, "message": problem.message });
    problems.shown.iter().map(item).collect()
}

fn json_answer(status: StatusCode, body: &Value) -> HttpAnswer {
    server::answer(status, "application/json", format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_at_most_ten_refusals_per_second() {
        let (mut refusals, began) = (LoggedRefusals::default(), Instant::now());
        let logged: Vec<u64> = (0..1000).filter_map(|_| refusals.next(began)).collect();
        assert_eq!(logged, [0; 10]);
        assert_eq!(refusals.next(began + Duration::from_secs(1)), Some(990));
        assert_eq!(refusals.next(began + Duration::from_secs(1)), Some(0));
    }
}
