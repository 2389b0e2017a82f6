//! How much may be sent: token buckets that many workers share, as a row of a table.

use std::time::Duration;

use cfcache_model::limits::{GLOBAL, PurgeLimits, Rate};

/// Half a percent less than the published rates is used: no two clocks run alike.
const MARGIN_PERMILLE: u128 = 995;

/// The server's bucket refills from when the first request of a burst reaches it, which may take longer than that of the
/// last one. So much of the rate is left out of the burst. The client's limiter allows for the same.
const LAG: Duration = Duration::from_millis(300);

/// What a tenth of the global quota may be used for at once; the rest is the rate. In no window of its length is then
/// more sent than the quota, wherever the server begins to count.
const GLOBAL_BURST_PERCENT: u32 = 10;

/// A token bucket in the form of the generic cell rate algorithm: one time says how far it is used.
///
/// - All times are whole microseconds since any one moment, of the clock of whoever keeps the row. There is no rounding:
///   in a span of time `s` no more than `burst + s / interval_us` tokens can be taken.
/// - A token that was taken is spent, whatever becomes of the request. A worker that crashes so leaves the account a
///   little under its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores keep it as a row")]
pub struct Bucket {
    /// How long it takes until there is another token, in microseconds; at least 1.
    pub interval_us: u64,
    /// The most tokens there are at once; at least 1.
    pub burst: u32,
    /// The theoretical arrival time: when the bucket will be full.
    pub tat: u64,
    /// No token can be taken before.
    pub blocked_until: u64,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(interval_us: u64, burst: u32) -> Self {
        Self {
            interval_us: if interval_us == 0 { 1 } else { interval_us },
            burst: if burst == 0 { 1 } else { burst },
            tat: 0,
            blocked_until: 0,
        }
    }

    /// A full bucket of `burst` tokens at `rate`, of which only `share` (from 0 to 1) is used.
    ///
    /// What is not a share is taken for the nearest one; the least is a thousandth.
    fn from_rate(rate: Rate, burst: u32, share: f64) -> Self {
        let permille = if share.is_nan() { 1000 } else { (share * 1000.0).clamp(1.0, 1000.0) as u32 };
        let tokens = u128::from(rate.count.max(1)) * MARGIN_PERMILLE * u128::from(permille);
        let interval_us = (rate.per.as_micros() * 1_000_000).div_ceil(tokens);
        let lag = (LAG.as_micros() * u128::from(rate.count)).div_ceil(rate.per.as_micros().max(1));
        let lag = u32::try_from(lag).unwrap_or(u32::MAX);
        let burst = u64::from(burst.saturating_sub(lag)) * u64::from(permille) / 1000;
        Self::new(u64::try_from(interval_us).unwrap_or(u64::MAX), u32::try_from(burst).unwrap_or(u32::MAX))
    }

    /// How many tokens could be taken.
    #[must_use]
    pub const fn tokens(&self, now: u64) -> u32 {
        if now < self.blocked_until {
            return 0;
        }
        let used = self.tat.saturating_sub(now);
        let tokens = self.full().saturating_sub(used) / self.interval_us;
        // No more than the burst, which is a `u32`.
        tokens as u32
    }

    /// Takes tokens. No bucket ever holds more than its burst, so a larger `count` is taken for that.
    ///
    /// # Errors
    ///
    /// The time when so many will be there, if nobody else takes any; nothing is taken.
    pub fn take(&mut self, now: u64, count: u32) -> Result<(), u64> {
        let cost = self.interval_us.saturating_mul(u64::from(count.min(self.burst)));
        let tat = self.tat.max(now).saturating_add(cost);
        let ready = tat.saturating_sub(self.full()).max(self.blocked_until);
        if ready > now {
            return Err(ready);
        }
        self.tat = tat;
        Ok(())
    }

    /// The server refused a request for the rate, so its own bucket is empty: no token can be taken for
    /// `retry_after`, and the bucket is empty then.
    pub fn refused(&mut self, now: u64, retry_after: Duration) {
        let wait = u64::try_from(retry_after.as_micros()).unwrap_or(u64::MAX);
        self.blocked_until = self.blocked_until.max(now.saturating_add(wait));
        self.tat = self.tat.max(self.blocked_until.saturating_add(self.full()));
    }

    /// Takes over another rate and burst; what was used stays used.
    pub fn resize(&mut self, now: u64, like: &Self) {
        let used = self.tat.saturating_sub(now).div_ceil(self.interval_us);
        (self.interval_us, self.burst) = (like.interval_us, like.burst);
        self.tat = now.saturating_add(used.min(u64::from(like.burst)).saturating_mul(like.interval_us));
    }

    /// How long an empty bucket takes until it is full.
    const fn full(&self) -> u64 {
        self.interval_us.saturating_mul(self.burst as u64)
    }
}

/// The bucket of requests for tags, hosts, prefixes and everything, of an account and a plan.
///
/// `share`, from 0 to 1, is what the queue may use of it; the rest is left to other tools on the account.
#[must_use]
pub fn flexible_bucket(limits: &PurgeLimits, share: f64) -> Bucket {
    Bucket::from_rate(limits.flexible_requests, limits.flexible_burst, share)
}

/// The bucket of URLs, of an account and a plan.
///
/// The published number is a moving average without a burst. A choice, which the client's limiter has made too: a
/// second's worth at once.
#[must_use]
pub fn url_bucket(limits: &PurgeLimits, share: f64) -> Bucket {
    Bucket::from_rate(limits.urls, limits.urls.count, share)
}

/// The bucket of what counts against the API's global quota ([`GLOBAL`]), of an account.
///
/// A choice: as in the client's limiter these are the calls and the flexible requests, and not single files.
#[must_use]
pub fn global_bucket(share: f64) -> Bucket {
    let burst = GLOBAL.count * GLOBAL_BURST_PERCENT / 100;
    Bucket::from_rate(Rate { count: GLOBAL.count - burst, per: GLOBAL.per }, burst, share)
}
