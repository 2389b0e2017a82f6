//! `json-report.md`, from the schema of the report, and from what `cfcache` prints against its own emulator.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::generate::reference::{begin, code, table};

pub(super) fn page(cfcache: &Path, schema: &str) -> Result<String> {
    let schema: Value = serde_json::from_str(schema)?;
    let fields =
        |name: &str| fields(&schema["$defs"][name]).with_context(|| format!("`{name}` of the schema"));
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

    let mut page =
        begin("The report", "[report.schema.json](report.schema.json), and from what `cfcache` prints");
    page.push_str(
        "Standard output holds data and nothing else; progress, warnings and errors go to standard error.\n\
         Fields may be added; those that are here keep their names and meanings.\n\
         [report.schema.json](report.schema.json) says the same as a JSON Schema, exactly as this version prints it.\n\n\
         ## `--json`\n\n\
         A purge or invalidate prints one object, on one line, however it ends, once it has begun.\n\
         Where nothing could be started, standard output stays empty.\n\n",
    );
    page.push_str(&format!("{json}\n"));
    page.push_str(&fields("report")?);
    page.push_str("\nAn object in `failures`:\n\n");
    page.push_str(&fields("failure")?);
    page.push_str("\nIts `error`:\n\n");
    page.push_str(&fields("error")?);
    page.push_str(
        "\n## `--output ndjson`\n\n\
         An object a line: one for each request as it ends, then the object of `--json`, with an `event`.\n\n",
    );
    page.push_str(&format!("{ndjson}\n"));
    page.push_str(&fields("batch")?);
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
    page.push_str(&fields("setting")?);
    page.push_str("\n`origin-regions import` prints an object:\n\n");
    page.push_str(&fields("imported")?);
    page.push_str("\nAn object in either:\n\n");
    page.push_str(&fields("mapping")?);
    page.push_str("\n`config show` prints a list with an object for each setting:\n\n");
    page.push_str(&fields("configured")?);
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

/// Runs `cfcache` such that nothing of this machine shows: no environment, no terminal.
fn run(cfcache: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(cfcache);
    command.args(arguments).env_clear().env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", cfcache.display()))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.stdout.is_empty(), "{arguments:?} printed nothing, {}: {error}", output.status);
    String::from_utf8(output.stdout).context("cfcache printed no UTF-8")
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

/// The properties of a definition as a table, in the order of the struct: those that are always there come first.
fn fields(definition: &Value) -> Result<String> {
    let properties = definition["properties"].as_object().context("it has no properties")?;
    let required = definition["required"].as_array().context("it requires nothing")?;
    let required: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    let optional = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    let mut rows = Vec::new();
    for name in required.iter().copied().chain(optional) {
        let meaning = properties[name]["description"].as_str();
        let meaning = meaning.with_context(|| format!("`{name}` has no comment that says what it is"))?;
        rows.push([code(name), kind(&properties[name]), meaning.to_owned()]);
    }
    Ok(table(["Field", "Type", "Is"], rows))
}

/// What a property holds, in a word.
fn kind(property: &Value) -> String {
    let word = |name: &Value| match name.as_str().unwrap_or_default() {
        "string" => "text",
        "integer" => "number",
        "boolean" => "true or false",
        "array" => "list",
        "null" => "null",
        _ => "object",
    };
    match (&property["type"], &property["anyOf"], &property["$ref"]) {
        (Value::Array(types), ..) => types.iter().map(word).collect::<Vec<_>>().join(" or "),
        (Value::Null, Value::Array(_), _) => "object or null".to_owned(),
        (Value::Null, _, Value::Null) => "anything".to_owned(),
        (one, ..) => word(one).to_owned(),
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
        let mut definition = serde_json::json!({
            "properties": {
                "a": { "description": "A.", "$ref": "#/$defs/b" },
                "z": { "description": "Z.", "type": ["string", "null"] },
            },
            "required": ["z"],
        });
        let rows = "| `z` | text or null | Z. |\n| `a` | object | A. |\n";
        assert!(fields(&definition).unwrap().ends_with(rows));
        definition["properties"]["a"]["description"].take();
        assert_eq!(fields(&definition).unwrap_err().to_string(), "`a` has no comment that says what it is");
    }
}
