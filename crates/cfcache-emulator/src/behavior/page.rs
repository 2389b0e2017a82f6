//! Lists in pages.

use std::collections::HashMap;

use crate::answer::ApiResponse;
use crate::behavior::invalid;

/// The default number of items on a page.
const DEFAULT: usize = 20;

/// Answers with the page that `page` and `per_page` select. A page has at most `max` items.
pub(super) fn answer<T>(
    max: usize,
    query: &HashMap<String, String>,
    items: &[T],
    to_json: impl Fn(&T) -> String,
) -> ApiResponse {
    let page = query.get("page").map_or(Some(1), |page| number(page).filter(|page| *page >= 1));
    let allowed = 1..=max;
    let per_page = query
        .get("per_page")
        .map_or(Some(DEFAULT), |size| number(size).filter(|size| allowed.contains(size)));
    let Some(page) = page else { return invalid("invalid page parameter, must be 1 or more") };
    let Some(per_page) = per_page else {
        return invalid(format!("invalid per_page parameter, must be between 1 and {max}"));
    };

    let total = items.len();
    let pages = total.div_ceil(per_page);
    let skipped = per_page.saturating_mul(page - 1);
    let shown: Vec<String> = items.iter().skip(skipped).take(per_page).map(to_json).collect();
    let count = shown.len();
    let info = format!(
        r#"{{"page":{page},"per_page":{per_page},"total_pages":{pages},"count":{count},"total_count":{total}}}"#
    );
    ApiResponse::page(&format!("[{}]", shown.join(",")), &info)
}

/// Parses a whole number. The schema of some lists only says "number", which typed SDKs may write as `1.0`.
fn number(text: &str) -> Option<usize> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}
