//! `json-report.md`, from the types of the report, and from what `cfcache` prints against its own emulator.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::generate::reference::cli::run;
use crate::generate::reference::shapes::{self, Field, Shape, optional};
use crate::generate::reference::{begin, code, table};

pub(super) fn page(cfcache: &Path) -> Result<String> {
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

    let settings = example(cfcache, &["--emulator", "settings", "--json"])?;

    let mut page = begin("The report", &format!("`{}`, and from what `cfcache` prints", shapes::REPORTS));
    page.push_str(
        "Standard output holds data and nothing else; progress, warnings and errors go to standard error.\n\
         Fields may be added; those that are here keep their names and meanings.\n\
         [report.schema.json](report.schema.json) says the same as a JSON Schema, exactly as this version prints it.\n\n\
         ## `--json`\n\n\
         A purge or invalidate prints one object, on one line, however it ends, once it has begun.\n\
         Where nothing could be started, standard output stays empty.\n\n",
    );
    page.push_str(&format!("{json}\n"));
    page.push_str(&fields(&shapes::REPORT)?);
    page.push_str("\nAn object in `failures`:\n\n");
    page.push_str(&fields(&shapes::FAILURE)?);
    page.push_str("\nIts `error`:\n\n");
    page.push_str(&fields(&shapes::ERROR)?);
    page.push_str(
        "\n## `--output ndjson`\n\n\
         An object a line: one for each request as it ends, then the object of `--json`, with an `event`.\n\n",
    );
    page.push_str(&format!("{ndjson}\n"));
    page.push_str(&fields(&shapes::BATCH)?);
    page.push_str(
        "\n## `--dry-run`\n\n\
         An object a line for each request that would be sent; `body` is written exactly as it would be.\n\n",
    );
    page.push_str(&dry_run);
    page.push_str(
        "\n## The other commands\n\n\
         They print the API's `result` as it is, but for three that have more to say than one answer of it.\n\n\
         `settings` prints a list with an object for each setting:\n\n",
    );
    page.push_str(&format!("{settings}\n"));
    page.push_str(&fields(&shapes::SETTING)?);
    page.push_str("\n`origin-regions import` prints an object:\n\n");
    page.push_str(&fields(&shapes::IMPORTED)?);
    page.push_str("\nAn object in either:\n\n");
    page.push_str(&fields(&shapes::MAPPING)?);
    page.push_str("\n`config show` prints a list with an object for each setting:\n\n");
    page.push_str(&fields(&shapes::CONFIGURED)?);
    Ok(page)
}

/// A command line and what it prints, with what no two runs share made the same.
fn example(cfcache: &Path, arguments: &[&str]) -> Result<String> {
    let printed = run(cfcache, arguments)?;
    let mut text = format!("```console\n$ cfcache {}\n", arguments.join(" "));
    for line in printed.lines() {
        let _object: Value = serde_json::from_str(line)
            .with_context(|| format!("`cfcache` printed what is no JSON: {line}"))?;
        text.push_str(&same(line));
        text.push('\n');
    }
    text.push_str("```\n");
    Ok(text)
}

/// What differs from run to run: what stands before it, what it is made of, and what stands in its place.
type Varying = (&'static str, fn(char) -> bool, &'static str);

const VARYING: [Varying; 3] = [
    ("\"elapsed_ms\":", |char| char.is_ascii_digit(), "412"),
    ("1 try in ", |char| char != ',' && char != ']', "12 ms"),
    ("cf-ray ", |char| char.is_ascii_alphanumeric() || char == '-', "8f3a000000000001-LHR"),
];

fn same(line: &str) -> String {
    VARYING.iter().fold(line.to_owned(), |line, (before, is_part, instead)| {
        let mut pieces = line.split(before);
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            text.extend([before, *instead, piece.trim_start_matches(*is_part)]);
        }
        text
    })
}

/// The fields of a struct as a table.
fn fields(shape: &Shape) -> Result<String> {
    Ok(rows(shape.fields()?))
}

fn rows(fields: Vec<Field>) -> String {
    let rows =
        fields.into_iter().map(|field| [code(&field.name), json_type(&field).to_owned(), field.meaning]);
    table(["Field", "Type", "Is"], rows)
}

/// What a type of ours is in JSON.
fn json_type(field: &Field) -> &'static str {
    let (kind, is_optional) = optional(&field.kind);
    match (kind, is_optional && field.left_out.is_none()) {
        ("String" | "str", false) => "text",
        ("String" | "str", true) => "text or null",
        ("u64" | "u32" | "usize", false) => "number",
        ("u64" | "u32" | "usize", true) => "number or null",
        ("bool", _) => "true or false",
        ("Box<RawValue>", _) => "anything",
        (kind, _) if kind.starts_with("Vec<") => "list",
        (_, false) => "object",
        (_, true) => "object or null",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_made_the_same() {
        assert_eq!(same(r#"{"elapsed_ms":7,"a":1}"#), r#"{"elapsed_ms":412,"a":1}"#);
        assert_eq!(
            same("no [1 try in 1.20 s, cf-ray 7-LHR]"),
            "no [1 try in 12 ms, cf-ray 8f3a000000000001-LHR]"
        );
        assert_eq!(same("no [1 try in 3 ms]"), "no [1 try in 12 ms]");
        assert_eq!(same(r#"{"a":1}"#), r#"{"a":1}"#);
    }

    #[test]
    fn fields_have_types_and_meanings() {
        let source = "
            struct Report {
                /// Which.
                pub(crate) kind: &'static str,
                pub(crate) environment: Option<String>,
            }
        ";
        let table = rows(shapes::fields(source, "Report").unwrap());
        assert!(table.contains("| `kind` | text | Which. |"), "{table}");
        assert!(
            table.contains(
                "| `environment` | text or null | The id of the environment, where there is one. |"
            ),
            "{table}"
        );
    }
}
