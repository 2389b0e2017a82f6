//! Rate limits: token buckets that many workers share as rows of a table.

use std::time::Duration;

use cfcache_model::limits::{GLOBAL, PurgeLimits, Rate};

/// The part of the published rates that is used. The rest allows for clocks that run at different speeds.
const MARGIN_PERMILLE: u128 = 995;

/// The delay for which the burst is reduced. The server's bucket starts to refill when the first request of a burst
/// arrives, and that request may take longer than the last one. The client's limiter makes the same allowance.
const BURST_LAG: Duration = Duration::from_millis(300);

/// The part of the global quota that may be used at once, in percent; the rest is the rate. So no window of the quota's
/// length contains more requests than the quota, wherever the server starts to count.
const GLOBAL_BURST_PERCENT: u32 = 10;

/// The longest time for which an answer of the API may block a bucket. Cloudflare's longest window is 5 minutes, so a
/// longer time is an error, of a proxy for example, and must not stop all workers of an account.
pub const MAX_BLOCK: Duration = Duration::from_secs(60 * 60);

/// A token bucket in the form of the generic cell rate algorithm: one timestamp stores how much of it is used.
///
/// - All times are whole microseconds since a fixed moment, by the clock of the store. There is no rounding: at most
///   `burst + s / interval_us` tokens can be taken in a time of `s` microseconds.
/// - A taken token is never returned. If a worker crashes, the account stays slightly below its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores keep it as a row")]
pub struct BudgetBucket {
    /// The time until the next token, in microseconds; at least 1.
    pub interval_us: u64,
    /// The maximum number of tokens; at least 1.
    pub burst: u32,
    /// The theoretical arrival time: when the bucket will be full.
    pub tat: u64,
    /// No token can be taken before this time.
    pub blocked_until: u64,
}

impl BudgetBucket {
    /// Creates a full bucket.
    #[must_use]
    pub const fn new(interval_us: u64, burst: u32) -> Self {
        Self {
            interval_us: if interval_us == 0 { 1 } else { interval_us },
            burst: if burst == 0 { 1 } else { burst },
            tat: 0,
            blocked_until: 0,
        }
    }

    /// Creates a full bucket of `burst` tokens at `rate`, of which only `share` (from 0 to 1) is used.
    ///
    /// A share outside that range is replaced by the nearest valid one; the smallest is 0.001.
    fn from_rate(rate: Rate, burst: u32, share: f64) -> Self {
        let permille = if share.is_nan() { 1000 } else { (share * 1000.0).clamp(1.0, 1000.0) as u32 };
        let tokens = u128::from(rate.count.max(1)) * MARGIN_PERMILLE * u128::from(permille);
        let interval_us = (rate.per.as_micros() * 1_000_000).div_ceil(tokens);
        let lag = (BURST_LAG.as_micros() * u128::from(rate.count)).div_ceil(rate.per.as_micros().max(1));
        let lag = u32::try_from(lag).unwrap_or(u32::MAX);
        let burst = u64::from(burst.saturating_sub(lag)) * u64::from(permille) / 1000;
        Self::new(u64::try_from(interval_us).unwrap_or(u64::MAX), u32::try_from(burst).unwrap_or(u32::MAX))
    }

    /// Corrects times that are further ahead than any method sets them: the clock went back since then. The bucket is
    /// not blocked then, and empty.
    fn correct(&mut self, now: u64) {
        let max_block = u64::try_from(MAX_BLOCK.as_micros()).unwrap_or(u64::MAX);
        if self.blocked_until > now.saturating_add(max_block) {
            self.blocked_until = now;
        }
        self.tat = self.tat.min(self.blocked_until.max(now).saturating_add(self.time_to_fill()));
    }

    /// Returns how many tokens could be taken.
    #[must_use]
    pub fn tokens(&self, now: u64) -> u32 {
        let mut corrected = *self;
        corrected.correct(now);
        corrected.available(now)
    }

    const fn available(&self, now: u64) -> u32 {
        if now < self.blocked_until {
            return 0;
        }
        let used = self.tat.saturating_sub(now);
        let tokens = self.time_to_fill().saturating_sub(used) / self.interval_us;
        // The number is at most `burst`, which is a `u32`.
        tokens as u32
    }

    /// Takes tokens. A `count` above `burst` counts as `burst`, because the bucket never holds more.
    ///
    /// # Errors
    ///
    /// The time when enough tokens will be available, if nobody else takes any. Nothing is taken.
    pub fn take(&mut self, now: u64, count: u32) -> Result<(), u64> {
        self.correct(now);
        let cost = self.interval_us.saturating_mul(u64::from(count.min(self.burst)));
        let tat = self.tat.max(now).saturating_add(cost);
        let ready = tat.saturating_sub(self.time_to_fill()).max(self.blocked_until);
        if ready > now {
            return Err(ready);
        }
        self.tat = tat;
        Ok(())
    }

    /// Empties the bucket after the server refused a request because of the rate. No token can be taken for
    /// `retry_after`, at most [`MAX_BLOCK`], and the bucket is empty at its end.
    pub fn refused(&mut self, now: u64, retry_after: Duration) {
        self.correct(now);
        let wait = u64::try_from(retry_after.min(MAX_BLOCK).as_micros()).unwrap_or(u64::MAX);
        self.blocked_until = self.blocked_until.max(now.saturating_add(wait));
        self.tat = self.tat.max(self.blocked_until.saturating_add(self.time_to_fill()));
    }

    /// Takes over the interval and burst of another bucket; used tokens stay used.
    pub fn resize(&mut self, now: u64, other: &Self) {
        let used = self.tat.saturating_sub(now).div_ceil(self.interval_us);
        (self.interval_us, self.burst) = (other.interval_us, other.burst);
        self.tat = now.saturating_add(used.min(u64::from(other.burst)).saturating_mul(other.interval_us));
    }

    /// Returns how long an empty bucket takes to fill.
    const fn time_to_fill(&self) -> u64 {
        self.interval_us.saturating_mul(self.burst as u64)
    }
}

/// Returns the bucket of an account and plan for requests for tags, hosts, prefixes and everything.
///
/// `share`, from 0 to 1, is the part that the queue may use; the rest is left to other tools on the account.
#[must_use]
pub fn flexible_bucket(limits: &PurgeLimits, share: f64) -> BudgetBucket {
    BudgetBucket::from_rate(limits.flexible_requests, limits.flexible_burst, share)
}

/// Returns the bucket of an account and plan for URLs.
///
/// The published number is a moving average without a burst. Allowing the tokens of one second at once is a choice, the
/// same as in the client's limiter.
#[must_use]
pub fn url_bucket(limits: &PurgeLimits, share: f64) -> BudgetBucket {
    BudgetBucket::from_rate(limits.urls, limits.urls.count, share)
}

/// Returns the bucket of an account for requests that count against the API's global quota ([`GLOBAL`]).
///
/// A choice, as in the client's limiter: other calls and purges of tags, hosts, prefixes and everything count; purges
/// of single files do not.
#[must_use]
pub fn global_bucket(share: f64) -> BudgetBucket {
    let burst = GLOBAL.count * GLOBAL_BURST_PERCENT / 100;
    BudgetBucket::from_rate(Rate { count: GLOBAL.count - burst, per: GLOBAL.per }, burst, share)
}
