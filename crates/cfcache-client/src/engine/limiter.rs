use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cfcache_model::endpoint::Cost;
use cfcache_model::limits::{GLOBAL, PurgeLimits, Rate};

use crate::engine::bucket::Bucket;
use crate::engine::window::Window;

/// How much less than the published rate is used: no two clocks run alike.
const MARGIN: f64 = 0.005;

/// So many seconds of refill are held back of a bucket. A server's bucket begins to refill when the first request comes
/// in, ours when it goes out; the first one takes longer, because it opens the connection.
const RESERVE_SECONDS: f64 = 0.3;

/// At least this share of a bucket is held back.
const RESERVE_SHARE: f64 = 0.02;

/// What is left of the global quota for whoever else uses it.
const GLOBAL_RESERVE_SHARE: f64 = 0.02;

/// A stretch of the global quota is taken to be so much longer, so that ours covers the server's.
const GLOBAL_RESERVE: Duration = Duration::from_secs(1);

/// The least of its published rate that a lane is slowed down to.
const SLOWEST: f64 = 1.0 / 64.0;

/// A lane that was slowed down is back at its published rate after so long without a refusal, or after so many of its
/// largest requests at the rate that was learned, whichever is later.
const RECOVERY_SECONDS: f64 = 30.0;
const RECOVERY_UNITS: f64 = 60.0;

/// A rate is learned from so many of the largest requests, over so many seconds, and no fewer.
const LESSON_UNITS: f64 = 8.0;
const LESSON_SECONDS: f64 = 1.0;

/// A lane that was refused sends no more at once than so many seconds' worth, and two of its largest requests.
const CALM_SECONDS: f64 = 1.0;

/// Paces requests by the rules of the API: begins at the published numbers, and believes the server where it says
/// otherwise.
///
/// Three limits: requests of the flexible kinds and URLs of single files, each a bucket, and the API's global quota,
/// which is for calls and the flexible kinds only: the vendor's staff said in 2022 that purging by URL was taken out of
/// it (<https://github.com/cloudflare/cloudflare-docs/issues/5458>), and the published URL rates could not be reached
/// within it.
///
/// Clones share one state: everything that draws from an account's limits paces by clones of one `RateLimiter`, and by one
/// clock.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    purge: Option<PurgeLanes>,
    global: Window,
    /// Nothing at all goes out before this time.
    hold: Duration,
}

#[derive(Debug)]
struct PurgeLanes {
    flexible: Lane,
    urls: Lane,
}

impl RateLimiter {
    /// Paces by a plan's limits; with `None` only by what the server says.
    #[must_use]
    pub fn new(limits: Option<PurgeLimits>) -> Self {
        let state = State {
            purge: limits.map(PurgeLanes::new),
            global: Window::new(reserved(GLOBAL)),
            hold: Duration::ZERO,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// When a request of that cost may go out; not before `now`.
    #[must_use]
    pub fn ready_at(&self, now: Duration, cost: Cost) -> Duration {
        self.state().ready_at(now, cost)
    }

    /// Sends a request of that cost out, if it may go now; else says when.
    ///
    /// # Errors
    ///
    /// The time before which it may not.
    pub fn take(&self, now: Duration, cost: Cost) -> Result<(), Duration> {
        let mut state = self.state();
        if let Some((lane, _)) = state.lane(cost) {
            lane.recover(now);
        }
        let ready = state.ready_at(now, cost);
        if ready > now {
            return Err(ready);
        }
        if let Some((lane, cost)) = state.lane(cost) {
            lane.take(now, cost);
        }
        if let Some(global) = state.global(cost) {
            global.take(now);
        }
        Ok(())
    }

    /// A request of that cost was let through.
    pub fn passed(&self, cost: Cost) {
        if let Some((lane, cost)) = self.state().lane(cost) {
            lane.passed(cost);
        }
    }

    /// A request of that cost, sent at `sent`, was refused because there were too many.
    pub fn refused(&self, now: Duration, sent: Duration, cost: Cost) {
        if let Some((lane, _)) = self.state().lane(cost) {
            lane.refused(now, sent);
        }
    }

    /// Lets nothing at all go out before that time.
    pub fn hold_until(&self, until: Duration) {
        let mut state = self.state();
        state.hold = state.hold.max(until);
    }

    /// Until when everything waits, where that is later than `now`.
    #[must_use]
    pub fn held_until(&self, now: Duration) -> Option<Duration> {
        Some(self.state().hold).filter(|hold| *hold > now)
    }

    /// Paces by another plan's limits from now on. What was sent before counts against these as well; what the server
    /// was found to enforce is to be found out again.
    pub fn set_limits(&self, now: Duration, limits: Option<PurgeLimits>) {
        let mut state = self.state();
        let mut purge = limits.map(PurgeLanes::new);
        if let (Some(old), Some(new)) = (&state.purge, &mut purge) {
            new.flexible.inherit(now, &old.flexible);
            new.urls.inherit(now, &old.urls);
        }
        state.purge = purge;
    }

    /// The server's headers name another global quota than the published one.
    pub fn set_global(&self, rate: Rate) {
        self.state().global.set_rate(reserved(rate));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, so a poisoned lock still holds a good state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ready_at(&mut self, now: Duration, cost: Cost) -> Duration {
        let mut ready = now.max(self.hold);
        if let Some((lane, cost)) = self.lane(cost) {
            ready = ready.max(lane.bucket.ready_at(now, cost));
        }
        if let Some(global) = self.global(cost) {
            ready = ready.max(global.ready_at(now));
        }
        ready
    }

    /// The lane that a request goes through, and what it takes of its bucket.
    fn lane(&mut self, cost: Cost) -> Option<(&mut Lane, f64)> {
        let purge = self.purge.as_mut()?;
        match cost {
            Cost::Urls(urls) => Some((&mut purge.urls, urls as f64)),
            Cost::Flexible => Some((&mut purge.flexible, 1.0)),
            _ => None,
        }
    }

    /// The global quota, where a request counts against it and anything is paced at all.
    fn global(&mut self, cost: Cost) -> Option<&mut Window> {
        let counts = !matches!(cost, Cost::Urls(_)) && self.purge.is_some();
        counts.then_some(&mut self.global)
    }
}

/// The global quota, less what is left for others.
fn reserved(rate: Rate) -> Rate {
    let count = (f64::from(rate.count) * (1.0 - GLOBAL_RESERVE_SHARE)) as u32;
    Rate { count: count.max(1), per: rate.per.saturating_add(GLOBAL_RESERVE) }
}

impl PurgeLanes {
    fn new(limits: PurgeLimits) -> Self {
        Self {
            flexible: Lane::new(limits.flexible_requests, limits.flexible_burst, 1.0),
            // The published number is a moving average; a burst of a second's worth is our reading of it.
            urls: Lane::new(limits.urls, limits.urls.count, limits.urls_per_request as f64),
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
struct Lane {
    bucket: Bucket,
    /// Tokens in a second, and at once, as published, less our reserve.
    published: (f64, f64),
    /// What the largest request takes.
    unit: f64,
    lesson: Option<Lesson>,
}

/// What refusals have taught.
#[derive(Debug)]
struct Lesson {
    /// When the last of them came.
    at: Duration,
    /// The share of the published rate that was enforced then.
    share: f64,
    /// When counting began, with the server's bucket empty.
    since: Duration,
    /// What was let through since then.
    passed: f64,
}

impl Lane {
    /// `burst` tokens at once, refilled at `rate`; `unit` is what the largest request takes.
    fn new(rate: Rate, burst: u32, unit: f64) -> Self {
        let per_second = f64::from(rate.count) / rate.per.as_secs_f64().max(1e-3) * (1.0 - MARGIN);
        let burst = f64::from(burst);
        let reserve = (per_second * RESERVE_SECONDS).max(burst * RESERVE_SHARE).min(burst / 2.0);
        let published = (per_second, burst - reserve);
        Self { bucket: Bucket::new(published.0, published.1), published, unit, lesson: None }
    }

    /// What was taken from `old` is taken from this one as well.
    fn inherit(&mut self, now: Duration, old: &Self) {
        self.bucket.take(now, old.bucket.missing(now));
    }

    fn take(&mut self, now: Duration, cost: f64) {
        self.bucket.take(now, cost);
    }

    fn passed(&mut self, cost: f64) {
        if let Some(lesson) = &mut self.lesson {
            lesson.passed += cost;
        }
    }

    fn refused(&mut self, now: Duration, sent: Duration) {
        self.recover(now);
        let share = self.share(now);
        let lesson = match self.lesson.take() {
            None => Lesson { at: now, share, since: now, passed: 0.0 },
            // It was on its way already when we learned this.
            Some(lesson) if sent <= lesson.at => lesson,
            Some(lesson) => {
                let seconds = now.saturating_sub(lesson.since).as_secs_f64();
                if seconds >= LESSON_SECONDS && lesson.passed >= LESSON_UNITS * self.unit {
                    let measured = lesson.passed / seconds / self.published.0;
                    // Never far down at once: somebody may have held us up, so that the server's bucket ran over.
                    let share = measured.clamp(share * 0.5, share * 0.98).max(SLOWEST);
                    Lesson { at: now, share, since: now, passed: 0.0 }
                } else {
                    Lesson { at: now, ..lesson }
                }
            }
        };
        self.lesson = Some(lesson);
        self.bucket.drain(now);
        self.resize(now, self.share(now));
    }

    /// How much of its recovery a lane has behind it.
    fn recovered(&self, now: Duration) -> f64 {
        let Some(lesson) = &self.lesson else { return 1.0 };
        let whole = RECOVERY_SECONDS.max(RECOVERY_UNITS * self.unit / (self.published.0 * lesson.share));
        (now.saturating_sub(lesson.at).as_secs_f64() / whole).min(1.0)
    }

    /// The share of the published rate that is used now.
    ///
    /// It grows with the cube of the time, as a TCP connection does after a loss: it stays for a while near what was
    /// learned, and then leaves it behind.
    fn share(&self, now: Duration) -> f64 {
        let learned = self.lesson.as_ref().map_or(1.0, |lesson| lesson.share);
        learned + (1.0 - learned) * self.recovered(now).powi(3)
    }

    fn recover(&mut self, now: Duration) {
        if self.lesson.is_none() {
            return;
        }
        if self.recovered(now) < 1.0 {
            self.resize(now, self.share(now));
        } else {
            self.lesson = None;
            self.bucket.resize(now, self.published.0, self.published.1);
        }
    }

    fn resize(&mut self, now: Duration, share: f64) {
        let per_second = self.published.0 * share;
        let calm = (per_second * CALM_SECONDS).max(self.unit * 2.0);
        self.bucket.resize(now, per_second, calm.min(self.published.1));
    }
}
