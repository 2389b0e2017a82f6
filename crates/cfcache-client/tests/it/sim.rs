//! A clock that jumps, a network with latency and jitter, and servers with limits of their own.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use cfcache_client::engine::{Decision, Engine, Signal, Step, Ticket};
use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::Rate;

/// Answers what comes in, in the order in which it comes in.
pub(crate) trait Server {
    fn answer(&mut self, now: Duration, cost: Cost) -> Signal;
}

impl<F: FnMut(Duration, Cost) -> Signal> Server for F {
    fn answer(&mut self, now: Duration, cost: Cost) -> Signal {
        self(now, cost)
    }
}

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
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// When the last answer came in.
    pub(crate) took: Duration,
    /// When each request went out, and what it cost.
    pub(crate) sent: Vec<(Duration, Cost)>,
    /// Each job that ended: its number, and what it ended with.
    pub(crate) ended: Vec<(usize, Signal)>,
    pub(crate) refused: usize,
    pub(crate) most_in_flight: usize,
    /// How often the engine was asked what to do.
    pub(crate) asked: usize,
}

enum Move {
    Arrive(Ticket, Cost),
    Return(Ticket, Signal),
}

/// Runs an engine over jobs until it is done; the job is its number.
pub(crate) fn run(
    engine: &mut Engine<usize>,
    jobs: impl IntoIterator<Item = (Cost, Replay)>,
    server: &mut dyn Server,
    mut network: Network,
) -> Log {
    let mut jobs = jobs.into_iter().enumerate();
    let mut costs = Vec::new();
    let mut log = Log::default();
    let mut now = Duration::ZERO;
    let mut moves = BinaryHeap::new();
    let mut pending: Vec<Option<Move>> = Vec::new();
    let mut schedule = |at: Duration, what: Move, moves: &mut BinaryHeap<_>, pending: &mut Vec<_>| {
        moves.push(Reverse((at, pending.len())));
        pending.push(Some(what));
    };
    loop {
        log.asked += 1;
        match engine.next(now) {
            Step::Send(ticket) => {
                let cost: Cost = costs[*engine.job(ticket).unwrap()];
                log.sent.push((now, cost));
                log.most_in_flight = log.most_in_flight.max(engine.in_flight());
                let opening = if log.sent.len() <= 4 { network.opening } else { Duration::ZERO };
                let at = now + opening + network.one_way();
                schedule(at, Move::Arrive(ticket, cost), &mut moves, &mut pending);
            }
            Step::Wait { hungry: true, .. } => match jobs.next() {
                Some((number, (cost, replay))) => {
                    costs.push(cost);
                    engine.offer(number, cost, replay);
                }
                None => engine.finish(),
            },
            Step::Wait { until, .. } => {
                let event = moves.peek().map(|Reverse((at, _))| *at);
                assert!(until.is_none_or(|until| until > now), "a wait for the past at {now:?}");
                match (event, until) {
                    (Some(event), until) if until.is_none_or(|until| event <= until) => {
                        let Some(Reverse((at, index))) = moves.pop() else { continue };
                        now = at;
                        match pending[index].take().unwrap() {
                            Move::Arrive(ticket, cost) => {
                                let signal = server.answer(now, cost);
                                log.refused += usize::from(matches!(signal, Signal::RateLimited { .. }));
                                let at = now + network.one_way();
                                schedule(at, Move::Return(ticket, signal), &mut moves, &mut pending);
                            }
                            Move::Return(ticket, signal) => {
                                log.took = now;
                                if let Decision::Ended(ended) = engine.settle(now, ticket, signal) {
                                    log.ended.push((ended.job, signal));
                                }
                            }
                        }
                    }
                    (_, Some(until)) => now = until,
                    _ => panic!("the engine waits for nothing at {now:?}"),
                }
            }
            Step::Done => return log,
        }
    }
}
