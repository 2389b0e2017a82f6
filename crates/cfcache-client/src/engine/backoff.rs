use core::time::Duration;

use crate::engine::Policy;

/// The waits before a retry: exponential, with jitter.
impl Policy {
    /// Full jitter: a random wait between zero and `base · 2ⁿ`, where `n` is the number of previous failures.
    ///
    /// For failures of one request: other requests continue, and requests that failed together do not retry together.
    pub(super) fn full_jitter(&self, failures: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        let ceiling = self.backoff_base.saturating_mul(factor).min(self.backoff_cap);
        between(Duration::ZERO, ceiling, random)
    }

    /// Decorrelated jitter: two to three times the previous wait, and at most four times the cap.
    ///
    /// For a server that says "too many requests" without a wait: all requests wait, longer each time. The ten waits of
    /// the default policy together exceed the five minutes for which the API blocks an account that exceeds its global
    /// quota.
    pub(super) fn decorrelated(&self, previous: Option<Duration>, random: u64) -> Duration {
        let cap = self.backoff_cap.saturating_mul(4);
        let least = previous.map_or(self.backoff_base, |previous| previous.saturating_mul(2)).min(cap);
        let most = previous.unwrap_or(self.backoff_base).saturating_mul(3).min(cap);
        between(least, most, random)
    }
}

fn between(low: Duration, high: Duration, random: u64) -> Duration {
    let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
    low + high.saturating_sub(low).mul_f64(unit)
}

/// Returns a random number, and changes the state: the SplitMix64 generator, which is small and good enough to randomize
/// waits.
pub(super) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A random seed for each process, so that machines that failed together do not retry together.
pub(super) fn entropy() -> u64 {
    use core::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
