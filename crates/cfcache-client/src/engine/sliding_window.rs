use core::time::Duration;
use std::collections::VecDeque;

use cfcache_model::limits::Rate;

/// At most so many in any stretch of so long, counted exactly.
///
/// A token bucket would not do: one that holds a whole quota lets two of them through in the first stretch, and whoever
/// exceeds a quota of this sort is shut out for a whole stretch.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    rate: Rate,
    /// When the last ones went out, the oldest first.
    sent: VecDeque<Duration>,
}

impl SlidingWindow {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, sent: VecDeque::new() }
    }

    /// Allows another rate from now on. What went out before counts.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// When one more may go out; not before `now`.
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

    /// How long it takes until so many more could have gone out.
    pub(super) fn time_for(&self, now: Duration, requests: u64) -> Duration {
        let current = self.sent.iter().filter(|sent| sent.saturating_add(self.rate.per) > now);
        let used = current.clone().count() as u64;
        let count = self.count() as u64;
        // Of each `count` that go out, the last waits for what went out as many before it.
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
