//! The structs that `cfcache` prints as JSON, read from where they are declared: what the page of the report and its
//! schema are made from.

use anyhow::{Context as _, Result, bail, ensure};

use crate::{repo, source};

/// A struct that is printed.
pub(super) struct Shape {
    /// Its name in the schema.
    pub(super) name: &'static str,
    path: &'static str,
    /// Its name in Rust.
    pub(super) rust: &'static str,
}

pub(super) const REPORT: Shape = Shape { name: "report", path: REPORTS, rust: "Report" };
pub(super) const FAILURE: Shape = Shape { name: "failure", path: REPORTS, rust: "ItemFailure" };
pub(super) const ERROR: Shape = Shape { name: "error", path: REPORTS, rust: "ItemError" };
pub(super) const BATCH: Shape = Shape { name: "batch", path: REPORTS, rust: "BatchEvent" };
pub(super) const SUMMARY: Shape = Shape { name: "summary", path: REPORTS, rust: "SummaryEvent" };
pub(super) const SETTING: Shape =
    Shape { name: "setting", path: "crates/cfcache-cli/src/command/settings.rs", rust: "Line" };
pub(super) const IMPORTED: Shape =
    Shape { name: "imported", path: "crates/cfcache-cli/src/command/regions.rs", rust: "Imported" };
pub(super) const MAPPING: Shape =
    Shape { name: "mapping", path: "crates/cfcache-cli/src/command/regions.rs", rust: "Entry" };
pub(super) const CONFIGURED: Shape =
    Shape { name: "configured", path: "crates/cfcache-cli/src/command/config.rs", rust: "Row" };

pub(super) const REPORTS: &str = "crates/cfcache-cli/src/report.rs";

pub(super) const ALL: &[Shape] =
    &[REPORT, FAILURE, ERROR, BATCH, SUMMARY, SETTING, IMPORTED, MAPPING, CONFIGURED];

/// What fields mean that have no comment where they are declared, because their names say it there.
const MEANINGS: &[(&str, &str)] = &[
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
    ("Line.setting", "Its name, as the table has it."),
    ("Line.error", "Why it cannot be told."),
    ("Imported.failed", "Mappings that the API did not accept, or of which that is not known."),
    ("Imported.succeeded", "Mappings that the API accepted."),
    ("origin_ip", "The address of the origin."),
    ("region", "The region."),
    ("vendor", "Whose region it is."),
    ("Entry.error", "Why it failed; left out where it did not."),
    ("Row.setting", "Its name; `zones.\"DOMAIN\"` for each domain of the configuration."),
    ("value", "Its value, secrets blanked; null where it is not set."),
    ("from", "Where that is from; null where nothing sets it."),
];

/// A field as it is printed.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// Its type in Rust.
    pub(super) kind: String,
    pub(super) meaning: String,
    /// When it is left out, as its attribute says it: the name of a function.
    pub(super) left_out: Option<String>,
    /// Its own fields stand in its place.
    pub(super) is_flat: bool,
}

impl Shape {
    /// The fields, in their order.
    pub(super) fn fields(&self) -> Result<Vec<Field>> {
        fields(&repo::read(self.path)?, self.rust).with_context(|| self.path.to_owned())
    }
}

/// The fields of a struct of a source file.
pub(super) fn fields(source: &str, rust: &str) -> Result<Vec<Field>> {
    let lines = source::lines(source);
    let starts = [format!("struct {rust} {{"), format!("struct {rust}<'a> {{")];
    let body = lines.iter().skip_while(|line| !starts.iter().any(|start| line.code.ends_with(start))).skip(1);
    let mut fields = Vec::new();
    for line in body.take_while(|line| line.code != "}") {
        let attribute = |key: &str| {
            let (_, rest) = line.attributes.split_once(&format!("{key} = \""))?;
            Some(rest.split('"').next().unwrap_or_default().to_owned())
        };
        if line.attributes.contains("#[serde(skip)]") {
            continue;
        }
        let Some((declared, kind)) = line.field() else {
            bail!("cannot read `{}`", line.code);
        };
        let is_flat = line.attributes.contains("#[serde(flatten)]");
        let meaning = match line.docs.is_empty() {
            true if is_flat => Some(String::new()),
            true => known(rust, declared),
            false => Some(line.docs.clone()),
        };
        fields.push(Field {
            name: attribute("rename").unwrap_or_else(|| declared.to_owned()),
            kind: plain(kind).to_owned(),
            meaning: meaning.with_context(|| format!("`{declared}` has no comment that says what it is"))?,
            left_out: attribute("skip_serializing_if"),
            is_flat,
        });
    }
    ensure!(!fields.is_empty(), "no struct `{rust}`");
    Ok(fields)
}

fn known(rust: &str, field: &str) -> Option<String> {
    let find = |key: &str| MEANINGS.iter().find(|(known, _)| *known == key);
    find(&format!("{rust}.{field}")).or_else(|| find(field)).map(|(_, meaning)| (*meaning).to_owned())
}

/// A type without its reference.
fn plain(kind: &str) -> &str {
    kind.trim_start_matches('&').trim_start_matches("'a ").trim_start_matches("'static ")
}

/// The type in an `Option`, and whether there was one.
pub(super) fn optional(kind: &str) -> (&str, bool) {
    match kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')) {
        Some(inner) => (plain(inner), true),
        None => (kind, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_it_is_printed() {
        let source = "
            struct Report<'a> {
                /// Which.
                pub(crate) kind: &'static str,
                pub(crate) error: Option<&'a ItemError>,
                /// Is there more?
                #[serde(rename = \"incomplete\", skip_serializing_if = \"core::ops::Not::not\")]
                pub(crate) is_incomplete: bool,
                #[serde(skip)]
                bytes: usize,
            }
        ";
        let fields = fields(source, "Report").unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["kind", "error", "incomplete"]);
        assert_eq!(fields[0].kind, "str");
        assert_eq!(optional(&fields[1].kind), ("ItemError", true));
        assert_eq!(fields[1].meaning, "What was wrong.");
        assert_eq!(fields[2].left_out.as_deref(), Some("core::ops::Not::not"));
        assert!(super::fields(source, "Other").is_err());
    }

    #[test]
    fn every_shape_is_there() {
        for shape in ALL {
            assert!(!shape.fields().unwrap().is_empty(), "{}", shape.name);
        }
    }
}
