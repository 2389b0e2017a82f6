//! How fast one host is asked: politely, and more slowly where it shows that this is too much.

use core::time::Duration;

/// How many answers make a measurement of the latency.
const SAMPLE: u32 = 16;

/// A latency that grew by less than this has not doubled, however small it was.
const NOISE: Duration = Duration::from_millis(50);

/// A timer may wake this much too late without a cost to the rate: the next request is measured from when this one was
/// due.
const LATE: Duration = Duration::from_millis(10);

/// Requests are this much further apart than the rate says, so that no second has more of them than it allows, even where
/// the first of them was late and the last was not.
const MARGIN: f64 = 1.02;

/// The rate is not halved below the limit divided by this.
const SLOWEST: f64 = 16.0;

/// How much one host may be asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// At most so many requests at once.
    pub at_once: usize,
    /// At most so many requests a second, evenly spaced; `None` is without a limit.
    pub per_second: Option<f64>,
}

impl Limits {
    /// For probes: 4 at once, 10 a second.
    pub const PROBE: Self = Self::new(4, Some(10.0));
    /// For warming: 2 at once, 5 a second.
    pub const WARM: Self = Self::new(2, Some(5.0));

    /// So many requests at once, and so many a second.
    #[must_use]
    pub const fn new(at_once: usize, per_second: Option<f64>) -> Self {
        Self { at_once, per_second }
    }
}

/// What an answer says about the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction {
    /// An answer, after so long.
    Fine(Duration),
    /// 429 or 5xx: the host has too much to do. It may demand a wait.
    Overloaded(Option<Duration>),
    /// No answer.
    Silent,
}

/// The pace of one host. `now` counts from any moment, the same for all calls.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    limits: Limits,
    in_flight: usize,
    /// When the last request was due to start, or did if it was much later: where the next one's distance is measured
    /// from.
    last: Option<Duration>,
    /// The host demanded to be left alone until then.
    hold: Duration,
    /// By how much the limits are divided: 1 is the full pace.
    slowdown: f64,
    /// What was in flight when the pace was halved says nothing about the new pace.
    halved_at: Option<Duration>,
    /// The best average latency that was measured, and the running measurement.
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
            hold: Duration::ZERO,
            slowdown: 1.0,
            halved_at: None,
            best: None,
            sum: Duration::ZERO,
            samples: 0,
        }
    }

    /// When the next request may start, not before `now`; `None` while too many are in flight.
    pub(crate) fn ready_at(&self, now: Duration) -> Option<Duration> {
        if self.in_flight >= self.at_once() {
            return None;
        }
        let spaced = self.last.map_or(now, |last| last.saturating_add(self.interval()));
        Some(now.max(spaced).max(self.hold))
    }

    pub(crate) fn start(&mut self, now: Duration) {
        self.in_flight += 1;
        let due = self.last.map_or(now, |last| last.saturating_add(self.interval()));
        self.last = Some(due.clamp(now.saturating_sub(LATE), now));
    }

    /// A request that started at `started` has ended.
    pub(crate) fn end(&mut self, now: Duration, started: Duration, reaction: Reaction) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match reaction {
            Reaction::Fine(latency) => self.measure(now, started, latency),
            Reaction::Overloaded(wait) => {
                self.halve(now, started);
                if let Some(wait) = wait {
                    self.hold = self.hold.max(now.saturating_add(wait));
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
        if self.samples < SAMPLE {
            return;
        }
        let average = self.sum / SAMPLE;
        (self.sum, self.samples) = (Duration::ZERO, 0);
        match self.best {
            Some(best) if average >= best * 2 && average - best >= NOISE => self.halve(now, started),
            // It goes well: back to the full pace by steps, each smaller than what was given up.
            _ => self.slowdown = (self.slowdown / 1.25).max(1.0),
        }
        self.best = Some(self.best.map_or(average, |best| best.min(average)));
    }

    fn halve(&mut self, now: Duration, started: Duration) {
        if self.halved_at.is_some_and(|halved| started < halved) {
            return;
        }
        self.halved_at = Some(now);
        self.slowdown = (self.slowdown * 2.0).min(SLOWEST);
        (self.sum, self.samples) = (Duration::ZERO, 0);
    }

    fn at_once(&self) -> usize {
        // More than `usize` holds of nothing: the limit is a small number.
        ((self.limits.at_once as f64 / self.slowdown) as usize).max(1)
    }

    fn interval(&self) -> Duration {
        match self.limits.per_second {
            Some(rate) if rate > 0.0 => Duration::from_secs_f64(MARGIN * self.slowdown / rate),
            // Without a limit there is still a host that may have said that it has too much to do.
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

    /// Runs a host that answers after `latency`, and gives when each request started.
    fn starts(
        limits: Limits,
        until: Duration,
        react: impl Fn(Duration) -> (Duration, Reaction),
    ) -> Vec<Duration> {
        late_starts(limits, until, react, || Duration::ZERO)
    }

    /// The same with timers that wake too late.
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
    fn the_rate_is_kept_to_within_5_percent_and_never_exceeded() {
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
                // A timer that is later than that costs what it is late.
                if late_by <= 8 {
                    let least = 0.95 * rate * 60.0;
                    assert!(starts.len() as f64 >= least, "{rate}, late by {late_by} ms: {}", starts.len());
                }
            }
        }
    }

    #[test]
    fn slow_answers_leave_no_more_than_so_many_in_flight() {
        // 4 at once, 2 s each: 2 a second.
        let starts = starts(Limits::PROBE, ms(60_000), |_| (ms(2000), Reaction::Fine(ms(2000))));
        assert!((115..=124).contains(&starts.len()), "{}", starts.len());
    }

    #[test]
    fn without_a_rate_only_the_number_at_once_counts() {
        let starts = starts(Limits::new(4, None), ms(1000), |_| (ms(10), Reaction::Fine(ms(10))));
        assert_eq!(starts.len(), 400);
    }

    #[test]
    fn too_many_requests_halve_the_pace_once_for_all_in_flight() {
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
    fn a_demanded_wait_is_kept() {
        let mut pace = Pace::new(Limits::WARM);
        pace.start(ms(0));
        pace.end(ms(10), ms(0), Reaction::Overloaded(Some(ms(7000))));
        assert_eq!(pace.ready_at(ms(20)), Some(ms(7010)));
    }

    #[test]
    fn a_latency_that_doubles_halves_the_pace_and_one_that_recovers_restores_it() {
        let slow = |at: Duration| if (ms(20_000)..ms(30_000)).contains(&at) { ms(300) } else { ms(100) };
        let starts = starts(Limits::PROBE, ms(120_000), |at| (slow(at), Reaction::Fine(slow(at))));
        let count = |from: u64, to: u64| starts.iter().filter(|at| (ms(from)..ms(to)).contains(*at)).count();
        assert_eq!(count(0, 20_000), 197);
        assert!(count(24_000, 30_000) <= 36, "{}", count(24_000, 30_000));
        assert!((196..=197).contains(&count(100_000, 120_000)));
    }

    #[test]
    fn it_is_never_slower_than_a_sixteenth() {
        let starts = starts(Limits::PROBE, ms(600_000), |_| (ms(10), Reaction::Overloaded(None)));
        assert!((365..=400).contains(&starts.len()), "{}", starts.len());
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] <= ms(1632)));
    }

    #[test]
    fn noise_is_no_doubled_latency() {
        let starts = starts(Limits::PROBE, ms(60_000), |at| {
            let latency = if at < ms(10_000) { Duration::from_micros(300) } else { ms(20) };
            (latency, Reaction::Fine(latency))
        });
        assert_eq!(starts.len(), 589);
    }
}
