//! A simulated clock, a network with latency and jitter, and servers with limits.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use cfcache_client::engine::{AttemptResult, Decision, Scheduler, Step, Ticket};
use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::Rate;
use proptest::test_runner::{Config as ProptestConfig, FileFailurePersistence};

/// At least `cases` cases; failing ones are stored and repeated by the next run.
pub(crate) fn proptest_config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions.txt");
    ProptestConfig {
        // The environment variable `PROPTEST_CASES` can demand more.
        cases: if default.cases > 256 { default.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        ..default
    }
}

/// A request that arrives at the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) now: Duration,
    pub(crate) job: usize,
    /// The number of the attempt, counted from 1.
    pub(crate) attempt: u32,
    pub(crate) cost: Cost,
}

/// Answers requests in the order of their arrival.
pub(crate) type Server<'a> = dyn FnMut(Arrival) -> AttemptResult + 'a;

/// A token bucket that is independent of the engine's: it uses integers and never waits.
///
/// A nanosecond adds `rate.count`, and a token costs as many as `rate.per` has nanoseconds.
pub(crate) struct ServerBucket {
    rate: Rate,
    burst: u128,
    level: u128,
    at: Duration,
}

impl ServerBucket {
    pub(crate) fn full(rate: Rate, burst: u32) -> Self {
        let burst = u128::from(burst) * rate.per.as_nanos();
        Self { rate, burst, level: burst, at: Duration::ZERO }
    }

    pub(crate) fn empty(rate: Rate, burst: u32) -> Self {
        Self { level: 0, ..Self::full(rate, burst) }
    }

    pub(crate) fn set_count(&mut self, now: Duration, count: u32) {
        self.refill(now);
        self.rate.count = count;
    }

    fn refill(&mut self, now: Duration) {
        assert!(now >= self.at, "a clock goes forward");
        self.level += (now - self.at).as_nanos() * u128::from(self.rate.count);
        self.level = self.level.min(self.burst);
        self.at = now;
    }

    /// Takes the tokens, or returns the time until they are available.
    pub(crate) fn take(&mut self, now: Duration, tokens: usize) -> Result<(), Duration> {
        self.refill(now);
        let cost = tokens as u128 * self.rate.per.as_nanos();
        if cost <= self.level {
            self.level -= cost;
            return Ok(());
        }
        let nanos = (cost - self.level).div_ceil(u128::from(self.rate.count.max(1)));
        Err(Duration::from_nanos(u64::try_from(nanos).unwrap()))
    }
}

pub(crate) fn tokens(cost: Cost) -> usize {
    match cost {
        Cost::Urls(urls) => urls,
        _ => 1,
    }
}

/// Rounds up to whole seconds, as the API does.
pub(crate) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// Random numbers that are the same in every run.
#[derive(Clone)]
pub(crate) struct TestRandom(pub(crate) u64);

impl TestRandom {
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        // Xorshift, so that it is independent of the engine's jitter.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }

    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let micros = u64::try_from((high - low).as_micros()).unwrap();
        low + Duration::from_micros(self.below(micros + 1))
    }
}

/// The latency of a request and its response.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) random: TestRandom,
    /// The additional latency of the first few requests, which open connections.
    pub(crate) opening: Duration,
    pub(crate) one_way: (Duration, Duration),
}

impl Network {
    /// 50 ms round trip, plus or minus half of it.
    pub(crate) fn jittery(seed: u64) -> Self {
        Self {
            random: TestRandom(seed | 1),
            opening: Duration::from_millis(150),
            one_way: (Duration::from_micros(12_500), Duration::from_micros(37_500)),
        }
    }

    pub(crate) fn steady(round_trip: Duration) -> Self {
        let one_way = (round_trip / 2, round_trip / 2);
        Self { random: TestRandom(1), opening: Duration::ZERO, one_way }
    }

    fn one_way(&mut self) -> Duration {
        self.random.between(self.one_way.0, self.one_way.1)
    }
}

/// The results of a simulated run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Log {
    /// When the last response arrived.
    pub(crate) took: Duration,
    /// For each request: when it was sent, its job, and its cost.
    pub(crate) sent: Vec<(Duration, usize, Cost)>,
    /// For each job that ended: its number, its attempts, whether it is unclear, and its result.
    pub(crate) ended: Vec<(usize, u32, bool, AttemptResult)>,
    /// For each hold: how many requests had been sent when the server demanded it, and its end.
    pub(crate) holds: Vec<(usize, Duration)>,
    pub(crate) refused: usize,
    pub(crate) most_in_flight: usize,
    /// How many times the scheduler was polled.
    pub(crate) asked: usize,
}

enum Move {
    Arrive(Ticket),
    Return(Ticket, AttemptResult),
}

/// Simulated events by time.
#[derive(Default)]
struct Moves {
    order: BinaryHeap<Reverse<(Duration, usize)>>,
    moves: Vec<Option<Move>>,
}

impl Moves {
    fn push(&mut self, at: Duration, what: Move) {
        self.order.push(Reverse((at, self.moves.len())));
        self.moves.push(Some(what));
    }

    fn next_at(&self) -> Option<Duration> {
        self.order.peek().map(|Reverse((at, _))| *at)
    }

    fn pop(&mut self) -> Move {
        let Reverse((_, index)) = self.order.pop().unwrap();
        self.moves[index].take().unwrap()
    }
}

/// Runs a scheduler over jobs until it is done; a job is its own number.
pub(crate) fn run(
    engine: &mut Scheduler<usize>,
    jobs: impl IntoIterator<Item = (Cost, Replay)>,
    server: &mut Server<'_>,
    mut network: Network,
) -> Log {
    let mut jobs = jobs.into_iter().enumerate();
    let mut costs = Vec::new();
    let mut log = Log::default();
    let mut now = Duration::ZERO;
    let mut moves = Moves::default();
    loop {
        log.asked += 1;
        match engine.poll(now) {
            Step::Send(ticket) => {
                let job = *engine.request(ticket).unwrap();
                let opening = if log.sent.len() < 4 { network.opening } else { Duration::ZERO };
                log.sent.push((now, job, costs[job]));
                log.most_in_flight = log.most_in_flight.max(engine.in_flight());
                moves.push(now + opening + network.one_way(), Move::Arrive(ticket));
            }
            Step::Wait { wants_input: true, .. } => match jobs.next() {
                Some((number, (cost, replay))) => {
                    costs.push(cost);
                    engine.push(number, cost, replay);
                }
                None => engine.finish(),
            },
            Step::Wait { until, .. } => {
                assert!(until.is_none_or(|until| until > now), "a wait for the past at {now:?}");
                match (moves.next_at(), until) {
                    (Some(event), until) if until.is_none_or(|until| event <= until) => now = event,
                    (_, Some(until)) => {
                        now = until;
                        continue;
                    }
                    _ => panic!("the engine waits for nothing at {now:?}"),
                }
                match moves.pop() {
                    Move::Arrive(ticket) => {
                        let job = *engine.request(ticket).unwrap();
                        let attempt = engine.attempt(ticket);
                        let signal = server(Arrival { now, job, attempt, cost: costs[job] });
                        log.refused += usize::from(matches!(signal, AttemptResult::RateLimited { .. }));
                        moves.push(now + network.one_way(), Move::Return(ticket, signal));
                    }
                    Move::Return(ticket, signal) => {
                        log.took = now;
                        match engine.on_result(now, ticket, signal) {
                            Decision::Ended(ended) => {
                                log.ended.push((ended.request, ended.attempts, ended.unclear, signal));
                            }
                            Decision::Again { at, holds_all } => {
                                log.holds.extend(holds_all.then_some((log.sent.len(), at)));
                            }
                        }
                    }
                }
            }
            Step::Done => return log,
        }
    }
}
