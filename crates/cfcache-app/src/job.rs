//! What is to be done, all of it parsed.

use std::path::PathBuf;

use cfcache_model::endpoint::Action;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::target::{CacheKeyHeader, Kind};

use crate::source::Base;

/// What an invalid entry of the input does to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// Nothing is sent, or nothing more.
    Fail,
    /// It is left out, and reported.
    Skip,
}

/// Where targets come from, and how they are read.
pub struct Targets {
    pub action: Action,
    pub kind: Kind,
    pub arguments: Vec<String>,
    pub files: Vec<PathBuf>,
    pub headers: Vec<CacheKeyHeader>,
    pub on_invalid: OnInvalid,
    /// Sitemaps, of which the addresses are entries.
    pub sitemaps: Vec<PathBuf>,
    /// Where paths are served from.
    pub base: Option<Base>,
    /// Whether entries of lists end with NUL.
    pub null: bool,
    /// Whether a warning about an entry makes it invalid.
    pub strict: bool,
}

/// The zone, and the environment of it.
pub struct Scope {
    pub zone: ZoneRef,
    pub environment: Option<EnvironmentRef>,
}

/// A zone, as it was given.
pub enum ZoneRef {
    Id(ZoneId),
    Domain(String),
}

/// An environment, as it was given.
pub enum EnvironmentRef {
    Id(EnvironmentId),
    Name(String),
}
