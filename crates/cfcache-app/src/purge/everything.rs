//! `purge everything` and `invalidate everything`: one request.

use core::cell::Cell;
use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;

use cfcache_client::{Event, PurgeScope, Summary};
use cfcache_model::Plan;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::PurgeCache;
use cfcache_model::plan::BatchLimits;
use cfcache_model::target::Kind;
use tokio::time::Instant;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::job::{EverythingJob, IdOrName};
use crate::observe::{WAITING, millis, show_event};
use crate::purge::scopes::ResolvedScope;
use crate::purge::visits::{AfterPurge, ask_before, collector, wait_for_origin};
use crate::purge::{confirm, describe_zone};
use crate::report::{BatchEvent, ItemError, Report};
use crate::scope::{is_production, may_be_production};
use crate::session::Session;
use crate::wording;

/// Asks for confirmation, purges or invalidates everything, and reports.
pub(super) async fn run(job: EverythingJob, console: &dyn Console) -> Result<Report, Failure> {
    let EverythingJob { action, visits, scope, connection, yes, .. } = job;
    // Until the first `await`, Ctrl-C has its default effect and ends the question at once.
    let verb = wording::capitalized(action.verb());
    let zone = describe_zone(&scope.zone);
    match &scope.environment {
        None => {
            let question = format!("{verb} every cached file of {zone}, in all of its environments?");
            confirm(console, yes, &question)?;
        }
        Some(IdOrName::Name(name)) if is_production(name) => {
            let question = format!("{verb} every cached file of the production environment of {zone}?");
            confirm(console, yes, &question)?;
        }
        Some(_) => {}
    }
    let session = Session::open(&connection).await?;
    let place = ResolvedScope::find(&session, &scope, console).await?;
    if let Some(environment @ IdOrName::Id(id)) = scope.environment.as_ref().filter(|_| !yes)
        && may_be_production(&session.client, &place.zone, environment, console).await
    {
        let question =
            format!("{verb} every cached file of the environment {id} of {zone}, which may be production?");
        confirm(console, yes, &question)?;
    }
    let body = PurgeBody::Everything;
    let report = place.report(action.verb(), body.field());
    let request = place.request(action, &body);
    wait_for_origin(visits.as_ref(), console).await?;
    let before = ask_before(visits.as_ref(), Vec::new(), console).await?;
    let accepted = collector(visits.as_ref(), action);
    let (mut report, mut exit) = send(&session, &request, report, console).await;
    if let (Some(visits), Some(mut accepted), Exit::Accepted) = (visits, accepted, exit) {
        accepted.accept(0, &[]);
        let caps = BatchLimits::from_plan(Plan::Free.purge_limits(), Kind::Files);
        let scope = PurgeScope::new(action, place.zone.clone(), Kind::Files, caps)
            .with_environment(place.environment.clone());
        let after_purge = AfterPurge {
            client: session.client.clone(),
            action,
            scopes: vec![scope],
            routes: None,
            console,
            before,
            files: None,
            journal: None,
            visits,
            accepted,
        };
        exit = after_purge.run(&mut report).await;
    }
    session.close().await;
    Ok(report.with_exit(exit))
}

/// Sends the request.
pub(super) async fn send(
    session: &Session,
    request: &PurgeCache<'_>,
    mut report: Report,
    console: &dyn Console,
) -> (Report, Exit) {
    let started = Instant::now();
    let (mut summary, mut warnings, in_flight) = (Summary::default(), 0, Cell::new(false));
    let mut observer = |event: Event<'_>| {
        match &event {
            Event::Progress { summary: now, .. } => summary = **now,
            Event::Sent { .. } => in_flight.set(true),
            Event::Exchange(_) => in_flight.set(false),
            Event::Warning(_) => warnings += 1,
            _ => {}
        }
        show_event(console, &event);
    };
    let result = {
        let mut call = pin!(session.client.call(request, &mut observer));
        let mut first = pin!(console.interrupted(1));
        let mut second = pin!(console.interrupted(2));
        let mut interrupted = false;
        poll_fn(|context| {
            if let Poll::Ready(result) = call.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            if !interrupted && first.as_mut().poll(context).is_ready() {
                interrupted = true;
                if in_flight.get() {
                    console.say(WAITING);
                }
            }
            // After an interrupt, a request in flight is awaited, but a retry is not.
            if interrupted && (!in_flight.get() || second.as_mut().poll(context).is_ready()) {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
        .await
    };
    let was_in_flight = in_flight.get();
    report.warnings = warnings;
    report.items = 1;
    report.requests = summary.requests + u64::from(was_in_flight);
    report.retries = summary.retries;
    report.rate_limited = summary.rate_limited;
    report.elapsed_ms = millis(started.elapsed());
    let (exit, error, failure) = match result {
        Some(Ok(_)) => (Exit::Accepted, None, None),
        Some(Err(error)) => {
            let failure = error.failure();
            let item = ItemError::new(failure.map(|failure| failure.code()), describe(&error))
                .with_documentation_url(failure.and_then(|failure| failure.documentation_url()));
            let failure = Failure::from_error(&error, format!("the {} of everything failed", request.action));
            (error.kind().into(), Some(item), Some(failure))
        }
        None => {
            let message = match (was_in_flight, summary.requests) {
                (true, _) => "interrupted; it may have been accepted",
                (false, 0) => "interrupted before it was sent",
                (false, _) => "interrupted before it was tried again",
            };
            let item = ItemError::new(None, message.to_owned());
            (Exit::Interrupted, Some(item), Some(Failure::new(Exit::Interrupted, message)))
        }
    };
    match &error {
        None => report.accepted = 1,
        Some(error) => {
            report.failed = 1;
            report.fail("everything", error);
        }
    }
    console.batch(&BatchEvent {
        event: "batch",
        batch: 0,
        items: 1,
        accepted: error.is_none(),
        attempts: u32::try_from(report.requests).unwrap_or(u32::MAX),
        elapsed_ms: report.elapsed_ms,
        error: error.as_ref(),
        zone: report.zone.as_deref(),
    });
    if let Some(failure) = &failure {
        console.failure(failure);
    }
    (report, exit)
}
