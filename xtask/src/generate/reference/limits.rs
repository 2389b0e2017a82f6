//! `limits.md`, from the model's numbers.

use anyhow::Result;
use cfcache_model::limits::{PURGE_LIMITS_DATE, PURGE_LIMITS_PAGE, Plan, Rate};

use crate::generate::reference::{begin, table};
use crate::{repo, source};

const LIMITS: &str = "crates/cfcache-model/src/limits.rs";

pub(super) fn page() -> Result<String> {
    let mut page = begin("Limits", &format!("`{LIMITS}`"));
    page.push_str(&format!(
        "## Purge and invalidate\n\n\
         For an account, shared by all of its zones on the same plan; purge and invalidate draw from the same buckets.\n\
         Source: <{PURGE_LIMITS_PAGE}>, as of {PURGE_LIMITS_DATE}.\n\n"
    ));
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
        "At once at most",
        "Entries a request",
        "URLs",
        "URLs a request",
    ];
    page.push_str(&table(head, rows));

    page.push_str("\n## Others\n\n");
    for line in source::lines(&repo::read(LIMITS)?) {
        if let Some((name, kind, value)) = line.constant()
            && line.code.starts_with("pub ")
            && !kind.starts_with('&')
        {
            // The comment of anything but a number says what is in it.
            let is_number = matches!(kind, "u32" | "u64" | "usize");
            let value = if is_number { format!(" = {value}") } else { String::new() };
            page.push_str(&format!("- `{name}{value}`: {}\n", line.docs));
        }
    }
    Ok(page)
}

fn rate(rate: Rate, what: &str) -> String {
    match rate.per.as_secs() {
        1 => format!("{} {what} a second", rate.count),
        60 => format!("{} {what} a minute", rate.count),
        seconds => format!("{} {what} in {seconds} s", rate.count),
    }
}
