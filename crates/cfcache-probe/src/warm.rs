//! Warming: fetches URLs at a limited rate, so that they are cached again. A state machine without IO.
//!
//! A response is cached only when the whole body was read, so every request is a GET whose body is read to its end.

use core::fmt;
use core::time::Duration;

use crate::answer::{CacheStatus, Obstacle, VisitorAnswer};
use crate::pace::{Limits, Reaction};
use crate::queue::{MAX_WAIT, Queue, QueueStep, QueueTicket, TOO_LONG_A_WAIT};
use crate::variant::Variant;

/// How many times a request is repeated that was refused temporarily or got no answer.
const RETRIES: u32 = 2;

/// The result of warming a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warmed {
    /// It was fetched, and may be cached.
    Warm(CacheStatus),
    /// It was fetched, but it cannot be cached.
    Skipped(Skipped),
    /// It could not be fetched.
    Failed(WarmFailure),
    /// It was fetched, but the second request was not answered from the cache.
    NotCertified(Option<CacheStatus>),
}

/// Why a URL cannot be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Skipped {
    /// DYNAMIC.
    Dynamic,
    /// BYPASS.
    Bypass,
    /// There is no cache status in the answer.
    NoStatus,
    /// The cache status is undocumented.
    UnknownStatus,
}

/// Why a URL could not be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarmFailure {
    /// The edge did not serve the page.
    Obstacle(Obstacle),
    /// An error status.
    Status(u16),
    /// STALE: the origin cannot be reached.
    Stale,
    /// There was no answer, for this reason.
    NoAnswer(String),
    /// It was interrupted before its body had arrived.
    NotSent,
}

impl Warmed {
    /// Returns whether the URL is warm.
    #[must_use]
    pub const fn is_warm(&self) -> bool {
        matches!(self, Self::Warm(_))
    }

    /// Converts the first answer.
    fn from_answer(answer: &VisitorAnswer) -> Self {
        if let Some(obstacle) = answer.obstacle() {
            return Self::Failed(WarmFailure::Obstacle(obstacle));
        }
        if answer.status >= 400 {
            return Self::Failed(WarmFailure::Status(answer.status));
        }
        match &answer.cache_status {
            Some(CacheStatus::Dynamic) => Self::Skipped(Skipped::Dynamic),
            Some(CacheStatus::Bypass) => Self::Skipped(Skipped::Bypass),
            Some(CacheStatus::Stale) => Self::Failed(WarmFailure::Stale),
            Some(CacheStatus::Other(_)) => Self::Skipped(Skipped::UnknownStatus),
            Some(status) => Self::Warm(status.clone()),
            None => Self::Skipped(Skipped::NoStatus),
        }
    }

    /// Converts the answer to the second request.
    fn certify(answer: &VisitorAnswer) -> Self {
        match &answer.cache_status {
            Some(status @ (CacheStatus::Hit | CacheStatus::Revalidated | CacheStatus::Updating)) => {
                Self::Warm(status.clone())
            }
            other => Self::NotCertified(other.clone()),
        }
    }

    /// Returns whether the same request may succeed a little later.
    const fn may_change(&self) -> bool {
        matches!(
            self,
            Self::Failed(
                WarmFailure::Obstacle(Obstacle::RateLimited)
                    | WarmFailure::Status(408 | 500..)
                    | WarmFailure::NoAnswer(_)
            )
        )
    }
}

impl fmt::Display for Warmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warm(status) => write!(f, "warmed ({status})"),
            Self::Skipped(why) => fmt::Display::fmt(why, f),
            Self::Failed(why) => fmt::Display::fmt(why, f),
            Self::NotCertified(Some(status)) => write!(f, "fetched, but {status} when asked again"),
            Self::NotCertified(None) => f.write_str("fetched, but without a cache status when asked again"),
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dynamic => "no rule makes it eligible for the cache (DYNAMIC)",
            Self::Bypass => "its own headers forbid caching (BYPASS)",
            Self::NoStatus => "Cloudflare's cache did not answer",
            Self::UnknownStatus => "the edge reports an unknown cache status",
        })
    }
}

impl fmt::Display for WarmFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Obstacle(obstacle) => fmt::Display::fmt(obstacle, f),
            Self::Status(status) => write!(f, "the status is {status}"),
            Self::Stale => f.write_str("the origin cannot be reached (STALE)"),
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
            Self::NotSent => f.write_str("interrupted before it was fetched"),
        }
    }
}

/// The next step.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarmStep {
    /// Fetch a URL completely, and pass the result to [`Warmer::on_answer`], with the ticket.
    Fetch(QueueTicket, WarmFetch),
    /// A URL is not fetched, or not again: its host demanded a wait of more than 10 minutes. This is its result.
    Decided(usize, Variant, Warmed),
    /// Wait until that time, unless a request ends first.
    Wait(Duration),
    /// Wait until a request ends.
    WaitForEnd,
    /// There is nothing left.
    Idle,
}

/// A request to send, now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmFetch {
    /// The index of the URL, as passed by the caller.
    pub url: usize,
    /// The variant of the request.
    pub variant: Variant,
    host: usize,
    tries: u32,
    certifies: bool,
}

/// Fetches URLs in the order in which they were added.
#[derive(Debug)]
pub struct Warmer {
    queue: Queue<WarmFetch>,
    certify: bool,
    is_stopped: bool,
}

impl Warmer {
    /// Creates a warmer with these limits. With `certify`, each URL is requested twice, and the second answer must be
    /// HIT.
    #[must_use]
    pub fn new(limits: Limits, certify: bool) -> Self {
        Self { queue: Queue::new(limits, MAX_WAIT), certify, is_stopped: false }
    }

    /// Adds a URL of a host, with an index that the caller chooses.
    pub fn push(&mut self, now: Duration, host: &str, url: usize, variant: Variant) {
        let host = self.queue.host(host);
        self.queue.push(host, WarmFetch { url, variant, host, tries: 0, certifies: false }, now);
    }

    /// Returns the number of requests that wait or are in flight.
    #[must_use]
    pub fn open(&self) -> usize {
        self.queue.len() + self.queue.in_flight()
    }

    /// Returns the next step.
    pub fn next(&mut self, now: Duration) -> WarmStep {
        match self.queue.next(now) {
            QueueStep::Start(ticket, fetch) => WarmStep::Fetch(ticket, fetch),
            QueueStep::GiveUp(WarmFetch { url, variant, certifies, .. }) => {
                let failure = WarmFailure::NoAnswer(TOO_LONG_A_WAIT.to_owned());
                let warmed = if certifies { Warmed::NotCertified(None) } else { Warmed::Failed(failure) };
                WarmStep::Decided(url, variant, warmed)
            }
            QueueStep::Wait(until) => WarmStep::Wait(until),
            QueueStep::Empty if self.queue.in_flight() == 0 => WarmStep::Idle,
            QueueStep::WaitForEnd | QueueStep::Empty => WarmStep::WaitForEnd,
        }
    }

    /// Records a complete answer, or why there is none. Returns the result of the URL, if it is decided.
    pub fn on_answer(
        &mut self,
        now: Duration,
        ticket: QueueTicket,
        fetch: WarmFetch,
        answer: Result<&VisitorAnswer, &str>,
    ) -> Option<Warmed> {
        let reaction = Reaction::new(answer.ok(), now.saturating_sub(ticket.started()));
        self.queue.end(now, ticket, reaction);
        let is_refused = matches!(reaction, Reaction::Overloaded(Some(wait)) if wait > MAX_WAIT);
        let warmed = match answer {
            Ok(answer) if fetch.certifies => Warmed::certify(answer),
            Ok(answer) => Warmed::from_answer(answer),
            Err(_) if fetch.certifies => Warmed::NotCertified(None),
            Err(why) => Warmed::Failed(WarmFailure::NoAnswer(why.to_owned())),
        };
        let WarmFetch { host, tries, certifies, .. } = fetch;
        // The second request is not repeated: a repetition would itself fill the cache.
        if !certifies && warmed.may_change() && tries < RETRIES && !self.is_stopped && !is_refused {
            let wait = Duration::from_secs(1 << (2 * tries));
            self.queue.push(host, WarmFetch { tries: tries + 1, ..fetch }, now + wait);
            return None;
        }
        if self.certify && !certifies && warmed.is_warm() {
            if self.is_stopped {
                return Some(Warmed::NotCertified(None));
            }
            self.queue.push(host, WarmFetch { tries: 0, certifies: true, ..fetch }, now);
            return None;
        }
        Some(warmed)
    }

    /// Cancels and returns the requests that were not sent. Requests in flight may still be answered, and are not
    /// repeated.
    pub fn stop(&mut self) -> Vec<(usize, Variant)> {
        self.is_stopped = true;
        self.queue.clear().into_iter().map(|task| (task.url, task.variant)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn answer(status: u16, cache: &str) -> VisitorAnswer {
        let mut headers = HeaderMap::new();
        headers.insert("cf-ray", HeaderValue::from_static("8f3a1b2c3d4e5f60-FRA"));
        if !cache.is_empty() {
            headers.insert("cf-cache-status", cache.parse().unwrap());
        }
        VisitorAnswer::from_head(StatusCode::from_u16(status).unwrap(), &headers, SystemTime::UNIX_EPOCH)
    }

    /// Warms one URL with these answers. Returns the result, and the number of answers that were used.
    fn warm(certify: bool, answers: &[Result<VisitorAnswer, &str>]) -> (Warmed, usize) {
        let mut warmer = Warmer::new(Limits::WARM, certify);
        warmer.push(Duration::ZERO, "a.test", 0, Variant::Plain);
        let (mut now, mut used) = (Duration::ZERO, 0);
        loop {
            match warmer.next(now) {
                WarmStep::Fetch(ticket, fetch) => {
                    let answer = answers[used].as_ref().map_err(|why| *why);
                    used += 1;
                    if let Some(warmed) = warmer.on_answer(now, ticket, fetch, answer) {
                        assert_eq!(warmer.next(now), WarmStep::Idle);
                        return (warmed, used);
                    }
                }
                WarmStep::Wait(until) => now = until,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn cacheable_urls_are_warm_and_others_are_skipped() {
        for (status, cache, what) in [
            (200, "MISS", "warmed (MISS)"),
            (200, "HIT", "warmed (HIT)"),
            (200, "EXPIRED", "warmed (EXPIRED)"),
            (200, "REVALIDATED", "warmed (REVALIDATED)"),
            (200, "UPDATING", "warmed (UPDATING)"),
            (301, "MISS", "warmed (MISS)"),
            (200, "DYNAMIC", "no rule makes it eligible for the cache (DYNAMIC)"),
            (200, "BYPASS", "its own headers forbid caching (BYPASS)"),
            (200, "", "Cloudflare's cache did not answer"),
            (200, "NONE", "Cloudflare's cache did not answer"),
            (200, "MISS, HIT", "the edge reports an unknown cache status"),
            (200, "STALE", "the origin cannot be reached (STALE)"),
            (404, "MISS", "the status is 404"),
        ] {
            let (warmed, used) = warm(false, &[Ok(answer(status, cache))]);
            assert_eq!((warmed.to_string().as_str(), used), (what, 1), "{status} {cache}");
        }
    }

    #[test]
    fn retries_temporary_failures_twice() {
        let busy = || Ok(answer(503, "BYPASS"));
        assert_eq!(warm(false, &[busy(), busy(), busy()]).0.to_string(), "the status is 503");
        assert_eq!(warm(false, &[busy(), Ok(answer(200, "MISS"))]), (Warmed::Warm(CacheStatus::Miss), 2));
        assert_eq!(warm(false, &[Err("reset"), Ok(answer(200, "MISS"))]).1, 2);
        assert_eq!(warm(false, &[Ok(answer(429, "")), Err("a"), Err("b")]).0.to_string(), "no answer: b");
    }

    #[test]
    fn does_not_wait_longer_than_ten_minutes_for_a_host() {
        let mut warmer = Warmer::new(Limits::WARM, false);
        warmer.push(Duration::ZERO, "a.test", 0, Variant::Plain);
        warmer.push(Duration::ZERO, "a.test", 1, Variant::Plain);
        let WarmStep::Fetch(ticket, fetch) = warmer.next(Duration::ZERO) else { panic!("nothing to fetch") };
        let mut refusal = answer(429, "");
        refusal.retry_after = Some(Duration::from_secs(601));
        let warmed = warmer.on_answer(Duration::ZERO, ticket, fetch, Ok(&refusal));
        assert_eq!(warmed, Some(Warmed::Failed(WarmFailure::Obstacle(Obstacle::RateLimited))));
        let WarmStep::Decided(1, Variant::Plain, warmed) = warmer.next(Duration::ZERO) else {
            panic!("the second URL waits")
        };
        assert!(warmed.to_string().contains("demands a longer wait"), "{warmed}");
        assert_eq!(warmer.next(Duration::ZERO), WarmStep::Idle);
    }

    #[test]
    fn certifying_requires_hit_and_is_not_repeated() {
        let miss = || Ok(answer(200, "MISS"));
        let hit = Ok(answer(200, "HIT"));
        assert_eq!(warm(true, &[miss(), hit]), (Warmed::Warm(CacheStatus::Hit), 2));
        let (warmed, used) = warm(true, &[miss(), miss()]);
        assert_eq!((warmed, used), (Warmed::NotCertified(Some(CacheStatus::Miss)), 2));
        assert_eq!(warm(true, &[miss(), Ok(answer(503, ""))]).1, 2);
        // A URL that is not cached is not requested again.
        assert_eq!(warm(true, &[Ok(answer(200, "DYNAMIC"))]).1, 1);
    }

    #[test]
    fn stop_returns_the_urls_that_were_not_sent() {
        let mut warmer = Warmer::new(Limits::WARM, false);
        for url in 0..3 {
            warmer.push(Duration::ZERO, "a.test", url, Variant::Plain);
        }
        let WarmStep::Fetch(ticket, fetch) = warmer.next(Duration::ZERO) else { panic!("nothing to fetch") };
        assert_eq!(fetch.url, 0);
        assert_eq!(warmer.stop(), [(1, Variant::Plain), (2, Variant::Plain)]);
        assert_eq!(warmer.next(Duration::ZERO), WarmStep::WaitForEnd);
        let failed = warmer.on_answer(Duration::ZERO, ticket, fetch, Err("reset")).unwrap();
        assert_eq!(failed.to_string(), "no answer: reset");
        assert_eq!(warmer.next(Duration::ZERO), WarmStep::Idle);
    }
}
