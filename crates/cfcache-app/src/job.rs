//! Jobs: what to do, completely parsed.

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

/// A purge or invalidation.
pub enum Job {
    /// Everything in a zone or an environment.
    Everything(Box<EverythingJob>),
    /// A list.
    List(Box<ListJob>),
    /// The changes of a deployment.
    Changed(Box<ChangedJob>),
}

/// A purge or invalidation of everything.
pub struct EverythingJob {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// The visitor requests before and after it.
    pub visits: Option<Visits>,
    /// Where.
    pub scope: Scope,
    /// How to reach the API.
    pub connection: Connection,
    /// Whether to skip the confirmation.
    pub yes: bool,
}

/// A purge or invalidate of a list.
pub struct ListJob {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// The visitor requests before and after it.
    pub visits: Option<Visits>,
    /// The zones to which entries are sent.
    pub destination: Destination,
    /// The input.
    pub targets: Targets,
    /// How to reach the API.
    pub connection: Connection,
    /// The file for failed entries.
    pub failed_to: Option<PathBuf>,
    /// The file that records accepted entries; only for one zone.
    pub journal: Option<PathBuf>,
    /// The maximum number of entries per request; `None` for as many as the plan allows.
    pub batch_size: Option<usize>,
}

/// A purge or invalidation of the changes of a deployment.
pub struct ChangedJob {
    /// Whether to purge or to invalidate.
    pub action: Action,
    /// The visitor requests before and after it.
    pub visits: Option<Visits>,
    /// The deployed files, or a list of changes.
    pub source: ChangedSource,
    /// The mapping from files to URLs.
    pub site: Site,
    /// The state file.
    pub state: PathBuf,
    /// The zones to which entries are sent.
    pub destination: Destination,
    /// The connection. An error in it is reported only after the pending entries were recorded, so that the next run
    /// purges them.
    pub connection: Result<Connection, Failure>,
    /// The plan of the zone, if it was named.
    pub plan: Option<Plan>,
    /// How long purging URLs may take by the limits of the plan; `None` if the limits are not obeyed.
    pub within: Option<Duration>,
    /// What to purge if URLs would take too long; the first that is fast enough is used.
    pub fallback: Vec<FallbackTo>,
    /// What to purge if there is no state.
    pub first: FirstRun,
    /// Whether to only record the targets to purge.
    pub begin: bool,
    /// Whether to show why each URL is purged.
    pub explain: bool,
    /// Whether to skip the confirmation.
    pub yes: bool,
    /// The file for failed entries.
    pub failed_to: Option<PathBuf>,
    /// The maximum number of entries per request; `None` for as many as the plan allows.
    pub batch_size: Option<usize>,
}

/// The deployed files, or a list of changes.
pub enum ChangedSource {
    /// A directory of files.
    Directory {
        /// The directory.
        path: PathBuf,
        /// The directory that contains the project file, which links must not leave.
        within: Option<PathBuf>,
    },
    /// A list of files with hashes.
    Manifest {
        /// The list.
        file: PathBuf,
        /// Whether its entries end with NUL.
        is_null_separated: bool,
        /// The prefix of its paths.
        root: Option<PathBuf>,
    },
    /// A tree of the git repository.
    GitTree(String),
    /// Sitemaps with dates.
    Sitemaps(Vec<PathBuf>),
    /// A list of changes.
    Changes {
        /// The tool that wrote it.
        format: ListFormat,
        /// The list.
        file: PathBuf,
        /// Whether its entries end with NUL.
        is_null_separated: bool,
        /// The prefix of its paths.
        root: Option<PathBuf>,
    },
}

/// The zones to which entries are sent.
pub enum Destination {
    /// To one zone.
    Zone(Scope),
    /// For each entry the zone of its host. Contains the zones in the configuration; if empty, the API lists them.
    Hosts(Vec<(String, ZoneId)>),
}

/// What to purge if there is no state of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstRun {
    /// The hosts of the site.
    Hosts,
    /// Every URL of every file.
    List,
    /// Nothing.
    Nothing,
}

/// The entries of a run, and how to read them.
pub struct Targets {
    /// Whether to purge or to invalidate; `None` if URLs are only requested.
    pub action: Option<Action>,
    /// The kind of the entries.
    pub kind: Kind,
    /// Entries from the command line.
    pub arguments: Vec<String>,
    /// Lists.
    pub files: Vec<PathBuf>,
    /// Headers that are part of the cache key, for all entries.
    pub headers: Vec<CacheKeyHeader>,
    /// Whether invalid entries are reported and skipped. Otherwise they are an error, and nothing is sent, or nothing
    /// more.
    pub skips_invalid: bool,
    /// Sitemaps whose addresses are entries.
    pub sitemaps: Vec<PathBuf>,
    /// The URL that paths are relative to.
    pub base: Option<Base>,
    /// Whether entries in lists end with NUL.
    pub null: bool,
    /// Whether a warning about an entry makes it invalid.
    pub strict: bool,
}

/// A zone, and optionally one of its environments.
pub struct Scope {
    /// The zone.
    pub zone: IdOrName<ZoneId>,
    /// The environment; `None` for the whole zone.
    pub environment: Option<IdOrName<EnvironmentId>>,
}

/// A zone or an environment as given.
pub enum IdOrName<Id> {
    /// By its id.
    Id(Id),
    /// By its name, which is looked up. The name of a zone is its domain.
    Name(String),
}

/// The visitor requests before and after a purge.
pub struct Visits {
    /// How visitor requests are made.
    pub visitor: VisitorBuilder,
    /// The condition to wait for before the purge.
    pub gate: Option<GateJob>,
    /// What to verify after the purge.
    pub verify: Option<VerifyJob>,
    /// What to fetch after the purge.
    pub warm: Option<WarmJob>,
}

/// The condition to wait for before a purge.
pub struct GateJob {
    /// The condition.
    pub expectation: Expectation,
    /// How often it is checked, and for how long.
    pub settings: GateSettings,
    /// Whether each request gets its own query string to bypass caches.
    pub busts: bool,
    /// Whether its URL is on this machine, so that it is requested directly.
    pub is_here: bool,
}

/// What to verify after a purge.
pub struct VerifyJob {
    /// The maximum number of purged URLs to verify; `None` for all.
    pub sample: Option<usize>,
    /// Whether URLs are also requested before the purge, to see that each changes from HIT to something else.
    pub transition: bool,
    /// Additional URLs to check.
    pub urls: UrlList,
    /// How long each URL is checked.
    pub timeout: Duration,
    /// The limits for one host.
    pub limits: Limits,
    /// The expected bodies, by URL.
    pub expected: BTreeMap<String, Sha256>,
    /// The expected body of the only URL.
    pub expected_of_all: Option<Sha256>,
    /// Whether responses are compared with the deployed files.
    pub expects_files: bool,
}

impl VerifyJob {
    /// Returns the expected body of a URL.
    pub fn expected_body(&self, url: &str) -> Option<ExpectedBody> {
        self.expected.get(url).copied().or(self.expected_of_all).map(ExpectedBody::Exactly)
    }
}

/// How to fetch URLs so that they are cached again.
pub struct WarmJob {
    /// The limits for one host.
    pub limits: Limits,
    /// The visitors as which to fetch.
    pub variants: Vec<Variant>,
    /// Whether to request warmed URLs again, to check that they are HIT.
    pub certify: bool,
}
