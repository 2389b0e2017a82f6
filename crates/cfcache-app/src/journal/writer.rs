//! Writes a journal.

use core::ops::Range;
use std::fs::File;
use std::io;
use std::sync::mpsc;

use cfcache_client::{EntryRanges, RecordError, Recording};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::journal::{JournalLine, Point};

/// So many entries may be read without a line that says so: a run that takes the journal up holds as many at the most.
const POINT_EVERY: u64 = 10_000;

/// The end of a journal that is written to.
///
/// A thread of its own writes lines and makes them durable, so that a disk that hangs holds up nothing else. One
/// `fdatasync` is for all lines that came in while the one before it ran.
pub struct Writer {
    name: String,
    lines: mpsc::Sender<WriteRequest>,
    /// How far the input is known to have been read.
    last: Option<Point>,
    /// What earlier runs verified.
    verified: EntryRanges,
    /// Says that nobody waits any more.
    given_up: watch::Receiver<bool>,
}

/// A line to be written, and who waits for it to be durable.
struct WriteRequest {
    line: Option<JournalLine>,
    done: Option<oneshot::Sender<io::Result<()>>>,
}

impl Writer {
    pub(crate) fn new(file: File, name: String, given_up: watch::Receiver<bool>) -> Self {
        let (lines, requests) = mpsc::channel();
        std::thread::spawn(move || run(file, &requests));
        Self { name, lines, last: None, verified: EntryRanges::new(), given_up }
    }

    /// Goes on behind what earlier runs wrote.
    pub(crate) fn behind(mut self, last: Option<Point>, verified: EntryRanges) -> Self {
        (self.last, self.verified) = (last, verified);
        self
    }

    /// What earlier runs verified.
    pub const fn earlier(&self) -> &EntryRanges {
        &self.verified
    }

    /// Returns the name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes that these entries were accepted. The future is ready once that is durable.
    pub fn accepted(&mut self, entries: &Range<u64>, point: Point) -> Recording {
        self.last = self.last.max(Some(point));
        self.send(Some(JournalLine { accepted: Some((entries.start, entries.end)), verified: None, point }))
    }

    /// The input has been read up to here.
    pub fn read(&mut self, point: Point) {
        if point.read >= self.last.map_or(0, |last| last.read) + POINT_EVERY {
            self.last = Some(point);
            self.note(JournalLine { accepted: None, verified: None, point });
        }
    }

    /// Writes that these entries were verified, and leave nothing to be done.
    pub fn verified(&self, entries: &EntryRanges) {
        let Some(point) = self.last else { return };
        for entries in entries.ranges().iter().filter(|entries| entries.end <= point.read) {
            self.note(JournalLine { accepted: None, verified: Some((entries.start, entries.end)), point });
        }
    }

    /// Writes a line that nobody waits for. Where it cannot be written nothing can: what comes next says so.
    fn note(&self, line: JournalLine) {
        let _told_later = self.lines.send(WriteRequest { line: Some(line), done: None });
    }

    /// Waits until everything is durable, or nobody waits any more.
    ///
    /// # Errors
    ///
    /// Where something cannot be written.
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

/// Writes whatever comes in, and makes it durable.
fn run(mut file: File, requests: &mpsc::Receiver<WriteRequest>) {
    let mut failed: Option<(io::ErrorKind, String)> = None;
    while let Ok(first) = requests.recv() {
        let mut waiting = Vec::new();
        for request in core::iter::once(first).chain(requests.try_iter()) {
            if failed.is_none()
                && let Some(line) = &request.line
                && let Err(error) = write(&mut file, line)
            {
                // Half a line may be there: another one behind it could not be read either.
                failed = Some((error.kind(), error.to_string()));
                // What came before it is whole, and can be made durable.
                if file.sync_data().is_ok() {
                    finish(&mut waiting, None);
                }
            }
            waiting.extend(request.done);
        }
        if failed.is_none()
            && let Err(error) = file.sync_data()
        {
            // The kernel may take what it could not write for written from now on: another try proves nothing.
            failed = Some((error.kind(), error.to_string()));
        }
        finish(&mut waiting, failed.as_ref());
    }
}

/// Tells those that wait what came of it.
fn finish(waiting: &mut Vec<oneshot::Sender<io::Result<()>>>, failed: Option<&(io::ErrorKind, String)>) {
    for done in waiting.drain(..) {
        let result = failed.map_or(Ok(()), |(kind, text)| Err(io::Error::new(*kind, text.clone())));
        // Whoever does not wait any more does not want to know.
        let _gave_up = done.send(result);
    }
}

/// Writes a line, in one call: what a kill leaves of it is all or nothing, most likely.
pub(crate) fn write(file: &mut impl io::Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line).map_err(io::Error::other)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}
