//! Tests of the verdicts as a table, and of the state machines on a simulated clock with a simulated edge.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests, but not the helpers and simulations that they are made of"
)]

mod edge;
mod verdicts;
mod verify;
mod visitor;
