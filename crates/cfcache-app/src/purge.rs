//! Purging and invalidating: runs a job and returns a report.

mod auto_plan;
mod background;
mod changed;
mod dry_run;
mod everything;
mod input;
mod list;
mod scopes;
mod visits;

use cfcache_model::Plan;
use cfcache_model::id::ZoneId;
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::Kind;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{IdOrName, Job};
pub use crate::purge::dry_run::{ZONE_STAND_IN, shown};
use crate::report::Report;
use crate::secret::bare;
use crate::source;

/// Purges or invalidates, and returns a report.
///
/// Returns an error only before anything was sent; after that there is always a report, whose `exit` is the result.
///
/// # Errors
///
/// [`Failure`] if the input is invalid or cannot be read, if a zone or environment cannot be found, if the job is not
/// confirmed, or if it is interrupted before anything was sent.
pub async fn run(job: Job, console: &dyn Console) -> Result<Report, Failure> {
    match job {
        Job::Everything(job) => everything::run(*job, console).await,
        Job::List(job) => list::run(*job, console).await,
        Job::Changed(job) => changed::run(*job, console).await,
    }
}

/// Writes the requests of a job to the console, one per line, without sending them.
///
/// # Errors
///
/// [`Failure`] if the input is invalid or cannot be read, or if the zones of hosts would have to be looked up.
pub fn dry_run(job: Job, console: &dyn Console) -> Result<Exit, Failure> {
    match job {
        Job::Everything(job) => dry_run::everything(&job, console),
        Job::List(job) => dry_run::list(*job, console),
        Job::Changed(job) => changed::dry_run(&job, console),
    }
}

/// The failure of a run that was interrupted before it sent anything.
fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; nothing was sent")
}

/// The limits of a plan; those of Free if it is not known.
fn limits(plan: Option<Plan>) -> PurgeLimits {
    plan.unwrap_or(Plan::Free).purge_limits()
}

/// The maximum size of a request: as the plan allows, or as requested.
fn caps(plan: Option<Plan>, kind: Kind, batch_size: Option<usize>, console: &dyn Console) -> BatchLimits {
    let cap = BatchLimits::from_plan(limits(plan), kind);
    let Some(batch_size) = batch_size else { return cap };
    if batch_size > cap.items {
        let name = plan.unwrap_or(Plan::Free);
        let whose = match plan {
            Some(_) => format!("the plan `{name}` allows"),
            None => format!("no plan is given, and `{name}` allows"),
        };
        console.warn(&format!(
            "`--batch-size {batch_size}`: {whose} at most {} a request; what the API refuses for that is sent again in \
             halves",
            kind.count(cap.items as u64),
        ));
    }
    BatchLimits::new(batch_size)
}

/// The name of a zone in a sentence: "zone example.com".
pub fn describe_zone(zone: &IdOrName<ZoneId>) -> String {
    match zone {
        IdOrName::Id(id) => format!("zone {id}"),
        IdOrName::Name(domain) => format!("zone {}", bare(domain)),
    }
}

/// The failure for an empty input without invalid entries.
fn empty(kind: Kind) -> Failure {
    source::empty(kind)
}

/// Asks for confirmation, unless `yes`.
pub(crate) fn confirm(console: &dyn Console, yes: bool, question: &str) -> Result<(), Failure> {
    if yes { Ok(()) } else { console.confirm(question) }
}
