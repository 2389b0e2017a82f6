//! The verification of a purge, as a state machine without IO: when to ask a URL again, when to purge it again, when to
//! give up. `now` is a parameter, counted from any moment that is the same for all calls.
//!
//! - [`Verification::push`]: a URL that was purged, and when
//! - [`Verification::next`]: what to do now
//! - [`Verification::on_answer`], [`Verification::on_purged`]: what came of it
//! - [`Verification::take_decided`]: the URLs that have their verdict; nothing of them is held any more
//! - [`Verification::stop`]: no more requests; what is known by now is the verdict

use core::time::Duration;
use std::collections::BTreeMap;

use cfcache_model::endpoint::Action;

use crate::answer::{Answer, CacheStatus};
use crate::pace::{Limits, Reaction};
use crate::queue::{Next, Queue, Ticket};
use crate::variant::Variant;
use crate::verdict::{ExpectedBody, NotCached, Purged, Survivor, Unproven, Verdict, judge};

/// How often a survivor is purged again.
const PURGES_AGAIN: u32 = 2;

/// How long a purge may take to be seen before it is repeated: runbooks say up to 30 s, the vendor 150 ms for half of
/// them. A repetition costs a request and does no harm.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a survivor waits for others, to be purged again in one request, and how many go in one.
const GROUPING: Duration = Duration::from_secs(1);
const GROUP: usize = 30;

/// Copies whose ages say that they were stored within so many seconds are one copy: `Age` is cut to seconds.
const SAME_COPY: f64 = 2.0;

/// How many survivors are diagnosed: a handful shows what they have in common.
const DIAGNOSED: usize = 10;

/// How to verify.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Settings {
    /// What was done to the URLs.
    pub action: Action,
    /// How long a URL is asked, from the first time on: 30 s.
    pub timeout: Duration,
    /// How politely.
    pub limits: Limits,
    /// Whether only a URL that was HIT before the purge can be proven.
    pub transition: bool,
    /// Whether survivors are asked in other ways, to find what would purge them.
    pub diagnose: bool,
}

impl Settings {
    /// The usual settings for what was done.
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
pub struct Subject {
    /// What shares a pace: the host, with its port.
    pub host: String,
    /// When the purge that covers it was accepted.
    pub accepted_at: Duration,
    /// What was done to it, where that is not what [`Settings::action`] says of the others.
    pub action: Option<Action>,
    /// The body that visitors should get, where it is known.
    pub expected: Option<ExpectedBody>,
    /// What the cache said before the purge, where it was asked.
    pub before: Option<Option<CacheStatus>>,
}

impl Subject {
    /// A URL of a host, purged at a time.
    #[must_use]
    pub fn new(host: impl Into<String>, accepted_at: Duration) -> Self {
        Self { host: host.into(), accepted_at, action: None, expected: None, before: None }
    }

    /// Sets what was done to it.
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

    /// Sets what the cache said before the purge.
    #[must_use]
    pub fn with_before(mut self, before: Option<CacheStatus>) -> Self {
        self.before = Some(before);
        self
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Ask a URL, and tell [`Verification::on_answer`] what came.
    Ask(Ask),
    /// Purge these URLs, and tell [`Verification::on_purged`] what came of it.
    Purge(Vec<usize>),
    /// Nothing before that time, unless something that is under way ends first.
    Wait(Duration),
    /// Nothing before something that is under way ends.
    WaitForEnd,
    /// Every URL has its verdict.
    Done,
}

/// A request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ask {
    /// Names the request.
    pub ticket: Ticket,
    /// The number of the URL, as [`Verification::push`] gave it.
    pub url: usize,
    /// How to ask it.
    pub variant: Variant,
}

/// How many URLs have which verdict. Their sum is `probed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All URLs.
    pub probed: u64,
    /// Those that are proven.
    pub proven: u64,
    /// Those that are cached again since the purge.
    pub refilled: u64,
    /// Those that are not cached.
    pub not_cached: u64,
    /// Those of which the old copy is still served.
    pub survivors: u64,
    /// Those of which it cannot be told.
    pub unproven: u64,
    /// Those that were purged again, whatever came of it.
    pub repurged: u64,
}

/// A URL that has its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decided {
    /// The number of the URL, as [`Verification::push`] gave it.
    pub url: usize,
    /// What is known of it.
    pub verdict: Verdict,
    /// The ways of asking for a survivor that get an old copy other than its own, as the diagnosis found them.
    pub still_served: Vec<Variant>,
    /// Whether the last answer had the body that is expected.
    pub has_expected: bool,
    /// Whether it was purged again.
    pub is_repurged: bool,
}

/// A verification. It holds only the URLs that have no verdict yet.
#[derive(Debug)]
pub struct Verification {
    settings: Settings,
    queue: Queue<(usize, Variant)>,
    /// They come and go in about the order of their numbers, and a hash table would double for that.
    urls: BTreeMap<usize, Url>,
    pushed: usize,
    counts: Counts,
    /// URLs to purge again, and since when the first of them waits.
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
    /// Since the last purge or, where there was none, the first request.
    asked: u32,
    round_began: Duration,
    had_no_age: bool,
    purges: u32,
    state: State,
    last: Option<Verdict>,
    /// Ways of asking to which another old copy is still given.
    still: Vec<Variant>,
    /// When the old copy was stored, in seconds of the machine's time; it may be long before its beginning.
    stored: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Asking,
    /// Waits for a purge, and is asked again after it.
    Purging,
    /// Waits for a purge that only takes away what the probe itself brought into the cache.
    CleaningUp,
    /// So many requests of the diagnosis are still to come.
    Diagnosing(usize),
}

impl Verification {
    /// A verification without URLs.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            queue: Queue::new(settings.limits),
            urls: BTreeMap::new(),
            pushed: 0,
            counts: Counts::default(),
            to_purge: Vec::new(),
            to_purge_since: Duration::ZERO,
            is_purging: false,
            is_stopped: false,
            diagnosed: 0,
            decided: Vec::new(),
        }
    }

    /// Adds a URL, to be asked from now on, and numbers it.
    pub fn push(&mut self, now: Duration, subject: Subject) -> usize {
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
            state: State::Asking,
            last: None,
            still: Vec::new(),
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

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Step {
        let next = self.queue.next(now);
        let is_idle = match next {
            Next::Start(ticket, (url, variant)) => return Step::Ask(Ask { ticket, url, variant }),
            Next::Empty => self.queue.in_flight() == 0,
            Next::Wait(_) | Next::WaitForEnd => false,
        };
        let mut wait = match next {
            Next::Wait(until) => Some(until),
            _ => None,
        };
        if !self.to_purge.is_empty() && !self.is_purging {
            let due = self.to_purge_since.saturating_add(GROUPING);
            let is_far = wait.is_some_and(|until| until > due) && self.queue.in_flight() == 0;
            if is_idle || is_far || now >= due || self.to_purge.len() >= GROUP {
                let rest = self.to_purge.split_off(self.to_purge.len().min(GROUP));
                let group = core::mem::replace(&mut self.to_purge, rest);
                self.to_purge_since = now;
                self.is_purging = true;
                return Step::Purge(group);
            }
            wait = Some(wait.map_or(due, |until| until.min(due)));
        }
        match wait {
            _ if self.urls.is_empty() => Step::Done,
            Some(until) => Step::Wait(until),
            None => Step::WaitForEnd,
        }
    }

    /// An answer has come, or why none came.
    pub fn on_answer(&mut self, now: Duration, ask: Ask, answer: Result<&Answer, &str>) {
        let Ask { ticket, url: number, variant } = ask;
        let reaction = match &answer {
            Ok(answer) if answer.status == 429 || answer.status >= 500 => {
                Reaction::Overloaded(answer.retry_after)
            }
            Ok(_) => Reaction::Fine(now.saturating_sub(ticket.started())),
            Err(_) => Reaction::Silent,
        };
        self.queue.end(now, ticket, reaction);
        let Some(url) = self.urls.get_mut(&number) else { return };
        let purged = Purged {
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
            State::Diagnosing(left) => {
                // What was stored in the same moment is the same copy, which a way of asking does not tell apart.
                let is_same = match (stored, url.stored) {
                    (Some(one), Some(other)) => (one - other).abs() < SAME_COPY,
                    // Where no age is told, nothing shows that it is another copy.
                    (one, other) => one.is_none() && other.is_none(),
                };
                if matches!(verdict, Verdict::Survivor(_)) && !is_same {
                    url.still.push(variant);
                }
                url.state = State::Diagnosing(left.saturating_sub(1));
                if left <= 1 {
                    self.close(number);
                }
            }
            State::Asking => {
                url.first_asked.get_or_insert(ticket.started());
                url.stored = stored;
                url.has_expected = answer
                    .is_ok_and(|answer| url.expected.is_some_and(|body| body.matches(answer) == Some(true)));
                url.asked += 1;
                self.asked(now, number, verdict);
            }
            State::Purging | State::CleaningUp => {}
        }
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
        let patience = PATIENCE.min(timeout / 4);
        if is_old && url.purges < PURGES_AGAIN && now < deadline && now >= url.round_began + patience {
            return self.purge_again(now, number, State::Purging);
        }
        if now >= deadline {
            return self.give_up(now, number, &verdict);
        }
        let due = match verdict {
            Verdict::Unproven(Unproven::SameSecond) => url.accepted_at + off_beat(now - url.accepted_at),
            _ => url.round_began + offset(url.asked),
        };
        let due = due.max(now).min(deadline);
        let host = url.host;
        self.queue.push(host, (number, Variant::Plain), due);
    }

    fn give_up(&mut self, now: Duration, number: usize, verdict: &Verdict) {
        match verdict {
            Verdict::Survivor(_) if self.settings.diagnose && self.diagnosed < DIAGNOSED => {
                self.diagnosed += 1;
                let Some(url) = self.urls.get_mut(&number) else { return };
                url.state = State::Diagnosing(Variant::DIAGNOSIS.len());
                let host = url.host;
                for variant in Variant::DIAGNOSIS {
                    self.queue.push(host, (number, variant), now);
                }
            }
            // What the probe fetched is in the cache now, and is not what visitors should get.
            Verdict::Unproven(Unproven::Unexpected { .. } | Unproven::StillThere) => {
                self.purge_again(now, number, State::CleaningUp);
            }
            _ => self.close(number),
        }
    }

    fn purge_again(&mut self, now: Duration, number: usize, state: State) {
        if let Some(url) = self.urls.get_mut(&number) {
            url.state = state;
        }
        if self.to_purge.is_empty() {
            self.to_purge_since = now;
        }
        self.to_purge.push(number);
    }

    /// URLs of a [`Step::Purge`] were purged, or why they were not.
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
            if url.state == State::CleaningUp || self.is_stopped {
                self.close(*number);
                continue;
            }
            url.state = State::Asking;
            (url.accepted_at, url.round_began, url.asked, url.had_no_age) = (now, now, 0, false);
            let host = url.host;
            self.queue.push(host, (*number, Variant::Plain), now);
        }
    }

    /// Sends nothing more: each URL gets the verdict that its last answer allows.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        drop(self.queue.clear());
        self.to_purge.clear();
        let open: Vec<usize> = self.urls.keys().copied().collect();
        open.into_iter().for_each(|number| self.close(number));
    }

    /// Decides on what is known by now.
    fn close(&mut self, number: usize) {
        let last = self.urls.get_mut(&number).and_then(|url| url.last.take());
        self.decide(number, last.unwrap_or(Verdict::Unproven(Unproven::NotAsked)));
    }

    fn decide(&mut self, number: usize, verdict: Verdict) {
        let Some(url) = self.urls.remove(&number) else { return };
        let is_repurged = url.purges > 0;
        self.counts.repurged += u64::from(is_repurged);
        *self.counts.of(&verdict) += 1;
        self.decided.push(Decided {
            url: number,
            verdict,
            still_served: url.still,
            has_expected: url.has_expected,
            is_repurged,
        });
    }

    /// The URLs that got their verdict since this was asked last, in the order of the decisions.
    pub fn take_decided(&mut self) -> Vec<Decided> {
        core::mem::take(&mut self.decided)
    }

    /// How many URLs have no verdict yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.urls.len()
    }

    /// How many URLs have which verdict. What is not decided yet counts as unproven.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.probed = self.pushed as u64;
        counts.unproven += self.urls.len() as u64;
        counts
    }
}

impl Url {
    /// Where a transition is wanted, what was not HIT before the purge was not seen to be removed.
    fn after_transition(&self, verdict: Verdict) -> Verdict {
        match &self.before {
            _ if !matches!(verdict, Verdict::Proven | Verdict::Refilled) => verdict,
            None => Verdict::Unproven(Unproven::NotAskedBefore),
            Some(Some(CacheStatus::Hit)) => verdict,
            Some(before) => Verdict::NotCached(NotCached::NotCachedBefore(before.clone())),
        }
    }
}

impl Counts {
    const fn of(&mut self, verdict: &Verdict) -> &mut u64 {
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
    /// How old the copy is, where that is known.
    #[must_use]
    pub const fn age(&self) -> Option<u64> {
        match self {
            Self::Hit { age } => Some(*age),
            Self::Stale(_) => None,
        }
    }
}

/// When a URL is asked for the `n`th time since its round began: 0, 0.5, 1, 2, 4 … seconds.
fn offset(n: u32) -> Duration {
    match n {
        0 => Duration::ZERO,
        _ => Duration::from_millis(250).saturating_mul(1 << n.min(20)),
    }
}

/// When to look again at a copy that is as old as the purge to the second. `Age` is cut to whole seconds, so at a whole
/// second after the purge a younger copy shows as such, and shortly before one an older copy does.
fn off_beat(since: Duration) -> Duration {
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
