//! Lists that the API returns in pages.

use cfcache_client::Error;
use cfcache_model::verdict::Answer;

/// All pages of a list: the items, and the unchanged JSON.
pub struct AllPages<T> {
    /// The items of all pages.
    pub items: Vec<T>,
    /// One JSON array with the unchanged elements of all pages.
    pub raw: String,
}

/// Reads all pages, counted from 1.
pub async fn all<T>(
    mut read: impl AsyncFnMut(u32) -> Result<Answer<Vec<T>>, Error>,
) -> Result<AllPages<T>, Error> {
    let mut items = Vec::new();
    let mut raw: Vec<String> = Vec::new();
    for page in 1.. {
        let answer = read(page).await?;
        let is_empty = answer.result.is_empty();
        items.extend(answer.result);
        raw.extend(elements(&answer.raw));
        let pages = answer.result_info.and_then(|info| info.total_pages).unwrap_or(0);
        if is_empty || u64::from(page) >= pages {
            break;
        }
    }
    Ok(AllPages { items, raw: format!("[{}]", raw.join(",")) })
}

/// The text between the brackets of a JSON array, if there is any.
pub fn elements(array: &str) -> Option<String> {
    let inner = array.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    (!inner.is_empty()).then(|| inner.to_owned())
}
