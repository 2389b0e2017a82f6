//! Published requests and answers: `fixtures/captured`, which no tool writes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use cfcache_model::endpoint;
use cfcache_model::verdict::parse_response;
use serde_json::Value;

use crate::support::{Any, endpoint as named, sort};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/captured");

/// A file of the folder, divided into its parts.
struct Captured {
    provenance: String,
    /// The first line of the request, or the status of the reply.
    head: String,
    body: String,
}

/// Returns all files by `folder/name.extension`.
fn all() -> BTreeMap<String, Captured> {
    let mut all = BTreeMap::new();
    for folder in fs::read_dir(FOLDER).unwrap() {
        let folder = folder.unwrap().path();
        // The output of other programs, not answers of the API.
        if folder.ends_with("changes") {
            continue;
        }
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            all.insert(format!("{}/{}", part(&folder), part(&file)), read(&file));
        }
    }
    assert!(all.len() > 30, "the folder is not where it was");
    all
}

fn read(file: &Path) -> Captured {
    // A checkout may have converted the line ends; JSON and HTML do not depend on them.
    let text = fs::read_to_string(file).unwrap().replace("\r\n", "\n");
    let mut lines = text.split_inclusive('\n').peekable();
    let mut provenance = String::new();
    while let Some(line) = lines.next_if(|line| line.starts_with('#')) {
        provenance.push_str(line.trim_start_matches('#'));
    }
    let head = lines.next().unwrap_or_default().trim().to_owned();
    let body: String = lines.skip_while(|line| *line != "\n").skip(1).collect();
    Captured { provenance, head, body: body.trim_end().to_owned() }
}

#[test]
fn every_file_has_a_source_and_a_date() {
    for (name, captured) in all() {
        let provenance = captured.provenance.trim();
        let begins = provenance.starts_with("From ") || provenance.starts_with("Reconstructed from ");
        assert!(begins, "{name}: its first line says `# From …` or `# Reconstructed from …`");
        let is_dated = provenance.contains(" 20") || provenance.contains("undated");
        assert!(is_dated, "{name}: no year, and no word that it is not known");
        assert!(!captured.head.is_empty(), "{name}: no head");
    }
}

/// Every file is of a kind that a test here reads, and is in its folder.
#[test]
fn every_file_is_used() {
    for (name, captured) in all() {
        let (folder, file) = name.split_once('/').unwrap();
        match file.rsplit_once('.') {
            Some((_, "reply")) => {
                let is_known = ["envelope", "settings"].contains(&folder);
                assert!(is_known || endpoint::all().any(|endpoint| endpoint.name == folder), "{name}");
                assert!(captured.head.parse::<u16>().is_ok(), "{name}: no status");
            }
            Some((request, "request")) => {
                let samples = (named(folder).samples)();
                assert!(samples.iter().any(|sample| sample.name == request), "{name}: no such sample");
            }
            _ => panic!("{name}: no test reads such a file"),
        }
    }
}

/// The verdict on each reply.
#[test]
fn replies() {
    let mut shown = String::new();
    for (name, captured) in all() {
        let Some(case) = name.strip_suffix(".reply") else { continue };
        let folder = case.split('/').next().unwrap();
        let endpoint = endpoint::all().find(|endpoint| endpoint.name == folder);
        let request = Any(endpoint.unwrap_or_else(|| named("purge_zone_cache")));
        let verdict = parse_response(&request, captured.head.parse().unwrap(), captured.body.as_bytes());
        writeln!(shown, "{case}: {}", sort(&verdict)).unwrap();
        if let Err(failure) = verdict {
            writeln!(shown, "    {failure}").unwrap();
            if let Some(explanation) = failure.explanation {
                writeln!(shown, "    {}\n    hint: {}", explanation.meaning, explanation.cure).unwrap();
            }
        }
    }
    insta::assert_snapshot!(shown);
}

/// The bytes of the model equal the published ones, except for blanks.
#[test]
fn requests() {
    let mut compared = 0;
    for (name, captured) in all() {
        let Some(case) = name.strip_suffix(".request") else { continue };
        let (endpoint, sample) = case.split_once('/').unwrap();
        let endpoint = named(endpoint);
        let ours = (endpoint.samples)().into_iter().find(|ours| ours.name == sample).unwrap().request;
        assert_eq!(captured.head, format!("{} {}", endpoint.method.as_str(), endpoint.path), "{name}");

        // One example is published without quotes around its names.
        let published = captured.body.replace("{url:", "{\"url\":").replace(" headers:", " \"headers\":");
        let is_valid = serde_json::from_str::<Value>(&captured.body).is_ok();
        assert_eq!(is_valid, published == captured.body && sample != "files_with_headers", "{name}");

        let body = ours.body.unwrap();
        let (ours, theirs): (Value, Value) =
            (serde_json::from_str(&body).unwrap(), serde_json::from_str(&published).unwrap());
        assert_eq!(ours, theirs, "{name}");
        // Their strings contain no blanks.
        assert_eq!(body, published.replace([' ', '\n'], ""), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 6, "the six bodies");
}
