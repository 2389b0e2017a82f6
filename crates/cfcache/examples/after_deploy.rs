//! Purges the pages named on the command line, as the last step of a deployment.
//!
//! `cargo run -p cfcache --example after_deploy -- https://www.example.com/`
//!
//! It reads `CLOUDFLARE_API_TOKEN`, `CLOUDFLARE_ZONE_ID` and, to use `cfcache emulator`, `CLOUDFLARE_BASE_URL`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]
#![expect(clippy::disallowed_methods, reason = "a program of its own reads its own environment")]

use std::env;
use std::error::Error;
use std::process::ExitCode;

use cfcache::{Client, ZoneId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let client = Client::from_env()?;
    let zone: ZoneId = env::var("CLOUDFLARE_ZONE_ID")?.parse()?;

    // URLs are validated but never rewritten, because their bytes are the cache key.
    let summary = client.purge(&zone).urls(env::args().skip(1)).send().await?;
    println!("{} of {} pages accepted, in {} requests", summary.accepted, summary.items, summary.requests);
    for failure in &summary.failures {
        eprintln!("not purged: {}: {}", failure.entry, failure.message);
    }
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
