//! The engine: a state machine that decides what is sent when, and what becomes of it. It does no IO and reads no
//! clock; `now` is a parameter, counted from the start of the run.
//!
//! It has four doors:
//!
//! - [`Engine::next`]: what to do now: send something, wait (and until when), or stop
//! - [`Engine::offer`] and [`Engine::finish`]: there is another job; there are no more
//! - [`Engine::settle`]: what came of something that was sent
//! - [`Engine::stop`]: give up what has not been sent
//!
//! ```
//! use core::time::Duration;
//!
//! use cfcache_client::engine::{Decision, Engine, Policy, AttemptResult, Step};
//! use cfcache_model::endpoint::{Cost, Replay};
//!
//! let mut engine = Engine::new(Policy::default());
//! engine.offer("a job", Cost::Flexible, Replay::Safe);
//! engine.finish();
//!
//! // Somebody with a socket and a clock would do this in a loop.
//! let now = Duration::ZERO;
//! let Step::Send(ticket) = engine.next(now) else { panic!("nothing to send") };
//! assert_eq!(engine.job(ticket), Some(&"a job"));
//!
//! let now = Duration::from_millis(80);
//! let Decision::Ended(ended) = engine.settle(now, ticket, AttemptResult::Done) else { panic!("not done") };
//! assert_eq!((ended.job, ended.attempts), ("a job", 1));
//! assert_eq!(engine.next(now), Step::Done);
//! ```

mod backoff;
mod bucket;
mod limiter;
mod quota;
mod window;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::PurgeLimits;
use cfcache_model::verdict::{Class, Verdict};
use cfcache_transport::Delivery;

use crate::engine::backoff::Backoff;
pub use crate::engine::limiter::RateLimiter;
use crate::engine::quota::Quota;

/// How many requests go out at once after a hold; with each that is accepted, one more.
///
/// Everything that waited for the same moment would else come back in the same moment, to a server that just said that
/// it has too much to do. It is more than one so that a single request that hangs does not hold up all others.
const AFTER_HOLD: usize = 4;

/// How often a request may be refused for the rate, with others let through in between; more is not about the rate.
const MAX_REFUSALS: u32 = 50;

/// How an engine behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policy {
    /// At most so many requests in flight; at least 1.
    pub concurrency: usize,
    /// How often a request is tried again.
    ///
    /// Refusals for the rate count only as long as nothing else is let through in between: while the run goes on, waiting
    /// for its turn costs a request nothing.
    pub max_retries: u32,
    /// The longest single wait that a server may demand, and the longest time of nothing but refusals for the rate.
    pub max_wait: Duration,
    /// The plan's limits to pace by; `None` paces by the server's hints alone.
    pub limits: Option<PurgeLimits>,
    /// The first wait after a failure, before jitter; it doubles from try to try.
    pub backoff_base: Duration,
    /// The longest wait after a failure that comes without a hint.
    pub backoff_cap: Duration,
    /// What the jitter is drawn from.
    pub seed: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            concurrency: 64,
            max_retries: 10,
            max_wait: Duration::from_secs(600),
            limits: Some(cfcache_model::Plan::Free.purge_limits()),
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(30),
            seed: 0,
        }
    }
}

/// Names something in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must do each of these")]
pub enum Step {
    /// Send this job, and [`settle`](Engine::settle) it.
    Send(Ticket),
    /// Wait until that time, or until something in flight ends, whichever comes first; where `hungry`, or until there
    /// is another job to offer.
    Wait {
        /// The time; `None` where only an event can help.
        until: Option<Duration>,
        /// Would another job be taken?
        hungry: bool,
        /// What the time is the end of.
        reason: Reason,
    },
    /// Nothing is left.
    Done,
}

/// What an engine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The server refused for the rate, or demanded a pause: everything waits.
    Held,
    /// The limits that we pace by: sooner would be too fast.
    Paced,
    /// The next try of something that failed.
    Retry,
    /// What is in flight, or another job.
    News,
}

/// What came of something that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever reports must choose among these")]
pub enum AttemptResult {
    /// It was done.
    Done,
    /// There were too many requests.
    RateLimited {
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server could not, this time.
    Unavailable {
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was refused for good.
    Refused,
    /// The answer does not tell whether it was done.
    Unclear,
    /// No whole answer came.
    Lost {
        /// Can it have been processed?
        delivery: Delivery,
        /// Can another try help?
        retryable: bool,
    },
}

impl AttemptResult {
    /// What the answer to a request says, and how long its headers want the server to be left alone
    /// ([`RateHeaders::retry_after`](crate::RateHeaders::retry_after)).
    #[must_use]
    pub const fn of<T>(verdict: &Verdict<T>, retry_after: Option<Duration>) -> Self {
        match verdict {
            Verdict::Done(_) => Self::Done,
            Verdict::Later(failure) => match failure.class {
                Class::RateLimited => Self::RateLimited { retry_after },
                _ => Self::Unavailable { retry_after },
            },
            Verdict::Refused(_) => Self::Refused,
            Verdict::Unreadable(_) => Self::Unclear,
        }
    }
}

/// What becomes of a job that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it ends or it does not")]
pub enum Decision<J> {
    /// It has come to its end, good or bad.
    Ended(Ended<J>),
    /// It will be sent again, not before that time.
    Again {
        /// When.
        at: Duration,
        /// Does everything else wait as well?
        holds_all: bool,
    },
}

/// A job that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended<J> {
    /// The job.
    pub job: J,
    /// How often it was sent.
    pub attempts: u32,
    /// How long it was since it was first sent.
    pub elapsed: Duration,
    /// Did a try end without saying whether it was done?
    pub unclear: bool,
}

/// Why a run ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// Somebody wanted it to.
    Interrupted,
    /// The server demanded a longer wait than is allowed, or refused everything for that long.
    WaitTooLong {
        /// How long.
        demanded: Duration,
    },
    /// So many tries failed, one after the other, that the rest would too.
    NothingSucceeds,
    /// The credentials were refused; they would be for the rest as well.
    Credentials,
    /// What was accepted could not be recorded.
    Observer,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::WaitTooLong { demanded } => {
                write!(f, "the API demanded a wait of {} s", demanded.as_secs_f64().ceil())
            }
            Self::NothingSucceeds => {
                f.write_str("so many tries had failed in a row that the run was given up")
            }
            Self::Credentials => f.write_str("the credentials were refused"),
            Self::Observer => f.write_str("what was accepted could no longer be recorded"),
        }
    }
}

/// Decides what is sent when.
#[derive(Debug)]
pub struct Engine<J> {
    policy: Policy,
    pace: RateLimiter,
    backoff: Backoff,
    quota: Quota,
    fresh: VecDeque<Task<J>>,
    /// Those that wait for another try, the earliest first.
    waiting: BTreeMap<(Duration, u64), Task<J>>,
    flying: BTreeMap<Ticket, Task<J>>,
    /// The last hold that was made up for want of a hint.
    last_guess: Option<Duration>,
    /// When everything was last put on hold, and until when.
    hold: (Duration, Duration),
    /// How many may be in flight; less than the policy's concurrency after a hold.
    room: usize,
    /// How many were let through.
    passed: u64,
    /// Since when there is nothing but refusals for the rate.
    refused_since: Option<Duration>,
    tickets: u64,
    finished: bool,
    stopped: Option<Stop>,
}

#[derive(Debug)]
struct Task<J> {
    job: J,
    cost: Cost,
    replay: Replay,
    attempts: u32,
    /// How many of the attempts failed otherwise than by a refusal for the rate.
    failures: u32,
    /// How many were refused for the rate.
    refusals: u32,
    /// How many of those since something else was let through.
    stalled: u32,
    /// How many had been let through when it last failed, or was first sent.
    passed: u64,
    first_sent: Option<Duration>,
    sent: Duration,
    unclear: bool,
}

impl<J> Task<J> {
    const fn new(job: J, cost: Cost, replay: Replay) -> Self {
        Self {
            job,
            cost,
            replay,
            attempts: 0,
            failures: 0,
            refusals: 0,
            stalled: 0,
            passed: 0,
            first_sent: None,
            sent: Duration::ZERO,
            unclear: false,
        }
    }

    fn end(self, now: Duration) -> Ended<J> {
        let elapsed = self.first_sent.map_or(Duration::ZERO, |sent| now.saturating_sub(sent));
        Ended { job: self.job, attempts: self.attempts, elapsed, unclear: self.unclear }
    }
}

impl<J> Engine<J> {
    /// An engine with nothing to do yet, that has its limits to itself.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let pace = RateLimiter::new(policy.limits);
        Self::sharing(policy, pace)
    }

    /// An engine with nothing to do yet, that shares its limits, and its clock, with all that hold a clone of `pace`.
    ///
    /// They are changed there ([`RateLimiter::set_limits`], [`RateLimiter::set_global`]), while it runs as well; that may make ready
    /// what the last [`next`](Self::next) said to wait for.
    #[must_use]
    pub fn sharing(policy: Policy, pace: RateLimiter) -> Self {
        Self {
            pace,
            backoff: Backoff::new(policy.backoff_base, policy.backoff_cap, policy.seed),
            policy,
            quota: Quota::new(),
            fresh: VecDeque::new(),
            waiting: BTreeMap::new(),
            flying: BTreeMap::new(),
            last_guess: None,
            hold: (Duration::ZERO, Duration::ZERO),
            room: usize::MAX,
            passed: 0,
            refused_since: None,
            tickets: 0,
            finished: false,
            stopped: None,
        }
    }

    /// There is another job.
    pub fn offer(&mut self, job: J, cost: Cost, replay: Replay) {
        self.fresh.push_back(Task::new(job, cost, replay));
    }

    /// There is another job, which goes before all that were not sent yet: a part of one that was.
    pub fn offer_first(&mut self, job: J, cost: Cost, replay: Replay) {
        self.fresh.push_front(Task::new(job, cost, replay));
    }

    /// There are no more jobs.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Gives up what is not in flight. What is can still be settled; [`Engine::abandoned`] gives the rest.
    ///
    /// The first reason stays, but for [`Stop::NothingSucceeds`] where refused credentials are why.
    pub fn stop(&mut self, why: Stop) {
        let is_better = (self.stopped, why) == (Some(Stop::NothingSucceeds), Stop::Credentials);
        if self.stopped.is_none() || is_better {
            self.stopped = Some(why);
        }
    }

    /// Why the engine stopped, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Once the engine has stopped: the jobs that were not sent, or not sent again.
    pub fn abandoned(&mut self, now: Duration) -> impl Iterator<Item = Ended<J>> {
        let all = self.stopped.is_some();
        let fresh = if all { core::mem::take(&mut self.fresh) } else { VecDeque::new() };
        let waiting = if all { core::mem::take(&mut self.waiting) } else { BTreeMap::new() };
        waiting.into_values().chain(fresh).map(move |task| task.end(now))
    }

    /// How many are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Until when everything waits, where that is later than `now`.
    #[must_use]
    pub fn held_until(&self, now: Duration) -> Option<Duration> {
        self.pace.held_until(now)
    }

    /// The job that a ticket stands for, while it is in flight.
    #[must_use]
    pub fn job(&self, ticket: Ticket) -> Option<&J> {
        self.flying.get(&ticket).map(|task| &task.job)
    }

    /// The job that a ticket stands for, to keep something with it from try to try.
    pub fn job_mut(&mut self, ticket: Ticket) -> Option<&mut J> {
        self.flying.get_mut(&ticket).map(|task| &mut task.job)
    }

    /// The job that a ticket stood for, while it waits for its next try at that time.
    #[cfg(feature = "driver")]
    pub(crate) fn postponed(&self, at: Duration, ticket: Ticket) -> Option<&J> {
        self.waiting.get(&(at, ticket.0)).map(|task| &task.job)
    }

    /// Which try of its job a ticket is, counted from 1.
    #[must_use]
    pub fn attempt(&self, ticket: Ticket) -> u32 {
        self.flying.get(&ticket).map_or(0, |task| task.attempts)
    }

    /// When another job of that cost could be sent, as things stand; `None` while others wait, or as many are in flight as
    /// may be.
    #[must_use]
    pub fn ready_at(&self, now: Duration, cost: Cost) -> Option<Duration> {
        let is_idle = self.fresh.is_empty() && self.waiting.is_empty() && self.stopped.is_none();
        (is_idle && self.flying.len() < self.most_in_flight()).then(|| self.pace.ready_at(now, cost))
    }

    fn most_in_flight(&self) -> usize {
        self.policy.concurrency.min(self.room).max(1)
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Step {
        let wait = |hungry| Step::Wait { until: None, hungry, reason: Reason::News };
        if self.stopped.is_some() {
            return if self.flying.is_empty() { Step::Done } else { wait(false) };
        }
        let hungry = !self.finished && self.fresh.is_empty();
        if self.flying.len() >= self.most_in_flight() {
            return wait(hungry);
        }
        // A try again goes before something new, once its time has come: it is the older one.
        let again = self.waiting.first_key_value().map(|((due, _), task)| (*due, task.cost));
        // As many as may be in flight may wait for another try. With more than that nothing new is begun, or an outage
        // would have the whole input wait in memory.
        let may_begin = self.waiting.len() < self.policy.concurrency.max(1);
        let fresh = self.fresh.front().filter(|_| may_begin).map(|task| (now, task.cost));
        let due_again = again.filter(|(due, _)| *due <= now);
        let Some((due, cost)) = due_again.or(fresh).or(again) else {
            let idle = self.flying.is_empty();
            return if self.finished && idle { Step::Done } else { wait(hungry) };
        };
        let taken = if due > now { Err(self.pace.ready_at(due, cost)) } else { self.pace.take(now, cost) };
        if let Err(ready) = taken {
            let held = self.pace.held_until(now).is_some_and(|hold| hold >= ready);
            // A try again that comes due earlier may cost less, so look again then.
            let next_again = again.map(|(due, _)| due).filter(|due| *due > now);
            let until = next_again.map_or(ready, |due| due.min(ready));
            let reason = match held {
                true => Reason::Held,
                false if due > now => Reason::Retry,
                false => Reason::Paced,
            };
            return Step::Wait { until: Some(until), hungry, reason };
        }
        let task = match due_again {
            Some(_) => self.waiting.pop_first().map(|(_, task)| task),
            None => self.fresh.pop_front(),
        };
        match task {
            Some(task) => self.send(now, task),
            None => wait(hungry),
        }
    }

    fn send(&mut self, now: Duration, mut task: Task<J>) -> Step {
        task.attempts = task.attempts.saturating_add(1);
        if task.first_sent.is_none() {
            task.first_sent = Some(now);
            task.passed = self.passed;
        }
        task.sent = now;
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.flying.insert(ticket, task);
        Step::Send(ticket)
    }

    /// Says what came of something that was sent.
    ///
    /// # Panics
    ///
    /// Where the ticket is not in flight: it was settled before, or is of another engine.
    #[track_caller]
    pub fn settle(&mut self, now: Duration, ticket: Ticket, signal: AttemptResult) -> Decision<J> {
        let Some(mut task) = self.flying.remove(&ticket) else { panic!("{ticket:?} is not in flight") };
        self.learn(now, &mut task, signal);
        let is_rate_limit = matches!(signal, AttemptResult::RateLimited { .. });
        let hint = match signal {
            AttemptResult::RateLimited { retry_after } | AttemptResult::Unavailable { retry_after } => {
                retry_after
            }
            _ => None,
        };
        // To be asked back at once is not to be told how long.
        let hint = hint.filter(|hint| !hint.is_zero());
        if let Some(demanded) = hint.filter(|hint| *hint > self.policy.max_wait) {
            self.stop(Stop::WaitTooLong { demanded });
            return Decision::Ended(task.end(now));
        }
        let at = match hint {
            Some(hint) => now.saturating_add(hint),
            None if is_rate_limit => self.guess_hold(now, task.sent),
            None => now.saturating_add(self.backoff.full_jitter(task.failures.saturating_sub(1))),
        };
        // A refusal that comes in late, of what was on its way when a hold was made that is over, holds nothing.
        let holds_all = (is_rate_limit || hint.is_some()) && at > now;
        if holds_all {
            self.hold(now, at);
        }
        if is_rate_limit {
            let demanded = at.saturating_sub(*self.refused_since.get_or_insert(now));
            if demanded > self.policy.max_wait {
                self.stop(Stop::WaitTooLong { demanded });
            }
        }
        if !may_repeat(task.replay, signal) {
            return Decision::Ended(task.end(now));
        }
        let tries = task.failures.saturating_add(task.stalled);
        if tries > self.policy.max_retries || task.refusals > MAX_REFUSALS {
            if self.quota.is_spent() {
                self.stop(Stop::NothingSucceeds);
            }
            return Decision::Ended(task.end(now));
        }
        if self.stopped.is_some() {
            return Decision::Ended(task.end(now));
        }
        self.waiting.insert((at, ticket.0), task);
        Decision::Again { at, holds_all }
    }

    /// Draws from what came of a task what it says about all of them.
    fn learn(&mut self, now: Duration, task: &mut Task<J>, signal: AttemptResult) {
        match signal {
            // What was refused for what it is was looked at, so it was let through.
            AttemptResult::Done | AttemptResult::Refused => {
                self.passed += 1;
                self.quota.refund();
                self.last_guess = None;
                self.refused_since = None;
                self.pace.passed(task.cost);
                if task.sent >= self.hold.1 {
                    self.room = self.room.saturating_add(1);
                }
            }
            AttemptResult::RateLimited { .. } => {
                self.pace.refused(now, task.sent, task.cost);
                task.refusals = task.refusals.saturating_add(1);
                task.stalled = if task.passed == self.passed { task.stalled.saturating_add(1) } else { 1 };
            }
            AttemptResult::Unavailable { .. } | AttemptResult::Unclear | AttemptResult::Lost { .. } => {
                self.quota.pay();
                task.failures = task.failures.saturating_add(1);
                task.unclear |= match signal {
                    AttemptResult::Lost { delivery, .. } => delivery != Delivery::NotSent,
                    _ => matches!(signal, AttemptResult::Unclear),
                };
            }
        }
        task.passed = self.passed;
    }

    /// Lets nothing go out before `until`, and only a few at first then.
    fn hold(&mut self, now: Duration, until: Duration) {
        if until > self.hold.1 {
            self.hold = (now, until);
            self.room = AFTER_HOLD;
        }
        self.pace.hold_until(until);
    }

    /// Too many, and no word of how long: those that were on their way together make one hold.
    fn guess_hold(&mut self, now: Duration, sent: Duration) -> Duration {
        if let Some(held) = self.pace.held_until(now) {
            return held;
        }
        let (held_at, _) = self.hold;
        if !held_at.is_zero() && sent <= held_at {
            return now;
        }
        let guess = self.backoff.decorrelated(self.last_guess);
        self.last_guess = Some(guess);
        now.saturating_add(guess)
    }
}

/// May a request be sent again, after that?
fn may_repeat(replay: Replay, signal: AttemptResult) -> bool {
    let is_safe = replay == Replay::Safe;
    match signal {
        AttemptResult::Done | AttemptResult::Refused => false,
        // A request that was over the limit was not looked at.
        AttemptResult::RateLimited { .. } => true,
        AttemptResult::Unavailable { .. } | AttemptResult::Unclear => is_safe,
        AttemptResult::Lost { delivery, retryable } => {
            retryable && (is_safe || delivery == Delivery::NotSent)
        }
    }
}
