//! A run over a list: the input flows in, what became of it is reported.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::cell::RefCell;
use std::rc::Rc;

use cfcache_client::Run;
use cfcache_model::plan::Entry;
use cfcache_model::target::Kind;
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::command::Interrupts;
use crate::command::purge::{empty, print};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::observe::{FailedTo, Found, Watch};
use crate::progress::{Progress, REDRAW};
use crate::render::Talk;
use crate::report::Report;
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
    pub(super) fn begin(sources: Sources) -> Self {
        let (stops_at_invalid, total) = (sources.stops_at_invalid(), sources.total());
        let (sender, chunks) = mpsc::channel(READ_AHEAD);
        std::thread::spawn(move || sources.read(&mut |chunk| sender.blocking_send(chunk).is_ok()));
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
        let report = Report::new("", "", String::new(), None);
        let mut watch = Watch::new(talk, report, progress, Rc::clone(&found), failed_to);
        watch.notice();
        let broken = found.borrow_mut().broken.take();
        let (_, exit) = watch.finish(core::time::Duration::ZERO);
        let nothing = Failure::usage("there is no valid entry; nothing was sent");
        Ok(exit.or(talk.failure(&broken.unwrap_or(nothing))))
    }
}

pub(super) async fn run(
    session: &Session,
    run: &Run,
    intake: Intake,
    report: Report,
    failed_to: Option<FailedTo>,
    talk: &Talk,
    interrupts: &Interrupts,
) -> Exit {
    let started = Instant::now();
    let Intake { chunks, first, found, stops_at_invalid, total } = intake;
    let progress = Rc::new(RefCell::new(Progress::new(run.kind, total)));
    let found = Rc::new(RefCell::new(found));
    let mut watch = Watch::new(talk, report, Rc::clone(&progress), Rc::clone(&found), failed_to);
    watch.notice();
    let input = Input { first, chunks, found: Rc::clone(&found) };
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
    tokio::select! {
        _tally = session.client.run(run, input, interrupts.nth(1), &mut watch) => {}
        () = ticking => {}
        () = giving_up => {}
    }
    watch.notice();
    let (broken, ended) = {
        let mut found = found.borrow_mut();
        (found.broken.take(), found.ended)
    };
    let (report, mut exit) = watch.finish(started.elapsed());
    if let Some(failure) = &broken {
        exit = exit.or(talk.failure(failure));
    }
    if broken.is_some() || (stops_at_invalid && report.invalid > 0) {
        talk.note("reading stopped there; what came before it was sent");
        exit = exit.or(Exit::Usage);
    } else if !ended {
        talk.note(&format!(
            "the input was not read to its end: what follows its first {} is not part of this report",
            run.kind.count(report.items),
        ));
    }
    print(&report, Some(run.kind), talk);
    exit
}

/// The input as the client wants it; what is not for the client is put where it is found.
struct Input {
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
