//! Reads the input of a run.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;

use cfcache_client::PurgeScope;
use cfcache_model::plan::Entry;
use cfcache_model::target::Kind;
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::console::Console;
use crate::failure::Failure;
use crate::journal::JournalReplay;
use crate::observe::{FailedTo, RunObserver};
use crate::purge::{empty, interrupted};
use crate::report::{ItemError, Report};
use crate::route::Routes;
use crate::source::{Chunk, Sources};

/// The number of chunks that are read ahead.
const READ_AHEAD: usize = 8;

/// The maximum number of invalid entries before the first valid one is no longer waited for.
const INVALID_FIRST: usize = 1000;

/// Reads the input; in a separate thread if reading may block, because a run must not block. As a stream it returns the
/// entries of each scope.
pub(super) struct InputReader<'a> {
    chunks: mpsc::Receiver<Chunk>,
    /// Entries that were read already.
    first: Option<Vec<Entry>>,
    /// The number of entries, if they were counted.
    total: Option<u64>,
    /// Whether an invalid entry ends the input.
    pub(super) stops_at_invalid: bool,
    /// Whether it was read to its end.
    pub(super) ended: bool,
    /// The findings of reading that have not been reported yet, including entries without a zone.
    pub(super) found: Rc<RefCell<Chunk>>,
    /// The zone of each entry; `None` if there is one scope.
    routes: Option<&'a Routes>,
    /// The index of each zone's scope.
    numbers: BTreeMap<String, usize>,
    /// Entries that were read and sorted already.
    sorted: VecDeque<(usize, Vec<Entry>)>,
}

impl<'a> InputReader<'a> {
    fn new(chunks: mpsc::Receiver<Chunk>, total: Option<u64>, stops_at_invalid: bool) -> Self {
        Self {
            chunks,
            first: None,
            total,
            stops_at_invalid,
            ended: false,
            found: Rc::default(),
            routes: None,
            numbers: BTreeMap::new(),
            sorted: VecDeque::new(),
        }
    }

    /// Starts to read. With a journal, entries are skipped once the input is known to be the same.
    pub(super) fn begin(sources: Sources, replay: Option<JournalReplay>) -> Self {
        let (total, stops_at_invalid) = (sources.total(), sources.stops_at_invalid());
        let is_at_hand = sources.is_at_hand();
        let read = move |give: &mut dyn FnMut(Chunk) -> bool| match replay {
            None => sources.read(give),
            Some(mut replay) => {
                let mut goes_on = true;
                sources.read(&mut |chunk| {
                    goes_on = replay.pass(chunk, give);
                    goes_on
                });
                if goes_on {
                    replay.end(give);
                }
            }
        };
        let chunks = if is_at_hand { read_now(read) } else { read_ahead(read) };
        Self::new(chunks, total, stops_at_invalid)
    }

    /// An input of given entries.
    pub(super) fn from_entries(entries: Vec<Entry>) -> Self {
        let (_, chunks) = mpsc::channel(1);
        let total = Some(entries.len() as u64);
        Self { first: Some(entries), ..Self::new(chunks, total, false) }
    }

    /// Reads up to the first entry that can be sent, and returns whether there is one.
    ///
    /// # Errors
    ///
    /// If it is interrupted.
    pub(super) async fn has_first(&mut self, console: &dyn Console) -> Result<bool, Failure> {
        tokio::select! {
            has_first = self.find_first() => Ok(has_first),
            () = console.interrupted(1) => Err(interrupted()),
        }
    }

    async fn find_first(&mut self) -> bool {
        while let Some(chunk) = self.chunks.recv().await {
            let entries = self.found.borrow_mut().keep(chunk);
            if !entries.is_empty() || self.found.borrow().invalid.len() > INVALID_FIRST {
                self.first = Some(entries);
                return true;
            }
        }
        false
    }

    /// The number of entries, if they were counted.
    pub(super) const fn total(&self) -> Option<u64> {
        self.total
    }

    /// Sets the scope of each entry: that of its zone.
    pub(super) fn route(&mut self, routes: Option<&'a Routes>, scopes: &[PurgeScope]) {
        self.routes = routes;
        let numbers = scopes.iter().enumerate().map(|(number, scope)| (scope.zone.to_string(), number));
        self.numbers = numbers.collect();
    }

    /// Reports why there is nothing to send.
    pub(super) fn nothing(
        self,
        kind: Kind,
        failed_to: Option<&Path>,
        is_null_separated: bool,
        console: &dyn Console,
    ) -> Result<Report, Failure> {
        let failed_to = failed_to.map(|path| FailedTo::create(path, is_null_separated)).transpose()?;
        let found = self.found;
        if found.borrow().broken.is_none() && found.borrow().invalid.is_empty() {
            return Err(empty(kind));
        }
        let report = Report::new("", "", None, None);
        let mut observer = RunObserver::new(console, report, Rc::clone(&found), failed_to);
        observer.notice();
        let broken = found.borrow_mut().broken.take();
        let (_, exit) = observer.finish(&[]);
        let mut failure =
            broken.unwrap_or_else(|| Failure::usage("there is no valid entry; nothing was sent"));
        failure.exit = exit.or(failure.exit);
        Err(failure)
    }
}

/// Reads an input that never blocks without starting a thread, which would take longer.
fn read_now(read: impl FnOnce(&mut dyn FnMut(Chunk) -> bool)) -> mpsc::Receiver<Chunk> {
    let mut all = Vec::new();
    read(&mut |chunk| {
        all.push(chunk);
        true
    });
    let (sender, chunks) = mpsc::channel(all.len().max(1));
    for chunk in all {
        // The channel has room for each chunk.
        let _sent = sender.try_send(chunk);
    }
    chunks
}

fn read_ahead(read: impl FnOnce(&mut dyn FnMut(Chunk) -> bool) + Send + 'static) -> mpsc::Receiver<Chunk> {
    let (sender, chunks) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || read(&mut |chunk| sender.blocking_send(chunk).is_ok()));
    chunks
}

impl InputReader<'_> {
    /// Returns the next entries for the client, and records everything else in the findings.
    fn poll_entries(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<Entry>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let chunk = self.chunks.poll_recv(context);
        self.ended |= matches!(chunk, Poll::Ready(None));
        chunk.map(|chunk| chunk.map(|chunk| self.found.borrow_mut().keep(chunk)))
    }

    fn sort(&mut self, entries: Vec<Entry>) {
        let Some(routes) = self.routes else {
            self.sorted.push_back((0, entries));
            return;
        };
        let mut sorted: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            let zone = routes.zone_of(entry.target.host().unwrap_or_default());
            match zone.map(|zone| self.numbers.get(zone.as_str())) {
                Ok(Some(number)) => sorted.entry(*number).or_default().push(entry),
                Ok(None) => {
                    let why = "its zone is not part of this run".to_owned();
                    self.found.borrow_mut().unrouted.push((entry, why));
                }
                Err(why) => self.found.borrow_mut().unrouted.push((entry, why)),
            }
        }
        self.sorted.extend(sorted);
        if self.sorted.is_empty() {
            // So that findings are reported even if nothing is sent.
            self.sorted.push_back((0, Vec::new()));
        }
    }

    /// Reads the rest of the input of a stopped run; none of it is sent.
    pub(super) async fn rest(&mut self, observer: &mut RunObserver<'_>) {
        let error = ItemError::new(None, "not sent: the run was stopped before".to_owned());
        while let Some((_, entries)) = poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await {
            observer.notice();
            entries.iter().for_each(|entry| observer.record_unsent(entry, &error));
        }
        observer.notice();
    }
}

impl Stream for InputReader<'_> {
    type Item = (usize, Vec<Entry>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(next) = self.sorted.pop_front() {
                return Poll::Ready(Some(next));
            }
            match ready!(self.poll_entries(context)) {
                Some(entries) => self.sort(entries),
                None => return Poll::Ready(None),
            }
        }
    }
}
