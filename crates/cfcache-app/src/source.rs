//! Reads entries from arguments, files and standard input.
//!
//! Arguments and regular files are checked completely before the first request. While a file is read again, it is
//! compared with what was checked. Inputs that can be read only once (a pipe, a terminal) are checked while they are
//! read. Only one chunk is kept in memory.

pub mod array;
mod head;
mod like;
pub mod lines;
mod path;
mod seal;
pub mod sitemap;

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufReader, Error, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_model::SharedText;
use cfcache_model::plan::Entry;
use cfcache_model::target::{CacheKeyHeader, Kind, Target};

use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::Targets;
use crate::journal::{Point, Rolling};
use crate::same_file::FileId;
use crate::secret::path_name;
use crate::source::array::Array;
use crate::source::head::Format;
use crate::source::like::LooksLike;
pub use crate::source::like::{is_host, is_prefix};
use crate::source::lines::{Delimiter, Line, Lines};
pub use crate::source::path::Base;
use crate::source::seal::Seal;
use crate::source::sitemap::Sitemap;
use crate::wording;

/// The number of entries that are passed on together, and their maximum size: enough that the threads on both sides
/// rarely wait for each other.
const CHUNK: usize = 500;
const CHUNK_BYTES: usize = 1 << 16;

/// The maximum number of complaints that are shown, and of those with the same reason.
const SHOWN: usize = 100;
const SHOWN_ALIKE: usize = 10;

/// All opened inputs.
pub struct Sources {
    /// What is read, and how; the arguments are read first.
    targets: Targets,
    inputs: Vec<Input>,
    /// The number of entries, if all of them were read, with their digest if requested.
    total: Option<Point>,
}

/// The number of files that stay open between the two readings; others are opened again.
const KEPT_OPEN: usize = 16;

/// A list or a sitemap.
struct Input {
    name: String,
    is_sitemap: bool,
    /// `None` for standard input.
    path: Option<PathBuf>,
    /// Whether it is a regular file, which is read twice: to check it, and to send its entries.
    is_regular: bool,
    /// A regular file that stays open; any other input is opened when it is read.
    file: Option<File>,
    /// The first reading of a regular file.
    seal: Option<Seal>,
}

/// Some entries, and the findings of reading them.
#[derive(Default)]
pub struct Chunk {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Invalid entries.
    pub invalid: Vec<Invalid>,
    bytes: usize,
    /// Warnings: the origin of each entry, and what is suspicious about it.
    pub warnings: Vec<(String, String)>,
    /// Why reading stopped early, if it did.
    pub broken: Option<Failure>,
    /// The position in the input after this chunk, for the journal.
    pub point: Point,
    /// Entries that belong to no zone, with the reason. They are found after reading.
    pub(crate) unrouted: Vec<(Entry, String)>,
}

/// An invalid entry.
pub struct Invalid {
    /// `argument 3`, `urls.txt:17`.
    pub origin: String,
    /// The entry as given.
    pub given: String,
    /// Whether `given` is the whole entry, byte for byte.
    pub is_whole: bool,
    /// The reason.
    pub reason: String,
    /// A suggestion.
    pub cure: Option<String>,
    /// What it looks like, if it is a URL without a scheme.
    like: Option<LooksLike>,
}

impl Chunk {
    /// Shows all findings, and returns their exit code.
    pub fn tell(&self, console: &dyn Console) -> Exit {
        let mut exit = Exit::Accepted;
        for (origin, warning) in &self.warnings {
            console.say(&format!("warning: {origin}: {warning}"));
        }
        for invalid in &self.invalid {
            exit = exit.or(Exit::Usage);
            console.say(&format!("invalid: {}", invalid.describe()));
        }
        match &self.broken {
            Some(broken) => exit.or(console.failure(broken)),
            None => exit,
        }
    }

    /// A chunk that only contains an error.
    pub fn broken(failure: Failure) -> Self {
        Self { broken: Some(failure), ..Self::default() }
    }

    /// Adds the findings of the next chunk, and returns its entries.
    pub(crate) fn keep(&mut self, next: Self) -> Vec<Entry> {
        self.invalid.extend(next.invalid);
        self.warnings.extend(next.warnings);
        self.broken = next.broken.or(self.broken.take());
        // A chunk that only contains an error has no position.
        if next.point.read > self.point.read {
            self.point = next.point;
        }
        next.entries
    }

    /// Makes room for a whole chunk, before the first of its entries.
    #[inline]
    fn reserve(&mut self) {
        if self.entries.is_empty() {
            self.entries.reserve_exact(CHUNK);
        }
    }

    #[inline]
    fn push(&mut self, entry: Entry, bytes: usize) {
        self.bytes += bytes;
        self.entries.push(entry);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= CHUNK || self.invalid.len() >= CHUNK || self.bytes >= CHUNK_BYTES
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.invalid.is_empty()
    }
}

impl Invalid {
    fn new(origin: &EntryOrigin<'_>, given: &str, reason: String) -> Self {
        let (origin, given) = (origin.to_string(), given.to_owned());
        Self { origin, given, is_whole: true, reason, cure: None, like: None }
    }

    /// Formats it in one line.
    pub fn describe(&self) -> String {
        match &self.cure {
            Some(cure) => format!("{}: {} ({cure})", self.origin, self.reason),
            None => format!("{}: {}", self.origin, self.reason),
        }
    }
}

impl Sources {
    /// Opens all inputs, and checks those that can be read twice completely; computes a digest if requested.
    ///
    /// # Errors
    ///
    /// [`Failure`] if an input cannot be opened, if an entry of an argument or a regular file is invalid (all are
    /// listed), or if there are no entries at all.
    pub fn open(targets: Targets, digest: bool, console: &dyn Console) -> Result<Self, Failure> {
        Self::open_and_see(targets, digest, None, console)
    }

    /// Like [`Sources::open`], and calls `see` with each entry of inputs that can be read twice.
    ///
    /// # Errors
    ///
    /// The same as [`Sources::open`].
    pub fn open_and_see(
        targets: Targets,
        digest: bool,
        see: Option<&mut dyn FnMut(Target)>,
        console: &dyn Console,
    ) -> Result<Self, Failure> {
        let mut inputs = Vec::new();
        for (paths, is_sitemap) in [(&targets.files, false), (&targets.sitemaps, true)] {
            for path in paths {
                inputs.push(Input::find(path, is_sitemap, console)?);
            }
        }
        let mut sources = Self { targets, inputs, total: None };
        sources.check(digest, see)?;
        Ok(sources)
    }

    fn check<'s>(
        &mut self,
        digest: bool,
        see: Option<&'s mut (dyn FnMut(Target) + 's)>,
    ) -> Result<(), Failure> {
        let rolling = digest.then(Rolling::default);
        let mut check = Check::new(&self.targets, rolling, see);
        let mut can_hold_more = false;
        let mut open = 0;
        read_arguments(&self.targets.arguments, &mut check)?;
        for Input { name, is_sitemap, path, is_regular, file, seal } in &mut self.inputs {
            if !*is_regular {
                can_hold_more = true;
                continue;
            }
            let opened = match file.take() {
                Some(opened) => opened,
                None => open_again(path.as_deref(), name)?,
            };
            check.seal = Some(Seal::new(name, self.targets.kind, &opened));
            read(&self.targets, *is_sitemap, name, path.as_deref(), &opened, &mut check)?;
            *seal = check.seal.take().map(Seal::finish);
            if path.is_none() || open < KEPT_OPEN {
                open += 1;
                *file = Some(opened);
            }
        }
        let Check { entries, invalid, complaints, like, rolling, .. } = check;
        let kind = self.targets.kind;
        if invalid > 0 && !self.targets.skips_invalid {
            let mut failure = Failure::usage(match invalid {
                1 => "an entry is invalid; nothing was sent".to_owned(),
                _ => format!("{invalid} entries are invalid; nothing was sent"),
            });
            let hidden = invalid - complaints.len() as u64;
            failure.causes = complaints;
            if hidden > 0 {
                failure.causes.push(format!("… and {hidden} more"));
            }
            return Err(match like.filter(|_| entries == 0) {
                Some(like) => failure.with_hint(like.hint(self.targets.action, invalid)),
                None => failure.with_hint("correct them, or skip them with `--on-invalid skip`"),
            });
        }
        if entries == 0 && invalid == 0 && !can_hold_more {
            return Err(empty(kind));
        }
        let whole = Point { read: entries, digest: rolling.map_or(0, |rolling| rolling.point().digest) };
        self.total = (!can_hold_more).then_some(whole);
        Ok(())
    }

    /// The kind of the entries.
    pub const fn kind(&self) -> Kind {
        self.targets.kind
    }

    /// The number of entries, if it is already known.
    pub fn total(&self) -> Option<u64> {
        self.total.map(|point| point.read)
    }

    /// The position and digest of the whole input, if they are known and were requested.
    pub const fn identity(&self) -> Option<Point> {
        self.total
    }

    /// Whether all entries are in memory, so that reading never blocks.
    pub const fn is_at_hand(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Headers for all entries that have no header of the same name.
    pub fn headers(&self) -> &[CacheKeyHeader] {
        &self.targets.headers
    }

    /// Returns whether an invalid entry ends the input.
    pub fn stops_at_invalid(&self) -> bool {
        !self.targets.skips_invalid
    }

    /// Reads everything in chunks, until `take` returns `false`.
    pub fn read(mut self, take: &mut dyn FnMut(Chunk) -> bool) {
        let targets = &self.targets;
        let mut chunks = Chunks { targets, chunk: Chunk::default(), seal: None, take };
        if !targets.arguments.is_empty()
            && read_arguments(&targets.arguments, &mut chunks).and_then(|()| chunks.give()).is_err()
        {
            return;
        }
        for input in &mut self.inputs {
            if input.read_on(targets, &mut chunks).and_then(|()| chunks.give()).is_err() {
                return;
            }
        }
    }
}

/// The failure for an input without entries.
pub fn empty(kind: Kind) -> Failure {
    let nouns = wording::plural(kind);
    Failure::usage(format!(
        "the input contains no {nouns}; an empty list does not mean everything, so nothing was sent"
    ))
}

impl Input {
    /// Opens an input, and refuses unsuitable files.
    fn find(path: &Path, is_sitemap: bool, console: &dyn Console) -> Result<Self, Failure> {
        if path == Path::new("-") {
            console.reads_standard_input();
            let file = crate::same_file::standard_input().filter(|file| {
                // A file can only be read again from its beginning if it is read from its beginning now.
                let mut file = file;
                file.stream_position().is_ok_and(|position| position == 0)
            });
            let (name, is_regular) = ("standard input".to_owned(), file.is_some());
            return Ok(Self { name, is_sitemap, path: None, is_regular, file, seal: None });
        }
        let name = path_name(path);
        let metadata = std::fs::metadata(path).map_err(|error| cannot_read(&name, &error))?;
        if metadata.is_dir() {
            return Err(Failure::usage(format!("cannot read `{name}`: it is a directory")));
        }
        let (path, is_regular) = (Some(path.to_owned()), metadata.is_file());
        Ok(Self { name, is_sitemap, path, is_regular, file: None, seal: None })
    }

    /// Reads it to send its entries.
    fn read_on<'c>(&'c mut self, targets: &Targets, chunks: &mut Chunks<'c>) -> Result<(), ()> {
        let Self { name, is_sitemap, path, is_regular, file, seal } = self;
        if !*is_regular {
            let Some(path) = path else {
                return read(targets, *is_sitemap, name, None, std::io::stdin(), chunks);
            };
            return match File::open(&*path) {
                Ok(file) => read(targets, *is_sitemap, name, Some(path), file, chunks),
                Err(error) => chunks.fail(cannot_read(name, &error)),
            };
        }
        let opened = match file.take() {
            Some(mut opened) => opened
                .rewind()
                .map(|()| opened)
                .map_err(|error| Failure::usage(format!("cannot read `{name}` a second time: {error}"))),
            None => open_again(path.as_deref(), name),
        };
        let opened = match opened {
            Ok(opened) => Rc::new(opened),
            Err(failure) => return chunks.fail(failure),
        };
        chunks.seal = seal.as_mut().map(|seal| (seal, Rc::clone(&opened)));
        read(targets, *is_sitemap, name, path.as_deref(), &*opened, chunks)?;
        chunks.end_of_file()
    }
}

fn cannot_read(name: &str, error: &Error) -> Failure {
    Failure::usage(format!("cannot read `{name}`: {error}"))
}

fn open_again(path: Option<&Path>, name: &str) -> Result<File, Failure> {
    File::open(path.unwrap_or(Path::new(name))).map_err(|error| cannot_read(name, &error))
}

fn read_arguments<T: LineSink>(arguments: &[String], sink: &mut T) -> Result<(), T::Enough> {
    let mut numbered = (1..).zip(arguments);
    numbered.try_for_each(|(number, argument)| {
        sink.line(&EntryOrigin::Argument(number), Line::Entry(argument.as_str().into()))
    })
}

/// Reads an input completely.
fn read<T: LineSink>(
    targets: &Targets,
    is_sitemap: bool,
    name: &str,
    path: Option<&Path>,
    reader: impl Read,
    sink: &mut T,
) -> Result<(), T::Enough> {
    if is_sitemap {
        return match Sitemap::new(name, path, reader) {
            Ok(sitemap) => read_sitemap(sitemap, sink),
            Err(error) => sink.fail(cannot_read(name, &error)),
        };
    }
    if targets.null {
        return read_lines(
            Lines::new(BufReader::with_capacity(1 << 16, reader), Delimiter::Null),
            name,
            sink,
        );
    }
    let (format, reader) = match head::look(reader) {
        Ok(looked) => looked,
        Err(error) => return sink.fail(cannot_read(name, &error)),
    };
    let reader = BufReader::with_capacity(1 << 16, reader);
    match format {
        Format::Text => read_lines(Lines::new(reader, Delimiter::LineBreak), name, sink),
        Format::Array => read_array(Array::new(reader, targets.kind == Kind::Files), name, sink),
        Format::Utf16 => sink.fail(
            Failure::usage(format!("cannot read `{name}`: it is UTF-16"))
                .with_hint("save it as UTF-8; `iconv -f UTF-16 -t UTF-8` converts it"),
        ),
        Format::Gzip => sink.fail(
            Failure::usage(format!("cannot read `{name}`: it is compressed with gzip"))
                .with_hint("unpack it first, for example with `zcat FILE | cfcache … --from -`"),
        ),
    }
}

fn read_lines<T: LineSink, R: Read>(mut lines: Lines<R>, name: &str, sink: &mut T) -> Result<(), T::Enough> {
    let mut number = 0;
    loop {
        number += sink.plain_lines(lines.plain())?;
        if !lines.has_more_at_hand() {
            sink.pause()?;
        }
        let line = lines.next_line();
        let is_end = matches!(line, Line::End | Line::Failed(_));
        number += 1;
        sink.line(&EntryOrigin::Line(name, number), line)?;
        if is_end {
            return Ok(());
        }
    }
}

fn read_array<T: LineSink, R: Read>(mut array: Array<R>, name: &str, sink: &mut T) -> Result<(), T::Enough> {
    for number in 1.. {
        let line = array.next_line();
        let is_end = matches!(line, Line::End | Line::Failed(_));
        sink.line(&EntryOrigin::Part(name, "element", number), line)?;
        if is_end {
            break;
        }
        if !array.has_more_at_hand() {
            sink.pause()?;
        }
    }
    Ok(())
}

fn read_sitemap<T: LineSink>(mut sitemap: Sitemap<'_>, sink: &mut T) -> Result<(), T::Enough> {
    loop {
        let line = sitemap.next_line();
        let is_end = matches!(line, Line::End | Line::Failed(_));
        sink.line(&EntryOrigin::Part(sitemap.name(), "<url>", sitemap.number()), line)?;
        if is_end {
            return Ok(());
        }
        if !sitemap.has_more_at_hand() {
            sink.pause()?;
        }
    }
}

/// The origin of an entry.
enum EntryOrigin<'a> {
    Argument(u64),
    Line(&'a str, u64),
    /// A part of an input other than a list, such as an element of an array.
    Part(&'a str, &'static str, u64),
}

impl fmt::Display for EntryOrigin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(number) => write!(f, "argument {number}"),
            Self::Line(name, number) => write!(f, "{name}:{number}"),
            Self::Part(name, _, 0) => f.write_str(name),
            Self::Part(name, noun, number) => write!(f, "{name}: {noun} {number}"),
        }
    }
}

/// Receives the lines of an input, and what [`Targets::line`] parses them to.
trait LineSink {
    /// Why no more lines are wanted.
    type Enough;

    /// Takes lines from the front as long as they need no further look, and returns how many. [`line`](Self::line) takes
    /// any of them.
    fn plain_lines(&mut self, _lines: &mut VecDeque<SharedText>) -> Result<u64, Self::Enough> {
        Ok(0)
    }

    fn line(&mut self, origin: &EntryOrigin<'_>, line: Line) -> Result<(), Self::Enough>;

    /// A valid entry. `given` is its text; for a path, the URL that was made from it. `oddity` is what is suspicious about
    /// the path.
    fn entry(
        &mut self,
        origin: &EntryOrigin<'_>,
        target: Target,
        given: &SharedText,
        oddity: Option<String>,
    ) -> Result<(), Self::Enough>;

    fn invalid(&mut self, invalid: Invalid) -> Result<(), Self::Enough>;

    /// The next line is not available yet.
    fn pause(&mut self) -> Result<(), Self::Enough> {
        Ok(())
    }

    /// The input cannot be read.
    fn fail(&mut self, failure: Failure) -> Result<(), Self::Enough>;
}

/// Checks all lines, and keeps only complaints.
struct Check<'a, 's> {
    targets: &'a Targets,
    entries: u64,
    invalid: u64,
    complaints: Vec<String>,
    /// The number of complaints for each reason.
    alike: BTreeMap<String, usize>,
    /// What all invalid entries look like, as long as they look alike.
    like: Option<LooksLike>,
    rolling: Option<Rolling>,
    /// The digests with which the second reading of this file is compared.
    seal: Option<Seal>,
    see: Option<&'s mut (dyn FnMut(Target) + 's)>,
}

impl<'a, 's> Check<'a, 's> {
    fn new(
        targets: &'a Targets,
        rolling: Option<Rolling>,
        see: Option<&'s mut (dyn FnMut(Target) + 's)>,
    ) -> Self {
        let (complaints, alike) = (Vec::new(), BTreeMap::new());
        Self { targets, entries: 0, invalid: 0, complaints, alike, like: None, rolling, seal: None, see }
    }

    fn complain(&mut self, invalid: &Invalid) {
        self.like = match self.invalid {
            0 => invalid.like,
            _ => self.like.zip(invalid.like).and_then(|(one, other)| one.and(other)),
        };
        self.invalid += 1;
        if self.complaints.len() == SHOWN {
            return;
        }
        // The reason without quoted text, which differs from entry to entry.
        let reason = invalid.reason.split('`').step_by(2).collect();
        let alike = self.alike.entry(reason).or_default();
        *alike += 1;
        if *alike <= SHOWN_ALIKE {
            self.complaints.push(invalid.describe());
        }
    }
}

impl LineSink for Check<'_, '_> {
    type Enough = Failure;

    fn line(&mut self, origin: &EntryOrigin<'_>, line: Line) -> Result<(), Failure> {
        self.targets.line(origin, line, self)
    }

    fn entry(
        &mut self,
        _origin: &EntryOrigin<'_>,
        target: Target,
        given: &SharedText,
        _oddity: Option<String>,
    ) -> Result<(), Failure> {
        self.entries += 1;
        if let Some(see) = &mut self.see {
            see(target);
        }
        if let Some(rolling) = &mut self.rolling {
            rolling.push(given);
        }
        if let Some(seal) = &mut self.seal {
            seal.push(given);
        }
        Ok(())
    }

    fn invalid(&mut self, invalid: Invalid) -> Result<(), Failure> {
        if let Some(seal) = &mut self.seal {
            seal.push(&invalid.given);
        }
        self.complain(&invalid);
        Ok(())
    }

    fn fail(&mut self, failure: Failure) -> Result<(), Failure> {
        Err(failure)
    }
}

/// Collects entries, and passes them on in chunks.
struct Chunks<'a> {
    targets: &'a Targets,
    chunk: Chunk,
    /// A checked file and its first reading, so that only checked entries are passed on.
    seal: Option<(&'a mut Seal, Rc<File>)>,
    take: &'a mut dyn FnMut(Chunk) -> bool,
}

impl Chunks<'_> {
    /// Compares an entry of a checked file with its first reading.
    fn verify(&mut self, given: &str) -> Option<Result<bool, Failure>> {
        self.seal.as_mut().map(|(seal, file)| seal.verify(given, file))
    }

    /// Passes on the collected entries if there are enough; those of a checked file at the end of each block that equals
    /// the checked content.
    fn added(&mut self, verified: Option<Result<bool, Failure>>) -> Result<(), ()> {
        let is_enough = match verified {
            Some(Ok(is_verified)) => is_verified,
            Some(Err(failure)) => return self.fail(failure),
            None => self.chunk.is_full() || self.targets.stops_at(&self.chunk),
        };
        if is_enough { self.give() } else { Ok(()) }
    }

    /// Passes on the collected entries.
    fn give(&mut self) -> Result<(), ()> {
        let chunk = core::mem::take(&mut self.chunk);
        let is_end = chunk.broken.is_some() || self.targets.stops_at(&chunk);
        if (self.take)(chunk) && !is_end { Ok(()) } else { Err(()) }
    }

    /// Handles the end of a file.
    fn end_of_file(&mut self) -> Result<(), ()> {
        let verified = self.seal.as_ref().map(|(seal, file)| seal.verify_end(file));
        let ended = self.added(verified);
        self.seal = None;
        ended
    }
}

impl LineSink for Chunks<'_> {
    type Enough = ();

    /// Nearly every line of a pipe is a URL that is no path, and about which there are no warnings.
    fn plain_lines(&mut self, lines: &mut VecDeque<SharedText>) -> Result<u64, ()> {
        let mut taken = 0;
        if self.seal.is_some() || !self.targets.headers.is_empty() {
            return Ok(taken);
        }
        while let Some(line) = lines.pop_front() {
            let bytes = line.len();
            match Target::from_plain_line(self.targets.kind, line) {
                Ok(target) => {
                    taken += 1;
                    self.chunk.reserve();
                    self.chunk.push(Entry::from(target), bytes);
                    if self.chunk.is_full() {
                        self.give()?;
                    }
                }
                Err(line) => {
                    lines.push_front(line);
                    break;
                }
            }
        }
        Ok(taken)
    }

    fn line(&mut self, origin: &EntryOrigin<'_>, line: Line) -> Result<(), ()> {
        self.targets.line(origin, line, self)
    }

    fn entry(
        &mut self,
        origin: &EntryOrigin<'_>,
        target: Target,
        given: &SharedText,
        oddity: Option<String>,
    ) -> Result<(), ()> {
        let verified = self.verify(given);
        let is_argument = matches!(origin, EntryOrigin::Argument(_));
        if !is_argument {
            self.chunk.reserve();
        }
        if target.is_plain() && oddity.is_none() && !is_argument {
            self.chunk.push(Entry::from(target), given.len());
        } else {
            let warnings = &mut self.chunk.warnings;
            self.targets.warn(origin, &target, given, oddity, &mut |warning| {
                warnings.push((origin.to_string(), warning));
            });
            self.chunk.push(Entry::new(target, given), given.len());
        }
        self.added(verified)
    }

    fn invalid(&mut self, invalid: Invalid) -> Result<(), ()> {
        let verified = self.verify(&invalid.given);
        self.chunk.invalid.push(invalid);
        self.added(verified)
    }

    /// For a slow pipe: entries are passed on without waiting for more.
    fn pause(&mut self) -> Result<(), ()> {
        if self.seal.is_some() || self.chunk.is_empty() { Ok(()) } else { self.give() }
    }

    fn fail(&mut self, failure: Failure) -> Result<(), ()> {
        if self.seal.is_some() {
            // Entries that may differ from the checked content are not passed on.
            self.chunk = Chunk::default();
        }
        self.chunk.broken = Some(failure);
        self.give().and(Err(()))
    }
}

impl Targets {
    /// Parses a line, and passes on what it is.
    fn line<T: LineSink>(&self, origin: &EntryOrigin<'_>, line: Line, sink: &mut T) -> Result<(), T::Enough> {
        match line {
            Line::Entry(given) => match &self.base {
                Some(base) if !path::is_url(&given) && !given.is_empty() => match base.url(&given) {
                    Ok(url) => self.entry(origin, &url.into(), Some(&given), sink),
                    Err(reason) => sink.invalid(Invalid::new(origin, &given, reason)),
                },
                _ => self.entry(origin, &given, None, sink),
            },
            Line::Invalid { given, reason } => {
                sink.invalid(Invalid { is_whole: false, ..Invalid::new(origin, &given, reason) })
            }
            Line::Failed(error) => sink.fail(Failure::usage(match origin {
                EntryOrigin::Part(name, _, 0) => format!("cannot read `{name}`: {error}"),
                _ => format!("cannot read beyond `{origin}`: {error}"),
            })),
            Line::Nothing | Line::End => Ok(()),
        }
    }

    /// Parses an entry, or the URL that was made from a path.
    fn entry<T: LineSink>(
        &self,
        origin: &EntryOrigin<'_>,
        entry: &SharedText,
        path: Option<&str>,
        sink: &mut T,
    ) -> Result<(), T::Enough> {
        let target = match Target::parse_shared(self.kind, entry) {
            Ok(Target::Files(file)) if !self.headers.is_empty() => {
                Target::Files(file.with_default_headers(&self.headers))
            }
            Ok(target) => target,
            Err(error) => {
                let given = path.unwrap_or(entry);
                // Nothing that begins with a scheme looks like something else.
                let like = if self.kind == Kind::Files { LooksLike::new(given) } else { None };
                let cure = misplaced(origin, given).or_else(|| error.cure().map(str::to_owned));
                let invalid = Invalid::new(origin, given, error.to_string());
                return sink.invalid(Invalid { cure, like, ..invalid });
            }
        };
        let oddity = path.and_then(path::oddity);
        if self.strict {
            let mut warnings = Vec::new();
            self.warn(origin, &target, entry, oddity.clone(), &mut |warning| warnings.push(warning));
            if !warnings.is_empty() {
                let reason = format!("{} (`--strict`)", warnings.join("; "));
                return sink.invalid(Invalid::new(origin, path.unwrap_or(entry), reason));
            }
        }
        sink.entry(origin, target, entry, oddity)
    }

    /// Reports what is suspicious about an entry.
    fn warn(
        &self,
        origin: &EntryOrigin<'_>,
        target: &Target,
        given: &str,
        oddity: Option<String>,
        warn: &mut dyn FnMut(String),
    ) {
        if let Some(oddity) = oddity {
            warn(oddity);
        }
        if self.kind == Kind::Files && holds_another(given) {
            warn(
                "there is a second URL after a comma: commas do not separate entries, give each URL as a separate entry"
                    .to_owned(),
            );
        }
        target.warnings(&mut |warning| warn(warning.to_string()));
        if let Some(meant) = misplaced(origin, given) {
            warn(meant);
        }
    }

    /// Returns whether an invalid entry in a chunk ends the input.
    fn stops_at(&self, chunk: &Chunk) -> bool {
        !chunk.invalid.is_empty() && !self.skips_invalid
    }
}

/// Returns whether there is a second URL after a comma.
fn holds_another(url: &str) -> bool {
    [",https://", ",http://"].iter().any(|joint| url.contains(joint))
}

/// A suggestion for an argument that is not an entry but the name of a list.
fn misplaced(origin: &EntryOrigin<'_>, argument: &str) -> Option<String> {
    if !matches!(origin, EntryOrigin::Argument(_)) {
        return None;
    }
    if argument.contains(['\n', '\r']) {
        return Some("each argument is one entry; `--from -` reads a list from standard input".to_owned());
    }
    match list_named(argument)? {
        "-" => Some("`--from -` reads standard input".to_owned()),
        name => Some(format!(
            "{} is also the name of a file; use `--from` to read it",
            cfcache_model::text::quote(name)
        )),
    }
}

/// The name of a list if an argument looks like one: `urls.txt`, `@urls.txt`, `-`.
pub fn list_named(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('@').unwrap_or(argument);
    let is_list = |metadata: std::fs::Metadata| !metadata.is_dir();
    (name == "-" || std::fs::metadata(name).is_ok_and(is_list)).then_some(name)
}

/// Returns whether a file to be written is also read.
pub fn reads(files: &[PathBuf], written: &Path) -> bool {
    let Some(written) = FileId::from_path(written) else { return false };
    files.iter().any(|file| {
        if file == Path::new("-") {
            FileId::of_standard_input().as_ref() == Some(&written)
        } else {
            FileId::from_path(file).as_ref() == Some(&written)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use cfcache_model::endpoint::Action;

    use super::*;

    /// A list in a temporary file.
    struct List(PathBuf);

    impl List {
        fn new(name: &str, content: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cfcache-source-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            Self(path)
        }

        fn write(&self, content: &str) {
            let mut file = File::options().write(true).open(&self.0).unwrap();
            file.write_all(content.as_bytes()).unwrap();
        }

        fn truncate(&self, bytes: u64) {
            File::options().write(true).open(&self.0).unwrap().set_len(bytes).unwrap();
        }

        fn append(&self, content: &str) {
            File::options().append(true).open(&self.0).unwrap().write_all(content.as_bytes()).unwrap();
        }
    }

    impl Drop for List {
        fn drop(&mut self) {
            let _gone = std::fs::remove_file(&self.0);
        }
    }

    fn urls(count: usize) -> String {
        (0..count).map(|number| format!("https://www.example.com/{number}\n")).collect()
    }

    /// Checks a list and reads it again. `change` is called before that with 0, and then with the number of each chunk.
    fn read_while(list: &List, change: impl Fn(&List, u32)) -> (Vec<String>, Option<String>) {
        let targets = Targets {
            action: Some(Action::Purge),
            kind: Kind::Files,
            arguments: Vec::new(),
            files: Vec::new(),
            headers: Vec::new(),
            skips_invalid: false,
            sitemaps: Vec::new(),
            base: None,
            null: false,
            strict: false,
        };
        let name = list.0.display().to_string();
        let path = Some(list.0.clone());
        let input = Input { name, is_sitemap: false, path, is_regular: true, file: None, seal: None };
        let inputs = vec![input];
        let mut sources = Sources { targets, inputs, total: None };
        sources.check(false, None).unwrap();
        change(list, 0);
        let (mut sent, mut broken, mut number) = (Vec::new(), None, 0);
        sources.read(&mut |chunk| {
            sent.extend(chunk.entries.iter().map(|entry| entry.given().into_owned()));
            broken = chunk.broken.map(|failure| failure.message);
            number += 1;
            change(list, number);
            true
        });
        (sent, broken)
    }

    #[test]
    fn only_checked_entries_are_sent_while_a_list_changes() {
        type Change<'a> = (&'a str, &'a dyn Fn(&List));
        let content = urls(20_000);
        let checked: Vec<&str> = content.lines().collect();
        let changes: [Change<'_>; 5] = [
            ("truncated", &|list| list.truncate(300_007)),
            ("emptied", &|list| list.truncate(0)),
            ("appended to", &|list| list.append("https://www.example.com/new\n")),
            ("overwritten", &|list| list.write(&content.replace("www.example.com", "new.example.com"))),
            ("appended to after it was read", &|list| {
                list.write(&content.replace("/19999\n", "/29999\n"));
            }),
        ];
        for (name, change) in changes {
            for when in [0, 1, 5] {
                let list = List::new("changes", &content);
                let (sent, broken) = read_while(&list, |list, number| {
                    if number == when {
                        change(list);
                    }
                });
                assert_eq!(sent, checked[..sent.len()], "{name} at {when}");
                assert!(sent.len() < checked.len(), "{name} at {when}: {} sent", sent.len());
                let broken = broken.unwrap_or_else(|| panic!("{name} at {when}: it was not noticed"));
                assert!(broken.contains("changed after it was checked"), "{name} at {when}: {broken}");
            }
        }
    }

    #[test]
    fn an_unchanged_list_is_read_completely() {
        for count in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            for content in [urls(count), urls(count).trim_end().to_owned()] {
                let list = List::new("same", &content);
                let (sent, broken) = read_while(&list, |_, _| ());
                assert_eq!((sent.len(), broken), (count, None));
            }
        }
    }

    #[test]
    fn an_incomplete_last_line_is_not_sent() {
        for content in ["https://www.example.com/10", "https://www.example.com/10\n"] {
            let list = List::new("torn", content);
            let (sent, broken) = read_while(&list, |list, number| {
                if number == 0 {
                    list.truncate(25);
                }
            });
            assert!(broken.is_some_and(|broken| broken.contains("none of it is sent")));
            assert_eq!(sent, [""; 0]);
        }
    }
}
