use core::time::Duration;

/// How long to wait before a try, drawn from a seed so that a run can be repeated exactly.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    base: Duration,
    cap: Duration,
    state: u64,
}

impl Backoff {
    /// Waits around `base` at first and never longer than `cap`.
    #[must_use]
    pub(super) const fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, state: seed }
    }

    /// Full jitter: anything from nothing up to `base · 2ⁿ`, where `n` is how often it failed before.
    ///
    /// For failures of one request: others go on, and those that failed together do not come back together.
    pub(super) fn full_jitter(&mut self, failures: u32) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(self.cap);
        self.between(Duration::ZERO, ceiling)
    }

    /// Decorrelated jitter: from two to three times the wait before, and never longer than four times the cap.
    ///
    /// For a server that says "too many" without saying how long: everything waits, and longer each time. The ten waits
    /// of the default policy outlast the five minutes for which the API shuts out whoever exceeds its global quota.
    pub(super) fn decorrelated(&mut self, previous: Option<Duration>) -> Duration {
        let cap = self.cap.saturating_mul(4);
        let least = previous.map_or(self.base, |previous| previous.saturating_mul(2)).min(cap);
        let most = previous.unwrap_or(self.base).saturating_mul(3).min(cap);
        self.between(least, most)
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let unit = (self.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        low + high.saturating_sub(low).mul_f64(unit)
    }

    /// The next number of the SplitMix64 sequence: small, and good enough to spread waits.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
