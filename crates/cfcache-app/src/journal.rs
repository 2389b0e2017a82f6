//! The journal of a run: what was accepted, so that another run over the same input goes on where this one ended.
//!
//! A file of JSON lines. The first says what the run is; each of the others says that a range of entries was accepted,
//! and with which digest the input had been read up to where.
//!
//! - A line is in the file before its batch counts as accepted, and on the disk (`fdatasync`) before anybody is told.
//!   One call makes durable whatever was written before it, so that thousands of batches a second share a few.
//! - Nothing is skipped because of a journal but what was read again with the same digest.
//! - What cannot be read of a journal, a torn last line most often, is as if it had not been accepted: it is sent again.
//! - Two runs on one journal are kept apart by a lock of the file.

pub mod lines;
mod replay;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use cfcache_client::EntryRanges;
use tokio::sync::watch;

use crate::console::Console;
use crate::failure::Failure;
use crate::journal::lines::{Contents, InvalidJournal, JournalLine};
pub use crate::journal::lines::{Header, Point};
pub use crate::journal::replay::{JournalReplay, Rolling};
pub use crate::journal::writer::Writer;
use crate::secret::path_name;
use crate::wording;

/// A journal that this process has to itself.
#[derive(Debug)]
pub struct Journal {
    name: String,
    file: File,
    header: Option<Header>,
    accepted: EntryRanges,
    verified: EntryRanges,
    points: Vec<Point>,
    /// The last of them.
    last: Option<Point>,
}

impl Journal {
    /// Opens a journal, or makes one, and reads it.
    ///
    /// # Errors
    ///
    /// [`Failure`] where the file is something else than a journal, which is then left as it is, or another run has it.
    pub fn open(path: &Path, console: &dyn Console) -> Result<Self, Failure> {
        let name = path_name(path);
        let cannot =
            |error: std::io::Error| Failure::usage(format!("cannot use the journal `{name}`: {error}"));
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
                    .with_hint("wait for it to end, or give this run a journal of its own"));
            }
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                console.warn(&format!(
                    "the journal `{name}` cannot be locked here: see that no other run uses it"
                ));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let Contents { header, accepted, verified, points, end, unreadable } =
            lines::read(&file).map_err(|wrong| match wrong {
                InvalidJournal::Io(error) => cannot(error),
                InvalidJournal::Foreign => {
                    Failure::usage(format!("`{name}` is no journal of this program; it is left as it is"))
                        .with_hint("name a file that does not exist yet, or the journal of an earlier run")
                }
                InvalidJournal::Newer(version) => Failure::usage(format!(
                    "the journal `{name}` is of version {version}, which this program is too old for"
                )),
            })?;
        if unreadable > 0 {
            console.note(&format!(
                "the journal `{name}` has {} that cannot be read; what it would say is sent again",
                wording::count(unreadable, "line"),
            ));
        }
        let mut journal = Self { name: name.clone(), file, header, accepted, verified, points, last: None };
        // A torn last line must not run together with the next.
        journal.file.set_len(end).and_then(|()| journal.file.seek(SeekFrom::Start(end))).map_err(cannot)?;
        journal.points.sort_unstable();
        journal.points.dedup();
        journal.last = journal.points.last().copied();
        if journal.points.windows(2).any(|pair| pair[0].read == pair[1].read) {
            return Err(Failure::usage(format!("the journal `{name}` contradicts itself"))
                .with_hint("remove it to begin anew: what was accepted before is sent again"));
        }
        Ok(journal)
    }

    /// Returns whether it is that file.
    pub fn is(&self, path: &Path) -> bool {
        let canonical = |path: &Path| path.canonicalize().ok();
        canonical(Path::new(&self.name)).is_some_and(|own| canonical(path) == Some(own))
    }

    /// What an input has to begin with for anything of it to be skipped.
    pub fn replay(&mut self) -> JournalReplay {
        JournalReplay::new(self.name.clone(), core::mem::take(&mut self.points))
    }

    /// Checks that it is not of another run, as far as can be told before zone and environment are looked up.
    ///
    /// # Errors
    ///
    /// Where it is: names what differs.
    pub fn check(&self, header: &Header) -> Result<(), Failure> {
        let Some(known) = &self.header else { return Ok(()) };
        let now =
            Header { zone: known.zone.clone(), environment: known.environment.clone(), ..header.clone() };
        self.compare(known, &now)
    }

    fn compare(&self, known: &Header, now: &Header) -> Result<(), Failure> {
        match difference(known, now) {
            None => Ok(()),
            Some(difference) => {
                Err(Failure::usage(format!("the journal `{}` is of another run: {difference}", self.name))
                    .with_hint("give this run a journal of its own; or remove that one, to begin it anew"))
            }
        }
    }

    /// Goes on with the run that the journal is of, or makes it one of this run.
    ///
    /// # Errors
    ///
    /// Where it is of another run: names what differs.
    pub fn begin(
        mut self,
        header: &Header,
        given_up: watch::Receiver<bool>,
    ) -> Result<(Writer, EntryRanges), Failure> {
        let name = &self.name;
        match &self.header {
            Some(known) => self.compare(known, header)?,
            None => {
                let cannot = |error: std::io::Error| {
                    Failure::usage(format!("cannot write the journal `{name}`: {error}"))
                };
                writer::write(&mut self.file, header).map_err(cannot)?;
                self.file.sync_all().map_err(cannot)?;
                // The file is durable only once its name is.
                if let Some(folder) = Path::new(name).parent() {
                    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                    if let Ok(folder) = File::open(folder) {
                        // Some file systems cannot, and say so; there is no other way to ask for it.
                        let _unsupported = folder.sync_all();
                    }
                }
            }
        }
        let writer = Writer::new(self.file, self.name, given_up).behind(self.last, self.verified);
        Ok((writer, self.accepted))
    }
}

/// The first difference between two runs that matters, in words.
fn difference(known: &Header, now: &Header) -> Option<String> {
    let place = |environment: &Option<String>| match environment {
        Some(environment) => format!("the environment `{environment}`"),
        None => "the zone, and no environment".to_owned(),
    };
    let differs = |what: &str, known: &str, now: &str| {
        (known != now).then(|| format!("its {what} is `{known}`, and this one's is `{now}`"))
    };
    differs("operation", &known.operation, &now.operation)
        .or_else(|| differs("kind", &known.kind, &now.kind))
        .or_else(|| differs("API", &known.api, &now.api))
        .or_else(|| differs("zone", &known.zone, &now.zone))
        .or_else(|| {
            (known.environment != now.environment).then(|| {
                format!("it is of {}, and this one of {}", place(&known.environment), place(&now.environment))
            })
        })
        .or_else(|| {
            let list = |headers: &[String]| match headers {
                [] => "none".to_owned(),
                some => format!("`{}`", some.join("`, `")),
            };
            (known.headers != now.headers).then(|| {
                format!("its headers are {}, and this one's are {}", list(&known.headers), list(&now.headers))
            })
        })
        .or_else(|| match (known.input, now.input) {
            (Some(known), Some(now)) if known.read != now.read => {
                Some(format!("its input had {} entries, and this one has {}", known.read, now.read))
            }
            (Some(known), Some(now)) if known != now => {
                Some(format!("its input had {} entries too, but not the same ones", known.read))
            }
            _ => None,
        })
}
