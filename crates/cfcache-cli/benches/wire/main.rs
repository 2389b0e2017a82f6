//! Benchmarks that need a server: `cargo xtask bench pace`, `throughput` and `tls` run this.
//!
//! Each figure is a ratio of two measurements in one run, so that the machine and its load matter little.

#![expect(clippy::unwrap_used, reason = "a benchmark is a test")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]

mod pace;
mod process;
mod server;
mod throughput;
mod tls;

use core::time::Duration;
use std::process::ExitCode;
use std::sync::Arc;

use cfcache_client::engine::Policy;
use cfcache_client::{Client, Codec, Credentials};
use cfcache_model::ZoneId;
use cfcache_transport::HyperTransportBuilder;
use secrecy::SecretString;

/// The zone of the emulator.
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// A token of a valid form.
const TOKEN: &str = "tok3nTOK3Ntok3nTOK3Ntok3nTOK3Ntok3nTOK3N";

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let what = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let met = match what.as_deref() {
        Some("pace") => pace::run(),
        Some("throughput") => throughput::run(),
        Some("tls") => tls::run(),
        _ => {
            eprintln!("usage: cargo xtask bench pace|throughput|tls");
            return ExitCode::from(2);
        }
    };
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a future as the binary does: on one thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn client(
    base: &str,
    policy: Policy,
    transport: impl FnOnce(HyperTransportBuilder) -> HyperTransportBuilder,
) -> Client {
    let base: cfcache_client::BaseUrl = base.parse().unwrap();
    let builder = cfcache_transport::HyperTransport::builder(base.origin().clone());
    // The same limits as in the binary.
    let builder = transport(builder.with_max_connections(policy.concurrency));
    let token = Credentials::token(SecretString::from(TOKEN)).unwrap();
    let codec = Codec::new(base, Some(&token), "cfcache-bench/0");
    Client::new(Arc::new(builder.build().unwrap()), codec, policy)
}

fn zone() -> ZoneId {
    ZoneId::parse(ZONE).unwrap()
}

/// Returns this many distinct URLs, one per line.
fn urls(count: usize) -> String {
    use core::fmt::Write as _;
    let mut text = String::with_capacity(count * 56);
    for number in 0..count {
        let name = number.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF;
        writeln!(text, "https://www.example.com/assets/{:03}/{name:08x}.jpg", number % 997).unwrap();
    }
    text
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Prints whether a target is met, and by how much it is missed.
fn verdict(what: &str, ratio: f64, is_met: bool, target: &str) -> bool {
    let missed = if is_met { "met" } else { "MISSED" };
    println!("  {what}: {ratio:.3}, target {target}: {missed}");
    is_met
}
