//! The verification of a purge as a state machine without IO: when to request a URL again, when to repeat its purge,
//! and when to give up. `now` is a parameter; all values are counted from the same moment.
//!
//! - [`Verification::push`]: adds a purged URL
//! - [`Verification::next`]: returns the next step
//! - [`Verification::on_answer`], [`Verification::on_purged`]: record the result of a step
//! - [`Verification::take_decided`]: returns the URLs with a verdict, and removes them
//! - [`Verification::stop`]: sends no more requests; the current state decides the verdicts

use core::time::Duration;
use std::collections::BTreeMap;

use cfcache_model::endpoint::Action;

use crate::answer::{CacheStatus, VisitorAnswer};
use crate::pace::{Limits, Reaction};
use crate::queue::{Queue, QueueStep, QueueTicket, TOO_LONG_A_WAIT};
use crate::variant::Variant;
use crate::verdict::{ExpectedBody, NotCached, PurgeTimes, Survivor, Unproven, Verdict, judge};

/// How many times the purge of a survivor is repeated.
const MAX_REPEATED_PURGES: u32 = 2;

/// How long to wait for the effect of a purge before it is repeated. Runbooks say up to 30 s, the vendor 150 ms for
/// half of them. A repetition costs one request and does no harm.
const PURGE_DELAY: Duration = Duration::from_secs(4);

/// How long a survivor waits for others so that one request repeats several purges, and the maximum number of URLs per
/// request.
const BATCH_DELAY: Duration = Duration::from_secs(1);
const MAX_BATCH: usize = 30;

/// Two copies whose storage times differ by at most this many seconds are the same copy, because `Age` is truncated to
/// seconds.
const SAME_COPY_SECONDS: f64 = 2.0;

/// The maximum number of survivors to diagnose. A few are enough to show the cause.
const MAX_DIAGNOSED: usize = 10;

/// The settings of a verification.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct VerifySettings {
    /// The action of the purge.
    pub action: Action,
    /// How long a URL is requested, from the first request on. Default: 30 s.
    pub timeout: Duration,
    /// The request limits for each host.
    pub limits: Limits,
    /// Whether a URL must have been HIT before the purge to be proven.
    pub transition: bool,
    /// Whether survivors are requested in other variants, to find out what would purge them.
    pub diagnose: bool,
}

impl VerifySettings {
    /// Creates the default settings for an action.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            timeout: Duration::from_secs(30),
            limits: Limits::PROBE,
            transition: false,
            diagnose: true,
        }
    }
}

/// A URL to verify.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UrlToVerify {
    /// The host with its port. URLs with the same host share a rate limit.
    pub host: String,
    /// When the purge that covers it was accepted.
    pub accepted_at: Duration,
    /// The action of its purge, if it differs from [`VerifySettings::action`].
    pub action: Option<Action>,
    /// The body that visitors should get, if it is known.
    pub expected: Option<ExpectedBody>,
    /// The cache status before the purge, if it was requested.
    pub before: Option<Option<CacheStatus>>,
}

impl UrlToVerify {
    /// Creates a URL of a host that was purged at that time.
    #[must_use]
    pub fn new(host: impl Into<String>, accepted_at: Duration) -> Self {
        Self { host: host.into(), accepted_at, action: None, expected: None, before: None }
    }

    /// Sets the action of its purge.
    #[must_use]
    pub const fn with_action(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Sets the body that visitors should get.
    #[must_use]
    pub const fn with_expected(mut self, expected: Option<ExpectedBody>) -> Self {
        self.expected = expected;
        self
    }

    /// Sets the cache status before the purge.
    #[must_use]
    pub fn with_before(mut self, before: Option<CacheStatus>) -> Self {
        self.before = Some(before);
        self
    }
}

/// The next step of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyStep {
    /// Request a URL, and pass the result to [`Verification::on_answer`].
    Ask(Ask),
    /// Purge these URLs, and pass the result to [`Verification::on_purged`].
    Purge(Vec<usize>),
    /// Wait until that time, unless a request or a purge ends first.
    Wait(Duration),
    /// Wait until a request or a purge ends.
    WaitForEnd,
    /// Every URL has its verdict.
    Done,
}

/// A request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// Identifies the request.
    pub ticket: QueueTicket,
    /// The index of the URL, as returned by [`Verification::push`].
    pub url: usize,
    /// The variant of the request.
    pub variant: Variant,
}

/// The number of URLs by verdict. Their sum is `probed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyCounts {
    /// The number of all URLs.
    pub probed: u64,
    /// The number of proven URLs.
    pub proven: u64,
    /// The number of URLs that are cached again since the purge.
    pub refilled: u64,
    /// The number of URLs that are not cached.
    pub not_cached: u64,
    /// The number of URLs whose old copy is still served.
    pub survivors: u64,
    /// The number of URLs with an unknown result.
    pub unproven: u64,
    /// The number of URLs whose purge was repeated, with any result.
    pub repurged: u64,
}

/// A URL with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decided {
    /// The index of the URL, as returned by [`Verification::push`].
    pub url: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// The variants of a survivor that get an old copy other than its own, as found by the diagnosis.
    pub still_served: Vec<Variant>,
    /// Whether the last answer had the expected body.
    pub has_expected: bool,
    /// Whether its purge was repeated.
    pub is_repurged: bool,
}

/// A verification. It stores only URLs without a verdict.
#[derive(Debug)]
pub struct Verification {
    settings: VerifySettings,
    queue: Queue<(usize, Variant)>,
    /// URLs are added and removed in almost the same order, which would make a hash table grow to twice its size.
    urls: BTreeMap<usize, Url>,
    pushed: usize,
    counts: VerifyCounts,
    /// The URLs whose purge must be repeated, and since when the first of them has waited.
    to_purge: Vec<usize>,
    to_purge_since: Duration,
    is_purging: bool,
    is_stopped: bool,
    diagnosed: usize,
    decided: Vec<Decided>,
}

#[derive(Debug)]
struct Url {
    host: usize,
    accepted_at: Duration,
    action: Action,
    expected: Option<ExpectedBody>,
    /// Whether the last answer had the expected body.
    has_expected: bool,
    before: Option<Option<CacheStatus>>,
    first_asked: Option<Duration>,
    /// The number of requests in this round. A round starts with the last purge, or with the first request if there was
    /// no purge.
    asked: u32,
    round_began: Duration,
    had_no_age: bool,
    purges: u32,
    state: UrlState,
    last: Option<Verdict>,
    /// The variants that still get another old copy.
    still_served: Vec<Variant>,
    /// When the old copy was stored, in seconds of the state machine's time. It may be negative.
    stored: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UrlState {
    Asking,
    /// Waits for a purge, and is requested again after it.
    Purging,
    /// Waits for a purge that only removes what the probe itself brought into the cache.
    CleaningUp,
    /// Waits for this many requests of the diagnosis.
    Diagnosing(usize),
}

impl Verification {
    /// Creates a verification without URLs.
    #[must_use]
    pub fn new(settings: VerifySettings) -> Self {
        Self {
            settings,
            queue: Queue::new(settings.limits, settings.timeout),
            urls: BTreeMap::new(),
            pushed: 0,
            counts: VerifyCounts::default(),
            to_purge: Vec::new(),
            to_purge_since: Duration::ZERO,
            is_purging: false,
            is_stopped: false,
            diagnosed: 0,
            decided: Vec::new(),
        }
    }

    /// Adds a URL, which may be requested from now on. Returns its index.
    pub fn push(&mut self, now: Duration, subject: UrlToVerify) -> usize {
        let number = self.pushed;
        self.pushed += 1;
        let host = self.queue.host(&subject.host);
        let url = Url {
            host,
            accepted_at: subject.accepted_at,
            action: subject.action.unwrap_or(self.settings.action),
            expected: subject.expected,
            has_expected: false,
            before: subject.before,
            first_asked: None,
            asked: 0,
            round_began: now,
            had_no_age: false,
            purges: 0,
            state: UrlState::Asking,
            last: None,
            still_served: Vec::new(),
            stored: None,
        };
        self.urls.insert(number, url);
        if self.is_stopped {
            self.decide(number, Verdict::Unproven(Unproven::NotAsked));
        } else {
            self.queue.push(host, (number, Variant::Plain), now);
        }
        number
    }

    /// Returns the next step.
    pub fn next(&mut self, now: Duration) -> VerifyStep {
        let (is_idle, mut wait) = loop {
            match self.queue.next(now) {
                QueueStep::Start(ticket, (url, variant)) => {
                    return VerifyStep::Ask(Ask { ticket, url, variant });
                }
                QueueStep::GiveUp((url, _)) => self.give_up_request(now, url),
                QueueStep::Wait(until) => break (false, Some(until)),
                QueueStep::WaitForEnd => break (false, None),
                QueueStep::Empty => break (self.queue.in_flight() == 0, None),
            }
        };
        if !self.to_purge.is_empty() && !self.is_purging {
            let due = self.to_purge_since.saturating_add(BATCH_DELAY);
            let is_far = wait.is_some_and(|until| until > due) && self.queue.in_flight() == 0;
            if is_idle || is_far || now >= due || self.to_purge.len() >= MAX_BATCH {
                let rest = self.to_purge.split_off(self.to_purge.len().min(MAX_BATCH));
                let group = core::mem::replace(&mut self.to_purge, rest);
                self.to_purge_since = now;
                self.is_purging = true;
                return VerifyStep::Purge(group);
            }
            wait = Some(wait.map_or(due, |until| until.min(due)));
        }
        match wait {
            _ if self.urls.is_empty() => VerifyStep::Done,
            Some(until) => VerifyStep::Wait(until),
            None => VerifyStep::WaitForEnd,
        }
    }

    /// Records an answer, or why there is none.
    pub fn on_answer(&mut self, now: Duration, ask: Ask, answer: Result<&VisitorAnswer, &str>) {
        let Ask { ticket, url: number, variant } = ask;
        let reaction = Reaction::new(answer.ok(), now.saturating_sub(ticket.started()));
        self.queue.end(now, ticket, reaction);
        let Some(url) = self.urls.get_mut(&number) else { return };
        let purged = PurgeTimes {
            action: url.action,
            until_asked: ticket.started().saturating_sub(url.accepted_at),
            until_answered: now.saturating_sub(url.accepted_at),
        };
        let verdict = match answer {
            Ok(answer) => judge(purged, answer, url.expected),
            Err(why) => Verdict::Unproven(Unproven::NoAnswer(why.to_owned())),
        };
        let stored = match &verdict {
            Verdict::Survivor(survivor) => survivor.age().map(|age| now.as_secs_f64() - age as f64),
            _ => None,
        };
        match url.state {
            UrlState::Diagnosing(left) => {
                // Variants with the same storage time have the same copy.
                let is_same = match (stored, url.stored) {
                    (Some(one), Some(other)) => (one - other).abs() < SAME_COPY_SECONDS,
                    // Without an age, nothing shows that it is another copy.
                    (one, other) => one.is_none() && other.is_none(),
                };
                if matches!(verdict, Verdict::Survivor(_)) && !is_same {
                    url.still_served.push(variant);
                }
                self.diagnosed_one(number, left);
            }
            UrlState::Asking => {
                url.first_asked.get_or_insert(ticket.started());
                url.stored = stored;
                url.has_expected = answer
                    .is_ok_and(|answer| url.expected.is_some_and(|body| body.matches(answer) == Some(true)));
                url.asked += 1;
                self.asked(now, number, verdict);
            }
            UrlState::Purging | UrlState::CleaningUp => {}
        }
    }

    fn diagnosed_one(&mut self, number: usize, left: usize) {
        if let Some(url) = self.urls.get_mut(&number) {
            url.state = UrlState::Diagnosing(left.saturating_sub(1));
        }
        if left <= 1 {
            self.close(number);
        }
    }

    /// Handles a request that is not sent, because the host demanded a longer wait than the timeout.
    fn give_up_request(&mut self, now: Duration, number: usize) {
        let Some(url) = self.urls.get_mut(&number) else { return };
        if let UrlState::Diagnosing(left) = url.state {
            return self.diagnosed_one(number, left);
        }
        let unanswered = || Verdict::Unproven(Unproven::NoAnswer(TOO_LONG_A_WAIT.to_owned()));
        let verdict = url.last.get_or_insert_with(unanswered).clone();
        self.give_up(now, number, &verdict);
    }

    fn asked(&mut self, now: Duration, number: usize, verdict: Verdict) {
        let (timeout, wants_transition) = (self.settings.timeout, self.settings.transition);
        let Some(url) = self.urls.get_mut(&number) else { return };
        let verdict = if wants_transition { url.after_transition(verdict) } else { verdict };
        let is_second_without_age = verdict == Verdict::Unproven(Unproven::NoAge) && url.had_no_age;
        url.had_no_age |= verdict == Verdict::Unproven(Unproven::NoAge);
        url.last = Some(verdict.clone());
        if !verdict.may_change() || is_second_without_age {
            return self.decide(number, verdict);
        }
        if self.is_stopped {
            return self.close(number);
        }
        let deadline = url.first_asked.unwrap_or(now).saturating_add(timeout);
        let is_old = matches!(
            verdict,
            Verdict::Survivor(_)
                | Verdict::Unproven(
                    Unproven::Unexpected { .. } | Unproven::StillThere | Unproven::SameSecond
                )
        );
        let patience = PURGE_DELAY.min(timeout / 4);
        if is_old && url.purges < MAX_REPEATED_PURGES && now < deadline && now >= url.round_began + patience {
            return self.purge_again(now, number, UrlState::Purging);
        }
        if now >= deadline || self.queue.blocked_until(url.host) > deadline {
            return self.give_up(now, number, &verdict);
        }
        let due = match verdict {
            Verdict::Unproven(Unproven::SameSecond) => {
                url.accepted_at + next_conclusive_time(now - url.accepted_at)
            }
            _ => url.round_began + request_offset(url.asked),
        };
        let due = due.max(now).min(deadline);
        let host = url.host;
        self.queue.push(host, (number, Variant::Plain), due);
    }

    fn give_up(&mut self, now: Duration, number: usize, verdict: &Verdict) {
        match verdict {
            Verdict::Survivor(_) if self.settings.diagnose && self.diagnosed < MAX_DIAGNOSED => {
                self.diagnosed += 1;
                let Some(url) = self.urls.get_mut(&number) else { return };
                url.state = UrlState::Diagnosing(Variant::DIAGNOSIS.len());
                let host = url.host;
                for variant in Variant::DIAGNOSIS {
                    self.queue.push(host, (number, variant), now);
                }
            }
            // The probe itself brought this body into the cache, and visitors should not get it.
            Verdict::Unproven(Unproven::Unexpected { .. } | Unproven::StillThere) => {
                self.purge_again(now, number, UrlState::CleaningUp);
            }
            _ => self.close(number),
        }
    }

    fn purge_again(&mut self, now: Duration, number: usize, state: UrlState) {
        if let Some(url) = self.urls.get_mut(&number) {
            url.state = state;
        }
        if self.to_purge.is_empty() {
            self.to_purge_since = now;
        }
        self.to_purge.push(number);
    }

    /// Records the result of a [`VerifyStep::Purge`].
    pub fn on_purged(&mut self, now: Duration, urls: &[usize], result: Result<(), &str>) {
        self.is_purging = false;
        for number in urls {
            let Some(url) = self.urls.get_mut(number) else { continue };
            if let Err(why) = result {
                let verdict = match url.last.take() {
                    Some(survivor @ Verdict::Survivor(_)) => survivor,
                    _ => Verdict::Unproven(Unproven::PurgeFailed(why.to_owned())),
                };
                self.decide(*number, verdict);
                continue;
            }
            url.purges += 1;
            if url.state == UrlState::CleaningUp || self.is_stopped {
                self.close(*number);
                continue;
            }
            url.state = UrlState::Asking;
            (url.accepted_at, url.round_began, url.asked, url.had_no_age) = (now, now, 0, false);
            let host = url.host;
            self.queue.push(host, (*number, Variant::Plain), now);
        }
    }

    /// Stops sending requests. Each URL gets the verdict that its last answer allows.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        drop(self.queue.clear());
        self.to_purge.clear();
        let open: Vec<usize> = self.urls.keys().copied().collect();
        open.into_iter().for_each(|number| self.close(number));
    }

    /// Decides from the current state.
    fn close(&mut self, number: usize) {
        let last = self.urls.get_mut(&number).and_then(|url| url.last.take());
        self.decide(number, last.unwrap_or(Verdict::Unproven(Unproven::NotAsked)));
    }

    fn decide(&mut self, number: usize, verdict: Verdict) {
        let Some(url) = self.urls.remove(&number) else { return };
        let is_repurged = url.purges > 0;
        self.counts.repurged += u64::from(is_repurged);
        *self.counts.counter(&verdict) += 1;
        self.decided.push(Decided {
            url: number,
            verdict,
            still_served: url.still_served,
            has_expected: url.has_expected,
            is_repurged,
        });
    }

    /// Returns the URLs that got their verdict since the last call, in the order of the decisions.
    pub fn take_decided(&mut self) -> Vec<Decided> {
        core::mem::take(&mut self.decided)
    }

    /// Returns the number of URLs without a verdict.
    #[must_use]
    pub fn open(&self) -> usize {
        self.urls.len()
    }

    /// Returns the number of URLs by verdict. URLs without a verdict count as unproven.
    #[must_use]
    pub fn counts(&self) -> VerifyCounts {
        let mut counts = self.counts;
        counts.probed = self.pushed as u64;
        counts.unproven += self.urls.len() as u64;
        counts
    }
}

impl Url {
    /// If a transition is required, a URL that was not HIT before the purge is not proven.
    fn after_transition(&self, verdict: Verdict) -> Verdict {
        match &self.before {
            _ if !matches!(verdict, Verdict::Proven | Verdict::Refilled) => verdict,
            None => Verdict::Unproven(Unproven::NotAskedBefore),
            Some(Some(CacheStatus::Hit)) => verdict,
            Some(before) => Verdict::NotCached(NotCached::NotCachedBefore(before.clone())),
        }
    }
}

impl VerifyCounts {
    const fn counter(&mut self, verdict: &Verdict) -> &mut u64 {
        match verdict {
            Verdict::Proven => &mut self.proven,
            Verdict::Refilled => &mut self.refilled,
            Verdict::NotCached(_) => &mut self.not_cached,
            Verdict::Survivor(_) => &mut self.survivors,
            Verdict::Unproven(_) => &mut self.unproven,
        }
    }
}

impl Survivor {
    /// Returns the age of the copy, if it is known.
    #[must_use]
    pub const fn age(&self) -> Option<u64> {
        match self {
            Self::Hit { age } => Some(*age),
            Self::Stale(_) => None,
        }
    }
}

/// Returns when a URL is requested for the `n`th time since the start of its round: 0, 0.5, 1, 2, 4 … seconds.
fn request_offset(n: u32) -> Duration {
    match n {
        0 => Duration::ZERO,
        _ => Duration::from_millis(250).saturating_mul(1 << n.min(20)),
    }
}

/// Returns when to request a copy again that has the same age as the purge, to the second. `Age` is truncated to whole
/// seconds. So a younger copy can be recognized at a whole second after the purge, and an older copy shortly before
/// one.
fn next_conclusive_time(since: Duration) -> Duration {
    let whole = Duration::from_secs(since.as_secs());
    let before_next = whole + Duration::from_millis(900);
    if since < Duration::from_secs(1) {
        Duration::from_secs(1)
    } else if since < before_next {
        before_next
    } else {
        whole + Duration::from_secs(1)
    }
}
