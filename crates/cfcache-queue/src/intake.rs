//! Where requests come in over HTTP: who may send them, what they may look like, and what is answered.
//!
//! `POST /v1/requests` answers 202 only after the requests are committed. The same message again is stored again: requests
//! for the same thing are merged when they are sent, and never dropped before. So a message that was captured and is sent
//! again within the five minutes of its timestamp costs a purge, and loses nothing.

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

use crate::intake::message::{MAX_ITEMS, Message, Problem, Problems, Unread};
use crate::intake::sources::{LOCAL, Sender, Source, Sources, Unauthorized};
use crate::metrics::{KINDS, Metrics};
use crate::request::NewRequest;
use crate::server::{self, Answer, Listener, Place};
use crate::store::Store;

/// Where it listens by default.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8789);

/// Where requests are posted.
pub const PATH: &str = "/v1/requests";

/// The most bytes of a body.
pub const MAX_BODY_BYTES: usize = 1 << 20;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a message may wait for its turn, and the store may take.
const STORE_TIME: Duration = Duration::from_secs(15);

/// The most bytes of bodies that are held at a time, of all connections together.
const MAX_HELD_BYTES: usize = 16 << 20;

/// The most bytes of bodies that are read and stored at a time: their requests take several times as much memory.
const MAX_READ_BYTES: usize = 4 * MAX_BODY_BYTES;

/// What a small message counts for among those.
const LEAST_READ_BYTES: usize = 1 << 10;

/// So many refusals are logged a second; the rest is counted. Metrics count all of them.
const LOGGED_A_SECOND: u32 = 10;

/// When to come back where this server is what fails.
const RETRY_SECONDS: u64 = 5;

/// The intake: it takes requests from sources and puts them into a store.
#[derive(Debug)]
pub struct Intake {
    sources: Sources,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    /// Bytes of bodies that may still come in, from sources that the head has proven.
    room: Arc<Semaphore>,
    /// The same of messages that only the whole body can prove, so that whoever knows no secret cannot keep out the others.
    room_unproven: Arc<Semaphore>,
    /// Bytes of bodies that may still be read and stored.
    turns: Semaphore,
    refusals: Mutex<LoggedRefusals>,
}

/// Keeps a flood of messages from becoming a flood of lines.
#[derive(Debug, Default)]
struct LoggedRefusals {
    second: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl LoggedRefusals {
    /// Whether to log one more: then how many were left out before it.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1)) {
            (self.second, self.logged) = (Some(now), 0);
        }
        if self.logged == LOGGED_A_SECOND {
            self.left_out += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Where an intake listens.
#[derive(Debug)]
pub struct Listeners {
    /// With the source that whoever connects is, where a connection is enough.
    listeners: Vec<(Listener, Option<String>)>,
    address: Option<SocketAddr>,
}

impl Listeners {
    /// The address of the port, which tells what port 0 became.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

/// Why a message is refused.
struct Refusal {
    status: StatusCode,
    /// The word for it in metrics and logs.
    reason: &'static str,
    message: String,
    /// What is logged in place of the message: it is for whoever runs this, and not for whoever sends.
    detail: Option<String>,
    problems: Option<Box<Problems>>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Intake {
    /// Makes one. It takes nothing before [`serve`](Self::serve) is called.
    #[must_use]
    pub fn new(sources: Sources, store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        let [room, room_unproven] = [(); 2].map(|()| Arc::new(Semaphore::new(MAX_HELD_BYTES / 2)));
        let turns = Semaphore::new(MAX_READ_BYTES);
        Self { sources, store, metrics, room, room_unproven, turns, refusals: Mutex::default() }
    }

    /// Listens on a port and on the sockets of all sources that have one.
    ///
    /// # Errors
    ///
    /// [`Failure`] where that cannot be, or everybody could ask for everything: without a configured source the port has
    /// to be one of this machine alone.
    pub async fn listen(&self, address: SocketAddr) -> Result<Listeners, Failure> {
        let local = self.sources.named(LOCAL).filter(|_| self.sources.is_local());
        if local.is_some() && !address.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "{address} can be reached from other machines, and without sources everybody may send"
            ))
            .with_hint(
                "describe the sources in a file and name it with `--config`, or listen on 127.0.0.1",
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

    /// Takes requests until `stop` is true or its sender is gone; then those under way end.
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
                // An error: nobody is there who could ever say so.
                drop(stop.wait_for(|stop| *stop).await);
            }));
        }
        while serving.join_next().await.is_some() {}
    }

    /// Answers a request; `connected` is the source that whoever is connected is.
    async fn respond(&self, connected: Option<&str>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        if head.uri.path() != PATH {
            let message = format!("there is nothing at this path; requests are posted to {PATH}");
            return Refusal::new(StatusCode::NOT_FOUND, "path", message).answer();
        }
        if head.method != Method::POST {
            let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", "requests are posted");
            return refusal.with_header(ALLOW, "POST").answer();
        }
        let mut source = None;
        match self.take(connected, &head, body, &mut source).await {
            Ok((stored, warnings)) => {
                debug!(source = source.map(Source::name), requests = stored, "stored");
                let mut answer = json!({ "accepted": stored });
                if warnings.total > 0 {
                    answer["warnings"] = listed(&warnings);
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

    /// Logs a refusal. Of what was sent, nothing is logged: it may hold anything.
    fn log(&self, source: &str, refusal: &Refusal) {
        let left_out = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        let Some(left_out) = left_out else { return };
        let left_out = (left_out > 0).then_some(left_out);
        let problems = refusal.problems.as_ref().map(|problems| problems.total);
        let status = refusal.status.as_u16();
        if refusal.status.is_server_error() {
            error!(
                source,
                status,
                reason = refusal.reason,
                left_out,
                "{}",
                refusal.detail.as_ref().unwrap_or(&refusal.message)
            );
        } else {
            info!(source, status, reason = refusal.reason, problems, left_out, "refused");
        }
    }

    /// Takes a message, and returns how many requests were stored of it. `known` becomes its source as soon as that is
    /// known.
    async fn take<'s>(
        &'s self,
        connected: Option<&str>,
        head: &Parts,
        body: Incoming,
        known: &mut Option<&'s Source>,
    ) -> Result<(usize, Problems), Refusal> {
        let query = head.uri.query();
        #[expect(clippy::disallowed_methods, reason = "a signature is of a time, which has to be near")]
        let now = SystemTime::now();
        let sender = sender(&self.sources, connected, &head.headers, query, now)?;
        let hold = || head.extensions.get::<Place>().into_iter().for_each(Place::hold);
        if let Sender::Known(source) = sender {
            *known = Some(source);
            refuse_early(source)?;
            hold();
        }
        let room = if known.is_some() { &self.room } else { &self.room_unproven };
        let (body, _room) = read_body(&head.headers, body, room).await?;
        let source = sender.verify(&body).map_err(Unauthorized::from)?;
        if known.is_none() {
            *known = Some(source);
            refuse_early(source)?;
        }
        hold();
        let turn = u32::try_from(body.len().max(LEAST_READ_BYTES)).unwrap_or(u32::MAX);
        let turn = timeout(STORE_TIME, self.turns.acquire_many(turn)).await;
        let _turn = turn.map_err(|_| Refusal::unavailable("overload", "too much is under way"))?;
        let Message { requests, warnings } = message::read(&head.headers, query, &body, source)
            .inspect_err(|_| source.charge(Instant::now(), 1))?;
        source.charge(Instant::now(), requests.len());
        let stored = timeout(STORE_TIME, self.store.insert(&requests)).await;
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
            Err(_) => format!("the store did not answer within {} seconds", STORE_TIME.as_secs()),
        };
        source.refund(requests.len());
        let message = "the requests could not be stored, or it is not known; send them again";
        Err(Refusal { detail: Some(problem), ..Refusal::unavailable("store", message) })
    }
}

/// Finds out from whom a message is, as far as its head can tell.
fn sender<'s>(
    sources: &'s Sources,
    connected: Option<&str>,
    headers: &HeaderMap,
    query: Option<&str>,
    now: SystemTime,
) -> Result<Sender<'s>, Refusal> {
    let Some(source) = connected.and_then(|name| sources.named(name)) else {
        return Ok(sources.sender(headers, message::source(query).as_deref(), now)?);
    };
    if sources.is_local() {
        refuse_strangers(headers)?;
    }
    Ok(Sender::Known(source))
}

/// Reads a message that is all there, and stores nothing: what the intake would store of it.
///
/// - `connected` is the source that whoever is connected is, where a connection is enough.
/// - `now` is the time that the timestamp of a signature has to be near.
///
/// # Errors
///
/// The status and the JSON that the intake would answer with.
pub fn read_message(
    sources: &Sources,
    connected: Option<&str>,
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[u8],
    now: SystemTime,
) -> Result<Vec<NewRequest>, (StatusCode, String)> {
    let read = || -> Result<Vec<NewRequest>, Refusal> {
        let sender = sender(sources, connected, headers, query, now)?;
        if body.len() > MAX_BODY_BYTES {
            return Err(Refusal::too_large());
        }
        let source = sender.verify(body).map_err(Unauthorized::from)?;
        Ok(message::read(headers, query, body, source)?.requests)
    };
    read().map_err(|refusal| (refusal.status, refusal.to_json().to_string()))
}

/// Reads a body, within its bounds and in time. What is held counts in `room` as long as the permit
/// lives.
async fn read_body(
    headers: &HeaderMap,
    mut body: Incoming,
    room: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refusal> {
    match headers.get(CONTENT_LENGTH).map(|length| length.to_str().ok()?.parse().ok()) {
        None if !headers.contains_key(TRANSFER_ENCODING) => {
            return Err(Refusal::new(StatusCode::LENGTH_REQUIRED, "length", "there is no body"));
        }
        // A number too long for hyper does not come to here.
        Some(length) if length.is_none_or(|length: usize| length > MAX_BODY_BYTES) => {
            return Err(Refusal::too_large());
        }
        _ => {}
    }
    let read = async {
        let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let broken = |_| Refusal::new(StatusCode::BAD_REQUEST, "broken", "the body is not whole");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if bytes.len() + data.len() > MAX_BODY_BYTES {
                return Err(Refusal::too_large());
            }
            let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = Arc::clone(room).try_acquire_many_owned(size);
            let more = more.map_err(|_| Refusal::unavailable("overload", "too much is under way"))?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, held))
    };
    let late = |_| {
        let message = format!("the body did not come within {} seconds", BODY_TIME.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", message)
    };
    timeout(BODY_TIME, read).await.map_err(late)?
}

/// Where a connection to a port is enough, it must be one of a program on this machine. A page in a browser can connect as
/// well, under any name that leads to here, and so can everybody through a proxy.
fn refuse_strangers(headers: &HeaderMap) -> Result<(), Refusal> {
    let has = |names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
    let (reason, message) = if has(&["origin", "sec-fetch-site"]) || !server::is_sent_to_address(headers) {
        ("browser", "it comes from a browser, or was sent to a name that is not `localhost`")
    } else if has(&["forwarded", "via", "x-forwarded-for", "x-real-ip"]) {
        ("proxy", "it comes through a proxy: describe the sources in a file and name it with `--config`")
    } else {
        return Ok(());
    };
    Err(Refusal::new(StatusCode::FORBIDDEN, reason, message))
}

/// Refuses what a source sends above its rate.
fn refuse_early(source: &Source) -> Result<(), Refusal> {
    let wait = source.wait(Instant::now());
    if wait.is_zero() {
        return Ok(());
    }
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!("source `{}` sends more than it may; come back in {seconds} s", source.name());
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", message);
    Err(refusal.with_header(RETRY_AFTER, &seconds.to_string()))
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), detail: None, problems: None, header: None }
    }

    fn too_large() -> Self {
        let message = format!("the body has more than {MAX_BODY_BYTES} bytes: send several requests");
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
            body["items"] = listed(problems);
            body["omitted"] = (problems.total - problems.shown.len()).into();
        }
        body
    }

    fn answer(self) -> Answer {
        let mut answer = json_answer(self.status, &self.to_json());
        if let Some((name, value)) = self.header.map(|header| *header) {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<Unauthorized> for Refusal {
    fn from(error: Unauthorized) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.reason(), error.to_string())
            .with_header(WWW_AUTHENTICATE, "Bearer")
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::MediaType(message) => {
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", message)
            }
            Unread::TooMany => {
                let message = format!("there are more than {MAX_ITEMS} items: send several requests");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "items", message)
            }
            Unread::Problems(problems) => {
                let (status, reason, are) = if problems.forbidden == problems.total {
                    (StatusCode::FORBIDDEN, "forbidden", "allowed")
                } else {
                    (StatusCode::BAD_REQUEST, "invalid", "valid")
                };
                let message = match problems.total {
                    1 => format!("one thing in it is not {are}; nothing was stored"),
                    several => format!("{several} things in it are not {are}; nothing was stored"),
                };
                Self { problems: Some(Box::new(problems)), ..Self::new(status, reason, message) }
            }
        }
    }
}

fn listed(problems: &Problems) -> Value {
    let item = |problem: &Problem| json!({ "at": problem.at, "message": problem.message });
    problems.shown.iter().map(item).collect()
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    server::answer(status, "application/json", format!("{body}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_ten_lines_a_second() {
        let (mut refusals, began) = (LoggedRefusals::default(), Instant::now());
        let logged: Vec<u64> = (0..1000).filter_map(|_| refusals.next(began)).collect();
        assert_eq!(logged, [0; 10]);
        assert_eq!(refusals.next(began + Duration::from_secs(1)), Some(990));
        assert_eq!(refusals.next(began + Duration::from_secs(1)), Some(0));
    }
}
