use core::time::Duration;

/// Less than this is no shortage: it is the rounding of a division.
const CRUMB: f64 = 1e-6;

/// No wait is longer: what would be is for a bucket that never refills.
const FOREVER: f64 = 1e9;

/// A full bucket begins to refill when the server gets the first request, which is later than when it was sent: the
/// connection has to be opened first. Until an answer shows that the server has it, so many seconds are allowed for.
const LAG_SECONDS: f64 = 0.3;

/// A token bucket that answers "not before T" and never sleeps.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    /// When `tokens` was right; where that is in the future, refilling begins then.
    at: Duration,
    /// When the request was sent that the server may still have to get for its own bucket to begin to refill.
    unseen: Option<Duration>,
}

impl Bucket {
    /// A full bucket that holds `capacity` tokens and refills at `per_second`.
    pub(super) const fn new(per_second: f64, capacity: f64) -> Self {
        Self { per_second, capacity, tokens: capacity, at: Duration::ZERO, unseen: None }
    }

    /// When `cost` tokens will be there, if nobody takes any before; not before `now`.
    ///
    /// A cost over the bucket's capacity is there when the bucket is full.
    pub(super) fn ready_at(&self, now: Duration, cost: f64) -> Duration {
        let missing = cost.min(self.capacity) - self.tokens_at(now);
        if missing > CRUMB {
            now.max(self.at).saturating_add(seconds(missing / self.per_second))
        } else {
            now
        }
    }

    /// Takes `cost` tokens, into debt where they are not there.
    pub(super) fn take(&mut self, now: Duration, cost: f64) {
        self.settle(now);
        let lag = LAG_SECONDS - (self.capacity - self.tokens) / self.per_second;
        if lag > 0.0 {
            self.at = self.at.max(now.saturating_add(seconds(lag)));
            self.unseen = Some(now);
        }
        self.tokens -= cost;
    }

    /// Takes tokens that were taken long before.
    pub(super) fn spend(&mut self, now: Duration, tokens: f64) {
        self.settle(now);
        self.tokens -= tokens;
    }

    /// The server answered a request that was sent at `sent`: it has seen it by now.
    pub(super) fn answered(&mut self, now: Duration, sent: Duration) {
        if self.unseen.is_some_and(|unseen| sent >= unseen) {
            self.unseen = None;
            self.at = self.at.min(now);
        }
    }

    /// Empties the bucket: the server just said that its own is.
    pub(super) fn drain(&mut self, now: Duration) {
        self.settle(now);
        self.tokens = self.tokens.min(0.0);
        self.at = now;
        self.unseen = None;
    }

    /// Refills at another rate, and up to another level, from now on. What was taken stays taken.
    pub(super) fn resize(&mut self, now: Duration, per_second: f64, capacity: f64) {
        self.settle(now);
        self.per_second = per_second;
        self.capacity = capacity;
        self.tokens = self.tokens.min(capacity);
    }

    /// How many tokens are missing for the bucket to be full.
    pub(super) fn missing(&self, now: Duration) -> f64 {
        self.capacity - self.tokens_at(now)
    }

    /// How long it takes until `cost` tokens more could have been taken, one after the other.
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

/// A time in seconds, rounded up to the next microsecond so that waiting for it is waiting long enough.
fn seconds(seconds: f64) -> Duration {
    Duration::from_micros((seconds.min(FOREVER) * 1e6).ceil() as u64)
}
