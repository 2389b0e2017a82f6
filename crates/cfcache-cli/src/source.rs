//! Where targets come from: arguments, files, standard input.
//!
//! Arguments and regular files are checked whole before the first request. What can be read only once (a pipe, a
//! terminal) is checked as it is read. Either way nothing is held but a chunk.

mod lines;

use core::fmt;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};

use cfcache_model::endpoint::Action;
use cfcache_model::plan::Entry;
use cfcache_model::target::{CacheKeyHeader, InvalidFile, InvalidTarget, InvalidUrl, Kind, Target};
use memchr::memchr;

use crate::args::OnInvalid;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::journal::{Point, Rolling};
use crate::render::{Talk, human};
use crate::resolve::Targets;
use crate::source::lines::{Line, Lines};

/// How many entries go on together, and how many bytes of them: enough that the threads on both sides seldom wait for
/// each other.
const CHUNK: usize = 500;
const CHUNK_BYTES: usize = 1 << 16;

/// How many complaints are shown at the most, and how many with the same reason.
const SHOWN: usize = 100;
const SHOWN_ALIKE: usize = 10;

/// Everything that targets come from, opened.
pub(crate) struct Sources {
    reading: Reading,
    parts: Vec<Part>,
    /// How many entries there are, where all of them were seen; their digest too, where one was asked for.
    total: Option<Point>,
}

/// How an entry is read.
#[derive(Clone)]
struct Reading {
    action: Action,
    kind: Kind,
    headers: Vec<CacheKeyHeader>,
    on_invalid: OnInvalid,
}

enum Part {
    Arguments(Vec<String>),
    /// A regular file, which can be read twice.
    File {
        name: String,
        file: File,
    },
    /// Anything that can be read once.
    Pipe {
        name: String,
        reader: Box<dyn Read + Send>,
    },
}

/// Some entries, and what was found on the way to them.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) entries: Vec<Entry>,
    pub(crate) invalid: Vec<Invalid>,
    bytes: usize,
    /// Where each stands, and what is odd about it.
    pub(crate) warnings: Vec<(String, String)>,
    /// Why reading ended before the end, where it did.
    pub(crate) broken: Option<Failure>,
    /// How far the input was read with this, where a journal wants to know.
    pub(crate) point: Point,
}

/// An entry that is refused.
pub(crate) struct Invalid {
    /// `argument 3`, `urls.txt:17`.
    pub(crate) origin: String,
    pub(crate) given: String,
    /// Is `given` all of it, byte for byte?
    pub(crate) is_whole: bool,
    pub(crate) reason: String,
    pub(crate) cure: Option<String>,
    /// As what it would be valid, where it is a URL without its scheme.
    like: Option<Like>,
}

/// What an entry looks like that is no URL, from the plainest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Like {
    Host,
    Prefix,
    Tag,
}

impl Like {
    /// `www.example.com`, `www.example.com/blog`, `release-42`.
    fn of(given: &str) -> Self {
        let (name, path) = given.split_once('/').unzip();
        let is_host = |name: &str| name.contains('.') && Target::parse(Kind::Hosts, name).is_ok();
        match is_host(name.unwrap_or(given)) {
            true if path.is_some() => Self::Prefix,
            true => Self::Host,
            false => Self::Tag,
        }
    }

    fn hint(self, action: Action, count: u64) -> String {
        let (one, many) = match self {
            Self::Host => ("a host", "hosts"),
            Self::Prefix => ("a prefix", "prefixes"),
            Self::Tag => ("a tag", "tags"),
        };
        let looks = match count {
            1 => format!("it looks like {one}"),
            _ => format!("these look like {many}"),
        };
        match self {
            Self::Prefix => format!(
                "{looks} (is `cfcache {action} prefixes` meant?), or like a URL without its `https://`"
            ),
            Self::Host | Self::Tag => format!("{looks}: is `cfcache {action} {many}` meant?"),
        }
    }
}

impl Chunk {
    /// Says all that was found beside the entries, and how the process ends for it.
    pub(crate) fn tell(&self, talk: &Talk) -> Exit {
        let mut exit = Exit::Accepted;
        for (origin, warning) in &self.warnings {
            talk.warn(&format!("{origin}: {warning}"));
        }
        for invalid in &self.invalid {
            exit = exit.or(Exit::Usage);
            talk.say(&format!("{} {}", talk.label("invalid"), invalid.describe()));
        }
        match &self.broken {
            Some(broken) => exit.or(talk.failure(broken)),
            None => exit,
        }
    }

    /// Nothing but the reason why nothing follows.
    pub(crate) fn broken(failure: Failure) -> Self {
        Self { broken: Some(failure), ..Self::default() }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= CHUNK || self.invalid.len() >= CHUNK || self.bytes >= CHUNK_BYTES
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.invalid.is_empty()
    }
}

impl Invalid {
    pub(crate) fn describe(&self) -> String {
        match &self.cure {
            Some(cure) => format!("{}: {} ({cure})", self.origin, self.reason),
            None => format!("{}: {}", self.origin, self.reason),
        }
    }
}

impl Sources {
    /// Opens everything, and checks whole what can be read twice; makes a digest of it on the way, if asked to.
    ///
    /// # Errors
    ///
    /// [`Failure`] where something cannot be opened, an entry of an argument or a regular file is invalid (all are
    /// named), or there is not one entry in all of it.
    pub(crate) fn open(targets: Targets, digest: bool, talk: &Talk) -> Result<Self, Failure> {
        let Targets { action, kind, headers, on_invalid, .. } = targets;
        let reading = Reading { action, kind, headers, on_invalid };
        let mut parts = Vec::new();
        if !targets.arguments.is_empty() {
            parts.push(Part::Arguments(targets.arguments));
        }
        for path in targets.files {
            parts.push(Part::open(&path, talk)?);
        }
        let mut sources = Self { reading, parts, total: None };
        sources.check(digest)?;
        Ok(sources)
    }

    fn check(&mut self, digest: bool) -> Result<(), Failure> {
        let rolling = digest.then(Rolling::default);
        let mut check = Check::new(&self.reading, rolling);
        let mut can_hold_more = false;
        for part in &mut self.parts {
            if matches!(part, Part::Pipe { .. }) {
                can_hold_more = true;
                continue;
            }
            part.read(&mut check)?;
            part.rewind()?;
        }
        let Check { entries, invalid, complaints, like, rolling, .. } = check;
        let kind = self.reading.kind;
        if invalid > 0 && self.reading.on_invalid == OnInvalid::Fail {
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
                Some(like) => failure.with_hint(like.hint(self.reading.action, invalid)),
                None => failure.with_hint("correct them, or leave them out with `--on-invalid skip`"),
            });
        }
        if entries == 0 && invalid == 0 && !can_hold_more {
            return Err(empty(kind));
        }
        let whole = Point { read: entries, digest: rolling.map_or(0, |rolling| rolling.point().digest) };
        self.total = (!can_hold_more).then_some(whole);
        Ok(())
    }

    /// What the entries are.
    pub(crate) const fn kind(&self) -> Kind {
        self.reading.kind
    }

    /// How many entries there are, where that is known already.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total.map(|point| point.read)
    }

    /// The whole input, where it is known already and its digest was asked for.
    pub(crate) const fn identity(&self) -> Option<Point> {
        self.total
    }

    /// The headers of all entries that have none of their own of these names.
    pub(crate) fn headers(&self) -> &[CacheKeyHeader] {
        &self.reading.headers
    }

    /// Does an invalid entry end the reading?
    pub(crate) fn stops_at_invalid(&self) -> bool {
        self.reading.on_invalid == OnInvalid::Fail
    }

    /// Reads everything, a chunk at a time, until `take` says that it has enough.
    pub(crate) fn read(mut self, take: &mut dyn FnMut(Chunk) -> bool) {
        let mut chunks = Chunks { reading: &self.reading, chunk: Chunk::default(), take };
        for part in &mut self.parts {
            if part.read(&mut chunks).and_then(|()| chunks.give()).is_err() {
                return;
            }
        }
    }
}

/// No entry in all of the input.
pub(crate) fn empty(kind: Kind) -> Failure {
    let nouns = human::plural(kind);
    Failure::usage(format!("the input holds no {nouns}, and nothing is not everything; nothing was sent"))
}

impl Part {
    fn open(path: &Path, talk: &Talk) -> Result<Self, Failure> {
        let cannot =
            |error: std::io::Error| Failure::usage(format!("cannot read `{}`: {error}", path.display()));
        if path == Path::new("-") {
            if std::io::stdin().is_terminal() {
                talk.note("reading entries from the terminal, one a line; Ctrl-D ends");
                talk.leave_alone();
            }
            return Ok(standard_input());
        }
        let file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        let name = path.display().to_string();
        if metadata.is_dir() {
            return Err(Failure::usage(format!("cannot read `{name}`: it is a directory")));
        }
        Ok(match metadata.is_file() {
            true => Self::File { name, file },
            false => Self::Pipe { name, reader: Box::new(file) },
        })
    }

    fn rewind(&mut self) -> Result<(), Failure> {
        match self {
            Self::File { name, file } => file
                .rewind()
                .map_err(|error| Failure::usage(format!("cannot read `{name}` a second time: {error}"))),
            Self::Arguments(_) | Self::Pipe { .. } => Ok(()),
        }
    }

    /// Reads all of it from where it stands.
    fn read<T: Take>(&mut self, take: &mut T) -> Result<(), T::Enough> {
        let (name, reader): (&str, &mut dyn Read) = match self {
            Self::Arguments(arguments) => {
                let mut numbered = (1..).zip(arguments);
                return numbered.try_for_each(|(number, argument)| {
                    take.line(&Origin::Argument(number), Line::Entry(argument))
                });
            }
            Self::File { name, file } => (name, file),
            Self::Pipe { name, reader } => (name, reader),
        };
        let mut lines = Lines::new(BufReader::with_capacity(1 << 16, reader));
        for number in 1.. {
            let line = lines.next();
            let is_end = matches!(line, Line::End | Line::Failed(_));
            take.line(&Origin::Line(name, number), line)?;
            if is_end {
                break;
            }
            if !lines.has_more_at_hand() {
                take.pause()?;
            }
        }
        Ok(())
    }
}

/// Where an entry stands.
enum Origin<'a> {
    Argument(u64),
    Line(&'a str, u64),
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(number) => write!(f, "argument {number}"),
            Self::Line(name, number) => write!(f, "{name}:{number}"),
        }
    }
}

/// What becomes of the lines of an input.
trait Take {
    /// Why no more is wanted.
    type Enough;

    fn line(&mut self, origin: &Origin<'_>, line: Line<'_>) -> Result<(), Self::Enough>;

    /// What comes next is not there yet.
    fn pause(&mut self) -> Result<(), Self::Enough> {
        Ok(())
    }
}

/// Looks at everything, and keeps nothing but complaints.
struct Check<'a> {
    reading: &'a Reading,
    entries: u64,
    invalid: u64,
    complaints: Vec<String>,
    /// How many were found of each reason that is shown.
    alike: BTreeMap<String, usize>,
    /// What all that is invalid looks like, as long as it is of one sort.
    like: Option<Like>,
    rolling: Option<Rolling>,
}

impl<'a> Check<'a> {
    fn new(reading: &'a Reading, rolling: Option<Rolling>) -> Self {
        let (complaints, alike) = (Vec::new(), BTreeMap::new());
        Self { reading, entries: 0, invalid: 0, complaints, alike, like: None, rolling }
    }

    fn complain(&mut self, invalid: &Invalid) {
        // Hosts may stand among prefixes, and words with dots among tags.
        self.like = match self.invalid {
            0 => invalid.like,
            _ => self.like.zip(invalid.like).map(|(one, other)| one.max(other)),
        };
        self.invalid += 1;
        if self.complaints.len() == SHOWN {
            return;
        }
        // What differs from entry to entry is the entry itself, which is quoted.
        let reason = invalid.reason.split('`').step_by(2).collect();
        let alike = self.alike.entry(reason).or_default();
        *alike += 1;
        if *alike <= SHOWN_ALIKE {
            self.complaints.push(invalid.describe());
        }
    }
}

impl Take for Check<'_> {
    type Enough = Failure;

    fn line(&mut self, origin: &Origin<'_>, line: Line<'_>) -> Result<(), Failure> {
        match self.reading.line(origin, line)? {
            Parsed::Target { given, .. } => {
                self.entries += 1;
                if let Some(rolling) = &mut self.rolling {
                    rolling.push(given);
                }
            }
            Parsed::Invalid(invalid) => self.complain(&invalid),
            Parsed::Nothing => {}
        }
        Ok(())
    }
}

/// Collects entries, and gives them on.
struct Chunks<'a> {
    reading: &'a Reading,
    chunk: Chunk,
    take: &'a mut dyn FnMut(Chunk) -> bool,
}

impl Chunks<'_> {
    /// Gives on what there is.
    fn give(&mut self) -> Result<(), ()> {
        let chunk = core::mem::take(&mut self.chunk);
        let is_end = chunk.broken.is_some() || self.reading.stops_at(&chunk);
        match (self.take)(chunk) && !is_end {
            true => Ok(()),
            false => Err(()),
        }
    }
}

impl Take for Chunks<'_> {
    type Enough = ();

    fn line(&mut self, origin: &Origin<'_>, line: Line<'_>) -> Result<(), ()> {
        match self.reading.line(origin, line) {
            Ok(Parsed::Target { target, given }) => {
                self.reading.warn(origin, &target, given, &mut self.chunk.warnings);
                self.chunk.bytes += given.len();
                self.chunk.entries.push(Entry::new(target, given));
            }
            Ok(Parsed::Invalid(invalid)) => self.chunk.invalid.push(invalid),
            Ok(Parsed::Nothing) => {}
            Err(broken) => self.chunk.broken = Some(broken),
        }
        match self.chunk.is_full() || self.reading.stops_at(&self.chunk) {
            true => self.give(),
            false => Ok(()),
        }
    }

    /// A slow pipe: what came is not kept waiting for what may come.
    fn pause(&mut self) -> Result<(), ()> {
        if self.chunk.is_empty() { Ok(()) } else { self.give() }
    }
}

/// What a line turned out to be.
enum Parsed<'l> {
    Target { target: Target, given: &'l str },
    Invalid(Invalid),
    Nothing,
}

impl Reading {
    fn line<'l>(&self, origin: &Origin<'_>, line: Line<'l>) -> Result<Parsed<'l>, Failure> {
        match line {
            Line::Entry(given) => Ok(match self.target(origin, given) {
                Ok(target) => Parsed::Target { target, given },
                Err(invalid) => Parsed::Invalid(invalid),
            }),
            Line::Invalid { given, reason } => {
                let origin = origin.to_string();
                Ok(Parsed::Invalid(Invalid {
                    origin,
                    given,
                    is_whole: false,
                    reason,
                    cure: None,
                    like: None,
                }))
            }
            Line::Failed(error) => Err(Failure::usage(format!("cannot read beyond `{origin}`: {error}"))),
            Line::Nothing | Line::End => Ok(Parsed::Nothing),
        }
    }

    fn target(&self, origin: &Origin<'_>, given: &str) -> Result<Target, Invalid> {
        match Target::parse(self.kind, given) {
            Ok(Target::Files(file)) => Ok(Target::Files(file.with_default_headers(&self.headers))),
            Ok(target) => Ok(target),
            Err(invalid) => Err(Invalid {
                origin: origin.to_string(),
                given: given.to_owned(),
                is_whole: true,
                reason: invalid.to_string(),
                cure: misplaced(origin, given).or_else(|| invalid.cure()),
                like: matches!(invalid, InvalidTarget::Files(InvalidFile::Url(InvalidUrl::NoScheme { .. })))
                    .then(|| Like::of(given)),
            }),
        }
    }

    /// Says what is odd about an entry.
    fn warn(&self, origin: &Origin<'_>, target: &Target, given: &str, warnings: &mut Vec<(String, String)>) {
        let mut warn = |warning| warnings.push((origin.to_string(), warning));
        if self.kind == Kind::Files && holds_another(given) {
            warn(
                "there is a second URL behind a comma: commas never separate, each URL is an entry of its own"
                    .to_owned(),
            );
        }
        target.warnings(&mut |warning| warn(warning.to_string()));
        if let Some(meant) = misplaced(origin, given) {
            warn(meant);
        }
    }

    /// Does an invalid entry in it end the reading?
    fn stops_at(&self, chunk: &Chunk) -> bool {
        !chunk.invalid.is_empty() && self.on_invalid == OnInvalid::Fail
    }
}

/// Is there a second URL behind a comma?
fn holds_another(url: &str) -> bool {
    // Most have no comma, and that is soon seen.
    memchr(b',', url.as_bytes()).is_some()
        && [",https://", ",http://"].iter().any(|joint| url.contains(joint))
}

/// What was probably meant by an argument that is no entry: the name of a list.
fn misplaced(origin: &Origin<'_>, argument: &str) -> Option<String> {
    if !matches!(origin, Origin::Argument(_)) {
        return None;
    }
    if argument.contains(['\n', '\r']) {
        return Some("each argument is one entry; `--from -` reads a list from standard input".to_owned());
    }
    match list_named(argument)? {
        "-" => Some("`--from -` reads standard input".to_owned()),
        name => Some(format!(
            "{} is also the name of a file: `--from` reads it",
            cfcache_model::text::quote(name)
        )),
    }
}

/// The name of a list, where an argument is one as well: `urls.txt`, `@urls.txt`, `-`.
pub(crate) fn list_named(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('@').unwrap_or(argument);
    let is_list = |metadata: std::fs::Metadata| !metadata.is_dir();
    (name == "-" || std::fs::metadata(name).is_ok_and(is_list)).then_some(name)
}

/// Standard input: a regular file where the shell made it one (`< urls.txt`), else a pipe.
fn standard_input() -> Part {
    let name = "standard input".to_owned();
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        if let Ok(fd) = std::io::stdin().as_fd().try_clone_to_owned() {
            let mut file = File::from(fd);
            let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
            // Only one that stands at its beginning can be read twice from there.
            if is_file && file.stream_position().is_ok_and(|position| position == 0) {
                return Part::File { name, file };
            }
        }
    }
    Part::Pipe { name, reader: Box::new(std::io::stdin()) }
}

/// Is a file that is to be written also one that is read?
pub(crate) fn reads(files: &[PathBuf], written: &Path) -> bool {
    let Ok(written) = written.canonicalize() else { return false };
    files.iter().any(|file| file.canonicalize().is_ok_and(|file| file == written))
}
