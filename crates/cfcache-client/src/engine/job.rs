use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Cost, Descriptor, Endpoint, Parts, PurgeCache, encode};
use cfcache_model::plan::{Batch, Entry, Planner};
use cfcache_model::verdict::Class;
use cfcache_transport::{Operation, Request, Response, TransportError};

use crate::codec::Codec;
use crate::engine::{AttemptResult, Decision, Ended, Limiter, Policy, Reason, Scheduler, Step, Stop, Ticket};
use crate::error::{Error, ErrorCause, ErrorKind};
use crate::event::{Event, Observer, Outcome, RecordError, Recording};
use crate::exchange::Try;
use crate::scope::PurgeScope;
use crate::summary::Summary;

/// The maximum number of outcomes that may wait to be recorded before sending stops.
pub const MAX_UNRECORDED: usize = 128;

/// How many times credentials that worked before are tried again after they are refused.
const CREDENTIAL_TRIES: u32 = 3;

/// After this many consecutive refusals because the zone is missing or the plan lacks something, the scope is given up.
const SAME_REFUSALS: u32 = 3;

/// After this many consecutive refusals of single entries for one reason, without any acceptance, the scope is given
/// up.
const SAME_ENTRY_REFUSALS: u32 = 10;

/// With several scopes, the maximum number of waiting batches per scope before reading of the input stops.
const QUEUED_PER_SCOPE: usize = 8;

/// What a job requires its driver to do now.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must do each of these")]
pub enum JobStep {
    /// Send this request, and report the result to [`PurgeJob::on_response`].
    Send(Ticket, Box<Request>),
    /// Record the outcome with this number ([`PurgeJob::outcome`]), and report the result to [`PurgeJob::on_recorded`].
    /// Outcomes are numbered over all scopes, in the order in which they ended; [`Outcome::number`] is another number.
    Record(u64),
    /// Wait until that time, or until a request ends or an outcome is recorded, whichever is first; if `wants_input`,
    /// also until there is more input.
    Wait {
        /// The time; `None` to wait only for events.
        until: Option<Duration>,
        /// Whether more input would be taken ([`PurgeJob::push`]).
        wants_input: bool,
    },
    /// The job is complete.
    Done,
}

/// A whole purge as a state machine: it splits entries into batches, sends them as fast as the limiter allows, retries,
/// splits batches that are refused because of one entry, and counts.
///
/// It does no IO and reads no clock. [`poll`](Self::poll) returns requests, [`on_response`](Self::on_response) takes
/// responses, and `now` is the time since a moment that all users of the limiter share.
/// [`Client::run`](crate::Client::run) runs it on tokio; `examples/sans_io.rs` uses no runtime.
///
/// - A job has one or more scopes: zones, environments, actions, kinds. They share the limiter, and take turns when the
///   rate limit is reached.
/// - Each entry that is pushed has exactly one result: in the [`Outcome`] of its batch, as a duplicate, or as skipped.
/// - Dropping the job cancels the requests in flight, and frees their slots in the limiter.
#[derive(Debug)]
pub struct PurgeJob<O> {
    codec: Arc<Codec>,
    limiter: Arc<dyn Limiter>,
    policy: Policy,
    observer: O,
    scopes: Vec<ScopeState>,
    /// The index of the scope whose turn it is.
    turn: usize,
    total: Summary,
    is_finished: bool,
    records: bool,
    /// Outcomes that have not been recorded.
    unrecorded: BTreeMap<u64, Box<Outcome>>,
    /// Those whose recording has not started.
    to_record: VecDeque<u64>,
    outcomes: u64,
    /// Whether it was reported that the limits are waited for.
    is_paced: bool,
    last_wait: Option<(Duration, Reason)>,
    in_flight: usize,
}

#[derive(Debug)]
struct ScopeState {
    scope: PurgeScope,
    descriptor: &'static Descriptor,
    /// The method and path of all requests.
    path: Parts,
    /// The batches are boxed because the scheduler moves them at each step.
    scheduler: Scheduler<Box<PendingBatch>>,
    planner: Planner,
    /// Since when the entries that do not fill a batch have been waiting only for more input.
    pending_since: Option<Duration>,
    numbers: u64,
    summary: Summary,
    is_told_stopped: bool,
    /// The reason of the last refusals, and how many in a row had it.
    refusals: (Option<(Class, u16, u32)>, u32),
}

/// A batch that is queued or in flight.
struct PendingBatch {
    number: u64,
    /// Whether its entries still count as unsent in the planner.
    is_unsent: bool,
    body: PurgeBody,
    /// The encoded body, which attempts share.
    json: Bytes,
    /// The error of the last attempt, if it failed.
    last_try: Option<Error>,
    /// Whether an attempt, of it or of the batch that it is a part of, ended without saying whether it was done.
    unclear: bool,
}

impl core::fmt::Debug for PendingBatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PendingBatch").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<O: Observer> PurgeJob<O> {
    /// Creates a job without input. `codec` encodes its requests, `observer` receives its events.
    #[must_use]
    pub fn new(
        codec: Arc<Codec>,
        limiter: Arc<dyn Limiter>,
        policy: Policy,
        scopes: impl IntoIterator<Item = PurgeScope>,
        observer: O,
    ) -> Self {
        let new = |scope: PurgeScope| {
            let empty = PurgeBody::Everything;
            let request = scope.request(&empty);
            let mut path = encode(&request);
            path.body = None;
            ScopeState {
                descriptor: request.descriptor(),
                path,
                scheduler: Scheduler::with_limiter(policy.clone(), Arc::clone(&limiter)),
                planner: Planner::new(scope.kind, scope.limits).with_dedupe(scope.dedupe),
                pending_since: None,
                numbers: 0,
                summary: Summary::default(),
                is_told_stopped: false,
                refusals: (None, 0),
                scope,
            }
        };
        let scopes = scopes.into_iter().map(new).collect();
        Self {
            codec,
            limiter,
            policy,
            observer,
            scopes,
            turn: 0,
            total: Summary::default(),
            is_finished: false,
            records: false,
            unrecorded: BTreeMap::new(),
            to_record: VecDeque::new(),
            outcomes: 0,
            is_paced: false,
            last_wait: None,
            in_flight: 0,
        }
    }

    /// Requires each outcome to be recorded before it counts ([`JobStep::Record`]).
    #[must_use]
    pub const fn with_recording(mut self) -> Self {
        self.records = true;
        self
    }

    /// The summary of each scope, in their order.
    #[must_use]
    pub fn summaries(&self) -> Vec<Summary> {
        self.scopes.iter().map(|scope| scope.summary).collect()
    }

    /// The sum over all scopes so far.
    pub const fn total(&self) -> Summary {
        self.total
    }

    /// The observer.
    pub const fn observer(&self) -> &O {
        &self.observer
    }

    /// The observer, mutably.
    pub const fn observer_mut(&mut self) -> &mut O {
        &mut self.observer
    }

    /// Adds entries of a scope.
    ///
    /// # Panics
    ///
    /// If there is no such scope.
    pub fn push(&mut self, now: Duration, scope: usize, mut entries: Vec<Entry>) {
        let state = &mut self.scopes[scope];
        let count = entries.len() as u64;
        let mut misplaced = Vec::new();
        if entries.iter().any(|entry| entry.target.kind() != state.scope.kind) {
            let mut next = state.planner.pushed();
            misplaced.extend(entries.extract_if(.., |entry| {
                let is_misplaced = entry.target.kind() != state.scope.kind;
                entry.ordinal = next;
                next += u64::from(!is_misplaced);
                is_misplaced
            }));
        }
        // All entries have the right kind at this point.
        let planned = state.planner.push_all(entries).unwrap_or_default();
        state.summary.items += count;
        state.summary.duplicates += planned.duplicates.len() as u64;
        self.total.items += count;
        self.total.duplicates += planned.duplicates.len() as u64;
        // `Read` comes before all other events about these entries, so that no other count can exceed it.
        self.observer.on(Event::Read { scope, entries: count });
        if !planned.duplicates.is_empty() {
            self.observer.on(Event::Duplicates { scope, entries: &planned.duplicates });
        }
        if !planned.batches.is_empty() || state.pending_since.is_none() {
            state.pending_since = (state.planner.pending() > 0).then_some(now);
        }
        planned.batches.into_iter().for_each(|batch| self.enqueue(scope, batch));
        misplaced.into_iter().for_each(|entry| self.refuse(scope, entry));
        self.progress();
    }

    /// Declares that there is no more input.
    pub fn finish(&mut self) {
        self.is_finished = true;
        for scope in 0..self.scopes.len() {
            self.flush(scope);
            self.scopes[scope].scheduler.finish();
        }
    }

    /// Gives up everything that has not been sent. Requests in flight can still end; then [`poll`](Self::poll) returns
    /// `Done`.
    pub fn stop(&mut self, why: Stop) {
        self.scopes.iter_mut().for_each(|state| state.scheduler.stop(why));
    }

    /// Returns what to do now.
    pub fn poll(&mut self, now: Duration) -> JobStep {
        loop {
            if let Some(outcome) = self.to_record.pop_front() {
                return JobStep::Record(outcome);
            }
            // Ended batches are reported first, then the reason of a stop, then the batches that were given up.
            self.tell_stops();
            (0..self.scopes.len()).for_each(|scope| self.abandon(now, scope));
            if !self.to_record.is_empty() {
                continue;
            }
            let wants_input = self.wants_input();
            let flush_at = if wants_input { self.flush_at(now) } else { None };
            if let Some((due, scope)) = flush_at
                && due <= now
            {
                self.flush(scope);
                continue;
            }
            let flush_at = flush_at.map(|(due, _)| due);
            if self.unrecorded.len() >= MAX_UNRECORDED && !self.is_stopped() {
                self.tell_wait(now, None, Reason::Recording);
                return JobStep::Wait { until: None, wants_input: false };
            }
            match self.next(now) {
                Some((scope, Step::Send(ticket))) => match self.prepare(now, scope, ticket) {
                    Some(step) => return step,
                    None => continue,
                },
                // A scope was stopped.
                None => {}
                Some((_, Step::Wait { until, reason, .. })) => {
                    self.tell_wait(now, until, reason);
                    let until = until.into_iter().chain(flush_at).min();
                    return JobStep::Wait { until, wants_input };
                }
                Some((_, Step::Done)) if self.unrecorded.is_empty() => return JobStep::Done,
                Some((_, Step::Done)) => return JobStep::Wait { until: None, wants_input: false },
            }
        }
    }

    /// Asks the scopes for their next step, starting with the one whose turn it is. Returns the scope that sends, and
    /// the combined step of all scopes; `None` if a scope was stopped.
    fn next(&mut self, now: Duration) -> Option<(usize, Step)> {
        let mut first: Option<(Option<Duration>, Reason)> = None;
        let mut is_done = true;
        // If a scope waits for tokens of a bucket, no other scope may take tokens from it.
        let mut is_short = [false; 2];
        for offset in 0..self.scopes.len() {
            let scope = (self.turn + offset) % self.scopes.len();
            let scheduler = &mut self.scopes[scope].scheduler;
            let bucket = scheduler.next_cost(now).map(bucket_number);
            if bucket.is_some_and(|bucket| is_short[bucket]) {
                is_done = false;
                continue;
            }
            let stopped = scheduler.stopped();
            let step = scheduler.poll(now);
            if scheduler.stopped() != stopped {
                // A wait that is too long applies to all scopes.
                if let Some(stop) = scheduler.stopped() {
                    self.stop(stop);
                }
                return None;
            }
            match step {
                Step::Send(_) => {
                    self.turn = (scope + 1) % self.scopes.len();
                    return Some((scope, step));
                }
                Step::Wait { until, reason, .. } => {
                    is_done = false;
                    if let Some(bucket) = bucket {
                        is_short[bucket] = true;
                    }
                    first = match (first, until) {
                        (Some((Some(known), reason)), Some(until)) if known <= until => {
                            Some((Some(known), reason))
                        }
                        (Some(known), None) => Some(known),
                        _ => Some((until, reason)),
                    };
                }
                Step::Done => {}
            }
        }
        if is_done {
            return Some((self.turn, Step::Done));
        }
        let (until, reason) = first.unwrap_or((None, Reason::Event));
        Some((self.turn, Step::Wait { until, wants_input: false, reason }))
    }

    fn is_stopped(&self) -> bool {
        self.scopes.iter().all(|state| state.scheduler.stopped().is_some())
    }

    fn wants_input(&self) -> bool {
        if self.is_finished || self.is_stopped() {
            return false;
        }
        let queued: usize = self.scopes.iter().map(|state| state.scheduler.queued()).sum();
        let is_any_idle = || {
            let mut live = self.scopes.iter().filter(|state| state.scheduler.stopped().is_none());
            live.any(|state| state.scheduler.queued() == 0)
        };
        queued == 0 || self.scopes.len() > 1 && queued < QUEUED_PER_SCOPE * self.scopes.len() && is_any_idle()
    }

    /// When the incomplete batch that has waited longest for more entries is sent, and its scope. This is not before it
    /// could be sent.
    fn flush_at(&self, now: Duration) -> Option<(Duration, usize)> {
        let of = |(scope, state): (usize, &ScopeState)| {
            let (since, patience) = (state.pending_since?, state.scope.patience?);
            let cost = Cost::new(state.scope.kind, state.planner.pending());
            let ready = state.scheduler.ready_at(now, cost)?;
            Some((ready.max(since.saturating_add(patience)), scope))
        };
        self.scopes.iter().enumerate().filter_map(of).min()
    }

    /// Turns the entries that do not fill a batch into one. After the limit was lowered, they may be several.
    fn flush(&mut self, scope: usize) {
        self.scopes[scope].pending_since = None;
        while let Some(rest) = self.scopes[scope].planner.finish() {
            self.enqueue(scope, rest);
        }
    }

    /// Passes a batch to the scheduler, without the entries that were accepted before.
    fn enqueue(&mut self, scope: usize, batch: Batch) {
        let state = &mut self.scopes[scope];
        let accepted = &state.scope.accepted;
        let rest = if accepted.is_empty() {
            Ok(batch)
        } else {
            let is_accepted = |entry: &Entry| accepted.contains(entry.ordinal);
            let (skipped, rest): (Vec<Entry>, Vec<Entry>) =
                batch.entries().iter().cloned().partition(is_accepted);
            if !skipped.is_empty() {
                // Entries that are not sent must not hide equal ones that come later.
                state.planner.sent(&skipped);
                state.summary.skipped += skipped.len() as u64;
                self.total.skipped += skipped.len() as u64;
                self.observer.on(Event::Skipped { scope, entries: &skipped });
            }
            Batch::from_targets(rest)
        };
        if let Ok(batch) = rest {
            let (cost, mut pending) = state.pack(batch);
            pending.is_unsent = true;
            state.scheduler.push(pending, cost, state.descriptor.replay);
        }
    }

    /// Handles an entry of a kind other than its scope's, which is a bug of the caller: it is not sent, but it is
    /// reported.
    fn refuse(&mut self, scope: usize, entry: Entry) {
        let state = &mut self.scopes[scope];
        let cause = ErrorCause::Misplaced { expected: state.scope.kind, found: entry.target.kind() };
        let Ok(batch) = Batch::from_targets([entry]) else { return };
        let result = Err(Error::new(state.descriptor, cause));
        let number = state.number();
        self.complete(Outcome { scope, number, batch, attempts: 0, elapsed: Duration::ZERO, result });
    }

    /// Encodes a request to send; returns `None` if it cannot be encoded, which ends it.
    fn prepare(&mut self, now: Duration, scope: usize, ticket: Ticket) -> Option<JobStep> {
        let state = &mut self.scopes[scope];
        let attempt = state.scheduler.attempt(ticket);
        // Entries that do not fill a batch have been waiting for this request until now.
        state.pending_since = state.pending_since.map(|_| now);
        let pending = state.scheduler.request_mut(ticket)?;
        if core::mem::take(&mut pending.is_unsent)
            && let PurgeBody::Batch(batch) = &pending.body
        {
            state.planner.sent(batch.entries());
        }
        let operation =
            Operation::new(state.descriptor.name).with_batch(pending.number).with_attempt(attempt);
        let message = self.codec.request(&state.path, Some(pending.json.clone()));
        match message {
            Ok(message) => {
                self.in_flight += 1;
                self.observer.on(Event::Sent { in_flight: self.in_flight });
                let ticket = Ticket { scope, ..ticket };
                Some(JobStep::Send(ticket, Box::new(Request::new(operation, message))))
            }
            // Cannot happen, because the path is made of newtypes; handled nonetheless.
            Err(error) => {
                if let Decision::Ended(ended) = state.scheduler.on_result(now, ticket, AttemptResult::Refused)
                {
                    let error = Error::new(state.descriptor, ErrorCause::Unwritable(error));
                    let result = Err(error.with_attempts(&ended));
                    self.end(scope, ended, result);
                }
                None
            }
        }
    }

    /// Takes the result of a request.
    ///
    /// # Panics
    ///
    /// If the request is not in flight.
    pub fn on_response(&mut self, now: Duration, ticket: Ticket, response: Result<Response, TransportError>) {
        let scope = ticket.scope;
        let state = &mut self.scopes[scope];
        let attempt = state.scheduler.attempt(ticket);
        let sent = state.scheduler.sent_at(ticket).unwrap_or(now);
        let Some(pending) = state.scheduler.request(ticket) else { panic!("{ticket:?} is not in flight") };
        self.in_flight -= 1;
        let operation =
            Operation::new(state.descriptor.name).with_batch(pending.number).with_attempt(attempt);
        let mut reply = None::<<PurgeCache<'_> as Endpoint>::Reply>;
        let this_try = Try {
            endpoint: state.descriptor,
            codec: &self.codec,
            limiter: &*self.limiter,
            parts: &state.path,
            body_bytes: pending.json.len(),
            operation: &operation,
            elapsed: now.saturating_sub(sent),
        };
        let mut counted = Summary::default();
        let (mut result, parsed) = this_try.parse(&mut reply, response, &mut self.observer, &mut counted);
        state.summary += counted;
        self.total += counted;
        // Credentials that worked before and were suddenly refused were observed to work again shortly after
        // (<https://github.com/MuckRock/documentcloud/issues/460>, <https://github.com/cloudflare/workers-sdk/issues/13854>).
        if state.summary.accepted > 0
            && attempt <= CREDENTIAL_TRIES
            && let Err(error) = &parsed
            && error.failure().is_some_and(|failure| failure.class == Class::Credentials)
        {
            result = AttemptResult::Unavailable { retry_after: None };
        }
        if let Some(pending) = state.scheduler.request_mut(ticket) {
            // This error is final if no further attempt is made.
            pending.last_try = parsed.err();
            pending.unclear |= pending.last_try.as_ref().is_some_and(Error::is_answer_unclear);
        }
        match state.scheduler.on_result(now, ticket, result) {
            Decision::Again { at, holds_all } => {
                let wait = at.saturating_sub(now);
                let tries = self.policy.max_retries.saturating_add(1);
                let pending = state.scheduler.postponed(at, ticket);
                if let Some(error) = pending.and_then(|pending| pending.last_try.as_ref()) {
                    let cause = &error.cause;
                    self.observer.on(Event::Retrying { wait, holds_all, attempt, tries, cause });
                }
            }
            Decision::Ended(mut ended) => {
                ended.unclear |= ended.request.unclear;
                let result = match ended.request.last_try.take() {
                    Some(error) => Err(error.with_attempts(&ended)),
                    None => Ok(()),
                };
                self.end(scope, ended, result);
            }
        }
        // A wait that is too long applies to all scopes.
        if let Some(stop @ Stop::WaitTooLong { .. }) = self.scopes[scope].scheduler.stopped() {
            self.stop(stop);
        }
        self.progress();
    }

    fn end(&mut self, scope: usize, ended: Ended<Box<PendingBatch>>, result: Result<(), Error>) {
        let Ended { request, attempts, elapsed, .. } = ended;
        let PendingBatch { number, body, .. } = *request;
        let PurgeBody::Batch(batch) = body else { return };
        if let Err(error) = &result
            && self.split(scope, &batch, error)
        {
            return;
        }
        let stop = match &result {
            // A permission that is missing for one request is missing for all.
            Err(error) if error.kind() == ErrorKind::Credentials => Some(Stop::Credentials),
            Err(error) => self.scopes[scope].repeats(error).then_some(Stop::SameRefusal),
            Ok(()) => {
                self.scopes[scope].refusals = (None, 0);
                None
            }
        };
        self.complete(Outcome { scope, number, batch, attempts, elapsed, result });
        if let Some(stop) = stop {
            self.scopes[scope].scheduler.stop(stop);
        }
    }

    /// Splits a batch that was refused because of one entry or because of its size, and queues the parts.
    fn split(&mut self, scope: usize, batch: &Batch, error: &Error) -> bool {
        let state = &mut self.scopes[scope];
        let Some(failure) = error.failure() else { return false };
        let is_too_many = failure.class == Class::TooMany;
        if !(is_too_many || failure.class == Class::BadEntry) || state.scheduler.stopped().is_some() {
            return false;
        }
        let Some((first, second)) = batch.split() else { return false };
        if is_too_many {
            // The enforced limit is smaller than the published one; remember it.
            state.planner.set_items(first.len().min(state.planner.limits().items));
        }
        self.observer.on(Event::Split { entries: batch.len() });
        // The last part is pushed first, so that they are sent in order.
        let mut parts = Vec::from([first, second]);
        while let Some(part) = parts.pop() {
            match part.split().filter(|_| part.len() > state.planner.limits().items) {
                Some((first, second)) => parts.extend([first, second]),
                None => {
                    let (cost, mut pending) = state.pack(part);
                    pending.unclear = error.unclear;
                    state.scheduler.push_front(pending, cost, state.descriptor.replay);
                }
            }
        }
        true
    }

    /// Fails everything that was not sent of a stopped scope.
    fn abandon(&mut self, now: Duration, scope: usize) {
        let Some(stop) = self.scopes[scope].scheduler.stopped() else { return };
        // Entries that do not fill a batch are part of the job.
        if self.scopes[scope].planner.pending() > 0 {
            self.flush(scope);
        }
        let state = &mut self.scopes[scope];
        let abandoned: Vec<_> = state.scheduler.abandoned(now).collect();
        if abandoned.is_empty() {
            return;
        }
        for mut ended in abandoned {
            ended.unclear |= ended.request.unclear;
            let last_try = ended.request.last_try.take().map(|error| Box::new(error.cause));
            let descriptor = self.scopes[scope].descriptor;
            let error = Error::new(descriptor, ErrorCause::Stopped(stop)).with_attempts(&ended);
            let error = Error { last_try, ..error };
            let PurgeBody::Batch(batch) = ended.request.body else { continue };
            let (attempts, elapsed) = (ended.attempts, ended.elapsed);
            let number = ended.request.number;
            self.complete(Outcome { scope, number, batch, attempts, elapsed, result: Err(error) });
        }
        self.progress();
    }

    /// Ends a batch, which then waits to be recorded if necessary.
    fn complete(&mut self, outcome: Outcome) {
        if self.records {
            self.to_record.push_back(self.outcomes);
            self.unrecorded.insert(self.outcomes, Box::new(outcome));
            self.outcomes += 1;
        } else {
            self.count(&outcome);
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        let entries = outcome.batch.len() as u64;
        for summary in [&mut self.scopes[outcome.scope].summary, &mut self.total] {
            summary.batches += 1;
            if outcome.result.is_ok() {
                summary.accepted += entries;
            } else {
                summary.failed += entries;
            }
        }
        self.observer.on(Event::Ended(outcome));
    }

    /// The outcome with the number of a [`JobStep::Record`], as long as it has not been recorded.
    #[must_use]
    pub fn outcome(&self, number: u64) -> Option<&Outcome> {
        self.unrecorded.get(&number).map(Box::as_ref)
    }

    /// Starts recording an outcome ([`Observer::record`]); `None` if there is nothing to wait for.
    pub fn record(&mut self, number: u64) -> Option<Recording> {
        let outcome = self.unrecorded.get(&number)?;
        self.observer.record(outcome)
    }

    /// Reports whether an outcome was recorded.
    pub fn on_recorded(&mut self, number: u64, result: Result<(), RecordError>) {
        let Some(mut outcome) = self.unrecorded.remove(&number) else { return };
        let descriptor = self.scopes[outcome.scope].descriptor;
        let is_recorded = result.is_ok();
        if let Err(source) = result
            && outcome.result.is_ok()
        {
            let (attempts, elapsed) = (outcome.attempts, outcome.elapsed);
            let cause = ErrorCause::Unrecorded(source);
            outcome.result = Err(Error { attempts, elapsed, ..Error::new(descriptor, cause) });
        }
        self.count(&outcome);
        if !is_recorded {
            self.stop(Stop::Observer);
        }
        self.progress();
    }

    /// Reports once for each scope that it was stopped.
    fn tell_stops(&mut self) {
        let mut news = Vec::new();
        for (scope, state) in self.scopes.iter_mut().enumerate() {
            if let Some(stop) = state.scheduler.stopped()
                && !core::mem::replace(&mut state.is_told_stopped, true)
            {
                news.push((scope, stop));
            }
        }
        if news.len() == self.scopes.len() {
            if let Some((_, stop)) = news.first() {
                self.observer.on(Event::Stopped { scope: None, stop: *stop });
            }
            return;
        }
        for (scope, stop) in news {
            self.observer.on(Event::Stopped { scope: Some(scope), stop });
        }
    }

    /// Reports each wait once.
    fn tell_wait(&mut self, now: Duration, until: Option<Duration>, reason: Reason) {
        let Some(until) = until.filter(|until| *until > now) else { return };
        if self.last_wait.replace((until, reason)) == Some((until, reason)) {
            return;
        }
        let wait = until - now;
        let is_limits = matches!(reason, Reason::Paced | Reason::Quota);
        if is_limits && !core::mem::replace(&mut self.is_paced, true) {
            self.observer.on(Event::Paced { wait });
        }
        self.observer.on(Event::Waiting { wait, reason });
    }

    fn progress(&mut self) {
        self.observer.on(Event::Progress { summary: &self.total, in_flight: self.in_flight });
    }
}

/// The index of the limiter's bucket that a request uses.
fn bucket_number(cost: Cost) -> usize {
    usize::from(matches!(cost, Cost::Urls(_)))
}

impl ScopeState {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers - 1
    }

    fn pack(&mut self, batch: Batch) -> (Cost, Box<PendingBatch>) {
        let number = self.number();
        let body = PurgeBody::Batch(batch);
        let json = Bytes::from(body.to_json());
        let cost = body.cost();
        let pending = PendingBatch { number, is_unsent: false, body, json, last_try: None, unclear: false };
        (cost, Box::new(pending))
    }

    /// Counts a refusal. Returns whether so many in a row had the same reason that the rest would probably be refused
    /// too.
    fn repeats(&mut self, error: &Error) -> bool {
        let Some(failure) = error.failure() else { return false };
        let reason = (failure.class, failure.status, failure.code());
        let (last, count) = &mut self.refusals;
        *count = if *last == Some(reason) { *count + 1 } else { 1 };
        *last = Some(reason);
        match failure.class {
            Class::BadEntry | Class::TooMany => self.summary.accepted == 0 && *count >= SAME_ENTRY_REFUSALS,
            Class::Missing | Class::Plan => *count >= SAME_REFUSALS,
            // If a refusal is not known to concern the zone, other entries may still be accepted.
            _ => false,
        }
    }
}
