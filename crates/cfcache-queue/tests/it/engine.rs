//! The decisions of a worker: coverage, budgets and settlements.

use std::time::Duration;

use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use cfcache_model::limits::{GLOBAL, Rate};
use cfcache_queue::engine::{
    ApiHealth, BudgetBucket, MAX_ATTEMPTS, MAX_BLOCK, TargetOutcome, backoff, covers, flexible_bucket,
    global_bucket, host_of, identity, rank, settle, url_bucket,
};
use cfcache_queue::{NewRequest, Settlement, Subject};
use proptest::prelude::*;

use crate::support::{config, invalidate, purge, requests};

/// Returns the rank of the request's kind.
fn rank_of(request: &NewRequest) -> u8 {
    match &request.subject {
        Subject::Everything => rank(None),
        Subject::Target(target) => rank(Some(target.kind())),
    }
}

/// An object in a cache, with the properties that purges distinguish.
#[derive(Debug, Clone)]
struct Object {
    environment: Option<&'static str>,
    /// In lower case.
    host: &'static str,
    /// Path and query of the visitor's request.
    path: String,
    /// Path and query of the request to the origin, after Transform Rules.
    origin_path: String,
    header: Option<&'static str>,
    tag: &'static str,
}

/// Returns whether an API request reaches an object. Where the documentation is ambiguous, `widely` chooses the
/// interpretation that reaches more objects.
fn reaches(request: &NewRequest, object: &Object, widely: bool) -> bool {
    if request.environment.as_deref() != object.environment {
        let clears_all = request.environment.is_none() && request.subject == Subject::Everything;
        return clears_all && (request.action == Action::Purge || widely);
    }
    let key = request.subject.key();
    match request.subject.kind() {
        "everything" => true,
        "tags" => object.tag.eq_ignore_ascii_case(&key),
        "hosts" => key == object.host || (widely && key.to_ascii_lowercase().starts_with(object.host)),
        "prefixes" => {
            let (host, path) =
                key.split_once('/').map_or((&*key, String::new()), |(host, path)| (host, format!("/{path}")));
            let is_host =
                host == object.host || (widely && host.to_ascii_lowercase().starts_with(object.host));
            let whole = &object.origin_path;
            let is_behind = |rest: &str| {
                rest.is_empty() || path.is_empty() || path.ends_with('/') || rest.starts_with(['/', '?'])
            };
            is_host && whole.strip_prefix(&*path).is_some_and(|rest| widely || is_behind(rest))
        }
        "files" => {
            let Subject::Target(cfcache_model::Target::Files(file)) = &request.subject else {
                unreachable!()
            };
            let header = file.headers().first().map(|header| header.value());
            let rest = file.url().as_str().split_once("://").unwrap().1;
            let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
            let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let path = path.split('#').next().unwrap_or_default();
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            // The text after a colon may or may not be ignored.
            let host = host.to_ascii_lowercase();
            let is_host = host == object.host || (widely && host.split(':').next() == Some(object.host));
            is_host && header == object.header && path == object.path
        }
        kind => unreachable!("{kind}"),
    }
}

fn objects() -> impl Strategy<Value = Object> {
    let path = || "/(a|b|ab)?(/(a|b))?(\\?a)?";
    let rewritten = prop_oneof![Just(None), path().prop_map(Some)];
    (
        prop::option::of(prop_oneof![Just("e1"), Just("e2")]),
        prop_oneof![Just("a.example"), Just("b.example")],
        path(),
        rewritten,
        prop::option::of(prop_oneof![Just("x"), Just("y")]),
        prop_oneof![Just("a"), Just("B")],
    )
        .prop_map(|(environment, host, path, rewritten, header, tag)| {
            let origin_path = rewritten.unwrap_or_else(|| path.clone());
            Object { environment, host, path, origin_path, header, tag }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..config() })]

    /// With any interpretation of the documentation, a covering request reaches every object that the covered one may
    /// reach.
    #[test]
    fn a_covering_request_reaches_every_object_of_the_covered_one(
        accepted in requests(),
        other in requests(),
        objects in prop::collection::vec(objects(), 30),
    ) {
        if !covers(&accepted, &other) {
            return Ok(());
        }
        prop_assert_eq!(&accepted.zone, &other.zone);
        prop_assert!(accepted.action == Action::Purge || other.action == Action::Invalidate);
        let same = accepted.subject.kind() == other.subject.kind()
            && identity(&accepted.subject) == identity(&other.subject)
            && accepted.environment == other.environment;
        for object in objects {
            // Equal requests reach the same objects, whatever those are.
            prop_assert!(
                same || !reaches(&other, &object, true) || reaches(&accepted, &object, false),
                "{object:?}",
            );
        }
    }

    #[test]
    fn coverage_is_reflexive_and_transitive(one in requests(), two in requests(), three in requests()) {
        prop_assert!(covers(&one, &one));
        if covers(&one, &two) && covers(&two, &three) {
            prop_assert!(covers(&one, &three));
        }
        if covers(&one, &two) && one.subject.kind() != two.subject.kind() {
            prop_assert!(rank_of(&one) < rank_of(&two), "a covering kind goes first");
        }
    }
}

#[test]
fn coverage_by_example() {
    let url = |text: &str| purge("files", text);
    let host = purge("hosts", "www.example.com");
    let prefix = purge("prefixes", "www.example.com/blog");
    let everything = purge("everything", "");
    for request in [
        url("https://www.example.com/a"),
        url("http://WWW.example.com?q"),
        url(r#"{"url":"https://www.example.com/a","headers":{"CF-Device-Type":"mobile"}}"#),
        url("https://www.example.com/a/../b"),
        prefix.clone(),
        purge("prefixes", "www.example.com"),
        invalidate("files", "https://www.example.com/a"),
        invalidate("hosts", "www.example.com"),
    ] {
        assert!(covers(&host, &request), "{request:?}");
        assert!(covers(&everything, &request), "{request:?}");
    }
    for request in [
        url("https://www.example.com:443/a"),
        url("https://user@www.example.com/a"),
        url("https://www.example.com/a#b"),
        url("https://example.com/a"),
        purge("tags", "www.example.com"),
        purge("hosts", "WWW.example.com"),
        purge("hosts", "www.example.com:443"),
        everything.clone(),
    ] {
        assert!(!covers(&host, &request), "{request:?}");
    }
    for request in [purge("prefixes", "www.example.com/blog/a"), purge("prefixes", "www.example.com/blog/")] {
        assert!(covers(&prefix, &request), "{request:?}");
    }
    for request in [
        purge("prefixes", "www.example.com/blogs"),
        purge("prefixes", "www.example.com/blog/../a"),
        purge("prefixes", "www.example.com/blog/%2E%2e/a"),
        purge("prefixes", "www.example.com"),
        // A prefix is compared after Transform Rules, but a URL before them.
        url("https://www.example.com/blog/a"),
        host.clone(),
    ] {
        assert!(!covers(&prefix, &request), "{request:?}");
    }
    assert!(covers(&purge("tags", "News"), &purge("tags", "nEws")));
    assert!(!covers(&purge("tags", "news"), &purge("hosts", "news")));
    let with_header = url(r#"{"url":"https://www.example.com/a","headers":{"CF-Device-Type":"mobile"}}"#);
    assert!(!covers(&url("https://www.example.com/a"), &with_header));
    assert!(!covers(&invalidate("everything", ""), &url("https://www.example.com/a")));

    let staging = |request: &NewRequest| NewRequest { environment: Some("e1".to_owned()), ..request.clone() };
    assert!(covers(&everything, &staging(&host)));
    assert!(!covers(&host, &staging(&host)));
    assert!(!covers(&staging(&everything), &host));
    assert!(covers(&staging(&everything), &staging(&host)));
    assert!(!covers(&invalidate("everything", ""), &staging(&invalidate("everything", ""))));
}

#[test]
fn host_of_is_none_if_uncertain() {
    let host = |kind: &str, key: &str| host_of(&purge(kind, key).subject).map(std::borrow::Cow::into_owned);
    assert_eq!(host("files", "https://WWW.Example.com"), Some("www.example.com".to_owned()));
    assert_eq!(host("files", "https://[::1]/a"), Some("[::1]".to_owned()));
    assert_eq!(host("hosts", "bücher.example"), None);
    assert_eq!(host("hosts", "WWW.example.com"), None);
    assert_eq!(host("prefixes", "www.example.com:80/a"), None);
    assert_eq!(host("tags", "www.example.com"), None);
    assert_eq!(host("everything", ""), None);
}

#[test]
fn kinds_that_cover_more_go_first() {
    let mut requests = [
        purge("files", "https://a.example/"),
        purge("tags", "a"),
        purge("prefixes", "a.example/a"),
        purge("everything", ""),
        purge("hosts", "a.example"),
    ];
    requests.sort_by_key(rank_of);
    let kinds = requests.each_ref().map(|request| request.subject.kind());
    assert_eq!(kinds, ["everything", "hosts", "prefixes", "tags", "files"]);
}

/// A simple token bucket: a level that is refilled, counted in parts of a token to avoid rounding.
struct SimpleBucket {
    interval_us: u64,
    burst: u64,
    level: u64,
    at: u64,
}

impl SimpleBucket {
    fn take(&mut self, now: u64, count: u64) -> bool {
        self.level = (self.level + (now - self.at)).min(self.burst * self.interval_us);
        self.at = now;
        let is_there = self.level >= count * self.interval_us;
        self.level -= if is_there { count * self.interval_us } else { 0 };
        is_there
    }
}

proptest! {
    #![proptest_config(config())]

    /// The bucket gives tokens whenever the simple bucket does, and each wait is exactly as long as needed.
    #[test]
    fn a_bucket_agrees_with_a_simple_token_bucket(
        interval_us in 1_u64..20_000,
        burst in 1_u32..600,
        takes in prop::collection::vec((0_u64..2_000_000, 1_u32..700), 1..100),
    ) {
        let mut bucket = BudgetBucket::new(interval_us, burst);
        let level = u64::from(burst) * interval_us;
        let mut naive = SimpleBucket { interval_us, burst: burst.into(), level, at: 0 };
        let mut now = 0;
        for (pause, count) in takes {
            now += pause;
            let taken = bucket.take(now, count);
            prop_assert_eq!(taken.is_ok(), naive.take(now, count.min(burst).into()));
            if let Err(ready) = taken {
                prop_assert!(ready > now);
                prop_assert!(bucket.tokens(ready) >= count.min(burst) && bucket.tokens(ready - 1) < count.min(burst));
            }
        }
    }

    /// Requests may reach the server up to 0.3 s after sending, in any order. Its bucket must always have a token.
    #[test]
    fn never_exceeds_the_published_rates(
        plan in prop::sample::select(Plan::ALL),
        urls in any::<bool>(),
        requests in prop::collection::vec((0_u64..3_000_000, 0_u64..300_000, 1_u32..500), 50..300),
    ) {
        let limits = plan.purge_limits();
        let (mut bucket, rate, burst) = if urls {
            (url_bucket(&limits, 1.0), limits.urls, limits.urls.count)
        } else {
            (flexible_bucket(&limits, 1.0), limits.flexible_requests, limits.flexible_burst)
        };
        let mut now = 1;
        let mut arrivals = Vec::new();
        for (pause, lag, count) in requests {
            // Mostly as soon as a token is available.
            now += if pause > 2_900_000 { pause } else { 0 };
            let count = count.min(bucket.burst);
            while let Err(ready) = bucket.take(now, count) {
                now = ready;
            }
            arrivals.push((now + lag, count));
        }
        arrivals.sort_unstable();
        // In parts of a token, as in the emulator.
        let unit = rate.per.as_micros();
        let capacity = unit * u128::from(burst);
        let (mut level, mut at) = (capacity, 0);
        for (time, tokens) in arrivals {
            level = (level + u128::from(time - at) * u128::from(rate.count)).min(capacity);
            at = time;
            let cost = unit * u128::from(tokens);
            prop_assert!(level >= cost, "429 at {time}");
            level -= cost;
        }
    }

    #[test]
    fn never_exceeds_a_share(permille in 1_u32..=1000, plan in prop::sample::select(Plan::ALL)) {
        let limits = plan.purge_limits();
        let share = f64::from(permille) / 1000.0;
        let buckets = [
            (flexible_bucket(&limits, share), limits.flexible_requests),
            (url_bucket(&limits, share), limits.urls),
        ];
        for (bucket, rate) in buckets {
            let Rate { count, per } = rate;
            let used = per.as_micros() as f64 / bucket.interval_us as f64;
            prop_assert!(used <= f64::from(count) * share, "{used}");
            prop_assert!(used >= f64::from(count) * share * 0.985, "{used} of {count} by {share}");
        }
    }
}

#[test]
fn never_exceeds_the_global_quota_in_any_window() {
    let bucket = global_bucket(1.0);
    let in_window = u64::from(bucket.burst) + GLOBAL.per.as_micros() as u64 / bucket.interval_us;
    assert!(in_window <= u64::from(GLOBAL.count), "{in_window}");
    assert!(in_window >= u64::from(GLOBAL.count) * 98 / 100, "{in_window}");
}

#[test]
fn a_refusal_blocks_and_empties_the_bucket() {
    let mut bucket = BudgetBucket::new(1_000, 50);
    assert_eq!(bucket.take(0, 10), Ok(()));
    bucket.refused(5_000, Duration::from_secs(2));
    assert_eq!(bucket.tokens(1_000_000), 0);
    assert_eq!(bucket.take(6_000, 1), Err(2_006_000));
    // Later refusals of other requests in flight do not shorten a wait.
    bucket.refused(6_000, Duration::from_secs(1));
    assert_eq!(bucket.blocked_until, 2_005_000);
    bucket.refused(2_004_999, Duration::ZERO);
    assert_eq!(bucket.tokens(2_005_000), 0);
    assert_eq!(bucket.tokens(2_006_000), 1);
}

#[test]
fn resizing_a_bucket_keeps_used_tokens() {
    let mut bucket = BudgetBucket::new(1_000, 50);
    assert_eq!(bucket.take(0, 40), Ok(()));
    bucket.resize(0, &BudgetBucket::new(100, 500));
    assert_eq!(bucket.tokens(0), 460);
    bucket.resize(0, &BudgetBucket::new(1_000, 20));
    assert_eq!(bucket.tokens(0), 0);
    assert_eq!(bucket.tokens(1_000), 1);
}

#[test]
fn backoff_doubles_up_to_30_seconds() {
    let range = |failures| (backoff(failures, 0), backoff(failures, 250_000));
    assert_eq!(range(0), (Duration::from_millis(250), Duration::from_millis(500)));
    assert_eq!(backoff(3, 0), Duration::from_secs(2));
    for failures in [7, 31, 32, u32::MAX] {
        assert_eq!(backoff(failures, 0), Duration::from_secs(15));
        assert!(backoff(failures, u64::MAX) <= Duration::from_secs(30));
    }
}

#[test]
fn an_outage_gives_up_no_request_and_pauses_the_worker() {
    let mut health = ApiHealth::new();
    let failed = TargetOutcome::Failed("broken".to_owned());
    health.failed();
    health.failed();
    assert_eq!((health.is_down(), health.pause(0)), (false, Duration::ZERO));
    let again = |counts, after| Settlement::TryAgain { after, error: "broken".to_owned(), counts };
    // However high the number is: stores judge each request by its own attempts.
    for attempts in [0, 5, MAX_ATTEMPTS] {
        let settlement = settle(&failed, attempts, health.is_down(), 0);
        assert_eq!(settlement, again(true, backoff(attempts, 0)));
    }
    health.failed();
    assert_eq!(settle(&failed, 0, health.is_down(), 0), again(false, backoff(0, 0)));
    assert!(health.pause(0) > Duration::ZERO);
    for _ in 0..100 {
        health.failed();
    }
    assert!(health.pause(0) >= Duration::from_secs(15) && health.pause(u64::MAX) <= Duration::from_secs(30));
    health.answered();
    assert!(!health.is_down());
}

#[test]
fn a_bucket_is_not_blocked_for_long_if_the_clock_goes_back() {
    let (year, day) = (365 * 86_400_000_000, 86_400_000_000);
    let mut bucket = BudgetBucket::new(1_000, 10);
    bucket.take(year, 10).unwrap();
    assert_eq!(bucket.take(day, 1), Err(day + 1_000));
    bucket.refused(year, Duration::MAX);
    assert_eq!(bucket.blocked_until - year, u64::try_from(MAX_BLOCK.as_micros()).unwrap());
    assert_eq!((bucket.tokens(day), bucket.take(day, 1)), (0, Err(day + 1_000)));
    assert_eq!(bucket.tokens(day + 10_000), 10);
}
