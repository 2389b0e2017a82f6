//! `errors.md`, from the model's catalog.

use cfcache_model::catalog::{CATALOG, Evidence, Explanation};

use crate::generate::reference::{begin, sentence, table, words};

pub(super) fn page() -> String {
    let mut page = begin("Error codes of the API", "`crates/cfcache-model/src/catalog.rs`");
    page.push_str(
        "One number means several things, so a code is looked up by endpoint, status and code; the most specific entry wins.\n\
         A code that is not in here is reported with the API's own text.\n\n\
         How it is known: *documented* by the vendor's reference or guides; *legacy*, from copies of the vendor's tables from before 2021; *observed*, in published logs, issues and tests.\n",
    );
    let mut areas = Vec::new();
    for entry in CATALOG {
        if !areas.contains(&entry.area) {
            areas.push(entry.area);
        }
    }
    for area in areas {
        let title = area.map_or_else(|| "everywhere".to_owned(), |area| words(&area));
        let entries = CATALOG.iter().filter(|entry| entry.area == area);
        page.push_str(&format!("\n## {}\n\n", sentence(&title).trim_end_matches('.')));
        let head = ["Code", "Status", "Sort", "Means", "What to do", "Known"];
        page.push_str(&table(head, entries.map(row)));
    }
    page
}

fn row(entry: &Explanation) -> [String; 6] {
    let statuses: Vec<String> = entry.statuses.iter().map(u16::to_string).collect();
    let known = match entry.evidence {
        Evidence::Documented => "documented",
        Evidence::Legacy => "legacy",
        _ => "observed",
    };
    [
        entry.code.to_string(),
        if statuses.is_empty() { "any".to_owned() } else { statuses.join(", ") },
        words(&entry.class),
        sentence(entry.meaning),
        sentence(entry.cure),
        known.to_owned(),
    ]
}
