//! Rate limits, on a simulated clock.

use core::time::Duration;

use cfcache_emulator::{Config, Emulator, Hints};
use cfcache_model::Plan;
use cfcache_model::limits::Rate;
use serde_json::json;

use crate::support::{ZONE, header, json, purge, request, seconds, send, verdict};

const TAG: &str = r#"{"tags":["a"]}"#;

fn urls(count: usize) -> String {
    json!({ "files": vec!["https://example.com/"; count] }).to_string()
}

#[test]
fn each_plan_has_its_bucket() {
    // The plan, the bucket, and the milliseconds until one more request is allowed.
    let rows = [
        (Plan::Free, 25, 12_000),
        (Plan::Pro, 25, 200),
        (Plan::Business, 50, 100),
        (Plan::Enterprise, 500, 20),
    ];
    for (plan, bucket, next) in rows {
        let emulator = Emulator::new(Config::new(plan));
        for _ in 0..bucket {
            assert_eq!(send(&emulator, &purge(TAG)).status(), 200, "{plan}");
        }
        let early = Duration::from_millis(next) - Duration::from_nanos(1);
        for time in [Duration::ZERO, early] {
            assert_eq!(verdict(&emulator.handle(time, &purge(TAG))), (429, vec![1134]), "{plan} {time:?}");
        }
        let time = Duration::from_millis(next);
        assert_eq!(verdict(&emulator.handle(time, &purge(TAG))), (200, vec![]), "{plan}");
        assert_eq!(verdict(&emulator.handle(time, &purge(TAG))), (429, vec![1134]), "{plan}");
    }
}

#[test]
fn a_429_contains_the_message_and_retry_after() {
    let emulator = Emulator::new(Config::new(Plan::Free));
    for _ in 0..25 {
        assert_eq!(send(&emulator, &purge(TAG)).status(), 200);
    }
    let response = emulator.handle(Duration::from_millis(500), &purge(TAG));
    let message =
        "Unable to purge, rate limit reached. Please wait and consider throttling your request speed";
    assert_eq!(json(&response)["errors"], json!([{ "code": 1134, "message": message }]));
    // 11.5 seconds, rounded up.
    assert_eq!(header(&response, "retry-after"), Some("12"));
    assert_eq!(header(&response, "ratelimit-policy"), Some(r#""default";q=1200;w=300"#));
    assert_eq!(emulator.log().counts().rate_limited, 1);
    assert_eq!(emulator.purges().len(), 25);
}

#[test]
fn purges_of_all_forms_share_one_bucket() {
    let emulator = Emulator::new(Config::new(Plan::Free));
    let environment = format!("/environments/{}", crate::support::STAGING);
    let mut statuses = Vec::new();
    for (scope, action) in
        [("", "purge"), ("", "invalidate"), (&environment, "purge"), (&environment, "invalidate")]
    {
        for _ in 0..7 {
            let path = format!("/zones/{ZONE}{scope}/{action}_cache");
            statuses.push(send(&emulator, &request("POST", &path, TAG)).status().as_u16());
        }
    }
    assert_eq!(statuses, [vec![200; 25], vec![429; 3]].concat());
}

#[test]
fn urls_have_a_separate_bucket() {
    let emulator = Emulator::new(Config::new(Plan::Free));
    for _ in 0..8 {
        assert_eq!(send(&emulator, &purge(urls(100))).status(), 200);
    }
    let refused = send(&emulator, &purge(urls(100)));
    assert_eq!(verdict(&refused), (429, vec![1134]));
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    // The other bucket is full.
    assert_eq!(send(&emulator, &purge(TAG)).status(), 200);
    // 100 URLs at 800 per second.
    let eighth = Duration::from_millis(125);
    assert_eq!(emulator.handle(eighth - Duration::from_nanos(1), &purge(urls(100))).status(), 429);
    assert_eq!(emulator.handle(eighth, &purge(urls(100))).status(), 200);
}

#[test]
fn an_invalid_request_uses_no_tokens() {
    let emulator = Emulator::new(Config::new(Plan::Free));
    for _ in 0..100 {
        assert_eq!(send(&emulator, &purge("{}")).status(), 400);
    }
    assert_eq!(send(&emulator, &purge(TAG)).status(), 200);
}

#[test]
fn scales_the_published_limits() {
    let emulator = Emulator::new(Config::new(Plan::Pro).with_limit_scale(0.5));
    let accepted = (0..100).filter(|_| send(&emulator, &purge(TAG)).status() == 200).count();
    assert_eq!(accepted, 13);
    let accepted = (0..100).filter(|_| emulator.handle(seconds(2), &purge(TAG)).status() == 200).count();
    assert_eq!(accepted, 5);
    // The bucket of URLs contains half a second of the published rate.
    let accepted = (0..20).filter(|_| send(&emulator, &purge(urls(100))).status() == 200).count();
    assert_eq!(accepted, 7);
    for scale in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        let emulator = Emulator::new(Config::new(Plan::Pro).with_limit_scale(scale));
        assert_eq!(send(&emulator, &purge(urls(100))).status(), 200, "{scale}");
    }
}

#[test]
fn limits_calls_that_are_not_purges() {
    let emulator = Emulator::new(Config::new(Plan::Free));
    let call = |time| emulator.handle(time, &request("GET", "/zones", ""));
    let first = call(seconds(100));
    assert_eq!(header(&first, "ratelimit"), Some(r#""default";r=1199;t=300"#));
    assert_eq!(header(&first, "ratelimit-policy"), Some(r#""default";q=1200;w=300"#));
    for _ in 0..1199 {
        assert_eq!(call(seconds(399)).status(), 200);
    }
    let refused = call(Duration::from_millis(399_500));
    assert_eq!(verdict(&refused), (429, vec![971]));
    assert_eq!(header(&refused, "retry-after"), Some("300"));
    assert_eq!(header(&refused, "ratelimit"), Some(r#""default";r=0;t=300"#));
    // For the next five minutes, not only until the end of the window.
    assert_eq!(call(Duration::from_millis(699_499)).status(), 429);
    // Purges have separate limits.
    assert_eq!(emulator.handle(seconds(600), &purge(TAG)).status(), 200);
    assert_eq!(call(Duration::from_millis(699_500)).status(), 200);
}

#[test]
fn the_call_limit_resets_after_the_window() {
    let limit = Rate { count: 2, per: seconds(10) };
    let emulator = Emulator::new(Config::new(Plan::Free).with_call_limit(limit));
    let call = |time| emulator.handle(seconds(time), &request("GET", "/zones", "")).status().as_u16();
    assert_eq!(
        [call(0), call(9), call(10), call(19), call(19), call(28), call(29)],
        [200, 200, 200, 200, 429, 429, 200]
    );
}

#[test]
fn headers_contain_the_limits() {
    let one = |config: Config| send(&Emulator::new(config), &purge(TAG));
    let calls = one(Config::new(Plan::Free));
    assert_eq!(header(&calls, "ratelimit"), Some(r#""default";r=1200;t=300"#));
    let bucket = one(Config::new(Plan::Free).with_hints(Hints::Bucket));
    assert_eq!(header(&bucket, "ratelimit"), Some(r#""default";r=24;t=12"#));
    assert_eq!(header(&bucket, "ratelimit-policy"), Some(r#""default";q=25;w=300"#));
    for config in [Config::new(Plan::Free).with_hints(Hints::Silent), crate::support::unlimited()] {
        let silent = one(config);
        assert_eq!(header(&silent, "ratelimit"), None);
        assert_eq!(header(&silent, "ratelimit-policy"), None);
    }
    let emulator = Emulator::new(Config::new(Plan::Free).with_hints(Hints::Silent));
    let last = (0..26).map(|_| send(&emulator, &purge(TAG))).last().unwrap();
    assert_eq!((last.status().as_u16(), header(&last, "retry-after")), (429, None));
}

#[test]
fn limits_can_be_disabled() {
    let emulator = Emulator::new(Config::new(Plan::Free).with_limits(false));
    for _ in 0..2000 {
        assert_eq!(send(&emulator, &purge(TAG)).status(), 200);
        assert_eq!(send(&emulator, &request("GET", "/zones", "")).status(), 200);
    }
    // The maximum number of items in a request is enforced in any case.
    assert_eq!(verdict(&send(&emulator, &purge(urls(101)))), (400, vec![1094]));
}
