//! The state of a site between two runs, as lines of JSON.
//!
//! ```text
//! {"cfcache-state":1,"time":1764108455,"site":{"url":["https://www.example.com"]},"hash":"sha256","files":1,"pending":1}
//! ["index.html",512,"0a4d55a8d778e5022fab701977c5d840bbc486d0b4f5d4a6b5a5e9a6c7f0d1e2"]
//! {"pending":"https://www.example.com/"}
//! {"end":4}
//! ```
//!
//! - The first line identifies the format. A file that begins differently is never treated as a state.
//! - The files are ordered by path.
//! - Pending entries have to be purged, and are not known to be accepted.
//! - The last line contains the number of lines, so that a truncated state is detected.

use core::fmt::Write as _;
use std::borrow::Cow;

use cfcache_model::target::{Kind, Target};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::mapping::Site;
use crate::snapshot::{FileEntry, Hash, HashKind};

/// The version of the format that is written, and the newest one that is read.
pub const VERSION: u64 = 1;

/// The beginning of every state.
pub const MARKER: &str = "{\"cfcache-state\":";

/// The maximum length of a line in bytes. A path on Linux has up to 4,096 bytes, each of which may take three.
pub const MAX_LINE: usize = 1 << 20;

/// The first line of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct StateHeader {
    /// [`VERSION`].
    #[serde(rename = "cfcache-state")]
    pub version: u64,
    /// The time of writing, in seconds since 1970.
    pub time: u64,
    /// The mapping of the files to URLs.
    pub site: Site,
    /// The type of the hashes; missing if no snapshot was purged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<HashKind>,
    /// The number of files that follow.
    pub files: u64,
    /// The number of pending entries that follow.
    pub pending: u64,
}

impl StateHeader {
    /// Creates a header of this version.
    #[must_use]
    pub const fn new(time: u64, site: Site) -> Self {
        Self { version: VERSION, time, site, hash: None, files: 0, pending: 0 }
    }
}

#[derive(Deserialize)]
struct VersionOnly {
    #[serde(rename = "cfcache-state")]
    version: u64,
}

/// A line after the files.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LateLine<T> {
    Pending(T),
    End(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Flexible<'a> {
    Host(#[serde(borrow)] Cow<'a, str>),
    Prefix(#[serde(borrow)] Cow<'a, str>),
}

/// Writes the lines of a state.
#[derive(Debug, Default)]
pub struct StateWriter {
    count: u64,
}

impl StateWriter {
    /// Appends the header.
    ///
    /// # Errors
    ///
    /// A header of this crate causes none.
    pub fn header(&mut self, header: &StateHeader, text: &mut String) -> serde_json::Result<()> {
        self.line(header, text)
    }

    /// Appends a file.
    pub fn file(&mut self, kind: HashKind, entry: FileEntry<'_>, text: &mut String) {
        // A site path needs no escapes, so this is valid JSON; writing a million of them takes a quarter of a second.
        text.push_str("[\"");
        text.push_str(entry.path);
        text.push_str("\",");
        match entry.size {
            Some(size) => write!(text, "{size}").unwrap_or_default(),
            None => text.push_str("null"),
        }
        text.push_str(",\"");
        entry.hash.write_hex(kind, text);
        text.push_str("\"]\n");
        self.count += 1;
    }

    /// Counts lines that were written earlier and are copied.
    pub const fn copied(&mut self, lines: u64) {
        self.count += lines;
    }

    /// Appends a pending entry: a URL, `{"url":…,"headers":…}`, `{"host":…}` or `{"prefix":…}`.
    ///
    /// # Errors
    ///
    /// A target of a site causes none.
    pub fn pending(&mut self, target: &Target, text: &mut String) -> serde_json::Result<()> {
        let entry = target.text();
        match target.kind() {
            Kind::Hosts => self.line(&LateLine::Pending(Flexible::Host(entry)), text),
            Kind::Prefixes => self.line(&LateLine::Pending(Flexible::Prefix(entry)), text),
            _ if entry.starts_with('{') => {
                self.line(&LateLine::Pending(serde_json::from_str::<&RawValue>(&entry)?), text)
            }
            _ => self.line(&LateLine::Pending(entry), text),
        }
    }

    /// Appends the last line.
    ///
    /// # Errors
    ///
    /// None.
    pub fn end(mut self, text: &mut String) -> serde_json::Result<()> {
        let end = self.count + 1;
        self.line(&LateLine::<()>::End(end), text)
    }

    fn line(&mut self, line: &impl Serialize, text: &mut String) -> serde_json::Result<()> {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
        self.count += 1;
        Ok(())
    }
}

/// A state without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The first line.
    pub header: StateHeader,
    /// The pending entries.
    pub pending: Vec<Target>,
}

/// Parses a state, one line at a time.
#[derive(Debug, Default)]
pub struct StateReader {
    lines: u64,
    files: u64,
    header: Option<StateHeader>,
    pending: Vec<Target>,
    last_path: String,
    has_end: bool,
}

/// The content of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum StateLine<'a> {
    /// The first line.
    Header,
    /// A file.
    File(FileEntry<'a>),
    /// A pending entry.
    Pending,
    /// The last line.
    End,
}

impl StateReader {
    /// Parses the next line, including its line break. The first incomplete or invalid line ends the state.
    ///
    /// # Errors
    ///
    /// [`UnusableState`].
    pub fn line<'a>(&'a mut self, line: &'a [u8]) -> Result<StateLine<'a>, UnusableState> {
        self.lines += 1;
        let number = self.lines;
        let torn = |reason: &str| UnusableState::Torn { line: number, reason: reason.to_owned() };
        if number == 1 && !may_begin(line) {
            return Err(UnusableState::Foreign);
        }
        let Some(line) = line.strip_suffix(b"\n") else { return Err(torn("it has no end")) };
        let text = core::str::from_utf8(line).map_err(|_| torn("it is no UTF-8"))?;
        if self.has_end {
            return Err(torn("something follows the last line"));
        }
        let Some(header) = &self.header else {
            return self.first(text);
        };
        if self.files < header.files {
            let (path, size, hex): (Cow<'_, str>, Option<u64>, &str) =
                serde_json::from_str(text).map_err(|error| torn(&error.to_string()))?;
            let kind = header.hash.ok_or_else(|| torn("a file, and no kind of hash is named"))?;
            let hash = Hash::from_hex(hex.as_bytes()).filter(|_| hex.len() == 2 * kind.bytes());
            let hash = hash.ok_or_else(|| torn("its hash is not of the kind that the first line names"))?;
            if self.files > 0 && *path <= *self.last_path {
                return Err(torn("its path is not in order"));
            }
            self.files += 1;
            self.last_path.clear();
            self.last_path.push_str(&path);
            return Ok(StateLine::File(FileEntry { path: &self.last_path, size, hash }));
        }
        let waits = (self.pending.len() as u64) < header.pending;
        match serde_json::from_str::<LateLine<&RawValue>>(text).map_err(|error| torn(&error.to_string()))? {
            LateLine::Pending(entry) if waits => {
                self.pending.push(target(entry.get()).ok_or_else(|| torn("it is no entry to purge"))?);
                Ok(StateLine::Pending)
            }
            LateLine::End(end) if !waits && end == number => {
                self.has_end = true;
                Ok(StateLine::End)
            }
            LateLine::Pending(_) => Err(torn("the first line names fewer entries to purge")),
            LateLine::End(_) => Err(torn("it is not the line that the last one should be")),
        }
    }

    fn first(&mut self, text: &str) -> Result<StateLine<'_>, UnusableState> {
        let torn = |error: serde_json::Error| UnusableState::Torn { line: 1, reason: error.to_string() };
        let VersionOnly { version } = serde_json::from_str(text).map_err(torn)?;
        if version > VERSION {
            return Err(UnusableState::Newer { version });
        }
        self.header = Some(serde_json::from_str(text).map_err(torn)?);
        Ok(StateLine::Header)
    }

    /// The first line, if it was read.
    #[must_use]
    pub const fn header(&self) -> Option<&StateHeader> {
        self.header.as_ref()
    }

    /// Completes the state.
    ///
    /// # Errors
    ///
    /// [`UnusableState::Torn`] if the last line was not read.
    pub fn finish(&mut self) -> Result<Remembered, UnusableState> {
        match (self.has_end, self.header.take()) {
            (true, Some(header)) => Ok(Remembered { header, pending: core::mem::take(&mut self.pending) }),
            (_, header) => {
                self.header = header;
                Err(UnusableState::Torn {
                    line: self.lines + 1,
                    reason: "its last line is missing".to_owned(),
                })
            }
        }
    }

    /// The readable part of a truncated state: its first line if it is complete, and the pending entries that were
    /// read.
    #[must_use]
    pub fn salvage(self) -> Option<Remembered> {
        Some(Remembered { header: self.header?, pending: self.pending })
    }
}

/// Returns whether a file that begins with these bytes may be a state, or the beginning of one.
#[must_use]
pub fn may_begin(bytes: &[u8]) -> bool {
    let marker = MARKER.as_bytes();
    let len = bytes.len().min(marker.len());
    bytes[..len] == marker[..len]
}

fn target(json: &str) -> Option<Target> {
    if let Ok(url) = serde_json::from_str::<String>(json) {
        return Target::parse(Kind::Files, &url).ok();
    }
    match serde_json::from_str::<Flexible<'_>>(json) {
        Ok(Flexible::Host(host)) => Target::parse(Kind::Hosts, &host).ok(),
        Ok(Flexible::Prefix(prefix)) => Target::parse(Kind::Prefixes, &prefix).ok(),
        Err(_) => Target::parse(Kind::Files, json).ok(),
    }
}

/// Why a state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableState {
    /// It is not a state, and is not changed.
    #[error("it is not a state of cfcache")]
    Foreign,
    /// It was written by a later version.
    #[error(
        "it is of version {version}, and this program reads up to {VERSION}; use a newer cfcache, or another state"
    )]
    Newer {
        /// The version.
        version: u64,
    },
    /// A part of it is missing or damaged.
    #[error("it is torn: line {line}: {reason}")]
    Torn {
        /// The first invalid line, counted from 1.
        line: u64,
        /// The reason.
        reason: String,
    },
}
