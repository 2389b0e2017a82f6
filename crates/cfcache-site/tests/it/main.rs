//! Tests of sites: the URLs of a file, changes, and states.

#![expect(clippy::unwrap_used, reason = "a missing value fails the test")]

mod changes;
mod difference;
mod directory;
mod mapping;
mod paths;
mod selection;
mod sitemap;
mod snapshots;
mod state;
mod state_file;
mod support;
