use core::time::Duration;
use std::collections::VecDeque;

use cfcache_model::limits::Rate;

/// Allows at most `count` requests in any window of a given length, counted exactly.
///
/// A token bucket would not work: a bucket that holds a whole quota allows twice the quota in the first window, and an
/// account that exceeds such a quota is blocked for a whole window.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    rate: Rate,
    /// When the last requests were sent, the oldest first.
    sent: VecDeque<Duration>,
}

impl SlidingWindow {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, sent: VecDeque::new() }
    }

    /// Uses another rate from now on. Earlier requests count.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// When one more request may be sent; at least `now`.
    pub(super) fn ready_at(&self, now: Duration) -> Duration {
        let Some(index) = self.sent.len().checked_sub(self.count()) else { return now };
        self.sent.get(index).map_or(now, |sent| now.max(sent.saturating_add(self.rate.per)))
    }

    pub(super) fn take(&mut self, now: Duration) {
        while self.sent.front().is_some_and(|sent| sent.saturating_add(self.rate.per) <= now) {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// The time until `requests` further requests could have been sent.
    pub(super) fn time_for(&self, now: Duration, requests: u64) -> Duration {
        let current = self.sent.iter().filter(|sent| sent.saturating_add(self.rate.per) > now);
        let used = current.clone().count() as u64;
        let count = self.count() as u64;
        // With `count` per window, each request waits for the one that is `count` before it.
        let Some(last) = (used + requests).checked_sub(count + 1) else { return Duration::ZERO };
        let windows = u32::try_from(1 + last / count).unwrap_or(u32::MAX);
        let oldest = current.clone().next().copied().unwrap_or(now);
        let first = current.clone().nth(usize::try_from(last % count).unwrap_or(usize::MAX)).copied();
        let first = first.unwrap_or(if last < count { now } else { oldest.max(now) });
        first.saturating_add(self.rate.per.saturating_mul(windows)).saturating_sub(now)
    }

    fn count(&self) -> usize {
        self.rate.count.max(1) as usize
    }
}
