use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cfcache_model::endpoint::Cost;
use cfcache_model::limits::{GLOBAL, PurgeLimits, Rate};

use crate::engine::backoff::{Backoff, Random, entropy};
use crate::engine::bucket::Bucket;
use crate::engine::sliding_window::SlidingWindow;
use crate::engine::{AttemptResult, Policy, Reason};

/// How many requests go out at once after a hold; with each that is accepted, one more.
///
/// Everything that waited for the same moment would else come back in the same moment, to a server that just said that
/// it has too much to do. It is more than one so that a single request that hangs does not hold up all others.
const AFTER_HOLD: usize = 4;

/// How much less than the published rate is used: no two clocks run alike.
const MARGIN: f64 = 0.005;

/// What is left of the global quota for whoever else uses it.
const GLOBAL_RESERVE_SHARE: f64 = 0.02;

/// A stretch of the global quota is taken to be so much longer, so that ours covers the server's.
const GLOBAL_RESERVE: Duration = Duration::from_secs(1);

/// The least of its published rate that a bucket is slowed down to.
const SLOWEST: f64 = 1.0 / 64.0;

/// A bucket that was slowed down is back at its published rate after so long without a refusal, or after so many of its
/// largest requests at the rate that was learned, whichever is later.
const RECOVERY_SECONDS: f64 = 30.0;
const RECOVERY_UNITS: f64 = 60.0;

/// A rate is learned from so many of the largest requests, over so many seconds, and no fewer.
const LESSON_UNITS: f64 = 8.0;
const LESSON_SECONDS: f64 = 1.0;

/// A bucket that was refused sends no more at once than so many seconds' worth, and two of its largest requests.
const CALM_SECONDS: f64 = 1.0;

/// Decides when requests may go out. [`RateLimiter`] is the one that paces by the API's limits; a program whose budget
/// lives elsewhere (in a database that several processes share) puts its own in its place.
///
/// One limiter is shared by everything that draws from one account's budget. Every method takes the time since one
/// moment that all users of a limiter have in common, and returns without waiting.
pub trait Limiter: fmt::Debug + Send + Sync {
    /// Takes the budget of a request and a place among those in flight.
    ///
    /// # Errors
    ///
    /// [`Denied`] where it may not go out now.
    fn acquire(&self, now: Duration, cost: Cost) -> Result<(), Denied>;

    /// When a request of that cost could go out, as things stand; `None` where the end of another one is needed first.
    fn ready_at(&self, now: Duration, cost: Cost) -> Option<Duration>;

    /// Returns the place of a request that was sent at `sent`, and learns from what came of it. Where the server wants
    /// everything to wait, returns until when, which is remembered for all.
    fn complete(&self, now: Duration, sent: Duration, cost: Cost, result: AttemptResult) -> Option<Duration>;

    /// Returns the places of requests that nobody waits for any more.
    fn abandon(&self, requests: usize);

    /// Until when everything waits because the server said so, where that is later than `now`.
    fn held_until(&self, now: Duration) -> Option<Duration>;

    /// The server's headers state another global quota than the published one.
    fn set_global_quota(&self, quota: Rate);

    /// Paces by the limits of another plan from now on.
    fn set_limits(&self, now: Duration, limits: Option<PurgeLimits>);

    /// A random number, so that what failed together is not retried together.
    fn random(&self) -> u64;

    /// How long it takes at least until so many requests of that cost more have gone out; zero where that is not known.
    fn time_for(&self, now: Duration, cost: Cost, requests: u64) -> Duration {
        let _ = (now, cost, requests);
        Duration::ZERO
    }

    /// A number that changes whenever something that was denied may be allowed sooner than was said.
    fn version(&self) -> u64;

    /// Is ready once [`version`](Self::version) is no longer `seen`; otherwise wakes the task then.
    fn poll_changed(&self, seen: u64, context: &mut Context<'_>) -> Poll<()>;
}

/// A request may not go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "limiters of other crates make it")]
pub struct Denied {
    /// When it may, as things stand; `None` where another one has to end first.
    pub until: Option<Duration>,
    /// Why not now.
    pub reason: Reason,
}

/// Paces requests by the rules of the API: begins at the published numbers, and believes the server where it says
/// otherwise.
///
/// - Requests of the flexible kinds and URLs of single files are each a token bucket. The API's global quota is for calls
///   and the flexible kinds only: the vendor's staff said in 2022 that purging by URL was taken out of it
///   (<https://github.com/cloudflare/cloudflare-docs/issues/5458>), and the published URL rates could not be reached within
///   it.
/// - No more than [`Policy::concurrency`] requests are in flight, over all that share it.
/// - A wait that the server demands holds everything, and is remembered whoever was told.
///
/// Clones share one state.
#[derive(Clone)]
pub struct RateLimiter {
    state: Arc<Mutex<LimiterState>>,
}

struct LimiterState {
    purge: Option<PurgeBuckets>,
    global: SlidingWindow,
    /// Whether the server stated the global quota.
    is_quota_stated: bool,
    concurrency: usize,
    in_flight: usize,
    /// How many may be in flight; less than `concurrency` after a hold.
    room: usize,
    /// When everything was last put on hold, and until when.
    hold: (Duration, Duration),
    /// The last hold that was made up for want of a hint.
    last_guess: Option<Duration>,
    backoff: Backoff,
    random: Random,
    version: u64,
    wakers: Vec<Waker>,
}

struct PurgeBuckets {
    flexible: PacedBucket,
    urls: PacedBucket,
}

impl RateLimiter {
    /// A limiter with the concurrency, the plan's limits and the backoff of `policy`.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let state = LimiterState {
            purge: policy.limits.map(PurgeBuckets::new),
            global: SlidingWindow::new(reserved(GLOBAL)),
            is_quota_stated: false,
            concurrency: policy.concurrency.max(1),
            in_flight: 0,
            room: usize::MAX,
            hold: (Duration::ZERO, Duration::ZERO),
            last_guess: None,
            backoff: Backoff::new(policy.backoff_base, policy.backoff_cap),
            random: Random(policy.seed.unwrap_or_else(entropy)),
            version: 0,
            wakers: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        // Nothing in here can panic half-way, so a poisoned lock still holds a good state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state so that somebody who waits may go on sooner.
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
            .field("concurrency", &state.concurrency)
            .field("in_flight", &state.in_flight)
            .field("hold", &state.hold.1)
            .finish_non_exhaustive()
    }
}

impl Limiter for RateLimiter {
    fn acquire(&self, now: Duration, cost: Cost) -> Result<(), Denied> {
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

    /// What was sent before counts against the new limits as well; what the server was found to enforce is found out
    /// again.
    fn set_limits(&self, now: Duration, limits: Option<PurgeLimits>) {
        self.change(|state| {
            let mut purge = limits.map(PurgeBuckets::new);
            if let (Some(old), Some(new)) = (&state.purge, &mut purge) {
                new.flexible.inherit(now, &old.flexible);
                new.urls.inherit(now, &old.urls);
            }
            state.purge = purge;
        });
    }

    fn random(&self) -> u64 {
        self.state().random.next()
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
        self.concurrency.min(self.room).max(1)
    }

    fn acquire(&mut self, now: Duration, cost: Cost) -> Result<(), Denied> {
        if self.in_flight >= self.most_in_flight() {
            return Err(Denied { until: None, reason: Reason::Event });
        }
        if let Some((bucket, _)) = self.bucket(cost) {
            bucket.recover(now);
        }
        let (ready, reason) = self.ready_at(now, cost);
        if ready > now {
            return Err(Denied { until: Some(ready), reason });
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

    /// The bucket that a request draws from, and how much.
    fn bucket(&mut self, cost: Cost) -> Option<(&mut PacedBucket, f64)> {
        let purge = self.purge.as_mut()?;
        match cost {
            Cost::Urls(urls) => Some((&mut purge.urls, urls as f64)),
            Cost::Flexible => Some((&mut purge.flexible, 1.0)),
            _ => None,
        }
    }

    /// The global quota, where a request counts against it and anything is paced at all.
    fn global(&mut self, cost: Cost) -> Option<&mut SlidingWindow> {
        let counts = !matches!(cost, Cost::Urls(_)) && self.purge.is_some();
        counts.then_some(&mut self.global)
    }

    /// Draws from what came of a request what it says about all of them; returns until when everything waits, where it
    /// says that.
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
                // What was refused for what it is was looked at, so it was let through.
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
        // To be asked back at once is not to be told how long.
        let until = match hint.filter(|hint| !hint.is_zero()) {
            Some(hint) => now.saturating_add(hint),
            None if matches!(result, AttemptResult::RateLimited { .. }) => self.guess_hold(now, sent),
            None => return None,
        };
        // A refusal that comes in late, of what was on its way when a hold was made that is over, holds nothing.
        if until > now && until > self.hold.1 {
            self.hold = (now, until);
            self.room = AFTER_HOLD;
        }
        Some(until)
    }

    /// Too many, and no word of how long: those that were on their way together make one hold.
    fn guess_hold(&mut self, now: Duration, sent: Duration) -> Duration {
        if let Some(held) = self.held_until(now) {
            return held;
        }
        let (held_at, _) = self.hold;
        if !held_at.is_zero() && sent <= held_at {
            return now;
        }
        let guess = self.backoff.decorrelated(self.last_guess, self.random.next());
        self.last_guess = Some(guess);
        now.saturating_add(guess)
    }
}

/// The global quota, less what is left for others.
fn reserved(rate: Rate) -> Rate {
    let count = (f64::from(rate.count) * (1.0 - GLOBAL_RESERVE_SHARE)) as u32;
    Rate { count: count.max(1), per: rate.per.saturating_add(GLOBAL_RESERVE) }
}

impl PurgeBuckets {
    fn new(limits: PurgeLimits) -> Self {
        Self {
            flexible: PacedBucket::new(limits.flexible_requests, limits.flexible_burst, 1.0),
            // The published number is a moving average; a burst of a second's worth is our reading of it.
            urls: PacedBucket::new(limits.urls, limits.urls.count, limits.urls_per_request as f64),
        }
    }
}

/// One limit: a bucket at the published rate, slowed down where the server enforces less.
///
/// What the server enforces is measured: from one refusal to a later one, each of which says that its bucket is empty,
/// it lets through what it refills. A first refusal says little (most often that somebody else has been using the
/// limits), so it only empties our bucket. The rate that was measured is kept to for a while, and then gone beyond, ever
/// more boldly, until the next refusal or the published rate.
#[derive(Debug)]
struct PacedBucket {
    bucket: Bucket,
    /// Tokens in a second, and at once, as published, the rate less our margin.
    published: (f64, f64),
    /// What the largest request takes.
    unit: f64,
    learned: Option<LearnedRate>,
}

/// What refusals have taught.
#[derive(Debug)]
struct LearnedRate {
    /// When the last of them came.
    at: Duration,
    /// The share of the published rate that was enforced then.
    share: f64,
    /// When counting began, with the server's bucket empty.
    since: Duration,
    /// What was let through since then.
    passed: f64,
}

impl PacedBucket {
    /// `burst` tokens at once, refilled at `rate`; `unit` is what the largest request takes.
    fn new(rate: Rate, burst: u32, unit: f64) -> Self {
        let per_second = f64::from(rate.count) / rate.per.as_secs_f64().max(1e-3) * (1.0 - MARGIN);
        let published = (per_second, f64::from(burst));
        Self { bucket: Bucket::new(published.0, published.1), published, unit, learned: None }
    }

    /// What was taken from `old` is taken from this one as well.
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
            // It was on its way already when we learned this.
            Some(learned) if sent <= learned.at => learned,
            Some(learned) => {
                let seconds = now.saturating_sub(learned.since).as_secs_f64();
                if seconds >= LESSON_SECONDS && learned.passed >= LESSON_UNITS * self.unit {
                    let measured = learned.passed / seconds / self.published.0;
                    // Never far down at once: somebody may have held us up, so that the server's bucket ran over.
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

    /// How much of its recovery it has behind it.
    fn recovered(&self, now: Duration) -> f64 {
        let Some(learned) = &self.learned else { return 1.0 };
        let whole = RECOVERY_SECONDS.max(RECOVERY_UNITS * self.unit / (self.published.0 * learned.share));
        (now.saturating_sub(learned.at).as_secs_f64() / whole).min(1.0)
    }

    /// The share of the published rate that is used now.
    ///
    /// It grows with the cube of the time, as a TCP connection does after a loss: it stays for a while near what was
    /// learned, and then leaves it behind.
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
