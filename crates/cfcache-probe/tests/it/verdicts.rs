//! Each row of the decision table, and each case that is known to break a check.

use core::time::Duration;
use std::time::SystemTime;

use cfcache_model::endpoint::Action;
use cfcache_probe::{Answer, Body, ExpectedBody, Purged, Sha256, Verdict, edge_error, judge};
use http::{HeaderMap, StatusCode};

const NEW: Sha256 = Sha256::new([7; 32]);
const EXACTLY_NEW: Option<ExpectedBody> = Some(ExpectedBody::Exactly(NEW));
const OLD: Sha256 = Sha256::new([3; 32]);

/// An answer of the edge: `200 HIT age=3`, `302 location=/b`, `403 cf-mitigated=challenge`, with `bare` for one that
/// does not come from Cloudflare.
fn answer(text: &str) -> Answer {
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
    Answer::from_head(status, &headers, SystemTime::UNIX_EPOCH).with_body(body)
}

/// Ten seconds after the purge was accepted.
fn verdict(action: Action, text: &str, expected: Option<ExpectedBody>) -> Verdict {
    let purged = Purged::new(action, Duration::from_secs(10), Duration::from_millis(10_080));
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
    ] {
        for (action, wanted) in [(Action::Purge, purge), (Action::Invalidate, invalidate)] {
            let found = verdict(action, given, None);
            assert_eq!(found.as_str(), wanted, "{action} then {given}: {found}");
        }
    }
}

#[test]
fn with_an_expected_body_only_that_body_is_proven() {
    for (given, wanted) in [
        ("200 MISS body=new", "proven"),
        ("200 MISS body=old", "the body is not the expected one"),
        ("200 HIT age=2 body=new", "cached again since the purge"),
        ("200 HIT age=2 body=old", "the body is not the expected one"),
        // The origin says "not changed", and the bytes say the same.
        ("200 REVALIDATED body=new", "proven"),
        ("200 REVALIDATED body=old", "the body is not the expected one"),
        ("200 DYNAMIC body=old", "the body is not the expected one"),
        ("200 HIT age=10 body=old", "the body is not the expected one"),
        ("200 HIT age=10 body=new", "the copy is as old as the purge, to the second"),
        ("200 HIT body=old", "the body is not the expected one"),
        // A body that was not read whole has no hash.
        ("200 MISS", "the body could not be read whole, and so not compared"),
        // An old copy stays a survivor, whatever its bytes are.
        ("200 HIT age=99 body=new", "the old copy is still served (HIT, 99 s old)"),
    ] {
        assert_eq!(verdict(Action::Purge, given, EXACTLY_NEW).to_string(), wanted, "{given}");
    }
}

#[test]
fn a_file_is_compared_only_where_it_is_served_and_a_deleted_one_must_not_come_back() {
    let of_file = Some(ExpectedBody::OfFile(NEW));
    let deleted = Some(ExpectedBody::NotThis(OLD));
    for (given, expected, wanted) in [
        ("200 MISS body=new", of_file, "proven"),
        ("200 MISS body=old", of_file, "the body is not the expected one"),
        ("200 DYNAMIC body=old", of_file, "the body is not the expected one"),
        ("301 MISS location=/d/ body=old", of_file, "proven"),
        ("404 MISS body=old", of_file, "proven"),
        // Nothing was compared, so that "not changed" proves nothing.
        ("404 REVALIDATED body=old", of_file, "the origin says that the copy did not change (REVALIDATED)"),
        ("200 MISS", of_file, "the body could not be read whole, and so not compared"),
        ("404 MISS body=new", deleted, "proven"),
        ("200 MISS body=new", deleted, "proven"),
        ("200 MISS body=old", deleted, "the file was deleted, and the origin still serves it"),
        ("200 DYNAMIC body=old", deleted, "the file was deleted, and the origin still serves it"),
        ("200 HIT age=99 body=old", deleted, "the old copy is still served (HIT, 99 s old)"),
        ("200 UPDATING body=old", deleted, "the old copy is still served (UPDATING)"),
    ] {
        assert_eq!(verdict(Action::Purge, given, expected).to_string(), wanted, "{given}");
    }
}

#[test]
fn age_is_cut_to_seconds_and_is_believed_only_where_that_makes_no_difference() {
    let judged = |age: u64, asked: u64, answered: u64| {
        let purged =
            Purged::new(Action::Purge, Duration::from_millis(asked), Duration::from_millis(answered));
        judge(purged, &answer(&format!("200 HIT age={age}")), None).as_str()
    };
    // Half a second after the purge a copy of 0.0 to 0.9 s may be older or younger.
    assert_eq!(judged(0, 500, 520), "unproven");
    assert_eq!(judged(0, 990, 1010), "unproven");
    assert_eq!(judged(0, 1000, 1020), "refilled");
    assert_eq!(judged(1, 900, 920), "survivor");
    assert_eq!(judged(1, 980, 1030), "unproven");
    assert_eq!(judged(0, 0, 0), "survivor");
    assert_eq!(judged(u64::MAX, 1000, 1000), "survivor");
}

/// The cases of the field that a header or a status decides; those that need several answers are in `verify.rs`.
#[test]
fn what_breaks_other_checks() {
    for (case, given, words) in [
        ("200 is not evicted", "200 HIT age=60", "the old copy is still served (HIT, 60 s old)"),
        ("a broken page that is cached", "500 MISS", "an error was answered (500)"),
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
            "Cloudflare Access wants a login",
        ),
        ("rule on another URI", "200 DYNAMIC", "not cached: no rule makes it eligible (DYNAMIC)"),
        ("the redirect was purged, not its target", "301 MISS location=/b", "proven"),
        ("firewall", "403 error=1020", "the edge answered with its error 1020"),
        ("rate limit", "429", "the edge refused it as one of too many requests (429)"),
    ] {
        assert_eq!(verdict(Action::Purge, given, None).to_string(), words, "{case}");
    }
    // Current ETag, old body: only the hash shows it.
    let found = verdict(Action::Purge, "200 MISS etag=\"v2\" body=old", EXACTLY_NEW);
    assert_eq!(found.to_string(), "the body is not the expected one");
}

#[test]
fn whatever_is_not_settled_says_what_to_do_about_it() {
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
