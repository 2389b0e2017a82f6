//! The journal of a run: a record of accepted entries, so that another run over the same input continues where this one
//! stopped.
//!
//! It is a file of JSON lines. The first line describes the run. Each of the others records a range of accepted
//! entries, and a digest of the input up to some entry.
//!
//! - A line is in the file before its batch counts as accepted, and on disk (`fdatasync`) before that is reported. One
//!   call makes all earlier lines durable, so that thousands of batches per second share a few calls.
//! - Entries are skipped only if the same input, by its digest, is read again.
//! - An unreadable line, usually an incomplete last line, counts as missing: its entries are sent again.
//! - A file lock prevents two runs from using the same journal.

pub mod lines;
mod replay;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use cfcache_client::EntryRanges;
use cfcache_model::id::{EnvironmentId, ZoneId};
use tokio::sync::watch;

use crate::console::Console;
use crate::failure::Failure;
use crate::journal::lines::{Contents, JournalLine, cannot_use};
pub use crate::journal::lines::{Header, Point};
pub use crate::journal::replay::{JournalReplay, Rolling};
pub use crate::journal::writer::JournalWriter;
use crate::secret::path_name;
use crate::wording;

/// A journal that is locked by this process.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    name: String,
    file: File,
    /// The description of this run; without zone and environment until they are looked up.
    header: Header,
    /// The description of the run in the file; `None` if the file is empty.
    known: Option<Header>,
    accepted: EntryRanges,
    verified: EntryRanges,
    points: Vec<Point>,
    /// The last point.
    last: Option<Point>,
}

impl Journal {
    /// Opens or creates a journal for the run that `header` describes, and reads it.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the file is not a journal (it is not changed then), or if another run uses it.
    pub fn open(path: &Path, header: Header, console: &dyn Console) -> Result<Self, Failure> {
        let name = path_name(path);
        let cannot = |error: std::io::Error| cannot_use(&name, &error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(cannot)?;
        if !file.metadata().map_err(cannot)?.is_file() {
            return Err(cannot(std::io::Error::other("it is not a regular file")));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::usage(format!("another run is using the journal `{name}`"))
                    .with_hint("wait for it to end, or use another journal for this run"));
            }
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                console.warn(&format!(
                    "the journal `{name}` cannot be locked here: make sure that no other run uses it"
                ));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let Contents { header: known, accepted, verified, points, end, unreadable } =
            lines::read(&file, &name)?;
        if unreadable > 0 {
            console.note(&format!(
                "the journal `{name}` has {} that cannot be read; their entries are sent again",
                wording::count(unreadable, "line"),
            ));
        }
        let mut journal = Self {
            path: path.to_owned(),
            name: name.clone(),
            file,
            header,
            known,
            accepted,
            verified,
            points,
            last: None,
        };
        // An incomplete last line must not be joined with the next one.
        journal.file.set_len(end).and_then(|()| journal.file.seek(SeekFrom::Start(end))).map_err(cannot)?;
        journal.points.sort_unstable();
        journal.points.dedup();
        journal.last = journal.points.last().copied();
        if journal.points.windows(2).any(|pair| pair[0].read == pair[1].read) {
            return Err(Failure::usage(format!("the journal `{name}` contradicts itself"))
                .with_hint("remove it to start again: entries that were accepted before are sent again"));
        }
        Ok(journal)
    }

    /// Returns whether it is that file.
    pub fn is(&self, path: &Path) -> bool {
        let canonical = |path: &Path| path.canonicalize().ok();
        canonical(&self.path).is_some_and(|own| canonical(path) == Some(own))
    }

    /// The part of the input that must be read again before its entries are skipped.
    pub fn replay(&mut self) -> JournalReplay {
        JournalReplay::new(self.name.clone(), core::mem::take(&mut self.points))
    }

    /// Checks that it does not belong to another run, before zone and environment are looked up.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it belongs to another run; the error names the difference.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(known) = &self.known else { return Ok(()) };
        let (zone, environment) = (known.zone.clone(), known.environment.clone());
        self.compare(known, &Header { zone, environment, ..self.header.clone() })
    }

    fn compare(&self, known: &Header, now: &Header) -> Result<(), Failure> {
        match difference(known, now) {
            None => Ok(()),
            Some(difference) => Err(Failure::usage(format!(
                "the journal `{}` belongs to another run: {difference}",
                self.name
            ))
            .with_hint("use another journal for this run, or remove that one to start it again")),
        }
    }

    /// Continues the run of the journal, or starts a new one in an empty journal, now that zone and environment are
    /// known. Returns the entries that were accepted as well.
    ///
    /// # Errors
    ///
    /// If it belongs to another run; the error names the difference.
    pub fn begin(
        mut self,
        zone: &ZoneId,
        environment: Option<&EnvironmentId>,
        given_up: watch::Receiver<bool>,
    ) -> Result<(JournalWriter, EntryRanges), Failure> {
        self.header.zone = zone.to_string();
        self.header.environment = environment.map(ToString::to_string);
        let name = &self.name;
        match &self.known {
            Some(known) => self.compare(known, &self.header)?,
            None => {
                let cannot = |error: std::io::Error| {
                    Failure::usage(format!("cannot write the journal `{name}`: {error}"))
                };
                writer::write(&mut self.file, &self.header).map_err(cannot)?;
                self.file.sync_all().map_err(cannot)?;
                // The file is only durable if its directory entry is.
                if let Some(folder) = self.path.parent() {
                    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                    if let Ok(folder) = File::open(folder) {
                        // Some file systems do not support this; there is no other way.
                        let _unsupported = folder.sync_all();
                    }
                }
            }
        }
        let writer = JournalWriter::new(self.file, self.path, self.name, given_up)
            .with_earlier(self.last, self.verified);
        Ok((writer, self.accepted))
    }
}

/// The first difference between two runs.
fn difference(known: &Header, now: &Header) -> Option<String> {
    let place = |environment: &Option<String>| match environment {
        Some(environment) => format!("the environment `{environment}`"),
        None => "the zone, and no environment".to_owned(),
    };
    let differs = |what: &str, known: &str, now: &str| {
        (known != now).then(|| format!("its {what} is `{known}`, this run's is `{now}`"))
    };
    differs("operation", &known.operation, &now.operation)
        .or_else(|| differs("kind", &known.kind, &now.kind))
        .or_else(|| differs("API", &known.api, &now.api))
        .or_else(|| differs("zone", &known.zone, &now.zone))
        .or_else(|| {
            (known.environment != now.environment).then(|| {
                format!(
                    "it is for {}, this run is for {}",
                    place(&known.environment),
                    place(&now.environment)
                )
            })
        })
        .or_else(|| {
            let list = |headers: &[String]| match headers {
                [] => "none".to_owned(),
                some => format!("`{}`", some.join("`, `")),
            };
            (known.headers != now.headers).then(|| {
                format!("its headers are {}, this run's are {}", list(&known.headers), list(&now.headers))
            })
        })
        .or_else(|| match (known.input, now.input) {
            (Some(known), Some(now)) if known.read != now.read => {
                Some(format!("its input had {} entries, this one has {}", known.read, now.read))
            }
            (Some(known), Some(now)) if known != now => {
                Some(format!("its input had {} entries too, but not the same ones", known.read))
            }
            _ => None,
        })
}
