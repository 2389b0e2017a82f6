//! The cache of a zone as a state machine.

mod flight;
mod purging;
mod upstream;

use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use http::header::{
    AGE, CACHE_CONTROL, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};

use crate::answer::{self, About, Status};
use crate::decide::{self, CDN_CACHE_CONTROL, Terms, Variation};
use crate::edge::flight::{Fill, Flight, Purpose, ReceivedHead};
use crate::edge::purging::Covered;
use crate::entry::{self, Head, StoredResponse};
use crate::key;
use crate::request::Asked;
use crate::rule::Effects;
use crate::settings::{CacheSettings, VisitorInfo};
use crate::step::{Fetch, FetchTicket, FillId, Keep, OriginFailure, RequestStep, ResponseStep};
use crate::store::{self, CacheStore};

/// The methods that are passed on; others are answered with 501. This list is a choice: 501 was observed for unknown
/// methods, but the known ones are not documented.
const METHODS: [&str; 17] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "PURGE",
    "REPORT",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "SEARCH",
];

/// The headers that a 304 updates in a stored response (Pingora, `revalidate_merge_header`).
const MERGED: [HeaderName; 5] = [
    CACHE_CONTROL,
    EXPIRES,
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static(CDN_CACHE_CONTROL),
    ETAG,
];

/// How long Cache Reserve keeps an object that is not requested.
///
/// Source: <https://developers.cloudflare.com/cache/advanced-configuration/cache-reserve/>, 2026.
const RESERVE_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The maximum number of keys that are remembered as purged with tiers, and of keys whose responses are not stored.
const MAX_KEYS: usize = 200_000;

/// The number of purged objects that are freed with each request.
const SWEPT_WITH_A_REQUEST: usize = 4;

/// The cache of one zone.
///
/// - [`request`](Self::request) is called for each request of a visitor.
/// - If it returns a [`Fetch`], the caller sends the request to the origin and passes the response with the ticket:
///   first its headers to [`answered`](Self::answered), then, if it is to be kept, its body to
///   [`filled`](Self::filled). Exactly one call ends each ticket; a caller that gives up calls
///   [`abandoned`](Self::abandoned).
/// - [`purge`](Self::purge) takes effect at once, also for fetches in progress: their responses are not kept.
///
/// The time is wall-clock time, with which dates in headers are compared. It must not go backwards; a caller whose
/// users can advance it adds an offset to the clock.
#[derive(Debug)]
pub struct Edge {
    settings: CacheSettings,
    store: CacheStore,
    flights: HashMap<u64, Flight>,
    /// The fetch in progress for a key, and until when other requests wait for it.
    locks: HashMap<Arc<str>, (FillId, SystemTime)>,
    /// Hashes of keys whose last fetch was not stored: requests for them do not wait for each other.
    unstored: HashSet<u64>,
    /// Hashes of keys that were purged from the upper tier only: their status is EXPIRED, not MISS.
    expired: HashSet<u64>,
    /// Purges since the start of the oldest fetch in progress, with their numbers.
    log: VecDeque<(u64, Covered)>,
    /// The number of purges, and how many of them were dropped from the log although they may matter.
    purges: u64,
    forgotten: u64,
    counter: u64,
}

/// An object in the cache, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// The URL in the key.
    pub url: String,
    /// The key.
    pub key: String,
    /// The request's values of the headers in `Vary`; empty if the response does not vary.
    pub variant: String,
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
    /// For how many seconds it is still fresh; negative after that.
    pub fresh_for: i64,
    /// Whether it is in Cache Reserve too.
    pub in_reserve: bool,
}

impl Edge {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            store: CacheStore::default(),
            flights: HashMap::new(),
            locks: HashMap::new(),
            unstored: HashSet::new(),
            expired: HashSet::new(),
            log: VecDeque::new(),
            purges: 0,
            forgotten: 0,
            counter: 0,
        }
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// The settings, mutably. Stored objects are not changed.
    pub const fn settings_mut(&mut self) -> &mut CacheSettings {
        &mut self.settings
    }

    /// Handles a visitor's request. Its URI is absolute, or `Host` is its host with https. Its body is not used.
    pub fn request<B>(
        &mut self,
        now: SystemTime,
        request: &Request<B>,
        visitor: &VisitorInfo,
    ) -> RequestStep {
        let ray = self.count();
        if !METHODS.contains(&request.method().as_str()) {
            // These methods are known, but not allowed.
            let is_known = [Method::TRACE, Method::CONNECT].contains(request.method());
            let status = if is_known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_IMPLEMENTED };
            let mut response = answer::error(status, request.method());
            let about = self.about(now, ray, Status::Dynamic, "method", None, &Effects::default());
            answer::finish(response.headers_mut(), &about);
            return RequestStep::Answer { response, refresh: None };
        }
        // Objects of a large purge are freed gradually with the traffic.
        self.store.sweep(SWEPT_WITH_A_REQUEST);
        let asked = Asked::new(request, visitor);
        let effects = self.settings.rules.effects(&asked);
        if let Some(reason) = decide::ineligible(now, &self.settings, &effects, &asked) {
            let out = upstream::forwarded(request, &asked, ray);
            let route = Purpose::Dynamic(reason.into_owned());
            let ticket = self.open(request, visitor, ray, route);
            return RequestStep::Fetch(Fetch { ticket, request: out, with_body: true });
        }
        let environment = self.environment(&asked);
        let key = key::key(&self.settings, &effects, environment.as_deref(), &asked);
        let found = self.find(&key.text, &effects, &asked).map(|(_, entry)| Arc::clone(entry));
        if let Some(entry) = found.as_ref().filter(|entry| entry.is_fresh(now)) {
            let about = self.about(now, ray, Status::Hit, "", Some(&key.text), &effects);
            return RequestStep::Answer { response: self.stored(request, entry, &about), refresh: None };
        }
        let lock = match self.locks.get(key.text.as_str()).copied() {
            Some((_, until)) if until <= now => {
                // Requests that waited this long are sent to the origin independently, until a response is stored.
                self.unstore(&key.text);
                None
            }
            lock => lock,
        };
        if let Some(entry) = &found
            && entry.may_be_updating(now)
            && effects.no_stale_while_updating != Some(true)
        {
            let about = self.about(now, ray, Status::Updating, "", Some(&key.text), &effects);
            let response = self.stored(request, entry, &about);
            let refresh = lock.is_none().then(|| {
                let out = upstream::conditional(request, &asked, &effects, ray, Some(entry));
                let mut fill = Fill::new(key, effects, environment, Some(Arc::clone(entry)));
                fill.for_nobody = true;
                self.open_fill(now, request, visitor, ray, fill, out)
            });
            return RequestStep::Answer { response, refresh };
        }
        if let Some((fill, until)) = lock
            && !self.unstored.contains(&store::key_hash(&key.text))
        {
            return RequestStep::Wait(fill, until);
        }
        let out = upstream::conditional(request, &asked, &effects, ray, found.as_deref());
        let fill = Fill::new(key, effects, environment, found);
        RequestStep::Fetch(self.open_fill(now, request, visitor, ray, fill, out))
    }

    /// Handles the headers of the origin's response.
    pub fn answered(&mut self, now: SystemTime, ticket: FetchTicket, head: Response<()>) -> ResponseStep {
        let Some(flight) = self.flights.remove(&ticket.0) else {
            return ResponseStep::Answer(Self::unknown());
        };
        let (parts, ()) = head.into_parts();
        let fill = match &flight.route {
            Purpose::Dynamic(reason) => {
                let mut headers = parts.headers;
                let about = self.about(now, flight.ray, Status::Dynamic, reason, None, &Effects::default());
                answer::finish(&mut headers, &about);
                self.settle(&ticket, None);
                return ResponseStep::Pass(response(parts.status, headers));
            }
            Purpose::Fill(fill) => fill,
        };
        let is_error = parts.status.is_server_error();
        if parts.status == StatusCode::NOT_MODIFIED && fill.stale.is_some() {
            return ResponseStep::Answer(self.revalidated(now, &ticket, flight, &parts.headers));
        }
        if is_error && let Some(response) = self.stale(now, &ticket, &flight, "origin error") {
            return ResponseStep::Answer(response);
        }
        let mut headers = parts.headers;
        answer::clean(&mut headers);
        let decided = {
            let asked = Asked::new(&flight.request, &flight.visitor);
            self.decide(now, fill, &asked, parts.status, &headers)
        };
        let (terms, variation, variant) = match decided {
            Ok(decided) => decided,
            Err(reason) => {
                // A response that may not be stored replaces a stored one; an error does not.
                if !is_error {
                    self.forget(&flight);
                }
                return ResponseStep::Pass(self.bypass(
                    now,
                    &ticket,
                    &flight,
                    parts.status,
                    headers,
                    &reason,
                ));
            }
        };
        for name in &terms.strip {
            headers.remove(name);
        }
        let wants_whole = flight.request.method() == Method::GET
            && !fill.for_nobody
            && [RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE]
                .iter()
                .all(|name| !flight.request.headers().contains_key(name));
        let pass = wants_whole.then(|| {
            let mut headers = headers.clone();
            let about = self.about(now, flight.ray, fill.status(), "", Some(&fill.key), &fill.effects);
            answer::finish(&mut headers, &about);
            response(parts.status, headers)
        });
        let limit = self.max_object().min(self.free(&flight));
        let mut flight = flight;
        if let Purpose::Fill(fill) = &mut flight.route {
            fill.pending = Some(ReceivedHead { status: parts.status, headers, terms, variation, variant });
        }
        self.flights.insert(ticket.0, flight);
        ResponseStep::Keep(Keep { ticket, limit, pass })
    }

    /// Handles the complete body of a response that is to be kept, and returns the visitor's response.
    ///
    /// The body is kept without copying: if it is a slice of a larger buffer, the whole buffer is kept. Use
    /// [`BodyCollector`](crate::BodyCollector) to avoid this.
    pub fn filled(&mut self, now: SystemTime, ticket: FetchTicket, body: Bytes) -> Response<Bytes> {
        let Some(mut flight) = self.flights.remove(&ticket.0) else { return Self::unknown() };
        let Purpose::Fill(fill) = &mut flight.route else { return Self::unknown() };
        let Some(pending) = fill.pending.take() else { return Self::unknown() };
        let Purpose::Fill(fill) = &flight.route else { return Self::unknown() };
        let mut entry = StoredResponse {
            key: Arc::clone(&fill.key),
            place: fill.place,
            environment: fill.environment.clone(),
            variation: pending.variation,
            variant: pending.variant.into(),
            status: pending.status,
            head: Head::new(&pending.headers),
            body: body.clone(),
            tags: entry::tags(&pending.headers).into(),
            filled: now,
            stored: now,
            fresh_until: now,
            while_revalidate: 0,
            if_error: 0,
            is_in_reserve: false,
            fetch: flight.number,
        };
        entry.take_terms(now, &pending.terms);
        let mut status = fill.status();
        let mut reason = "";
        match self.covering(&flight, &entry) {
            Some(Action::Purge) => reason = "purged meanwhile",
            covering => {
                if covering == Some(Action::Invalidate) {
                    entry.invalidate(now);
                }
                if !self.keep(&flight, entry) {
                    (status, reason) = (Status::Bypass, "memory limit");
                }
            }
        }
        let headers = pending.headers;
        let mut response =
            answer::serve(flight.request.method(), flight.request.headers(), pending.status, headers, body);
        let about = self.about(now, flight.ray, status, reason, Some(&fill.key), &fill.effects);
        answer::finish(response.headers_mut(), &about);
        let key = Arc::clone(&fill.key);
        if status == Status::Bypass {
            self.unstore(&key);
        } else {
            self.unstored.remove(&store::key_hash(&key));
            self.expired.remove(&store::key_hash(&key));
        }
        self.settle(&ticket, Some(&key));
        response
    }

    /// Ends a fetch whose body exceeds the limit. Returns the headers of the visitor's response, if none were sent yet.
    /// Its body consists of the collected part and the rest.
    #[must_use = "the visitor waits for it"]
    pub fn outgrown(&mut self, now: SystemTime, ticket: FetchTicket) -> Response<()> {
        let flight = self.flights.remove(&ticket.0);
        let Some(mut flight) = flight else { return Self::unknown().map(drop) };
        let pending = match &mut flight.route {
            Purpose::Fill(fill) => fill.pending.take(),
            Purpose::Dynamic(_) => None,
        };
        let Some(pending) = pending else { return Self::unknown().map(drop) };
        let reason = if self.max_object() <= self.free(&flight) { "too large" } else { "memory limit" };
        self.forget(&flight);
        self.bypass(now, &ticket, &flight, pending.status, pending.headers, reason)
    }

    /// Ends a fetch that failed; returns the visitor's response, if none was started yet.
    #[must_use = "the visitor waits for it"]
    pub fn failed(
        &mut self,
        now: SystemTime,
        ticket: FetchTicket,
        failure: OriginFailure,
    ) -> Response<Bytes> {
        let Some(flight) = self.flights.remove(&ticket.0) else { return Self::unknown() };
        if let Some(response) = self.stale(now, &ticket, &flight, failure.reason()) {
            return response;
        }
        let mut response = answer::error(failure.status(), flight.request.method());
        let default = Effects::default();
        let (status, key, effects) = match &flight.route {
            Purpose::Dynamic(_) => (Status::Dynamic, None, &default),
            Purpose::Fill(fill) => (Status::Bypass, Some(&fill.key), &fill.effects),
        };
        let about = self.about(now, flight.ray, status, failure.reason(), key.map(|key| &**key), effects);
        answer::finish(response.headers_mut(), &about);
        let key = key.cloned();
        if let Some(key) = &key {
            // Waiting requests do not wait for each other's failures.
            self.unstore(key);
        }
        self.settle(&ticket, key.as_ref());
        response
    }

    /// Ends a fetch whose visitor is gone and whose result is not known.
    pub fn abandoned(&mut self, ticket: FetchTicket) {
        let flight = self.flights.remove(&ticket.0);
        let key = flight.and_then(|flight| match flight.route {
            Purpose::Fill(fill) => Some(Arc::clone(&fill.key)),
            Purpose::Dynamic(_) => None,
        });
        self.settle(&ticket, key.as_ref());
    }

    /// Handles a complete response at once, and returns the visitor's.
    pub fn fetched(
        &mut self,
        now: SystemTime,
        ticket: FetchTicket,
        answer: Result<Response<Bytes>, OriginFailure>,
    ) -> Response<Bytes> {
        let (parts, body) = match answer {
            Ok(response) => response.into_parts(),
            Err(failure) => return self.failed(now, ticket, failure),
        };
        let is_head =
            self.flights.get(&ticket.0).is_some_and(|flight| flight.request.method() == Method::HEAD);
        let passed = if is_head { Bytes::new() } else { body.clone() };
        match self.answered(now, ticket, Response::from_parts(parts, ())) {
            ResponseStep::Answer(response) => response,
            ResponseStep::Pass(response) => response.map(|()| passed),
            ResponseStep::Keep(keep) if body.len() as u64 > keep.limit => {
                self.outgrown(now, keep.ticket).map(|()| passed)
            }
            ResponseStep::Keep(keep) => self.filled(now, keep.ticket, body),
        }
    }

    /// The stored objects, in no particular order.
    pub fn objects(&self, now: SystemTime) -> impl Iterator<Item = Object> {
        self.store.iter().map(move |entry| Object {
            url: entry.url().to_owned(),
            key: entry.key.to_string(),
            variant: entry.variant.to_string(),
            environment: entry.environment.as_deref().map(str::to_owned),
            status: entry.status,
            size: entry.body.len() as u64,
            tags: entry.tags().map(str::to_owned).collect(),
            age: entry.age(now),
            fresh_for: match entry.fresh_until.duration_since(now) {
                Ok(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                // A stale object is at least one second old, so that 0 means fresh.
                Err(over) => -i64::try_from(over.duration().as_secs().max(1)).unwrap_or(i64::MAX),
            },
            in_reserve: entry.is_in_reserve
                && now.duration_since(entry.stored).unwrap_or_default() < RESERVE_TIME,
        })
    }

    /// How many objects are stored.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.store.len()
    }

    /// Returns whether nothing is stored.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.store.len() == 0
    }

    /// Frees up to a number of purged objects, and returns how many are left.
    ///
    /// A purge of many objects only marks them, so that it returns quickly. They are freed gradually with each request;
    /// a caller with idle time can use this function.
    pub fn sweep(&mut self, objects: usize) -> usize {
        self.store.sweep(objects)
    }

    /// The memory of the stored objects in bytes, including metadata.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        self.store.bytes()
    }

    /// The maximum size of a body that is kept.
    ///
    /// Source: <https://developers.cloudflare.com/cache/concepts/default-cache-behavior/#cacheable-size-limits>, 2026.
    fn max_object(&self) -> u64 {
        let by_plan = if self.settings.plan == Plan::Enterprise { 5_000 << 20 } else { 512 << 20 };
        self.settings.max_object.min(by_plan)
    }

    const fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn about<'a>(
        &self,
        now: SystemTime,
        ray: u64,
        status: Status,
        reason: &'a str,
        key: Option<&'a str>,
        effects: &Effects,
    ) -> About<'a> {
        let browser_ttl = (self.settings.browser_ttl, effects.browser_ttl);
        About { status, reason, key, ray, now, browser_ttl }
    }

    /// The environment of a request; `None` for production, to which all other requests belong.
    fn environment(&self, asked: &Asked<'_>) -> Option<Arc<str>> {
        let mut others = self.settings.environments.iter().filter(|environment| !environment.is_production());
        others.find(|environment| environment.expression.matches(asked)).map(|found| found.id.as_str().into())
    }

    /// The newest object of a key that matches a request.
    fn find(&self, key: &str, effects: &Effects, asked: &Asked<'_>) -> Option<(u32, &Arc<StoredResponse>)> {
        self.store.variants(key).find(|(_, entry)| match self.variant(&entry.variation, effects, asked) {
            Some(variant) => *variant == *entry.variant,
            None => false,
        })
    }

    /// The request's values that select a variant; empty if no rule requires them.
    fn variant(&self, variation: &Variation, effects: &Effects, asked: &Asked<'_>) -> Option<String> {
        match variation {
            Variation::None => Some(String::new()),
            Variation::Headers(names) => Some(key::variant(names, effects.vary.as_deref()?, asked)),
            Variation::Image => {
                let (_, types) = decide::image_types(&self.settings, asked)?;
                Some(key::image_variant(types, asked))
            }
        }
    }

    /// How a response is stored, or why it is not.
    fn decide(
        &self,
        now: SystemTime,
        fill: &Fill,
        asked: &Asked<'_>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(Terms, Variation, String), String> {
        let variation =
            decide::variation(&self.settings, &fill.effects, asked, headers).map_err(String::from)?;
        let terms = decide::terms(now, &self.settings, &fill.effects, asked, (status, false), headers)
            .map_err(String::from)?;
        let length = decide::content_length(headers).unwrap_or_default();
        if length > self.max_object() {
            return Err("too large".to_owned());
        }
        if length > self.free_for(fill, asked) {
            return Err("memory limit".to_owned());
        }
        let variant = self.variant(&variation, &fill.effects, asked).unwrap_or_default();
        Ok((terms, variation, variant))
    }

    fn open<B>(
        &mut self,
        request: &Request<B>,
        visitor: &VisitorInfo,
        ray: u64,
        route: Purpose,
    ) -> FetchTicket {
        let mut copy = Request::new(());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        let number = self.count();
        let flight =
            Flight { number, request: copy, visitor: visitor.clone(), ray, began: self.purges, route };
        self.flights.insert(number, flight);
        FetchTicket(number)
    }

    fn open_fill<B>(
        &mut self,
        now: SystemTime,
        request: &Request<B>,
        visitor: &VisitorInfo,
        ray: u64,
        mut fill: Fill,
        out: Request<()>,
    ) -> Fetch {
        fill.was_purged = self.expired.contains(&store::key_hash(&fill.key));
        let key = Arc::clone(&fill.key);
        let ticket = self.open(request, visitor, ray, Purpose::Fill(Box::new(fill)));
        let until = now.checked_add(self.settings.lock_timeout).unwrap_or(now);
        self.locks.insert(key, (ticket.id(), until));
        Fetch { ticket, request: out, with_body: false }
    }

    /// The response to a request from a stored object.
    fn stored<B>(&self, request: &Request<B>, entry: &StoredResponse, about: &About<'_>) -> Response<Bytes> {
        let mut headers = entry.head.to_map();
        headers.insert(AGE, entry.age(about.now).into());
        // Smart Edge Revalidation: if the origin sends no validator, the time of storing is used for visitors. Source:
        // <https://developers.cloudflare.com/cache/concepts/revalidation/>, 2026.
        if !headers.contains_key(LAST_MODIFIED) && !headers.contains_key(ETAG) {
            answer::set(&mut headers, LAST_MODIFIED, &answer::date(entry.filled));
        }
        let (method, asked) = (request.method(), request.headers());
        let mut response = answer::serve(method, asked, entry.status, headers, entry.body.clone());
        answer::finish(response.headers_mut(), about);
        response
    }

    /// The stale response after a failure of the origin, if one may be served.
    fn stale(
        &mut self,
        now: SystemTime,
        ticket: &FetchTicket,
        flight: &Flight,
        reason: &str,
    ) -> Option<Response<Bytes>> {
        let Purpose::Fill(fill) = &flight.route else { return None };
        let entry = fill.stale.as_deref()?;
        if !entry.may_be_stale(now) || self.covering(flight, entry) == Some(Action::Purge) {
            return None;
        }
        let about = self.about(now, flight.ray, Status::Stale, reason, Some(&entry.key), &fill.effects);
        let response = self.stored(&flight.request, entry, &about);
        let key = Arc::clone(&fill.key);
        self.settle(ticket, Some(&key));
        Some(response)
    }

    /// Handles a 304 of the origin.
    fn revalidated(
        &mut self,
        now: SystemTime,
        ticket: &FetchTicket,
        flight: Flight,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        let Purpose::Fill(fill) = &flight.route else { return Self::unknown() };
        let Some(stale) = fill.stale.as_deref() else { return Self::unknown() };
        let mut entry = stale.clone();
        let mut merged = stale.head.to_map();
        for name in MERGED {
            let mut values = headers.get_all(&name).iter();
            if let Some(first) = values.next() {
                merged.insert(name.clone(), first.clone());
                for value in values {
                    merged.append(name.clone(), value.clone());
                }
            }
        }
        answer::clean(&mut merged);
        let terms = {
            let asked = Asked::new(&flight.request, &flight.visitor);
            let status = (entry.status, true);
            decide::terms(now, &self.settings, &fill.effects, &asked, status, &merged)
        };
        let mut reason = String::new();
        match terms {
            Ok(terms) => {
                for name in &terms.strip {
                    merged.remove(name);
                }
                entry.take_terms(now, &terms);
                entry.head = Head::new(&merged);
                entry.tags = entry::tags(&merged).into();
                entry.fetch = flight.number;
                match self.covering(&flight, stale) {
                    Some(Action::Purge) => "purged meanwhile".clone_into(&mut reason),
                    covering => {
                        if covering == Some(Action::Invalidate) {
                            entry.invalidate(now);
                        }
                        // It replaces itself; a few more bytes of tags are not refused.
                        self.replace(&flight, entry.clone());
                    }
                }
            }
            Err(refusal) => {
                self.forget(&flight);
                entry.stored = now;
                reason = refusal.into_owned();
            }
        }
        let status = Status::Revalidated;
        let about = self.about(now, flight.ray, status, &reason, Some(&entry.key), &fill.effects);
        let response = self.stored(&flight.request, &entry, &about);
        let key = Arc::clone(&fill.key);
        self.unstored.remove(&store::key_hash(&key));
        self.settle(ticket, Some(&key));
        response
    }

    /// Stores an object and replaces the one that the request would have found; returns `false` if there is not enough
    /// memory.
    fn keep(&mut self, flight: &Flight, entry: StoredResponse) -> bool {
        if entry.cost() > self.free(flight) {
            return false;
        }
        self.replace(flight, entry);
        true
    }

    /// The memory in bytes that is available for the object of a fetch. The object that it replaces does not count.
    fn free(&self, flight: &Flight) -> u64 {
        let Purpose::Fill(fill) = &flight.route else { return 0 };
        self.free_for(fill, &Asked::new(&flight.request, &flight.visitor))
    }

    fn free_for(&self, fill: &Fill, asked: &Asked<'_>) -> u64 {
        let old = self.find(&fill.key, &fill.effects, asked).map_or(0, |(_, old)| old.cost());
        self.settings.max_memory.saturating_sub(self.store.bytes().saturating_sub(old))
    }

    /// Replaces the object that the request would have found, unless that is from a later fetch.
    fn replace(&mut self, flight: &Flight, entry: StoredResponse) {
        let Purpose::Fill(fill) = &flight.route else { return };
        let asked = Asked::new(&flight.request, &flight.visitor);
        let found = self.find(&fill.key, &fill.effects, &asked);
        if found.is_some_and(|(_, found)| found.fetch > entry.fetch) {
            return;
        }
        self.forget(flight);
        self.store.insert(entry);
    }

    /// Removes the object that the request of a fetch would find.
    fn forget(&mut self, flight: &Flight) {
        let Purpose::Fill(fill) = &flight.route else { return };
        let asked = Asked::new(&flight.request, &flight.visitor);
        while let Some((id, _)) = self.find(&fill.key, &fill.effects, &asked) {
            drop(self.store.remove(&[id]));
        }
    }

    fn bypass(
        &mut self,
        now: SystemTime,
        ticket: &FetchTicket,
        flight: &Flight,
        status: StatusCode,
        mut headers: HeaderMap,
        reason: &str,
    ) -> Response<()> {
        let Purpose::Fill(fill) = &flight.route else { return Self::unknown().map(drop) };
        let key = Arc::clone(&fill.key);
        let about = self.about(now, flight.ray, Status::Bypass, reason, Some(&key), &fill.effects);
        answer::finish(&mut headers, &about);
        self.unstore(&key);
        self.settle(ticket, Some(&key));
        response(status, headers)
    }

    /// Remembers that responses for a key are not stored.
    fn unstore(&mut self, key: &str) {
        if self.unstored.len() >= MAX_KEYS {
            self.unstored.clear();
        }
        self.unstored.insert(store::key_hash(key));
    }

    /// Ends everything that waits for a ticket, and removes its data.
    fn settle(&mut self, ticket: &FetchTicket, key: Option<&Arc<str>>) {
        if let Some(key) = key
            && self.locks.get(key).is_some_and(|(fill, _)| *fill == ticket.id())
        {
            self.locks.remove(key);
        }
        if self.flights.is_empty() {
            self.log.clear();
        }
    }

    /// The response for an unknown ticket.
    fn unknown() -> Response<Bytes> {
        answer::error(StatusCode::INTERNAL_SERVER_ERROR, &Method::GET)
    }
}

fn response(status: StatusCode, headers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
