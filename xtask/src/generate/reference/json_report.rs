//! `json-report.md`, from the types of the report, and from what `cfcache` prints against its own emulator.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::generate::reference::cli::run;
use crate::generate::reference::{begin, code, table};
use crate::{repo, source};

const REPORT: &str = "crates/cfcache-cli/src/report.rs";

/// What fields mean that have no comment where they are declared, because their names say it there.
const MEANINGS: &[(&str, &str)] = &[
    ("zone", "The id of the zone."),
    ("environment", "The id of the environment, where there is one."),
    ("accepted", "Entries that the API accepted."),
    ("failed", "Entries that it did not, or of which that is not known."),
    ("invalid", "Entries that were not sent, because no request can hold them."),
    ("duplicates", "Entries that were not sent, because they were read before."),
    ("skipped", "Entries that were not sent, because a journal says that they were accepted before."),
    ("requests", "Requests that were sent."),
    ("retries", "How many of these were sent again."),
    ("rate_limited", "Answers that said to wait."),
    ("elapsed_ms", "How long it took, in milliseconds."),
    ("failures_omitted", "How many more failures there are; left out where there are none."),
    ("error", "What was wrong."),
    ("message", "The API's message, or our own, for people; its wording may change."),
    ("event", "`batch` for a request that ended, `summary` for the last object."),
    ("batch", "The number of the request, from 0."),
    ("BatchEvent.items", "Entries in the request."),
    ("BatchEvent.accepted", "Did the API accept it?"),
    ("BatchEvent.elapsed_ms", "How long it took, pauses and further tries included, in milliseconds."),
    ("BatchEvent.error", "Why it did not."),
    ("attempts", "How often the request was sent."),
];

pub(super) fn page(cfcache: &Path) -> Result<String> {
    let source = repo::read(REPORT)?;
    let json = example(
        cfcache,
        &[
            "--emulator",
            "purge",
            "urls",
            "--json",
            "--on-invalid=skip",
            "https://www.example.com/a.css",
            "b.js",
        ],
    )?;
    let ndjson = example(
        cfcache,
        &[
            "--emulator",
            "purge",
            "tags",
            "--output=ndjson",
            "--batch-size=2",
            "--concurrency=1",
            "a",
            "b",
            "c",
        ],
    )?;
    let dry_run = example(
        cfcache,
        &["--emulator", "purge", "prefixes", "--dry-run", "www.example.com/blog", "www.example.com/shop"],
    )?;

    let mut page = begin("The report", &format!("`{REPORT}`, and from what `cfcache` prints"));
    page.push_str(
        "Standard output holds data and nothing else; progress, warnings and errors go to standard error.\n\
         Fields may be added; those that are here keep their names and meanings.\n\n\
         ## `--json`\n\n\
         A purge or invalidate prints one object, on one line, however it ends, once it has begun.\n\
         Where nothing could be started, standard output stays empty.\n\n",
    );
    page.push_str(&format!("{json}\n"));
    page.push_str(&fields(&source, "Report")?);
    page.push_str("\nAn object in `failures`:\n\n");
    page.push_str(&fields(&source, "ItemFailure")?);
    page.push_str("\nIts `error`:\n\n");
    page.push_str(&fields(&source, "ItemError")?);
    page.push_str(
        "\nThe other commands print the API's `result` as it is.\n\n\
         ## `--output ndjson`\n\n\
         An object a line: one for each request as it ends, then the object of `--json`, with an `event`.\n\n",
    );
    page.push_str(&format!("{ndjson}\n"));
    page.push_str(&fields(&source, "BatchEvent<'a>")?);
    page.push_str(
        "\n## `--dry-run`\n\n\
         An object a line for each request that would be sent; `body` is written exactly as it would be.\n\n",
    );
    page.push_str(&dry_run);
    Ok(page)
}

/// A command line and what it prints, with the one number that no two runs share set to 412.
fn example(cfcache: &Path, arguments: &[&str]) -> Result<String> {
    let printed = run(cfcache, arguments)?;
    let mut text = format!("```console\n$ cfcache {}\n", arguments.join(" "));
    for line in printed.lines() {
        let _object: Value = serde_json::from_str(line)
            .with_context(|| format!("`cfcache` printed what is no JSON: {line}"))?;
        text.push_str(&same_time(line));
        text.push('\n');
    }
    text.push_str("```\n");
    Ok(text)
}

fn same_time(line: &str) -> String {
    let key = "\"elapsed_ms\":";
    let mut parts = line.split(key);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(key);
        text.push_str("412");
        text.push_str(part.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    text
}

/// The fields of a struct as a table.
fn fields(source: &str, name: &str) -> Result<String> {
    let lines = source::lines(source);
    let head = format!("struct {name} {{");
    let fields = lines.iter().skip_while(|line| !line.code.ends_with(&head)).skip(1);
    let mut rows = Vec::new();
    for line in fields.take_while(|line| line.code != "}") {
        if line.attributes.contains("#[serde(skip)]") {
            continue;
        }
        let Some((field, kind)) = line.field() else {
            bail!("{REPORT}: cannot read `{}`", line.code);
        };
        let meaning = if line.docs.is_empty() { known(name, field) } else { Some(line.docs.clone()) };
        let meaning =
            meaning.with_context(|| format!("{REPORT}: `{field}` has no comment that says what it is"))?;
        rows.push([code(field), json_type(kind).to_owned(), meaning]);
    }
    ensure!(!rows.is_empty(), "{REPORT}: no `{head}`");
    Ok(table(["Field", "Type", "Is"], rows))
}

fn known(name: &str, field: &str) -> Option<String> {
    let name = name.split('<').next().unwrap_or_default();
    let find = |key: &str| MEANINGS.iter().find(|(known, _)| *known == key);
    find(&format!("{name}.{field}")).or_else(|| find(field)).map(|(_, meaning)| (*meaning).to_owned())
}

/// What a type of ours is in JSON.
fn json_type(kind: &str) -> &'static str {
    let inner = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
    match (
        inner,
        inner
            .unwrap_or(kind)
            .trim_start_matches(['&', '\''])
            .trim_start_matches("a ")
            .trim_start_matches("static "),
    ) {
        (None, "String" | "str") => "text",
        (Some(_), "String" | "str") => "text or null",
        (None, "u64" | "u32" | "usize") => "number",
        (Some(_), "u64" | "u32" | "usize") => "number or null",
        (_, "bool") => "true or false",
        (_, kind) if kind.starts_with("Vec<") => "list",
        (None, _) => "object",
        (Some(_), _) => "object or null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_made_the_same() {
        assert_eq!(same_time(r#"{"elapsed_ms":7,"a":1}"#), r#"{"elapsed_ms":412,"a":1}"#);
        assert_eq!(same_time(r#"{"a":1}"#), r#"{"a":1}"#);
    }

    #[test]
    fn fields_have_types_and_meanings() {
        let source = "
            struct Report {
                /// Which.
                pub(crate) kind: &'static str,
                pub(crate) zone: Option<String>,
            }
        ";
        let table = fields(source, "Report").unwrap();
        assert!(table.contains("| `kind` | text | Which. |"), "{table}");
        assert!(table.contains("| `zone` | text or null | The id of the zone. |"), "{table}");
        assert!(fields(source, "Other").is_err());
    }
}
