//! `limits.md`, from the model's numbers.

use cfcache_model::limits::{DEFAULT_BODY_BYTES, GLOBAL, PURGE_LIMITS_DATE, PURGE_LIMITS_PAGE, Plan, Rate};

use crate::generate::reference::{begin, table};

const LIMITS: &str = "crates/cfcache-model/src/limits.rs";

pub(super) fn page() -> String {
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

    page.push_str(&format!(
        "\n## Others\n\n\
         - Every call of the API: {}, for a user, over all of their tokens and the dashboard. Over it, every call answers \
         429 for the next 5 minutes. Cache purge is named among the APIs with limits of their own, but which purge kinds \
         still count against this one is not documented; so the client paces calls and the flexible kinds below it, and \
         not single files, whose published rate could not be reached within it. \
         Source: <https://developers.cloudflare.com/fundamentals/api/reference/limits/>, 2026-04.\n\
         - The size of a request's body: {DEFAULT_BODY_BYTES} bytes, our own default bound. A choice: the API's limit is \
         not documented.\n",
        rate(GLOBAL, "requests")
    ));
    page
}

fn rate(rate: Rate, what: &str) -> String {
    match rate.per.as_secs() {
        1 => format!("{} {what} a second", rate.count),
        60 => format!("{} {what} a minute", rate.count),
        300 => format!("{} {what} in 5 minutes", rate.count),
        seconds => format!("{} {what} in {seconds} s", rate.count),
    }
}
