//! Prints what a purge looks like on the wire, with nothing but the model: `cargo run --example purge_body`.

use std::error::Error;

use cfcache_model::endpoint::{self, Endpoint, PurgeCache};
use cfcache_model::plan::{BatchLimits, Planner};
use cfcache_model::target::Target;
use cfcache_model::{EnvironmentId, Kind, Plan, PurgeBody, ZoneId};

fn main() -> Result<(), Box<dyn Error>> {
    let zone = ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353")?;

    // Many targets become batches, each no larger than the plan allows.
    let mut planner = Planner::new(Kind::Tags, BatchLimits::from_plan(Plan::Free.purge_limits(), Kind::Tags));
    let mut batches = Vec::new();
    for number in 1..=150 {
        let target = Target::parse(Kind::Tags, &format!("product-{number}"))?;
        batches.extend(planner.push(target)?);
    }
    while let Some(batch) = planner.finish() {
        batches.push(batch);
    }
    for batch in batches {
        show(&PurgeCache::purge(&zone, &PurgeBody::Batch(batch)));
    }

    // The same body marks files stale instead, or is for one environment of the zone.
    let environment = EnvironmentId::parse("4e9f1d2a7b8c3f60a5d4e3c2b1a09f")?;
    show(&PurgeCache::invalidate(&zone, &PurgeBody::Everything).with_environment(&environment));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn show<E: Endpoint>(request: &E) {
    let parts = endpoint::encode(request);
    println!("{} {}", parts.method.as_str(), parts.path);
    println!("{}\n", parts.body.unwrap_or_default());
}
