//! The code that the programs of this project share, independent of arguments and terminals: from settings and a job to
//! a report.
//!
//! A program uses it in this order:
//!
//! 1. [`config::EnvVars::read_all`] and [`config::Settings::load`] read the environment and the files of settings.
//! 2. The methods of [`config::Settings`], [`connection::Network::new`], [`credentials::fetch`] and [`visitor`] parse what
//!    is set into the parts of a [`job::Job`].
//! 3. [`purge::run`] does the job and returns a [`report::Report`]; [`purge::dry_run()`] only shows the requests.
//!    [`visiting`] asks URLs without purging, and [`manage`] is about zones, tokens and settings.
//!
//! Nothing in this crate prints: messages go to a [`console::Console`]. An error that ends a program is a
//! [`failure::Failure`], whose [`exit::Exit`] is the exit code.

pub mod config;
pub mod connection;
pub mod console;
pub mod credentials;
pub mod domain;
pub mod exit;
pub mod failure;
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
pub mod visitor;
pub mod whole;
pub mod wording;
