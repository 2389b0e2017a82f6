use core::time::Duration;
use std::collections::VecDeque;

use cfcache_model::limits::Rate;

/// At most so many in any stretch of so long, counted exactly.
///
/// A token bucket would not do: one that holds a whole quota lets two of them through in the first stretch, and whoever
/// exceeds a quota of this sort is shut out for a whole stretch.
#[derive(Debug)]
pub(super) struct Window {
    rate: Rate,
    /// When the last ones went out, the oldest first.
    sent: VecDeque<Duration>,
}

impl Window {
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

    fn count(&self) -> usize {
        self.rate.count.max(1) as usize
    }
}
