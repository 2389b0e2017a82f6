//! Compares the emulator with the API's documentation, without sockets where possible.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

#[cfg(unix)]
mod browser;
mod credentials;
mod edge;
mod faults;
mod limits;
mod own_app;
#[cfg(unix)]
mod page;
mod purge;
mod regions;
mod routes;
mod samples;
mod settings;
mod support;
mod wire;
mod zones;
