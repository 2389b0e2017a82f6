//! Tests with real sockets on loopback and servers that misbehave.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests, but not the helpers and servers that they are made of"
)]

mod http1;
mod http2;
mod origins;
mod promise;
mod proxies;
mod rules;
mod secrets;
#[cfg(feature = "tracing")]
mod spans;
mod streams;
mod support;
mod tls;
#[cfg(feature = "tracing")]
mod trace;
