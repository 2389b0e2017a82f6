//! A run over a list: the input flows in, what became of it is reported.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::cell::RefCell;
use std::rc::Rc;

use cfcache_client::Run;
use cfcache_model::plan::Entry;
use cfcache_model::target::Kind;
use futures_core::Stream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::command::Interrupts;
use crate::command::purge::{empty, plan, print};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::journal::Replay;
use crate::observe::{FailedTo, Found, Logs, Watch};
use crate::progress::{Progress, REDRAW};
use crate::render::Talk;
use crate::report::{ItemError, Report};
use crate::session::Session;
use crate::source::{Chunk, Sources};

/// How many chunks of the input are read ahead.
const READ_AHEAD: usize = 8;

/// So many invalid entries may come before the first valid one is waited for no longer.
const INVALID_FIRST: usize = 1000;

/// The input while it is read, by a thread of its own: files and pipes block, and a run must not.
pub(super) struct Intake {
    chunks: mpsc::Receiver<Chunk>,
    /// What was read already.
    first: Option<Vec<Entry>>,
    found: Found,
    stops_at_invalid: bool,
    total: Option<u64>,
}

/// What an input begins with.
pub(super) enum First {
    /// Something to send.
    Entries,
    /// Nothing that could be sent, up to its end.
    Nothing,
}

impl Intake {
    /// Begins to read; with a journal, what it knows of is let through once it has shown to be the same.
    pub(super) fn begin(sources: Sources, replay: Option<Replay>) -> Self {
        let (stops_at_invalid, total) = (sources.stops_at_invalid(), sources.total());
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || {
            let mut give = |chunk| sender.blocking_send(chunk).is_ok();
            match replay {
                None => sources.read(&mut give),
                Some(mut replay) => {
                    let mut goes_on = true;
                    sources.read(&mut |chunk| {
                        goes_on = replay.pass(chunk, &mut give);
                        goes_on
                    });
                    if goes_on {
                        replay.end(&mut give);
                    }
                }
            }
        });
        Self { chunks, first: None, found: Found::default(), stops_at_invalid, total }
    }

    /// Reads up to the first entry that can be sent.
    pub(super) async fn first(&mut self) -> First {
        while let Some(chunk) = self.chunks.recv().await {
            let entries = self.found.keep(chunk);
            if !entries.is_empty() || self.found.invalid.len() > INVALID_FIRST {
                self.first = Some(entries);
                return First::Entries;
            }
        }
        First::Nothing
    }

    /// The input in its parts: entries, what is found beside them, whether an invalid one ends it, and how many there are.
    pub(super) fn open(self) -> (Input, Rc<RefCell<Found>>, bool, Option<u64>) {
        let Self { chunks, first, found, stops_at_invalid, total } = self;
        let found = Rc::new(RefCell::new(found));
        (Input { first, chunks, found: Rc::clone(&found) }, found, stops_at_invalid, total)
    }

    /// There is nothing to send: says why.
    pub(super) fn nothing(
        self,
        kind: Kind,
        failed_to: Option<FailedTo>,
        talk: &Talk,
    ) -> Result<Exit, Failure> {
        if self.found.broken.is_none() && self.found.invalid.is_empty() {
            return Err(empty(kind));
        }
        let progress = Rc::new(RefCell::new(Progress::new(kind, None)));
        let found = Rc::new(RefCell::new(self.found));
        let report = Report::new("", "", None, None);
        let logs = Logs { failed_to, journal: None };
        let mut watch = Watch::new(talk, report, progress, Rc::clone(&found), logs);
        watch.notice();
        let broken = found.borrow_mut().broken.take();
        let (_, exit) = watch.finish(core::time::Duration::ZERO);
        let nothing = Failure::usage("there is no valid entry; nothing was sent");
        Ok(exit.or(talk.failure(&broken.unwrap_or(nothing))))
    }
}

/// A run over a list, as far as it is decided before the list is looked at.
pub(super) struct Bulk<'a> {
    pub(super) session: &'a Session,
    pub(super) run: &'a Run,
    /// Is the plan to be asked for, if that matters?
    pub(super) learns_plan: bool,
}

impl Bulk<'_> {
    pub(super) async fn run(
        &self,
        intake: Intake,
        report: Report,
        logs: Logs,
        talk: &Talk,
        interrupts: &Interrupts,
    ) -> Exit {
        let Self { session, run, learns_plan } = *self;
        let started = Instant::now();
        let has_journal = logs.journal.is_some();
        let (mut input, found, stops_at_invalid, total) = intake.open();
        let progress = Rc::new(RefCell::new(Progress::new(run.kind, total)));
        let paced = Rc::new(Notify::new());
        let mut watch = Watch::new(talk, report, Rc::clone(&progress), Rc::clone(&found), logs)
            .with_paced(Rc::clone(&paced));
        watch.notice();
        let ticking = async {
            let mut interval = tokio::time::interval(REDRAW);
            loop {
                interval.tick().await;
                progress.borrow_mut().tick(talk);
            }
        };
        let giving_up = async {
            interrupts.nth(2).await;
            // The run ends by itself then, and knows what it did not wait for.
            session.give_up();
            core::future::pending::<()>().await;
        };
        let learning = async {
            paced.notified().await;
            if learns_plan {
                plan::learn(session, &run.zone, talk).await;
            }
            core::future::pending::<()>().await;
        };
        tokio::select! {
            _tally = session.client.run(run, &mut input, interrupts.nth(1), &mut watch) => {}
            () = ticking => {}
            () = giving_up => {}
            () = learning => {}
        }
        // What a run that was given up did not read is part of the job, where reading it can be brought to an end. A
        // journal knows better what is left.
        if total.is_some() && !has_journal {
            tokio::select! {
                () = input.rest(&mut watch) => {}
                () = interrupts.nth(2) => {}
            }
        }
        watch.notice();
        let (broken, ended) = {
            let mut found = found.borrow_mut();
            (found.broken.take(), found.ended)
        };
        let (mut report, mut exit) = watch.finish(started.elapsed());
        if let Some(failure) = &broken {
            exit = exit.or(talk.failure(failure));
        }
        if report.skipped > 0 && report.skipped + report.duplicates == report.items {
            talk.note("all of it was accepted before, says the journal; remove that to send it again");
        }
        if broken.is_some() || (stops_at_invalid && report.invalid > 0) {
            talk.note("reading stopped there; what came before it was sent");
            exit = exit.or(Exit::Usage);
        } else if !ended {
            talk.say(&not_read(run.kind, report.items));
            if has_journal {
                talk.note("the same command with the same journal goes on from here");
            }
        }
        report.is_incomplete = !ended;
        print(&report, Some(run.kind), talk);
        exit
    }
}

/// The input as the client wants it; what is not for the client is put where it is found.
pub(super) struct Input {
    first: Option<Vec<Entry>>,
    chunks: mpsc::Receiver<Chunk>,
    found: Rc<RefCell<Found>>,
}

impl Stream for Input {
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let chunk = self.chunks.poll_recv(context);
        let mut found = self.found.borrow_mut();
        found.ended |= matches!(chunk, Poll::Ready(None));
        chunk.map(|chunk| chunk.map(|chunk| found.keep(chunk)))
    }
}

/// Says that there is more than the report is about.
pub(super) fn not_read(kind: Kind, items: u64) -> String {
    format!(
        "the input was not read to its end: what follows its first {} is neither sent nor part of this report",
        kind.count(items),
    )
}

impl Input {
    /// Reads what is left of the input of a run that was given up: none of it is sent.
    async fn rest(&mut self, watch: &mut Watch<'_>) {
        let error = ItemError::new(None, "not sent: the run was given up before".to_owned());
        while let Some(entries) = self.next().await {
            entries.iter().for_each(|entry| watch.astray(entry, &error));
        }
    }

    /// The next entries.
    pub(super) async fn next(&mut self) -> Option<Vec<Entry>> {
        core::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

/// Entries that somebody else sorted, as the client wants them.
pub(super) struct Parcels<'a> {
    parcels: &'a mut mpsc::Receiver<Vec<Entry>>,
}

impl<'a> Parcels<'a> {
    pub(super) const fn new(parcels: &'a mut mpsc::Receiver<Vec<Entry>>) -> Self {
        Self { parcels }
    }
}

impl Stream for Parcels<'_> {
    type Item = Vec<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        self.parcels.poll_recv(context)
    }
}
