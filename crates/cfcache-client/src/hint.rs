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
pub struct Hints {
    /// `Retry-After`: how long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// `Ratelimit-Policy`: the quota, `"burst";q=100;w=60`.
    pub quota: Option<Rate>,
    /// `Ratelimit`: how much of it is left, `r`.
    pub remaining: Option<u32>,
    /// `Ratelimit`: when it starts anew, `t`.
    pub resets_in: Option<Duration>,
}

impl Hints {
    /// Reads the hints; what cannot be read is as if it were not there.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let date = headers.get(DATE).and_then(|value| value.to_str().ok());
        let limit = text("ratelimit").unwrap_or_default();
        let policy = text("ratelimit-policy").unwrap_or_default();
        Self {
            retry_after: text(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, date)),
            quota: match (parameter(policy, "q"), parameter(policy, "w")) {
                (Some(count), Some(window)) if count > 0 && window > 0 => {
                    Some(Rate { count, per: Duration::from_secs(window.into()) })
                }
                _ => None,
            },
            remaining: parameter(limit, "r"),
            resets_in: parameter(limit, "t").map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

/// `Retry-After` is a number of seconds, or a date.
///
/// A date is read against the server's own `Date`, because our clock may be wrong; without one it says nothing. A
/// fraction of a second, which some servers send, is taken as well.
fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    if value.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return value.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    }
    let then: SystemTime = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(date?.trim()).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// The number of a parameter in `"name";q=100;w=60`, of the first item where there are several.
fn parameter(value: &str, name: &str) -> Option<u32> {
    let first = value.split(',').next().unwrap_or_default();
    first.split(';').skip(1).find_map(|pair| {
        let (key, number) = pair.split_once('=')?;
        (key.trim() == name).then(|| number.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(pairs: &[(&'static str, &'static str)]) -> Hints {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        Hints::of(&headers)
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
            ("-1", None),
            ("soon", None),
            ("", None),
            ("1e400", None),
        ];
        for (value, expected) in rows {
            let expected = if *value == "99999999999999999999999" { None } else { *expected };
            let got = hints(&[("retry-after", value), date]).retry_after;
            match *value {
                // As seconds it is more than a century; how it is clamped does not matter, only that it is no panic.
                "99999999999999999999999" => {
                    assert!(got.is_none() || got > Some(Duration::from_secs(1 << 40)))
                }
                _ => assert_eq!(got, expected, "{value:?}"),
            }
        }
        assert_eq!(hints(&[("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")]).retry_after, None);
    }

    #[test]
    fn the_documented_headers() {
        let hints =
            hints(&[("ratelimit", "\"default\";r=50;t=30"), ("ratelimit-policy", "\"burst\";q=100;w=60")]);
        assert_eq!(hints.remaining, Some(50));
        assert_eq!(hints.resets_in, Some(Duration::from_secs(30)));
        assert_eq!(hints.quota, Some(Rate { count: 100, per: Duration::from_secs(60) }));
    }

    #[test]
    fn rubbish_says_nothing() {
        for rubbish in ["", ";", "=", "\"x\";q=;w=0", "\"x\";q=-1;w=5", "a,b;q=1;w=1"] {
            let hints = hints(&[("ratelimit-policy", rubbish), ("ratelimit", rubbish)]);
            assert_eq!(hints, Hints::default(), "{rubbish:?}");
        }
    }
}
