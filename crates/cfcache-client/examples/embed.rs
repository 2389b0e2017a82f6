//! Purges the entries of an iterator and prints the events.
//!
//! `cargo run -p cfcache-client --example embed`
//!
//! It sends nothing over the network: the transport is a closure. For the real API, use `HyperTransport` of
//! `cfcache-transport`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use core::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use cfcache_client::engine::Policy;
use cfcache_client::{Client, Codec, Credentials, DEFAULT_BASE_URL, Event, PurgeScope, entries};
use cfcache_model::endpoint::Action;
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::File;
use cfcache_model::{Kind, Plan, ZoneId};
use secrecy::SecretString;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let transport = |_| async {
        let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"…"}}"#;
        Ok(http::Response::new(Bytes::from(body)))
    };
    let credentials = Credentials::token(SecretString::from("from-somewhere-safe"))?;
    let codec = Codec::new(DEFAULT_BASE_URL.parse()?, Some(&credentials), "my-program/1.0");
    let limits = Plan::Pro.purge_limits();
    let mut policy = Policy::default();
    policy.limits = Some(limits);
    let client = Client::new(Arc::new(transport), codec, policy);

    // The input can be any iterator of targets, or a stream of chunks of entries, of any length.
    let files = (1..=1234).map(|number| File::parse(&format!("https://www.example.com/{number}.css")));
    let files = files.collect::<Result<Vec<_>, _>>()?;

    let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;
    let run = PurgeScope::new(Action::Purge, zone, Kind::Files, BatchLimits::from_plan(limits, Kind::Files));
    let mut watch = |event: Event<'_>| match event {
        Event::Ended(outcome) => match &outcome.result {
            Ok(()) => println!("batch {}: {} accepted", outcome.number, outcome.batch.len()),
            Err(error) => println!("batch {}: {error}", outcome.number),
        },
        Event::Waiting { wait, reason } => println!("waits {wait:.1?} ({reason:?})"),
        _ => {}
    };
    let interrupt = core::future::pending();
    let tally = client.run(&run, entries(files), interrupt, &mut watch).await;
    println!("{} of {} accepted, in {} requests", tally.accepted, tally.items, tally.requests);
    Ok(())
}
