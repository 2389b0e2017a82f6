//! A clock that jumps, a network with latency and jitter, and servers with limits of their own.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use cfcache_client::engine::{AttemptResult, Decision, Scheduler, Step, Ticket};
use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::Rate;
use proptest::test_runner::{Config as ProptestConfig, FileFailurePersistence};

/// At least so many cases; those that fail are kept, for whoever runs the tests next.
pub(crate) fn proptest_config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proptest-regressions.txt");
    ProptestConfig {
        // `PROPTEST_CASES` in the environment may ask for more.
        cases: if default.cases > 256 { default.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        ..default
    }
}

/// A request that comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) now: Duration,
    pub(crate) job: usize,
    /// Which try of the job it is, counted from 1.
    pub(crate) attempt: u32,
    pub(crate) cost: Cost,
}

/// Answers what comes in, in the order in which it comes in.
pub(crate) type Server<'a> = dyn FnMut(Arrival) -> AttemptResult + 'a;

/// A token bucket that has nothing in common with the engine's: whole numbers, and no waiting.
///
/// A nanosecond adds `rate.count`, and a token takes as many as `rate.per` has nanoseconds.
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

    /// Takes the tokens, or says how long it takes until they are there.
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

/// Whole seconds, rounded up, as the API writes them.
pub(crate) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// Numbers that are the same in every run.
#[derive(Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        // Xorshift, so that it has nothing in common with the engine's jitter.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }

    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let micros = u64::try_from((high - low).as_micros()).unwrap();
        low + Duration::from_micros(self.roll(micros + 1))
    }
}

/// How long a request and its answer are on their way.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) dice: Dice,
    /// The first few take so much longer, because they open connections.
    pub(crate) opening: Duration,
    pub(crate) one_way: (Duration, Duration),
}

impl Network {
    /// 50 ms there and back, give or take a half.
    pub(crate) fn jittery(seed: u64) -> Self {
        Self {
            dice: Dice(seed | 1),
            opening: Duration::from_millis(150),
            one_way: (Duration::from_micros(12_500), Duration::from_micros(37_500)),
        }
    }

    pub(crate) fn steady(round_trip: Duration) -> Self {
        let one_way = (round_trip / 2, round_trip / 2);
        Self { dice: Dice(1), opening: Duration::ZERO, one_way }
    }

    fn one_way(&mut self) -> Duration {
        self.dice.between(self.one_way.0, self.one_way.1)
    }
}

/// What a simulated run came to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Log {
    /// When the last answer came in.
    pub(crate) took: Duration,
    /// When each request went out, for which job, and what it cost.
    pub(crate) sent: Vec<(Duration, usize, Cost)>,
    /// Each job that ended: its number, its tries, whether it is unclear, and what it ended with.
    pub(crate) ended: Vec<(usize, u32, bool, AttemptResult)>,
    /// What everything waited for: how many had been sent when the server said so, and until when it said.
    pub(crate) holds: Vec<(usize, Duration)>,
    pub(crate) refused: usize,
    pub(crate) most_in_flight: usize,
    /// How often the engine was asked what to do.
    pub(crate) asked: usize,
}

enum Move {
    Arrive(Ticket),
    Return(Ticket, AttemptResult),
}

/// What happens when.
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

/// Runs an engine over jobs until it is done; a job is its own number.
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
