//! Lists that the API returns in pages.

use cfcache_client::Error;
use cfcache_model::verdict::Answer;

/// Reads all pages, counted from 1. Returns the answer with the items of all of them; its `raw` is one JSON array with
/// their unchanged elements.
pub async fn all<T>(
    mut read: impl AsyncFnMut(u32) -> Result<Answer<Vec<T>>, Error>,
) -> Result<Answer<Vec<T>>, Error> {
    let mut all = read(1).await?;
    let mut raw: Vec<String> = elements(&all.raw).into_iter().collect();
    let mut is_last = all.result.is_empty();
    for page in 1.. {
        let pages = all.result_info.as_ref().and_then(|info| info.total_pages).unwrap_or(0);
        if is_last || u64::from(page) >= pages {
            break;
        }
        let answer = read(page + 1).await?;
        is_last = answer.result.is_empty();
        all.result.extend(answer.result);
        all.result_info = answer.result_info;
        raw.extend(elements(&answer.raw));
    }
    all.raw = format!("[{}]", raw.join(","));
    Ok(all)
}

/// The text between the brackets of a JSON array, if there is any.
pub fn elements(array: &str) -> Option<String> {
    let inner = array.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    (!inner.is_empty()).then(|| inner.to_owned())
}
