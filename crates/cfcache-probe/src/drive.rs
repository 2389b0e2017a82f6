//! Runs the machines over a [`Visitor`]: the only file here that awaits more than one request.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_core::Stream;
use http::header::{HeaderName, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::answer::Answer;
use crate::gate::{Expectation, Gate, GateSettings, GateStep, Matcher, busted};
use crate::pace::{Limits, Reaction};
use crate::queue::{Next, Queue};
use crate::variant::Variant;
use crate::verify::{Step, Verification};
use crate::visitor::{NoAnswer, Visit, Visitor, host_of};
use crate::warm::{WarmStep, Warmed, Warmer};

/// How many URLs of a stream are held at a time.
const WINDOW: usize = 256;

/// A URL to ask, and headers to ask it with beside the usual ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The URL.
    pub url: String,
    /// Headers that make the cache key.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Target {
    /// A URL as it is.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new() }
    }

    /// Asks with these headers as well.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        self.headers = headers;
        self
    }

    /// As another visitor asks for it; `None` where there is no such variant of the URL.
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

/// What a request came to.
type Visited = Result<Visit, NoAnswer>;

/// The next piece of a stream, as long as there is one; for ever, where it has ended.
async fn next<S: Stream + Unpin>(stream: &mut S, has_ended: bool) -> Option<S::Item> {
    if has_ended {
        return pending().await;
    }
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

async fn wait(began: Instant, until: Option<Duration>) {
    match until {
        Some(until) => sleep_until(began + until).await,
        None => pending().await,
    }
}

async fn visit(visitor: Arc<Visitor>, target: Target) -> Visited {
    visitor.visit(&target.url, &target.headers).await
}

/// A task that ended in a panic is not told from one that got no answer.
fn lost() -> NoAnswer {
    NoAnswer::new("the request was broken off")
}

fn reaction(latency: Duration, visited: &Visited) -> Reaction {
    match visited {
        Ok(visit) if visit.answer.status == 429 || visit.answer.status >= 500 => {
            Reaction::Overloaded(visit.answer.retry_after)
        }
        Ok(_) => Reaction::Fine(latency),
        Err(_) => Reaction::Silent,
    }
}

/// Asks each URL of a stream once, and gives what came to `emit`, in the order of the stream.
///
/// It ends early when `stop` does: what is in flight is broken off then, and what came by then was given. Of the stream
/// no more than a few hundred URLs are held. Gives whether it went to its end.
pub async fn probe(
    visitor: &Arc<Visitor>,
    limits: Limits,
    mut urls: impl Stream<Item = Vec<Target>> + Unpin,
    emit: &mut dyn FnMut(&Target, &Result<Visit, NoAnswer>),
    stop: impl Future<Output = ()>,
) -> bool {
    let began = Instant::now();
    let mut stop = pin!(stop);
    let mut queue = Queue::new(limits);
    let mut waiting: Vec<Target> = Vec::new();
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
        let until = match queue.next(began.elapsed()) {
            Next::Start(ticket, (number, target)) => {
                let visitor = Arc::clone(visitor);
                running.spawn(async move {
                    let visited = visit(visitor, target.clone()).await;
                    (ticket, number, target, visited)
                });
                continue;
            }
            Next::Wait(until) => Some(until),
            Next::WaitForEnd => None,
            Next::Empty if has_ended && running.is_empty() && waiting.is_empty() => return true,
            Next::Empty => None,
        };
        let is_full = !waiting.is_empty();
        tokio::select! {
            biased;
            () = &mut stop => return false,
            Some(ended) = running.join_next() => {
                let Ok((ticket, number, target, visited)) = ended else { return false };
                let now = began.elapsed();
                queue.end(now, ticket, reaction(now.saturating_sub(ticket.started()), &visited));
                done.insert(number, (target, visited));
                while let Some((target, visited)) = done.remove(&given) {
                    emit(&target, &visited);
                    given += 1;
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

/// Fetches each URL of a stream, as each of the visitors that are named, and gives what became of it to `emit`.
///
/// It ends early when `stop` does; what was read by then and not fetched is given as not sent. Gives whether it went to
/// its end.
pub async fn warm(
    visitor: &Arc<Visitor>,
    limits: Limits,
    certify: bool,
    variants: &[Variant],
    mut urls: impl Stream<Item = Vec<Target>> + Unpin,
    emit: &mut dyn FnMut(&Target, Variant, &Warmed),
    stop: impl Future<Output = ()>,
) -> bool {
    let began = Instant::now();
    let mut stop = pin!(stop);
    let mut warmer = Warmer::new(limits, certify);
    let mut waiting: Vec<Target> = Vec::new();
    // Those whose requests are open, and how many of each.
    let mut open: BTreeMap<usize, (Target, usize)> = BTreeMap::new();
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
            WarmStep::Fetch(fetch) => {
                let target = open.get(&fetch.url).and_then(|(target, _)| target.varied(fetch.variant));
                let visitor = Arc::clone(visitor);
                running.spawn(async move {
                    let visited = match target {
                        Some(target) => visit(visitor, target).await,
                        None => Err(lost()),
                    };
                    (fetch, visited)
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
                let Ok((fetch, visited)) = ended else { return false };
                let whole = match &visited {
                    // A fill is complete only when the whole body was read.
                    Ok(Visit { broken: Some(why), .. }) => Err(why.as_str()),
                    Ok(visit) => Ok(&visit.answer),
                    Err(why) => Err(why.as_str()),
                };
                let warmed = warmer.on_answer(began.elapsed(), fetch, whole);
                if let Some(warmed) = warmed
                    && let Some((target, left)) = open.get_mut(&fetch.url)
                {
                    emit(target, fetch.variant, &warmed);
                    *left -= 1;
                    if *left == 0 {
                        open.remove(&fetch.url);
                    }
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

/// The future of a purge: what came of it, or why it failed.
pub type Purging<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// Sees a verification after each answer, with the number of its URL, and after each decision.
pub type Watch<'w> = &'w mut dyn FnMut(&Verification, Option<(usize, &Answer)>);

/// Brings a verification to its end: asks its URLs, which are `targets` by the numbers that it gave them, and purges
/// survivors again with `purge`, which is given their numbers. `began` is the moment that the machine's times count from.
///
/// `watch` sees each answer, with the number of its URL, and each decision. When `stop` ends, nothing more is sent, and each URL has the verdict that
/// is known by then. Gives whether it went to its end.
pub async fn verify<'a>(
    visitor: &Arc<Visitor>,
    verification: &mut Verification,
    targets: &[Target],
    began: Instant,
    purge: &mut dyn FnMut(Vec<usize>) -> Purging<'a>,
    watch: Watch<'_>,
    stop: impl Future<Output = ()>,
) -> bool {
    let mut stop = pin!(stop);
    let mut running = JoinSet::new();
    let mut purging: Option<(Vec<usize>, Purging<'a>)> = None;
    loop {
        let until = match verification.next(began.elapsed()) {
            Step::Ask(ask) => {
                let target = targets.get(ask.url).and_then(|target| target.varied(ask.variant));
                let visitor = Arc::clone(visitor);
                running.spawn(async move {
                    let visited = match target {
                        Some(target) => visit(visitor, target).await,
                        None => Err(NoAnswer::new("there is no such variant of the URL")),
                    };
                    (ask, visited)
                });
                continue;
            }
            Step::Purge(urls) => {
                let started = purge(urls.clone());
                purging = Some((urls, started));
                continue;
            }
            Step::Wait(until) => Some(until),
            Step::WaitForEnd => None,
            Step::Done => return true,
        };
        let purged = async {
            match &mut purging {
                Some((_, purging)) => purging.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut stop => {
                verification.stop();
                watch(verification, None);
                return false;
            }
            Some(ended) = running.join_next() => {
                let Ok((ask, visited)) = ended else { return false };
                let answer = visited.as_ref().map(|visit| &visit.answer).map_err(NoAnswer::as_str);
                verification.on_answer(began.elapsed(), ask, answer);
                watch(verification, answer.ok().map(|answer| (ask.url, answer)));
            }
            result = purged => {
                let urls = purging.take().map(|(urls, _)| urls).unwrap_or_default();
                let result = match &result {
                    Ok(()) => Ok(()),
                    Err(why) => Err(why.as_str()),
                };
                verification.on_purged(began.elapsed(), &urls, result);
                watch(verification, None);
            }
            () = wait(began, until) => {}
        }
    }
}

/// How a gate ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Passage {
    /// The condition is true.
    Open {
        /// How often it was asked.
        asked: u32,
    },
    /// It did not come true in time.
    Closed {
        /// How often it was asked.
        asked: u32,
        /// What the last answer was that did not meet it, in words.
        last: Option<String>,
    },
    /// `stop` came first.
    Stopped,
}

/// Waits until a URL answers as expected.
///
/// `unique` makes each query one that was never asked before; `None` asks the URL as it is. `watch` sees the gate after
/// each answer.
pub async fn wait_at_gate(
    visitor: &Visitor,
    expectation: &Expectation,
    settings: GateSettings,
    unique: Option<u64>,
    watch: &mut dyn FnMut(&Gate),
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
            GateStep::WaitForAnswer => gate.on_answer(Err(lost().to_string())),
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
