//! The format of a state.

use cfcache_model::target::{Kind, Target};
use cfcache_site::snapshot::HashKind;
use cfcache_site::state::{StateHeader, StateLine, StateReader, StateWriter, UnusableState, may_begin};

use crate::support::{example, snapshot};

fn written() -> String {
    let snapshot = snapshot(&[("a.html", "1"), ("%C3%BC.html", "2")]);
    let mut header = StateHeader::new(1_764_108_455, example());
    header.hash = Some(HashKind::Sha256);
    header.files = 2;
    header.pending = 4;
    let (mut lines, mut text) = (StateWriter::default(), String::new());
    lines.header(&header, &mut text).unwrap();
    snapshot.iter().for_each(|entry| lines.file(snapshot.kind(), entry, &mut text));
    for (kind, entry) in [
        (Kind::Files, "https://www.example.com/a"),
        (Kind::Files, r#"{"url":"https://www.example.com/a","headers":{"CF-Device-Type":"mobile"}}"#),
        (Kind::Hosts, "www.example.com"),
        (Kind::Prefixes, "www.example.com/docs"),
    ] {
        lines.pending(&Target::parse(kind, entry).unwrap(), &mut text).unwrap();
    }
    lines.end(&mut text).unwrap();
    text
}

fn read(text: &[u8]) -> Result<usize, UnusableState> {
    let mut reader = StateReader::default();
    let mut files = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if let StateLine::File(_) = reader.line(line)? {
            files += 1;
        }
    }
    reader.finish().map(|remembered| files + remembered.pending.len())
}

#[test]
fn writes_the_documented_format() {
    assert_eq!(
        written(),
        r#"{"cfcache-state":1,"time":1764108455,"site":{"url":["https://www.example.com"]},"hash":"sha256","files":2,"pending":4}
["%C3%BC.html",1,"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"]
["a.html",1,"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"]
{"pending":"https://www.example.com/a"}
{"pending":{"url":"https://www.example.com/a","headers":{"CF-Device-Type":"mobile"}}}
{"pending":{"host":"www.example.com"}}
{"pending":{"prefix":"www.example.com/docs"}}
{"end":8}
"#
    );
    assert_eq!(read(written().as_bytes()), Ok(6));
}

#[test]
fn detects_truncation_at_every_byte() {
    let text = written();
    for len in 0..text.len() {
        match read(&text.as_bytes()[..len]) {
            Err(UnusableState::Torn { .. }) => {}
            other => panic!("{len} of {} bytes: {other:?}", text.len()),
        }
    }
}

/// A damaged disk may return zeros. Missing, repeated and moved lines are detected too.
#[test]
fn detects_damage_at_any_place() {
    let text = written();
    for start in (0..text.len()).step_by(16) {
        let mut bytes = text.clone().into_bytes();
        let end = bytes.len().min(start + 16);
        bytes[start..end].fill(0);
        assert!(read(&bytes).is_err(), "zeros from {start}");
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for index in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(index);
        assert!(read(without.concat().as_bytes()).is_err(), "without line {}", index + 1);
        let mut twice = lines.clone();
        twice.insert(index, lines[index]);
        assert!(read(twice.concat().as_bytes()).is_err(), "line {} twice", index + 1);
    }
    let swapped = [lines[0], lines[2], lines[1]].concat() + &lines[3..].concat();
    assert!(read(swapped.as_bytes()).is_err());
    assert!(read(format!("{text}\n").as_bytes()).is_err());
}

#[test]
fn reads_the_header_of_a_truncated_state() {
    let text = written();
    let cut = text.find(r#"{"pending":{"host""#).unwrap();
    let mut reader = StateReader::default();
    for line in text.as_bytes()[..cut].split_inclusive(|byte| *byte == b'\n') {
        reader.line(line).unwrap();
    }
    assert!(reader.finish().is_err());
    let salvaged = reader.salvage().unwrap();
    assert_eq!((salvaged.header.site, salvaged.pending.len()), (example(), 2));
    assert!(StateReader::default().salvage().is_none());
}

#[test]
fn distinguishes_other_files_and_newer_versions() {
    for foreign in
        ["<html>\n", "[]\n", "{}\n", "{\"cfcache-stat\":1}\n", " ", "\n", "\u{feff}{\"cfcache-state\":1"]
    {
        assert_eq!(read(foreign.as_bytes()), Err(UnusableState::Foreign), "{foreign}");
    }
    let newer = written().replacen(":1,", ":2,", 1).replacen("\"url\"", "\"urls\"", 1);
    assert_eq!(read(newer.as_bytes()), Err(UnusableState::Newer { version: 2 }));
    let marker = b"{\"cfcache-state\":";
    for len in 0..=marker.len() {
        assert!(may_begin(&marker[..len]));
    }
}
