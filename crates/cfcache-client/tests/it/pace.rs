//! How close the engine is to the minimum time that a server's limits allow.

use core::time::Duration;
use std::sync::Arc;

use cfcache_client::engine::{AttemptResult, Limiter, Policy, RateLimiter, Scheduler};
use cfcache_model::Plan;
use cfcache_model::endpoint::{Cost, Replay};
use cfcache_model::limits::Rate;

use crate::sim::{self, Arrival, Log, Network, ServerBucket, tokens, whole_seconds};

const REQUESTS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Flexible,
    Urls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// `retry-after` in whole seconds, rounded up.
    Seconds,
    None,
}

/// The published limits of a lane of a plan: rate, burst, and the cost of the largest request.
fn published(plan: Plan, lane: Lane) -> (Rate, u32, Cost) {
    let limits = plan.purge_limits();
    match lane {
        Lane::Flexible => (limits.flexible_requests, limits.flexible_burst, Cost::Flexible),
        Lane::Urls => (limits.urls, limits.urls.count, Cost::Urls(limits.urls_per_request)),
    }
}

fn slower(rate: Rate, times: u32) -> Rate {
    Rate { count: rate.count, per: rate.per * times }
}

/// Simulates a thousand requests to a bucket.
fn simulate(plan: Plan, lane: Lane, mut bucket: ServerBucket, hint: Hint, seed: u64) -> Log {
    let (_, _, cost) = published(plan, lane);
    let mut policy = Policy::default();
    policy.limits = Some(plan.purge_limits());
    policy.seed = Some(seed);
    let mut engine = Scheduler::new(policy);
    let mut server = |Arrival { now, cost, .. }: Arrival| match bucket.take(now, tokens(cost)) {
        Ok(()) => AttemptResult::Done,
        Err(wait) => {
            AttemptResult::RateLimited { retry_after: (hint == Hint::Seconds).then(|| whole_seconds(wait)) }
        }
    };
    let jobs = core::iter::repeat_n((cost, Replay::Safe), REQUESTS);
    let log = sim::run(&mut engine, jobs, &mut server, Network::jittery(seed));
    assert_eq!(engine.stopped(), None, "{plan} {lane:?} {hint:?} {seed}");
    let accepted = log.ended.iter().filter(|(.., signal)| *signal == AttemptResult::Done).count();
    assert_eq!(accepted, REQUESTS, "{plan} {lane:?} {hint:?} {seed}");
    log
}

/// The minimum time in which a bucket accepts a thousand requests, without latency.
fn least(rate: Rate, burst: u32, cost: Cost) -> f64 {
    let all = (REQUESTS * tokens(cost)) as f64;
    (all - f64::from(burst)).max(0.0) * rate.per.as_secs_f64() / f64::from(rate.count)
}

fn per_request(rate: Rate, cost: Cost) -> f64 {
    tokens(cost) as f64 * rate.per.as_secs_f64() / f64::from(rate.count)
}

/// The minimum time for a thousand requests if the rate changes to `later` at `change`.
fn least_changing(rate: Rate, burst: u32, later: Rate, change: Duration, cost: Cost) -> f64 {
    let per_second = |rate: Rate| f64::from(rate.count) / rate.per.as_secs_f64();
    let all = (REQUESTS * tokens(cost)) as f64;
    let before = f64::from(burst) + per_second(rate) * change.as_secs_f64();
    assert!(before < all, "it changes too late");
    change.as_secs_f64() + (all - before) / per_second(later)
}

fn each(mut check: impl FnMut(Plan, Lane, u64)) {
    for &plan in Plan::ALL {
        for lane in [Lane::Flexible, Lane::Urls] {
            for seed in 1..=5 {
                check(plan, lane, seed * 7919);
            }
        }
    }
}

fn report(what: &str, plan: Plan, lane: Lane, log: &Log, least: f64) -> f64 {
    let ratio = log.took.as_secs_f64() / least;
    println!(
        "{what:28} {plan:10} {lane:?}: {:9.2} s, least {least:9.2} s, ratio {ratio:.3}, refused {}",
        log.took.as_secs_f64(),
        log.refused,
    );
    ratio
}

#[test]
fn with_the_published_limits_nothing_is_refused() {
    each(|plan, lane, seed| {
        let (rate, burst, cost) = published(plan, lane);
        let log = simulate(plan, lane, ServerBucket::full(rate, burst), Hint::Seconds, seed);
        let ratio = report("as published", plan, lane, &log, least(rate, burst, cost));
        assert_eq!(log.refused, 0, "{plan} {lane:?} {seed}");
        assert!(ratio <= 1.05, "{plan} {lane:?} {seed}: {ratio}");
    });
}

#[test]
fn half_the_published_limits_are_learned() {
    for hint in [Hint::Seconds, Hint::None] {
        for divisor in [1, 2] {
            each(|plan, lane, seed| {
                let (rate, burst, cost) = published(plan, lane);
                let (rate, burst) = (slower(rate, 2), burst / divisor);
                let log = simulate(plan, lane, ServerBucket::full(rate, burst), hint, seed);
                let what = format!("half, burst/{divisor}, hint {hint:?}");
                let ratio = report(&what, plan, lane, &log, least(rate, burst, cost));
                assert!(ratio <= 1.15, "{plan} {lane:?} {seed}: {ratio}");
            });
        }
    }
}

#[test]
fn a_tenth_of_the_published_limits_is_learned() {
    for hint in [Hint::Seconds, Hint::None] {
        each(|plan, lane, seed| {
            let (rate, burst, cost) = published(plan, lane);
            let rate = slower(rate, 10);
            let log = simulate(plan, lane, ServerBucket::full(rate, burst), hint, seed);
            let what = format!("tenth, hint {hint:?}");
            let ratio = report(&what, plan, lane, &log, least(rate, burst, cost));
            assert!(ratio <= 1.05, "{plan} {lane:?} {seed}: {ratio}");
        });
    }
}

#[test]
fn a_bucket_that_is_empty_at_the_start_costs_few_refusals() {
    for hint in [Hint::Seconds, Hint::None] {
        each(|plan, lane, seed| {
            let (rate, burst, cost) = published(plan, lane);
            let log = simulate(plan, lane, ServerBucket::empty(rate, burst), hint, seed);
            let what = format!("empty at first, hint {hint:?}");
            let ratio = report(&what, plan, lane, &log, least(rate, 0, cost));
            // The requests that were in flight, and few others.
            assert!(log.refused <= 70, "{plan} {lane:?} {seed}: {}", log.refused);
            assert!(ratio <= 1.05, "{plan} {lane:?} {seed}: {ratio}");
        });
    }
}

/// Half of the rate at first, and the published rate after a fifth of the work.
#[test]
fn recovered_limits_are_used_again() {
    for hint in [Hint::Seconds, Hint::None] {
        each(|plan, lane, seed| {
            let (rate, burst, cost) = published(plan, lane);
            let change = Duration::from_secs_f64(least(rate, burst, cost) * 0.4);
            let half = slower(rate, 2);
            let mut policy = Policy::default();
            policy.limits = Some(plan.purge_limits());
            policy.seed = Some(seed);
            let mut engine = Scheduler::new(policy);
            let mut bucket = ServerBucket::full(half, burst);
            let mut changed = false;
            let mut server = |Arrival { now, cost, .. }: Arrival| {
                if now >= change && !core::mem::replace(&mut changed, true) {
                    bucket.set_count(now, half.count * 2);
                }
                match bucket.take(now, tokens(cost)) {
                    Ok(()) => AttemptResult::Done,
                    Err(wait) => AttemptResult::RateLimited {
                        retry_after: (hint == Hint::Seconds).then(|| whole_seconds(wait)),
                    },
                }
            };
            let jobs = core::iter::repeat_n((cost, Replay::Safe), REQUESTS);
            let log = sim::run(&mut engine, jobs, &mut server, Network::jittery(seed));
            let what = format!("half, then all, hint {hint:?}");
            let least = least_changing(half, burst, rate, change, cost);
            let ratio = report(&what, plan, lane, &log, least);
            // The duration of a recovery at half of the rate, and at least that many requests.
            let recovery = 30_f64.max(60.0 * per_request(half, cost));
            assert!(
                ratio <= 1.1 || log.took.as_secs_f64() - least < recovery / 2.0,
                "{plan} {lane:?} {seed}"
            );
        });
    }
}

/// With a latency of 2 s, a rate of 50/s means a hundred requests in flight: the limiter paces the starts of requests.
#[test]
fn high_latency_does_not_reduce_the_rate() {
    let plan = Plan::Enterprise;
    let limits = plan.purge_limits();
    let (rate, burst, cost) = published(plan, Lane::Flexible);
    let mut policy = Policy::default();
    policy.limits = Some(limits);
    policy.concurrency = 128;
    let mut engine = Scheduler::new(policy);
    let mut bucket = ServerBucket::full(rate, burst);
    let mut server = |Arrival { now, cost, .. }: Arrival| match bucket.take(now, tokens(cost)) {
        Ok(()) => AttemptResult::Done,
        Err(_) => AttemptResult::RateLimited { retry_after: None },
    };
    let jobs = core::iter::repeat_n((cost, Replay::Safe), REQUESTS);
    let log = sim::run(&mut engine, jobs, &mut server, Network::steady(Duration::from_secs(2)));
    assert_eq!((log.refused, log.ended.len()), (0, REQUESTS));
    assert!(log.most_in_flight <= 128);
    // The burst is sent as fast as 128 connections allow; the rest takes less time than the limits require.
    let least = REQUESTS.div_ceil(128) as f64 * 2.0;
    let ratio = report("2 s away", plan, Lane::Flexible, &log, least);
    assert!(ratio <= 1.05, "{ratio}");

    // After the burst only the rate matters, which needs a hundred requests in flight.
    let mut policy = Policy::default();
    policy.limits = Some(limits);
    policy.concurrency = 128;
    let pace = RateLimiter::new(&policy);
    while pace.acquire(Duration::ZERO, cost).is_ok() {
        let _no_hold = pace.complete(Duration::ZERO, Duration::ZERO, cost, AttemptResult::Done);
    }
    let mut engine = Scheduler::with_limiter(policy, Arc::new(pace));
    let jobs = core::iter::repeat_n((cost, Replay::Safe), 500);
    let mut server = |_: Arrival| AttemptResult::Done;
    let log = sim::run(&mut engine, jobs, &mut server, Network::steady(Duration::from_secs(2)));
    let ratio = report("2 s away, no burst", plan, Lane::Flexible, &log, 500.0 / 50.0 + 2.0);
    assert!((99..=101).contains(&log.most_in_flight), "{}", log.most_in_flight);
    assert!(ratio <= 1.05, "{ratio}");
}

/// Refusals of requests that were in flight for two seconds when another refusal arrived contain no new information.
#[test]
fn high_latency_does_not_distort_the_learned_rate() {
    for hint in [Hint::Seconds, Hint::None] {
        each(|plan, lane, seed| {
            let (rate, burst, cost) = published(plan, lane);
            let half = slower(rate, 2);
            let mut policy = Policy::default();
            policy.limits = Some(plan.purge_limits());
            policy.seed = Some(seed);
            policy.concurrency = 128;
            let mut engine = Scheduler::new(policy);
            let mut bucket = ServerBucket::full(half, burst);
            let mut server = |Arrival { now, cost, .. }: Arrival| match bucket.take(now, tokens(cost)) {
                Ok(()) => AttemptResult::Done,
                Err(wait) => AttemptResult::RateLimited {
                    retry_after: (hint == Hint::Seconds).then(|| whole_seconds(wait)),
                },
            };
            let jobs = core::iter::repeat_n((cost, Replay::Safe), REQUESTS);
            let one_way = (Duration::from_millis(800), Duration::from_millis(1200));
            let network = Network { one_way, ..Network::jittery(seed) };
            let log = sim::run(&mut engine, jobs, &mut server, network);
            let what = format!("half, 2 s away, {hint:?}");
            let ratio = report(&what, plan, lane, &log, least(half, burst, cost));
            // The latency causes the loss: after a hold only a few requests are sent, and it takes ten seconds to
            // return to full concurrency.
            assert!(ratio <= 1.46, "{plan} {lane:?} {seed}: {ratio}");
        });
    }
}

/// A network that adds a delay of up to 250 ms, for an hour, and a server whose clock is slow.
#[test]
fn network_jitter_and_a_slow_server_clock_cause_no_refusals() {
    for &plan in Plan::ALL {
        let (rate, burst, cost) = published(plan, Lane::Urls);
        let slow = Rate { count: rate.count * 249, per: rate.per * 250 };
        let mut policy = Policy::default();
        policy.limits = Some(plan.purge_limits());
        let mut engine = Scheduler::new(policy);
        let mut bucket = ServerBucket::full(slow, burst);
        let mut server = |Arrival { now, cost, .. }: Arrival| match bucket.take(now, tokens(cost)) {
            Ok(()) => AttemptResult::Done,
            Err(_) => AttemptResult::RateLimited { retry_after: None },
        };
        let network = Network {
            one_way: (Duration::from_millis(10), Duration::from_millis(260)),
            ..Network::jittery(77)
        };
        let hour = 3600 * rate.count as usize / tokens(cost);
        let jobs = core::iter::repeat_n((cost, Replay::Safe), hour);
        let log = sim::run(&mut engine, jobs, &mut server, network);
        let ratio = log.took.as_secs_f64() / 3600.0;
        println!("an hour, badly connected       {plan:10} Urls: ratio {ratio:.4}, refused {}", log.refused);
        assert_eq!(log.refused, 0, "{plan}");
        assert!(ratio <= 1.01, "{plan}: {ratio}");
    }
}

/// Another program uses the same account: each gets its share, and no request fails.
#[test]
fn limits_shared_with_another_program_are_learned() {
    for hint in [Hint::Seconds, Hint::None] {
        each(|plan, lane, seed| {
            let (rate, burst, cost) = published(plan, lane);
            let mut bucket = ServerBucket::full(rate, burst);
            // It takes half of the bucket's refill, evenly spaced.
            let every = Duration::from_secs_f64(per_request(rate, cost) * 2.0);
            let mut next = every;
            let mut policy = Policy::default();
            policy.limits = Some(plan.purge_limits());
            policy.seed = Some(seed);
            let mut engine = Scheduler::new(policy);
            let mut server = |Arrival { now, cost, .. }: Arrival| {
                while next <= now {
                    let _ = bucket.take(next, tokens(cost));
                    next += every;
                }
                match bucket.take(now, tokens(cost)) {
                    Ok(()) => AttemptResult::Done,
                    Err(wait) => AttemptResult::RateLimited {
                        retry_after: (hint == Hint::Seconds).then(|| whole_seconds(wait)),
                    },
                }
            };
            let jobs = core::iter::repeat_n((cost, Replay::Safe), REQUESTS);
            let log = sim::run(&mut engine, jobs, &mut server, Network::jittery(seed));
            let what = format!("shared, hint {hint:?}");
            let ratio = report(&what, plan, lane, &log, least(slower(rate, 2), burst, cost));
            let accepted = log.ended.iter().filter(|(.., signal)| *signal == AttemptResult::Done).count();
            assert_eq!(accepted, REQUESTS, "{plan} {lane:?} {seed}");
            assert!(ratio <= 1.25, "{plan} {lane:?} {seed}: {ratio}");
        });
    }
}

/// The API blocks all requests for five minutes without stating a wait: no request may fail because of that.
#[test]
fn a_lockout_of_five_minutes_without_a_stated_wait_is_survived() {
    for seed in 1..=50 {
        let mut policy = Policy::default();
        policy.limits = Some(Plan::Pro.purge_limits());
        policy.seed = Some(seed);
        let mut engine = Scheduler::new(policy);
        let (from, to) = (Duration::from_secs(5), Duration::from_secs(305));
        let mut server = |Arrival { now, .. }: Arrival| {
            if (from..to).contains(&now) {
                AttemptResult::RateLimited { retry_after: None }
            } else {
                AttemptResult::Done
            }
        };
        let jobs = core::iter::repeat_n((Cost::Flexible, Replay::Safe), 100);
        let log = sim::run(&mut engine, jobs, &mut server, Network::jittery(seed));
        assert_eq!(engine.stopped(), None, "{seed}");
        assert!(log.ended.iter().all(|(.., signal)| *signal == AttemptResult::Done), "{seed}");
        assert!(log.refused <= 50, "{seed}: {}", log.refused);
        assert!(log.took <= Duration::from_secs(500), "{seed}: {:?}", log.took);
    }
}
