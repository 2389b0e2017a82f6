use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cfcache_model::endpoint::Cost;
use cfcache_model::limits::{GLOBAL, PurgeLimits, Rate};

use crate::engine::backoff::{entropy, random};
use crate::engine::bucket::Bucket;
use crate::engine::sliding_window::SlidingWindow;
use crate::engine::{AttemptResult, Policy, Reason};

/// How many requests may be in flight directly after a hold. The number grows by one with each accepted request.
///
/// Otherwise all waiting requests would be sent at once to a server that has just reported overload. It is more than
/// one so that one hanging request does not delay all others.
const AFTER_HOLD: usize = 4;

/// The fraction by which the used rate is below the published one, because clocks differ.
const MARGIN: f64 = 0.005;

/// The fraction of the global quota that is left for other users of the account.
const GLOBAL_RESERVE_SHARE: f64 = 0.02;

/// The window of the global quota is assumed to be longer by this, so that it covers the server's window.
const GLOBAL_RESERVE: Duration = Duration::from_secs(1);

/// The lowest fraction of the published rate to which a bucket is slowed down.
const SLOWEST: f64 = 1.0 / 64.0;

/// A bucket that was slowed down returns to its published rate after this long without a refusal, or after this many of
/// its largest requests at the learned rate, whichever is later.
const RECOVERY_SECONDS: f64 = 30.0;
const RECOVERY_UNITS: f64 = 60.0;

/// A rate is learned from at least this many of the largest requests, over at least this many seconds.
const LESSON_UNITS: f64 = 8.0;
const LESSON_SECONDS: f64 = 1.0;

/// After a refusal, a bucket allows a burst of at most this many seconds' worth and two of its largest requests.
const CALM_SECONDS: f64 = 1.0;

/// Decides when requests may be sent. [`RateLimiter`] implements the limits of the API. A program whose limits are kept
/// elsewhere (in a database that several processes share) implements its own.
///
/// One limiter is shared by everything that uses one account's limits. `now` is the time since a moment that all users
/// of the limiter share. No method waits.
pub trait Limiter: fmt::Debug + Send + Sync {
    /// Takes the cost of a request from the limits, and one of the slots for requests in flight.
    ///
    /// # Errors
    ///
    /// The [`Reason`] if the request may not be sent now. [`ready_at`](Self::ready_at) returns when it may be.
    fn acquire(&self, now: Duration, cost: Cost) -> Result<(), Reason>;

    /// When a request of that cost could be sent, as far as is known; `None` if another request has to end first. The
    /// engine calls [`acquire`](Self::acquire) again at the returned time, which should be later than `now` if
    /// [`acquire`](Self::acquire) has just refused the request.
    fn ready_at(&self, now: Duration, cost: Cost) -> Option<Duration>;

    /// Frees the slot of a request that was sent at `sent`, and learns from its result. If the server demands that all
    /// requests wait, returns until when; this applies to all users of the limiter.
    fn complete(&self, now: Duration, sent: Duration, cost: Cost, result: AttemptResult) -> Option<Duration>;

    /// Frees the slots of requests that were cancelled.
    fn abandon(&self, requests: usize);

    /// The end of a wait that the server demanded for all requests, if it is later than `now`.
    fn held_until(&self, now: Duration) -> Option<Duration>;

    /// Sets the global quota that the server's headers contain, if it differs from the published one.
    fn set_global_quota(&self, quota: Rate);

    /// Uses the limits of another plan from now on.
    fn set_limits(&self, now: Duration, limits: Option<PurgeLimits>);

    /// A random number for jitter, so that requests that failed together are not retried together.
    fn random(&self) -> u64;

    /// The minimum time until `requests` further requests of that cost have been sent; zero if it is not known.
    fn time_for(&self, now: Duration, cost: Cost, requests: u64) -> Duration {
        let _ = (now, cost, requests);
        Duration::ZERO
    }

    /// A number that changes whenever a refused request may be allowed earlier than [`ready_at`](Self::ready_at)
    /// returned.
    fn version(&self) -> u64;

    /// Ready once [`version`](Self::version) differs from `seen`; otherwise wakes the task when it does.
    fn poll_changed(&self, seen: u64, context: &mut Context<'_>) -> Poll<()>;
}

/// Limits requests by the rules of the API: starts with the published limits, and adapts if the server enforces others.
///
/// - Requests of the flexible kinds and URLs of single files each have a token bucket. The API's global quota applies
///   to calls and the flexible kinds only: Cloudflare's staff said in 2022 that purging by URL was removed from it
///   (<https://github.com/cloudflare/cloudflare-docs/issues/5458>), and the published URL rates could not be reached
///   within it.
/// - At most [`Policy::concurrency`] requests are in flight, for all users of the limiter.
/// - A wait that the server demands applies to all requests, whichever request got the demand.
///
/// Clones share one state.
#[derive(Clone)]
pub struct RateLimiter {
    state: Arc<Mutex<LimiterState>>,
}

struct LimiterState {
    /// The policy in effect.
    policy: Policy,
    /// The buckets of the flexible kinds and of URLs, if there are rate limits.
    buckets: Option<[PacedBucket; 2]>,
    global: SlidingWindow,
    /// Whether the server stated the global quota.
    is_quota_stated: bool,
    in_flight: usize,
    /// The current maximum of requests in flight; lower than that of the policy after a hold.
    room: usize,
    /// When the last hold of all requests started, and when it ends.
    hold: (Duration, Duration),
    /// The last wait that was chosen because the server did not specify one.
    last_guess: Option<Duration>,
    /// The state of the random numbers for jitter.
    random: u64,
    version: u64,
    wakers: Vec<Waker>,
}

impl RateLimiter {
    /// Creates a limiter with the concurrency, the limits and the backoff of `policy`.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let state = LimiterState {
            policy: policy.clone(),
            buckets: policy.limits.map(buckets),
            global: SlidingWindow::new(reserved(GLOBAL)),
            is_quota_stated: false,
            in_flight: 0,
            room: usize::MAX,
            hold: (Duration::ZERO, Duration::ZERO),
            last_guess: None,
            random: policy.seed.unwrap_or_else(entropy),
            version: 0,
            wakers: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        // No code in here can panic half-way, so the state behind a poisoned lock is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state in a way that may let a waiting request continue earlier.
    fn change<T>(&self, change: impl FnOnce(&mut LimiterState) -> T) -> T {
        let (result, wakers) = {
            let mut state = self.state();
            let result = change(&mut state);
            state.version += 1;
            (result, core::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        result
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("RateLimiter")
            .field("concurrency", &state.policy.concurrency)
            .field("in_flight", &state.in_flight)
            .field("hold", &state.hold.1)
            .finish_non_exhaustive()
    }
}

impl Limiter for RateLimiter {
    fn acquire(&self, now: Duration, cost: Cost) -> Result<(), Reason> {
        self.state().acquire(now, cost)
    }

    fn ready_at(&self, now: Duration, cost: Cost) -> Option<Duration> {
        let mut state = self.state();
        (state.in_flight < state.most_in_flight()).then(|| state.ready_at(now, cost).0)
    }

    fn complete(&self, now: Duration, sent: Duration, cost: Cost, result: AttemptResult) -> Option<Duration> {
        self.change(|state| {
            state.in_flight = state.in_flight.saturating_sub(1);
            state.learn(now, sent, cost, result)
        })
    }

    fn abandon(&self, requests: usize) {
        if requests > 0 {
            self.change(|state| state.in_flight = state.in_flight.saturating_sub(requests));
        }
    }

    fn held_until(&self, now: Duration) -> Option<Duration> {
        self.state().held_until(now)
    }

    fn set_global_quota(&self, quota: Rate) {
        let mut state = self.state();
        state.is_quota_stated = true;
        state.global.set_rate(reserved(quota));
    }

    /// Earlier requests count against the new limits as well; the rates that the server enforces are learned again.
    fn set_limits(&self, now: Duration, limits: Option<PurgeLimits>) {
        self.change(|state| {
            let mut buckets = limits.map(buckets);
            for (new, old) in buckets.iter_mut().flatten().zip(state.buckets.iter().flatten()) {
                new.inherit(now, old);
            }
            state.policy.limits = limits;
            state.buckets = buckets;
        });
    }

    fn random(&self) -> u64 {
        random(&mut self.state().random)
    }

    fn time_for(&self, now: Duration, cost: Cost, requests: u64) -> Duration {
        let mut state = self.state();
        let held = state.hold.1.saturating_sub(now);
        let bucket =
            state.bucket(cost).map(|(bucket, cost)| bucket.bucket.time_for(now, cost * requests as f64));
        let global = state.global(cost).map(|global| global.time_for(now, requests));
        held.max(bucket.unwrap_or_default()).max(global.unwrap_or_default())
    }

    fn version(&self) -> u64 {
        self.state().version
    }

    fn poll_changed(&self, seen: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.version != seen {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl LimiterState {
    fn most_in_flight(&self) -> usize {
        self.policy.concurrency.min(self.room).max(1)
    }

    fn acquire(&mut self, now: Duration, cost: Cost) -> Result<(), Reason> {
        if self.in_flight >= self.most_in_flight() {
            return Err(Reason::Event);
        }
        if let Some((bucket, _)) = self.bucket(cost) {
            bucket.recover(now);
        }
        let (ready, reason) = self.ready_at(now, cost);
        if ready > now {
            return Err(reason);
        }
        if let Some((bucket, cost)) = self.bucket(cost) {
            bucket.bucket.take(now, cost);
        }
        if let Some(global) = self.global(cost) {
            global.take(now);
        }
        self.in_flight += 1;
        Ok(())
    }

    fn held_until(&self, now: Duration) -> Option<Duration> {
        Some(self.hold.1).filter(|hold| *hold > now)
    }

    fn ready_at(&mut self, now: Duration, cost: Cost) -> (Duration, Reason) {
        let stated = if self.is_quota_stated { Reason::Quota } else { Reason::Paced };
        let bucket = self.bucket(cost).map(|(bucket, cost)| bucket.bucket.ready_at(now, cost));
        let global = self.global(cost).map(|global| global.ready_at(now));
        let mut ready = (now, Reason::Paced);
        for (at, reason) in [(bucket, Reason::Paced), (global, stated), (self.held_until(now), Reason::Held)]
        {
            if let Some(at) = at.filter(|at| *at >= ready.0) {
                ready = (at, reason);
            }
        }
        ready
    }

    /// The bucket that a request uses, and how many tokens it takes.
    fn bucket(&mut self, cost: Cost) -> Option<(&mut PacedBucket, f64)> {
        let [flexible, urls] = self.buckets.as_mut()?;
        match cost {
            Cost::Urls(count) => Some((urls, count as f64)),
            Cost::Flexible => Some((flexible, 1.0)),
            _ => None,
        }
    }

    /// The global quota, if the request counts against it and there are rate limits.
    fn global(&mut self, cost: Cost) -> Option<&mut SlidingWindow> {
        let counts = !matches!(cost, Cost::Urls(_)) && self.buckets.is_some();
        counts.then_some(&mut self.global)
    }

    /// Learns from the result of a request what applies to all requests; returns the end of a hold, if there is one.
    fn learn(
        &mut self,
        now: Duration,
        sent: Duration,
        cost: Cost,
        result: AttemptResult,
    ) -> Option<Duration> {
        if let Some((bucket, _)) = self.bucket(cost) {
            bucket.bucket.answered(now, sent);
        }
        let hint = match result {
            AttemptResult::Done | AttemptResult::Refused => {
                // A request that was refused for its content was accepted by the rate limit.
                self.last_guess = None;
                if let Some((bucket, cost)) = self.bucket(cost) {
                    bucket.passed(cost);
                }
                if sent >= self.hold.1 {
                    self.room = self.room.saturating_add(1);
                }
                return None;
            }
            AttemptResult::RateLimited { retry_after } => {
                if let Some((bucket, _)) = self.bucket(cost) {
                    bucket.refused(now, sent);
                }
                retry_after
            }
            AttemptResult::Unavailable { retry_after } => retry_after,
            AttemptResult::Unclear | AttemptResult::Lost { .. } => None,
        };
        // A `Retry-After` of zero specifies no wait.
        let until = match hint.filter(|hint| !hint.is_zero()) {
            Some(hint) => now.saturating_add(hint),
            None if matches!(result, AttemptResult::RateLimited { .. }) => self.guess_hold(now, sent),
            None => return None,
        };
        // A late refusal of a request that was sent before a hold that is over starts no new hold.
        if until > now && until > self.hold.1 {
            self.hold = (now, until);
            self.room = AFTER_HOLD;
        }
        Some(until)
    }

    /// Handles "too many requests" without a wait; refusals of requests that were in flight together start only one
    /// hold.
    fn guess_hold(&mut self, now: Duration, sent: Duration) -> Duration {
        if let Some(held) = self.held_until(now) {
            return held;
        }
        let (held_at, _) = self.hold;
        if !held_at.is_zero() && sent <= held_at {
            return now;
        }
        let guess = self.policy.decorrelated(self.last_guess, random(&mut self.random));
        self.last_guess = Some(guess);
        now.saturating_add(guess)
    }
}

/// The global quota, minus the part that is left for others.
fn reserved(rate: Rate) -> Rate {
    let count = (f64::from(rate.count) * (1.0 - GLOBAL_RESERVE_SHARE)) as u32;
    Rate { count: count.max(1), per: rate.per.saturating_add(GLOBAL_RESERVE) }
}

/// The buckets of the flexible kinds and of URLs.
fn buckets(limits: PurgeLimits) -> [PacedBucket; 2] {
    let flexible = PacedBucket::new(limits.flexible_requests, limits.flexible_burst, 1.0);
    // The published number is a moving average; a burst of one second's worth is our interpretation.
    let urls = PacedBucket::new(limits.urls, limits.urls.count, limits.urls_per_request as f64);
    [flexible, urls]
}

/// One limit: a bucket at the published rate, which is slowed down if the server enforces less.
///
/// The enforced rate is measured between two refusals: each means that the server's bucket is empty, so the server
/// accepts in between what its bucket refills. The first refusal says little (usually another program has used the
/// limits), so it only empties our bucket. The measured rate is kept for a while, and then exceeded in growing steps
/// until the next refusal or the published rate.
#[derive(Debug)]
struct PacedBucket {
    bucket: Bucket,
    /// The published rate minus our margin, in tokens per second, and the published burst.
    published: (f64, f64),
    /// The cost of the largest request.
    unit: f64,
    learned: Option<LearnedRate>,
}

/// The rate that was learned from refusals.
#[derive(Debug)]
struct LearnedRate {
    /// The time of the last refusal.
    at: Duration,
    /// The fraction of the published rate that was enforced then.
    share: f64,
    /// When counting started, with the server's bucket empty.
    since: Duration,
    /// The cost of the requests that were accepted since then.
    passed: f64,
}

impl PacedBucket {
    /// A bucket that allows a burst of `burst` tokens and refills at `rate`; `unit` is the cost of the largest request.
    fn new(rate: Rate, burst: u32, unit: f64) -> Self {
        let per_second = f64::from(rate.count) / rate.per.as_secs_f64().max(1e-3) * (1.0 - MARGIN);
        let published = (per_second, f64::from(burst));
        Self { bucket: Bucket::new(published.0, published.1), published, unit, learned: None }
    }

    /// Takes the tokens that were taken from `old` from this bucket as well.
    fn inherit(&mut self, now: Duration, old: &Self) {
        self.bucket.spend(now, old.bucket.missing(now));
    }

    fn passed(&mut self, cost: f64) {
        if let Some(learned) = &mut self.learned {
            learned.passed += cost;
        }
    }

    fn refused(&mut self, now: Duration, sent: Duration) {
        self.recover(now);
        let share = self.share(now);
        let learned = match self.learned.take() {
            None => LearnedRate { at: now, share, since: now, passed: 0.0 },
            // It was sent before this rate was learned.
            Some(learned) if sent <= learned.at => learned,
            Some(learned) => {
                let seconds = now.saturating_sub(learned.since).as_secs_f64();
                if seconds >= LESSON_SECONDS && learned.passed >= LESSON_UNITS * self.unit {
                    let measured = learned.passed / seconds / self.published.0;
                    // Never lowered much at once: if sending was delayed, the server's bucket may have overflowed.
                    let share = measured.clamp(share * 0.5, share * 0.98).max(SLOWEST);
                    LearnedRate { at: now, share, since: now, passed: 0.0 }
                } else {
                    LearnedRate { at: now, ..learned }
                }
            }
        };
        self.learned = Some(learned);
        self.bucket.drain(now);
        self.resize(now, self.share(now));
    }

    /// The completed fraction of its recovery.
    fn recovered(&self, now: Duration) -> f64 {
        let Some(learned) = &self.learned else { return 1.0 };
        let whole = RECOVERY_SECONDS.max(RECOVERY_UNITS * self.unit / (self.published.0 * learned.share));
        (now.saturating_sub(learned.at).as_secs_f64() / whole).min(1.0)
    }

    /// The fraction of the published rate that is used now.
    ///
    /// It grows with the cube of the time, as TCP's rate does after a loss: it stays near the learned rate for a while,
    /// and then rises quickly.
    fn share(&self, now: Duration) -> f64 {
        let learned = self.learned.as_ref().map_or(1.0, |learned| learned.share);
        learned + (1.0 - learned) * self.recovered(now).powi(3)
    }

    fn recover(&mut self, now: Duration) {
        if self.learned.is_none() {
            return;
        }
        if self.recovered(now) < 1.0 {
            self.resize(now, self.share(now));
        } else {
            self.learned = None;
            self.bucket.resize(now, self.published.0, self.published.1);
        }
    }

    fn resize(&mut self, now: Duration, share: f64) {
        let per_second = self.published.0 * share;
        let calm = (per_second * CALM_SECONDS).max(self.unit * 2.0);
        self.bucket.resize(now, per_second, calm.min(self.published.1));
    }
}
