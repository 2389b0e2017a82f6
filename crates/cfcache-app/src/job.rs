//! What is to be done, all of it parsed.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::target::{CacheKeyHeader, Kind};
use cfcache_probe::{
    Expectation, ExpectedBody, GateSettings, Limits, Sha256, UrlList, Variant, VisitorBuilder,
};

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
    /// Everything in a zone or an environment.
    Everything(Box<EverythingJob>),
    /// A list.
    List(Box<ListJob>),
    /// What a deployment changed.
    Changed(Box<ChangedJob>),
}

/// A purge or invalidate of everything.
pub struct EverythingJob {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// What visitors are for around it.
    pub visits: Option<Visits>,
    /// Where.
    pub scope: Scope,
    /// How to reach the API.
    pub connection: Connection,
    /// Whether it is not to be confirmed.
    pub yes: bool,
}

/// A purge or invalidate of a list.
pub struct ListJob {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// What visitors are for around it.
    pub visits: Option<Visits>,
    /// Where entries are sent.
    pub destination: Destination,
    /// Where the entries come from.
    pub targets: Targets,
    /// How to reach the API.
    pub connection: Connection,
    /// The file that takes what failed.
    pub failed_to: Option<PathBuf>,
    /// The file that takes what was accepted; only for one zone.
    pub journal: Option<PathBuf>,
    /// How many entries a request has at the most; `None` for as many as the plan allows.
    pub batch_size: Option<usize>,
}

/// A purge or invalidate of what a deployment changed.
pub struct ChangedJob {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// What visitors are for around it.
    pub visits: Option<Visits>,
    /// What is deployed, or what changed about it.
    pub source: ChangedSource,
    /// How files become URLs.
    pub site: Site,
    /// The file that remembers the site.
    pub state: PathBuf,
    /// Where entries are sent.
    pub destination: Destination,
    /// What is wrong with it is told once that what is to be purged is written down: it is to be made up for then.
    pub connection: Result<Connection, Failure>,
    /// The plan of the zone, where it is named.
    pub plan: Option<Plan>,
    /// How long URLs may take by the limits of the plan; `None` where these are not kept.
    pub within: Option<Duration>,
    /// What to purge in place of too many URLs, the first that helps.
    pub fallback: Vec<FallbackTo>,
    /// What to purge where there is no state.
    pub first: FirstRun,
    /// Whether what is to be purged is only written down.
    pub begin: bool,
    /// Whether it is told why each URL is purged.
    pub explain: bool,
    /// Whether it is not to be confirmed.
    pub yes: bool,
    /// The file that takes what failed.
    pub failed_to: Option<PathBuf>,
    /// How many entries a request has at the most; `None` for as many as the plan allows.
    pub batch_size: Option<usize>,
}

/// What is deployed, or what changed about it.
pub enum ChangedSource {
    /// A directory of files.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What it may not lead out of: the folder of the project's file that names it.
        within: Option<PathBuf>,
    },
    /// A list of files with their hashes.
    Manifest {
        /// The list.
        file: PathBuf,
        /// Whether its entries end with NUL.
        is_null_separated: bool,
        /// What the paths in it begin with.
        root: Option<PathBuf>,
    },
    /// A tree of the git repository.
    GitTree(String),
    /// Sitemaps with dates.
    Sitemaps(Vec<PathBuf>),
    /// A list of what changed.
    Changes {
        /// Which program wrote it.
        format: ListFormat,
        /// The list.
        file: PathBuf,
        /// Whether its entries end with NUL.
        is_null_separated: bool,
        /// What the paths in it begin with.
        root: Option<PathBuf>,
    },
}

/// Where entries are sent.
pub enum Destination {
    /// To one zone.
    Zone(Scope),
    /// Each to the zone of its host. The configuration's map of them; where it is empty, the API's list is asked for.
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
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// What the entries are.
    pub kind: Kind,
    /// Entries of the command line.
    pub arguments: Vec<String>,
    /// Lists.
    pub files: Vec<PathBuf>,
    /// Headers that are part of the cache key, for all entries.
    pub headers: Vec<CacheKeyHeader>,
    /// What an invalid entry does.
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
    /// The zone.
    pub zone: ZoneRef,
    /// The environment; `None` for all of the zone.
    pub environment: Option<EnvironmentRef>,
}

/// A zone, as it was given.
pub enum ZoneRef {
    /// By its id.
    Id(ZoneId),
    /// By its domain.
    Domain(String),
}

/// An environment, as it was given.
pub enum EnvironmentRef {
    /// By its id.
    Id(EnvironmentId),
    /// By its name.
    Name(String),
}

/// What visitors are for around a purge.
pub struct Visits {
    /// How visitors ask.
    pub visitor: VisitorBuilder,
    /// What must be so before.
    pub gate: Option<GateJob>,
    /// What is verified after.
    pub verify: Option<VerifyJob>,
    /// What is fetched after.
    pub warm: Option<WarmJob>,
}

/// What must be so before anything is purged.
pub struct GateJob {
    /// What must be so.
    pub expectation: Expectation,
    /// How often it is asked, and for how long.
    pub settings: GateSettings,
    /// Whether each request gets a query of its own.
    pub busts: bool,
    /// Its URL is on this machine, and is asked there, whatever visitors connect to.
    pub is_here: bool,
}

/// URLs to ask or to fetch.
pub struct VisitJob {
    /// Where the entries come from.
    pub targets: Targets,
    /// How visitors ask.
    pub visitor: VisitorBuilder,
    /// How politely one host is asked.
    pub limits: Limits,
    /// As whom to fetch.
    pub variants: Vec<Variant>,
    /// Whether what was fetched is asked for again, until it is served from the cache.
    pub certify: bool,
}

/// What is asked after a purge.
pub struct VerifyJob {
    /// How many of the purged URLs at the most; `None` for all.
    pub sample: Option<usize>,
    /// Whether they are asked before the purge too, so that a change from HIT can be seen.
    pub transition: bool,
    /// URLs beside those that are purged.
    pub urls: UrlList,
    /// How long it may take.
    pub timeout: Duration,
    /// How politely one host is asked.
    pub limits: Limits,
    /// The bodies that visitors should get.
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
    /// Returns the body that is expected of a URL.
    pub fn get(&self, url: &str) -> Option<ExpectedBody> {
        self.by_url.get(url).copied().or(self.of_all).map(ExpectedBody::Exactly)
    }
}

/// What is fetched after a purge.
pub struct WarmJob {
    /// How politely one host is asked.
    pub limits: Limits,
    /// As whom to fetch.
    pub variants: Vec<Variant>,
    /// Whether what was fetched is asked for again, until it is served from the cache.
    pub certify: bool,
}
