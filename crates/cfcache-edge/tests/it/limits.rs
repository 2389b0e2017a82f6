//! Bodies above the size limit, and a full cache.

use bytes::Bytes;
use cfcache_edge::{BodyCollector, OriginFailure, PurgeItems, RequestStep, ResponseStep, VisitorInfo};
use cfcache_model::Plan;
use http::Response;

use crate::support::{Site, URL, always, request, response};

#[test]
fn forwards_bodies_with_an_announced_length_above_the_limit() {
    let mut site = Site::new(always(&[])).with(|settings| settings.max_object = 10);
    let RequestStep::Fetch(fetch) =
        site.edge.request(site.now, &request("GET", URL, &[]), &VisitorInfo::default())
    else {
        panic!("nothing is stored")
    };
    let head = response(200, &[("content-length", "11")], "").map(drop);
    let ResponseStep::Pass(answer) = site.edge.answered(site.now, fetch.ticket, head) else {
        panic!("it is too large")
    };
    assert_eq!(answer.headers()["cf-cache-status"], "BYPASS");
    assert_eq!(answer.headers()["content-length"], "11");
    assert!(answer.headers()["x-cfcache-edge"].to_str().unwrap().starts_with("bypass; too large; key="));
}

#[test]
fn forwards_bodies_that_grow_above_the_limit() {
    let mut site = Site::new(always(&[])).with(|settings| settings.max_object = 10);
    let RequestStep::Fetch(fetch) =
        site.edge.request(site.now, &request("GET", URL, &[]), &VisitorInfo::default())
    else {
        panic!("nothing is stored")
    };
    let ResponseStep::Keep(keep) = site.edge.answered(site.now, fetch.ticket, Response::new(())) else {
        panic!("its size is not known")
    };
    assert_eq!(keep.limit, 10);
    assert_eq!(keep.pass.unwrap().headers()["cf-cache-status"], "MISS");
    let mut collector = BodyCollector::new(keep.limit);
    assert!(collector.push(Bytes::from_static(b"0123456789")).is_ok());
    assert!(collector.push(Bytes::from_static(b"0")).is_err());
    assert_eq!(collector.into_pieces().len(), 1);
    let answer = site.edge.outgrown(site.now, keep.ticket);
    assert_eq!(answer.headers()["cf-cache-status"], "BYPASS");
    assert!(site.edge.is_empty());
}

#[test]
fn forwards_an_answer_while_storing_it_only_if_complete() {
    let cases = [
        ("GET", ("x-a", ""), true),
        ("GET", ("range", "bytes=0-1"), false),
        ("GET", ("if-none-match", "*"), false),
        ("GET", ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"), false),
        ("HEAD", ("x-a", ""), false),
    ];
    for (method, header, expected) in cases {
        let mut site = Site::new(always(&[]));
        let request = request(method, URL, &[header]);
        let RequestStep::Fetch(fetch) = site.edge.request(site.now, &request, &VisitorInfo::default()) else {
            panic!("nothing is stored")
        };
        let ResponseStep::Keep(keep) = site.edge.answered(site.now, fetch.ticket, Response::new(())) else {
            panic!("it is to be stored")
        };
        assert_eq!(keep.pass.is_some(), expected, "{method} {header:?}");
    }
}

#[test]
fn collected_bodies_use_only_their_size() {
    let mut collector = BodyCollector::new(100);
    for piece in [&b"one"[..], b"", b"two"] {
        collector.push(Bytes::copy_from_slice(piece)).unwrap();
    }
    assert_eq!(collector.into_bytes(), "onetwo");
}

#[test]
fn a_full_cache_stores_nothing_and_evicts_nothing() {
    let body = "x".repeat(10_000);
    let mut site = Site::new(Box::new(move |_| Ok(response(200, &[], &body))))
        .with(|settings| settings.max_memory = 35_000);
    let url = |index: u32| format!("https://example.com/{index}.css");
    for index in 0..3 {
        assert_eq!(site.get(&url(index)).cache(), "MISS");
    }
    for index in 3..6 {
        let seen = site.get(&url(index));
        assert_eq!((seen.why(), seen.body.len()), ("bypass; memory limit", 10_000));
    }
    for index in 0..3 {
        assert_eq!(site.get(&url(index)).cache(), "HIT");
    }
    assert!(site.edge.memory() <= 35_000);
    // There is space again after a purge.
    site.purge(PurgeItems::Everything);
    assert_eq!(site.get(&url(5)).cache(), "MISS");
    assert_eq!(site.get(&url(5)).cache(), "HIT");
}

#[test]
fn a_full_cache_allows_replacing_an_object() {
    let headers = [("cache-control", "max-age=5"), ("content-length", "10000")];
    let body = "x".repeat(10_000);
    let mut site = Site::new(Box::new(move |_| Ok(response(200, &headers, &body))))
        .with(|settings| settings.max_memory = 12_000);
    assert_eq!(site.get(URL).cache(), "MISS");
    site.wait(6);
    assert_eq!(site.get(URL).cache(), "EXPIRED");
    assert_eq!(site.get(URL).cache(), "HIT");
}

#[test]
fn a_full_cache_refuses_bodies_by_their_announced_length() {
    let mut site = Site::new(always(&[])).with(|settings| settings.max_memory = 100);
    let RequestStep::Fetch(fetch) =
        site.edge.request(site.now, &request("GET", URL, &[]), &VisitorInfo::default())
    else {
        panic!("nothing is stored")
    };
    let head = response(200, &[("content-length", "101")], "").map(drop);
    let ResponseStep::Pass(answer) = site.edge.answered(site.now, fetch.ticket, head) else {
        panic!("it does not fit")
    };
    assert!(answer.headers()["x-cfcache-edge"].to_str().unwrap().starts_with("bypass; memory limit"));
}

#[test]
fn does_not_store_an_incomplete_body() {
    let mut site = Site::new(always(&[]));
    let RequestStep::Fetch(fetch) =
        site.edge.request(site.now, &request("GET", URL, &[]), &VisitorInfo::default())
    else {
        panic!("nothing is stored")
    };
    let ResponseStep::Keep(keep) = site.edge.answered(site.now, fetch.ticket, Response::new(())) else {
        panic!("it is to be stored")
    };
    assert_eq!(site.edge.failed(site.now, keep.ticket, OriginFailure::Closed).status(), 520);
    assert_eq!(site.get(URL).cache(), "MISS");
}

#[test]
fn handles_huge_headers() {
    let numbered =
        |separator: &str| (0..9_000).map(|index| index.to_string()).collect::<Vec<_>>().join(separator);
    let (list, semicolons) = (numbered(","), numbered("=1;"));
    let mut site = Site::new(Box::new({
        let (list, semicolons) = (list.clone(), semicolons.clone());
        move |_| {
            let headers = [
                ("cache-control", format!("{semicolons},max-age=60")),
                ("vary", list.clone()),
                ("cache-tag", list.clone()),
                ("etag", format!("\"{list}\"")),
            ];
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Ok(response(200, &headers, "body"))
        }
    }))
    .with_rule(
        r#"{"vary":{"default":{"action":"normalize"}},"cache_key":{"custom_key":{"cookie":{"include":["a"]}}}}"#,
    );
    let headers = [
        ("accept-language", &*list),
        ("accept", &*list),
        ("cookie", &*semicolons),
        ("if-none-match", &*list),
        ("range", &*list),
    ];
    assert_eq!(site.get_with(URL, &headers).cache(), "MISS");
    assert_eq!(site.get_with(URL, &headers).cache(), "HIT");
}

#[test]
fn the_plan_limits_the_size_of_objects() {
    let is_kept = |plan, length: &'static str| {
        let mut site = Site::new(always(&[])).with_plan(plan).with(|settings| {
            settings.max_object = u64::MAX;
            settings.max_memory = u64::MAX;
        });
        let RequestStep::Fetch(fetch) =
            site.edge.request(site.now, &request("GET", URL, &[]), &VisitorInfo::default())
        else {
            panic!("nothing is stored")
        };
        let head = response(200, &[("content-length", length)], "").map(drop);
        matches!(site.edge.answered(site.now, fetch.ticket, head), ResponseStep::Keep(_))
    };
    assert_eq!([is_kept(Plan::Free, "536870912"), is_kept(Plan::Free, "536870913")], [true, false]);
    assert_eq!(
        [is_kept(Plan::Enterprise, "536870913"), is_kept(Plan::Enterprise, "6000000000")],
        [true, false]
    );
}
