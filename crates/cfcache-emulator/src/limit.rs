//! The rate limits of the API. They are implemented separately from the client's, so that one mistake cannot be in
//! both.

use core::time::Duration;

use cfcache_edge::PurgeItems;
use cfcache_model::limits::{PurgeLimits, Rate};
use http::HeaderName;

use crate::state::AcceptedPurge;

/// A token bucket: initially full, refilled at a constant rate, with exact integers.
///
/// - In any time span, it gives at most its capacity plus the tokens that the rate refills in that span.
/// - A refusal costs nothing.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    /// The number of parts of one token, chosen so that each nanosecond refills a whole number of parts.
    unit: u128,
    parts_per_nano: u128,
    capacity: u128,
    level: u128,
    /// The time of `level`.
    at: Duration,
}

impl TokenBucket {
    /// Creates a full bucket of this many tokens, and at least one, because an empty one would always refuse.
    pub(crate) fn new(rate: Rate, capacity: u32) -> Self {
        let unit = rate.per.as_nanos().max(1);
        let capacity = unit * u128::from(capacity.max(1));
        Self { unit, parts_per_nano: u128::from(rate.count), capacity, level: capacity, at: Duration::ZERO }
    }

    /// Takes tokens, or returns the time until there are enough.
    ///
    /// # Errors
    ///
    /// The time, or [`Duration::MAX`] if the bucket can never contain that many.
    pub(crate) fn take(&mut self, now: Duration, tokens: u32) -> Result<(), Duration> {
        self.refill(now);
        let wanted = self.unit * u128::from(tokens);
        match wanted.checked_sub(self.level) {
            None | Some(0) => {
                self.level -= wanted;
                Ok(())
            }
            Some(_) if wanted > self.capacity => Err(Duration::MAX),
            Some(missing) => Err(self.time_for(missing)),
        }
    }

    /// Returns the number of whole tokens.
    pub(crate) fn left(&mut self, now: Duration) -> u32 {
        self.refill(now);
        u32::try_from(self.level / self.unit).unwrap_or(u32::MAX)
    }

    /// Returns the number of tokens in a full bucket.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.capacity / self.unit).unwrap_or(u32::MAX)
    }

    /// Returns the time until the bucket is full.
    pub(crate) fn until_full(&mut self, now: Duration) -> Duration {
        self.refill(now);
        self.time_for(self.capacity - self.level)
    }

    /// Returns the time to fill an empty bucket.
    pub(crate) fn window(&self) -> Duration {
        self.time_for(self.capacity)
    }

    fn refill(&mut self, now: Duration) {
        // Requests of two connections may arrive with their times in the wrong order. Then no time has passed.
        let passed = now.saturating_sub(self.at);
        self.at += passed;
        let refilled = passed.as_nanos().saturating_mul(self.parts_per_nano);
        self.level = self.level.saturating_add(refilled).min(self.capacity);
    }

    fn time_for(&self, parts: u128) -> Duration {
        match parts {
            0 => Duration::ZERO,
            _ if self.parts_per_nano == 0 => Duration::MAX,
            _ => {
                u64::try_from(parts.div_ceil(self.parts_per_nano)).map_or(Duration::MAX, Duration::from_nanos)
            }
        }
    }
}

/// Returns the headers about a quota: how much of it is left until it is full again, and the quota itself.
///
/// `Ratelimit: "default";r=50;t=30` and `Ratelimit-Policy: "default";q=1200;w=300`
fn quota_headers(left: u32, reset: Duration, quota: Rate) -> [(HeaderName, String); 2] {
    let state = format!(r#""default";r={left};t={}"#, whole_seconds(reset));
    let policy = format!(r#""default";q={};w={}"#, quota.count, whole_seconds(quota.per));
    [(HeaderName::from_static("ratelimit"), state), (HeaderName::from_static("ratelimit-policy"), policy)]
}

/// Returns the seconds as the API writes them: whole numbers, rounded up, so that a client that waits this long is
/// never early.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// The limits of an account.
#[derive(Debug, Clone)]
pub(crate) struct LimitState {
    /// The requests that purge by tag, host or prefix, or everything.
    flexible: TokenBucket,
    /// The purged URLs.
    urls: TokenBucket,
    /// The number of calls in a window, and its length.
    calls: Rate,
    /// The start of the last window, which is the time of its first call.
    window_start: Duration,
    calls_in_window: u32,
    /// The end of the refusal of all calls.
    refused_until: Option<Duration>,
}

impl LimitState {
    pub(crate) fn new(purge: &PurgeLimits, calls: Rate) -> Self {
        // The documentation calls the limit of URLs a moving average, and mentions no bucket. One second's worth is the
        // smallest bucket that allows the rate. But a request of the allowed size must always fit, even with a low
        // configured rate.
        let second = Duration::from_secs(1).as_nanos() * u128::from(purge.urls.count)
            / purge.urls.per.as_nanos().max(1);
        let second = u32::try_from(second).unwrap_or(u32::MAX);
        let fits = u32::try_from(purge.urls_per_request).unwrap_or(u32::MAX);
        Self {
            flexible: TokenBucket::new(purge.flexible_requests, purge.flexible_burst),
            urls: TokenBucket::new(purge.urls, second.max(fits)),
            calls,
            window_start: Duration::ZERO,
            calls_in_window: 0,
            refused_until: None,
        }
    }

    /// Takes what the purges of one request use, or takes nothing and returns the time to wait.
    pub(crate) fn purge(&mut self, now: Duration, purges: &[AcceptedPurge]) -> Result<(), Duration> {
        let (mut requests, mut urls) = (0, 0);
        for purge in purges {
            match &purge.items {
                // The maximum number of URLs in a request was checked.
                PurgeItems::Files(files) => urls = u32::try_from(files.len()).unwrap_or(u32::MAX),
                // Several lists are still one request.
                _ => requests = 1,
            }
        }
        let mut flexible = self.flexible.clone();
        flexible.take(now, requests)?;
        self.urls.take(now, urls)?;
        self.flexible = flexible;
        Ok(())
    }

    /// Takes a call that is not a purge, or returns the time to wait. After a call too many, all calls are refused for
    /// the length of a window.
    pub(crate) fn call(&mut self, now: Duration) -> Result<(), Duration> {
        self.end_window(now);
        if let Some(end) = self.refused_until {
            return Err(end - now);
        }
        if self.calls_in_window >= self.calls.count {
            self.refused_until = Some(now + self.calls.per);
            return Err(self.calls.per);
        }
        if self.calls_in_window == 0 {
            self.window_start = now;
        }
        self.calls_in_window += 1;
        Ok(())
    }

    /// Returns the headers about the remaining calls.
    pub(crate) fn call_headers(&mut self, now: Duration) -> [(HeaderName, String); 2] {
        self.end_window(now);
        let (left, end) = match self.refused_until {
            Some(end) => (0, end),
            None if self.calls_in_window == 0 => (self.calls.count, now + self.calls.per),
            None => (self.calls.count - self.calls_in_window, self.window_start + self.calls.per),
        };
        quota_headers(left, end.saturating_sub(now), self.calls)
    }

    /// Ends the window of calls and the refusal, if their time is over.
    fn end_window(&mut self, now: Duration) {
        if self.refused_until.is_some_and(|end| now >= end) {
            (self.refused_until, self.calls_in_window) = (None, 0);
        }
        if self.refused_until.is_none() && now >= self.window_start + self.calls.per {
            self.calls_in_window = 0;
        }
    }

    /// Returns the headers about the remaining tokens of the bucket that the purges of one request use.
    pub(crate) fn purge_headers(
        &mut self,
        now: Duration,
        purges: &[AcceptedPurge],
    ) -> [(HeaderName, String); 2] {
        let only_urls = purges.iter().all(|purge| matches!(purge.items, PurgeItems::Files(_)));
        let bucket = if only_urls { &mut self.urls } else { &mut self.flexible };
        let quota = Rate { count: bucket.capacity(), per: bucket.window() };
        quota_headers(bucket.left(now), bucket.until_full(now), quota)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// For any requests at any times: in any time span at most a full bucket plus the tokens that the rate refills.
        #[test]
        fn never_exceeds_its_rate(
            count in 1_u32..3000,
            per_millis in 1_u64..100_000,
            capacity in 1_u32..500,
            requests in proptest::collection::vec((0_u64..2_000_000_000, 1_u32..100), 1..200),
        ) {
            let rate = Rate { count, per: Duration::from_millis(per_millis) };
            let mut bucket = TokenBucket::new(rate, capacity);
            let mut now = Duration::ZERO;
            let mut given: Vec<(Duration, u32)> = Vec::new();
            for (pause, tokens) in requests {
                now += Duration::from_nanos(pause);
                if bucket.take(now, tokens).is_ok() {
                    given.push((now, tokens));
                }
            }
            for (index, (first, _)) in given.iter().enumerate() {
                let mut sum = 0_u128;
                for (last, tokens) in &given[index..] {
                    sum += u128::from(*tokens);
                    let span = (*last - *first).as_nanos();
                    let refilled = span * u128::from(count) / rate.per.as_nanos() + 1;
                    prop_assert!(sum <= u128::from(capacity) + refilled);
                }
            }
        }

        /// A client that waits as long as demanded gets the tokens; a client that waits a nanosecond less does not.
        #[test]
        fn the_wait_is_exact(
            count in 1_u32..3000,
            per_millis in 1_u64..100_000,
            capacity in 1_u32..500,
            tokens in 1_u32..500,
            begin in 0_u64..10_000_000_000,
        ) {
            let rate = Rate { count, per: Duration::from_millis(per_millis) };
            let mut bucket = TokenBucket::new(rate, capacity);
            let begin = Duration::from_nanos(begin);
            prop_assert_eq!(bucket.take(begin, capacity), Ok(()));
            match bucket.take(begin, tokens) {
                Err(Duration::MAX) => prop_assert!(tokens > capacity),
                Err(wait) => {
                    prop_assert!(bucket.clone().take(begin + wait - Duration::from_nanos(1), tokens).is_err());
                    prop_assert_eq!(bucket.take(begin + wait, tokens), Ok(()));
                }
                Ok(()) => prop_assert!(false, "an empty bucket gave {} tokens", tokens),
            }
        }
    }

    #[test]
    fn a_time_in_the_past_refills_nothing() {
        let mut bucket = TokenBucket::new(Rate { count: 1, per: Duration::from_secs(1) }, 1);
        let second = Duration::from_secs(1);
        assert_eq!(bucket.take(second * 10, 1), Ok(()));
        assert_eq!(bucket.take(second * 5, 1), Err(second));
        assert_eq!(bucket.take(second * 11, 1), Ok(()));
    }

    #[test]
    fn seconds_are_rounded_up() {
        let rows = [(0, 0), (1, 1), (999_999_999, 1), (1_000_000_000, 1), (1_000_000_001, 2)];
        for (nanos, seconds) in rows {
            assert_eq!(whole_seconds(Duration::from_nanos(nanos)), seconds);
        }
    }
}
