//! The verdict as a table, and the machines on a simulated clock against a simulated edge.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests, but not the helpers and simulations that they are made of"
)]

mod edge;
mod verdicts;
mod verify;
mod visitor;
