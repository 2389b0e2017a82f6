use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cfcache_model::endpoint::Cost;
use cfcache_model::limits::{GLOBAL, PurgeLimits, Rate};

use crate::engine::bucket::Bucket;

/// What we hold back of a bucket, so that requests which the network squeezes together do not overdraw the server's.
const RESERVE: f64 = 0.02;

/// The least of its published rate that a lane is slowed down to.
const SLOWEST: f64 = 1.0 / 64.0;

/// How much of its published rate a slowed lane gets back in a second.
const RECOVERY_PER_SECOND: f64 = 1.0 / 120.0;

/// Paces requests by the rules of the API: begins at the published numbers, and believes the server where it says
/// otherwise.
///
/// Three lanes, each with its bucket: requests of the flexible kinds, URLs of single files, and the API's global limit.
/// The global one is for calls and the flexible kinds only: the vendor's staff said in 2022 that purging by URL was
/// taken out of it (<https://github.com/cloudflare/cloudflare-docs/issues/5458>), and the published URL rates could not
/// be reached within it.
///
/// Clones share one state: everything that draws from an account's limits paces by clones of one `Pace`, and by one
/// clock.
#[derive(Debug, Clone)]
pub struct Pace {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    purge: Option<PurgeLanes>,
    global: Lane,
    /// Nothing at all goes out before this time.
    hold: Duration,
}

#[derive(Debug)]
struct PurgeLanes {
    flexible: Lane,
    urls: Lane,
}

impl Pace {
    /// Paces by a plan's limits; with `None` only by what the server says.
    #[must_use]
    pub fn new(limits: Option<PurgeLimits>) -> Self {
        let lanes = |limits: PurgeLimits| PurgeLanes {
            flexible: Lane::new(limits.flexible_requests, limits.flexible_burst, 1.0),
            // The published number is a moving average; a burst of a second's worth is our reading of it.
            urls: Lane::new(limits.urls, limits.urls.count, limits.urls_per_request as f64),
        };
        let state = State {
            purge: limits.map(lanes),
            global: Lane::new(GLOBAL, GLOBAL.count, 1.0),
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
        let ready = state.ready_at(now, cost);
        if ready > now {
            return Err(ready);
        }
        state.each(cost, |lane, cost| lane.take(now, cost));
        Ok(())
    }

    /// A request of that cost was let through.
    pub fn passed(&self, now: Duration, cost: Cost) {
        self.state().each(cost, |lane, cost| lane.passed(now, cost));
    }

    /// A request of that cost was refused because there were too many.
    pub fn refused(&self, now: Duration, cost: Cost) {
        self.state().each(cost, |lane, _| lane.refused(now));
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

    /// The server's headers name another global quota than the published one.
    pub fn set_global(&self, now: Duration, rate: Rate) {
        self.state().global.set_published(now, rate);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way, so a poisoned lock still holds a good state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ready_at(&mut self, now: Duration, cost: Cost) -> Duration {
        let mut ready = now.max(self.hold);
        self.each(cost, |lane, cost| ready = ready.max(lane.bucket.ready_at(now, cost)));
        ready
    }

    fn each(&mut self, cost: Cost, mut act: impl FnMut(&mut Lane, f64)) {
        let Some(purge) = &mut self.purge else { return };
        match cost {
            Cost::Urls(urls) => act(&mut purge.urls, urls as f64),
            Cost::Flexible => {
                act(&mut purge.flexible, 1.0);
                act(&mut self.global, 1.0);
            }
            _ => act(&mut self.global, 1.0),
        }
    }
}

/// One limit: a bucket at the published rate, slowed down where the server enforces less.
#[derive(Debug)]
struct Lane {
    bucket: Bucket,
    published: f64,
    /// What share of the published rate is used now.
    share: f64,
    /// When `share` was last changed.
    at: Duration,
    /// Since the server's bucket was last known to be empty: when that was, and what was let through.
    empty: Option<(Duration, f64)>,
}

impl Lane {
    /// `burst` tokens at once, refilled at `rate`; `unit` is what the largest request takes.
    fn new(rate: Rate, burst: u32, unit: f64) -> Self {
        let burst = f64::from(burst);
        let reserve = (burst * RESERVE).max(unit).min(burst / 2.0);
        let bucket = Bucket::new(rate, burst - reserve);
        Self { published: bucket.per_second(), bucket, share: 1.0, at: Duration::ZERO, empty: None }
    }

    fn take(&mut self, now: Duration, cost: f64) {
        self.recover(now);
        self.bucket.take(now, cost);
    }

    fn passed(&mut self, now: Duration, cost: f64) {
        self.recover(now);
        if let Some((_, passed)) = &mut self.empty {
            *passed += cost;
        }
    }

    /// The server's bucket is empty now. Where it was empty before, what it let through since is what it refills.
    fn refused(&mut self, now: Duration) {
        self.recover(now);
        let learned = self.empty.and_then(|(since, passed)| {
            let seconds = now.saturating_sub(since).as_secs_f64();
            // Over a shorter time, or from nothing, nothing can be learned.
            (seconds >= 1.0 && passed > 0.0).then(|| passed / seconds / self.published)
        });
        // Those in flight together are refused together: that is one lesson, not many.
        let is_new = self.empty.is_none_or(|(since, _)| now.saturating_sub(since) >= Duration::from_secs(1));
        if is_new {
            self.set_share(now, learned.unwrap_or(self.share * 0.75));
            self.empty = Some((now, 0.0));
        }
        self.bucket.drain(now);
    }

    fn recover(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        if self.share < 1.0 && seconds > 0.0 {
            self.set_share(now, self.share + seconds * RECOVERY_PER_SECOND);
        }
        self.at = self.at.max(now);
    }

    fn set_share(&mut self, now: Duration, share: f64) {
        self.share = share.clamp(SLOWEST, 1.0);
        self.at = self.at.max(now);
        self.bucket.set_rate(now, self.published * self.share);
    }

    fn set_published(&mut self, now: Duration, rate: Rate) {
        self.published = f64::from(rate.count) / rate.per.as_secs_f64();
        self.set_share(now, self.share);
    }
}
