//! Runs a purge without a runtime, a socket or a clock: a loop that advances a simulated time.
//!
//! `cargo run -p cfcache-client --example sans_io --no-default-features`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use core::error::Error;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use cfcache_client::engine::{JobStep, Policy, PurgeJob, RateLimiter};
use cfcache_client::{Codec, DEFAULT_BASE_URL, Event, PurgeScope};
use cfcache_model::endpoint::Action;
use cfcache_model::plan::{BatchLimits, Entry};
use cfcache_model::target::Tag;
use cfcache_model::{Kind, Plan, ZoneId};

const ACCEPTED: &str = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"023e105f"}}"#;
const REFUSED: &str = r#"{"success":false,"errors":[{"code":971,"message":"rate limited"}],"result":null}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;
    let mut policy = Policy::default();
    policy.limits = Some(Plan::Pro.purge_limits());
    let limiter = Arc::new(RateLimiter::new(&policy));
    let codec = Arc::new(Codec::new(DEFAULT_BASE_URL.parse()?, None, "example/1.0"));
    let scope = PurgeScope::new(Action::Purge, zone, Kind::Tags, BatchLimits::new(1));
    let watch = |event: Event<'_>| match event {
        Event::Retrying { wait, cause, .. } => println!("          waits {wait:.2?}: {cause}"),
        Event::Waiting { wait, reason } => println!("          waits {wait:.2?} ({reason:?})"),
        _ => {}
    };
    let mut job = PurgeJob::new(codec, limiter, policy, [scope], watch);

    // Forty requests of one tag each; the simulated server refuses the tenth with a 429.
    let tags = (1..=40).map(|number| Tag::parse(&format!("tag-{number}")));
    let mut input: VecDeque<Tag> = tags.collect::<Result<_, _>>()?;
    let mut now = Duration::ZERO;
    let mut in_flight = VecDeque::new();
    loop {
        match job.poll(now) {
            // The response takes 80 ms. A real program would pass `request.message` to an HTTP client here.
            JobStep::Send(id, request) => {
                let body = String::from_utf8_lossy(request.message.body()).into_owned();
                println!("{now:>8.2?}  sends {body}");
                let is_too_many = body.contains("tag-10") && request.operation.attempt == 1;
                let answer = if is_too_many {
                    let answer = http::Response::builder().status(429).header("retry-after", "3");
                    answer.body(Bytes::from_static(REFUSED.as_bytes()))?
                } else {
                    http::Response::new(Bytes::from_static(ACCEPTED.as_bytes()))
                };
                in_flight.push_back((now + Duration::from_millis(80), id, answer));
            }
            // Only sent after `with_recording`.
            JobStep::Record(outcome) => job.on_recorded(outcome, Ok(())),
            JobStep::Wait { wants_input: true, .. } => match input.pop_front() {
                Some(tag) => job.push(now, 0, vec![Entry::from(tag)]),
                None => job.finish(),
            },
            // Advances to the time that the job waits for or to the next response, whichever is first.
            JobStep::Wait { until, .. } => {
                let next = in_flight.front().map(|(at, ..)| *at);
                match (next.filter(|at| until.is_none_or(|until| *at <= until)), until) {
                    (Some(at), _) => {
                        let Some((_, id, answer)) = in_flight.pop_front() else { break };
                        now = at;
                        job.on_response(now, id, Ok(answer));
                    }
                    (None, Some(until)) => now = until,
                    (None, None) => unreachable!("something is in flight, or the job is done"),
                }
            }
            JobStep::Done => break,
        }
    }
    println!("{now:>8.2?}  {:?}", job.total());
    Ok(())
}
