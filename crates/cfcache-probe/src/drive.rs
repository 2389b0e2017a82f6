//! Runs the state machines with a [`Visitor`]. No other file here awaits more than one request.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use cfcache_model::target::Target;
use futures_core::Stream;
use http::header::{HeaderName, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::answer::VisitorAnswer;
use crate::gate::{Expectation, Gate, GateSettings, GateStep, Matcher, busted};
use crate::pace::{Limits, Reaction};
use crate::queue::{MAX_WAIT, Queue, QueueStep, TOO_LONG_A_WAIT};
use crate::variant::Variant;
use crate::verify::{Decided, UrlToVerify, Verification, VerifyStep};
use crate::visitor::{NoAnswer, Visit, Visitor, host_of};
use crate::warm::{WarmStep, Warmed, Warmer};

/// The maximum number of URLs of a stream in memory.
const WINDOW: usize = 256;

/// The maximum number of URLs that are verified at the same time. A URL that survives its purge is requested for
/// several seconds.
const MAX_VERIFIED_AT_ONCE: usize = 4096;

/// A URL to request, and additional headers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VisitRequest {
    /// The URL.
    pub url: String,
    /// The headers of the cache key.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl VisitRequest {
    /// Creates a request without additional headers.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new() }
    }

    /// Creates a request for the URL of a purge target, with the headers of its cache key as a visitor sends them.
    /// Returns `None` for targets of another kind.
    #[must_use]
    pub fn from_target(target: &Target) -> Option<Self> {
        let Target::Files(file) = target else { return None };
        let url = file.url().as_str();
        let mut headers = Vec::new();
        for header in file.headers() {
            // The edge derives these two headers from the visitor's browser and location.
            if header.is("CF-Device-Type") {
                let variant = match header.value() {
                    "mobile" => Variant::Mobile,
                    "tablet" => Variant::Tablet,
                    _ => Variant::Desktop,
                };
                if let Some((name, value)) = variant.headers(url)
                    && let Ok(value) = HeaderValue::try_from(value)
                {
                    headers.push((HeaderName::from_static(name), value));
                }
            } else if !header.is("CF-IPCountry")
                && let (Ok(name), Ok(value)) =
                    (HeaderName::try_from(header.name()), HeaderValue::try_from(header.value()))
            {
                headers.push((name, value));
            }
        }
        Some(Self::new(url).with_headers(headers))
    }

    /// Adds these headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        self.headers = headers;
        self
    }

    /// Returns the target as requested by another kind of visitor; `None` if there is no such variant of the URL.
    fn varied(&self, variant: Variant) -> Option<Self> {
        let url = variant.url(&self.url)?;
        let mut headers = self.headers.clone();
        if let Some((name, value)) = variant.headers(&self.url)
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.push((HeaderName::from_static(name), value));
        }
        Some(Self { url, headers })
    }
}

/// The result of a request.
type Visited = Result<Visit, NoAnswer>;

/// Returns the next item of a stream. Never completes if the stream has ended.
async fn next<S: Stream + Unpin>(stream: &mut S, has_ended: bool) -> Option<S::Item> {
    if has_ended {
        return pending().await;
    }
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

async fn wait(began: Instant, until: Option<Duration>) {
    match until.and_then(|until| began.checked_add(until)) {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}

async fn visit(visitor: Arc<Visitor>, target: VisitRequest) -> Visited {
    visitor.visit(&target.url, &target.headers).await
}

/// Replaces the result of a task that panicked.
fn cancelled() -> NoAnswer {
    NoAnswer::new("the request was broken off")
}

/// Requests each URL of a stream once, and passes the results to `emit`, in the order of the stream.
///
/// It ends early if `stop` completes: requests in flight are cancelled, and earlier results have been emitted. At most
/// a few hundred URLs of the stream are in memory. Returns whether it reached the end of the stream.
pub async fn probe(
    visitor: &Arc<Visitor>,
    limits: Limits,
    mut urls: impl Stream<Item = Vec<VisitRequest>> + Unpin,
    emit: &mut impl FnMut(&VisitRequest, &Result<Visit, NoAnswer>),
    stop: impl Future<Output = ()>,
) -> bool {
    let began = Instant::now();
    let mut stop = pin!(stop);
    let mut queue = Queue::new(limits, MAX_WAIT);
    let mut waiting: Vec<VisitRequest> = Vec::new();
    let mut running = JoinSet::new();
    let mut done = BTreeMap::new();
    let (mut read, mut given, mut has_ended) = (0_u64, 0_u64, false);
    loop {
        while read - given < WINDOW as u64 && !waiting.is_empty() {
            for target in waiting.drain(..waiting.len().min(WINDOW - (read - given) as usize)) {
                let host = queue.host(&host_of(&target.url));
                queue.push(host, (read, target), Duration::ZERO);
                read += 1;
            }
        }
        while let Some((target, visited)) = done.remove(&given) {
            emit(&target, &visited);
            given += 1;
        }
        let until = match queue.next(began.elapsed()) {
            QueueStep::GiveUp((number, target)) => {
                done.insert(number, (target, Err(NoAnswer::new(TOO_LONG_A_WAIT))));
                continue;
            }
            QueueStep::Start(ticket, (number, target)) => {
                let visitor = Arc::clone(visitor);
                running.spawn(async move {
                    let visited = visit(visitor, target.clone()).await;
                    (ticket, number, target, visited)
                });
                continue;
            }
            QueueStep::Wait(until) => Some(until),
            QueueStep::WaitForEnd => None,
            QueueStep::Empty if has_ended && running.is_empty() && waiting.is_empty() => return true,
            QueueStep::Empty => None,
        };
        let is_full = !waiting.is_empty();
        tokio::select! {
            biased;
            () = &mut stop => return false,
            Some(ended) = running.join_next() => {
                let Ok((ticket, number, target, visited)) = ended else { return false };
                let now = began.elapsed();
                let answer = visited.as_ref().ok().map(|visit| &visit.answer);
                let latency = now.saturating_sub(ticket.started());
                queue.end(now, ticket, Reaction::new(answer, latency));
                done.insert(number, (target, visited));
            }
            more = next(&mut urls, has_ended || is_full) => match more {
                Some(more) => waiting = more,
                None => has_ended = true,
            },
            () = wait(began, until) => {}
        }
    }
}

/// Fetches each URL of a stream once for each of the variants, and passes the results to `emit`.
///
/// It ends early if `stop` completes: URLs that were read but not fetched are emitted as not sent. Returns whether it
/// reached the end of the stream.
pub async fn warm(
    visitor: &Arc<Visitor>,
    limits: Limits,
    certify: bool,
    variants: &[Variant],
    mut urls: impl Stream<Item = Vec<VisitRequest>> + Unpin,
    emit: &mut impl FnMut(&VisitRequest, Variant, &Warmed),
    stop: impl Future<Output = ()>,
) -> bool {
    let began = Instant::now();
    let mut stop = pin!(stop);
    let mut warmer = Warmer::new(limits, certify);
    let mut waiting: Vec<VisitRequest> = Vec::new();
    // The URLs with open requests, and the number of open requests of each.
    let mut open: BTreeMap<usize, (VisitRequest, usize)> = BTreeMap::new();
    let mut running = JoinSet::new();
    let (mut read, mut has_ended) = (0_usize, false);
    loop {
        let room = WINDOW.saturating_sub(open.len()).min(waiting.len());
        for target in waiting.drain(..room) {
            let host = host_of(&target.url);
            for variant in variants {
                warmer.push(began.elapsed(), &host, read, *variant);
            }
            open.insert(read, (target, variants.len()));
            read += 1;
        }
        let until = match warmer.next(began.elapsed()) {
            WarmStep::Decided(url, variant, warmed) => {
                count(&mut open, url, variant, &warmed, emit);
                continue;
            }
            WarmStep::Fetch(ticket, fetch) => {
                let target = open.get(&fetch.url).and_then(|(target, _)| target.varied(fetch.variant));
                let visitor = Arc::clone(visitor);
                running.spawn(async move {
                    let visited = match target {
                        Some(target) => visit(visitor, target).await,
                        None => Err(cancelled()),
                    };
                    (ticket, fetch, visited)
                });
                continue;
            }
            WarmStep::Wait(until) => Some(until),
            WarmStep::WaitForEnd => None,
            WarmStep::Idle if has_ended && waiting.is_empty() => return true,
            WarmStep::Idle => None,
        };
        let is_full = !waiting.is_empty();
        tokio::select! {
            biased;
            () = &mut stop => {
                drop(warmer.stop());
                let not_sent = Warmed::Failed(crate::warm::WarmFailure::NotSent);
                for (target, left) in open.values() {
                    for variant in variants.iter().rev().take(*left).rev() {
                        emit(target, *variant, &not_sent);
                    }
                }
                return false;
            }
            Some(ended) = running.join_next() => {
                let Ok((ticket, fetch, visited)) = ended else { return false };
                let whole = match &visited {
                    // The cache stores a response only when the whole body was read.
                    Ok(Visit { broken: Some(why), .. }) => Err(why.as_str()),
                    Ok(visit) => Ok(&visit.answer),
                    Err(why) => Err(why.as_str()),
                };
                if let Some(warmed) = warmer.on_answer(began.elapsed(), ticket, fetch, whole) {
                    count(&mut open, fetch.url, fetch.variant, &warmed, emit);
                }
            }
            more = next(&mut urls, has_ended || is_full) => match more {
                Some(more) => waiting = more,
                None => has_ended = true,
            },
            () = wait(began, until) => {}
        }
    }
}

/// Passes the result of one request for a URL to `emit`.
fn count(
    open: &mut BTreeMap<usize, (VisitRequest, usize)>,
    url: usize,
    variant: Variant,
    warmed: &Warmed,
    emit: &mut impl FnMut(&VisitRequest, Variant, &Warmed),
) {
    if let Some((target, left)) = open.get_mut(&url) {
        emit(target, variant, warmed);
        *left -= 1;
        if *left == 0 {
            open.remove(&url);
        }
    }
}

/// An event of a running verification.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifyEvent<'a> {
    /// An answer to a request for a URL, with its index.
    Answer(usize, &'a VisitorAnswer),
    /// A URL has its verdict.
    Decided(Decided),
}

/// Runs a verification to its end: requests the URLs of `urls`, a limited number of them at a time, and repeats the
/// purge of survivors with `purge`, which gets their indexes. URLs are numbered from 0 in their order. `began` is the
/// moment from which the state machine's times are counted.
///
/// `watch` is called for each answer and each verdict. When `stop` completes, nothing more is sent, and each URL gets
/// the verdict that is known by then. Returns whether it reached the end.
pub async fn verify<F: Future<Output = Result<(), String>>>(
    visitor: &Arc<Visitor>,
    verification: &mut Verification,
    urls: &mut impl FnMut() -> Option<(UrlToVerify, VisitRequest)>,
    began: Instant,
    purge: &mut impl FnMut(Vec<usize>) -> F,
    watch: &mut impl FnMut(VerifyEvent<'_>),
    stop: impl Future<Output = ()>,
) -> bool {
    let mut stop = pin!(stop);
    let mut running = JoinSet::new();
    let mut purging: Option<(Vec<usize>, Pin<Box<F>>)> = None;
    let mut targets: BTreeMap<usize, VisitRequest> = BTreeMap::new();
    let mut has_ended = false;
    loop {
        while !has_ended && verification.open() < MAX_VERIFIED_AT_ONCE {
            match urls() {
                Some((subject, target)) => {
                    let number = verification.push(began.elapsed(), subject);
                    targets.insert(number, target);
                }
                None => has_ended = true,
            }
        }
        let step = verification.next(began.elapsed());
        // This decides URLs as well, if their host demands a long wait.
        pass_on(verification, &mut targets, watch);
        let has_room = !has_ended && verification.open() < MAX_VERIFIED_AT_ONCE;
        let until = match step {
            VerifyStep::Ask(ask) => {
                let target = targets.get(&ask.url).and_then(|target| target.varied(ask.variant));
                let visitor = Arc::clone(visitor);
                running.spawn(async move {
                    let visited = match target {
                        Some(target) => visit(visitor, target).await,
                        None => Err(NoAnswer::new("the URL has no such variant")),
                    };
                    (ask, visited)
                });
                continue;
            }
            VerifyStep::Purge(urls) => {
                let started = Box::pin(purge(urls.clone()));
                purging = Some((urls, started));
                continue;
            }
            _ if has_room => continue,
            VerifyStep::Wait(until) => Some(until),
            VerifyStep::WaitForEnd => None,
            VerifyStep::Done => return true,
        };
        let purged = async {
            match &mut purging {
                Some((_, purging)) => purging.await,
                None => pending().await,
            }
        };
        let mut is_stopped = false;
        tokio::select! {
            biased;
            () = &mut stop => {
                is_stopped = true;
                verification.stop();
                // URLs that were not started need a verdict as well.
                while let Some((subject, _)) = urls() {
                    verification.push(began.elapsed(), subject);
                    pass_on(verification, &mut targets, watch);
                }
            }
            Some(ended) = running.join_next() => {
                let Ok((ask, visited)) = ended else { return false };
                let answer = visited.as_ref().map(|visit| &visit.answer).map_err(NoAnswer::as_str);
                verification.on_answer(began.elapsed(), ask, answer);
                if let Ok(answer) = answer {
                    watch(VerifyEvent::Answer(ask.url, answer));
                }
            }
            result = purged => {
                let urls = purging.take().map(|(urls, _)| urls).unwrap_or_default();
                let result = match &result {
                    Ok(()) => Ok(()),
                    Err(why) => Err(why.as_str()),
                };
                verification.on_purged(began.elapsed(), &urls, result);
            }
            () = wait(began, until) => {}
        }
        pass_on(verification, &mut targets, watch);
        if is_stopped {
            return false;
        }
    }
}

/// Passes on the URLs that were decided.
fn pass_on(
    verification: &mut Verification,
    targets: &mut BTreeMap<usize, VisitRequest>,
    watch: &mut impl FnMut(VerifyEvent<'_>),
) {
    for decided in verification.take_decided() {
        targets.remove(&decided.url);
        watch(VerifyEvent::Decided(decided));
    }
}

/// The result of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Passage {
    /// The condition is true.
    Open {
        /// The number of requests.
        asked: u32,
    },
    /// It did not come true in time.
    Closed {
        /// The number of requests.
        asked: u32,
        /// The last answer that did not meet the condition, if there was one.
        last: Option<String>,
    },
    /// `stop` completed first.
    Stopped,
}

/// Waits until a URL answers as expected.
///
/// With `unique`, the URL gets a query that is different for each request; `None` requests the URL unchanged. `watch`
/// is called after each answer.
pub async fn wait_at_gate(
    visitor: &Visitor,
    expectation: &Expectation,
    settings: GateSettings,
    unique: Option<u64>,
    watch: &mut impl FnMut(&Gate),
    stop: impl Future<Output = ()>,
) -> Passage {
    let began = Instant::now();
    let mut stop = pin!(stop);
    let mut gate = Gate::new(Duration::ZERO, settings);
    loop {
        match gate.next(began.elapsed()) {
            GateStep::Open => return Passage::Open { asked: gate.asked() },
            GateStep::Closed => {
                let last = gate.last_failure().map(str::to_owned);
                return Passage::Closed { asked: gate.asked(), last };
            }
            GateStep::Wait(until) => tokio::select! {
                () = &mut stop => return Passage::Stopped,
                () = wait(began, Some(until)) => {}
            },
            GateStep::WaitForAnswer => gate.on_answer(Err(cancelled().to_string())),
            GateStep::Ask(until) => {
                let url = match unique {
                    Some(unique) => busted(&expectation.url, &format!("{unique:x}-{}", gate.asked())),
                    None => expectation.url.clone(),
                };
                let asking = ask_once(visitor, expectation, &url);
                let result = tokio::select! {
                    () = &mut stop => return Passage::Stopped,
                    result = asking => result,
                    () = wait(began, Some(until)) => Err("no answer came in time".to_owned()),
                };
                gate.on_answer(result);
                watch(&gate);
            }
        }
    }
}

async fn ask_once(visitor: &Visitor, expectation: &Expectation, url: &str) -> Result<(), String> {
    let mut matcher = Matcher::new(&expectation.condition);
    let visited = visitor.visit_with(url, &[], &mut |piece| matcher.push(piece)).await;
    match visited {
        Ok(Visit { broken: Some(why), .. }) => Err(why),
        Ok(visit) => matcher.finish(&visit.answer, &visit.headers),
        Err(why) => Err(why.to_string()),
    }
}
