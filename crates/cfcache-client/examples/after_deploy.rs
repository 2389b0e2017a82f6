//! Purges the pages named on the command line, as the last step of a deployment.
//!
//! `cargo run -p cfcache-client --example after_deploy -- https://www.example.com/`
//!
//! It takes `CLOUDFLARE_API_TOKEN`, `CLOUDFLARE_ZONE_ID` and, to try it at `cfcache emulator`, `CLOUDFLARE_BASE_URL`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]
#![expect(clippy::disallowed_methods, reason = "a program of its own reads its own environment")]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use cfcache_client::engine::Policy;
use cfcache_client::{BaseUrl, Client, Codec, Credentials, DEFAULT_BASE_URL, Event, PurgeScope, entries};
use cfcache_model::endpoint::Action;
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::File;
use cfcache_model::{Kind, Plan, ZoneId};
use cfcache_transport::HyperTransport;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let base = env::var("CLOUDFLARE_BASE_URL").unwrap_or_else(|_| DEFAULT_BASE_URL.to_owned());
    let base: BaseUrl = base.parse()?;
    let credentials = Credentials::token(env::var("CLOUDFLARE_API_TOKEN")?.into())?;
    let zone = ZoneId::parse(&env::var("CLOUDFLARE_ZONE_ID")?)?;

    // Whose limits to keep to. A client is made once, and shared: what it sends shares one pace.
    let limits = Plan::Pro.purge_limits();
    let mut policy = Policy::default();
    policy.limits = Some(limits);
    let transport = HyperTransport::builder(base.origin().clone()).build()?;
    let client =
        Client::new(Arc::new(transport), Codec::new(base, Some(&credentials), "my-site/1.0"), policy);

    // Each URL is checked, and none is rewritten: its bytes are the cache key.
    let pages = env::args().skip(1).map(|url| File::parse(&url)).collect::<Result<Vec<_>, _>>()?;
    let run = PurgeScope::new(Action::Purge, zone, Kind::Files, BatchLimits::from_plan(limits, Kind::Files));
    let mut tell = |event: Event<'_>| {
        if let Event::Ended(batch) = event
            && let Err(error) = batch.result
        {
            eprintln!("not purged: {} pages: {error}", batch.batch.len());
        }
    };
    // Where a process is told to end, its signal belongs here.
    let interrupt = std::future::pending();
    let tally = client.run(&run, entries(pages), interrupt, &mut tell).await;
    println!("{} of {} pages accepted, in {} requests", tally.accepted, tally.items, tally.requests);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
