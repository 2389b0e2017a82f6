//! The rate limit of a source.

use std::time::Duration;

use tokio::time::Instant;

/// The burst: the items of this much time may arrive at once.
const BURST: Duration = Duration::from_secs(10);

/// A rate of items, stored as the time until which they are paid.
///
/// A message is accepted if all but ten seconds of the earlier items are paid. It may contain any number of items, and
/// all of them count. So even the largest message is accepted at some time, and the average rate is exact.
#[derive(Debug)]
pub(crate) struct RateLimit {
    interval: Duration,
    paid_until: Option<Instant>,
}

impl RateLimit {
    /// Creates a limit of this many items per second. Returns `None` for a rate that is not above zero.
    #[must_use]
    pub(crate) fn per_second(items: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(items.recip()).ok().filter(|time| !time.is_zero())?;
        Some(Self { interval, paid_until: None })
    }

    /// Returns the time until the next message is accepted; zero if it is accepted now.
    #[must_use]
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.paid_until
            .map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now).saturating_sub(BURST))
    }

    /// Charges for this many items.
    pub(crate) fn charge(&mut self, now: Instant, items: u32) {
        let paid = self.paid_until.map_or(now, |paid| paid.max(now));
        let cost = self.interval.saturating_mul(items);
        // A time beyond the range of the clock counts as never.
        self.paid_until = Some(paid.checked_add(cost).unwrap_or(paid));
    }

    /// Returns the charge for items that were not stored.
    pub(crate) fn refund(&mut self, items: u32) {
        let cost = self.interval.saturating_mul(items);
        self.paid_until = self.paid_until.and_then(|paid| paid.checked_sub(cost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_rate_is_exact() {
        let begun = Instant::now();
        for size in [1, 7, 100, 5000] {
            let mut rate = RateLimit::per_second(50.0).unwrap();
            let (mut let_in, mut now) = (0_u32, begun);
            while now < begun + Duration::from_secs(3600) {
                if rate.wait(now).is_zero() {
                    rate.charge(now, size);
                    let_in += size;
                } else {
                    now += rate.wait(now);
                }
            }
            let most = 50 * 3600 + 50 * 10 + size;
            assert!((most - size..=most).contains(&let_in), "{let_in} items in messages of {size}");
        }
    }

    #[test]
    fn allows_a_burst_of_ten_seconds_and_returns_the_wait() {
        let now = Instant::now();
        let mut rate = RateLimit::per_second(2.0).unwrap();
        rate.charge(now, 20);
        assert_eq!(rate.wait(now), Duration::ZERO);
        rate.charge(now, 10);
        assert_eq!(rate.wait(now), Duration::from_secs(5));
        assert_eq!(rate.wait(now + Duration::from_secs(5)), Duration::ZERO);
        rate.refund(10);
        assert_eq!(rate.wait(now), Duration::ZERO);
    }

    #[test]
    fn refuses_a_rate_that_is_not_above_zero() {
        for items in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(RateLimit::per_second(items).is_none(), "{items}");
        }
        assert!(RateLimit::per_second(0.1).is_some());
    }
}
