//! `--dry-run`: the requests that would be sent, and the time that they would take.

use core::time::Duration;
use std::collections::BTreeMap;

use cfcache_client::engine::{AttemptResult, Limiter as _, Policy, RateLimiter};
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Parts, PurgeCache, encode};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::plan::{Batch, BatchLimits, Planner};
use cfcache_model::target::Kind;
use cfcache_model::{InvalidInput, Plan};

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{Destination, EverythingJob, IdOrName, ListJob, Scope};
use crate::purge::scopes::ResolvedScope;
use crate::purge::visits::announce;
use crate::purge::{caps, empty, limits};
use crate::route::Routes;
use crate::session::shown_base;
use crate::source::Sources;
use crate::wording;

/// Prints the request of a purge or invalidation of everything, without sending it.
pub(super) fn everything(job: &EverythingJob, console: &dyn Console) -> Result<Exit, Failure> {
    let base = shown_base(&job.connection)?.to_string();
    let place = stand_in_scope(&job.scope, console)?;
    console.data(&shown(&encode(&place.request(job.action, &PurgeBody::Everything)), &base));
    announce(job.visits.as_ref(), console);
    Ok(Exit::Accepted)
}

/// Prints the requests for a list, without sending them.
pub(super) fn list(mut job: ListJob, console: &dyn Console) -> Result<Exit, Failure> {
    let scope = match job.destination {
        Destination::Zone(scope) => scope,
        Destination::Hosts(ref mut zones) => {
            let zones = core::mem::take(zones);
            return list_by_host(job, zones, console);
        }
    };
    let base = shown_base(&job.connection)?.to_string();
    let place = stand_in_scope(&scope, console)?;
    let chosen = job.connection.plan;
    let limits = limits(chosen);
    let kind = job.targets.kind;
    let mut planner = Planner::new(kind, caps(chosen, kind, job.batch_size, console));
    let mut exit = Exit::Accepted;
    let (mut requests, mut items, mut read) = (0_u64, 0_u64, 0_u64);
    let mut policy = Policy::default();
    policy.limits = job.connection.pacing.then_some(limits);
    // Simulates a run without a network, to compute the time that the limits require.
    let (mut limiter, mut now) = (RateLimiter::new(&policy), Duration::ZERO);
    let mut send = |batch: Option<Batch>| {
        if let Some(batch) = batch {
            requests += 1;
            items += batch.len() as u64;
            let body = PurgeBody::Batch(batch);
            now = next_time(&mut limiter, now, &body);
            console.data(&shown(&encode(&place.request(job.action, &body)), &base));
        }
    };
    Sources::open(job.targets, false, console)?.read(&mut |chunk| {
        exit = exit.or(chunk.tell(console));
        for entry in chunk.entries {
            read += 1;
            send(planner.push(entry).unwrap_or_default());
        }
        !console.is_closed()
    });
    while let Some(batch) = planner.finish() {
        send(Some(batch));
    }
    if console.is_closed() {
        return Ok(exit);
    }
    if read == 0 && exit == Exit::Accepted {
        return Err(empty(kind));
    }
    let mut summary = format!("would send {} in {}", kind.count(items), wording::count(requests, "request"));
    let duplicates = read - items;
    if duplicates > 0 {
        summary.push_str(&format!(", without {}", wording::count(duplicates, "duplicate")));
    }
    if !now.is_zero() {
        let name = chosen.unwrap_or(Plan::Free);
        let least = wording::duration(now);
        summary.push_str(&format!("; with the limits of the plan `{name}` it takes at least {least}"));
    }
    console.note(&summary);
    if let IdOrName::Name(domain) = &scope.zone
        && chosen.is_none()
        && job.batch_size.is_none()
        && let Some(least) = fewer_requests(kind, items, requests)
    {
        console.note(&format!(
            "the run looks up `{domain}` and splits requests for its plan, which is not known in a dry run, so these \
             are cut for `free`, and on `enterprise` it would be {}: name the plan with `--plan`",
            wording::count(least, "request"),
        ));
    }
    announce(job.visits.as_ref(), console);
    Ok(exit)
}

/// Does the same if each entry goes to the zone of its host. Zones are not looked up, so the configuration must contain
/// a map.
fn list_by_host(job: ListJob, zones: Vec<(String, ZoneId)>, console: &dyn Console) -> Result<Exit, Failure> {
    if zones.is_empty() {
        return Err(Failure::usage("no zone is given, and a dry run does not look up the zones of hosts")
            .with_hint("give it with `--zone`, or list domains and ids in `[zones]` of the configuration"));
    }
    let base = shown_base(&job.connection)?.to_string();
    let kind = job.targets.kind;
    let caps = caps(job.connection.plan, kind, job.batch_size, console);
    let routes = Routes::new(zones);
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

/// The number of requests for the same entries with the largest plan, if it is lower.
fn fewer_requests(kind: Kind, items: u64, requests: u64) -> Option<u64> {
    let cap = BatchLimits::from_plan(limits(Some(Plan::Enterprise)), kind).items as u64;
    let least = items.div_ceil(cap.max(1));
    (least < requests).then_some(least)
}

/// The scope of the requests, with placeholders for ids that would have to be looked up.
fn stand_in_scope(scope: &Scope, console: &dyn Console) -> Result<ResolvedScope, Failure> {
    let zone = match &scope.zone {
        IdOrName::Id(id) => id.clone(),
        IdOrName::Name(domain) => {
            console.note(&format!(
                "`{domain}` is not looked up in a dry run: {ZONE_STAND_IN} stands for its id"
            ));
            stand_in(ZoneId::parse(ZONE_STAND_IN))?
        }
    };
    let environment = match &scope.environment {
        None => None,
        Some(IdOrName::Id(id)) => Some(id.clone()),
        Some(IdOrName::Name(name)) => {
            console.note(&format!(
                "`{name}` is not looked up in a dry run: {ENVIRONMENT_STAND_IN} stands for its id"
            ));
            Some(stand_in(EnvironmentId::parse(ENVIRONMENT_STAND_IN))?)
        }
    };
    Ok(ResolvedScope { zone, environment, plan: None })
}

/// Returns when the limits allow a request after those before it, the last of which was sent at `now`.
fn next_time(limiter: &mut RateLimiter, mut now: Duration, body: &PurgeBody) -> Duration {
    while limiter.acquire(now, body.cost()).is_err() {
        let Some(ready) = limiter.ready_at(now, body.cost()) else { return now };
        now = ready.max(now + Duration::from_nanos(1));
    }
    let _no_hold = limiter.complete(now, now, body.cost(), AttemptResult::Done);
    now
}

/// Placeholders for ids that are not looked up; no id contains these letters.
pub const ZONE_STAND_IN: &str = "ZONE-ID";
const ENVIRONMENT_STAND_IN: &str = "ENVIRONMENT-ID";

fn stand_in<T>(parsed: Result<T, InvalidInput>) -> Result<T, Failure> {
    parsed.map_err(|invalid| Failure::usage(invalid.to_string()))
}

/// Formats a request as one line of JSON, with the body exactly as it would be sent; `body` is omitted if there is
/// none.
pub fn shown(parts: &Parts, base: &str) -> String {
    let url = serde_json::Value::from(format!("{base}{}", parts.path));
    let body = parts.body.as_deref().map(|body| format!(r#","body":{body}"#)).unwrap_or_default();
    format!(r#"{{"method":"{}","url":{url}{body}}}"#, parts.method.as_str())
}
