use core::time::Duration;

/// Less than this is no shortage: it is the rounding of a division.
const CRUMB: f64 = 1e-6;

/// No wait is longer: what would be is for a bucket that never refills.
const FOREVER: f64 = 1e9;

/// A token bucket that answers "not before T" and never sleeps.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    /// When `tokens` was right.
    at: Duration,
}

impl Bucket {
    /// A full bucket that holds `capacity` tokens and refills at `per_second`.
    #[must_use]
    pub(super) const fn new(per_second: f64, capacity: f64) -> Self {
        Self { per_second, capacity, tokens: capacity, at: Duration::ZERO }
    }

    /// When `cost` tokens will be there, if nobody takes any before; not before `now`.
    ///
    /// A cost over the bucket's capacity is there when the bucket is full.
    #[must_use]
    pub(super) fn ready_at(&self, now: Duration, cost: f64) -> Duration {
        let missing = cost.min(self.capacity) - self.tokens_at(now);
        match missing > CRUMB {
            true => now.saturating_add(seconds(missing / self.per_second)),
            false => now,
        }
    }

    /// Takes `cost` tokens, into debt where they are not there.
    pub(super) fn take(&mut self, now: Duration, cost: f64) {
        self.settle(now);
        self.tokens -= cost;
    }

    /// Empties the bucket: the server just said that its own is.
    pub(super) fn drain(&mut self, now: Duration) {
        self.settle(now);
        self.tokens = self.tokens.min(0.0);
    }

    /// Refills at another rate, and up to another level, from now on. What was taken stays taken.
    pub(super) fn resize(&mut self, now: Duration, per_second: f64, capacity: f64) {
        self.settle(now);
        self.per_second = per_second;
        self.capacity = capacity;
        self.tokens = self.tokens.min(capacity);
    }

    /// How many tokens are missing for the bucket to be full.
    #[must_use]
    pub(super) fn missing(&self, now: Duration) -> f64 {
        self.capacity - self.tokens_at(now)
    }

    fn tokens_at(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens + passed * self.per_second).min(self.capacity)
    }

    fn settle(&mut self, now: Duration) {
        self.tokens = self.tokens_at(now);
        self.at = self.at.max(now);
    }
}

/// A time in seconds, rounded up to the next microsecond so that waiting for it is waiting long enough.
fn seconds(seconds: f64) -> Duration {
    Duration::from_micros((seconds.min(FOREVER) * 1e6).ceil() as u64)
}
