//! Tests of the engine with a simulated clock, and of the driver with a paused one. None uses real time.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests, but not the helpers and servers that they are made of"
)]
#![expect(clippy::print_stdout, reason = "measurements are printed: `cargo test -- --nocapture pace`")]

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
mod support;
#[cfg(feature = "tracing")]
mod trace;
