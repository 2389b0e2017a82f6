//! The binary as people and scripts meet it: arguments and files in, standard output, standard error and an exit code
//! out, against the emulator. What it sent is read from the emulator's log.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

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
