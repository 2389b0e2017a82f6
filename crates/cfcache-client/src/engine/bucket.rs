use core::time::Duration;

/// Shortages below this are rounding errors.
const CRUMB: f64 = 1e-6;

/// The longest wait, for a bucket that never refills.
const FOREVER: f64 = 1e9;

/// The server's bucket starts to refill when the server receives the first request, which is later than the time it was
/// sent, because the connection has to be opened first. This many seconds are assumed until a response shows that the
/// server received it.
const LAG_SECONDS: f64 = 0.3;

/// A token bucket that returns the time at which tokens are available, and never waits.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    /// The time at which `tokens` was correct; if it is in the future, refilling starts then.
    at: Duration,
    /// When the request was sent that starts the refill of the server's bucket, while it is not known that the server
    /// received it.
    unseen: Option<Duration>,
}

impl Bucket {
    /// A full bucket with `capacity` tokens that refills at `per_second`.
    pub(super) const fn new(per_second: f64, capacity: f64) -> Self {
        Self { per_second, capacity, tokens: capacity, at: Duration::ZERO, unseen: None }
    }

    /// The time at which `cost` tokens are available if nobody takes any before; at least `now`.
    ///
    /// A cost above the capacity is available when the bucket is full.
    pub(super) fn ready_at(&self, now: Duration, cost: f64) -> Duration {
        let missing = cost.min(self.capacity) - self.tokens_at(now);
        if missing > CRUMB {
            now.max(self.at).saturating_add(seconds(missing / self.per_second))
        } else {
            now
        }
    }

    /// Takes `cost` tokens; the level becomes negative if there are not enough.
    pub(super) fn take(&mut self, now: Duration, cost: f64) {
        self.settle(now);
        let lag = LAG_SECONDS - (self.capacity - self.tokens) / self.per_second;
        if lag > 0.0 {
            self.at = self.at.max(now.saturating_add(seconds(lag)));
            self.unseen = Some(now);
        }
        self.tokens -= cost;
    }

    /// Takes tokens that were used earlier.
    pub(super) fn spend(&mut self, now: Duration, tokens: f64) {
        self.settle(now);
        self.tokens -= tokens;
    }

    /// Reports a response to a request sent at `sent`, which shows that the server has received it.
    pub(super) fn answered(&mut self, now: Duration, sent: Duration) {
        if self.unseen.is_some_and(|unseen| sent >= unseen) {
            self.unseen = None;
            self.at = self.at.min(now);
        }
    }

    /// Empties the bucket, because the server reported that its bucket is empty.
    pub(super) fn drain(&mut self, now: Duration) {
        self.settle(now);
        self.tokens = self.tokens.min(0.0);
        self.at = now;
        self.unseen = None;
    }

    /// Changes the rate and the capacity from now on. Tokens that were taken stay taken.
    pub(super) fn resize(&mut self, now: Duration, per_second: f64, capacity: f64) {
        self.settle(now);
        self.per_second = per_second;
        self.capacity = capacity;
        self.tokens = self.tokens.min(capacity);
    }

    /// The number of tokens by which the bucket is not full.
    pub(super) fn missing(&self, now: Duration) -> f64 {
        self.capacity - self.tokens_at(now)
    }

    /// The time until `cost` further tokens could have been taken.
    pub(super) fn time_for(&self, now: Duration, cost: f64) -> Duration {
        let missing = cost - self.tokens_at(now);
        if missing > 0.0 { seconds(missing / self.per_second) } else { Duration::ZERO }
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

/// Converts seconds to a duration, rounded up to microseconds so that the wait is long enough.
fn seconds(seconds: f64) -> Duration {
    Duration::from_micros((seconds.min(FOREVER) * 1e6).ceil() as u64)
}
