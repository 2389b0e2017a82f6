//! The content of a journal.

use std::io::{self, BufRead as _, BufReader, Read};

use cfcache_client::EntryRanges;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::Failure;

/// The maximum length of a line; a file with a longer line is not a journal.
const LONGEST: u64 = 1 << 16;

/// The first line, which describes the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Identifies the type of the file.
    pub journal: String,
    /// The version of the format.
    pub version: u32,
    /// Which API.
    pub api: String,
    /// The operation.
    pub operation: String,
    /// The kind of the entries.
    pub kind: String,
    /// The zone, by its id.
    pub zone: String,
    /// The environment, by its id.
    pub environment: Option<String>,
    /// The headers of `--header`, which are part of every entry.
    pub headers: Vec<String>,
    /// The whole input, if it was read before the run.
    pub input: Option<Point>,
}

impl Header {
    /// Creates the first line of a journal.
    pub fn new(operation: &str, kind: &str) -> Self {
        Self {
            journal: "cfcache".to_owned(),
            version: 1,
            api: String::new(),
            operation: operation.to_owned(),
            kind: kind.to_owned(),
            zone: String::new(),
            environment: None,
            headers: Vec::new(),
            input: None,
        }
    }
}

/// Another line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    /// The accepted entries, counted from 0; `None` if the line only records a point.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted: Option<(u64, u64)>,
    /// The entries that were verified and proven.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verified: Option<(u64, u64)>,
    /// How far the input was read.
    #[serde(flatten)]
    pub point: Point,
}

/// A position in the input, and the digest of the input up to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
pub struct Point {
    /// The number of valid entries.
    pub read: u64,
    /// The digest of all of them.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub digest: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn to_hex<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{digest:016x}"))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
}

/// The content of a journal.
#[derive(Debug, Default)]
pub struct Contents {
    /// The first line; `None` if the file is empty.
    pub header: Option<Header>,
    /// The entries that were accepted.
    pub accepted: EntryRanges,
    /// The entries that were verified.
    pub verified: EntryRanges,
    /// The points, in the order of their lines.
    pub points: Vec<Point>,
    /// The end of the last valid line.
    pub end: u64,
    /// The number of unreadable lines.
    pub unreadable: u64,
}

/// Reads all lines. `name` is the name of the file.
///
/// # Errors
///
/// [`Failure`] if the file cannot be read, if it is not a journal, or if it has a later version.
pub fn read(file: impl Read, name: &str) -> Result<Contents, Failure> {
    let foreign = || {
        Failure::usage(format!("`{name}` is not a journal of this program; it was not changed"))
            .with_hint("name a file that does not exist yet, or the journal of an earlier run")
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut contents = Contents::default();
    let (mut line, mut at) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let length = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        let length = length.map_err(|error| cannot_use(name, &error))?;
        if length == 0 {
            return Ok(contents);
        }
        at += length as u64;
        let Some(text) = line.strip_suffix(b"\n") else {
            if contents.header.is_none() {
                // A line of this length was not truncated by a crash.
                return if (line.len() as u64) < LONGEST && is_beginning(&line) {
                    Ok(contents)
                } else {
                    Err(foreign())
                };
            }
            contents.unreadable += 1;
            continue;
        };
        if contents.header.is_none() {
            let header: Header = serde_json::from_slice(text).map_err(|_| foreign())?;
            match (header.journal.as_str(), header.version) {
                ("cfcache", 1) => contents.header = Some(header),
                ("cfcache", newer) => {
                    return Err(Failure::usage(format!(
                        "the journal `{name}` has version {newer}, which this program does not support"
                    )));
                }
                _ => return Err(foreign()),
            }
            contents.end = at;
            continue;
        }
        let Ok(JournalLine { accepted, verified, point }) = serde_json::from_slice(text) else {
            contents.unreadable += 1;
            continue;
        };
        let is_range =
            |range: Option<(u64, u64)>| range.is_none_or(|(from, to)| from < to && to <= point.read);
        if !is_range(accepted) || !is_range(verified) {
            contents.unreadable += 1;
            continue;
        }
        for (range, ranges) in [(accepted, &mut contents.accepted), (verified, &mut contents.verified)] {
            if let Some((from, to)) = range {
                ranges.insert(from..to);
            }
        }
        if contents.points.last() != Some(&point) {
            contents.points.push(point);
        }
        contents.end = at;
    }
}

/// The failure for a file that cannot be opened, read or written.
pub(super) fn cannot_use(name: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot use the journal `{name}`: {error}"))
}

/// Returns whether it is a first line that was cut off, most likely by a loss of power.
fn is_beginning(line: &[u8]) -> bool {
    const FIRST: &[u8] = br#"{"journal":"cfcache""#;
    let shorter = line.len().min(FIRST.len());
    line[..shorter] == FIRST[..shorter] || line.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        r#"{"journal":"cfcache","version":1,"api":"","operation":"","kind":"","zone":"","#,
        r#""environment":null,"headers":[],"input":null}"#,
        "\n"
    );

    fn read(journal: &[u8]) -> Result<Contents, String> {
        super::read(journal, "a").map_err(|failure| failure.message)
    }

    #[test]
    fn a_truncated_first_line_starts_a_new_journal_and_a_foreign_file_is_refused() {
        assert_eq!(read(b"").unwrap().end, 0);
        assert_eq!(read(b"{\"jour").unwrap().end, 0);
        assert_eq!(read(&HEADER.as_bytes()[..HEADER.len() - 1]).unwrap().end, 0);
        assert_eq!(read(&[0; 4096]).unwrap().end, 0);
        let foreign = "`a` is not a journal of this program; it was not changed";
        assert_eq!(read(b"a").unwrap_err(), foreign);
        // A disk image may begin with as many zeros, and more.
        let mut image = vec![0; LONGEST as usize];
        image.extend(b"and then there is something");
        assert_eq!(read(&image).unwrap_err(), foreign);
    }

    #[test]
    fn an_incomplete_last_line_ends_the_journal_and_unreadable_lines_are_counted() {
        let good = r#"{"accepted":[0,2],"read":2,"digest":"00000000000000ff"}"#;
        let contents = read(format!("{HEADER}rubbish\n{good}\n{{\"acc").as_bytes()).unwrap();
        assert_eq!(contents.end as usize, HEADER.len() + "rubbish\n".len() + good.len() + 1);
        assert_eq!((contents.accepted.len(), contents.accepted.contains(1)), (2, true));
        assert_eq!(contents.points, [Point { read: 2, digest: 255 }]);
        assert_eq!(contents.unreadable, 2);
    }
}
