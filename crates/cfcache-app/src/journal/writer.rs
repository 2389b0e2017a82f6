//! Writes a journal.

use core::ops::Range;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;

use cfcache_client::{EntryRanges, RecordError, Recording};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::journal::{JournalLine, Point};

/// The maximum number of entries that are read without recording a point: a later run keeps at most this many in
/// memory.
const POINT_EVERY: u64 = 10_000;

/// Writes to the end of a journal.
///
/// A separate thread writes lines and makes them durable, so a hanging disk blocks nothing else. One `fdatasync` covers
/// all lines that arrived during the previous one.
pub struct JournalWriter {
    path: PathBuf,
    name: String,
    lines: mpsc::Sender<WriteRequest>,
    /// The position up to which the input has been recorded.
    last: Option<Point>,
    /// The entries that earlier runs verified.
    verified: EntryRanges,
    /// Signals that the run was given up.
    given_up: watch::Receiver<bool>,
}

/// A line to write, and the sender that is notified when it is durable.
struct WriteRequest {
    line: Option<JournalLine>,
    done: Option<oneshot::Sender<io::Result<()>>>,
}

impl JournalWriter {
    pub(crate) fn new(file: File, path: PathBuf, name: String, given_up: watch::Receiver<bool>) -> Self {
        let (lines, requests) = mpsc::channel();
        std::thread::spawn(move || run(file, &requests));
        Self { path, name, lines, last: None, verified: EntryRanges::new(), given_up }
    }

    /// Continues after the lines of earlier runs.
    pub(crate) fn with_earlier(mut self, last: Option<Point>, verified: EntryRanges) -> Self {
        (self.last, self.verified) = (last, verified);
        self
    }

    /// The entries that earlier runs verified.
    pub const fn earlier(&self) -> &EntryRanges {
        &self.verified
    }

    /// Returns the name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the file was removed after it was opened, so that no other run can read it.
    pub fn is_removed(&self) -> bool {
        self.path.try_exists().is_ok_and(|exists| !exists)
    }

    /// Records accepted entries. The future completes when the line is durable.
    pub fn accepted(&mut self, entries: &Range<u64>, point: Point) -> Recording {
        self.last = self.last.max(Some(point));
        self.send(Some(JournalLine { accepted: Some((entries.start, entries.end)), verified: None, point }))
    }

    /// Records the position up to which the input has been read.
    pub fn read(&mut self, point: Point) {
        if point.read >= self.last.map_or(0, |last| last.read) + POINT_EVERY {
            self.last = Some(point);
            self.note(JournalLine { accepted: None, verified: None, point });
        }
    }

    /// Records entries that were verified and proven.
    pub fn verified(&self, entries: &EntryRanges) {
        let Some(point) = self.last else { return };
        for entries in entries.ranges().iter().filter(|entries| entries.end <= point.read) {
            self.note(JournalLine { accepted: None, verified: Some((entries.start, entries.end)), point });
        }
    }

    /// Writes a line without waiting. If that fails, the next line reports the error.
    fn note(&self, line: JournalLine) {
        let _told_later = self.lines.send(WriteRequest { line: Some(line), done: None });
    }

    /// Waits until everything is durable, or until the run is given up.
    ///
    /// # Errors
    ///
    /// If something cannot be written.
    pub async fn flush(&self) -> Result<(), RecordError> {
        self.send(None).await
    }

    fn send(&self, line: Option<JournalLine>) -> Recording {
        let (done, durable) = oneshot::channel();
        let sent = self.lines.send(WriteRequest { line, done: Some(done) });
        let mut given_up = self.given_up.clone();
        let name = self.name.clone();
        Box::pin(async move {
            let result = match sent {
                Ok(()) => tokio::select! {
                    biased;
                    result = durable => result.unwrap_or_else(|_| Err(io::Error::other("its thread has ended"))),
                    Ok(_) = given_up.wait_for(|given_up| *given_up) => {
                        Err(io::Error::other("the disk was not waited for"))
                    }
                },
                Err(_) => Err(io::Error::other("its thread has ended")),
            };
            result.map_err(|error| format!("cannot write the journal `{name}`: {error}").into())
        })
    }
}

/// Writes the lines that arrive, and makes them durable.
fn run(mut file: File, requests: &mpsc::Receiver<WriteRequest>) {
    let mut failed: Option<(io::ErrorKind, String)> = None;
    while let Ok(first) = requests.recv() {
        let mut waiting = Vec::new();
        for request in core::iter::once(first).chain(requests.try_iter()) {
            if failed.is_none()
                && let Some(line) = &request.line
                && let Err(error) = write(&mut file, line)
            {
                // Part of a line may have been written, so a line after it would be unreadable.
                failed = Some((error.kind(), error.to_string()));
                // The lines before it are complete and can be made durable.
                if file.sync_data().is_ok() {
                    finish(&mut waiting, None);
                }
            }
            waiting.extend(request.done);
        }
        if failed.is_none()
            && let Err(error) = file.sync_data()
        {
            // After a failed sync, the kernel may treat the data as written, so retrying proves nothing.
            failed = Some((error.kind(), error.to_string()));
        }
        finish(&mut waiting, failed.as_ref());
    }
}

/// Notifies all waiting callers of the result.
fn finish(waiting: &mut Vec<oneshot::Sender<io::Result<()>>>, failed: Option<&(io::ErrorKind, String)>) {
    for done in waiting.drain(..) {
        let result = failed.map_or(Ok(()), |(kind, text)| Err(io::Error::new(*kind, text.clone())));
        // The receiver may have been dropped.
        let _gave_up = done.send(result);
    }
}

/// Writes a line with one call, so that a kill most likely leaves all or nothing of it.
pub(crate) fn write(file: &mut impl io::Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}
