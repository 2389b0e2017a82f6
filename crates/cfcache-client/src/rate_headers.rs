//! The rate limits in the headers of a response.
//!
//! Source: the changelog of 2025-09-03 and
//! <https://developers.cloudflare.com/fundamentals/api/reference/limits/>, 2026-04.

use core::time::Duration;
use std::time::SystemTime;

use cfcache_model::limits::Rate;
use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The wait that the server demands with `Retry-After`: a number of seconds, or a date. `None` if there is no such
/// header, or if it cannot be read.
///
/// A date is compared with the server's own `Date`, because our clock may be wrong; without a `Date` it is ignored.
/// Fractions of a second, which some servers send, are accepted.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // A number that does not fit is longer than any wait.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    if value.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return value.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    }
    let then: SystemTime = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?.trim()).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// The quota for all calls: the one named `default` in `Ratelimit-Policy`. Others apply to single endpoints.
///
/// `None` if there is none, or if it is not plausible. A plausible one has at least 60 requests in 10 seconds to an
/// hour, and at most 200 per second, which is the documented limit for one client address.
///
/// `Ratelimit` is not used: its remaining quota was observed not to follow the real one.
#[must_use]
pub fn global_quota(headers: &HeaderMap) -> Option<Rate> {
    let policies = headers.get(RATELIMIT_POLICY)?.to_str().ok()?;
    policies
        .split(',')
        .map(policy)
        .filter(|(name, _)| *name == "default")
        .find_map(|(_, quota)| quota)
        .filter(can_be_meant)
}

/// Parses an item of `Ratelimit-Policy`: its name and its quota.
fn policy(item: &str) -> (&str, Option<Rate>) {
    let name = item.split(';').next().unwrap_or_default().trim().trim_matches('"');
    let quota = match (parameter(item, "q"), parameter(item, "w")) {
        (Some(count), Some(window)) if count > 0 && window > 0 => {
            Some(Rate { count, per: Duration::from_secs(window.into()) })
        }
        _ => None,
    };
    (name, quota)
}

/// Returns whether a quota is plausible. A wrong quota stops a run, or gets the account blocked.
fn can_be_meant(quota: &Rate) -> bool {
    let seconds = quota.per.as_secs();
    (10..=3600).contains(&seconds) && (60..=200 * seconds).contains(&u64::from(quota.count))
}

/// The numeric parameter `name` of an item such as `"name";q=100;w=60`.
fn parameter(item: &str, name: &str) -> Option<u32> {
    item.split(';').skip(1).find_map(|pair| {
        let (key, number) = pair.split_once('=')?;
        (key.trim() == name).then(|| number.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn retry_after_is_parsed_in_all_forms() {
        let date = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        let rows: &[(&'static str, Option<Duration>)] = &[
            ("0", Some(Duration::ZERO)),
            ("120", Some(Duration::from_secs(120))),
            (" 7 ", Some(Duration::from_secs(7))),
            ("1.5", Some(Duration::from_millis(1500))),
            ("Wed, 21 Oct 2026 07:28:30 GMT", Some(Duration::from_secs(30))),
            ("Wednesday, 21-Oct-26 07:29:00 GMT", Some(Duration::from_secs(60))),
            ("Wed Oct 21 07:28:02 2026", Some(Duration::from_secs(2))),
            ("Wed, 21 Oct 2026 07:00:00 GMT", Some(Duration::ZERO)),
            ("99999999999999999999999", Some(Duration::MAX)),
            ("18446744073709551615", Some(Duration::from_secs(u64::MAX))),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("1e400", None),
        ];
        for (value, expected) in rows {
            assert_eq!(retry_after(&headers(&[("retry-after", value), date])), *expected, "{value:?}");
        }
        assert_eq!(retry_after(&headers(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")])), None);
        assert_eq!(retry_after(&headers(&[])), None);
    }

    #[test]
    fn the_global_quota_is_the_plausible_default_policy() {
        let quota = |policy| global_quota(&headers(&[("ratelimit-policy", policy)]));
        let rate = |count, seconds| Some(Rate { count, per: Duration::from_secs(seconds) });
        assert_eq!(quota("\"default\";q=1200;w=300"), rate(1200, 300));
        assert_eq!(quota("\"list_zones\";q=10;w=60, \"default\"; q=2400; w=300"), rate(2400, 300));
        assert_eq!(quota("default;q=1200;w=300"), rate(1200, 300));
        for other in [
            "\"list_zones\";q=1200;w=300",
            "\"burst\";q=100;w=60",
            "\"default\";q=1;w=300",
            "\"default\";q=4294967295;w=300",
            "\"default\";q=1200;w=1",
            "\"default\";q=1200;w=0",
            "\"default\";q=1200;w=86400",
            "\"default\"",
        ] {
            assert_eq!(quota(other), None, "{other}");
        }
    }

    #[test]
    fn unreadable_headers_are_ignored() {
        for rubbish in ["", ";", "=", "\"x\";q=;w=0", "\"x\";q=-1;w=5", "a,b;q=1;w=1"] {
            assert_eq!(global_quota(&headers(&[("ratelimit-policy", rubbish)])), None, "{rubbish:?}");
        }
    }
}
