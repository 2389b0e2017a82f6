//! What is to be done, all of it parsed.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::target::{CacheKeyHeader, Kind, Target};
use cfcache_probe::{Expectation, ExpectedBody, GateSettings, Limits, Sha256, Variant, VisitorBuilder};

use cfcache_site::changes::ListFormat;
use cfcache_site::mapping::Site;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::report::FallbackTo;
use crate::source::Base;

/// What an invalid entry of the input does to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInvalid {
    /// Nothing is sent, or nothing more.
    Fail,
    /// It is left out, and reported.
    Skip,
}

/// What to purge or invalidate.
pub enum Job {
    Everything(EverythingJob),
    List(ListJob),
    Route(RouteJob),
    Changed(Box<ChangedJob>),
}

/// A purge or invalidate of everything.
pub struct EverythingJob {
    pub action: Action,
    pub visits: Option<Visits>,
    pub scope: Scope,
    pub connection: Connection,
    pub yes: bool,
}

/// A purge or invalidate of a list, in one zone.
pub struct ListJob {
    pub action: Action,
    pub visits: Option<Visits>,
    pub scope: Scope,
    pub targets: Targets,
    pub connection: Connection,
    pub failed_to: Option<PathBuf>,
    pub journal: Option<PathBuf>,
    pub batch_size: Option<usize>,
}

/// A purge or invalidate whose entries name their zones by themselves: each goes to the zone of its host.
pub struct RouteJob {
    pub action: Action,
    pub visits: Option<Visits>,
    pub targets: Targets,
    /// The map of the configuration; where it is empty, the API's list is asked for.
    pub zones: Vec<(String, ZoneId)>,
    pub connection: Connection,
    pub failed_to: Option<PathBuf>,
    pub batch_size: Option<usize>,
}

/// A purge or invalidate of what a deployment changed.
pub struct ChangedJob {
    pub action: Action,
    pub visits: Option<Visits>,
    pub source: ChangedSource,
    pub site: Site,
    /// The file that remembers the site.
    pub state: PathBuf,
    pub destination: Destination,
    /// What is wrong with it is told once that what is to be purged is written down: it is to be made up for then.
    pub connection: Result<Connection, Failure>,
    pub plan: Option<Plan>,
    /// How long URLs may take by the limits of the plan; `None` where these are not kept.
    pub within: Option<Duration>,
    /// What to purge in place of too many URLs, the first that helps.
    pub fallback: Vec<FallbackTo>,
    pub first: FirstRun,
    pub begin: bool,
    pub explain: bool,
    pub yes: bool,
    pub failed_to: Option<PathBuf>,
    pub batch_size: Option<usize>,
}

/// What is deployed, or what changed about it.
pub enum ChangedSource {
    Directory {
        path: PathBuf,
        /// What it may not lead out of: the folder of the project's file that names it.
        within: Option<PathBuf>,
    },
    Manifest {
        file: PathBuf,
        is_null_separated: bool,
        /// What the paths in it begin with.
        root: Option<PathBuf>,
    },
    GitTree(String),
    Sitemaps(Vec<PathBuf>),
    Changes {
        format: ListFormat,
        file: PathBuf,
        is_null_separated: bool,
        root: Option<PathBuf>,
    },
}

/// Where entries are sent.
pub enum Destination {
    /// To one zone.
    Zone(Scope),
    /// Each to the zone of its host; the configuration's map of them, which may be empty.
    Hosts(Vec<(String, ZoneId)>),
}

/// What to purge where there is no state of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstRun {
    /// The hosts of the site.
    Hosts,
    /// Every URL of every file.
    List,
    /// Nothing.
    Nothing,
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

/// What visitors are for around a purge.
pub struct Visits {
    pub visitor: VisitorBuilder,
    pub gate: Option<GateJob>,
    pub verify: Option<VerifyJob>,
    pub warm: Option<WarmJob>,
}

/// What must be so before anything is purged.
pub struct GateJob {
    pub expectation: Expectation,
    pub settings: GateSettings,
    /// Whether each request gets a query of its own.
    pub busts: bool,
    /// Its URL is on this machine, and is asked there, whatever visitors connect to.
    pub is_here: bool,
}

/// URLs to ask or to fetch.
pub struct VisitJob {
    pub targets: Targets,
    pub visitor: VisitorBuilder,
    pub limits: Limits,
    /// As whom to fetch.
    pub variants: Vec<Variant>,
    /// Whether what was fetched is asked for again, until it is served from the cache.
    pub certify: bool,
}

/// What is asked after a purge.
pub struct VerifyJob {
    /// How many of the purged URLs at the most.
    pub sample: Sample,
    /// Whether they are asked before the purge too, so that a change from HIT can be seen.
    pub transition: bool,
    /// URLs beside those that are purged.
    pub urls: Vec<Target>,
    pub timeout: Duration,
    pub limits: Limits,
    pub expected: Expected,
    /// Whether visitors should get the files that are deployed, byte for byte.
    pub expects_files: bool,
}

/// The bodies that visitors should get.
#[derive(Default)]
pub struct Expected {
    /// By URL.
    pub by_url: BTreeMap<String, Sha256>,
    /// Of the one URL that there is.
    pub of_all: Option<Sha256>,
}

impl Expected {
    pub fn get(&self, url: &str) -> Option<ExpectedBody> {
        self.by_url.get(url).copied().or(self.of_all).map(ExpectedBody::Exactly)
    }
}

/// What is fetched after a purge.
pub struct WarmJob {
    pub limits: Limits,
    pub variants: Vec<Variant>,
    pub certify: bool,
}

/// How many URLs to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    AtMost(usize),
    All,
}
