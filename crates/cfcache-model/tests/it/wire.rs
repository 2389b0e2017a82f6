//! The bytes of requests.

use std::collections::BTreeSet;
use std::fmt::Write;

use cfcache_model::endpoint::{self, ApiRequest, Cost, Endpoint, PurgeCache};
use cfcache_model::id::AccountId;
use cfcache_model::target::{CacheKeyHeader, File, Host, Prefix, PurgeUrl, Tag};
use cfcache_model::verdict::{Class, parse_response};
use cfcache_model::{EnvironmentId, PurgeBody, ZoneId};

use crate::support::{Any, endpoint as named, sort};

/// Every sample of every endpoint, byte for byte: one snapshot per endpoint.
#[test]
fn writes_samples() {
    for endpoint in endpoint::all() {
        let mut shown = format!("{} ({:?}, {:?})\n", endpoint.summary, endpoint.area, endpoint.replay);
        for sample in (endpoint.samples)() {
            let request = &sample.request;
            write!(shown, "\n## {}\n{} {}\n", sample.name, request.method.as_str(), request.path).unwrap();
            writeln!(shown, "{}", request.body.as_deref().unwrap_or("(no body)")).unwrap();
            let verdict = parse_response(&Any(endpoint), sample.status, sample.reply.as_bytes());
            writeln!(shown, "-> {} {}\n=> {}", sample.status, sample.reply, sort(&verdict)).unwrap();
        }
        insta::assert_snapshot!(endpoint.name, shown);
    }
}

#[test]
fn descriptors_follow_the_rules() {
    let mut names = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for endpoint in endpoint::all() {
        let name = endpoint.name;
        assert!(names.insert(name), "two endpoints are called `{name}`");
        assert!(routes.insert((endpoint.method, endpoint.path)), "{name}: its method and path are taken");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(endpoint.path.starts_with('/') && !endpoint.path.ends_with('/'), "{name}");
        assert!(!endpoint.summary.is_empty() && !endpoint.summary.ends_with('.'), "{name}");
        assert!(!endpoint.permission.is_empty(), "{name}");
        assert!(endpoint.page.starts_with("https://developers.cloudflare.com/"), "{name}");
    }
}

#[test]
fn samples_follow_the_rules() {
    for endpoint in endpoint::all() {
        let samples = (endpoint.samples)();
        let mut names = BTreeSet::new();
        for sample in &samples {
            let name = format!("{}/{}", endpoint.name, sample.name);
            assert!(names.insert(sample.name), "{name} is there twice");
            assert_eq!(sample.request.method, endpoint.method, "{name}");
            assert_fits(&name, endpoint.path, &sample.request.path);
            if let Some(body) = &sample.request.body {
                assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{name}: {body}");
            }

            let verdict = parse_response(&Any(endpoint), sample.status, sample.reply.as_bytes());
            let is_done = verdict.is_ok();
            assert_eq!(is_done, !sample.name.starts_with("refused"), "{name}: {}", sort(&verdict));
            assert!(
                !verdict.as_ref().is_err_and(|failure| failure.class == Class::Unclear),
                "{name}: {verdict:?}"
            );
        }
        let refused = names.iter().filter(|name| name.starts_with("refused")).count();
        assert!(refused > 0, "{}: no sample is refused", endpoint.name);
        assert!(refused < names.len(), "{}: no sample succeeds", endpoint.name);
    }
}

/// Checks that every `{…}` of the template became one segment, and nothing else changed.
fn assert_fits(name: &str, template: &str, path: &str) {
    let path = path.split('?').next().unwrap();
    let (expected, found): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    assert_eq!(expected.len(), found.len(), "{name}: {path} does not fit {template}");
    for (expected, found) in expected.iter().zip(found) {
        if expected.starts_with('{') {
            assert!(!found.is_empty() && !found.contains(['{', '}']), "{name}: {path}");
        } else {
            assert_eq!(*expected, found, "{name}: {path}");
        }
    }
}

/// The types of the endpoints can parse the replies of the samples.
#[test]
fn endpoint_types_parse_their_samples() {
    fn assert_done<E: Endpoint>(request: &E) {
        for sample in (request.descriptor().samples)() {
            let verdict = parse_response(request, sample.status, sample.reply.as_bytes());
            let is_done = verdict.is_ok();
            assert_eq!(is_done, !sample.name.starts_with("refused"), "{}", sample.name);
        }
    }
    let zone = zone();
    let environment = EnvironmentId::parse("4e9f1d2a7b8c3f60a5d4e3c2b1a09f").unwrap();
    let account = AccountId::parse("01a7362d577a6c3019a474fd6f485823").unwrap();
    let body = PurgeBody::Everything;
    assert_done(&PurgeCache::purge(&zone, &body));
    assert_done(&PurgeCache::purge(&zone, &body).with_environment(&environment));
    assert_done(&PurgeCache::invalidate(&zone, &body));
    assert_done(&PurgeCache::invalidate(&zone, &body).with_environment(&environment));
    assert_done(&ApiRequest::zones_named("example.com"));
    assert_done(&ApiRequest::zone(&zone));
    assert_done(&ApiRequest::environments(&zone));
    assert_done(&ApiRequest::verify_token());
    assert_done(&ApiRequest::verify_account_token(&account));
}

fn zone() -> ZoneId {
    ZoneId::parse("023e105f4ecef8ad9ca31a8372d0c353").unwrap()
}

#[test]
fn writes_the_six_purge_bodies() {
    let url = |url| File::from(PurgeUrl::parse(url).unwrap());
    let header = |name, value| CacheKeyHeader::new(name, value).unwrap();
    let bodies = [
        (PurgeBody::Everything, r#"{"purge_everything":true}"#, Cost::Flexible),
        (
            PurgeBody::from_targets([url("https://a.example/1"), url("https://a.example/2?a=b&c=<d>")])
                .unwrap(),
            r#"{"files":["https://a.example/1","https://a.example/2?a=b&c=<d>"]}"#,
            Cost::Urls(2),
        ),
        (
            // One entry with headers turns all into objects, and an entry without headers has no such field.
            PurgeBody::from_targets([
                url("https://a.example/1"),
                url("https://a.example/1")
                    .with_header(header("cf-device-type", "mobile"))
                    .unwrap()
                    .with_header(header("Accept-Language", "zh-CN"))
                    .unwrap(),
            ])
            .unwrap(),
            r#"{"files":[{"url":"https://a.example/1"},{"url":"https://a.example/1","headers":{"cf-device-type":"mobile","Accept-Language":"zh-CN"}}]}"#,
            Cost::Urls(2),
        ),
        (
            PurgeBody::from_targets([Tag::parse("a-cache-tag").unwrap(), Tag::parse(r#"A"\b"#).unwrap()])
                .unwrap(),
            r#"{"tags":["a-cache-tag","A\"\\b"]}"#,
            Cost::Flexible,
        ),
        (
            PurgeBody::from_targets([Host::parse("www.example.com").unwrap()]).unwrap(),
            r#"{"hosts":["www.example.com"]}"#,
            Cost::Flexible,
        ),
        (
            PurgeBody::from_targets([Prefix::parse("www.example.com/föö/").unwrap()]).unwrap(),
            r#"{"prefixes":["www.example.com/föö/"]}"#,
            Cost::Flexible,
        ),
    ];
    for (body, json, cost) in bodies {
        assert_eq!(body.to_json(), json);
        assert_eq!(body.cost(), cost, "{json}");
        assert!(json.starts_with(&format!("{{\"{}\":", body.field())), "{json}");
        assert_eq!(serde_json::from_str::<PurgeBody>(json).unwrap(), body, "{json}");
    }
}

#[test]
fn four_endpoints_share_the_purge_body() {
    let (zone, environment) = (zone(), EnvironmentId::parse("e1").unwrap());
    let body = PurgeBody::Everything;
    let requests = [
        ("purge_zone_cache", PurgeCache::purge(&zone, &body)),
        ("purge_environment_cache", PurgeCache::purge(&zone, &body).with_environment(&environment)),
        ("invalidate_zone_cache", PurgeCache::invalidate(&zone, &body)),
        ("invalidate_environment_cache", PurgeCache::invalidate(&zone, &body).with_environment(&environment)),
    ];
    for (name, request) in requests {
        assert!(std::ptr::eq(request.descriptor(), named(name)), "{name}");
        let parts = endpoint::encode(&request);
        assert_eq!(parts.body.as_deref(), Some(r#"{"purge_everything":true}"#), "{name}");
        assert_fits(name, request.descriptor().path, &parts.path);
    }
}

#[test]
fn escapes_queries() {
    let path = |name| endpoint::encode(&ApiRequest::zones_named(name)).path;
    assert_eq!(path("example.com"), "/zones?name=example.com");
    assert_eq!(path("a b&c=d#e?f%/ü+"), "/zones?name=a%20b%26c%3Dd%23e%3Ff%25%2F%C3%BC%2B");
    assert_eq!(endpoint::encode(&ApiRequest::zones(3)).path, "/zones?page=3&per_page=50");
}

/// Invalid bodies, for servers that parse them.
#[test]
fn refuses_invalid_bodies() {
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "\"purge_everything\"",
        "{}",
        r#"{"purge_everything":false}"#,
        r#"{"purge_everything":"true"}"#,
        r#"{"purge_everything":1}"#,
        r#"{"purge_everything":true,"files":["https://a.example/"]}"#,
        r#"{"tags":["a"],"hosts":["b"]}"#,
        r#"{"tags":["a"],"tags":["b"]}"#,
        r#"{"invalidate_everything":true}"#,
        "{\"\\u001b[2J\\u202efiles\":[]}",
        r#"{"files":[]}"#,
        r#"{"files":null}"#,
        r#"{"files":"https://a.example/"}"#,
        r#"{"files":[""]}"#,
        r#"{"files":["https://a.example/","a.example"]}"#,
        r#"{"files":["{\"url\":\"https://a.example/\"}"]}"#,
        r#"{"files":[["https://a.example/"]]}"#,
        r#"{"files":[1]}"#,
        r#"{"files":[{}]}"#,
        r#"{"files":[{"headers":{}}]}"#,
        r#"{"files":[{"url":"https://a.example/","header":{}}]}"#,
        r#"{"files":[{"url":"https://a.example/","headers":null}]}"#,
        r#"{"files":[{"url":"https://a.example/","headers":{"CF-IPCountry":["US"]}}]}"#,
        r#"{"files":[{"url":"https://a.example/","headers":{"a":"1","A":"2"}}]}"#,
        r#"{"files":[{"url":"https://a.example/","headers":{"CF-Device-Type":"phone"}}]}"#,
        r#"{"tags":[{"url":"https://a.example/"}]}"#,
        r#"{"tags":["a b"]}"#,
        r#"{"hosts":[""]}"#,
        r#"{"prefixes":["https://a.example/"]}"#,
        r#"{"tags":["a"]} {}"#,
    ];
    let mut shown = String::new();
    for body in bodies {
        let error = serde_json::from_str::<PurgeBody>(body).unwrap_err();
        writeln!(shown, "{body}\n    {error}").unwrap();
    }
    insta::assert_snapshot!(shown);
}

/// A parsed body keeps the order of its headers.
#[test]
fn parsing_keeps_the_order_of_headers() {
    let json =
        r#"{"files":[{"url":"https://a.example/","headers":{"X-B":"1","X-A":"2","CF-IPCountry":"US"}}]}"#;
    assert_eq!(serde_json::from_str::<PurgeBody>(json).unwrap().to_json(), json);
}
