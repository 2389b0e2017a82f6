//! Whatever the headers of an answer hold, what is read of it is within bounds.
//!
//! The lines of the input are `Retry-After`, `Date`, and one `Ratelimit-Policy` or more.
#![no_main]

use cfcache_client::rate_headers::{global_quota, retry_after};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let names = ["retry-after", "date"].into_iter();
    let mut headers = HeaderMap::new();
    for (name, line) in
        names.chain(std::iter::repeat("ratelimit-policy")).zip(input.split(|byte| *byte == b'\n'))
    {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    if let Some(quota) = global_quota(&headers) {
        let seconds = quota.per.as_secs();
        assert!((10..=3600).contains(&seconds) && (60..=200 * seconds).contains(&quota.count.into()));
    }
    let dated = retry_after(&headers);
    headers.remove("date");
    let undated = retry_after(&headers);
    assert!(undated.is_none() || undated == dated, "a clock matters to dates alone");
});
