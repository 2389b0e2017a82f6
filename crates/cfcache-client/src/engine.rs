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
//! use cfcache_client::engine::{Decision, Engine, Policy, Signal, Step};
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
//! let Decision::Ended(ended) = engine.settle(now, ticket, Signal::Done) else { panic!("not done") };
//! assert_eq!((ended.job, ended.attempts), ("a job", 1));
//! assert_eq!(engine.next(now), Step::Done);
//! ```

mod backoff;
mod bucket;
mod pace;
mod quota;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::{PurgeLimits, Rate};
use cfcache_transport::Delivery;

use crate::engine::backoff::Backoff;
pub use crate::engine::pace::Pace;
use crate::engine::quota::Quota;

/// How an engine behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policy {
    /// At most so many requests in flight; at least 1.
    pub concurrency: usize,
    /// How often a request is tried again.
    pub max_retries: u32,
    /// The longest single wait that a server may demand.
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
            max_retries: 6,
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
    },
    /// Nothing is left.
    Done,
}

/// What came of something that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever reports must choose among these")]
pub enum Signal {
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
}

/// Why a run ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// Somebody wanted it to.
    Interrupted,
    /// The server demanded a longer wait than is allowed.
    WaitTooLong {
        /// How long.
        demanded: Duration,
    },
    /// So many tries failed, one after the other, that the rest would too.
    NothingSucceeds,
    /// The credentials were refused; they would be for the rest as well.
    Credentials,
}

/// Decides what is sent when.
#[derive(Debug)]
pub struct Engine<J> {
    policy: Policy,
    pace: Pace,
    backoff: Backoff,
    quota: Quota,
    fresh: VecDeque<Task<J>>,
    /// Those that wait for another try, the earliest first.
    waiting: BTreeMap<(Duration, u64), Task<J>>,
    flying: BTreeMap<Ticket, Task<J>>,
    /// The last hold that was made up for want of a hint.
    last_guess: Option<Duration>,
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
    first_sent: Option<Duration>,
}

impl<J> Engine<J> {
    /// An engine with nothing to do yet, that has its limits to itself.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let pace = Pace::new(policy.limits);
        Self::sharing(policy, pace)
    }

    /// An engine with nothing to do yet, that shares its limits, and its clock, with all that hold a clone of `pace`.
    #[must_use]
    pub fn sharing(policy: Policy, pace: Pace) -> Self {
        Self {
            pace,
            backoff: Backoff::new(policy.backoff_base, policy.backoff_cap, policy.seed),
            policy,
            quota: Quota::new(),
            fresh: VecDeque::new(),
            waiting: BTreeMap::new(),
            flying: BTreeMap::new(),
            last_guess: None,
            tickets: 0,
            finished: false,
            stopped: None,
        }
    }

    /// There is another job.
    pub fn offer(&mut self, job: J, cost: Cost, replay: Replay) {
        self.fresh.push_back(Task { job, cost, replay, attempts: 0, first_sent: None });
    }

    /// There is another job, which goes before all that were not sent yet: a part of one that was.
    pub fn offer_first(&mut self, job: J, cost: Cost, replay: Replay) {
        self.fresh.push_front(Task { job, cost, replay, attempts: 0, first_sent: None });
    }

    /// There are no more jobs.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Gives up what is not in flight. What is can still be settled; [`Engine::abandoned`] gives the rest.
    pub fn stop(&mut self, why: Stop) {
        self.stopped.get_or_insert(why);
    }

    /// Why the engine stopped, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// Once the engine has stopped: the jobs that were not sent, or not sent again.
    pub fn abandoned(&mut self) -> impl Iterator<Item = Ended<J>> {
        let all = self.stopped.is_some();
        let fresh = if all { core::mem::take(&mut self.fresh) } else { VecDeque::new() };
        let waiting = if all { core::mem::take(&mut self.waiting) } else { BTreeMap::new() };
        waiting.into_values().chain(fresh).map(|task| Ended {
            job: task.job,
            attempts: task.attempts,
            elapsed: Duration::ZERO,
        })
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

    /// Which try of its job a ticket is, counted from 1.
    #[must_use]
    pub fn attempt(&self, ticket: Ticket) -> u32 {
        self.flying.get(&ticket).map_or(0, |task| task.attempts)
    }

    /// What to do now.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.stopped.is_some() {
            return match self.flying.is_empty() {
                true => Step::Done,
                false => Step::Wait { until: None, hungry: false },
            };
        }
        let hungry = !self.finished && self.fresh.is_empty();
        if self.flying.len() >= self.policy.concurrency.max(1) {
            return Step::Wait { until: None, hungry };
        }
        // A try again goes before something new, once its time has come: it is the older one.
        let again = self.waiting.first_key_value().map(|((due, _), task)| (*due, task.cost));
        let fresh = self.fresh.front().map(|task| (now, task.cost));
        let due_again = again.filter(|(due, _)| *due <= now);
        let Some((due, cost)) = due_again.or(fresh).or(again) else {
            let idle = self.flying.is_empty();
            return if self.finished && idle { Step::Done } else { Step::Wait { until: None, hungry } };
        };
        let taken = if due > now { Err(self.pace.ready_at(due, cost)) } else { self.pace.take(now, cost) };
        if let Err(ready) = taken {
            // A try again that comes due earlier may cost less, so look again then.
            let next_again = again.map(|(due, _)| due).filter(|due| *due > now);
            let until = next_again.map_or(ready, |due| due.min(ready));
            return Step::Wait { until: Some(until), hungry };
        }
        let task = match due_again {
            Some(_) => self.waiting.pop_first().map(|(_, task)| task),
            None => self.fresh.pop_front(),
        };
        match task {
            Some(task) => self.send(now, task),
            None => Step::Wait { until: None, hungry },
        }
    }

    fn send(&mut self, now: Duration, mut task: Task<J>) -> Step {
        task.attempts += 1;
        task.first_sent.get_or_insert(now);
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
    pub fn settle(&mut self, now: Duration, ticket: Ticket, signal: Signal) -> Decision<J> {
        let Some(task) = self.flying.remove(&ticket) else { panic!("{ticket:?} is not in flight") };
        self.learn(now, task.cost, signal);
        if !may_repeat(task.replay, signal) || task.attempts > self.policy.max_retries {
            return Decision::Ended(ended(now, task));
        }
        let hint = match signal {
            Signal::RateLimited { retry_after } | Signal::Unavailable { retry_after } => retry_after,
            _ => None,
        };
        if let Some(demanded) = hint.filter(|hint| *hint > self.policy.max_wait) {
            self.stop(Stop::WaitTooLong { demanded });
            return Decision::Ended(ended(now, task));
        }
        let is_rate_limit = matches!(signal, Signal::RateLimited { .. });
        // A rate limit is paid for in waiting; all else in tries.
        if !is_rate_limit && !self.quota.pay() {
            self.stop(Stop::NothingSucceeds);
            return Decision::Ended(ended(now, task));
        }
        let holds_all = is_rate_limit || hint.is_some();
        let at = match (hint, is_rate_limit) {
            (Some(hint), _) => now + hint,
            (None, true) => self.guess_hold(now),
            (None, false) => now + self.backoff.full_jitter(task.attempts - 1),
        };
        if holds_all {
            self.pace.hold_until(at);
        }
        if self.stopped.is_some() {
            return Decision::Ended(ended(now, task));
        }
        self.waiting.insert((at, ticket.0), task);
        Decision::Again { at, holds_all }
    }

    /// The server names its global quota in its headers.
    pub fn set_global_quota(&mut self, now: Duration, rate: Rate) {
        self.pace.set_global(now, rate);
    }

    fn learn(&mut self, now: Duration, cost: Cost, signal: Signal) {
        match signal {
            Signal::Done => {
                self.quota.refund();
                self.last_guess = None;
                self.pace.passed(now, cost);
            }
            Signal::RateLimited { .. } => self.pace.refused(now, cost),
            _ => {}
        }
    }

    /// Too many, and no word of how long: those that come back together with that news make one hold.
    fn guess_hold(&mut self, now: Duration) -> Duration {
        if let Some(held) = self.pace.held_until(now) {
            return held;
        }
        let guess = self.backoff.decorrelated(self.last_guess);
        self.last_guess = Some(guess);
        now + guess
    }
}

fn ended<J>(now: Duration, task: Task<J>) -> Ended<J> {
    let elapsed = task.first_sent.map_or(Duration::ZERO, |sent| now.saturating_sub(sent));
    Ended { job: task.job, attempts: task.attempts, elapsed }
}

/// May a request be sent again, after that?
fn may_repeat(replay: Replay, signal: Signal) -> bool {
    let is_safe = replay == Replay::Safe;
    match signal {
        Signal::Done | Signal::Refused => false,
        // A request that was over the limit was not looked at.
        Signal::RateLimited { .. } => true,
        Signal::Unavailable { .. } | Signal::Unclear => is_safe,
        Signal::Lost { delivery, retryable } => retryable && (is_safe || delivery == Delivery::NotSent),
    }
}
