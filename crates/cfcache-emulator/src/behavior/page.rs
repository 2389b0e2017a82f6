//! Lists that come in pages.

use crate::answer::ApiResponse;
use crate::behavior::{Call, invalid};
use crate::route;

/// The pairs of a query.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(call: &Call<'_>) -> Self {
        Self(route::query(call.query))
    }

    /// Of a parameter that comes twice, the last counts.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How many items a page may have.
pub(super) struct PageSizes {
    pub(super) fewest: usize,
    pub(super) most: usize,
    /// Where the request does not say.
    pub(super) usual: usize,
}

impl PageSizes {
    /// Answers with the page that is asked for by `page` and `per_page`.
    pub(super) fn answer<T>(
        &self,
        query: &Query,
        items: &[T],
        to_json: impl Fn(&T) -> String,
    ) -> ApiResponse {
        let page = query.last("page").map_or(Some(1), |page| number(page).filter(|page| *page >= 1));
        let allowed = self.fewest..=self.most;
        let per_page = query
            .last("per_page")
            .map_or(Some(self.usual), |size| number(size).filter(|size| allowed.contains(size)));
        let Some(page) = page else { return invalid("invalid page parameter, must be 1 or more") };
        let Some(per_page) = per_page else {
            let (fewest, most) = (self.fewest, self.most);
            return invalid(format!("invalid per_page parameter, must be between {fewest} and {most}"));
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
}

/// A whole number. The schema of some lists says no more than "number", which typed SDKs may write as `1.0`.
fn number(text: &str) -> Option<usize> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}
