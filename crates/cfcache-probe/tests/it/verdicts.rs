//! Each row of the decision table, and each case in which other checks are known to fail.

use core::time::Duration;
use std::time::SystemTime;

use cfcache_model::endpoint::Action;
use cfcache_probe::{Body, ExpectedBody, PurgeTimes, Sha256, Verdict, VisitorAnswer, edge_error, judge};
use http::{HeaderMap, StatusCode};

const NEW: Sha256 = Sha256::new([7; 32]);
const EXACTLY_NEW: Option<ExpectedBody> = Some(ExpectedBody::Exactly(NEW));
const OLD: Sha256 = Sha256::new([3; 32]);

/// Parses an answer of the edge: `200 HIT age=3`, `302 location=/b`, `403 cf-mitigated=challenge`; `bare` means that it
/// is not from Cloudflare.
fn answer(text: &str) -> VisitorAnswer {
    let mut words = text.split_whitespace();
    let status = StatusCode::from_bytes(words.next().unwrap().as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    let mut body = Body::new(100);
    headers.insert("cf-ray", "8f3a1b2c3d4e5f60-FRA".parse().unwrap());
    for word in words {
        match word.split_once('=') {
            Some(("body", "new")) => body.sha256 = Some(NEW),
            Some(("body", "old")) => body.sha256 = Some(OLD),
            Some(("error", code)) => body.edge_error = edge_error(format!("error code: {code}").as_bytes()),
            Some((name, value)) => {
                let name: http::HeaderName = name.parse().unwrap();
                headers.insert(name, value.parse().unwrap());
            }
            None if word == "bare" => headers.clear(),
            None => {
                headers.insert("cf-cache-status", word.parse().unwrap());
            }
        }
    }
    VisitorAnswer::from_head(status, &headers, SystemTime::UNIX_EPOCH).with_body(body)
}

/// Returns the verdict ten seconds after the purge was accepted.
fn verdict(action: Action, text: &str, expected: Option<ExpectedBody>) -> Verdict {
    let purged = PurgeTimes::new(action, Duration::from_secs(10), Duration::from_millis(10_080));
    judge(purged, &answer(text), expected)
}

#[test]
fn decision_table() {
    for (given, purge, invalidate) in [
        ("200 MISS", "proven", "proven"),
        ("404 MISS", "proven", "proven"),
        ("301 MISS location=/b", "proven", "proven"),
        ("200 EXPIRED", "proven", "proven"),
        ("200 HIT age=0", "refilled", "refilled"),
        ("200 HIT age=9", "refilled", "refilled"),
        ("200 HIT", "unproven", "unproven"),
        ("200 HIT age=10", "unproven", "unproven"),
        ("200 HIT age=11", "survivor", "survivor"),
        ("200 HIT age=86400", "survivor", "survivor"),
        ("404 HIT age=86400", "survivor", "survivor"),
        ("503 HIT age=86400", "survivor", "survivor"),
        ("200 UPDATING age=86400", "survivor", "proven"),
        ("200 STALE age=86400", "survivor", "unproven"),
        ("200 REVALIDATED", "unproven", "proven"),
        ("200 DYNAMIC", "not_cached", "not_cached"),
        ("200 BYPASS", "not_cached", "not_cached"),
        ("200 bare", "not_cached", "not_cached"),
        ("500 bare", "not_cached", "not_cached"),
        ("200", "not_cached", "not_cached"),
        ("301 location=https://b.test/", "not_cached", "not_cached"),
        ("403 cf-mitigated=challenge", "unproven", "unproven"),
        ("503 cf-mitigated=challenge", "unproven", "unproven"),
        ("200 HIT age=86400 cf-mitigated=challenge", "unproven", "unproven"),
        ("302 location=https://team.cloudflareaccess.com/cdn-cgi/access/login", "unproven", "unproven"),
        ("429", "unproven", "unproven"),
        ("429 MISS", "unproven", "unproven"),
        ("403 error=1020", "unproven", "unproven"),
        ("403", "unproven", "unproven"),
        ("403 MISS", "proven", "proven"),
        ("500 MISS", "unproven", "unproven"),
        ("520", "unproven", "unproven"),
        ("503 DYNAMIC", "unproven", "unproven"),
        ("200 WARP", "unproven", "unproven"),
        ("200 NONE", "not_cached", "not_cached"),
        ("301 NONE/UNKNOWN location=/b", "not_cached", "not_cached"),
        ("403 NONE", "unproven", "unproven"),
        ("200 HIT age=99999999999999999999", "survivor", "survivor"),
    ] {
        for (action, expected) in [(Action::Purge, purge), (Action::Invalidate, invalidate)] {
            let found = verdict(action, given, None);
            assert_eq!(found.as_str(), expected, "{action} then {given}: {found}");
        }
    }
}

const GZIPPED: &str = "the body is compressed (gzip) without a request for it, so it was not compared";

#[test]
fn with_an_expected_body_only_that_body_is_proven() {
    for (given, expected) in [
        ("200 MISS body=new", "proven"),
        ("200 MISS body=old", "the body is not the expected one"),
        ("200 HIT age=2 body=new", "cached again since the purge"),
        ("200 HIT age=2 body=old", "the body is not the expected one"),
        // The origin says "not changed", and the hash confirms it.
        ("200 REVALIDATED body=new", "proven"),
        ("200 REVALIDATED body=old", "the body is not the expected one"),
        ("200 DYNAMIC body=old", "the body is not the expected one"),
        ("200 HIT age=10 body=old", "the body is not the expected one"),
        ("200 HIT age=10 body=new", "the copy is as old as the purge, to the second"),
        ("200 HIT body=old", "the body is not the expected one"),
        // A body that was not read completely has no hash.
        ("200 MISS", "the body could not be read completely, so it was not compared"),
        ("200 MISS content-encoding=gzip body=old", GZIPPED),
        // A file that is stored compressed.
        ("200 MISS content-encoding=gzip body=new", "proven"),
        ("200 MISS content-encoding=identity body=old", "the body is not the expected one"),
        // An old copy is a survivor, whatever its content is.
        ("200 HIT age=99 body=new", "the old copy is still served (HIT, 99 s old)"),
    ] {
        assert_eq!(verdict(Action::Purge, given, EXACTLY_NEW).to_string(), expected, "{given}");
    }
}

#[test]
fn files_are_compared_only_if_served_and_deleted_ones_must_be_gone() {
    let of_file = Some(ExpectedBody::OfFile(NEW));
    let deleted = Some(ExpectedBody::NotThis(OLD));
    for (given, expected, message) in [
        ("200 MISS body=new", of_file, "proven"),
        ("200 MISS body=old", of_file, "the body is not the expected one"),
        ("200 DYNAMIC body=old", of_file, "the body is not the expected one"),
        ("301 MISS location=/d/ body=old", of_file, "proven"),
        ("404 MISS body=old", of_file, "proven"),
        // Nothing was compared, so "not changed" proves nothing.
        ("404 REVALIDATED body=old", of_file, "the origin says that the copy did not change (REVALIDATED)"),
        ("200 MISS", of_file, "the body could not be read completely, so it was not compared"),
        ("200 MISS content-encoding=gzip body=old", of_file, GZIPPED),
        ("200 MISS content-encoding=gzip body=new", deleted, GZIPPED),
        ("404 MISS content-encoding=gzip body=new", deleted, "proven"),
        ("404 MISS body=new", deleted, "proven"),
        ("200 MISS body=new", deleted, "proven"),
        ("200 MISS body=old", deleted, "the file was deleted, but the origin still serves it"),
        ("200 DYNAMIC body=old", deleted, "the file was deleted, but the origin still serves it"),
        ("200 HIT age=99 body=old", deleted, "the old copy is still served (HIT, 99 s old)"),
        ("200 UPDATING body=old", deleted, "the old copy is still served (UPDATING)"),
    ] {
        assert_eq!(verdict(Action::Purge, given, expected).to_string(), message, "{given}");
    }
}

#[test]
fn an_age_in_seconds_decides_only_if_unambiguous() {
    let judged = |age: u64, asked: u64, answered: u64| {
        let purged =
            PurgeTimes::new(Action::Purge, Duration::from_millis(asked), Duration::from_millis(answered));
        judge(purged, &answer(&format!("200 HIT age={age}")), None).as_str()
    };
    // Half a second after the purge, a copy with an age of 0.0 to 0.9 s may be older or younger than the purge.
    assert_eq!(judged(0, 500, 520), "unproven");
    assert_eq!(judged(0, 990, 1010), "unproven");
    assert_eq!(judged(0, 1000, 1020), "refilled");
    assert_eq!(judged(1, 900, 920), "survivor");
    assert_eq!(judged(1, 980, 1030), "unproven");
    assert_eq!(judged(0, 0, 0), "survivor");
    assert_eq!(judged(u64::MAX, 1000, 1000), "survivor");
}

/// Cases from practice in which a header or a status decides; cases with several answers are in `verify.rs`.
#[test]
fn handles_cases_in_which_other_checks_fail() {
    for (case, given, words) in [
        ("200 is not evicted", "200 HIT age=60", "the old copy is still served (HIT, 60 s old)"),
        ("a broken page that is cached", "500 MISS", "the answer was an error (500)"),
        ("one warm request proves caching, not purging", "200 STALE", "the old copy is still served (STALE)"),
        ("host is not proxied", "200 bare", "not cached: the host is not behind Cloudflare (no cf-ray)"),
        (
            "challenge page",
            "403 cf-mitigated=challenge",
            "a challenge page was served (cf-mitigated: challenge)",
        ),
        (
            "login page taken for the app",
            "302 location=https://team.cloudflareaccess.com/login",
            "Cloudflare Access requires a login",
        ),
        ("rule on another URI", "200 DYNAMIC", "not cached: no rule makes it eligible (DYNAMIC)"),
        ("the redirect was purged, not its target", "301 MISS location=/b", "proven"),
        ("firewall", "403 error=1020", "the edge answered with its error 1020"),
        ("rate limit", "429", "the edge refused the request because of the request rate (429)"),
    ] {
        assert_eq!(verdict(Action::Purge, given, None).to_string(), words, "{case}");
    }
    // The ETag is current, but the body is old: only the hash shows it.
    let found = verdict(Action::Purge, "200 MISS etag=\"v2\" body=old", EXACTLY_NEW);
    assert_eq!(found.to_string(), "the body is not the expected one");
}

#[test]
fn every_unsettled_verdict_has_a_cure() {
    for given in [
        "200 HIT age=99",
        "200 HIT",
        "200 REVALIDATED",
        "429",
        "403",
        "403 error=1020",
        "500 MISS",
        "302 location=https://a.cloudflareaccess.com/",
    ] {
        let found = verdict(Action::Purge, given, None);
        assert!(!found.is_settled() && found.cure().is_some(), "{given}: {found}");
    }
}

#[test]
fn a_body_that_was_cut_off_is_requested_again_unless_it_is_large() {
    for (bytes, may_change) in [(0, true), (64 << 20, true), (512 << 20, false)] {
        let answer = answer("200 MISS").with_body(Body::new(bytes));
        let purged = PurgeTimes::new(Action::Purge, Duration::ZERO, Duration::ZERO);
        assert_eq!(judge(purged, &answer, EXACTLY_NEW).may_change(), may_change, "{bytes}");
    }
}
