//! The headers and bodies of answers.

use cfcache_edge::VisitorInfo;

use crate::support::{Site, URL, always, begin, request, response};

#[test]
fn adds_the_headers_of_the_edge() {
    let mut site = Site::new(always(&[("server", "origin"), ("x-a", "1"), ("age", "100")]));
    let mut rays = Vec::new();
    for url in [URL, URL, "https://example.com/page"] {
        let seen = site.get(url);
        assert_eq!((seen.header("server"), seen.header("x-a")), ("cloudflare", "1"));
        let (number, place) = seen.header("cf-ray").split_once('-').unwrap();
        assert!(number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit()), "{number}");
        assert!(place.len() == 3 && place.bytes().all(|byte| byte.is_ascii_uppercase()), "{place}");
        assert!(!rays.contains(&number.to_owned()));
        rays.push(number.to_owned());
        assert_eq!(seen.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT");
    }
}

#[test]
fn age_counts_only_the_time_in_this_cache() {
    let mut site = Site::new(always(&[("age", "100")]));
    assert_eq!(site.get(URL).header("age"), "");
    site.wait(7);
    assert_eq!(site.get(URL).header("age"), "7");
    // A forwarded answer keeps the origin's `Age`.
    assert_eq!(site.get("https://example.com/page").header("age"), "100");
}

#[test]
fn removes_headers_for_the_edge_and_forwards_those_for_other_caches() {
    let headers = &[
        ("cloudflare-cdn-cache-control", "max-age=9"),
        ("cdn-cache-control", "max-age=8"),
        ("cache-control", "max-age=7"),
        ("cache-tag", "a"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
    ];
    let mut site = Site::new(always(headers));
    for url in [URL, URL, "https://example.com/page"] {
        let seen = site.get(url);
        assert_eq!(
            (seen.header("cdn-cache-control"), seen.header("cache-control")),
            ("max-age=8", "max-age=7")
        );
        for name in ["cloudflare-cdn-cache-control", "cache-tag", "connection", "x-hop", "keep-alive"] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
    }
}

#[test]
fn requests_the_whole_object_with_the_visitors_address() {
    let mut site = Site::new(always(&[]));
    site.visitor = VisitorInfo::new("192.0.2.1".parse().unwrap()).with_country("DE");
    let headers = &[
        ("if-none-match", "\"a\""),
        ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("if-match", "\"a\""),
        ("if-range", "\"a\""),
        ("range", "bytes=0-1"),
        ("accept-encoding", "gzip, br"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-forwarded-for", "198.51.100.1"),
        ("cookie", "a=b"),
    ];
    site.get_with(URL, headers);
    let asked = &site.asked[0];
    for name in ["if-none-match", "if-modified-since", "if-match", "if-range", "range", "connection", "x-hop"]
    {
        assert!(!asked.headers().contains_key(name), "{name}");
    }
    let expected = [
        ("accept-encoding", "identity"),
        ("host", "www.example.com"),
        ("cf-connecting-ip", "192.0.2.1"),
        ("x-forwarded-for", "198.51.100.1,192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("cf-visitor", r#"{"scheme":"https"}"#),
        ("cf-ipcountry", "DE"),
        ("cdn-loop", "cloudflare; loops=1"),
        ("cookie", "a=b"),
    ];
    for (name, value) in expected {
        assert_eq!(asked.headers()[name], value, "{name}");
    }
    // An ineligible request is forwarded as the visitor sent it.
    site.get_with("https://example.com/page", headers);
    let asked = &site.asked[1];
    for (name, value) in [("range", "bytes=0-1"), ("accept-encoding", "gzip, br"), ("if-none-match", "\"a\"")]
    {
        assert_eq!(asked.headers()[name], value, "{name}");
    }
    assert!(!asked.headers().contains_key("x-hop"));
}

#[test]
fn answers_conditions_and_ranges_from_the_whole_object() {
    let headers = &[("etag", "\"a\""), ("content-type", "text/css"), ("cache-control", "max-age=60")];
    let mut site = Site::new(Box::new(|_| Ok(response(200, headers, "0123456789"))));
    // On a miss as on a hit.
    let seen = site.get_with(URL, &[("range", "bytes=2-4")]);
    assert_eq!((seen.code, seen.cache(), &*seen.body), (206, "MISS", "234"));
    assert_eq!((seen.header("content-range"), seen.header("content-length")), ("bytes 2-4/10", "3"));
    let seen = site.get_with(URL, &[("range", "bytes=-2")]);
    assert_eq!((seen.code, seen.cache(), &*seen.body), (206, "HIT", "89"));
    let seen = site.get_with(URL, &[("range", "bytes=0-1,8-9")]);
    assert_eq!(seen.code, 206);
    assert!(seen.header("content-type").starts_with("multipart/byteranges; boundary="));
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    let seen = site.get_with(URL, &[("range", "bytes=20-")]);
    assert_eq!((seen.code, &*seen.body, seen.header("content-range")), (416, "", "bytes */10"));
    let seen = site.get_with(URL, &[("range", "bytes=4-5,0-1")]);
    assert_eq!((seen.code, &*seen.body), (200, "0123456789"));
    let seen = site.get_with(URL, &[("if-none-match", "\"a\""), ("range", "bytes=0-1")]);
    assert_eq!((seen.code, seen.cache(), &*seen.body, seen.header("etag")), (304, "HIT", "", "\"a\""));
    assert!(!seen.headers.contains_key("content-length") && !seen.headers.contains_key("content-type"));
    let head = site.send(&request("HEAD", URL, &[("range", "bytes=2-4")]));
    assert_eq!((head.code, &*head.body, head.header("content-range")), (206, "", "bytes 2-4/10"));
}

#[test]
fn uses_the_time_of_storing_as_a_validator() {
    let mut site = Site::new(always(&[("cache-control", "max-age=5")]));
    assert_eq!(site.get(URL).header("last-modified"), "");
    site.wait(2);
    let modified = site.get(URL).header("last-modified").to_owned();
    assert_eq!(modified, "Fri, 15 Jan 2027 08:00:00 GMT");
    assert_eq!(site.get_with(URL, &[("if-modified-since", &modified)]).code, 304);
    let before = "Fri, 15 Jan 2027 07:59:59 GMT";
    assert_eq!(site.get_with(URL, &[("if-modified-since", before)]).code, 200);
    // Only for visitors: the origin did not send it, and never receives it.
    site.wait(10);
    assert_eq!(site.get(URL).cache(), "EXPIRED");
    assert!(!site.asked.last().unwrap().headers().contains_key("if-modified-since"));
    let mut site = Site::new(always(&[("etag", "\"a\"")]));
    site.get(URL);
    assert_eq!(site.get(URL).header("last-modified"), "");
}

#[test]
fn serves_other_statuses_than_200_completely() {
    let mut site = Site::new(Box::new(|_| Ok(response(404, &[("etag", "\"a\"")], "not here"))));
    for expected in ["MISS", "HIT"] {
        let seen = site.get_with(URL, &[("range", "bytes=0-1"), ("if-none-match", "\"a\"")]);
        assert_eq!((seen.code, seen.cache(), &*seen.body), (404, expected, "not here"));
    }
}

#[test]
fn drops_malformed_etags() {
    for (given, kept) in
        [("\"a\"", true), ("W/\"a\"", true), ("a", false), ("\"a", false), ("w/\"a\"", false)]
    {
        let headers: &'static [(&str, &str)] = Box::leak(Box::new([("etag", given)]));
        let mut site = Site::new(always(headers));
        assert_eq!(site.get(URL).headers.contains_key("etag"), kept, "{given}");
        assert_eq!(site.get(URL).headers.contains_key("etag"), kept, "{given}");
    }
}

#[test]
fn sets_the_default_browser_ttl() {
    let ask = |headers: &'static [(&'static str, &'static str)], parameters: &str, url: &str| {
        let mut site = Site::new(always(headers)).with_rule(parameters);
        let first = site.get(url).header("cache-control").to_owned();
        assert_eq!(site.get(url).header("cache-control"), first);
        first
    };
    assert_eq!(ask(&[], "{}", URL), "max-age=14400");
    assert_eq!(ask(&[("cache-control", "public")], "{}", URL), "public");
    assert_eq!(ask(&[("cache-control", "max-age=60")], "{}", URL), "max-age=60");
    assert_eq!(ask(&[("expires", "Fri, 15 Jan 2027 09:00:00 GMT")], "{}", URL), "");
    // Not for answers that are not stored or not eligible.
    assert_eq!(ask(&[("vary", "*")], "{}", URL), "");
    assert_eq!(ask(&[], "{}", "https://example.com/page"), "");
    let over = r#"{"browser_ttl":{"mode":"override_origin","default":100}}"#;
    assert_eq!(ask(&[], over, URL), "max-age=100");
    assert_eq!(ask(&[("cache-control", "max-age=60")], over, URL), "max-age=100");
    assert_eq!(ask(&[("cache-control", "max-age=200")], over, URL), "max-age=200");
    assert_eq!(ask(&[], r#"{"browser_ttl":{"mode":"respect_origin"}}"#, URL), "");
    let bypass = r#"{"browser_ttl":{"mode":"bypass_by_default"}}"#;
    assert_eq!(ask(&[("cache-control", "max-age=60")], bypass, URL), "no-store");
    let mut site = Site::new(always(&[])).with(|settings| settings.browser_ttl = None);
    assert_eq!(site.get(URL).header("cache-control"), "");
}

#[test]
fn lists_objects() {
    let mut site = Site::new(always(&[("cache-control", "max-age=60"), ("cache-tag", "b,a")]));
    site.get("https://www.example.com/a.css?b=c");
    site.wait(10);
    let object = site.edge.objects(site.now).next().unwrap();
    assert_eq!((&*object.url, object.age, object.fresh_for), ("https://www.example.com/a.css?b=c", 10, 50));
    assert_eq!((object.size, object.status.as_u16(), object.tags.len()), (4, 200, 2));
    site.invalidate(cfcache_edge::PurgeItems::Everything);
    assert!(site.edge.objects(begin() + std::time::Duration::from_secs(11)).next().unwrap().fresh_for < 0);
}
