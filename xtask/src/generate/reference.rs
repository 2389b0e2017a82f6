//! Generates the pages of `docs/reference` that list parts of the model; tests of `cfcache-cli` write the others.

use anyhow::{Result, ensure};
use cfcache_model::catalog::{CATALOG, Evidence};
use cfcache_model::endpoint::{self, Replay};
use cfcache_model::limits::{DEFAULT_BODY_BYTES, GLOBAL, PURGE_LIMITS_DATE, PURGE_LIMITS_PAGE, Plan, Rate};

use crate::generate::Files;
use crate::repo::{self, cargo};

pub(super) fn pages() -> Files {
    let pages = [("endpoints.md", endpoints()), ("errors.md", errors()), ("limits.md", limits())];
    pages.into_iter().map(|(name, page)| (format!("docs/reference/{name}"), page)).collect()
}

/// Runs the two tests of `cfcache-cli` that compare its pages, or makes them write the pages.
pub(super) fn test_the_command_line(is_check: bool) -> Result<()> {
    // With the features of `cargo test --workspace`, because the whole workspace decides about features.
    let mut test = cargo(&["test", "--quiet", "--workspace", "--bin=cfcache", "--test=it", "reference_page"]);
    if !is_check {
        test.env("UPDATE_REFERENCE", "1");
    }
    let printed = repo::output(&mut test)?;
    ensure!(printed.matches("1 passed").count() == 2, "the tests were not run:\n{printed}");
    Ok(())
}

fn endpoints() -> String {
    let mut page = begin("Endpoints", "`crates/cfcache-model/src/endpoint.rs` and the files beside it");
    page.push_str(
        "Error messages, fixtures and logs use the name of an endpoint.\n\
         The path is relative to the base URL.\n\
         A repeatable request is sent again if it is unknown whether it was executed. Any other request is sent again only if it certainly was not.\n\
         A token needs one of the listed permissions.\n\n",
    );
    let rows = endpoint::all().map(|endpoint| {
        [
            format!("`{}`", endpoint.name),
            endpoint.summary.to_owned(),
            endpoint.method.as_str().to_owned(),
            format!("`{}`", endpoint.path),
            if endpoint.replay == Replay::Safe { "yes" } else { "if not delivered" }.to_owned(),
            endpoint.permission.to_owned(),
            endpoint.plans.to_owned(),
            format!("[documentation]({})", endpoint.page),
        ]
    });
    page + &table(["Name", "Does", "Method", "Path", "Repeated", "Permission", "Plans", "Page"], rows)
}

fn errors() -> String {
    let mut page = begin("Error codes of the API", "`crates/cfcache-model/src/catalog.rs`");
    page.push_str(
        "A code can have several meanings, so it is looked up by endpoint, status and code; the most specific entry is used.\n\
         An unlisted code is reported with the API's own text.\n\n\
         Sources: *documented* in the vendor's reference or guides; *legacy*, from copies of the vendor's tables from before 2021; *observed* in published logs, issues and tests.\n",
    );
    let mut areas = Vec::new();
    for entry in CATALOG {
        if !areas.contains(&entry.area) {
            areas.push(entry.area);
        }
    }
    for area in areas {
        let title = area.map_or_else(|| "everywhere".to_owned(), |area| words(&area));
        page.push_str(&format!("\n## {}\n\n", sentence(&title).trim_end_matches('.')));
        let rows = CATALOG.iter().filter(|entry| entry.area == area).map(|entry| {
            let statuses: Vec<String> = entry.statuses.iter().map(u16::to_string).collect();
            let evidence = match entry.evidence {
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
                evidence.to_owned(),
            ]
        });
        page.push_str(&table(["Code", "Status", "Sort", "Means", "What to do", "Known"], rows));
    }
    page
}

fn limits() -> String {
    let rows = Plan::ALL.iter().map(|plan| {
        let limits = plan.purge_limits();
        [
            plan.to_string(),
            rate(limits.flexible_requests, "requests"),
            format!("{} requests", limits.flexible_burst),
            limits.flexible_per_request.to_string(),
            rate(limits.urls, "URLs"),
            limits.urls_per_request.to_string(),
        ]
    });
    let head = [
        "Plan",
        "Tags, hosts, prefixes, everything",
        "Maximum burst",
        "Entries per request",
        "URLs",
        "URLs per request",
    ];
    format!(
        "{}## Purge and invalidate\n\n\
         The limits apply to an account and are shared by all of its zones on the same plan. Purge and invalidate use the same buckets.\n\
         Source: <{PURGE_LIMITS_PAGE}>, as of {PURGE_LIMITS_DATE}.\n\n\
         {}\n## Others\n\n\
         - All API calls: {} per user, including all of their tokens and the dashboard. Above it, every call is answered with \
         429 for the next 5 minutes. Cache purge is listed among the APIs with separate limits, but it is not documented which \
         purge kinds still count against this one. So the client limits calls and the flexible kinds to it, but \
         not single files, whose published rate is higher. \
         Source: <https://developers.cloudflare.com/fundamentals/api/reference/limits/>, 2026-04.\n\
         - The size of a request's body: {DEFAULT_BODY_BYTES} bytes, a default of this project. A choice: the API's limit is \
         not documented.\n",
        begin("Limits", "`crates/cfcache-model/src/limits.rs`"),
        table(head, rows),
        rate(GLOBAL, "requests")
    )
}

fn rate(rate: Rate, what: &str) -> String {
    match rate.per.as_secs() {
        1 => format!("{} {what} per second", rate.count),
        60 => format!("{} {what} per minute", rate.count),
        300 => format!("{} {what} in 5 minutes", rate.count),
        seconds => format!("{} {what} in {seconds} s", rate.count),
    }
}

/// Returns the start of a page.
fn begin(title: &str, from: &str) -> String {
    format!("<!-- Generated by `cargo xtask generate` from {from}; edits here are lost. -->\n\n# {title}\n\n")
}

/// Returns a table. `|` is escaped.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        table.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    table
}

/// Returns the name of a variant as words: `RateLimited` is "rate limited".
fn words(variant: &impl core::fmt::Debug) -> String {
    let mut words = String::new();
    for character in format!("{variant:?}").chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

/// Converts a fragment into a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}
