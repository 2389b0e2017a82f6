//! Writes a journal.

use core::ops::Range;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;

use crate::journal::{Line, Point};

/// So many entries may be read without a line that says so: a run that takes the journal up holds as many at the most.
const POINT_EVERY: u64 = 10_000;

/// So many lines may be written that are not durable yet; then a run waits for the disk. What they are about is kept in
/// memory for so long, 6 kB a batch of 100 URLs.
const PENDING: u64 = 128;

/// The end of a journal that is written to.
///
/// Lines are written by whoever has them; a thread of its own makes them durable.
pub(crate) struct Writer {
    name: String,
    file: Arc<File>,
    shared: Arc<Shared>,
    written: u64,
    last_point: u64,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    written: u64,
    synced: u64,
    failed: Option<(io::ErrorKind, String)>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Between any two statements the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

impl Writer {
    pub(super) fn new(file: File, name: String) -> Self {
        let file = Arc::new(file);
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let thread = std::thread::spawn({
            let (file, shared) = (Arc::clone(&file), Arc::clone(&shared));
            move || sync(&file, &shared)
        });
        Self { name, file, shared, written: 0, last_point: 0, thread: Some(thread) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes that these entries were accepted; gives the number of the line, from 1.
    ///
    /// # Errors
    ///
    /// Where it cannot be written, or something before it could not be made durable.
    pub(crate) fn accepted(&mut self, entries: &Range<u64>, point: Point) -> io::Result<u64> {
        self.line(&Line { accepted: Some((entries.start, entries.end)), point })
    }

    /// The input has been read up to here.
    ///
    /// # Errors
    ///
    /// As with [`accepted`](Self::accepted).
    pub(crate) fn read(&mut self, point: Point) -> io::Result<()> {
        if point.read < self.last_point + POINT_EVERY {
            return Ok(());
        }
        self.line(&Line { accepted: None, point }).map(drop)
    }

    fn line(&mut self, line: &Line) -> io::Result<u64> {
        {
            let mut state = self.shared.state();
            while state.failed.is_none() && state.written - state.synced >= PENDING {
                state = self.shared.wait(state);
            }
            state.check()?;
        }
        if let Err(error) = write(&mut &*self.file, line) {
            // Half a line may be there: another one behind it could not be read either.
            self.shared.state().failed = Some((error.kind(), error.to_string()));
            return Err(error);
        }
        self.last_point = line.point.read;
        self.written += 1;
        self.shared.state().written = self.written;
        self.shared.changed.notify_all();
        Ok(self.written)
    }

    /// The number of the last line that is durable.
    pub(crate) fn synced(&self) -> u64 {
        self.shared.state().synced
    }

    /// Waits until every line is durable.
    ///
    /// # Errors
    ///
    /// Where one cannot be.
    pub(crate) fn close(&mut self) -> io::Result<u64> {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(io::Error::other("the thread that writes it panicked"));
        }
        let state = self.shared.state();
        state.check().map(|()| state.synced)
    }
}

/// Makes durable whatever was written, again and again.
fn sync(file: &File, shared: &Shared) {
    let mut state = shared.state();
    loop {
        while state.written == state.synced && !state.closed {
            state = shared.wait(state);
        }
        let written = state.written;
        if written == state.synced {
            return;
        }
        drop(state);
        let result = file.sync_data();
        state = shared.state();
        match result {
            Ok(()) => state.synced = written,
            Err(error) => {
                // The kernel may take what it could not write for written from now on: another try proves nothing.
                state.failed = Some((error.kind(), error.to_string()));
                shared.changed.notify_all();
                return;
            }
        }
        shared.changed.notify_all();
    }
}

/// Writes a line, in one call: what a kill leaves of it is all or nothing, most likely.
pub(super) fn write(file: &mut impl io::Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}
