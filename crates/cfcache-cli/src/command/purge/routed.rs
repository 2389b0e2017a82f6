//! A run without a zone: each entry goes to the zone of its host, and the zones are worked on side by side, under one
//! budget.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::Poll;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use cfcache_client::{ErrorKind, Event, Observer, Outcome, PurgeScope, Summary};
use cfcache_model::Plan;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{ListZones, PurgeCache, encode};
use cfcache_model::id::ZoneId;
use cfcache_model::plan::{Batch, Entry, Planner};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::command::purge::around::{Beside, Ending};
use crate::command::purge::dry_run::shown;
use crate::command::purge::intake::{About, First, Input, Intake, Parcels};
use crate::command::purge::{Pacing, auto_plan, caps, empty, interrupted, print};
use crate::command::{Interrupts, pages, scope};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::observe::{FailedTo, Found, Logs, Trace, Watch};
use crate::progress::Progress;
use crate::render::{Talk, human};
use crate::report::{ItemError, Report};
use crate::resolve::RouteJob;
use crate::route::Routes;
use crate::session::{Session, shown_base};
use crate::source::Sources;

/// How many parcels wait for a zone before the others have to.
const WAITING: usize = 8;

/// Purges or invalidates on the zone of each entry's host, and reports.
pub(crate) async fn run(job: RouteJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    let RouteJob { action, targets, zones, connection, failed_to, batch_size, .. } = job;
    let kind = targets.kind;
    if let Some(path) = &failed_to {
        FailedTo::check(path, &targets.files)?;
    }
    let mut intake = Intake::begin(Sources::open(targets, false, talk)?, None);
    if let First::Nothing = intake.first(interrupts).await? {
        return intake.nothing(kind, failed_to.as_deref(), talk);
    }
    let session = Session::open(&connection).await?;
    let (routes, plan) = match zones.is_empty() {
        false => (Routes::new(zones), None),
        true => tokio::select! {
            listed = list(&session, talk) => listed?,
            () = interrupts.nth(1) => return Err(interrupted()),
        },
    };
    let pacing = Pacing::begin(&session, &connection, plan);
    let caps = caps(pacing.plan, kind, batch_size, talk);
    let runs: Vec<PurgeScope> =
        routes.zones().map(|zone| PurgeScope::new(action, zone.clone(), kind, caps)).collect();
    if runs.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "no zone is given, and the token may see several of each name: which is meant cannot be told",
        )
        .with_hint("`cfcache zones list` shows their ids; name one with `--zone`"));
    }
    let failed_to = failed_to.as_deref().map(FailedTo::create).transpose()?;
    let delivery = Delivery { session: &session, runs: &runs, routes: &routes, pacing, talk, interrupts };
    let exit = delivery.run(intake, failed_to).await;
    session.close().await;
    Ok(exit)
}

/// The zones that the token may read, and the least of their plans: one budget is for all.
async fn list(session: &Session, talk: &Talk) -> Result<(Routes, Option<Plan>), Failure> {
    let zones = pages::all(async |page| session.client.call(&ListZones::page(page), &mut Trace(talk)).await)
        .await
        .map_err(|error| {
            let failure =
                Failure::of(&error, "no zone is given, and the zones cannot be listed to find that of each host");
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
    match routes.is_empty() {
        true => Err(Failure::new(Exit::Failed, "no zone is given, and the token may see none")
            .with_hint(scope::SEES_NONE)),
        false => Ok((routes, plan)),
    }
}

/// What all runs have in common while they run.
struct Common {
    tally: Cell<Summary>,
    in_flight: Cell<usize>,
    progress: Rc<RefCell<Progress>>,
}

/// Watches the run of one zone, and counts for all of them.
struct Part<'a> {
    watch: Watch<'a>,
    common: Rc<Common>,
}

impl Observer for Part<'_> {
    fn on(&mut self, event: Event<'_>) {
        let mut tally = self.common.tally.get();
        tally.count(&event);
        self.common.tally.set(tally);
        let in_flight = &self.common.in_flight;
        let shown = match &event {
            Event::Sent { .. } => {
                in_flight.set(in_flight.get() + 1);
                Some(Event::Sent { in_flight: in_flight.get() })
            }
            Event::Exchange(_) => {
                in_flight.set(in_flight.get().saturating_sub(1));
                None
            }
            _ => None,
        };
        self.common.progress.borrow_mut().on(shown.as_ref().unwrap_or(&event), tally);
        self.watch.on(event);
    }

    fn accepted(&mut self, outcome: &Outcome<'_>) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        self.watch.accepted(outcome)
    }
}

/// Runs over several zones, as far as they are decided before the list is looked at.
#[derive(Clone, Copy)]
struct Delivery<'a> {
    session: &'a Session,
    runs: &'a [PurgeScope],
    routes: &'a Routes,
    pacing: Pacing,
    talk: &'a Talk,
    interrupts: &'a Interrupts,
}

/// A run over one zone until its end, and what it came to.
type Flow<'a> = Pin<Box<dyn Future<Output = (Report, Exit)> + 'a>>;

impl Delivery<'_> {
    async fn run(&self, intake: Intake, failed_to: Option<FailedTo>) -> Exit {
        let Self { session, runs, pacing, talk, interrupts, .. } = *self;
        let started = Instant::now();
        let Some((kind, action)) = runs.first().map(|run| (run.kind, run.action)) else {
            return Exit::Accepted;
        };
        let (input, about) = intake.open();
        let paced = Rc::new(Notify::new());
        let common = Rc::new(Common {
            tally: Cell::default(),
            in_flight: Cell::default(),
            progress: Rc::new(RefCell::new(Progress::new(kind, about.total))),
        });
        let watch = |zone: Option<&ZoneId>, found: &Rc<RefCell<Found>>| {
            let report = Report::new(action.verb(), kind.field(), zone.map(ToString::to_string), None);
            // Each counts for itself; what is shown counts for all.
            let unseen = Rc::new(RefCell::new(Progress::new(kind, None)));
            let logs = Logs { failed_to: failed_to.clone(), journal: None };
            let watch =
                Watch::new(talk, report, unseen, Rc::clone(found), logs).with_paced(Rc::clone(&paced));
            if runs.len() > 1 { watch.with_others_beside() } else { watch }
        };
        let mut rest = watch(None, &about.found);
        rest.notice();
        let mut doors = BTreeMap::new();
        let mut flows: Vec<Flow<'_>> = Vec::new();
        for run in runs {
            let (door, parcels) = mpsc::channel::<Vec<Entry>>(WAITING);
            doors.insert(run.zone.as_str(), door);
            let nothing = Rc::new(RefCell::new(Found::default()));
            let part = Part { watch: watch(Some(&run.zone), &nothing), common: Rc::clone(&common) };
            // A file has no pauses: where one zone waits for its entries, another one keeps them from being read.
            let patience = if about.total.is_some() { None } else { run.patience };
            let run = run.clone().with_patience(patience);
            flows
                .push(Box::pin(async move { self.flow(run, parcels, part).await.finish(started.elapsed()) }));
        }
        // One budget is for all, and most accounts have one plan: the first zone speaks for them.
        let zone = runs.first().map(|run| &run.zone).filter(|_| pacing.learns_plan);
        let progress = &common.progress;
        let beside = Beside { session, talk, interrupts, progress, paced: &paced, zone };
        let work = async { tokio::join!(self.sort(input, &about, doors, rest), all(flows)) };
        let (rest, parts) = tokio::select! {
            done = work => done,
            never = beside.go_on() => match never {},
        };
        let (mut sum, mut exit) = rest.finish(started.elapsed());
        for (part, part_exit) in parts {
            exit = exit.or(part_exit);
            if part.items > 0 {
                sum.add(part);
            }
        }
        let exit = Ending { kind, about: &about, journal: None }.tell(&mut sum, exit, talk);
        print(&sum, Some(kind), talk);
        exit
    }

    /// Runs over one zone.
    async fn flow<'w>(
        &self,
        run: PurgeScope,
        mut parcels: mpsc::Receiver<Vec<Entry>>,
        mut part: Part<'w>,
    ) -> Watch<'w> {
        let input = Parcels::new(&mut parcels);
        let _tally = self.session.client.run(&run, input, self.interrupts.nth(1), &mut part).await;
        // A run that was given up leaves what was handed to it already.
        parcels.close();
        while let Ok(entries) = parcels.try_recv() {
            let error = given_up(run.zone.as_str());
            entries.iter().for_each(|entry| part.watch.astray(entry, &error));
        }
        part.watch
    }

    /// Hands each entry to the run of its zone, and keeps account of those that no run takes.
    async fn sort<'w>(
        &self,
        mut input: Input,
        about: &About,
        doors: BTreeMap<&str, mpsc::Sender<Vec<Entry>>>,
        mut rest: Watch<'w>,
    ) -> Watch<'w> {
        while let Some(chunk) = {
            // A pipe may never end; a file is read to its end, and accounted for.
            tokio::select! {
                chunk = input.next() => chunk,
                () = self.interrupts.nth(1), if about.total.is_none() => None,
                () = self.interrupts.nth(2) => None,
            }
        } {
            rest.notice();
            let mut sorted: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
            for entry in chunk {
                let name = entry.target.host().unwrap_or_default();
                match self.routes.zone_of(name) {
                    Ok(zone) => sorted.entry(zone.as_str()).or_default().push(entry),
                    Err(why) => rest.homeless(&entry, why),
                }
            }
            for (zone, entries) in sorted {
                let Some(door) = doors.get(zone) else { continue };
                if let Err(back) = door.send(entries).await {
                    let error = given_up(zone);
                    back.0.iter().for_each(|entry| rest.astray(entry, &error));
                }
            }
        }
        rest.notice();
        rest
    }
}

/// Of an entry whose run ended before it; that run said why.
fn given_up(zone: &str) -> ItemError {
    ItemError::new(None, format!("not sent: the run on zone {zone} was given up"))
}

/// Polls all until each has ended.
async fn all<T>(mut flows: Vec<Pin<Box<dyn Future<Output = T> + '_>>>) -> Vec<T> {
    let mut ended: Vec<Option<T>> = flows.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (flow, slot) in flows.iter_mut().zip(&mut ended) {
            if slot.is_none()
                && let Poll::Ready(value) = flow.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        match ended.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    ended.into_iter().flatten().collect()
}

/// Prints what would be sent to which zone, and sends nothing: so it needs the configuration's map.
pub(crate) fn dry_run(job: RouteJob, talk: &Talk) -> Result<Exit, Failure> {
    if job.zones.is_empty() {
        return Err(Failure::usage("no zone is given, and a dry run does not look the zones of hosts up")
            .with_hint(
                "name it with `--zone`, or list domains and ids below `[zones]` in the configuration",
            ));
    }
    let base = shown_base(&job.connection)?.to_string();
    let kind = job.targets.kind;
    let caps = caps(job.connection.plan, kind, job.batch_size, talk);
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
            talk.data(&shown(&encode(&PurgeCache::new(job.action, zone, &body)), &base));
        }
    };
    Sources::open(job.targets, false, talk)?.read(&mut |chunk| {
        exit = exit.or(chunk.tell(talk));
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
                    talk.say(&format!("{given}: {why}"));
                }
            }
        }
        !talk.is_closed()
    });
    for (zone, mut planner) in planners {
        while let Some(batch) = planner.finish() {
            send(zone, Some(batch));
        }
    }
    if talk.is_closed() {
        return Ok(exit);
    }
    if read == 0 && exit == Exit::Accepted {
        return Err(empty(kind));
    }
    talk.note(&format!("would send {} in {}", kind.count(items), human::count(requests, "request")));
    Ok(exit)
}
