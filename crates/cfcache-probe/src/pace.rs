//! Limits the request rate for one host, and lowers it if the host is overloaded.

use core::time::Duration;

use crate::answer::VisitorAnswer;

/// The number of answers in a latency measurement.
const SAMPLE_SIZE: u32 = 16;

/// An increase of the latency below this does not count as doubling, however low the latency was.
const MIN_LATENCY_INCREASE: Duration = Duration::from_millis(50);

/// A request that starts at most this late does not lower the rate: the next interval starts at the time when it was
/// due.
const MAX_LATENESS: Duration = Duration::from_millis(10);

/// Intervals are longer than the rate requires by this factor. So no second contains more requests than allowed, even
/// if the first of them was late and the last was not.
const INTERVAL_MARGIN: f64 = 1.02;

/// The rate is never lower than the limit divided by this.
const MAX_SLOWDOWN: f64 = 16.0;

/// The request limits for one host.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of concurrent requests.
    pub at_once: usize,
    /// The maximum number of requests per second, evenly spaced; `None` means no limit.
    pub per_second: Option<f64>,
}

impl Limits {
    /// The limits for probes: 4 concurrent requests, 10 per second.
    pub const PROBE: Self = Self::new(4, Some(10.0));
    /// The limits for warming: 2 concurrent requests, 5 per second.
    pub const WARM: Self = Self::new(2, Some(5.0));

    /// Creates limits.
    #[must_use]
    pub const fn new(at_once: usize, per_second: Option<f64>) -> Self {
        Self { at_once, per_second }
    }
}

/// The effect of a result on the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// An answer, with its latency.
    Fine(Duration),
    /// 429 or 5xx: the host is overloaded. It may demand a waiting time.
    Overloaded(Option<Duration>),
    /// No answer.
    Silent,
}

impl Reaction {
    /// Returns the effect of an answer that took this long, or of none.
    pub(crate) const fn new(answer: Option<&VisitorAnswer>, latency: Duration) -> Self {
        match answer {
            Some(answer) if answer.status == 429 || answer.status >= 500 => {
                Self::Overloaded(answer.retry_after)
            }
            Some(_) => Self::Fine(latency),
            None => Self::Silent,
        }
    }
}

/// The request rate of one host. All `now` values are counted from the same moment.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    limits: Limits,
    in_flight: usize,
    /// The start of the current interval: when the last request was due, or when it started if that was much later.
    last: Option<Duration>,
    /// The host demanded no requests before this time.
    blocked_until: Duration,
    /// The factor by which the limits are divided; 1 is the full rate.
    slowdown: f64,
    /// When the rate was halved. Requests that were in flight then say nothing about the new rate.
    halved_at: Option<Duration>,
    /// The best average latency so far, and the current measurement.
    best: Option<Duration>,
    sum: Duration,
    samples: u32,
}

impl Pace {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            in_flight: 0,
            last: None,
            blocked_until: Duration::ZERO,
            slowdown: 1.0,
            halved_at: None,
            best: None,
            sum: Duration::ZERO,
            samples: 0,
        }
    }

    /// Returns when the next request may start, not before `now`; `None` while too many requests are in flight.
    pub(crate) fn ready_at(&self, now: Duration) -> Option<Duration> {
        if self.in_flight >= self.at_once() {
            return None;
        }
        let spaced = self.last.map_or(now, |last| last.saturating_add(self.interval()));
        Some(now.max(spaced).max(self.blocked_until))
    }

    /// Returns until when the host demanded no requests.
    pub(crate) const fn blocked_until(&self) -> Duration {
        self.blocked_until
    }

    pub(crate) fn start(&mut self, now: Duration) {
        self.in_flight += 1;
        let due = self.last.map_or(now, |last| last.saturating_add(self.interval()));
        self.last = Some(due.clamp(now.saturating_sub(MAX_LATENESS), now));
    }

    /// Records the end of a request that started at `started`.
    pub(crate) fn end(&mut self, now: Duration, started: Duration, reaction: Reaction) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match reaction {
            Reaction::Fine(latency) => self.measure(now, started, latency),
            Reaction::Overloaded(wait) => {
                self.halve(now, started);
                if let Some(wait) = wait {
                    self.blocked_until = self.blocked_until.max(now.saturating_add(wait));
                }
            }
            Reaction::Silent => {}
        }
    }

    fn measure(&mut self, now: Duration, started: Duration, latency: Duration) {
        if self.halved_at.is_some_and(|halved| started < halved) {
            return;
        }
        self.sum += latency;
        self.samples += 1;
        if self.samples < SAMPLE_SIZE {
            return;
        }
        let average = self.sum / SAMPLE_SIZE;
        (self.sum, self.samples) = (Duration::ZERO, 0);
        match self.best {
            Some(best) if average >= best * 2 && average - best >= MIN_LATENCY_INCREASE => {
                self.halve(now, started)
            }
            // The latency is good: raise the rate in steps, each smaller than the reduction.
            _ => self.slowdown = (self.slowdown / 1.25).max(1.0),
        }
        self.best = Some(self.best.map_or(average, |best| best.min(average)));
    }

    fn halve(&mut self, now: Duration, started: Duration) {
        if self.halved_at.is_some_and(|halved| started < halved) {
            return;
        }
        self.halved_at = Some(now);
        self.slowdown = (self.slowdown * 2.0).min(MAX_SLOWDOWN);
        (self.sum, self.samples) = (Duration::ZERO, 0);
    }

    fn at_once(&self) -> usize {
        // The limit is a small number, so this does not overflow.
        ((self.limits.at_once as f64 / self.slowdown) as usize).max(1)
    }

    fn interval(&self) -> Duration {
        match self.limits.per_second {
            Some(rate) if rate > 0.0 => Duration::from_secs_f64(INTERVAL_MARGIN * self.slowdown / rate),
            // Even without a limit, the host may have reported an overload.
            _ if self.slowdown > 1.0 => Duration::from_secs_f64(self.slowdown / 100.0),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Runs a host that answers after `latency`. Returns the start of each request.
    fn starts(
        limits: Limits,
        until: Duration,
        react: impl Fn(Duration) -> (Duration, Reaction),
    ) -> Vec<Duration> {
        late_starts(limits, until, react, || Duration::ZERO)
    }

    /// Does the same with timers that fire too late.
    fn late_starts(
        limits: Limits,
        until: Duration,
        react: impl Fn(Duration) -> (Duration, Reaction),
        mut late: impl FnMut() -> Duration,
    ) -> Vec<Duration> {
        let mut pace = Pace::new(limits);
        let mut flying: Vec<(Duration, Duration, Reaction)> = Vec::new();
        let (mut now, mut starts) = (Duration::ZERO, Vec::new());
        while now < until {
            let ready = pace.ready_at(now);
            if ready.is_some_and(|ready| ready <= now) {
                pace.start(now);
                starts.push(now);
                let (latency, reaction) = react(now);
                flying.push((now + latency, now, reaction));
                continue;
            }
            let first = flying.iter().map(|(end, ..)| *end).min();
            now = [ready, first].into_iter().flatten().min().unwrap() + late();
            flying.retain(|(end, started, reaction)| {
                if *end <= now {
                    pace.end(now, *started, *reaction);
                }
                *end > now
            });
        }
        starts
    }

    fn most_in_a_second(starts: &[Duration]) -> usize {
        let mut first = 0;
        let within = |(number, at): (usize, &Duration)| {
            while starts[first] + ms(1000) <= *at {
                first += 1;
            }
            number + 1 - first
        };
        starts.iter().enumerate().map(within).max().unwrap_or(0)
    }

    #[test]
    fn keeps_the_rate_within_5_percent_and_never_exceeds_it() {
        for rate in [0.5, 1.0, 3.0, 5.0, 10.0, 25.0, 100.0, 400.0] {
            for late_by in [0, 1, 3, 8, 40] {
                let mut chance = 0x2545_F491_4F6C_DD1D_u64;
                let late = || {
                    chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    Duration::from_micros((chance >> 33) % (1000 * late_by + 1))
                };
                let limits = Limits::new(64, Some(rate));
                let starts = late_starts(limits, ms(60_000), |_| (ms(80), Reaction::Fine(ms(80))), late);
                let allowed = (rate as usize).max(1);
                assert!(most_in_a_second(&starts) <= allowed, "{rate}, late by {late_by} ms");
                // Only timers that are later than this lower the rate.
                if late_by <= 8 {
                    let least = 0.95 * rate * 60.0;
                    assert!(starts.len() as f64 >= least, "{rate}, late by {late_by} ms: {}", starts.len());
                }
            }
        }
    }

    #[test]
    fn limits_concurrent_requests_with_slow_answers() {
        // 4 concurrent requests of 2 s each are 2 per second.
        let starts = starts(Limits::PROBE, ms(60_000), |_| (ms(2000), Reaction::Fine(ms(2000))));
        assert!((115..=124).contains(&starts.len()), "{}", starts.len());
    }

    #[test]
    fn without_a_rate_only_concurrency_is_limited() {
        let starts = starts(Limits::new(4, None), ms(1000), |_| (ms(10), Reaction::Fine(ms(10))));
        assert_eq!(starts.len(), 400);
    }

    #[test]
    fn overload_halves_the_rate_once_for_all_requests_in_flight() {
        let limits = Limits::new(4, Some(10.0));
        let mut pace = Pace::new(limits);
        for at in [0, 100, 200, 300] {
            pace.start(ms(at));
        }
        for at in [0, 100, 200, 300] {
            pace.end(ms(400), ms(at), Reaction::Overloaded(None));
        }
        assert_eq!((pace.slowdown, pace.at_once()), (2.0, 2));
        assert_eq!(pace.ready_at(ms(400)), Some(ms(504)));
    }

    #[test]
    fn waits_as_long_as_the_host_demands() {
        let mut pace = Pace::new(Limits::WARM);
        pace.start(ms(0));
        pace.end(ms(10), ms(0), Reaction::Overloaded(Some(ms(7000))));
        assert_eq!(pace.ready_at(ms(20)), Some(ms(7010)));
    }

    #[test]
    fn a_doubled_latency_halves_the_rate_until_it_recovers() {
        let slow = |at: Duration| if (ms(20_000)..ms(30_000)).contains(&at) { ms(300) } else { ms(100) };
        let starts = starts(Limits::PROBE, ms(120_000), |at| (slow(at), Reaction::Fine(slow(at))));
        let count = |from: u64, to: u64| starts.iter().filter(|at| (ms(from)..ms(to)).contains(*at)).count();
        assert_eq!(count(0, 20_000), 197);
        assert!(count(24_000, 30_000) <= 36, "{}", count(24_000, 30_000));
        assert!((196..=197).contains(&count(100_000, 120_000)));
    }

    #[test]
    fn the_rate_is_at_least_a_sixteenth() {
        let starts = starts(Limits::PROBE, ms(600_000), |_| (ms(10), Reaction::Overloaded(None)));
        assert!((365..=400).contains(&starts.len()), "{}", starts.len());
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] <= ms(1632)));
    }

    #[test]
    fn small_latency_changes_do_not_count() {
        let starts = starts(Limits::PROBE, ms(60_000), |at| {
            let latency = if at < ms(10_000) { Duration::from_micros(300) } else { ms(20) };
            (latency, Reaction::Fine(latency))
        });
        assert_eq!(starts.len(), 589);
    }
}
