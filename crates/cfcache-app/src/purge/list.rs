//! A run over a list: reads the input, sends it, and reports the results. Entries go to one zone, or each to the zone
//! of its host.

use core::pin::Pin;
use core::time::Duration;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_client::{Client, PurgeScope, Summary};
use cfcache_model::endpoint::{Action, Cost};
use cfcache_model::plan::Dedupe;
use cfcache_model::target::Kind;
use cfcache_probe::AcceptedUrls;
use tokio::sync::Notify;

use crate::config::needs_zone;
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{Destination, ListJob, Visits};
use crate::journal::{Header, Journal, JournalWriter};
use crate::observe::{FailedTo, RunObserver};
use crate::purge::background::{self, finish_report};
use crate::purge::caps;
use crate::purge::input::InputReader;
use crate::purge::scopes::FoundScopes;
use crate::purge::visits::{self, AfterPurge, Before, ask_before, collector, wait_for_origin};
use crate::report::Report;
use crate::route::Routes;
use crate::session::{Session, api_name};
use crate::source::{self, Sources};

/// Purges or invalidates a list, and reports.
pub(super) async fn run(job: ListJob, console: &dyn Console) -> Result<Report, Failure> {
    let ListJob { action, visits, destination, targets, connection, failed_to, journal, batch_size } = job;
    if journal.is_some() && matches!(destination, Destination::Hosts(_)) {
        return Err(needs_zone("--journal"));
    }
    // The input is checked completely before anything is sent. Until the first `await`, Ctrl-C has its default effect
    // and ends a long check of a file at once.
    if let Some(path) = &failed_to {
        FailedTo::check(path, &targets.files)?;
    }
    if journal.as_ref().is_some_and(|path| source::reads(&targets.files, path)) {
        return Err(Failure::usage("`--journal` names a file that is read as input"));
    }
    let is_null_separated = targets.null;
    let (sources, to_ask) = visits::open(targets, journal.is_some(), visits.as_ref(), console)?;
    let kind = sources.kind();
    let mut journal = match &journal {
        Some(path) => {
            let mut header = Header::new(action.verb(), kind.field());
            header.api = api_name(&connection);
            Some(open_journal(path, header, &sources, failed_to.as_deref(), console)?)
        }
        None => None,
    };
    // For an input that can be read only once, the beginning is read before the API is called: an empty input is an
    // error and needs no request.
    let mut input = InputReader::begin(sources, journal.as_mut().map(Journal::replay));
    if !input.has_first(console).await? {
        return input.nothing(kind, failed_to.as_deref(), is_null_separated, console);
    }
    let session = Session::open(&connection).await?;
    let found = FoundScopes::find(&session, &destination, console).await?;
    let plan = session.set_plan(found.plan());
    let learns_plan = session.learns_plan(plan);
    let caps = caps(plan, kind, batch_size, console);
    let mut scopes = found.purge_scopes(action, kind, caps);
    if scopes.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "no zone is given, and the token can see several zones of each name",
        )
        .with_hint("`cfcache zones list` shows their ids; name one with `--zone`"));
    }
    // Last of all checks before the purge, so that all other errors have been found.
    wait_for_origin(visits.as_ref(), console).await?;
    let before = ask_before(visits.as_ref(), to_ask, console).await?;
    let journal = match (journal, scopes.first_mut()) {
        (Some(journal), Some(scope)) => {
            let environment = scope.environment.as_ref();
            let (journal, accepted) = journal.begin(&scope.zone, environment, session.given_up())?;
            scope.accepted = accepted;
            Some(journal)
        }
        _ => None,
    };
    let (report, routes) = (found.report(action, kind), found.routes());
    let run =
        ListRun { session: &session, kind, scopes, routes, report, learns_plan, accepted: None, console };
    let report = run.run(input, (failed_to, is_null_separated), journal, visits, before).await?;
    session.close().await;
    Ok(report)
}

/// Opens the journal of a run, and checks that it belongs to this run, before zone and environment are looked up.
fn open_journal(
    path: &Path,
    mut header: Header,
    sources: &Sources,
    failed_to: Option<&Path>,
    console: &dyn Console,
) -> Result<Journal, Failure> {
    let headers = sources.headers().iter();
    header.headers = headers.map(|header| format!("{}: {}", header.name(), header.value())).collect();
    header.input = sources.identity();
    let journal = Journal::open(path, header, console)?;
    if failed_to.is_some_and(|path| journal.is(path)) {
        return Err(Failure::usage("`--failed-to` and `--journal` name the same file"));
    }
    journal.check()?;
    Ok(journal)
}

/// A run over a list, with the settings that are known before the list is read.
pub(super) struct ListRun<'a> {
    pub(super) session: &'a Session,
    pub(super) kind: Kind,
    pub(super) scopes: Vec<PurgeScope>,
    /// The zone of each entry; `None` if there is one zone.
    pub(super) routes: Option<&'a Routes>,
    /// The report, without counts.
    pub(super) report: Report,
    /// Whether the plan is requested once it matters.
    pub(super) learns_plan: bool,
    /// Collects the accepted URLs.
    pub(super) accepted: Option<Rc<RefCell<AcceptedUrls>>>,
    pub(super) console: &'a dyn Console,
}

impl<'a> ListRun<'a> {
    /// Sends the input, verifies and warms if requested, and returns the report.
    pub(super) async fn run(
        mut self,
        input: InputReader<'a>,
        (failed_to, is_null_separated): (Option<PathBuf>, bool),
        journal: Option<JournalWriter>,
        visits: Option<Visits>,
        before: Option<Before>,
    ) -> Result<Report, Failure> {
        // Created only now, so that a run that cannot start does not overwrite the list of the previous one.
        let create = |path: &Path| FailedTo::create(path, is_null_separated);
        let failed_to = failed_to.as_deref().map(create).transpose()?;
        let action = self.scopes.first().map_or(Action::Purge, |scope| scope.action);
        let accepted = collector(visits.as_ref(), action).map(|accepted| Rc::new(RefCell::new(accepted)));
        self.accepted.clone_from(&accepted);
        let (client, console) = (self.session.client.clone(), self.console);
        let (scopes, routes) = (self.scopes.clone(), self.routes);
        let (mut report, mut exit, journal) = self.send(input, failed_to, journal).await;
        let accepted = accepted.and_then(Rc::into_inner).map(RefCell::into_inner);
        let is_accepted = accepted.as_ref().is_some_and(|accepted| accepted.last().is_some());
        if exit == Exit::Interrupted && is_accepted {
            console.note("interrupted: what was accepted was neither verified nor fetched");
        } else if let (Some(visits), Some(accepted)) = (visits, accepted)
            && exit != Exit::Interrupted
        {
            let after_purge = AfterPurge {
                client,
                action,
                scopes,
                routes,
                console,
                before,
                files: None,
                journal,
                visits,
                accepted,
            };
            let seen = after_purge.run(&mut report).await;
            // An unproven URL matters only if everything was accepted; otherwise the exit code is that of a worse
            // problem.
            if exit == Exit::Accepted || seen == Exit::Interrupted {
                exit = seen;
            }
        }
        Ok(report.with_exit(exit))
    }

    /// Sends the input.
    pub(super) async fn send(
        self,
        mut input: InputReader<'a>,
        failed_to: Option<FailedTo>,
        journal: Option<JournalWriter>,
    ) -> (Report, Exit, Option<JournalWriter>) {
        let Self { session, kind, mut scopes, routes, report, learns_plan, accepted, console } = self;
        let has_journal = journal.is_some();
        let total = input.total();
        for scope in &mut scopes {
            // A pipe may deliver entries as long as pages change; an entry that comes again after it was sent has
            // changed again.
            scope.dedupe = if total.is_some() { Dedupe::WholeInput } else { Dedupe::Unsent };
            // A file has no pauses, so one zone that waits for its entries could stop the others from being read.
            if routes.is_some() && total.is_some() {
                scope.patience = None;
            }
        }
        console.run_started(kind, total, estimate(session, &scopes, kind));
        input.route(routes, &scopes);
        let paced = Rc::new(Notify::new());
        let mut observer = RunObserver::new(console, report, Rc::clone(&input.found), failed_to)
            .with_journal(journal)
            .with_paced(Rc::clone(&paced))
            .with_accepted(accepted);
        if routes.is_some() {
            let report = |scope: &PurgeScope| {
                let zone = Some(scope.zone.to_string());
                Report::new(scope.action.verb(), kind.field(), zone, None)
            };
            observer = observer.with_zones(scopes.iter().map(report).collect());
        }
        observer.notice();
        // The limits apply per account, and most accounts have one plan: the first zone is used.
        let zone = scopes.first().map(|scope| scope.zone.clone()).filter(|_| learns_plan);
        let work = start(&session.client, scopes, &mut input, console, &mut observer);
        let summaries = tokio::select! {
            summaries = work => summaries,
            never = background::run(session, console, &paced, zone.as_ref()) => match never {},
        };
        // Entries that a stopped run did not read are part of the job, if reading them ends. With a journal, it records
        // what is left.
        if total.is_some() && !has_journal {
            tokio::select! {
                () = input.rest(&mut observer) => {}
                () = console.interrupted(2) => {}
            }
        }
        let journal = observer.close_journal().await;
        let unrecorded = observer.take_unrecorded();
        let (mut report, exit) = observer.finish(&summaries);
        let exit = finish_report(&mut report, exit, kind, &input, unrecorded, journal.as_ref(), console);
        (report, exit, journal)
    }
}

/// Starts to send the input.
///
/// This is not `async`, and not generic, so that all that is done for a request is compiled here. It would otherwise be
/// compiled in the binary, which is optimized for size and moves large values byte by byte.
fn start<'r>(
    client: &'r Client,
    scopes: Vec<PurgeScope>,
    input: &'r mut InputReader<'_>,
    console: &'r dyn Console,
    observer: &'r mut RunObserver<'_>,
) -> Pin<Box<dyn Future<Output = Vec<Summary>> + 'r>> {
    Box::pin(client.run_all(scopes, input, console.interrupted(1), observer))
}

/// Returns the minimum time that the limits require for a number of entries.
fn estimate(session: &Session, scopes: &[PurgeScope], kind: Kind) -> Box<dyn Fn(u64) -> Duration> {
    let items = scopes.first().map_or(1, |scope| scope.limits.items);
    let client = session.client.clone();
    let cost = Cost::new(kind, items);
    Box::new(move |left| client.limiter().time_for(client.now(), cost, left.div_ceil(items as u64)))
}
