//! What programs around Cloudflare's cache purge API share, without arguments and without a terminal: configuration,
//! credentials, input, journal, reports. What is to be told on the way goes to a [`console::Console`].

#![allow(missing_docs, reason = "fields and methods that say by their names what they are")]

pub mod config;
pub mod connection;
pub mod console;
pub mod credentials;
pub mod domain;
pub mod exit;
pub mod failure;
pub mod job;
pub mod journal;
pub mod report;
pub mod route;
pub mod same_file;
pub mod secret;
pub mod session;
pub mod source;
pub mod whole;
pub mod wording;
