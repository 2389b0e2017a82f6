//! Sites: which URLs show a file, what changed, and what is remembered of it.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there is a failure")]

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
