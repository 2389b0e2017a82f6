//! The cache of a zone as a state machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use cfcache_model::endpoint::Action;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::answer;
use crate::decide;
use crate::entry::Entry;
use crate::key;
use crate::purge::{Purge, Purged, Scope};
use crate::settings::{Settings, Visitor};
use crate::store::Store;

/// The cache of one zone.
///
/// - [`request`](Self::request) is called for each request of a visitor.
/// - Where it returns a [`Fetch`], the caller asks the origin and hands in the answer with the ticket: its head with
///   [`answered`](Self::answered), then, where that is to be kept, the body with [`filled`](Self::filled). Each ticket
///   is used up by exactly one call that ends it; a caller that gives up calls [`abandoned`](Self::abandoned).
/// - [`purge`](Self::purge) takes effect at once, on fetches under way too: what they bring is not kept.
///
/// The time is wall time, which dates in headers are compared with. It must not go backwards; a caller that lets
/// users advance it adds to the clock.
#[derive(Debug)]
pub struct Edge {
    settings: Settings,
    store: Store,
    flights: HashMap<u64, Flight>,
    /// The fill that is under way for a key.
    locks: HashMap<String, (FillId, SystemTime)>,
    counter: u64,
}

/// What a request leads to.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Step {
    /// The answer.
    Answer {
        /// What the visitor gets.
        response: Response<Bytes>,
        /// A request to the origin that refreshes the object meanwhile; its answer goes to nobody.
        refresh: Option<Fetch>,
    },
    /// The origin is to be asked.
    Fetch(Fetch),
    /// Another request fetches the same object. When the ticket of that fill has ended, or at the latest at that time,
    /// the same request is to be handed in again.
    Wait(FillId, SystemTime),
}

/// A request to the origin.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetch {
    /// Which one it is; its [`Ticket::id`] is what others wait for.
    pub ticket: Ticket,
    /// The request; its URI is the visitor's, absolute. `Host` is set.
    pub request: Request<()>,
    /// Does the visitor's body go with it? Only for requests that are not eligible.
    pub with_body: bool,
}

/// The right and the duty to hand in an answer of the origin.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// A fetch that others may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FillId(u64);

/// What the head of the origin's answer leads to.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum Next {
    /// Send this head, and the body as it comes. Nothing is kept, the ticket has ended.
    Pass(Response<()>),
    /// Read the body, and hand it in.
    Keep(Keep),
    /// Send this; the body of the origin is not wanted, the ticket has ended.
    Answer(Response<Bytes>),
}

/// A body that is to be kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct Keep {
    /// The ticket, for [`Edge::filled`], [`Edge::outgrown`], [`Edge::failed`] or [`Edge::abandoned`].
    pub ticket: Ticket,
    /// How many bytes may be kept; one more is [`Edge::outgrown`].
    pub limit: u64,
    /// The head of the visitor's answer, where the visitor gets the whole body: it may be sent at once, and the body as
    /// it comes, while a copy is collected. What [`Edge::filled`] returns is then sent to nobody.
    pub pass: Option<Response<()>>,
}

/// Why the origin gave no answer.
///
/// Source: <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// It closed the connection without an answer, broke off, or answered what is not HTTP: 520.
    Closed,
    /// It refused the connection: 521.
    Refused,
    /// The connection did not come about in time: 522.
    ConnectTimeout,
    /// It was not reachable: 523.
    Unreachable,
    /// It was connected and did not answer in time: 524.
    Timeout,
}

/// An object in the cache, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// The URL.
    pub url: String,
    /// The key.
    pub key: String,
    /// The environment, unless it is production.
    pub environment: Option<String>,
    /// The status of the response.
    pub status: StatusCode,
    /// The size of the body in bytes.
    pub size: u64,
    /// The tags, in lower case.
    pub tags: Vec<String>,
    /// Seconds since it was stored or revalidated.
    pub age: u64,
    /// For how many seconds it is still fresh; negative: since when it is not.
    pub fresh_for: i64,
    /// Is it in Cache Reserve too?
    pub in_reserve: bool,
}

/// Collects a body up to a limit, into memory of exactly its size.
#[derive(Debug)]
pub struct Collector {
    limit: u64,
    chunks: Vec<Bytes>,
    length: u64,
}

/// A body is over its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Full;

/// A fetch under way.
#[derive(Debug)]
struct Flight {
    method: Method,
    key: Option<String>,
    why: String,
    uri: Uri,
    fill: Option<Response<()>>,
    purged: bool,
}

impl Edge {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, store: Store::default(), flights: HashMap::new(), locks: HashMap::new(), counter: 0 }
    }

    /// What it is set to.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it is set to, to change it; what is stored stays stored.
    pub const fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Takes a visitor's request. Its URI is absolute; what its body is does not matter.
    pub fn request<B>(&mut self, now: SystemTime, request: &Request<B>, _visitor: &Visitor) -> Step {
        if let Some(reason) = decide::ineligible(request.method(), request.uri()) {
            return Step::Fetch(self.fetch(request, None, reason, true));
        }
        let key = key::key(&self.settings.zone, None, request.uri(), request.headers());
        if let Some(entry) = self.store.get(&key)
            && entry.is_fresh(now)
        {
            let entry = Arc::clone(entry);
            return Step::Answer { response: self.hit(now, &entry, request.method()), refresh: None };
        }
        if let Some(&(fill, until)) = self.locks.get(&key)
            && until > now
        {
            return Step::Wait(fill, until);
        }
        let fetch = self.fetch(request, Some(key.clone()), String::new(), false);
        let until = now.checked_add(self.settings.lock_timeout).unwrap_or(now);
        self.locks.insert(key, (fetch.ticket.id(), until));
        Step::Fetch(fetch)
    }

    /// Takes the head of the origin's answer.
    pub fn answered(&mut self, _now: SystemTime, ticket: Ticket, head: Response<()>) -> Next {
        let Some(flight) = self.flights.get_mut(&ticket.0) else {
            return Next::Answer(Response::new(Bytes::new()));
        };
        let Some(key) = flight.key.clone() else {
            let why = format!("dynamic; {}", flight.why);
            return Next::Pass(self.pass(&ticket, head, "DYNAMIC", &why));
        };
        let reason = match decide::lifetime(head.status(), head.headers()) {
            Err(reason) => Some(reason),
            Ok(_) => content_length(head.headers())
                .is_some_and(|length| length > self.settings.max_object)
                .then_some("too large"),
        };
        if let Some(reason) = reason {
            return Next::Pass(self.pass(&ticket, head, "BYPASS", &format!("bypass; {reason}; key={key}")));
        }
        let mut visible = head.clone();
        flight.fill = Some(head);
        let whole = flight.method == Method::GET;
        self.counter += 1;
        answer::finish(visible.headers_mut(), "MISS", &format!("miss; key={key}"), self.counter);
        Next::Keep(Keep { ticket, limit: self.settings.max_object, pass: whole.then_some(visible) })
    }

    /// Takes the whole body of the answer whose head was to be kept, and returns the visitor's answer.
    pub fn filled(&mut self, now: SystemTime, ticket: Ticket, body: Bytes) -> Response<Bytes> {
        let Some((flight, key, head)) = self.end(&ticket).and_then(|mut flight| {
            let (key, head) = (flight.key.take()?, flight.fill.take()?);
            Some((flight, key, head))
        }) else {
            return Response::new(Bytes::new());
        };
        let (mut parts, ()) = head.into_parts();
        if let Ok(lifetime) = decide::lifetime(parts.status, &parts.headers)
            && !flight.purged
        {
            let tags = parts.headers.get_all("cache-tag").iter().filter_map(|value| value.to_str().ok());
            self.store.insert(Entry {
                key: key.clone(),
                url: flight.uri.to_string(),
                host: flight.uri.host().unwrap_or_default().to_ascii_lowercase(),
                environment: None,
                status: parts.status,
                tags: tags.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_lowercase()).collect(),
                headers: parts.headers.clone(),
                body: body.clone(),
                stored: now,
                fresh_until: now + lifetime,
            });
        }
        self.counter += 1;
        answer::finish(&mut parts.headers, "MISS", &format!("miss; key={key}"), self.counter);
        let body = if flight.method == Method::HEAD { Bytes::new() } else { body };
        Response::from_parts(parts, body)
    }

    /// Ends a fill whose body is over the limit; what this returns is the head of the visitor's answer, if none was
    /// sent yet. What was collected and what still comes are its body.
    #[must_use = "the visitor waits for it"]
    pub fn outgrown(&mut self, _now: SystemTime, ticket: Ticket) -> Response<()> {
        let mut response = self.end(&ticket).and_then(|flight| flight.fill).unwrap_or_default();
        self.counter += 1;
        answer::finish(response.headers_mut(), "BYPASS", "bypass; too large", self.counter);
        response
    }

    /// Ends a fetch that brought no answer, or half of one; what this returns is the visitor's answer, if none was
    /// begun yet.
    #[must_use = "the visitor waits for it"]
    pub fn failed(&mut self, _now: SystemTime, ticket: Ticket, failure: Failure) -> Response<Bytes> {
        drop(self.end(&ticket));
        let mut response = Response::new(Bytes::from_static(b"the origin did not answer\n"));
        *response.status_mut() = failure.status();
        self.counter += 1;
        answer::finish(response.headers_mut(), "MISS", "error", self.counter);
        response
    }

    /// Ends a fetch whose answer nobody waits for any more and whose end is not known.
    pub fn abandoned(&mut self, ticket: Ticket) {
        drop(self.end(&ticket));
    }

    /// Takes a whole answer at once, and returns the visitor's.
    pub fn fetched(
        &mut self,
        now: SystemTime,
        ticket: Ticket,
        answer: Result<Response<Bytes>, Failure>,
    ) -> Response<Bytes> {
        let (parts, body) = match answer {
            Ok(response) => response.into_parts(),
            Err(failure) => return self.failed(now, ticket, failure),
        };
        match self.answered(now, ticket, Response::from_parts(parts, ())) {
            Next::Answer(response) => response,
            Next::Pass(response) => response.map(|()| body),
            Next::Keep(keep) if body.len() as u64 > keep.limit => {
                self.outgrown(now, keep.ticket).map(|()| body)
            }
            Next::Keep(keep) => self.filled(now, keep.ticket, body),
        }
    }

    /// Purges or invalidates.
    pub fn purge(&mut self, _now: SystemTime, purge: &Purge) -> Purged {
        for flight in self.flights.values_mut() {
            flight.purged = true;
        }
        let _ = matches!(purge.action, Action::Purge);
        let objects = self.store.remove(|entry| match &purge.scope {
            Scope::Everything => true,
            Scope::Files(files) => files.iter().any(|file| file.url == entry.url),
            Scope::Tags(tags) => tags.iter().any(|tag| entry.tags.contains(&tag.to_lowercase())),
            Scope::Hosts(hosts) => hosts.iter().any(|host| host.eq_ignore_ascii_case(&entry.host)),
            Scope::Prefixes(prefixes) => prefixes
                .iter()
                .any(|prefix| entry.url.split_once("://").is_some_and(|(_, rest)| rest.starts_with(prefix))),
        });
        Purged { objects }
    }

    /// What is stored, in no particular order.
    pub fn objects(&self, now: SystemTime) -> impl Iterator<Item = Object> {
        self.store.iter().map(move |entry| Object {
            url: entry.url.clone(),
            key: entry.key.clone(),
            environment: entry.environment.clone(),
            status: entry.status,
            size: entry.body.len() as u64,
            tags: entry.tags.clone(),
            age: entry.age(now),
            fresh_for: match entry.fresh_until.duration_since(now) {
                Ok(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                Err(over) => -i64::try_from(over.duration().as_secs()).unwrap_or(i64::MAX),
            },
            in_reserve: false,
        })
    }

    /// How many objects are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Is nothing stored?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// How many bytes the stored objects take.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        self.store.bytes()
    }

    fn fetch<B>(&mut self, request: &Request<B>, key: Option<String>, why: String, with_body: bool) -> Fetch {
        let mut out = Request::new(());
        *out.uri_mut() = request.uri().clone();
        *out.headers_mut() = request.headers().clone();
        answer::strip_hop_by_hop(out.headers_mut());
        if let Some(authority) = request.uri().authority()
            && let Ok(host) = HeaderValue::try_from(authority.as_str())
        {
            out.headers_mut().insert("host", host);
        }
        let method = request.method().clone();
        if key.is_none() {
            *out.method_mut() = method.clone();
        }
        self.counter += 1;
        let id = self.counter;
        let uri = request.uri().clone();
        self.flights.insert(id, Flight { method, key, why, uri, fill: None, purged: false });
        Fetch { ticket: Ticket(id), request: out, with_body }
    }

    fn end(&mut self, ticket: &Ticket) -> Option<Flight> {
        let flight = self.flights.remove(&ticket.0)?;
        if let Some(key) = &flight.key
            && self.locks.get(key).is_some_and(|(fill, _)| *fill == ticket.id())
        {
            self.locks.remove(key);
        }
        Some(flight)
    }

    fn pass(&mut self, ticket: &Ticket, head: Response<()>, status: &'static str, why: &str) -> Response<()> {
        drop(self.end(ticket));
        let mut head = head;
        self.counter += 1;
        answer::finish(head.headers_mut(), status, why, self.counter);
        head
    }

    fn hit(&mut self, now: SystemTime, entry: &Entry, method: &Method) -> Response<Bytes> {
        let body = if method == Method::HEAD { Bytes::new() } else { entry.body.clone() };
        let mut response = Response::new(body);
        *response.status_mut() = entry.status;
        *response.headers_mut() = entry.headers.clone();
        response.headers_mut().insert("age", entry.age(now).into());
        self.counter += 1;
        answer::finish(response.headers_mut(), "HIT", &format!("hit; key={}", entry.key), self.counter);
        response
    }
}

impl Ticket {
    /// The fill that ends with this ticket; a [`Step::Wait`] names it.
    #[must_use]
    pub const fn id(&self) -> FillId {
        FillId(self.0)
    }
}

impl Failure {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        let code = match self {
            Self::Closed => 520,
            Self::Refused => 521,
            Self::ConnectTimeout => 522,
            Self::Unreachable => 523,
            Self::Timeout => 524,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY)
    }
}

impl Collector {
    /// An empty body that may have as many bytes.
    #[must_use]
    pub const fn new(limit: u64) -> Self {
        Self { limit, chunks: Vec::new(), length: 0 }
    }

    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// [`Full`] where it would be over the limit with it; the piece is not added.
    pub fn push(&mut self, piece: Bytes) -> Result<(), Full> {
        let length = self.length + piece.len() as u64;
        if length > self.limit {
            return Err(Full);
        }
        self.length = length;
        self.chunks.push(piece);
        Ok(())
    }

    /// The pieces so far, in order.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.chunks
    }

    /// The whole body.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut body = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or_default());
        for piece in self.chunks {
            body.extend_from_slice(&piece);
        }
        body.freeze()
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}
