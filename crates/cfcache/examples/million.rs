//! Purges a million entries from a stream with backpressure: the stream is read only as fast as the API accepts
//! entries, and each outcome comes back with the key that the program gave to its entry.
//!
//! `cargo run --release -p cfcache --example million`
//!
//! It starts its own emulator.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use cfcache::{Client, Entry, EntryStatus, File, Plan, ZoneId};
use cfcache_emulator::{Config, Emulator, Zone};
use futures_core::Stream;
use tokio::sync::mpsc;

const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// The entries of a channel as a stream.
struct Received(mpsc::Receiver<Entry>);

impl Stream for Received {
    type Item = Entry;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Entry>> {
        self.0.poll_recv(context)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::new(Plan::Enterprise).with_limits(false).with_zone(Zone::new(ZONE, "example.com"));
    let emulator = Emulator::start(config.with_max_log_entries(0), ([127, 0, 0, 1], 0).into()).await?;
    let zone: ZoneId = ZONE.parse()?;
    let token = "any-token-of-a-valid-form-will-do-here-00";
    let client =
        Client::builder().api_token(token).base_url(emulator.base_url()).plan(Plan::Enterprise).build()?;

    // The keys could be the keys of database rows. Both channels are small, so neither side runs ahead of the other.
    let (pages, input) = mpsc::channel(1000);
    let (outcomes, mut results) = mpsc::channel(1000);
    tokio::spawn(async move {
        for key in 0..1_000_000_u64 {
            let Ok(page) = File::parse(&format!("https://www.example.com/{key}")) else { continue };
            if pages.send(Entry::from(page).with_tag(key)).await.is_err() {
                return;
            }
        }
    });
    // With the limits of the plan, a million URLs take five minutes; ten seconds are enough for an example.
    let enough = tokio::time::sleep(std::time::Duration::from_secs(10));
    let request = client.purge(&zone).stream(Received(input)).until(enough).outcomes(outcomes);
    let request = tokio::spawn(request.send());
    let mut accepted = 0_u64;
    while let Some(outcome) = results.recv().await {
        match outcome.status {
            EntryStatus::Accepted => accepted += 1,
            status => println!("{}: {status:?}", outcome.tag),
        }
        if accepted > 0 && accepted.is_multiple_of(5000) {
            println!("{accepted} accepted, the last of them {}", outcome.tag);
        }
    }
    let summary = request.await??;
    println!("{} of {} accepted in {} requests", summary.accepted, summary.items, summary.requests);
    Ok(())
}
