//! `purge` and `invalidate`

use core::pin::Pin;
use core::task::{Context, Poll};
use std::cell::RefCell;
use std::rc::Rc;

use cfcache_client::{Client, Run};
use cfcache_model::Plan;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Parts, PurgeCache, encode};
use cfcache_model::id::{EnvironmentId, ZoneId};
use cfcache_model::limits::PurgeLimits;
use cfcache_model::plan::{Caps, Entry, Planner};
use cfcache_model::target::Kind;
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::args::OutputArg;
use crate::ask;
use crate::command::{Interrupts, scope};
use crate::exit::Exit;
use crate::failure::{Failure, describe};
use crate::observe::{FailedTo, Trace, Watch, millis};
use crate::progress::{Progress, REDRAW};
use crate::render::{Talk, human};
use crate::report::{ItemError, Report, Summary};
use crate::resolve::{EnvironmentRef, PurgeJob, Selection, Targets, ZoneRef};
use crate::session::{Session, shown_base};
use crate::source::{self, Chunk, Sources};

/// How many chunks of the input are read ahead.
const READ_AHEAD: usize = 8;

/// Purges or invalidates, and reports.
pub(crate) async fn run(job: PurgeJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    let PurgeJob { action, scope, what, connection, yes, failed_to, batch_size, .. } = job;
    // Everything that can be wrong with the input is found before anything else happens.
    let input = match what {
        Selection::Everything => None,
        Selection::Targets(targets) => {
            if failed_to.as_ref().is_some_and(|path| source::reads(&targets.files, path)) {
                return Err(Failure::usage("`--failed-to` names a file that is read as input"));
            }
            Some((targets.kind, Sources::open(targets, talk)?))
        }
    };
    if input.is_none() && scope.environment.is_none() {
        let question = format!(
            "{} every cached file of {}, in all of its environments?",
            capitalized(action.verb()),
            describe_zone(&scope.zone),
        );
        ask::confirm(talk, yes, &question)?;
    }
    let failed_to = failed_to.as_deref().map(FailedTo::create).transpose()?;
    let session = Session::open(&connection).await?;
    let resolved = tokio::select! {
        resolved = async {
            let zone = scope::zone(&session.client, &scope.zone, talk).await?;
            let environment = match &scope.environment {
                Some(environment) => {
                    Some(scope::environment(&session.client, &zone, environment, talk).await?)
                }
                None => None,
            };
            Ok::<_, Failure>((zone, environment))
        } => resolved,
        () = interrupts.nth(1) => return Err(interrupted()),
    };
    let (zone, environment) = resolved?;
    let report = Report {
        operation: action.verb(),
        kind: input.as_ref().map_or(PurgeBody::Everything.field(), |(kind, _)| kind.field()),
        zone: zone.to_string(),
        environment: environment.as_ref().map(ToString::to_string),
        items: 0,
        accepted: 0,
        failed: 0,
        invalid: 0,
        duplicates: 0,
        skipped: 0,
        requests: 0,
        retries: 0,
        rate_limited: 0,
        elapsed_ms: 0,
        failures: Vec::new(),
        failures_omitted: 0,
    };
    let exit = match input {
        None => {
            let body = PurgeBody::Everything;
            let request = PurgeCache::new(action, &zone, &body);
            let request = match &environment {
                Some(environment) => request.with_environment(environment),
                None => request,
            };
            everything(&session.client, &request, report, talk, interrupts).await
        }
        Some((kind, sources)) => {
            let limits = limits(connection.plan);
            let run =
                Run::new(action, zone, kind, caps(limits, kind, batch_size)).with_environment(environment);
            targets(&session.client, &run, sources, report, failed_to, talk, interrupts).await
        }
    }?;
    session.close().await;
    Ok(exit)
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; nothing was sent")
}

async fn everything(
    client: &Client,
    request: &PurgeCache<'_>,
    mut report: Report,
    talk: &Talk,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut watch = Counted { trace: Trace(talk), tally: cfcache_client::Tally::default() };
    let result = tokio::select! {
        result = client.call(request, &mut watch) => result.map_err(Some),
        () = interrupts.nth(1) => Err(None),
    };
    let tally = watch.tally;
    report.items = 1;
    report.requests = tally.requests;
    report.retries = tally.retries;
    report.rate_limited = tally.rate_limited;
    report.elapsed_ms = millis(started.elapsed());
    let exit = match result {
        Ok(_) => {
            report.accepted = 1;
            Exit::Accepted
        }
        Err(error) => {
            report.failed = 1;
            let (exit, item_error, failure) = match &error {
                Some(error) => (
                    error.kind().into(),
                    ItemError {
                        code: error.failure().map(|failure| failure.code()).filter(|code| *code != 0),
                        message: describe(error),
                    },
                    Failure::of(error, format!("the {} of everything failed", request.action)),
                ),
                None => {
                    let message = "interrupted; it may have been accepted".to_owned();
                    let failure = Failure::new(Exit::Interrupted, message.clone());
                    (Exit::Interrupted, ItemError { code: None, message }, failure)
                }
            };
            report.fail("everything", &item_error);
            talk.failure(&failure);
            exit
        }
    };
    print(&report, None, talk);
    Ok(exit)
}

/// Counts beside telling.
struct Counted<'a> {
    trace: Trace<'a>,
    tally: cfcache_client::Tally,
}

impl cfcache_client::Observer for Counted<'_> {
    fn on(&mut self, event: cfcache_client::Event<'_>) {
        self.tally.count(&event);
        self.trace.on(event);
    }
}

async fn targets(
    client: &Client,
    run: &Run,
    sources: Sources,
    report: Report,
    failed_to: Option<FailedTo>,
    talk: &Talk,
    interrupts: &Interrupts,
) -> Result<Exit, Failure> {
    let started = Instant::now();
    let progress = Rc::new(RefCell::new(Progress::new(run.kind)));
    let mut watch = Watch::new(talk, report, Rc::clone(&progress), failed_to);
    let intake =
        Rc::new(RefCell::new(Intake { stops_at_invalid: sources.stops_at_invalid(), ..Intake::default() }));
    let input = Input { chunks: read_in_thread(sources), intake: Rc::clone(&intake) };
    {
        let mut noticing = Noticing { watch: &mut watch, intake: Rc::clone(&intake) };
        let ticking = async {
            let mut interval = tokio::time::interval(REDRAW);
            loop {
                interval.tick().await;
                progress.borrow_mut().tick(talk);
            }
        };
        tokio::select! {
            _tally = client.run(run, input, interrupts.nth(1), &mut noticing) => {}
            () = interrupts.nth(2) => {}
            () = ticking => {}
        }
        noticing.notice();
    }
    let intake = intake.take();
    let stopped_early = intake.broken.is_some() || (intake.stops_at_invalid && watch.report.invalid > 0);
    if let Some(failure) = &intake.broken {
        talk.failure(failure);
    }
    let (report, mut exit) = watch.finish(started.elapsed());
    if stopped_early {
        talk.note("reading stopped there; what came before it was sent");
        exit = exit.or(Exit::Usage);
    }
    if report.items == 0 {
        // A pipe that held nothing: nothing was begun, so nothing is reported.
        let failure = source::empty(run.kind);
        return Ok(if stopped_early { exit } else { exit.or(talk.failure(&failure)) });
    }
    print(&report, Some(run.kind), talk);
    Ok(exit)
}

/// What was found on the way from the input to the run.
#[derive(Default)]
struct Intake {
    invalid: Vec<source::Invalid>,
    warnings: Vec<(String, cfcache_model::target::Warning)>,
    /// Why reading ended before the end, where it did.
    broken: Option<Failure>,
    stops_at_invalid: bool,
}

/// The input as the client wants it; what is not for the client stays in the intake.
struct Input {
    chunks: mpsc::Receiver<Chunk>,
    intake: Rc<RefCell<Intake>>,
}

impl Stream for Input {
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        let chunk = match self.chunks.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(chunk)) => chunk,
        };
        let mut intake = self.intake.borrow_mut();
        intake.invalid.extend(chunk.invalid);
        intake.warnings.extend(chunk.warnings);
        intake.broken = chunk.broken.or(intake.broken.take());
        Poll::Ready(Some(chunk.entries))
    }
}

/// Tells the watch what the intake holds, each time something happens.
struct Noticing<'w, 'a> {
    watch: &'w mut Watch<'a>,
    intake: Rc<RefCell<Intake>>,
}

impl Noticing<'_, '_> {
    fn notice(&mut self) {
        let mut intake = self.intake.borrow_mut();
        for (origin, warning) in intake.warnings.drain(..) {
            self.watch.warning(&origin, &warning);
        }
        for invalid in intake.invalid.drain(..) {
            self.watch.invalid(&invalid);
        }
    }
}

impl cfcache_client::Observer for Noticing<'_, '_> {
    fn on(&mut self, event: cfcache_client::Event<'_>) {
        self.notice();
        self.watch.on(event);
    }
}

/// Reads the input in a thread of its own: files and pipes block, and a run must not.
fn read_in_thread(sources: Sources) -> mpsc::Receiver<Chunk> {
    let (sender, chunks) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || sources.read(&mut |chunk| sender.blocking_send(chunk).is_ok()));
    chunks
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
    let place = match &report.environment {
        Some(environment) => format!("environment {environment} of zone {}", report.zone),
        None => format!("zone {}", report.zone),
    };
    let elapsed = human::duration(core::time::Duration::from_millis(report.elapsed_ms));
    let mut lines = Vec::new();
    let mut first = match report.accepted {
        0 => format!("nothing accepted to {} on {place}", report.operation),
        accepted => format!("accepted: {} {} on {place}", report.operation, what(accepted)),
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
    for failure in report.failures.iter().take(20) {
        let item = cfcache_model::text::clip(&failure.item, 200);
        lines.push(format!("  {item}: {}", failure.error.message));
    }
    let hidden = report.failures.len().saturating_sub(20) as u64 + report.failures_omitted;
    if hidden > 0 {
        lines.push(format!("  … and {hidden} more"));
    }
    lines
}

/// Prints what would be sent, and sends nothing.
pub(crate) fn dry_run(job: PurgeJob, talk: &Talk) -> Result<Exit, Failure> {
    let base = shown_base(&job.connection)?;
    let limits = limits(job.connection.plan);
    let zone = match &job.scope.zone {
        ZoneRef::Id(id) => id.clone(),
        ZoneRef::Domain(domain) => {
            talk.note(&format!(
                "`{domain}` is not looked up in a dry run: {ZONE_STAND_IN} stands for its id"
            ));
            stand_in(ZoneId::parse(ZONE_STAND_IN))?
        }
    };
    let environment = match &job.scope.environment {
        None => None,
        Some(EnvironmentRef::Id(id)) => Some(id.clone()),
        Some(EnvironmentRef::Name(name)) => {
            talk.note(&format!(
                "`{name}` is not looked up in a dry run: {ENVIRONMENT_STAND_IN} stands for its id"
            ));
            Some(stand_in(EnvironmentId::parse(ENVIRONMENT_STAND_IN))?)
        }
    };
    let show = |body: &PurgeBody| {
        let request = PurgeCache::new(job.action, &zone, body);
        let parts = match &environment {
            Some(environment) => encode(&request.with_environment(environment)),
            None => encode(&request),
        };
        talk.data(&shown(&parts, &base.to_string()));
    };
    let targets: Targets = match job.what {
        Selection::Everything => {
            show(&PurgeBody::Everything);
            return Ok(Exit::Accepted);
        }
        Selection::Targets(targets) => targets,
    };
    let kind = targets.kind;
    let mut planner = Planner::new(kind, caps(limits, kind, job.batch_size));
    let mut exit = Exit::Accepted;
    let (mut requests, mut items, mut read) = (0_u64, 0_u64, 0_u64);
    let mut send = |batch: Option<cfcache_model::plan::Batch>| {
        if let Some(batch) = batch {
            requests += 1;
            items += batch.len() as u64;
            show(&PurgeBody::Batch(batch));
        }
    };
    Sources::open(targets, talk)?.read(&mut |chunk| {
        for (origin, warning) in &chunk.warnings {
            talk.warn(&format!("{origin}: {warning}"));
        }
        for invalid in &chunk.invalid {
            exit = exit.or(Exit::Usage);
            talk.say(&format!("{} {}", talk.label("invalid"), invalid.describe()));
        }
        if let Some(broken) = &chunk.broken {
            exit = exit.or(talk.failure(broken));
        }
        for entry in chunk.entries {
            read += 1;
            send(planner.push(entry).unwrap_or_default());
        }
        !talk.is_closed()
    });
    while let Some(batch) = planner.finish() {
        send(Some(batch));
    }
    if read == 0 && exit == Exit::Accepted {
        return Err(source::empty(kind));
    }
    let least = least_time(limits, kind, requests, items);
    talk.note(&format!(
        "would send {} in {}, which takes at least {}",
        kind.count(items),
        human::count(requests, "request"),
        human::duration(least),
    ));
    Ok(exit)
}

/// Stand for ids that are not looked up; no id has these letters.
pub(super) const ZONE_STAND_IN: &str = "ZONE-ID";
const ENVIRONMENT_STAND_IN: &str = "ENVIRONMENT-ID";

fn stand_in<T>(parsed: Result<T, cfcache_model::id::InvalidId>) -> Result<T, Failure> {
    parsed.map_err(|invalid| Failure::usage(invalid.to_string()))
}

/// A request as one line of JSON, the body exactly as it would be sent.
pub(super) fn shown(parts: &Parts, base: &str) -> String {
    let url = serde_json::Value::from(format!("{base}{}", parts.path));
    let body = parts.body.as_deref().unwrap_or("null");
    format!(r#"{{"method":"{}","url":{url},"body":{body}}}"#, parts.method.as_str())
}

/// The limits of a plan; of free, where it is not known.
fn limits(plan: Option<Plan>) -> PurgeLimits {
    plan.unwrap_or(Plan::Free).purge_limits()
}

fn caps(limits: PurgeLimits, kind: Kind, batch_size: Option<usize>) -> Caps {
    batch_size.map_or_else(|| Caps::of(limits, kind), Caps::items)
}

/// The least time in which the limits allow so many requests, from a full bucket on.
fn least_time(limits: PurgeLimits, kind: Kind, requests: u64, items: u64) -> core::time::Duration {
    let (tokens, burst, rate) = match kind {
        Kind::Files => (items, u64::from(limits.urls.count), limits.urls),
        _ => (requests, u64::from(limits.flexible_burst), limits.flexible_requests),
    };
    let waiting = tokens.saturating_sub(burst) as f64;
    core::time::Duration::from_secs_f64(waiting * rate.per.as_secs_f64() / f64::from(rate.count))
}

pub(super) fn describe_zone(zone: &ZoneRef) -> String {
    match zone {
        ZoneRef::Id(id) => format!("zone {id}"),
        ZoneRef::Domain(domain) => format!("zone {domain}"),
    }
}

pub(super) fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}
