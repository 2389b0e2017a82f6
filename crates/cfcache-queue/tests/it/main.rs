//! Tests of the queue on its databases, with the emulator as the API.
//!
//! Without PostgreSQL, the tests that need it report that they are skipped and how to install it.
//! `CFCACHE_REQUIRE_POSTGRES=1` makes that a failure.

#![expect(clippy::unwrap_used, reason = "clippy sees tests, but not the helpers that they are made of")]

mod admin;
#[cfg(unix)]
#[path = "../../../cfcache-emulator/tests/it/browser.rs"]
mod browser;
mod chaos;
#[cfg(unix)]
mod crash;
mod engine;
mod http;
mod intake;
mod memory;
mod operations;
#[cfg(unix)]
mod page;
mod postgres;
mod push;
#[cfg(unix)]
mod serve;
mod simulate;
mod sqlite;
mod support;
mod transfer;
mod worker;
