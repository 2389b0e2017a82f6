//! Whatever the headers of an answer hold, what is read of it is within bounds.
//!
//! The lines of the input are `Retry-After`, `Date`, and one `Ratelimit-Policy` or more.
#![no_main]

use cfcache_client::RateHeaders;
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
    let hints = RateHeaders::from_headers(&headers);
    if let Some(quota) = hints.global_quota {
        let seconds = quota.per.as_secs();
        assert!((10..=3600).contains(&seconds) && (60..=200 * seconds).contains(&quota.count.into()));
    }
    headers.remove("date");
    let undated = RateHeaders::from_headers(&headers);
    assert!(undated.retry_after.is_none() || undated == hints, "a clock matters to dates alone");
});
