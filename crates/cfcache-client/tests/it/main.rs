//! The engine on a simulated clock, the driver on a paused one, and nothing on a real one.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests, but not the helpers and servers that they are made of"
)]
#![expect(
    clippy::print_stdout,
    reason = "what was measured is worth a look: `cargo test -- --nocapture pace`"
)]

mod call;
mod engine;
mod job;
mod pace;
mod run;
mod secrets;
mod sim;
#[cfg(feature = "tracing")]
#[path = "../../../cfcache-transport/tests/it/spans.rs"]
mod spans;
#[cfg(feature = "tracing")]
mod trace;
mod world;
