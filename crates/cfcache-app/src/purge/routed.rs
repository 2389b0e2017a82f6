//! A run without a zone: each entry goes to the zone of its host.

use std::collections::BTreeMap;

use cfcache_client::ErrorKind;
use cfcache_model::Plan;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{ListZones, PurgeCache, encode};
use cfcache_model::id::ZoneId;
use cfcache_model::plan::{Batch, Planner};

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupts::Interrupts;
use crate::job::RouteJob;
use crate::observe::{CallObserver, FailedTo};
use crate::purge::bulk::{Bulk, scopes};
use crate::purge::dry_run::shown;
use crate::purge::input::{First, InputReader};
use crate::purge::visits::{self, announce, ask_before, wait_for_origin};
use crate::purge::{Pacing, auto_plan, caps, empty, interrupted};
use crate::report::Report;
use crate::route::Routes;
use crate::session::{Session, shown_base};
use crate::source::Sources;
use crate::wording;
use crate::{pages, scope};

/// Purges or invalidates on the zone of each entry's host, and reports.
pub(super) async fn run(
    job: RouteJob,
    console: &dyn Console,
    interrupts: &Interrupts,
) -> Result<Report, Failure> {
    let RouteJob { action, visits, targets, zones, connection, failed_to, batch_size, .. } = job;
    let kind = targets.kind;
    if let Some(path) = &failed_to {
        FailedTo::check(path, &targets.files)?;
    }
    let (sources, to_ask) = visits::open(targets, false, visits.as_ref(), console)?;
    let mut input = InputReader::begin(sources, None);
    if let First::Nothing = input.first(interrupts).await? {
        return input.nothing(kind, failed_to.as_deref(), console);
    }
    let session = Session::open(&connection).await?;
    let (routes, plan) = if zones.is_empty() {
        tokio::select! {
            listed = list(&session, console) => listed?,
            () = interrupts.nth(1) => return Err(interrupted()),
        }
    } else {
        (Routes::new(zones), None)
    };
    let pacing = Pacing::begin(&session, &connection, plan);
    let caps = caps(pacing.plan, kind, batch_size, console);
    let scopes = scopes(&routes, action, kind, caps);
    if scopes.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "no zone is given, and the token may see several of each name: which is meant cannot be told",
        )
        .with_hint("`cfcache zones list` shows their ids; name one with `--zone`"));
    }
    wait_for_origin(visits.as_ref(), console, interrupts).await?;
    let before = ask_before(visits.as_ref(), to_ask, console, interrupts).await?;
    let report = Report::new(action.verb(), kind.field(), None, None);
    let routes = Some(&routes);
    let bulk =
        Bulk { session: &session, kind, scopes, routes, report, pacing, accepted: None, console, interrupts };
    let report = bulk.run(input, failed_to, None, visits, before).await?;
    session.close().await;
    Ok(report)
}

/// The zones that the token may read, and the least of their plans: one budget is for all.
pub(super) async fn list(
    session: &Session,
    console: &dyn Console,
) -> Result<(Routes, Option<Plan>), Failure> {
    let zones = pages::all(async |page| session.client.call(&ListZones::page(page), &mut CallObserver(console)).await)
        .await
        .map_err(|error| {
            let failure =
                Failure::from_error(&error, "no zone is given, and the zones cannot be listed to find that of each host");
            match error.kind() {
                ErrorKind::Credentials if !scope::is_unknown(&error) => failure.with_hint(
                    "name the zone with `--zone`, or list domains and ids below `[zones]` in the configuration: a \
                     token that may only purge cannot look a zone up",
                ),
                _ => failure,
            }
        })?;
    let plan = zones.items.iter().map(auto_plan::plan_of).min().flatten();
    let known = zones.items.into_iter().filter_map(|zone| Some((zone.name, ZoneId::parse(&zone.id).ok()?)));
    let routes = Routes::new(known);
    if routes.is_empty() {
        Err(Failure::new(Exit::Failed, "no zone is given, and the token may see none")
            .with_hint(scope::SEES_NONE))
    } else {
        Ok((routes, plan))
    }
}

/// Prints what would be sent to which zone, and sends nothing: so it needs the configuration's map.
pub(super) fn dry_run(job: RouteJob, console: &dyn Console) -> Result<Exit, Failure> {
    if job.zones.is_empty() {
        return Err(Failure::usage("no zone is given, and a dry run does not look the zones of hosts up")
            .with_hint(
                "name it with `--zone`, or list domains and ids below `[zones]` in the configuration",
            ));
    }
    let base = shown_base(&job.connection)?.to_string();
    let kind = job.targets.kind;
    let caps = caps(job.connection.plan, kind, job.batch_size, console);
    let routes = Routes::new(job.zones);
    let mut planners: BTreeMap<&ZoneId, Planner> =
        routes.zones().map(|zone| (zone, Planner::new(kind, caps))).collect();
    let mut exit = Exit::Accepted;
    let (mut requests, mut items, mut read) = (0_u64, 0_u64, 0_u64);
    let mut send = |zone: &ZoneId, batch: Option<Batch>| {
        if let Some(batch) = batch {
            requests += 1;
            items += batch.len() as u64;
            let body = PurgeBody::Batch(batch);
            console.data(&shown(&encode(&PurgeCache::new(job.action, zone, &body)), &base));
        }
    };
    Sources::open(job.targets, false, console)?.read(&mut |chunk| {
        exit = exit.or(chunk.tell(console));
        for entry in chunk.entries {
            read += 1;
            let name = entry.target.host().unwrap_or_default();
            match routes.zone_of(name) {
                Ok(zone) => {
                    let batch = planners.get_mut(zone).and_then(|planner| planner.push(entry).ok()?);
                    send(zone, batch);
                }
                Err(why) => {
                    exit = exit.or(Exit::Failed);
                    let given = cfcache_model::text::clip(&entry.given(), 200);
                    console.say(&format!("{given}: {why}"));
                }
            }
        }
        !console.is_closed()
    });
    for (zone, mut planner) in planners {
        while let Some(batch) = planner.finish() {
            send(zone, Some(batch));
        }
    }
    if console.is_closed() {
        return Ok(exit);
    }
    if read == 0 && exit == Exit::Accepted {
        return Err(empty(kind));
    }
    console.note(&format!("would send {} in {}", kind.count(items), wording::count(requests, "request")));
    announce(job.visits.as_ref(), console);
    Ok(exit)
}
