//! How much a source may send.

use std::time::Duration;

use tokio::time::Instant;

/// So many seconds' worth of items may come at once.
const BURST: Duration = Duration::from_secs(10);

/// A rate of items, as the time that they are paid until.
///
/// A message is let in as long as what came before is paid for but for ten seconds' worth; it may then hold any number of
/// items, all of which count. So there is no message that could never come in, and over time the rate is exact.
#[derive(Debug)]
pub(crate) struct RateLimit {
    interval: Duration,
    paid_until: Option<Instant>,
}

impl RateLimit {
    /// So many items a second. `None` for a rate that is not above zero.
    #[must_use]
    pub(crate) fn per_second(items: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(items.recip()).ok().filter(|time| !time.is_zero())?;
        Some(Self { interval, paid_until: None })
    }

    /// How long it is until the next message is let in; zero for now.
    #[must_use]
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        self.paid_until
            .map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now).saturating_sub(BURST))
    }

    /// Charges for so many items.
    pub(crate) fn charge(&mut self, now: Instant, items: u32) {
        let paid = self.paid_until.map_or(now, |paid| paid.max(now));
        let cost = self.interval.saturating_mul(items);
        // A time that no clock reaches is never.
        self.paid_until = Some(paid.checked_add(cost).unwrap_or(paid));
    }

    /// Takes back what was charged for items that were not stored.
    pub(crate) fn refund(&mut self, items: u32) {
        let cost = self.interval.saturating_mul(items);
        self.paid_until = self.paid_until.and_then(|paid| paid.checked_sub(cost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_the_rate_is_exact() {
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
    fn ten_seconds_worth_come_at_once_and_the_wait_is_told() {
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
    fn a_rate_is_above_zero() {
        for items in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(RateLimit::per_second(items).is_none(), "{items}");
        }
        assert!(RateLimit::per_second(0.1).is_some());
    }
}
