//! `purge changed` and `invalidate changed`: compares the deployed files with the state of the last run, and purges the
//! URLs of changed files.
//!
//! The URLs to purge are written to the state before anything is sent, and stay there until all of them were accepted.
//! Therefore the next run also purges what a failed run did not, even if the files have changed back in the meantime.
//! (URLs that were accepted stay too: until the files are recorded, the cache may have stored the old version again.)
//!
//! If visitor requests verify the purge, unproven URLs stay in the state as well. If the origin served something other
//! than the deployed files, all URLs stay, because the cache may have stored an old version of any URL.

mod files;
mod read;
mod select;
mod send;

use std::time::{SystemTime, UNIX_EPOCH};

use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache, encode};
use cfcache_model::id::ZoneId;
use cfcache_model::plan::{Batch, Entry, Planner};
use cfcache_model::target::{Kind, Target};
use cfcache_site::io::state_file::{Files, StateFile, read_unlocked};
use cfcache_site::mapping::Site;
use cfcache_site::state::StateHeader;

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{ChangedJob, Destination, FirstRun, IdOrName, Scope};
pub(super) use crate::purge::changed::files::SiteFiles;
use crate::purge::changed::select::{Work, select, state_failure};
use crate::purge::visits::announce;
use crate::purge::{ZONE_STAND_IN, caps, shown};
use crate::report::{ChangedFiles, Deployment, Report, StateReport};
use crate::route::Routes;
use crate::session::shown_base;
use crate::visit_report::VerifyReport;
use crate::wording;

/// Purges or invalidates the changes of a deployment, and reports the result.
pub(super) async fn run(mut job: ChangedJob, console: &dyn Console) -> Result<Report, Failure> {
    // Until the first `await`, Ctrl-C has its default effect. That is safe at any time, because a state is replaced
    // atomically.
    let mut state = StateFile::lock(&job.state).map_err(|error| state_failure(&error))?;
    let deployed = read::read(&job.source, &job.site, &job.state)?;
    let mut work = select(&job, deployed, |visit| state.read(visit), console)?;
    let has_work = !work.is_empty();
    if has_work {
        let mapping = work.mapping.clone().unwrap_or_else(|| job.site.clone());
        write(&mut state, mapping, Files::Kept, &work.pending())?;
    }
    if let Some(refused) = work.refused.take() {
        if has_work {
            console.note("the state records what has to be purged; the next run purges it");
        }
        return Err(refused);
    }
    let mut report = report(&job, &work);
    if job.begin {
        let state = if has_work { StateReport::Pending } else { StateReport::Kept };
        let to_do = match work.len() as u64 {
            0 => "nothing changed".to_owned(),
            1 => "1 entry has to be purged; run it again after the upload".to_owned(),
            count => format!("{count} entries have to be purged; run it again after the upload"),
        };
        tell(&mut report, state, to_do);
        return Ok(report);
    }
    let connection = core::mem::replace(&mut job.connection, Err(Failure::usage("")));
    let sent = if has_work {
        match connection {
            Ok(connection) => send::send(&mut job, &connection, &work, &mut report, console).await,
            Err(failure) => Err(failure),
        }
    } else {
        Ok((Exit::Accepted, Exit::Accepted))
    };
    let (purged, seen) = sent.inspect_err(|_| {
        console.note("the state records what has to be purged; the next run purges it");
    })?;
    let pending = still_pending(&job, purged, report.verify.as_ref());
    let saved = match &pending {
        None => Ok(()),
        Some(pending) => save(&mut state, &job, &work, pending),
    };
    let is_saved = pending.as_ref().is_some_and(Vec::is_empty);
    let exit = purged.or(seen);
    // Everything was purged: the next run would only repeat it.
    let (exit, became) = match saved {
        Ok(()) if is_saved => (exit, StateReport::Saved),
        Ok(()) => (exit, StateReport::Pending),
        Err(mut failure) => {
            failure.exit = Exit::Failed;
            let kept = if has_work { StateReport::Pending } else { StateReport::Kept };
            (exit.or(console.failure(&failure)), kept)
        }
    };
    if has_work {
        if became == StateReport::Pending {
            console.note(&match &pending {
                Some(pending) if !pending.is_empty() => format!(
                    "the state records {} not proven; the next run purges and verifies {} again",
                    match pending.len() as u64 {
                        1 => "1 URL that is".to_owned(),
                        count => format!("{count} URLs that are"),
                    },
                    if pending.len() == 1 { "it" } else { "them" },
                ),
                _ => "the state records what has to be purged; the next run purges it".to_owned(),
            });
        }
        report.deployment.iter_mut().for_each(|deployment| deployment.state = became);
    } else {
        let counts = work.counts;
        let files = wording::count(counts.added + counts.changed + counts.unchanged, "file");
        let nothing = match (&work.snapshot, job.first) {
            (Some(_), FirstRun::Nothing) if counts.added > 0 => {
                format!("{files} recorded; nothing was purged")
            }
            (Some(_), _) if counts.added > 0 => {
                format!("nothing to purge: {files}, of which {} new", counts.added)
            }
            (Some(_), _) => format!("nothing changed: {files} unchanged"),
            (None, _) => "nothing changed".to_owned(),
        };
        tell(&mut report, became, nothing);
        if job.visits.as_ref().is_some_and(|visits| visits.verify.is_some() || visits.warm.is_some()) {
            console.note("nothing was purged, so there is nothing to verify or to fetch");
        }
    }
    Ok(report.with_exit(exit))
}

/// The entries that the next run has to purge again, if the deployed files are recorded. `None` for everything: the
/// previous files stay in the state.
fn still_pending(job: &ChangedJob, purged: Exit, verified: Option<&VerifyReport>) -> Option<Vec<Target>> {
    match verified {
        _ if purged != Exit::Accepted => None,
        Some(verified) if !verified.is_whole || verified.is_origin_late => None,
        // An explicitly named URL may belong to another zone.
        Some(verified) => {
            let unproven = verified.unproven_entries.iter();
            Some(unproven.filter(|url| is_of_site(job, url)).cloned().collect())
        }
        None => Some(Vec::new()),
    }
}

fn is_of_site(job: &ChangedJob, url: &Target) -> bool {
    matches!(url, Target::Files(file) if job.site.site_path_of(file.url().as_str()).is_some())
}

/// Records the deployed files, and the entries that still have to be purged.
fn save(state: &mut StateFile, job: &ChangedJob, work: &Work, pending: &[Target]) -> Result<(), Failure> {
    match (&work.snapshot, &work.mapping) {
        (Some(snapshot), _) => write(state, job.site.clone(), Files::Snapshot(snapshot), pending),
        // The recorded files keep their mapping.
        (None, Some(mapping)) => write(state, mapping.clone(), Files::Kept, pending),
        (None, None) => write(state, job.site.clone(), Files::Kept, pending),
    }
}

fn write(state: &mut StateFile, site: Site, files: Files<'_>, pending: &[Target]) -> Result<(), Failure> {
    #[expect(clippy::disallowed_methods, reason = "a state says when it was written")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    state.write(StateHeader::new(now, site), files, pending).map_err(|error| state_failure(&error))
}

/// The report before anything was done.
fn report(job: &ChangedJob, work: &Work) -> Report {
    let zone = match &job.destination {
        Destination::Zone(scope) => match &scope.zone {
            IdOrName::Id(id) => Some(id.to_string()),
            IdOrName::Name(_) => None,
        },
        Destination::Hosts(_) => None,
    };
    let kind = if work.is_everything {
        PurgeBody::Everything.field()
    } else {
        work.kind().unwrap_or(Kind::Files).field()
    };
    let mut report = Report::new(job.action.verb(), kind, zone, None);
    let counts = work.counts;
    report.is_mixed = work.kind().is_none();
    report.deployment = Some(Deployment {
        changed: ChangedFiles {
            added: counts.added,
            changed: counts.changed,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
        },
        fallback: work.fallback.clone(),
        state: StateReport::Kept,
    });
    report
}

/// Completes the report of a run that sent nothing. People get one sentence.
fn tell(report: &mut Report, state: StateReport, sentence: String) {
    report.deployment.iter_mut().for_each(|deployment| deployment.state = state);
    report.sentence = Some(sentence);
}

/// Prints the requests that would be sent, without writing or sending anything.
pub(super) fn dry_run(job: &ChangedJob, console: &dyn Console) -> Result<Exit, Failure> {
    let deployed = read::read(&job.source, &job.site, &job.state)?;
    let mut work = select(job, deployed, |visit| read_unlocked(&job.state, visit), console)?;
    if let Some(refused) = work.refused.take() {
        return Err(refused);
    }
    let connection = match &job.connection {
        Ok(connection) => connection,
        Err(failure) => return Err(failure.copied()),
    };
    if work.is_empty() {
        console.note("would send nothing: nothing changed");
        return Ok(Exit::Accepted);
    }
    let base = shown_base(connection)?.to_string();
    let mut requests = 0;
    let mut show = |action: Action, zone: &ZoneId, body: &PurgeBody| {
        requests += 1;
        console.data(&shown(&encode(&PurgeCache::new(action, zone, body)), &base));
    };
    if work.is_everything {
        show(job.action, &shown_zone(job, None, None, console)?, &PurgeBody::Everything);
        console.note("would send 1 request");
        announce(job.visits.as_ref(), console);
        return Ok(Exit::Accepted);
    }
    let routes = match &job.destination {
        Destination::Hosts(zones) if !zones.is_empty() => Some(Routes::new(zones.clone())),
        _ => None,
    };
    for (action, kind, targets) in work.groups() {
        let caps = caps(job.plan, kind, job.batch_size, console);
        let mut zones: Vec<(ZoneId, Planner)> = Vec::new();
        let mut send = |zone: &ZoneId, batch: Option<Batch>| {
            if let Some(batch) = batch {
                show(action, zone, &PurgeBody::Batch(batch));
            }
        };
        for target in targets {
            let zone = shown_zone(job, routes.as_ref(), Some(target), console)?;
            let at = match zones.iter().position(|(known, _)| *known == zone) {
                Some(at) => at,
                None => {
                    zones.push((zone, Planner::new(kind, caps)));
                    zones.len() - 1
                }
            };
            let (zone, planner) = &mut zones[at];
            send(zone, planner.push(Entry::from(target.clone())).unwrap_or_default());
        }
        for (zone, mut planner) in zones {
            while let Some(batch) = planner.finish() {
                send(&zone, Some(batch));
            }
        }
    }
    let items =
        work.kind().map_or_else(|| format!("{} entries", work.len()), |kind| kind.count(work.len() as u64));
    console.note(&format!("would send {items} in {}", wording::count(requests, "request")));
    announce(job.visits.as_ref(), console);
    Ok(Exit::Accepted)
}

/// The zone in a dry run: a placeholder if it would have to be looked up.
fn shown_zone(
    job: &ChangedJob,
    routes: Option<&Routes>,
    target: Option<&Target>,
    console: &dyn Console,
) -> Result<ZoneId, Failure> {
    if let Destination::Zone(Scope { zone: IdOrName::Id(id), .. }) = &job.destination {
        return Ok(id.clone());
    }
    if let (Some(routes), Some(host)) = (routes, target.and_then(Target::host)) {
        return routes.zone_of(host).cloned().map_err(|why| Failure::new(Exit::Failed, why));
    }
    console.say_once(&format!("a dry run does not look up zones: {ZONE_STAND_IN} stands for the id"));
    ZoneId::parse(ZONE_STAND_IN).map_err(|invalid| Failure::usage(invalid.to_string()))
}
