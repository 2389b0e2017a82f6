//! `purge` and `invalidate`

mod bulk;
mod dry_run;
mod everything;
mod plan;
pub(super) mod routed;

use cfcache_client::{Ordinals, Run};
use cfcache_model::Plan;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::PurgeCache;
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::Caps;
use cfcache_model::target::Kind;

use crate::args::OutputArg;
use crate::ask;
use crate::command::purge::bulk::{Bulk, First, Intake};
pub(super) use crate::command::purge::dry_run::{ZONE_STAND_IN, dry_run, shown};
use crate::command::{Interrupts, scope};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::journal::{Header, Journal};
use crate::observe::{FailedTo, Logs};
use crate::render::{Talk, human};
use crate::report::{Report, Summary};
use crate::resolve::{PurgeJob, Scope, Selection, ZoneRef};
use crate::session::{Session, api_name};
use crate::source::{self, Sources};

/// Purges or invalidates, and reports.
pub(crate) async fn run(job: PurgeJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    let PurgeJob { action, scope, what, connection, yes, failed_to, journal, batch_size, .. } = job;
    // Everything that can be wrong with the input is found before anything is sent. Up to the first `await` Ctrl-C still
    // does what it does by default: it ends a question, or a long check of a file, on the spot.
    let sources = match what {
        Selection::Everything => {
            for (option, is_given) in [("--failed-to", failed_to.is_some()), ("--journal", journal.is_some())]
            {
                if is_given {
                    return Err(Failure::usage(format!("`{option}` is for lists, and `everything` is none")));
                }
            }
            if scope.environment.is_none() {
                let question = format!(
                    "{} every cached file of {}, in all of its environments?",
                    human::capitalized(action.verb()),
                    describe_zone(&scope.zone),
                );
                ask::confirm(talk, yes, &question)?;
            }
            None
        }
        Selection::Targets(targets) => {
            if let Some(path) = &failed_to {
                FailedTo::check(path, &targets.files)?;
            }
            if journal.as_ref().is_some_and(|path| source::reads(&targets.files, path)) {
                return Err(Failure::usage("`--journal` names a file that is read as input"));
            }
            Some(Sources::open(targets, journal.is_some(), talk)?)
        }
    };
    // Of what can be read only once, the beginning is read before anything is asked of the API: nothing is not
    // everything, and needs no request either.
    let input = match sources {
        None => None,
        Some(sources) => {
            let kind = sources.kind();
            let mut diary = match &journal {
                Some(path) => {
                    let mut header = Header::new(action.verb(), kind.field());
                    header.api = api_name(&connection);
                    header.headers = sources
                        .headers()
                        .iter()
                        .map(|header| format!("{}: {}", header.name(), header.value()))
                        .collect();
                    header.input = sources.identity();
                    let journal = Journal::open(path, talk)?;
                    if failed_to.as_ref().is_some_and(|path| journal.is(path)) {
                        return Err(Failure::usage("`--failed-to` and `--journal` name the same file"));
                    }
                    journal.check(&header)?;
                    Some((journal, header))
                }
                None => None,
            };
            let replay = diary.as_mut().map(|(journal, _)| journal.replay());
            let mut intake = Intake::begin(sources, replay);
            let first = tokio::select! {
                first = intake.first() => first,
                () = interrupts.nth(1) => return Err(interrupted()),
            };
            match first {
                First::Entries => Some((kind, intake, diary)),
                First::Nothing => {
                    let failed_to = failed_to.as_deref().map(FailedTo::create).transpose()?;
                    return intake.nothing(kind, failed_to, talk);
                }
            }
        }
    };
    let session = Session::open(&connection).await?;
    let resolved = tokio::select! {
        resolved = resolve(&session, &scope, talk) => resolved,
        () = interrupts.nth(1) => Err(interrupted()),
    };
    let (zone, plan, environment) = resolved?;
    let kind = input.as_ref().map_or(PurgeBody::Everything.field(), |(kind, ..)| kind.field());
    let report = Report::new(
        action.verb(),
        kind,
        Some(zone.to_string()),
        environment.as_ref().map(ToString::to_string),
    );
    let exit = match input {
        None => {
            let body = PurgeBody::Everything;
            let request = PurgeCache::new(action, &zone, &body);
            let request = match &environment {
                Some(environment) => request.with_environment(environment),
                None => request,
            };
            everything::run(&session, &request, report, talk, interrupts).await
        }
        Some((kind, intake, diary)) => {
            let named = connection.plan.or(plan);
            if connection.pacing
                && connection.plan.is_none()
                && let Some(plan) = plan
            {
                session.client.set_limits(plan.purge_limits());
            }
            let (journal, accepted) = match diary {
                Some((journal, mut header)) => {
                    header.zone = report.zone.clone().unwrap_or_default();
                    header.environment.clone_from(&report.environment);
                    let (writer, accepted) = journal.begin(&header)?;
                    (Some(writer), accepted)
                }
                None => (None, Ordinals::new()),
            };
            // Only now: a list of what failed the last time is not to be lost to a run that cannot even begin.
            let failed_to = failed_to.as_deref().map(FailedTo::create).transpose()?;
            let learns_plan = connection.pacing && named.is_none();
            let caps = caps(limits(named), kind, batch_size);
            let mut run = Run::new(action, zone, kind, caps).with_environment(environment);
            run.accepted = accepted;
            let bulk = Bulk { session: &session, run: &run, learns_plan };
            bulk.run(intake, report, Logs { failed_to, journal }, talk, interrupts).await
        }
    };
    session.close().await;
    Ok(exit)
}

/// The id of the zone, its plan if it was seen on the way, and the id of the environment.
async fn resolve(
    session: &Session,
    scope: &Scope,
    talk: &Talk,
) -> Result<(ZoneId, Option<Plan>, Option<EnvironmentId>), Failure> {
    let (zone, found) = scope::find_zone(&session.client, &scope.zone, talk).await?;
    let environment = match &scope.environment {
        Some(environment) => Some(scope::environment(&session.client, &zone, environment, talk).await?),
        None => None,
    };
    Ok((zone, found.as_ref().and_then(plan::plan_of), environment))
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
            for line in human_lines(report, kind) {
                talk.data(&line);
            }
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
