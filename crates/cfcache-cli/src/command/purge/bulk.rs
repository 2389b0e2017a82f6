//! A run over a list in one zone: the input flows in, what became of it is reported.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use cfcache_client::{EntryRanges, PurgeScope};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::command::Interrupts;
use crate::command::purge::around::{Beside, Ending};
use crate::command::purge::intake::{First, Intake};
use crate::command::purge::{Pacing, Place, caps, print};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::journal::{Header, Journal, Replay, Writer};
use crate::observe::{FailedTo, Logs, Watch};
use crate::progress::Progress;
use crate::render::Talk;
use crate::report::Report;
use crate::resolve::ListJob;
use crate::session::{Session, api_name};
use crate::source::{self, Sources};

/// Purges or invalidates a list, and reports.
pub(crate) async fn run(job: ListJob, talk: &Talk, interrupts: &Interrupts) -> Result<Exit, Failure> {
    let ListJob { action, scope, targets, connection, failed_to, journal, batch_size, .. } = job;
    // Everything that can be wrong with the input is found before anything is sent. Up to the first `await` Ctrl-C still
    // does what it does by default: it ends a long check of a file on the spot.
    if let Some(path) = &failed_to {
        FailedTo::check(path, &targets.files)?;
    }
    if journal.as_ref().is_some_and(|path| source::reads(&targets.files, path)) {
        return Err(Failure::usage("`--journal` names a file that is read as input"));
    }
    let sources = Sources::open(targets, journal.is_some(), talk)?;
    let kind = sources.kind();
    let mut diary = match &journal {
        Some(path) => {
            let mut header = Header::new(action.verb(), kind.field());
            header.api = api_name(&connection);
            Some(Diary::open(path, header, &sources, failed_to.as_deref(), talk)?)
        }
        None => None,
    };
    // Of what can be read only once, the beginning is read before anything is asked of the API: nothing is not
    // everything, and needs no request either.
    let mut intake = Intake::begin(sources, diary.as_mut().map(Diary::replay));
    if let First::Nothing = intake.first(interrupts).await? {
        return intake.nothing(kind, failed_to.as_deref(), talk);
    }
    let session = Session::open(&connection).await?;
    let place = Place::find(&session, &scope, talk, interrupts).await?;
    let pacing = Pacing::begin(&session, &connection, place.plan);
    let report = place.report(action.verb(), kind.field());
    let (journal, accepted) = match diary {
        Some(diary) => diary.begin(&place)?,
        None => (None, EntryRanges::new()),
    };
    // Only now: a list of what failed the last time is not to be lost to a run that cannot even begin.
    let failed_to = failed_to.as_deref().map(FailedTo::create).transpose()?;
    let caps = caps(pacing.plan, kind, batch_size, talk);
    let mut run = PurgeScope::new(action, place.zone, kind, caps).with_environment(place.environment);
    run.accepted = accepted;
    let bulk = Bulk { session: &session, run: &run, pacing, talk, interrupts };
    let exit = bulk.run(intake, report, Logs { failed_to, journal }).await;
    session.close().await;
    Ok(exit)
}

/// A journal, and what this run is to it.
struct Diary {
    journal: Journal,
    header: Header,
}

impl Diary {
    /// Opens a journal that is of the same run, as far as can be told before zone and environment are looked up.
    fn open(
        path: &Path,
        mut header: Header,
        sources: &Sources,
        failed_to: Option<&Path>,
        talk: &Talk,
    ) -> Result<Self, Failure> {
        let headers = sources.headers().iter();
        header.headers = headers.map(|header| format!("{}: {}", header.name(), header.value())).collect();
        header.input = sources.identity();
        let journal = Journal::open(path, talk)?;
        if failed_to.is_some_and(|path| journal.is(path)) {
            return Err(Failure::usage("`--failed-to` and `--journal` name the same file"));
        }
        journal.check(&header)?;
        Ok(Self { journal, header })
    }

    fn replay(&mut self) -> Replay {
        self.journal.replay()
    }

    /// Goes on with it there.
    fn begin(mut self, place: &Place) -> Result<(Option<Writer>, EntryRanges), Failure> {
        self.header.zone = place.zone.to_string();
        self.header.environment = place.environment.as_ref().map(ToString::to_string);
        let (writer, accepted) = self.journal.begin(&self.header)?;
        Ok((Some(writer), accepted))
    }
}

/// A run over a list, as far as it is decided before the list is looked at.
struct Bulk<'a> {
    session: &'a Session,
    run: &'a PurgeScope,
    pacing: Pacing,
    talk: &'a Talk,
    interrupts: &'a Interrupts,
}

impl Bulk<'_> {
    async fn run(&self, intake: Intake, report: Report, logs: Logs) -> Exit {
        let Self { session, run, pacing, talk, interrupts } = *self;
        let started = Instant::now();
        let journal = logs.journal.as_ref().map(|journal| journal.name().to_owned());
        let (mut input, about) = intake.open();
        let progress = Rc::new(RefCell::new(Progress::new(run.kind, about.total)));
        let paced = Rc::new(Notify::new());
        let mut watch = Watch::new(talk, report, Rc::clone(&progress), Rc::clone(&about.found), logs)
            .with_paced(Rc::clone(&paced));
        watch.notice();
        let zone = pacing.learns_plan.then_some(&run.zone);
        let beside = Beside { session, talk, interrupts, progress: &progress, paced: &paced, zone };
        tokio::select! {
            _tally = session.client.run(run, &mut input, interrupts.nth(1), &mut watch) => {}
            never = beside.go_on() => match never {},
        }
        // What a run that was given up did not read is part of the job, where reading it can be brought to an end. A
        // journal knows better what is left.
        if about.total.is_some() && journal.is_none() {
            tokio::select! {
                () = input.rest(&mut watch) => {}
                () = interrupts.nth(2) => {}
            }
        }
        watch.notice();
        let (mut report, exit) = watch.finish(started.elapsed());
        let ending = Ending { kind: run.kind, about: &about, journal: journal.as_deref() };
        let exit = ending.tell(&mut report, exit, talk);
        print(&report, Some(run.kind), talk);
        exit
    }
}
