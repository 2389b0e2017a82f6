//! Sends the purges of a deployment: one run for each kind of entry, as for lists. Visitor requests are made once for
//! all of them.

use std::cell::RefCell;
use std::rc::Rc;

use cfcache_model::body::PurgeBody;
use cfcache_model::plan::Entry;
use cfcache_model::target::{Kind, Target};
use cfcache_probe::AcceptedUrls;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{ChangedJob, Destination, Visits};
use crate::observe::{FailedTo, millis};
use crate::purge::changed::files::SiteFiles;
use crate::purge::changed::select::Work;
use crate::purge::input::InputReader;
use crate::purge::list::ListRun;
use crate::purge::scopes::FoundScopes;
use crate::purge::visits::{self, AfterPurge, ask_before, collector, wait_for_origin};
use crate::purge::{caps, confirm, describe_zone, everything};
use crate::report::{ItemError, Report};
use crate::session::Session;
use crate::wording;

/// Sends everything, makes visitor requests, and completes the report. Returns the exit codes of the purge and of the
/// visitor requests.
pub(super) async fn send(
    job: &mut ChangedJob,
    connection: &Connection,
    work: &Work,
    report: &mut Report,
    console: &dyn Console,
) -> Result<(Exit, Exit), Failure> {
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
    let visits = job.visits.take();
    let result = send_with(&session, job, work, visits, report, console).await;
    session.close().await;
    report.elapsed_ms = millis(started.elapsed());
    result
}

async fn send_with(
    session: &Session,
    job: &ChangedJob,
    work: &Work,
    visits: Option<Visits>,
    report: &mut Report,
    console: &dyn Console,
) -> Result<(Exit, Exit), Failure> {
    let found = FoundScopes::find(session, &job.destination, console).await?;
    if let FoundScopes::Zone(place) = &found {
        report.zone = Some(place.zone.to_string());
        report.environment = place.environment.as_ref().map(ToString::to_string);
    }
    wait_for_origin(visits.as_ref(), console).await?;
    let to_ask = visits::sample(visits.as_ref(), work.urls());
    let before = ask_before(visits.as_ref(), to_ask, console).await?;
    let accepted = collector(visits.as_ref(), job.action).map(|accepted| Rc::new(RefCell::new(accepted)));
    let exit = if work.is_everything {
        let exit = send_everything(session, job, &found, report, console).await?;
        if let Some(accepted) = accepted.as_ref().filter(|_| exit == Exit::Accepted) {
            accepted.borrow_mut().accept(0, &[]);
        }
        exit
    } else {
        send_groups(session, job, &found, work, accepted.as_ref(), report, console).await?
    };
    let accepted = accepted.and_then(Rc::into_inner).map(RefCell::into_inner);
    let Some((visits, accepted)) = visits.zip(accepted) else {
        return Ok((exit, Exit::Accepted));
    };
    if exit != Exit::Accepted {
        return Ok((exit, Exit::Accepted));
    }
    let caps = caps(session.set_plan(found.plan()), Kind::Files, None, console);
    let (scopes, routes) = (found.purge_scopes(job.action, Kind::Files, caps), found.routes());
    let files = SiteFiles::new(&job.site, work);
    let mut after_purge = AfterPurge {
        client: session.client.clone(),
        action: job.action,
        scopes,
        routes,
        console,
        before,
        files: Some(&files),
        journal: None,
        visits,
        accepted,
    };
    // If everything is purged, no URL was purged individually.
    let covered: Vec<&Target> =
        if work.is_everything { work.urls().collect() } else { work.covered.iter().collect() };
    let covered: Vec<(usize, &Target)> =
        covered.into_iter().map(|target| (after_purge.scope_of(target), target)).collect();
    after_purge.accepted.begin_part(job.action);
    after_purge.accepted.cover(covered);
    Ok((exit, after_purge.run(report).await))
}

/// Sends the entries of each kind.
async fn send_groups(
    session: &Session,
    job: &ChangedJob,
    found: &FoundScopes,
    work: &Work,
    accepted: Option<&Rc<RefCell<AcceptedUrls>>>,
    report: &mut Report,
    console: &dyn Console,
) -> Result<Exit, Failure> {
    let failed_to = job.failed_to.as_deref().map(|path| FailedTo::create(path, false)).transpose()?;
    let mut exit = Exit::Accepted;
    for (action, kind, targets) in work.groups() {
        // A reason that stopped a run also applies to the next one.
        if exit != Exit::Accepted && exit != Exit::Failed {
            let error = ItemError::new(None, "not sent: the run was stopped before".to_owned());
            let count = targets.len() as u64;
            report.items += count;
            report.failed += count;
            targets.iter().for_each(|target| report.fail(&target.text(), &error));
            continue;
        }
        let plan = session.set_plan(found.plan());
        let learns_plan = session.learns_plan(plan);
        let caps = caps(plan, kind, job.batch_size, console);
        let (scopes, routes) = (found.purge_scopes(action, kind, caps), found.routes());
        let part = found.report(action, kind);
        let entries = targets.into_iter().cloned().map(Entry::from).collect();
        if let Some(accepted) = accepted {
            accepted.borrow_mut().begin_part(action);
        }
        let run = ListRun {
            session,
            kind,
            scopes,
            routes,
            report: part,
            learns_plan,
            accepted: accepted.cloned(),
            console,
        };
        let (part, part_exit, _) =
            run.send(InputReader::from_entries(entries), failed_to.clone(), None).await;
        // Whatever the exit code: only what the API accepted is done.
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
    found: &FoundScopes,
    report: &mut Report,
    console: &dyn Console,
) -> Result<Exit, Failure> {
    let FoundScopes::Zone(place) = found else {
        return Err(Failure::usage("`--fallback everything` needs a zone, but none is given")
            .with_hint("name it with `--zone ID|DOMAIN`"));
    };
    let body = PurgeBody::Everything;
    let request = place.request(job.action, &body);
    let part = place.report(job.action.verb(), body.field());
    let (part, exit) = everything::send(session, &request, part, console).await;
    report.merge(part);
    Ok(exit)
}
