use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cfcache_model::endpoint::{Cost, Replay};
use cfcache_transport::Delivery;

use crate::engine::limiter::{Limiter, RateLimiter};
use crate::engine::{AttemptResult, Policy, Reason, Stop};

/// How many times a request may be refused because of the rate while others are accepted; after that, the rate is not
/// the reason.
const MAX_REFUSALS: u32 = 50;

/// The number of failed attempts without a success after which a run can be stopped.
///
/// A retry may help one request, but not if every request fails: then the API or the connection is down, and a run of a
/// hundred thousand requests has to stop soon instead of failing each of them slowly. Reaching this number alone stops
/// nothing, because a short outage affects everything in flight at once; the run stops with the first request that fails
/// after *all* of its attempts.
const MAX_FAILURES: u32 = 100;

/// The number of failed attempts that a success compensates: enough for a server that fails nine times out of ten. A
/// refusal by a server that works is a success here.
const FAILURES_PER_SUCCESS: u32 = 10;

/// Identifies a request in flight, of a scheduler or of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// The index of the scheduler in its job; 0 for a scheduler without a job.
    pub(super) scope: usize,
    pub(super) number: u64,
}

/// What a scheduler requires its driver to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must do each of these")]
pub enum Step {
    /// Send this request, and report the result to [`Scheduler::on_result`].
    Send(Ticket),
    /// Wait until that time, or until a request in flight ends, whichever is first; if `wants_input`, also until there
    /// is another request to push.
    Wait {
        /// The time; `None` to wait only for events.
        until: Option<Duration>,
        /// Whether no request is left to be sent for the first time, and more may follow.
        wants_input: bool,
        /// The reason for the wait.
        reason: Reason,
    },
    /// All requests have ended.
    Done,
}

/// What happens to a request after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it ends or it does not")]
pub enum Decision<R> {
    /// It has ended, with success or failure.
    Ended(Ended<R>),
    /// It will be sent again.
    Again {
        /// The earliest time of that.
        at: Duration,
        /// Whether everything else waits as well.
        holds_all: bool,
    },
}

/// A request that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended<R> {
    /// The request.
    pub request: R,
    /// How many times it was sent.
    pub attempts: u32,
    /// The time since it was first sent.
    pub elapsed: Duration,
    /// Whether an attempt that failed may have been processed nonetheless.
    pub unclear: bool,
}

/// Decides which request is sent when, and whether it is sent again.
///
/// Dropping it frees the slots of requests in flight in the limiter.
#[derive(Debug)]
pub struct Scheduler<R> {
    policy: Policy,
    limiter: Arc<dyn Limiter>,
    /// How many more attempts may fail before the run stops with the next request that fails after all of its attempts.
    failures_left: u32,
    queued: VecDeque<ScheduledRequest<R>>,
    /// Requests that wait for another attempt, the earliest first.
    retries: BTreeMap<(Duration, u64), ScheduledRequest<R>>,
    in_flight: BTreeMap<u64, ScheduledRequest<R>>,
    /// How many requests the server accepted for processing.
    passed: u64,
    /// Since when all requests have been refused because of the rate.
    refused_since: Option<Duration>,
    tickets: u64,
    finished: bool,
    stopped: Option<Stop>,
}

#[derive(Debug)]
struct ScheduledRequest<R> {
    request: R,
    cost: Cost,
    replay: Replay,
    attempts: u32,
    /// How many attempts failed for a reason other than the rate.
    failures: u32,
    /// How many were refused because of the rate.
    refusals: u32,
    /// How many of those since another request was accepted.
    stalled: u32,
    /// The value of the scheduler's `passed` when it last failed or was first sent.
    passed: u64,
    first_sent: Option<Duration>,
    sent: Duration,
    unclear: bool,
}

impl<R> ScheduledRequest<R> {
    const fn new(request: R, cost: Cost, replay: Replay) -> Self {
        Self {
            request,
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

    fn end(self, now: Duration) -> Ended<R> {
        let elapsed = self.first_sent.map_or(Duration::ZERO, |sent| now.saturating_sub(sent));
        Ended { request: self.request, attempts: self.attempts, elapsed, unclear: self.unclear }
    }
}

impl<R> Scheduler<R> {
    /// Creates an empty scheduler with its own limiter.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let limiter = Arc::new(RateLimiter::new(&policy));
        Self::with_limiter(policy, limiter)
    }

    /// Creates an empty scheduler that shares its limits, and its clock, with all users of `limiter`.
    #[must_use]
    pub fn with_limiter(policy: Policy, limiter: Arc<dyn Limiter>) -> Self {
        Self {
            policy,
            limiter,
            failures_left: MAX_FAILURES,
            queued: VecDeque::new(),
            retries: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            passed: 0,
            refused_since: None,
            tickets: 0,
            finished: false,
            stopped: None,
        }
    }

    /// Adds a request.
    pub fn push(&mut self, request: R, cost: Cost, replay: Replay) {
        self.queued.push_back(ScheduledRequest::new(request, cost, replay));
    }

    /// Adds a request before all that have not been sent, such as a part of a request that was split.
    pub fn push_front(&mut self, request: R, cost: Cost, replay: Replay) {
        self.queued.push_front(ScheduledRequest::new(request, cost, replay));
    }

    /// Declares that there are no more requests.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Gives up requests that are not in flight. Those in flight can still end; [`Scheduler::abandoned`] returns the
    /// others.
    ///
    /// The first reason is kept, except that refused credentials replace [`Stop::NothingSucceeds`].
    pub fn stop(&mut self, why: Stop) {
        let is_better = (self.stopped, why) == (Some(Stop::NothingSucceeds), Stop::Credentials);
        if self.stopped.is_none() || is_better {
            self.stopped = Some(why);
        }
    }

    /// Why it was stopped, if it was.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.stopped
    }

    /// After it was stopped: returns the requests that were not sent, or not sent again.
    pub fn abandoned(&mut self, now: Duration) -> impl Iterator<Item = Ended<R>> {
        let all = self.stopped.is_some();
        let queued = if all { core::mem::take(&mut self.queued) } else { VecDeque::new() };
        let retries = if all { core::mem::take(&mut self.retries) } else { BTreeMap::new() };
        retries.into_values().chain(queued).map(move |task| task.end(now))
    }

    /// The number of requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The number of requests that have not been sent.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.len()
    }

    /// The end of a wait for all requests, if it is later than `now`.
    #[must_use]
    pub fn held_until(&self, now: Duration) -> Option<Duration> {
        self.limiter.held_until(now)
    }

    /// The request of a ticket, while it is in flight.
    #[must_use]
    pub fn request(&self, ticket: Ticket) -> Option<&R> {
        self.in_flight.get(&ticket.number).map(|task| &task.request)
    }

    /// The request of a ticket, mutably, to keep something between attempts.
    pub fn request_mut(&mut self, ticket: Ticket) -> Option<&mut R> {
        self.in_flight.get_mut(&ticket.number).map(|task| &mut task.request)
    }

    /// The request of a ticket, while it waits for its next attempt at that time.
    pub(crate) fn postponed(&self, at: Duration, ticket: Ticket) -> Option<&R> {
        self.retries.get(&(at, ticket.number)).map(|task| &task.request)
    }

    /// The number of the attempt, counted from 1.
    #[must_use]
    pub fn attempt(&self, ticket: Ticket) -> u32 {
        self.in_flight.get(&ticket.number).map_or(0, |task| task.attempts)
    }

    /// When the request of a ticket was sent.
    #[must_use]
    pub fn sent_at(&self, ticket: Ticket) -> Option<Duration> {
        self.in_flight.get(&ticket.number).map(|task| task.sent)
    }

    /// When another request of that cost could be sent, as far as is known; `None` while other requests wait, or while
    /// the maximum is in flight.
    #[must_use]
    pub fn ready_at(&self, now: Duration, cost: Cost) -> Option<Duration> {
        let is_idle = self.queued.is_empty() && self.retries.is_empty() && self.stopped.is_none();
        if is_idle { self.limiter.ready_at(now, cost) } else { None }
    }

    /// The cost of the next request, if only the limits prevent it from being sent.
    #[must_use]
    pub fn next_cost(&self, now: Duration) -> Option<Cost> {
        self.candidate(now).filter(|(due, _)| *due <= now).map(|(_, cost)| cost)
    }

    /// The time at which the next request is due, and its cost.
    fn candidate(&self, now: Duration) -> Option<(Duration, Cost)> {
        // A retry that is due goes before a new request, because it is older.
        let again = self.retries.first_key_value().map(|((due, _), task)| (*due, task.cost));
        // As many requests may wait for a retry as may be in flight. With more, no new request is started; otherwise an
        // outage would make the whole input wait in memory.
        let may_begin = self.retries.len() < self.policy.concurrency.max(1);
        let queued = self.queued.front().filter(|_| may_begin).map(|task| (now, task.cost));
        again.filter(|(due, _)| *due <= now).or(queued).or(again)
    }

    /// Returns what to do now.
    pub fn poll(&mut self, now: Duration) -> Step {
        let wait = |wants_input| Step::Wait { until: None, wants_input, reason: Reason::Event };
        if self.stopped.is_some() {
            return if self.in_flight.is_empty() { Step::Done } else { wait(false) };
        }
        let wants_input = !self.finished && self.queued.is_empty();
        let Some((due, cost)) = self.candidate(now) else {
            let is_done = self.finished && self.in_flight.is_empty();
            return if is_done { Step::Done } else { wait(wants_input) };
        };
        let (reason, earliest) = if due > now {
            (Reason::Retry, due)
        } else {
            match self.limiter.acquire(now, cost) {
                Ok(()) => return self.send(now),
                // A limiter that has no later time is not asked again without a pause.
                Err(reason) => (reason, now.saturating_add(Duration::from_micros(1))),
            }
        };
        let Some(ready) = self.limiter.ready_at(now.max(due), cost) else { return wait(wants_input) };
        let ready = ready.max(earliest);
        let held = self.limiter.held_until(now).is_some_and(|hold| hold >= ready);
        let reason = if held { Reason::Held } else { reason };
        // A demanded wait that is too long ends this run, whichever request or header demanded it.
        let demanded = ready.saturating_sub(now);
        if matches!(reason, Reason::Held | Reason::Quota) && demanded > self.policy.max_wait {
            self.stop(Stop::WaitTooLong { demanded });
            return self.poll(now);
        }
        // A retry that is due earlier may cost less, so check again at that time.
        let next_retry = self.retries.keys().next().map(|(due, _)| *due).filter(|due| *due > now);
        let until = next_retry.map_or(ready, |due| due.min(ready));
        Step::Wait { until: Some(until), wants_input, reason }
    }

    fn send(&mut self, now: Duration) -> Step {
        let is_due = self.retries.keys().next().is_some_and(|(due, _)| *due <= now);
        let task =
            if is_due { self.retries.pop_first().map(|(_, task)| task) } else { self.queued.pop_front() };
        let Some(mut task) = task else { unreachable!("there is a candidate") };
        task.attempts = task.attempts.saturating_add(1);
        if task.first_sent.is_none() {
            task.first_sent = Some(now);
            task.passed = self.passed;
        }
        task.sent = now;
        let ticket = Ticket { scope: 0, number: self.tickets };
        self.tickets += 1;
        self.in_flight.insert(ticket.number, task);
        Step::Send(ticket)
    }

    /// Reports the result of a request.
    ///
    /// # Panics
    ///
    /// If the ticket is not in flight: its result was reported before, or it belongs to another scheduler.
    #[track_caller]
    pub fn on_result(&mut self, now: Duration, ticket: Ticket, result: AttemptResult) -> Decision<R> {
        let task = self.in_flight.remove(&ticket.number);
        let Some(mut task) = task else { panic!("{ticket:?} is not in flight") };
        let hold = self.limiter.complete(now, task.sent, task.cost, result);
        self.learn(&mut task, result);
        let at = hold.unwrap_or_else(|| {
            let failures = task.failures.saturating_sub(1);
            now.saturating_add(self.policy.full_jitter(failures, self.limiter.random()))
        });
        let demanded = match result {
            AttemptResult::RateLimited { retry_after: Some(hint) }
            | AttemptResult::Unavailable { retry_after: Some(hint) } => hint,
            _ => at.saturating_sub(now),
        };
        if hold.is_some() && demanded > self.policy.max_wait {
            self.stop(Stop::WaitTooLong { demanded });
            return Decision::Ended(task.end(now));
        }
        if matches!(result, AttemptResult::RateLimited { .. }) {
            let refused_for = at.saturating_sub(*self.refused_since.get_or_insert(now));
            if refused_for > self.policy.max_wait {
                self.stop(Stop::WaitTooLong { demanded: refused_for });
            }
        }
        if !may_repeat(task.replay, result) {
            return Decision::Ended(task.end(now));
        }
        let tries = task.failures.saturating_add(task.stalled);
        if tries > self.policy.max_retries || task.refusals > MAX_REFUSALS {
            if self.failures_left == 0 {
                self.stop(Stop::NothingSucceeds);
            }
            return Decision::Ended(task.end(now));
        }
        if self.stopped.is_some() {
            return Decision::Ended(task.end(now));
        }
        self.retries.insert((at, ticket.number), task);
        Decision::Again { at, holds_all: hold.is_some_and(|hold| hold > now) }
    }

    /// Updates the retries of a request, and of others, with its result.
    fn learn(&mut self, task: &mut ScheduledRequest<R>, result: AttemptResult) {
        match result {
            // A request that was refused for its content was accepted by the rate limit.
            AttemptResult::Done | AttemptResult::Refused => {
                self.passed += 1;
                self.failures_left = (self.failures_left + FAILURES_PER_SUCCESS).min(MAX_FAILURES);
                self.refused_since = None;
            }
            AttemptResult::RateLimited { .. } => {
                task.refusals = task.refusals.saturating_add(1);
                task.stalled = if task.passed == self.passed { task.stalled.saturating_add(1) } else { 1 };
            }
            AttemptResult::Unavailable { .. } | AttemptResult::Unclear | AttemptResult::Lost { .. } => {
                self.failures_left = self.failures_left.saturating_sub(1);
                task.failures = task.failures.saturating_add(1);
                task.unclear |= match result {
                    AttemptResult::Lost { delivery, .. } => delivery != Delivery::NotSent,
                    _ => matches!(result, AttemptResult::Unclear),
                };
            }
        }
        task.passed = self.passed;
    }
}

impl<R> Drop for Scheduler<R> {
    fn drop(&mut self) {
        self.limiter.abandon(self.in_flight.len());
    }
}

/// Returns whether a request may be sent again after that result.
fn may_repeat(replay: Replay, result: AttemptResult) -> bool {
    let is_safe = replay == Replay::Safe;
    match result {
        AttemptResult::Done | AttemptResult::Refused => false,
        // A request above the rate limit was not processed.
        AttemptResult::RateLimited { .. } => true,
        AttemptResult::Unavailable { .. } | AttemptResult::Unclear => is_safe,
        AttemptResult::Lost { delivery, retryable } => {
            retryable && (is_safe || delivery == Delivery::NotSent)
        }
    }
}
