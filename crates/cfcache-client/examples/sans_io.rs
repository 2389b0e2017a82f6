//! The engine with no runtime, no socket and no clock: a loop that jumps from one moment to the next.
//!
//! `cargo run -p cfcache-client --example sans_io --no-default-features`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use core::error::Error;
use core::time::Duration;

use cfcache_client::engine::{AttemptResult, Decision, Engine, Policy, Step};
use cfcache_model::endpoint::{Endpoint as _, PurgeCache};
use cfcache_model::target::Tag;
use cfcache_model::verdict::judge;
use cfcache_model::{Plan, PurgeBody, ZoneId};

const ACCEPTED: &str = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"023e105f"}}"#;
const REFUSED: &str = r#"{"success":false,"errors":[{"code":971,"message":"rate limited"}],"result":null}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;
    let mut policy = Policy::default();
    policy.limits = Some(Plan::Pro.purge_limits());
    let mut engine = Engine::new(policy);

    // Forty requests, each worth one of the plan's bucket. A job is whatever you need to send it.
    for number in 1..=40 {
        let body = PurgeBody::of([Tag::parse(&format!("tag-{number}"))?])?;
        let request = PurgeCache::purge(&zone, &body);
        let (cost, replay) = (request.cost(), request.descriptor().replay);
        engine.offer(body, cost, replay);
    }
    engine.finish();

    let mut now = Duration::ZERO;
    let mut in_flight = Vec::new();
    loop {
        match engine.next(now) {
            Step::Send(ticket) => {
                let Some(body) = engine.job(ticket) else { continue };
                println!("{now:>8.2?}  sends {}", body.to_json());
                // The answer takes 80 ms. The tenth request of all is one too many for this server.
                let is_too_many = body.to_json().contains("tag-10") && engine.attempt(ticket) == 1;
                let (status, answer, retry_after) = match is_too_many {
                    true => (429, REFUSED, Some(Duration::from_secs(3))),
                    false => (200, ACCEPTED, None),
                };
                let verdict = judge(&PurgeCache::purge(&zone, body), status, answer.as_bytes());
                in_flight.push((
                    now + Duration::from_millis(80),
                    ticket,
                    AttemptResult::of(&verdict, retry_after),
                ));
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
    Ok(())
}
