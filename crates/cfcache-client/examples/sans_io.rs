//! The engine with no runtime, no socket and no clock: a loop that jumps from one moment to the next.
//!
//! `cargo run -p cfcache-client --example sans_io --no-default-features`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use core::time::Duration;

use cfcache_client::engine::{Decision, Engine, Policy, Signal, Step};
use cfcache_model::Plan;
use cfcache_model::endpoint::{Cost, Replay};

fn main() {
    let mut policy = Policy::default();
    policy.limits = Some(Plan::Pro.purge_limits());
    let mut engine = Engine::new(policy);

    // Forty requests, each worth one of the plan's bucket. A job is whatever you need to send it.
    for number in 1..=40 {
        engine.offer(format!("batch {number}"), Cost::Flexible, Replay::Safe);
    }
    engine.finish();

    let mut now = Duration::ZERO;
    let mut in_flight = Vec::new();
    loop {
        match engine.next(now) {
            Step::Send(ticket) => {
                println!("{now:>8.2?}  sends {}", engine.job(ticket).map_or("", String::as_str));
                // The answer takes 80 ms. The tenth request of all is one too many for this server.
                let signal = match engine.job(ticket).is_some_and(|job| job == "batch 10")
                    && engine.attempt(ticket) == 1
                {
                    true => Signal::RateLimited { retry_after: Some(Duration::from_secs(3)) },
                    false => Signal::Done,
                };
                in_flight.push((now + Duration::from_millis(80), ticket, signal));
            }
            // Whichever comes first: the time that the engine waits for, or an answer.
            Step::Wait { until, reason, .. } => {
                let next = in_flight.first().map(|(at, ..)| *at);
                let answered = next.filter(|at| until.is_none_or(|until| *at <= until));
                match (answered, until) {
                    (Some(at), _) => {
                        let (_, ticket, signal) = in_flight.remove(0);
                        now = at;
                        if let Decision::Again { at, .. } = engine.settle(now, ticket, signal) {
                            println!("{now:>8.2?}  is told to wait until {at:.2?}");
                        }
                    }
                    (None, Some(until)) => {
                        println!("{now:>8.2?}  waits until {until:.2?} ({reason:?})");
                        now = until;
                    }
                    (None, None) => unreachable!("something is in flight, or the engine is done"),
                }
            }
            Step::Done => break,
        }
    }
    println!("{now:>8.2?}  done");
}
