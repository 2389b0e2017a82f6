//! What programs around Cloudflare's cache purge API share, without arguments and without a terminal: configuration,
//! credentials, input, journal, reports.
//!
//! [`purge::run`] takes a [`job::Job`] and returns a [`report::Report`]. What is to be told on the way goes to a
//! [`console::Console`]; nothing here prints, and nothing reads the environment but by the function that
//! [`config::Environment::read_all`] is given.

pub mod config;
pub mod connection;
pub mod console;
pub mod credentials;
pub mod domain;
pub mod exit;
pub mod failure;
pub mod interrupts;
pub mod job;
pub mod journal;
pub mod log;
pub mod manage;
pub mod observe;
pub mod pages;
pub mod purge;
pub mod report;
pub mod route;
pub mod same_file;
pub mod scope;
pub mod secret;
pub mod session;
pub mod source;
pub mod visit_report;
pub mod visiting;
pub mod whole;
pub mod wording;
