//! The emulator against its documents: without sockets where that can show it, with them where not.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

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
