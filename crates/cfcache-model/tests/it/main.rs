//! Tests of the model's public API: bytes of requests, validation and its messages, batches, answers.

#![expect(clippy::unwrap_used, reason = "clippy sees tests, but not the helpers that they are made of")]

mod captured;
mod catalog;
mod envelope;
mod hostile;
mod planner;
mod sdk;
mod support;
mod targets;
mod verdict;
mod wire;
