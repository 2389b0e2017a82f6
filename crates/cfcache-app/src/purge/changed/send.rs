//! Sends what a deployment changed: a run for each kind of entry, through the engine that lists go through.

use cfcache_client::PurgeScope;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::PurgeCache;
use cfcache_model::plan::Entry;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::job::{ChangedJob, Destination};
use crate::observe::{FailedTo, Logs, millis};
use crate::purge::bulk::{Bulk, scopes};
use crate::purge::changed::select::Work;
use crate::purge::input::InputReader;
use crate::purge::{Pacing, ResolvedScope, caps, confirm, describe_zone, everything, interrupted, routed};
use crate::report::{ItemError, Report};
use crate::route::Routes;
use crate::session::Session;
use crate::wording;

/// Where entries go, once that is looked up.
enum Found {
    Zone(ResolvedScope),
    Hosts(Routes),
}

/// Sends all of it, and adds to the report what became of it. It is done only where the exit is that of success.
pub(super) async fn send(
    job: &ChangedJob,
    connection: &Connection,
    work: &Work,
    report: &mut Report,
    console: &dyn Console,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    if work.is_everything
        && let Destination::Zone(scope) = &job.destination
        && scope.environment.is_none()
    {
        let verb = wording::capitalized(job.action.verb());
        let zone = describe_zone(&scope.zone);
        confirm(
            console,
            job.yes,
            &format!("{verb} every cached file of {zone}, in all of its environments?"),
        )?;
    }
    let started = Instant::now();
    let session = Session::open(connection).await?;
    let result = send_with(&session, job, connection, work, report, console, interrupts).await;
    session.close().await;
    report.elapsed_ms = millis(started.elapsed());
    result
}

async fn send_with(
    session: &Session,
    job: &ChangedJob,
    connection: &Connection,
    work: &Work,
    report: &mut Report,
    console: &dyn Console,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let (found, seen) = match &job.destination {
        Destination::Zone(scope) => {
            let place = ResolvedScope::find(session, scope, console, interrupts).await?;
            let plan = place.plan;
            (Found::Zone(place), plan)
        }
        Destination::Hosts(zones) if zones.is_empty() => tokio::select! {
            listed = routed::list(session, console) => listed.map(|(routes, plan)| (Found::Hosts(routes), plan))?,
            () = interrupts.nth(1) => return Err(interrupted()),
        },
        Destination::Hosts(zones) => (Found::Hosts(Routes::new(zones.clone())), None),
    };
    if let Found::Zone(place) = &found {
        report.zone = Some(place.zone.to_string());
        report.environment = place.environment.as_ref().map(ToString::to_string);
    }
    if work.is_everything {
        return send_everything(session, job, &found, report, console, interrupts).await;
    }
    let failed_to = job.failed_to.as_deref().map(FailedTo::create).transpose()?;
    let mut exit = Exit::Accepted;
    for (action, kind, targets) in work.groups() {
        // What made a run give up does so with the next.
        if exit != Exit::Accepted && exit != Exit::Failed {
            let error = ItemError::new(None, "not sent: the run was given up before".to_owned());
            let count = targets.len() as u64;
            report.items += count;
            report.failed += count;
            targets.iter().for_each(|target| report.fail(&target.text(), &error));
            continue;
        }
        let pacing = Pacing::begin(session, connection, seen);
        let caps = caps(pacing.plan, kind, job.batch_size, console);
        let (scopes, routes, part) = match &found {
            Found::Zone(place) => {
                let scope = PurgeScope::new(action, place.zone.clone(), kind, caps)
                    .with_environment(place.environment.clone());
                (vec![scope], None, place.report(action.verb(), kind.field()))
            }
            Found::Hosts(routes) => {
                let part = Report::new(action.verb(), kind.field(), None, None);
                (scopes(routes, action, kind, caps), Some(routes), part)
            }
        };
        let entries = targets.into_iter().cloned().map(Entry::from).collect();
        let bulk =
            Bulk { session, kind, scopes, routes, report: part, pacing, visits: None, console, interrupts };
        let logs = Logs { failed_to: failed_to.clone(), journal: None };
        let (part, part_exit) = bulk.send(InputReader::from_entries(entries), logs).await;
        // Whatever a run calls itself: only what the API accepted is done.
        let is_whole = part.accepted == part.items && !part.is_incomplete;
        exit = exit.or(part_exit).or(if is_whole { Exit::Accepted } else { Exit::Failed });
        report.is_incomplete |= part.is_incomplete;
        report.merge(part);
    }
    Ok(exit)
}

async fn send_everything(
    session: &Session,
    job: &ChangedJob,
    found: &Found,
    report: &mut Report,
    console: &dyn Console,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let Found::Zone(place) = found else {
        return Err(Failure::usage("`--fallback everything` is for one zone, and none is given")
            .with_hint("name it with `--zone ID|DOMAIN`"));
    };
    let body = PurgeBody::Everything;
    let request = PurgeCache::new(job.action, &place.zone, &body);
    let request = match &place.environment {
        Some(environment) => request.with_environment(environment),
        None => request,
    };
    let part = place.report(job.action.verb(), body.field());
    let (part, exit) = everything::send(session, &request, part, console, interrupts).await;
    report.merge(part);
    Ok(exit)
}
