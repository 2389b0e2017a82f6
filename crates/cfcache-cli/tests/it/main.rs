//! Tests of the binary: arguments and files as input; standard output, standard error and exit code as output. It runs
//! against the emulator, and the tests read its requests from the emulator's log.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

mod abandoned;
mod action;
mod changed;
mod config;
mod credentials;
mod deployments;
mod emulator;
mod exits;
mod faults;
mod input;
mod journal;
mod kills;
mod lists;
mod log;
mod outputs;
mod plans;
mod recipes;
mod report_page;
mod routing;
mod schema;
mod scope;
mod secrets;
mod settings;
mod signals;
mod sitemaps;
mod support;
mod terminal;
mod tls;
mod usage;
mod verify;
mod visitors;
