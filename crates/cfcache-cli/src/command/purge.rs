//! `purge` and `invalidate`

mod around;
mod auto_plan;
pub(super) mod bulk;
pub(super) mod dry_run;
pub(super) mod everything;
mod intake;
pub(super) mod routed;

use cfcache_model::Plan;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::Caps;
use cfcache_model::target::Kind;

use crate::args::OutputArg;
pub(super) use crate::command::purge::dry_run::{ZONE_STAND_IN, shown};
use crate::command::{Interrupts, scope};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{Talk, human};
use crate::report::{Report, Summary};
use crate::resolve::{Connection, Scope, ZoneRef};
use crate::session::Session;
use crate::source;

/// Where to purge, once that is looked up.
struct Place {
    zone: ZoneId,
    environment: Option<EnvironmentId>,
    /// The plan of the zone, where it was seen on the way.
    plan: Option<Plan>,
}

impl Place {
    async fn find(
        session: &Session,
        scope: &Scope,
        talk: &Talk,
        interrupts: &Interrupts,
    ) -> Result<Self, Failure> {
        tokio::select! {
            place = Self::look_up(session, scope, talk) => place,
            () = interrupts.nth(1) => Err(interrupted()),
        }
    }

    async fn look_up(session: &Session, scope: &Scope, talk: &Talk) -> Result<Self, Failure> {
        let (zone, found) = scope::find_zone(&session.client, &scope.zone, talk).await?;
        let environment = match &scope.environment {
            Some(environment) => Some(scope::environment(&session.client, &zone, environment, talk).await?),
            None => None,
        };
        Ok(Self { zone, environment, plan: found.as_ref().and_then(auto_plan::plan_of) })
    }

    /// An empty report of what is done there.
    fn report(&self, operation: &'static str, kind: &'static str) -> Report {
        let environment = self.environment.as_ref().map(ToString::to_string);
        Report::new(operation, kind, Some(self.zone.to_string()), environment)
    }
}

/// Whose limits a run is paced by.
#[derive(Clone, Copy)]
struct Pacing {
    /// The plan that was named, or seen.
    plan: Option<Plan>,
    /// Is the plan to be asked for, if that matters?
    learns_plan: bool,
}

impl Pacing {
    /// Paces by the plan that was named, else by the one that was seen, else by the smallest.
    fn begin(session: &Session, connection: &Connection, seen: Option<Plan>) -> Self {
        if connection.pacing
            && connection.plan.is_none()
            && let Some(plan) = seen
        {
            session.client.set_limits(plan.purge_limits());
        }
        let plan = connection.plan.or(seen);
        Self { plan, learns_plan: connection.pacing && plan.is_none() }
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; nothing was sent")
}

/// Prints what a run came to.
fn print(report: &Report, kind: Option<Kind>, talk: &Talk) {
    match talk.output {
        OutputArg::Json => talk.json(report),
        OutputArg::Ndjson => talk.json(&Summary { event: "summary", report }),
        OutputArg::Human => {
            // A line for each zone, and the whole below where that says more.
            let zones = report.zones.iter().filter_map(|zone| human_lines(zone, kind).into_iter().next());
            let known = usize::from(report.zones.len() == 1);
            let whole = human_lines(report, kind).into_iter().skip(known);
            zones.chain(whole).for_each(|line| talk.data(&line));
        }
    }
}

fn human_lines(report: &Report, kind: Option<Kind>) -> Vec<String> {
    let what = |count: u64| kind.map_or_else(|| "everything".to_owned(), |kind| kind.count(count));
    let zone = report.zone.as_ref().map(|zone| format!("zone {zone}"));
    let place = match (&report.environment, zone, report.zones.len() as u64) {
        (Some(environment), Some(zone), _) => format!(" on environment {environment} of {zone}"),
        (_, Some(zone), _) => format!(" on {zone}"),
        (_, None, 0) => String::new(),
        (_, None, zones) => format!(" on {}", human::count(zones, "zone")),
    };
    let elapsed = human::duration(core::time::Duration::from_millis(report.elapsed_ms));
    let mut lines = Vec::new();
    let is_done = report.skipped > 0 && report.failed + report.invalid == 0;
    let mut first = match report.accepted {
        0 if is_done => format!("nothing left: {}{place}", report.operation),
        0 => format!("nothing accepted: {}{place}", report.operation),
        accepted => format!("accepted: {} {}{place}", report.operation, what(accepted)),
    };
    first.push_str(&format!(" ({}, {elapsed})", human::count(report.requests, "request")));
    lines.push(first);
    let rows = [
        ("failed", report.failed),
        ("invalid", report.invalid),
        ("duplicates, sent once", report.duplicates),
        ("skipped, accepted before", report.skipped),
    ];
    lines.extend(rows.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{word}: {count}")));
    name_failures(report, &mut lines);
    lines
}

/// Names what failed, each reason once: of many entries with one reason a few are enough.
fn name_failures(report: &Report, lines: &mut Vec<String>) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for failure in &report.failures {
        match reasons.iter().position(|(reason, _)| *reason == failure.error.message) {
            Some(at) => reasons[at].1.push(&failure.item),
            None if reasons.len() < REASONS => reasons.push((&failure.error.message, vec![&failure.item])),
            None => {}
        }
    }
    let mut named = 0;
    for (reason, items) in reasons {
        let shown = |item: &&str| cfcache_model::text::clip(item, 200);
        match items.as_slice() {
            [item] => lines.push(format!("  {}: {reason}", shown(item))),
            items => {
                lines.push(format!("  {reason}:"));
                lines.extend(items.iter().take(ITEMS).map(|item| format!("    {}", shown(item))));
                if items.len() > ITEMS {
                    lines.push(format!("    … and {} more", items.len() - ITEMS));
                }
            }
        }
        named += items.len();
    }
    let hidden = (report.failures.len() - named) as u64 + report.failures_omitted;
    if hidden > 0 {
        lines.push(format!("  … and {hidden} more; `--failed-to FILE` keeps them all"));
    }
}

/// How many reasons are told to a person, and how many entries of each.
const REASONS: usize = 10;
const ITEMS: usize = 5;

/// The limits of a plan; of free, where it is not known.
fn limits(plan: Option<Plan>) -> PurgeLimits {
    plan.unwrap_or(Plan::Free).purge_limits()
}

fn caps(limits: PurgeLimits, kind: Kind, batch_size: Option<usize>) -> Caps {
    batch_size.map_or_else(|| Caps::of(limits, kind), Caps::items)
}

pub(super) fn describe_zone(zone: &ZoneRef) -> String {
    match zone {
        ZoneRef::Id(id) => format!("zone {id}"),
        ZoneRef::Domain(domain) => format!("zone {domain}"),
    }
}

/// Says that there was nothing, where there was not even something invalid.
fn empty(kind: Kind) -> Failure {
    source::empty(kind)
}
