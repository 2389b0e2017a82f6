//! Decisions of the scheduler and the limiter, with a simulated clock.

use core::time::Duration;
use std::sync::Arc;

use cfcache_client::engine::{
    AttemptResult, Decision, Limiter, Policy, RateLimiter, Reason, Scheduler, Step, Stop, Ticket,
};
use cfcache_model::Plan;
use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::{PurgeLimits, Rate};
use cfcache_transport::Delivery;
use proptest::prelude::*;

use crate::sim::{self, Arrival, Log, Network, TestRandom, tokens};

const UNSENT: AttemptResult = AttemptResult::Lost { delivery: Delivery::NotSent, retryable: true };
const LOST: AttemptResult = AttemptResult::Lost { delivery: Delivery::Unknown, retryable: true };
const FINAL: AttemptResult = AttemptResult::Lost { delivery: Delivery::NotSent, retryable: false };
const TOO_MANY: AttemptResult = AttemptResult::RateLimited { retry_after: None };
const BROKEN: AttemptResult = AttemptResult::Unavailable { retry_after: None };

fn limited(seconds: u64) -> AttemptResult {
    AttemptResult::RateLimited { retry_after: Some(seconds_long(seconds)) }
}

const fn seconds_long(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    policy.limits = None;
    change(&mut policy);
    policy
}

fn limits(per_second: u32, burst: u32) -> PurgeLimits {
    let mut limits = Plan::Free.purge_limits();
    limits.flexible_requests = Rate { count: per_second, per: seconds_long(1) };
    limits.flexible_burst = burst;
    limits
}

fn flexible(count: usize) -> impl Iterator<Item = (Cost, Replay)> {
    core::iter::repeat_n((Cost::Flexible, Replay::Safe), count)
}

fn near() -> Network {
    Network::steady(Duration::from_millis(50))
}

fn limiter(limits: Option<PurgeLimits>, concurrency: usize) -> Arc<dyn Limiter> {
    Arc::new(RateLimiter::new(&policy(|policy| {
        policy.limits = limits;
        policy.concurrency = concurrency;
    })))
}

/// A scheduler with `count` requests and no more to come.
fn loaded(policy: Policy, count: usize) -> Scheduler<usize> {
    let mut engine = Scheduler::new(policy);
    (0..count).for_each(|job| engine.push(job, Cost::Flexible, Replay::Safe));
    engine.finish();
    engine
}

#[track_caller]
fn send(engine: &mut Scheduler<usize>, now: Duration) -> Ticket {
    match engine.poll(now) {
        Step::Send(ticket) => ticket,
        step => panic!("nothing is sent: {step:?}"),
    }
}

/// Sends everything that can be sent at that time.
fn send_all(engine: &mut Scheduler<usize>, now: Duration) -> Vec<Ticket> {
    core::iter::from_fn(|| match engine.poll(now) {
        Step::Send(ticket) => Some(ticket),
        _ => None,
    })
    .collect()
}

#[track_caller]
fn waits(engine: &mut Scheduler<usize>, now: Duration) -> (Option<Duration>, Reason) {
    match engine.poll(now) {
        Step::Wait { until, reason, .. } => (until, reason),
        step => panic!("there is no wait: {step:?}"),
    }
}

/// Five batches with a bucket of two tokens and one token per second; one is refused with a wait of 30 s, one is not
/// sent, one is lost, and one is refused.
#[test]
fn five_batches_with_a_refusal_a_loss_and_a_hold() {
    for (replay, lost_tries, lost_unclear) in [(Replay::Safe, 3, true), (Replay::UndeliveredOnly, 1, true)] {
        let mut engine = Scheduler::new(policy(|policy| {
            policy.limits = Some(limits(1, 2));
            policy.max_retries = 2;
        }));
        let mut server = |arrival: Arrival| match (arrival.job, arrival.attempt) {
            (0, 1) => limited(30),
            (1, 1) => UNSENT,
            (2, _) => LOST,
            (3, _) => AttemptResult::Refused,
            _ => AttemptResult::Done,
        };
        let jobs = core::iter::repeat_n((Cost::Flexible, replay), 5);
        let mut log = sim::run(&mut engine, jobs, &mut server, near());
        log.ended.sort_by_key(|(job, ..)| *job);
        assert_eq!(
            log.ended,
            [
                (0, 2, false, AttemptResult::Done),
                (1, 2, false, AttemptResult::Done),
                (2, lost_tries, lost_unclear, LOST),
                (3, 1, false, AttemptResult::Refused),
                (4, 1, false, AttemptResult::Done),
            ],
            "{replay:?}",
        );
        assert!(log.took > seconds_long(30) && log.took < seconds_long(45), "{:?}", log.took);
        assert_eq!(engine.stopped(), None);
    }
}

#[test]
fn a_demanded_wait_holds_all_requests() {
    let mut engine = loaded(policy(|policy| policy.limits = Some(limits(100, 1000))), 20);
    let first = send(&mut engine, Duration::ZERO);
    let second = send(&mut engine, Duration::ZERO);
    let now = Duration::from_millis(50);
    let hold = now + seconds_long(30);
    assert_eq!(engine.on_result(now, first, limited(30)), Decision::Again { at: hold, holds_all: true });
    assert_eq!(waits(&mut engine, now), (Some(hold), Reason::Held));
    assert_eq!(engine.held_until(now), Some(hold));
    // A request in flight ends; one that fails during the hold waits for its end.
    assert!(matches!(engine.on_result(now, second, BROKEN), Decision::Again { holds_all: false, .. }));
    assert_eq!(waits(&mut engine, seconds_long(29)), (Some(hold), Reason::Held));
    // The oldest request is sent first.
    let ticket = send(&mut engine, hold);
    assert_eq!((engine.request(ticket), engine.attempt(ticket)), (Some(&1), 2));
}

#[test]
fn few_requests_are_sent_directly_after_a_hold() {
    let mut engine = loaded(policy(|policy| policy.concurrency = 50), 100);
    let sent = send_all(&mut engine, Duration::ZERO);
    assert_eq!(sent.len(), 50);
    let now = Duration::from_millis(50);
    for ticket in sent {
        engine.on_result(now, ticket, AttemptResult::Unavailable { retry_after: Some(seconds_long(7)) });
    }
    let mut now = now + seconds_long(7);
    let mut waves = Vec::new();
    for _ in 0..5 {
        let sent = send_all(&mut engine, now);
        waves.push(sent.len());
        now += Duration::from_millis(50);
        for ticket in sent {
            engine.on_result(now, ticket, AttemptResult::Done);
        }
    }
    assert_eq!(waves, [4, 8, 16, 32, 40]);
    assert_eq!(engine.poll(now), Step::Done);
}

#[test]
fn a_wait_above_the_maximum_stops_the_run() {
    for demanded in [seconds_long(601), Duration::MAX] {
        for signal in [
            AttemptResult::RateLimited { retry_after: Some(demanded) },
            AttemptResult::Unavailable { retry_after: Some(demanded) },
        ] {
            let mut engine = loaded(policy(|policy| policy.concurrency = 2), 4);
            let first = send(&mut engine, Duration::ZERO);
            let second = send(&mut engine, Duration::ZERO);
            assert!(matches!(engine.on_result(seconds_long(1), first, signal), Decision::Ended(_)));
            assert_eq!(engine.stopped(), Some(Stop::WaitTooLong { demanded }));
            // Requests in flight are awaited, and not sent again.
            assert_eq!(waits(&mut engine, seconds_long(1)), (None, Reason::Event));
            assert!(matches!(engine.on_result(seconds_long(2), second, BROKEN), Decision::Ended(_)));
            assert_eq!(engine.poll(seconds_long(2)), Step::Done);
            let rest: Vec<_> =
                engine.abandoned(seconds_long(2)).map(|ended| (ended.request, ended.attempts)).collect();
            assert_eq!(rest, [(2, 0), (3, 0)]);
        }
    }
}

#[test]
fn extreme_waits_do_not_overflow() {
    for signal in [
        AttemptResult::RateLimited { retry_after: Some(Duration::MAX) },
        AttemptResult::Unavailable { retry_after: Some(Duration::MAX) },
    ] {
        let mut engine = loaded(
            policy(|policy| {
                policy.max_wait = Duration::MAX;
                policy.backoff_base = Duration::MAX;
                policy.backoff_cap = Duration::MAX;
                policy.limits = Some(limits(1, 2));
            }),
            3,
        );
        let now = seconds_long(5);
        let ticket = send(&mut engine, now);
        assert_eq!(
            engine.on_result(now, ticket, signal),
            Decision::Again { at: Duration::MAX, holds_all: true }
        );
        assert_eq!(waits(&mut engine, now), (Some(Duration::MAX), Reason::Held));
    }
    let mut engine = loaded(
        policy(|policy| {
            policy.backoff_base = Duration::MAX;
            policy.backoff_cap = Duration::MAX;
        }),
        2,
    );
    for signal in [BROKEN, TOO_MANY] {
        let ticket = send(&mut engine, Duration::ZERO);
        engine.on_result(seconds_long(1), ticket, signal);
    }
}

/// A bucket that never refills or has unknown limits must not cause a panic or a busy loop.
#[test]
fn extreme_limits_do_not_panic_or_spin() {
    for (count, per, burst) in [
        (0, seconds_long(1), 3),
        (1, Duration::ZERO, 3),
        (0, Duration::ZERO, 0),
        (u32::MAX, Duration::from_nanos(1), u32::MAX),
        (1, Duration::MAX, 1),
    ] {
        let mut odd = Plan::Free.purge_limits();
        odd.flexible_requests = Rate { count, per };
        odd.flexible_burst = burst;
        odd.urls = Rate { count, per };
        odd.urls_per_request = 0;
        for cost in [Cost::Flexible, Cost::Urls(0), Cost::Urls(usize::MAX), Cost::Call] {
            let mut engine = Scheduler::new(policy(|policy| policy.limits = Some(odd)));
            engine.push(0, cost, Replay::Safe);
            engine.push(1, cost, Replay::Safe);
            for now in [0, 1, 2, 1_000_000] {
                let now = seconds_long(now);
                match engine.poll(now) {
                    Step::Send(ticket) => {
                        engine.on_result(now, ticket, TOO_MANY);
                    }
                    Step::Wait { until, .. } => assert!(until.is_none_or(|until| until > now)),
                    // Only refusals for longer than the maximum wait.
                    Step::Done => assert!(engine.stopped().is_some()),
                }
            }
        }
    }
}

#[test]
fn retries_follow_the_replay_rule_and_the_result() {
    let hinted = AttemptResult::Unavailable { retry_after: Some(seconds_long(1)) };
    // The result; whether it is repeated if repeating is safe, and if it is safe only for undelivered requests; whether
    // it is unclear then.
    let rows = [
        (AttemptResult::Done, false, false, false),
        (AttemptResult::Refused, false, false, false),
        (TOO_MANY, true, true, false),
        (limited(1), true, true, false),
        (BROKEN, true, false, false),
        (hinted, true, false, false),
        (AttemptResult::Unclear, true, false, true),
        (LOST, true, false, true),
        (UNSENT, true, true, false),
        (FINAL, false, false, false),
        (AttemptResult::Lost { delivery: Delivery::Unknown, retryable: false }, false, false, true),
    ];
    for (signal, safe, undelivered_only, unclear) in rows {
        for (replay, repeats) in [(Replay::Safe, safe), (Replay::UndeliveredOnly, undelivered_only)] {
            let mut engine = Scheduler::new(policy(|_| {}));
            engine.push(0, Cost::Call, replay);
            let ticket = send(&mut engine, Duration::ZERO);
            match engine.on_result(Duration::ZERO, ticket, signal) {
                Decision::Again { .. } => assert!(repeats, "{signal:?} {replay:?}"),
                Decision::Ended(ended) => {
                    assert!(!repeats, "{signal:?} {replay:?}");
                    assert_eq!(ended.unclear, unclear, "{signal:?} {replay:?}");
                }
            }
        }
    }
}

/// A request without attempts left still makes the others obey the server's wait.
#[test]
fn a_demanded_wait_applies_even_if_its_request_ends() {
    for (replay, max_retries) in [(Replay::Safe, 0), (Replay::UndeliveredOnly, 5)] {
        let mut engine = Scheduler::new(policy(|policy| policy.max_retries = max_retries));
        engine.push(0, Cost::Call, replay);
        engine.push(1, Cost::Call, replay);
        let ticket = send(&mut engine, Duration::ZERO);
        let hinted = AttemptResult::Unavailable { retry_after: Some(seconds_long(20)) };
        assert!(matches!(engine.on_result(Duration::ZERO, ticket, hinted), Decision::Ended(_)));
        assert_eq!(waits(&mut engine, Duration::ZERO), (Some(seconds_long(20)), Reason::Held));
    }
}

#[test]
fn a_retry_after_of_zero_still_backs_off() {
    let mut engine = Scheduler::new(policy(|_| {}));
    let mut server = |_: Arrival| limited(0);
    let log = sim::run(&mut engine, flexible(1), &mut server, near());
    assert_eq!(log.ended.len(), 1);
    assert!((8..=11).contains(&log.sent.len()), "{}", log.sent.len());
    assert!(log.took > seconds_long(100), "{:?}", log.took);
}

#[test]
fn retries_take_tokens() {
    let limits = limits(1, 10);
    let mut engine = Scheduler::new(policy(|policy| {
        policy.limits = Some(limits);
        policy.max_retries = 4;
    }));
    let mut server = |arrival: Arrival| if arrival.attempt < 5 { UNSENT } else { AttemptResult::Done };
    let log = sim::run(&mut engine, flexible(10), &mut server, near());
    assert_eq!(log.sent.len(), 50);
    assert_never_faster(&log, limits);
    assert!(log.took > seconds_long(40));
}

#[test]
fn a_part_of_a_split_batch_is_sent_before_new_requests() {
    let mut engine = loaded(policy(|policy| policy.concurrency = 1), 3);
    let ticket = send(&mut engine, Duration::ZERO);
    engine.on_result(Duration::ZERO, ticket, AttemptResult::Refused);
    engine.push_front(11, Cost::Flexible, Replay::Safe);
    engine.push_front(10, Cost::Flexible, Replay::Safe);
    let mut order = Vec::new();
    while let Step::Send(ticket) = engine.poll(Duration::ZERO) {
        order.extend(engine.request(ticket).copied());
        engine.on_result(Duration::ZERO, ticket, AttemptResult::Done);
    }
    assert_eq!(order, [10, 11, 1, 2]);
}

#[test]
fn a_stopped_scheduler_returns_the_unsent_requests() {
    let mut engine = loaded(policy(|policy| policy.concurrency = 2), 5);
    assert_eq!(engine.abandoned(Duration::ZERO).count(), 0);
    let first = send(&mut engine, Duration::ZERO);
    let second = send(&mut engine, Duration::ZERO);
    engine.on_result(seconds_long(1), first, LOST);
    engine.stop(Stop::Interrupted);
    engine.stop(Stop::NothingSucceeds);
    assert_eq!(engine.stopped(), Some(Stop::Interrupted));
    assert_eq!(waits(&mut engine, seconds_long(1)), (None, Reason::Event));
    let rest: Vec<_> = engine
        .abandoned(seconds_long(3))
        .map(|ended| (ended.request, ended.attempts, ended.unclear, ended.elapsed.as_secs()))
        .collect();
    assert_eq!(rest, [(0, 1, true, 3), (2, 0, false, 0), (3, 0, false, 0), (4, 0, false, 0)]);
    assert!(matches!(engine.on_result(seconds_long(4), second, AttemptResult::Done), Decision::Ended(_)));
    assert_eq!(engine.poll(seconds_long(4)), Step::Done);
}

#[test]
fn the_seed_determines_all_jitter() {
    let log = |seed| {
        let mut engine = Scheduler::new(policy(|policy| policy.seed = Some(seed)));
        let mut random = TestRandom(99);
        let mut server = |_: Arrival| match random.below(3) {
            0 => BROKEN,
            1 => TOO_MANY,
            _ => AttemptResult::Done,
        };
        sim::run(&mut engine, flexible(50), &mut server, near())
    };
    assert_eq!(log(7), log(7));
    assert_ne!(log(7).took, log(8).took);
}

/// Full jitter is a random wait up to a doubling maximum, and requests that failed together do not retry together.
#[test]
fn retries_are_spread_by_jitter() {
    let mut engine = loaded(policy(|policy| policy.concurrency = 1000), 1000);
    let mut at = Vec::new();
    for ticket in send_all(&mut engine, Duration::ZERO) {
        match engine.on_result(Duration::ZERO, ticket, UNSENT) {
            Decision::Again { at: again, .. } => at.push(again.as_millis()),
            Decision::Ended(_) => panic!("it was the first try"),
        }
    }
    assert!(at.iter().all(|at| *at <= 500));
    for tenth in 0..10 {
        let there = at.iter().filter(|at| **at / 50 == tenth).count();
        assert!((50..150).contains(&there), "{there} of 1000 in tenth {tenth}");
    }
}

/// Each refusal without a wait makes the next wait longer, and a success resets it.
#[test]
fn waits_grow_with_refusals_that_state_no_wait() {
    for seed in 0..100 {
        let mut engine = Scheduler::new(policy(|policy| {
            policy.seed = Some(seed);
            policy.max_wait = Duration::MAX;
        }));
        engine.push(0, Cost::Flexible, Replay::Safe);
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let ticket = send(&mut engine, now);
            let Decision::Again { at, holds_all: true } = engine.on_result(now, ticket, TOO_MANY) else {
                panic!("it must be repeated")
            };
            waits.push((at - now).as_secs_f64());
            now = at;
        }
        assert!((0.5..=1.5).contains(&waits[0]), "{waits:?}");
        for pair in waits.windows(2) {
            assert!(pair[1] >= (pair[0] * 1.999).min(120.0) && pair[1] <= pair[0] * 3.001, "{waits:?}");
        }
        assert!(waits.iter().sum::<f64>() > 300.0, "{waits:?}");
        let ticket = send(&mut engine, now);
        assert!(matches!(engine.on_result(now, ticket, AttemptResult::Done), Decision::Ended(_)));
    }
}

/// Refusals of requests that were in flight when a hold started do not start another one.
#[test]
fn a_burst_of_refusals_starts_one_hold() {
    let mut engine = loaded(policy(|_| {}), 10);
    let sent = send_all(&mut engine, seconds_long(1));
    let mut holds = Vec::new();
    for (late, ticket) in (0..).zip(sent) {
        let now = seconds_long(1 + late);
        engine.on_result(now, ticket, TOO_MANY);
        holds.extend(engine.held_until(now));
    }
    holds.dedup();
    assert!(holds.len() <= 2, "{holds:?}");
    assert!(*holds.last().unwrap() < seconds_long(4), "{holds:?}");
}

#[test]
fn a_late_refusal_starts_no_new_hold() {
    let mut engine = loaded(policy(|_| {}), 10);
    let mut sent = send_all(&mut engine, seconds_long(1));
    let late = sent.pop().unwrap();
    sent.into_iter()
        .for_each(|ticket| assert_held(engine.on_result(seconds_long(2), ticket, TOO_MANY), true));
    // Four are in flight, one of which is the late one.
    let few = send_all(&mut engine, seconds_long(5));
    assert_eq!(few.len(), 3);
    for ticket in few {
        engine.on_result(seconds_long(6), ticket, AttemptResult::Done);
    }
    assert_held(engine.on_result(seconds_long(6), late, TOO_MANY), false);
    assert_eq!(send_all(&mut engine, seconds_long(6)).len(), 7);
}

#[track_caller]
fn assert_held(decision: Decision<usize>, held: bool) {
    assert!(matches!(decision, Decision::Again { holds_all, .. } if holds_all == held), "{decision:?}");
}

/// While others are accepted, a request that is refused because of the rate is not given up.
#[test]
fn rate_refusals_use_up_no_retries_while_others_are_accepted() {
    let mut engine = Scheduler::new(policy(|policy| policy.concurrency = 64));
    let mut bucket = sim::ServerBucket::full(Rate { count: 5, per: seconds_long(1) }, 5);
    let mut server = |arrival: Arrival| match bucket.take(arrival.now, 1) {
        Ok(()) => AttemptResult::Done,
        Err(_) => TOO_MANY,
    };
    let log = sim::run(&mut engine, flexible(500), &mut server, near());
    assert_eq!(log.ended.len(), 500);
    assert!(log.ended.iter().all(|(.., signal)| *signal == AttemptResult::Done));
}

/// A request that is always refused because of the rate, while others are accepted, does not delay them forever.
#[test]
fn a_request_that_is_always_refused_for_the_rate_ends() {
    let mut engine = Scheduler::new(policy(|_| {}));
    let mut server = |arrival: Arrival| if arrival.job == 3 { TOO_MANY } else { AttemptResult::Done };
    let log = sim::run(&mut engine, flexible(2000), &mut server, near());
    assert_eq!(engine.stopped(), None);
    assert_eq!(log.ended.len(), 2000);
    let failed: Vec<_> = log.ended.iter().filter(|(.., signal)| *signal != AttemptResult::Done).collect();
    assert!(matches!(failed[..], [(3, ..=51, false, _)]), "{failed:?}");
}

#[test]
fn refusals_alone_stop_the_run_after_the_maximum_wait() {
    let mut engine = Scheduler::new(policy(|_| {}));
    let mut server = |_: Arrival| TOO_MANY;
    let log = sim::run(&mut engine, flexible(10_000), &mut server, near());
    assert!(matches!(engine.stopped(), Some(Stop::WaitTooLong { .. })), "{:?}", engine.stopped());
    assert!(log.took < seconds_long(700), "{:?}", log.took);
    assert!(log.sent.len() < 300, "{}", log.sent.len());
}

#[test]
fn an_outage_shorter_than_the_retries_is_survived() {
    for seed in 0..20 {
        let mut engine = Scheduler::new(policy(|policy| policy.seed = Some(seed)));
        let outage = seconds_long(2)..seconds_long(12);
        let mut server =
            |arrival: Arrival| if outage.contains(&arrival.now) { LOST } else { AttemptResult::Done };
        let jobs = core::iter::repeat_n((Cost::Urls(1), Replay::Safe), 5_000);
        let log = sim::run(&mut engine, jobs, &mut server, near());
        assert_eq!(engine.stopped(), None, "{seed}");
        assert!(log.ended.iter().all(|(.., signal)| *signal == AttemptResult::Done), "{seed}");
    }
}

#[test]
fn an_outage_longer_than_the_retries_stops_the_run() {
    for max_retries in [0, 1, 10] {
        let mut engine = Scheduler::new(policy(|policy| policy.max_retries = max_retries));
        let mut server = |_: Arrival| BROKEN;
        let log = sim::run(&mut engine, flexible(100_000), &mut server, near());
        assert_eq!(engine.stopped(), Some(Stop::NothingSucceeds), "{max_retries}");
        assert!(log.sent.len() <= 2000, "{max_retries}: {}", log.sent.len());
        assert!(log.ended.len() <= 200, "{max_retries}: {}", log.ended.len());
        assert!(log.took < seconds_long(300), "{max_retries}: {:?}", log.took);
    }
}

/// Nine failures out of ten are no reason to stop.
#[test]
fn a_server_that_fails_nine_times_in_ten_does_not_stop_the_run() {
    let mut engine = Scheduler::new(policy(|policy| policy.max_retries = 200));
    let mut random = TestRandom(5);
    let mut server = |_: Arrival| if random.below(10) > 0 { BROKEN } else { AttemptResult::Done };
    let log = sim::run(&mut engine, flexible(500), &mut server, near());
    assert_eq!(engine.stopped(), None);
    assert!(log.ended.iter().all(|(.., signal)| *signal == AttemptResult::Done));
}

#[test]
fn schedulers_that_share_a_limiter_share_the_limits() {
    let limits = limits(2, 10);
    let pace = limiter(Some(limits), 64);
    let mut engines: Vec<_> = (0..2).map(|_| Scheduler::with_limiter(policy(|_| {}), pace.clone())).collect();
    for engine in &mut engines {
        (0..100).for_each(|job| engine.push(job, Cost::Flexible, Replay::Safe));
    }
    let mut sent = Vec::new();
    for millis in 0..20_000 {
        let now = Duration::from_millis(millis);
        for engine in &mut engines {
            while let Step::Send(ticket) = engine.poll(now) {
                sent.push((now, 0, Cost::Flexible));
                engine.on_result(now, ticket, AttemptResult::Done);
            }
        }
    }
    let log = Log { sent, ..Log::default() };
    assert_never_faster(&log, limits);
    assert!(log.sent.len() >= 48, "{}", log.sent.len());
    // A hold of one applies to all.
    let ticket = {
        let now = seconds_long(60);
        let ticket = send(&mut engines[0], now);
        engines[0].on_result(now, ticket, limited(9));
        waits(&mut engines[1], now)
    };
    assert_eq!(ticket, (Some(seconds_long(69)), Reason::Held));
}

#[test]
fn a_wait_has_its_reason() {
    let mut engine = loaded(policy(|policy| policy.limits = Some(limits(1, 1))), 3);
    let first = send(&mut engine, Duration::ZERO);
    let (until, reason) = waits(&mut engine, Duration::ZERO);
    assert_eq!(reason, Reason::Paced);
    let second = send(&mut engine, until.unwrap());
    engine.on_result(seconds_long(10), first, AttemptResult::Done);
    engine.on_result(seconds_long(10), second, AttemptResult::Done);
    let third = send(&mut engine, seconds_long(10));
    assert_eq!(waits(&mut engine, seconds_long(10)), (None, Reason::Event));
    engine.on_result(seconds_long(20), third, UNSENT);
    assert_eq!(waits(&mut engine, seconds_long(20)).1, Reason::Retry);
}

#[test]
fn limits_can_change_during_a_run() {
    let pace = limiter(Some(Plan::Free.purge_limits()), 1000);
    let mut engine = Scheduler::with_limiter(policy(|_| {}), pace.clone());
    (0..1000).for_each(|job| engine.push(job, Cost::Flexible, Replay::Safe));
    let sent = send_all(&mut engine, Duration::ZERO).len();
    assert_eq!(sent, 25);
    assert_eq!(waits(&mut engine, Duration::ZERO).1, Reason::Paced);
    // Requests that were sent before count against the larger bucket as well.
    pace.set_limits(seconds_long(1), Some(Plan::Enterprise.purge_limits()));
    let more = send_all(&mut engine, seconds_long(1)).len();
    assert_eq!(more, 500 - sent);
    pace.set_limits(seconds_long(1), Some(Plan::Free.purge_limits()));
    assert_eq!(waits(&mut engine, seconds_long(1)).1, Reason::Paced);
    pace.set_limits(seconds_long(1), None);
    assert_eq!(send_all(&mut engine, seconds_long(1)).len(), 1000 - sent - more);
}

/// Even with a large burst, there are never 1,200 calls in five minutes.
#[test]
fn the_global_quota_is_obeyed_in_every_window() {
    for (quota, most) in [(None, 1200), (Some(Rate { count: 100, per: seconds_long(60) }), 100)] {
        let pace = limiter(Some(limits(50, 5000)), 64);
        let mut engine = Scheduler::with_limiter(policy(|_| {}), pace.clone());
        if let Some(quota) = quota {
            pace.set_global_quota(quota);
        }
        let per = quota.map_or(seconds_long(300), |quota| quota.per);
        let mut server = |_: Arrival| AttemptResult::Done;
        let log = sim::run(&mut engine, flexible(4 * most), &mut server, Network::jittery(3));
        for (index, (from, ..)) in log.sent.iter().enumerate() {
            let there = log.sent[index..].iter().take_while(|(at, ..)| *at - *from <= per).count();
            assert!(there < most, "{there} in {per:?} from {from:?}");
        }
        // Exactly three complete windows have to be waited for.
        assert!(log.took < (per + seconds_long(2)) * 4 + seconds_long(60), "{:?}", log.took);
        // URLs do not count against it.
        let ticket = {
            engine = Scheduler::new(policy(|policy| policy.limits = Some(Plan::Enterprise.purge_limits())));
            (0..5000).for_each(|job| engine.push(job, Cost::Urls(0), Replay::Safe));
            send_all(&mut engine, Duration::ZERO).len()
        };
        assert_eq!(ticket, 64);
    }
}

/// Checks that between any two requests of a lane at most a full bucket and its published refill were sent, computed
/// from the times alone.
#[track_caller]
fn assert_never_faster(log: &Log, limits: PurgeLimits) {
    let urls_burst = f64::from(limits.urls.count).max(limits.urls_per_request as f64);
    for (in_urls, rate, burst) in
        [(false, limits.flexible_requests, f64::from(limits.flexible_burst)), (true, limits.urls, urls_burst)]
    {
        let is_in = |cost: Cost| matches!(cost, Cost::Urls(_)) == in_urls;
        let sent: Vec<_> = log.sent.iter().filter(|(.., cost)| is_in(*cost)).collect();
        let per_second = f64::from(rate.count) / rate.per.as_secs_f64();
        for (index, (from, ..)) in sent.iter().enumerate() {
            let mut total = 0.0;
            for (at, _, cost) in &sent[index..] {
                total += tokens(*cost) as f64;
                let allowed = burst + per_second * (*at - *from).as_secs_f64();
                assert!(
                    total <= allowed + 1e-6,
                    "{total} from {from:?} to {at:?}, where {allowed} are allowed"
                );
            }
        }
    }
}

prop_compose! {
    fn any_limits()(
        rate in 1_u32..50,
        per in 1_u64..20,
        burst in 1_u32..100,
        urls in 1_u32..500,
        urls_per_request in 1_usize..100,
    ) -> PurgeLimits {
        let mut limits = limits(rate, burst);
        limits.flexible_requests.per = seconds_long(per);
        limits.urls.count = urls;
        limits.urls_per_request = urls_per_request;
        limits
    }
}

prop_compose! {
    fn any_policy()(
        limits in prop::option::weighted(0.8, any_limits()),
        concurrency in 0_usize..20,
        max_retries in 0_u32..6,
        max_wait in 1_u64..100,
        base in 0_u64..2000,
        cap in 0_u64..20_000,
        seed: u64,
    ) -> Policy {
        policy(|policy| {
            policy.limits = limits;
            policy.concurrency = concurrency;
            policy.max_retries = max_retries;
            policy.max_wait = seconds_long(max_wait);
            policy.backoff_base = Duration::from_millis(base);
            policy.backoff_cap = Duration::from_millis(cap);
            policy.seed = Some(seed);
        })
    }
}

fn any_signal(random: &mut TestRandom, faults: u64) -> AttemptResult {
    if random.below(100) >= faults {
        return AttemptResult::Done;
    }
    let hint = match random.below(4) {
        0 => None,
        1 => Some(Duration::ZERO),
        2 => Some(Duration::from_millis(random.below(3000))),
        _ => Some(seconds_long(random.below(110))),
    };
    match random.below(7) {
        0 => AttemptResult::RateLimited { retry_after: hint },
        1 => AttemptResult::Unavailable { retry_after: hint },
        2 => AttemptResult::Refused,
        3 => AttemptResult::Unclear,
        4 => UNSENT,
        5 => LOST,
        _ => FINAL,
    }
}

proptest! {
    #![proptest_config(sim::proptest_config(400))]

    #[test]
    fn whatever_happens(
        policy in any_policy(),
        // For each job: whether it is a list of URLs and how long; whether it must be repeated.
        jobs in prop::collection::vec((prop::option::of(0_usize..100), any::<bool>()), 0..150),
        faults in 0_u64..=100,
        random in 1_u64..,
        latency in 0_u64..3000,
    ) {
        let limits = policy.limits;
        let concurrency = policy.concurrency.max(1);
        let jobs: Vec<_> = jobs
            .into_iter()
            .map(|(urls, is_safe)| {
                let most = limits.map_or(100, |limits| limits.urls_per_request);
                let cost = urls.map_or(Cost::Flexible, |urls| Cost::Urls(urls.min(most)));
                (cost, if is_safe { Replay::Safe } else { Replay::UndeliveredOnly })
            })
            .collect();
        let mut engine = Scheduler::new(policy);
        let mut random = TestRandom(random);
        let mut told = vec![Vec::new(); jobs.len()];
        let mut server = |arrival: Arrival| {
            let signal = any_signal(&mut random, faults);
            told[arrival.job].push(signal);
            signal
        };
        let one_way = (Duration::ZERO, Duration::from_millis(latency));
        let network = Network { one_way, ..Network::jittery(latency) };
        let log = sim::run(&mut engine, jobs.clone(), &mut server, network);

        // Every job that was accepted has exactly one outcome; the scheduler stops accepting jobs only if it was
        // stopped.
        let now = log.took;
        let mut outcomes: Vec<_> = log.ended.iter().map(|(job, tries, ..)| (*job, *tries)).collect();
        outcomes.extend(engine.abandoned(now).map(|ended| (ended.request, ended.attempts)));
        outcomes.sort_unstable();
        prop_assert!(outcomes.iter().map(|(job, _)| *job).eq(0..outcomes.len()));
        prop_assert!(outcomes.len() == jobs.len() || engine.stopped().is_some());
        for (job, tries) in outcomes {
            prop_assert_eq!(tries as usize, told[job].len());
        }
        for (job, _, unclear, signal) in &log.ended {
            let told = &told[*job];
            prop_assert_eq!(told.last(), Some(signal));
            prop_assert_eq!(told.contains(&AttemptResult::Done), *signal == AttemptResult::Done);
            let lost = told.iter().any(|signal| matches!(*signal, LOST | AttemptResult::Unclear));
            prop_assert_eq!(*unclear, lost);
        }
        // Requests that may have been processed are not repeated, unless that is safe.
        for (told, (_, replay)) in told.iter().zip(&jobs) {
            let before = told.split_last().map_or(&told[..], |(_, before)| before);
            let is_proven = |signal: &AttemptResult| matches!(*signal, UNSENT | AttemptResult::RateLimited { .. });
            prop_assert!(*replay == Replay::Safe || before.iter().all(is_proven));
        }
        // Nothing is sent during a hold.
        for (already, until) in &log.holds {
            prop_assert!(log.sent[*already..].iter().all(|(at, ..)| at >= until));
        }
        prop_assert!(log.most_in_flight <= concurrency);
        if let Some(limits) = limits {
            assert_never_faster(&log, limits);
        }
        // It is polled once per event.
        let happened = 3 * log.sent.len() + jobs.len() + log.holds.len();
        prop_assert!(log.asked <= 2 * happened + 10, "asked {} times for {}", log.asked, happened);
    }
}
