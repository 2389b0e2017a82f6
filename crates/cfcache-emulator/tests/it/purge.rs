//! Bodies of purge and invalidate, valid and invalid.

use cfcache_emulator::{Config, Emulator, PurgeItems, Zone};
use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{
    DEVELOPMENT, PRODUCTION, STAGING, ZONE, json, purge, request, send, unlimited, verdict,
};

/// Returns a list of this many items.
fn list(field: &str, count: usize, item: &str) -> String {
    json!({ field: vec![item; count] }).to_string()
}

#[test]
fn answers_valid_and_invalid_bodies() {
    let long_tag = list("tags", 1, &"t".repeat(1024));
    let longer_tag = list("tags", 1, &"t".repeat(1025));
    let longer_host = list("hosts", 1, &"h".repeat(201));
    let deep_prefix = list("prefixes", 1, &format!("example.com{}", "/a".repeat(31)));
    let deeper_prefix = list("prefixes", 1, &format!("example.com{}", "/a".repeat(32)));
    let url = "https://www.example.com/a";
    let (full_files, more_files) = (list("files", 500, url), list("files", 501, url));
    let (full_tags, more_tags) = (list("tags", 100, "t"), list("tags", 101, "t"));
    let (full_hosts, more_hosts) = (list("hosts", 100, "h"), list("hosts", 101, "h"));
    let (full_prefixes, more_prefixes) = (list("prefixes", 100, "p"), list("prefixes", 101, "p"));

    let rows: &[(&str, u16, &[u64])] = &[
        // Bodies in the documentation.
        (r#"{"purge_everything":true}"#, 200, &[]),
        (r#"{"files":["http://www.example.com/css/styles.css"]}"#, 200, &[]),
        (r#"{"files":[{"url":"https://example.com/","headers":{"CF-IPCountry":"US"}}]}"#, 200, &[]),
        (r#"{"files":["https://example.com/",{"url":"https://example.com/b"}]}"#, 200, &[]),
        (r#"{"tags":["a-cache-tag"]}"#, 200, &[]),
        (r#"{"hosts":["www.example.com"]}"#, 200, &[]),
        (r#"{"prefixes":["www.example.com/foo"]}"#, 200, &[]),
        // Nothing to purge.
        ("", 400, &[1012]),
        ("{", 400, &[1012]),
        ("[]", 400, &[1012]),
        ("null", 400, &[1012]),
        ("{}", 400, &[1012]),
        (r#"{"urls":["https://example.com/"]}"#, 400, &[1012]),
        (r#"{"files":null}"#, 400, &[1012]),
        (r#"{"files":[{"headers":{}}]}"#, 400, &[1012]),
        (r#"{"files":[{"url":1}]}"#, 400, &[1012]),
        (r#"{"files":[{"url":"https://example.com/","headers":{"CF-IPCountry":1}}]}"#, 400, &[1012]),
        (r#"{"files":[{"url":"https://example.com/","headers":[]}]}"#, 400, &[1012]),
        (r#"{"files":[null]}"#, 400, &[1012]),
        (r#"{"tags":[1]}"#, 400, &[1012]),
        // Everything, in several forms.
        (r#"{"purge_everything":true,"files":["https://example.com/"]}"#, 400, &[1092]),
        (r#"{"purge_everything":true,"tags":[]}"#, 400, &[1092]),
        (r#"{"purge_everything":false}"#, 400, &[1013]),
        (r#"{"purge_everything":"true"}"#, 400, &[1013]),
        (r#"{"purge_everything":1}"#, 400, &[1013]),
        // Lists.
        (r#"{"files":"https://example.com/"}"#, 400, &[1014]),
        (r#"{"tags":{}}"#, 400, &[1014]),
        (r#"{"hosts":"www.example.com"}"#, 400, &[1014]),
        (r#"{"prefixes":true}"#, 400, &[1014]),
        (r#"{"files":[]}"#, 200, &[]),
        (r#"{"tags":[]}"#, 200, &[]),
        (r#"{"tags":[""]}"#, 200, &[]),
        (r#"{"tags":["a"],"hosts":["www.example.com"]}"#, 200, &[]),
        // Maximum numbers of items.
        (&full_files, 200, &[]),
        (&more_files, 400, &[1094]),
        (&full_tags, 200, &[]),
        (&more_tags, 400, &[1101]),
        (&full_hosts, 200, &[]),
        (&more_hosts, 400, &[1111]),
        (&full_prefixes, 200, &[]),
        (&more_prefixes, 400, &[1101]),
        // Items.
        (&long_tag, 200, &[]),
        (&longer_tag, 400, &[1100]),
        (&longer_host, 400, &[1114]),
        (r#"{"hosts":["*.example.com","höst"]}"#, 200, &[]),
        (&deep_prefix, 200, &[]),
        (&deeper_prefix, 400, &[1016]),
        (r#"{"prefixes":["https://www.example.com/foo"]}"#, 400, &[1016]),
        (r#"{"prefixes":["www.example.com/foo?a"]}"#, 400, &[1016]),
        (r#"{"prefixes":["www.example.com/foo#a"]}"#, 400, &[1016]),
        // URLs.
        (r#"{"files":["www.example.com/a"]}"#, 400, &[1016]),
        (r#"{"files":["ftp://www.example.com/a"]}"#, 400, &[1016]),
        (r#"{"files":["https:///a"]}"#, 400, &[1016]),
        (r#"{"files":[""]}"#, 400, &[1016]),
        (r#"{"files":["https://www.example.com/a b"]}"#, 400, &[1016]),
        (r#"{"files":["https://www.example.com/a\nhttps://www.example.com/b"]}"#, 400, &[1016]),
        (r#"{"files":["https://www.example.com\\a"]}"#, 400, &[1016]),
        (r#"{"files":[{"url":"https://www.example.com/a\u0000"}]}"#, 400, &[1016]),
        (r#"{"prefixes":["www.example.com/a b"]}"#, 400, &[1016]),
        (r#"{"hosts":["www.example.com "]}"#, 400, &[1016]),
        (r#"{"hosts":["https://www.example.com"]}"#, 400, &[1016]),
        (r#"{"files":["HTTPS://WWW.EXAMPLE.COM:8443/a?b=c&d#e"]}"#, 200, &[]),
        (r#"{"files":["https://user:secret@example.com./a"]}"#, 200, &[]),
        (r#"{"files":["https://example.org/a"]}"#, 400, &[1082]),
        (r#"{"files":["https://notexample.com/a"]}"#, 400, &[1082]),
        (r#"{"files":["https://example.com.evil.org/a"]}"#, 400, &[1082]),
        (r#"{"files":["https://[2001:db8::1]/a"]}"#, 400, &[1082]),
        (r#"{"files":["https://example.com/a","https://example.org/a"]}"#, 400, &[1082]),
    ];
    for action in ["purge", "invalidate"] {
        for (body, status, codes) in rows {
            for slash in ["", "/"] {
                let emulator = Emulator::new(unlimited());
                let path = format!("/zones/{ZONE}/{action}_cache{slash}");
                let response = send(&emulator, &request("POST", &path, (*body).to_owned()));
                assert_eq!(verdict(&response), (*status, codes.to_vec()), "{action} {body}");
                assert_eq!(emulator.log().entries()[0].processed, *status == 200, "{action} {body}");
                assert_eq!(emulator.purges().is_empty(), *status != 200, "{action} {body}");
            }
        }
    }
}

#[test]
fn the_answer_contains_the_zone_id() {
    let emulator = Emulator::new(unlimited().with_zone(Zone::new("another", "example.net")));
    let response =
        send(&emulator, &request("POST", "/zones/another/purge_cache", r#"{"hosts":["example.net"]}"#));
    let expected = json!({ "success": true, "errors": [], "messages": [], "result": { "id": "another" } });
    assert_eq!(json(&response), expected);
}

#[test]
fn limits_items_by_plan() {
    for plan in Plan::ALL {
        let limits = plan.purge_limits();
        let emulator = Emulator::new(Config::new(*plan));
        let body = |count| list("files", count, "https://example.com/");
        let most = limits.urls_per_request;
        assert_eq!(verdict(&send(&emulator, &purge(body(most + 1)))), (400, vec![1094]), "{plan}");
        assert_eq!(verdict(&send(&emulator, &purge(body(most)))), (200, vec![]), "{plan}");
    }
}

#[test]
fn limits_items_to_a_configured_number() {
    let mut limits = Plan::Free.purge_limits();
    limits.urls_per_request = 30;
    let emulator = Emulator::new(Config::new(Plan::Free).with_purge_limits(limits));
    let body = |count| list("files", count, "https://example.com/");
    assert_eq!(verdict(&send(&emulator, &purge(body(31)))), (400, vec![1094]));
    assert_eq!(verdict(&send(&emulator, &purge(body(30)))), (200, vec![]));
}

#[test]
fn purges_by_environment() {
    let files = r#"{"files":["https://example.com/a"]}"#;
    let tags = r#"{"tags":["a"]}"#;
    let rows: &[(&str, &str, u16, &[u64])] = &[
        (STAGING, files, 200, &[]),
        (STAGING, tags, 200, &[]),
        (STAGING, r#"{"purge_everything":true}"#, 200, &[]),
        // Selected by IP address.
        (DEVELOPMENT, files, 400, &[1136]),
        (DEVELOPMENT, tags, 200, &[]),
        (DEVELOPMENT, r#"{"purge_everything":true}"#, 200, &[]),
        // An invalid body is refused in any environment.
        (DEVELOPMENT, "{}", 400, &[1012]),
        (PRODUCTION, files, 200, &[]),
        ("0000", files, 404, &[7003, 7000]),
    ];
    for action in ["purge", "invalidate"] {
        for (environment, body, status, codes) in rows {
            let emulator = Emulator::new(unlimited());
            let path = format!("/zones/{ZONE}/environments/{environment}/{action}_cache");
            let response = send(&emulator, &request("POST", &path, *body));
            assert_eq!(verdict(&response), (*status, codes.to_vec()), "{action} {environment} {body}");
        }
    }
}

#[test]
fn records_accepted_purges() {
    let emulator = Emulator::new(unlimited());
    let body = r#"{"files":["https://example.com/a",{"url":"https://example.com/b","headers":{"CF-Device-Type":"mobile"}}]}"#;
    let path = format!("/zones/{ZONE}/environments/{STAGING}/invalidate_cache");
    assert_eq!(send(&emulator, &request("POST", &path, body)).status(), 200);
    assert_eq!(send(&emulator, &purge(r#"{"purge_everything":true}"#)).status(), 200);

    let [first, second] = emulator.purges().try_into().unwrap();
    assert_eq!(first.action, Action::Invalidate);
    assert_eq!(first.environment.as_deref(), Some(STAGING));
    let PurgeItems::Files(files) = &first.items else { panic!("{first:?}") };
    assert_eq!(files[0].url, "https://example.com/a");
    assert_eq!(files[1].headers, [("CF-Device-Type".to_owned(), "mobile".to_owned())]);
    assert_eq!(second.action, Action::Purge);
    assert_eq!((second.environment, second.items), (None, PurgeItems::Everything));
    assert_eq!(emulator.log().counts().items, 2);
}

#[test]
fn two_lists_in_one_body_are_both_purged_as_one_request() {
    let emulator = Emulator::new(Config::new(Plan::Free));
    let body = r#"{"tags":["a"],"hosts":["example.com"],"files":["https://example.com/"]}"#;
    for _ in 0..25 {
        assert_eq!(send(&emulator, &purge(body)).status(), 200);
    }
    assert_eq!(send(&emulator, &purge(body)).status(), 429);
    assert_eq!(emulator.purges().len(), 75);
}

proptest! {
    #[test]
    fn any_body_gets_an_envelope(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let emulator = Emulator::new(unlimited());
        verdict(&send(&emulator, &purge(body)));
    }

    #[test]
    fn any_json_gets_an_envelope(
        field in "purge_everything|files|tags|hosts|prefixes|other",
        value in json_values(),
    ) {
        let emulator = Emulator::new(unlimited());
        let (status, codes) = verdict(&send(&emulator, &purge(json!({ field: value }).to_string())));
        prop_assert!(status == 200 || (status == 400 && codes.len() == 1));
    }
}

fn json_values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        ".{0,20}".prop_map(|value| json!(value)),
        "https?://[a-z.@:\\[\\]]{0,20}example\\.com.{0,10}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| json!(items)),
            proptest::collection::btree_map("url|headers|.{0,5}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}
