//! Objects that are no longer fresh.

use cfcache_edge::{OriginFailure, PurgeItems};
use cfcache_model::Plan;

use crate::support::{Site, URL, counting, response, script, seconds, tags};

const ETAG: (&str, &str) = ("etag", "\"a\"");
const FIVE: (&str, &str) = ("cache-control", "max-age=5");

#[test]
fn stale_objects_are_revalidated() {
    let last_modified = ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
    let mut site = Site::new(script(vec![
        Ok(response(200, &[ETAG, last_modified, FIVE, ("x-a", "1")], "one")),
        Ok(response(304, &[("x-a", "2")], "")),
        Ok(response(200, &[FIVE], "two")),
        Ok(response(200, &[FIVE], "three")),
    ]));
    assert_eq!(site.get(URL).cache(), "MISS");
    site.wait(6);
    let seen = site.get(URL);
    assert_eq!((seen.code, seen.cache(), &*seen.body, seen.header("x-a")), (200, "REVALIDATED", "one", "1"));
    let asked = site.asked.last().unwrap();
    assert_eq!(asked.headers()["if-none-match"], "\"a\"");
    assert_eq!(asked.headers()["if-modified-since"], last_modified.1);
    // It is fresh again, and its age is the time since the revalidation.
    site.wait(5);
    let seen = site.get(URL);
    assert_eq!((seen.cache(), seen.header("age")), ("HIT", "5"));
    site.wait(1);
    let seen = site.get(URL);
    assert_eq!((seen.cache(), &*seen.body, seen.header("age")), ("EXPIRED", "two", ""));
    assert_eq!(site.get(URL).body, "two");
    // The new object has no validator, so the next request is unconditional.
    site.wait(6);
    assert_eq!(site.get(URL).cache(), "EXPIRED");
    assert!(!site.asked.last().unwrap().headers().contains_key("if-none-match"));
}

#[test]
fn a_conditional_request_gets_304_after_revalidation() {
    let mut site =
        Site::new(script(vec![Ok(response(200, &[ETAG, FIVE], "one")), Ok(response(304, &[], ""))]));
    site.get(URL);
    site.wait(6);
    let seen = site.get_with(URL, &[("if-none-match", "\"a\"")]);
    assert_eq!((seen.code, seen.cache(), &*seen.body), (304, "REVALIDATED", ""));
}

#[test]
fn a_304_changes_five_headers() {
    let mut site = Site::new(script(vec![
        Ok(response(200, &[ETAG, FIVE, ("vary", "a"), ("cache-tag", "old"), ("x-a", "1")], "one")),
        Ok(response(
            304,
            &[
                ("etag", "\"b\""),
                ("cache-control", "max-age=50"),
                ("expires", "Fri, 15 Jan 2027 09:00:00 GMT"),
                ("cdn-cache-control", "max-age=70"),
                ("cache-tag", "new"),
                ("vary", "b"),
                ("x-a", "2"),
                ("last-modified", "Fri, 15 Jan 2027 07:00:00 GMT"),
            ],
            "",
        )),
    ]));
    site.get(URL);
    site.wait(6);
    let seen = site.get(URL);
    let expected = [
        ("etag", "\"b\""),
        ("cache-control", "max-age=50"),
        ("expires", "Fri, 15 Jan 2027 09:00:00 GMT"),
        ("cdn-cache-control", "max-age=70"),
        ("vary", "a"),
        ("x-a", "1"),
        ("last-modified", ""),
    ];
    for (name, value) in expected {
        assert_eq!(seen.header(name), value, "{name}");
    }
    site.wait(70);
    assert_eq!(site.get(URL).cache(), "HIT");
    assert_eq!(site.purge(tags(&["old"])).objects, 0);
    assert_eq!(site.purge(tags(&["new"])).objects, 1);
}

#[test]
fn a_304_has_the_ttl_of_the_rule() {
    let rule = r#"{"edge_ttl":{"mode":"respect_origin","status_code_ttl":[
        {"status_code":200,"value":10},{"status_code":304,"value":0}]}}"#;
    let mut site = Site::new(script(vec![
        Ok(response(200, &[ETAG], "one")),
        Ok(response(304, &[], "")),
        Ok(response(304, &[], "")),
    ]))
    .with_rule(rule);
    assert_eq!(site.statuses(URL, 2), ["MISS", "HIT"]);
    site.wait(11);
    assert_eq!(site.statuses(URL, 2), ["REVALIDATED", "REVALIDATED"]);
}

#[test]
fn always_revalidates_if_required() {
    let headers = &[ETAG, ("cache-control", "no-cache")];
    let mut site = Site::new(script(vec![
        Ok(response(200, headers, "one")),
        Ok(response(304, &[], "")),
        Ok(response(200, headers, "two")),
    ]))
    .with_plan(Plan::Free);
    assert_eq!(site.statuses(URL, 3), ["MISS", "REVALIDATED", "EXPIRED"]);
}

/// Directives, and for how many seconds an object is served during a refresh and during failures of the origin: on a
/// plan below Enterprise, and on Enterprise.
const WINDOWS: &[(&str, Windows, Windows)] = &[
    ("max-age=5", (0, FOREVER), (0, FOREVER)),
    ("max-age=5, stale-while-revalidate=10", (10, FOREVER), (10, FOREVER)),
    ("max-age=5, stale-if-error=20", (0, 20), (0, 20)),
    ("max-age=5, stale-if-error=0", (0, 0), (0, 0)),
    ("max-age=5, must-revalidate, stale-while-revalidate=10, stale-if-error=20", (0, 0), (10, 20)),
    ("max-age=5, proxy-revalidate, stale-while-revalidate=10, stale-if-error=20", (0, 0), (10, 20)),
    ("s-maxage=5, stale-while-revalidate=10, stale-if-error=20", (0, 0), (10, 20)),
];

type Windows = (u64, u64);

const FOREVER: u64 = 1_000_000_000;

#[test]
fn serves_stale_objects_within_their_windows() {
    for &(directives, below, enterprise) in WINDOWS {
        for (plan, (updating, on_error)) in [(Plan::Free, below), (Plan::Enterprise, enterprise)] {
            let after = |waited: u64, answer: Result<_, OriginFailure>| {
                let first = Ok(response(200, &[("cache-control", directives)], "one"));
                let mut site = Site::new(script(vec![first, answer])).with_plan(plan);
                site.get(URL);
                site.wait(5 + waited);
                let seen = site.get(URL);
                (seen.cache().to_owned(), seen.body)
            };
            let shown = format!("{directives} on {plan:?}");
            let two = || Ok(response(200, &[("cache-control", "max-age=5")], "two"));
            let while_updating = ("UPDATING".to_owned(), "one".to_owned());
            if updating > 0 {
                assert_eq!(after(1, two()), while_updating, "{shown}");
                assert_eq!(after(updating, two()), while_updating, "{shown}");
            }
            assert_eq!(after(updating + 1, two()), ("EXPIRED".to_owned(), "two".to_owned()), "{shown}");
            let down = || Err(OriginFailure::Refused);
            let stale = ("STALE".to_owned(), "one".to_owned());
            if on_error > updating {
                assert_eq!(after(updating + 1, down()), stale, "{shown}");
                assert_eq!(after(on_error, down()), stale, "{shown}");
                let broken = Ok(response(503, &[], "broken"));
                assert_eq!(after(updating + 1, broken), stale, "{shown}");
            }
            let beyond = on_error.max(updating) + 1;
            if on_error < FOREVER {
                assert_eq!(after(beyond, down()).0, "BYPASS", "{shown}");
                let broken = Ok(response(503, &[], "broken"));
                assert_eq!(after(beyond, broken), ("BYPASS".to_owned(), "broken".to_owned()), "{shown}");
            }
        }
    }
}

#[test]
fn does_not_serve_must_revalidate_objects_during_a_refresh() {
    let headers = &[("cache-control", "no-cache, stale-while-revalidate=10")];
    let mut site = Site::new(counting(headers)).with_plan(Plan::Free);
    assert_eq!(site.statuses(URL, 2), ["MISS", "EXPIRED"]);
}

#[test]
fn an_error_does_not_remove_the_object() {
    let no_stale = ("cache-control", "max-age=5, stale-if-error=0");
    let mut site = Site::new(script(vec![
        Ok(response(200, &[ETAG, no_stale], "one")),
        Ok(response(503, &[], "broken")),
        Ok(response(304, &[], "")),
    ]));
    site.get(URL);
    site.wait(6);
    assert_eq!(site.get(URL).body, "broken");
    let seen = site.get(URL);
    assert_eq!((seen.cache(), &*seen.body), ("REVALIDATED", "one"));
}

#[test]
fn drops_a_malformed_etag_of_a_304() {
    let mut site = Site::new(script(vec![
        Ok(response(200, &[ETAG, FIVE], "one")),
        Ok(response(304, &[("etag", "b")], "")),
    ]));
    site.get(URL);
    site.wait(6);
    assert_eq!(site.get(URL).header("etag"), "");
}

#[test]
fn always_online_ignores_the_stale_directives() {
    let directives = "max-age=5, stale-while-revalidate=10, stale-if-error=0";
    let first = || Ok(response(200, &[("cache-control", directives)], "one"));
    let mut site = Site::new(script(vec![first(), Err(OriginFailure::Timeout)]));
    site.edge.settings_mut().always_online = true;
    site.get(URL);
    site.wait(6);
    assert_eq!(site.get(URL).cache(), "STALE");
}

#[test]
fn a_rule_turns_off_stale_while_updating() {
    let mut site = Site::new(counting(&[("cache-control", "max-age=5, stale-while-revalidate=10")]))
        .with_rule(r#"{"serve_stale":{"disable_stale_while_updating":true}}"#);
    site.get(URL);
    site.wait(6);
    assert_eq!(site.get(URL).cache(), "EXPIRED");
}

#[test]
fn updating_refreshes_once_and_then_is_a_hit() {
    let mut site = Site::new(counting(&[("cache-control", "max-age=5, stale-while-revalidate=10"), ETAG]));
    site.get(URL);
    site.wait(6);
    let seen = site.get(URL);
    assert_eq!((seen.cache(), &*seen.body, seen.header("age")), ("UPDATING", "1", "6"));
    let seen = site.get(URL);
    assert_eq!((seen.cache(), &*seen.body), ("HIT", "2"));
    assert_eq!(site.asked.len(), 2);
}

#[test]
fn failures_have_their_status() {
    let cases = [
        (OriginFailure::Closed, 520),
        (OriginFailure::Refused, 521),
        (OriginFailure::ConnectTimeout, 522),
        (OriginFailure::Unreachable, 523),
        (OriginFailure::Timeout, 524),
    ];
    for (failure, code) in cases {
        let mut site = Site::new(Box::new(move |_| Err(failure)));
        let seen = site.get(URL);
        assert_eq!((seen.code, &*seen.body), (code, &*format!("error code: {code}\n")));
        assert_eq!(site.get("https://example.com/").code, code);
        assert!(site.edge.is_empty());
    }
}

#[test]
fn removes_objects_that_the_origin_no_longer_allows_to_store() {
    let mut site = Site::new(script(vec![
        Ok(response(200, &[FIVE], "one")),
        Ok(response(200, &[("cache-control", "private")], "two")),
        Err(OriginFailure::Refused),
    ]));
    site.get(URL);
    site.wait(6);
    assert_eq!(site.get(URL).why(), "bypass; private");
    assert_eq!(site.get(URL).code, 521);
}

#[test]
fn invalidated_objects_are_revalidated() {
    let unchanged = || vec![Ok(response(200, &[ETAG], "one")), Ok(response(304, &[], ""))];
    let mut site = Site::new(script(unchanged()));
    site.get(URL);
    assert_eq!(site.invalidate(PurgeItems::Everything).objects, 1);
    assert_eq!(site.statuses(URL, 2), ["REVALIDATED", "HIT"]);
    // A new version.
    let mut site = Site::new(counting(&[ETAG]));
    site.get(URL);
    site.invalidate(PurgeItems::Everything);
    assert_eq!(site.statuses(URL, 2), ["EXPIRED", "HIT"]);
    // The origin fails: an invalidated object may be served, unlike a purged one.
    let mut site = Site::new(script(vec![Ok(response(200, &[], "one")), Err(OriginFailure::Closed)]));
    site.get(URL);
    site.invalidate(PurgeItems::Everything);
    assert_eq!(site.get(URL).cache(), "STALE");
    // The object is missing.
    let mut site = Site::new(counting(&[]));
    assert_eq!(site.invalidate(PurgeItems::Everything).objects, 0);
    assert_eq!(site.get(URL).cache(), "MISS");
}

#[test]
fn an_invalidation_starts_the_stale_windows_but_never_extends_them() {
    let directives = "max-age=100, stale-while-revalidate=10";
    let site = || {
        let mut site = Site::new(counting(&[("cache-control", directives)]));
        site.get(URL);
        site
    };
    for (waited, expected) in [(0, "UPDATING"), (9, "UPDATING"), (11, "EXPIRED")] {
        let mut site = site();
        site.wait(50);
        site.invalidate(PurgeItems::Everything);
        site.now += seconds(waited);
        assert_eq!(site.get(URL).cache(), expected, "{waited}");
    }
    // A window that had started continues unchanged.
    for (waited, expected) in [(4, "UPDATING"), (6, "EXPIRED")] {
        let mut site = site();
        site.wait(105);
        site.invalidate(PurgeItems::Everything);
        site.now += seconds(waited);
        assert_eq!(site.get(URL).cache(), expected, "{waited}");
    }
}

#[test]
fn purged_objects_are_never_served_stale() {
    let mut site = Site::new(script(vec![
        Ok(response(200, &[ETAG], "one")),
        Err(OriginFailure::Refused),
        Ok(response(500, &[], "broken")),
    ]));
    site.get(URL);
    site.purge(PurgeItems::Everything);
    assert_eq!(site.get(URL).code, 521);
    assert!(!site.asked.last().unwrap().headers().contains_key("if-none-match"));
    assert_eq!(site.get(URL).body, "broken");
}
