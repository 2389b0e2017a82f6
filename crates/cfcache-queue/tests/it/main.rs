//! The queue from outside.

#![expect(clippy::unwrap_used, reason = "clippy sees tests, but not the helpers that they are made of")]

mod engine;
mod support;
