//! Checks that the examples and tables in `docs/reference/json-report.md` equal the output of `cfcache` and the schema.
//! `cargo xtask generate` makes this test write them; the text around them is written by hand.

use serde_json::Value;

use crate::support::bare;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");

#[test]
fn reference_page_of_the_report_is_current() {
    let path = format!("{FOLDER}/json-report.md");
    let found = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let schema = std::fs::read_to_string(format!("{FOLDER}/report.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut page = String::new();
    let mut lines = found.lines().peekable();
    let (mut examples, mut tables) = (0, 0);
    while let Some(line) = lines.next() {
        page.push_str(&format!("{line}\n"));
        if let Some(arguments) = line.strip_prefix("$ cfcache ") {
            examples += 1;
            while lines.next_if(|line| !line.starts_with("```")).is_some() {}
            page.push_str(&output(arguments));
        } else if let Some(name) = line.strip_prefix("<!-- fields: ") {
            tables += 1;
            while lines.next_if(|line| line.is_empty() || line.starts_with('|')).is_some() {}
            let definition = &schema["$defs"][name.trim_end_matches(" -->")];
            page.push_str(&format!("\n{}\n", table(definition)));
        }
    }
    assert_eq!((examples, tables), (4, 8), "examples and tables of the page");
    let page = format!("{}\n", page.trim_end());
    #[expect(clippy::disallowed_methods, reason = "the environment says whether the test writes")]
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n"), page, "cargo xtask generate");
}

/// Returns the output of a command, with constants instead of values that differ in each run.
fn output(arguments: &str) -> String {
    let ran = bare().args(arguments).run();
    assert!(!ran.out.is_empty(), "{arguments}: {}", ran.err);
    for line in ran.out.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{arguments} printed what is no JSON: {line}");
    }
    ran.out.split_inclusive('\n').map(same).collect()
}

/// The values that differ in each run: the text before it, its characters, and its replacement.
type Varying = (&'static str, fn(char) -> bool, &'static str);

const VARYING: [Varying; 3] = [
    ("\"elapsed_ms\":", |char| char.is_ascii_digit(), "412"),
    ("1 try in ", |char| char != ',' && char != ']', "12 ms"),
    ("cf-ray ", |char| char.is_ascii_alphanumeric() || char == '-', "8f3a000000000001-LHR"),
];

fn same(line: &str) -> String {
    VARYING.iter().fold(line.to_owned(), |line, (before, is_part, instead)| {
        let mut pieces = line.split(before);
        let first = pieces.next().unwrap().to_owned();
        pieces.fold(first, |text, piece| text + before + instead + piece.trim_start_matches(is_part))
    })
}

/// Returns a table of the properties of a definition, in the order of the struct. Properties that are always present
/// come first.
fn table(definition: &Value) -> String {
    let properties = definition["properties"].as_object().unwrap();
    let required: Vec<&str> =
        definition["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let optional = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    let mut table = "| Field | Type | Is |\n|---|---|---|\n".to_owned();
    for name in required.iter().copied().chain(optional) {
        let property = &properties[name];
        let meaning = property["description"].as_str();
        let meaning = meaning.unwrap_or_else(|| panic!("`{name}` has no comment that says what it is"));
        // A comment of several lines keeps its line breaks in the schema.
        let meaning = meaning.replace('\n', " ").replace('|', "\\|");
        table.push_str(&format!("| `{name}` | {} | {meaning} |\n", kind(property)));
    }
    table
}

/// Returns the type of a property as a word.
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
