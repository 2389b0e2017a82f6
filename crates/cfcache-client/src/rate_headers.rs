//! What the headers of an answer say about pace.

use core::time::Duration;
use std::time::SystemTime;

use cfcache_model::limits::Rate;
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// What the headers of an answer say about pace.
///
/// Source: the changelog of 2025-09-03 and
/// <https://developers.cloudflare.com/fundamentals/api/reference/limits/>, 2026-04.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RateHeaders {
    /// `Retry-After`: how long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// `Ratelimit-Policy`: the quota under the name `default`, which is the one of all calls; others are of single
    /// endpoints.
    ///
    /// - Only where it can be meant: at least 60 requests in 10 seconds to an hour, and no more than 200 a second, which
    ///   is the documented limit of a client's address.
    ///
    /// `Ratelimit` is not read along with it: what it says is left was seen not to follow the real budget.
    pub global_quota: Option<Rate>,
}

impl RateHeaders {
    /// Reads the hints; what cannot be read is as if it were not there.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let date = headers.get(DATE).and_then(|value| value.to_str().ok());
        let policies = text("ratelimit-policy").unwrap_or_default().split(',').map(policy);
        Self {
            retry_after: text(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, date)),
            global_quota: policies
                .filter(|(name, _)| *name == "default")
                .find_map(|(_, quota)| quota)
                .filter(can_be_meant),
        }
    }
}

/// `Retry-After` is a number of seconds, or a date.
///
/// A date is read against the server's own `Date`, because our clock may be wrong; without one it says nothing. A
/// fraction of a second, which some servers send, is taken as well.
fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // More than fits is longer than anybody waits.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    if value.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return value.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    }
    let then: SystemTime = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// An item of `Ratelimit-Policy`: its name, and its quota.
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

/// A guard that is set wrong stops a run, or has the account shut out; a wild number is somebody's mistake.
fn can_be_meant(quota: &Rate) -> bool {
    let seconds = quota.per.as_secs();
    (10..=3600).contains(&seconds) && (60..=200 * seconds).contains(&u64::from(quota.count))
}

/// The number of a parameter in `"name";q=100;w=60`.
fn parameter(item: &str, name: &str) -> Option<u32> {
    item.split(';').skip(1).find_map(|pair| {
        let (key, number) = pair.split_once('=')?;
        (key.trim() == name).then(|| number.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(pairs: &[(&'static str, &'static str)]) -> RateHeaders {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        RateHeaders::from_headers(&headers)
    }

    #[test]
    fn retry_after_in_all_its_forms() {
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
            assert_eq!(hints(&[("retry-after", value), date]).retry_after, *expected, "{value:?}");
        }
        assert_eq!(hints(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")]).retry_after, None);
    }

    #[test]
    fn the_global_quota_is_the_one_that_is_named_so_and_can_be_meant() {
        let quota = |policy| hints(&[("ratelimit-policy", policy)]).global_quota;
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
    fn rubbish_says_nothing() {
        for rubbish in ["", ";", "=", "\"x\";q=;w=0", "\"x\";q=-1;w=5", "a,b;q=1;w=1"] {
            let hints = hints(&[("ratelimit-policy", rubbish)]);
            assert_eq!(hints, RateHeaders::default(), "{rubbish:?}");
        }
    }
}
