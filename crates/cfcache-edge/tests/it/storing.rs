//! Which responses are stored, and for how long.

use cfcache_model::Plan;

use crate::support::{Site, URL, always, begin, counting, response, seconds};

type Headers = &'static [(&'static str, &'static str)];

type Verdict = Result<u64, &'static str>;

/// The result for a response with these headers, on a plan below Enterprise and on Enterprise: MISS with the seconds of
/// freshness, or why it is not stored.
const TABLE: &[(Headers, Verdict, Verdict)] = &[
    (&[], Ok(7200), Ok(7200)),
    (&[("cache-control", "public")], Ok(7200), Ok(7200)),
    (&[("cache-control", "max-age=10")], Ok(10), Ok(10)),
    (&[("cache-control", "max-age=10, s-maxage=20")], Ok(20), Ok(20)),
    (&[("cache-control", "max-age=10"), ("expires", "Fri, 15 Jan 2027 08:01:00 GMT")], Ok(10), Ok(10)),
    // The tests start at 2027-01-15T08:00:00Z.
    (&[("expires", "Fri, 15 Jan 2027 08:01:00 GMT")], Ok(60), Ok(60)),
    (&[("expires", "Fri, 15 Jan 2027 07:59:00 GMT")], Ok(0), Err("expires")),
    (&[("expires", "0")], Ok(0), Err("expires")),
    (
        &[("expires", "Fri, 15 Jan 2027 08:01:00 GMT"), ("expires", "Fri, 15 Jan 2027 08:02:00 GMT")],
        Ok(7200),
        Ok(7200),
    ),
    (&[("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")], Ok(7200), Ok(7200)),
    (&[("age", "3600"), ("cache-control", "max-age=10")], Ok(10), Ok(10)),
    (&[("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("cache-control", "max-age=10")], Ok(10), Ok(10)),
    (&[("cache-control", "no-store, max-age=10")], Err("no-store"), Err("no-store")),
    (&[("cache-control", "private, max-age=10")], Err("private"), Err("private")),
    (&[("cache-control", "private=\"x-a\", max-age=10")], Ok(10), Ok(10)),
    (&[("cache-control", "no-cache=\"x-a\", max-age=10")], Ok(10), Ok(10)),
    (&[("cache-control", "no-cache")], Ok(0), Err("no-cache")),
    (&[("cache-control", "max-age=0")], Ok(0), Err("max-age=0")),
    (&[("cache-control", "s-maxage=0, max-age=10")], Ok(0), Err("max-age=0")),
    (&[("set-cookie", "a=b")], Err("set-cookie"), Ok(7200)),
    (&[("set-cookie", "a=b"), ("cache-control", "private=\"set-cookie\", max-age=9")], Ok(9), Ok(9)),
    (&[("set-cookie", "a=b"), ("cache-control", "no-cache=Set-Cookie, max-age=9")], Ok(9), Ok(9)),
    (&[("vary", "*")], Err("vary *"), Err("vary *")),
    (&[("vary", "accept-encoding, *")], Err("vary *"), Err("vary *")),
    (&[("vary", "user-agent")], Ok(7200), Ok(7200)),
    // Only the first of the three headers counts.
    (&[("cdn-cache-control", "max-age=20"), ("cache-control", "max-age=10")], Ok(20), Ok(20)),
    (&[("cdn-cache-control", "max-age=20"), ("cache-control", "no-store")], Ok(20), Ok(20)),
    (&[("cdn-cache-control", "no-store"), ("cache-control", "max-age=10")], Err("no-store"), Err("no-store")),
    (&[("cloudflare-cdn-cache-control", "max-age=30"), ("cdn-cache-control", "max-age=20")], Ok(30), Ok(30)),
    (&[("cdn-cache-control", "no-cache")], Ok(0), Ok(0)),
    (&[("cdn-cache-control", "max-age=0")], Ok(0), Ok(0)),
    (&[("cdn-cache-control", "public"), ("expires", "Fri, 15 Jan 2027 08:01:00 GMT")], Ok(7200), Ok(7200)),
    (&[("cdn-cache-control", "public"), ("set-cookie", "a=b")], Err("set-cookie"), Err("set-cookie")),
    (&[("surrogate-control", ""), ("cache-control", "no-store")], Ok(7200), Ok(7200)),
    (&[("surrogate-control", "max-age=5"), ("cache-control", "max-age=10")], Ok(7200), Ok(7200)),
];

#[test]
fn responses_are_stored_by_their_headers_and_the_plan() {
    for (headers, below, enterprise) in TABLE {
        for (plan, expected) in [(Plan::Free, below), (Plan::Business, below), (Plan::Enterprise, enterprise)]
        {
            let mut site = Site::new(always(headers)).with_plan(plan);
            let first = site.get(URL);
            let found = match first.cache() {
                "BYPASS" => Err(first.why().strip_prefix("bypass; ").unwrap()),
                _ => Ok(site.edge.objects(begin()).next().unwrap().fresh_for.max(0).unsigned_abs()),
            };
            assert_eq!(found, *expected, "{headers:?} on {plan:?}");
            assert_eq!(site.edge.len(), usize::from(expected.is_ok()), "{headers:?} on {plan:?}");
        }
    }
}

#[test]
fn an_object_is_fresh_including_its_last_second() {
    let mut site = Site::new(counting(&[("cache-control", "max-age=10")]));
    assert_eq!(site.get(URL).cache(), "MISS");
    site.wait(10);
    let seen = site.get(URL);
    assert_eq!((seen.cache(), seen.header("age")), ("HIT", "10"));
    site.now += std::time::Duration::from_millis(1);
    assert_eq!(site.get(URL).cache(), "EXPIRED");
}

#[test]
fn default_ttls_depend_on_the_status() {
    let table: &[(u16, Option<u64>)] = &[
        (200, Some(7200)),
        (206, Some(7200)),
        (301, Some(7200)),
        (302, Some(1200)),
        (303, Some(1200)),
        (404, Some(180)),
        (410, Some(180)),
        (204, None),
        (307, None),
        (308, None),
        (400, None),
        (403, None),
        (500, None),
        (503, None),
    ];
    for &(code, ttl) in table {
        let mut site = Site::new(Box::new(move |_| Ok(response(code, &[], ""))));
        let first = site.get(URL);
        let Some(ttl) = ttl else {
            assert_eq!((first.code, first.why()), (code, &*format!("bypass; status {code}")));
            continue;
        };
        assert_eq!((first.code, first.cache()), (code, "MISS"));
        site.now = begin() + seconds(ttl);
        let seen = site.get(URL);
        assert_eq!((seen.code, seen.cache()), (code, "HIT"));
        site.wait(1);
        assert_eq!(site.get(URL).cache(), "EXPIRED");
        // With an explicit TTL, every status is stored.
        let mut site =
            Site::new(Box::new(move |_| Ok(response(code, &[("cache-control", "max-age=5")], ""))));
        assert_eq!(site.statuses(URL, 2), ["MISS", "HIT"], "{code}");
    }
}

#[test]
fn authorized_requests_need_a_permission_below_enterprise() {
    let cases = [("max-age=5", false), ("public", true), ("must-revalidate", true), ("s-maxage=5", true)];
    for (directive, permitted) in cases {
        let ask = |plan| {
            let mut site = Site::new(always(&[("cache-control", directive)])).with_plan(plan);
            site.get_with(URL, &[("authorization", "Bearer a")]).why().to_owned()
        };
        assert_eq!(ask(Plan::Pro), if permitted { "miss" } else { "bypass; authorization" }, "{directive}");
        assert_eq!(ask(Plan::Enterprise), "miss", "{directive}");
    }
}

#[test]
fn origin_cache_control_can_be_turned_on_by_rule() {
    let ask = |parameters: &str| {
        let mut site =
            Site::new(always(&[("cache-control", "no-cache"), ("etag", "\"a\"")])).with_rule(parameters);
        site.get(URL).why().to_owned()
    };
    assert_eq!(ask(r#"{"origin_cache_control":true}"#), "miss");
    assert_eq!(ask(r#"{"origin_cache_control":false}"#), "bypass; no-cache");
    // Below Enterprise, it cannot be turned off.
    let mut site = Site::new(always(&[("cache-control", "no-cache")])).with_plan(Plan::Free);
    site.edge.settings_mut().rules = crate::support::rule(r#"{"origin_cache_control":false}"#);
    assert_eq!(site.get(URL).cache(), "MISS");
}

#[test]
fn removes_set_cookie_from_stored_responses() {
    let cases: &[(&str, &str, bool)] = &[
        (r#"{}"#, "miss", true),
        (r#"{"cache":true}"#, "bypass; set-cookie", false),
        (r#"{"cache":true,"edge_ttl":{"mode":"override_origin","default":9}}"#, "miss", true),
        (
            r#"{"cache":true,"edge_ttl":{"mode":"respect_origin","status_code_ttl":[{"status_code":200,"value":9}]}}"#,
            "miss",
            true,
        ),
        (r#"{"cache":true,"edge_ttl":{"mode":"respect_origin"}}"#, "bypass; set-cookie", false),
    ];
    for &(parameters, why, removed) in cases {
        let mut site = Site::new(always(&[("set-cookie", "a=b")])).with_rule(parameters);
        let seen = site.get(URL);
        assert_eq!((seen.why(), seen.headers.contains_key("set-cookie")), (why, !removed), "{parameters}");
        if removed {
            assert!(!site.get(URL).headers.contains_key("set-cookie"), "{parameters}");
        }
    }
}

#[test]
fn removes_headers_listed_in_cache_control() {
    let headers =
        &[("x-a", "1"), ("x-b", "2"), ("cache-control", "private=\"x-a\", no-cache=\"x-b\", max-age=9")];
    let mut site = Site::new(always(headers));
    for expected in ["MISS", "HIT"] {
        let seen = site.get(URL);
        assert_eq!(seen.cache(), expected);
        assert!(!seen.headers.contains_key("x-a") && !seen.headers.contains_key("x-b"));
    }
}

#[test]
fn rules_set_the_edge_ttl() {
    let ttl = |code: u16, headers: Headers, ttl: &str| {
        let mut site = Site::new(Box::new(move |_| Ok(response(code, headers, ""))))
            .with_rule(&format!(r#"{{"cache":true,"edge_ttl":{ttl}}}"#));
        let why = site.get(URL).why().to_owned();
        let fresh_for = site.edge.objects(begin()).next().map(|object| object.fresh_for);
        fresh_for.ok_or(why)
    };
    let over = r#"{"mode":"override_origin","default":60}"#;
    assert_eq!(ttl(200, &[("cache-control", "no-store")], over), Ok(60));
    assert_eq!(ttl(200, &[("cache-control", "private, max-age=1")], over), Ok(60));
    assert_eq!(ttl(200, &[("cdn-cache-control", "max-age=1")], over), Ok(60));
    assert_eq!(ttl(404, &[], over), Ok(60));
    assert_eq!(ttl(200, &[("vary", "*")], over), Err("bypass; vary *".to_owned()));
    // It does not apply to errors; a TTL by status does.
    assert_eq!(ttl(500, &[], over), Err("bypass; status 500".to_owned()));

    let by_default = r#"{"mode":"bypass_by_default"}"#;
    assert_eq!(ttl(200, &[], by_default), Err("bypass; rule bypass_by_default".to_owned()));
    assert_eq!(
        ttl(200, &[("cache-control", "public")], by_default),
        Err("bypass; rule bypass_by_default".to_owned())
    );
    assert_eq!(ttl(200, &[("cache-control", "max-age=7")], by_default), Ok(7));

    let by_status = r#"{"mode":"respect_origin","status_code_ttl":[
        {"status_code":404,"value":-1},{"status_code_range":{"to":299},"value":86400},
        {"status_code_range":{"from":300,"to":499},"value":0},{"status_code_range":{"from":500},"value":5}]}"#;
    assert_eq!(ttl(404, &[], by_status), Err("bypass; rule no-store for status 404".to_owned()));
    assert_eq!(ttl(200, &[("cache-control", "no-store")], by_status), Ok(86400));
    assert_eq!(ttl(302, &[], by_status), Ok(-1));
    assert_eq!(ttl(500, &[], by_status), Ok(5));
    let mixed =
        r#"{"mode":"override_origin","default":60,"status_code_ttl":[{"status_code":200,"value":10}]}"#;
    assert_eq!((ttl(200, &[], mixed), ttl(301, &[], mixed)), (Ok(10), Ok(60)));
}

#[test]
fn deception_armor_checks_the_content_type() {
    let ask = |path: &str, kind: &'static str, extra: Headers| {
        let mut headers = extra.to_vec();
        headers.push(("content-type", kind));
        let mut site =
            Site::new(always(&headers)).with_rule(r#"{"cache_key":{"cache_deception_armor":true}}"#);
        site.get(&format!("https://example.com/{path}")).why().to_owned()
    };
    assert_eq!(ask("a.jpg", "text/html; charset=utf-8", &[]), "bypass; deception armor");
    assert_eq!(ask("a.jpg", "image/webp", &[]), "miss");
    assert_eq!(ask("a.jpg", "application/octet-stream", &[]), "miss");
    assert_eq!(ask("a.gif", "video/webm", &[]), "miss");
    assert_eq!(ask("a.css", "text/css", &[]), "miss");
    assert_eq!(ask("a.woff2", "font/woff2", &[]), "miss");
    assert_eq!(ask("a.pdf", "text/html", &[]), "bypass; deception armor");
    // A TTL by the origin overrides the protection.
    assert_eq!(ask("a.jpg", "text/html", &[("cache-control", "max-age=5")]), "miss");
}

#[test]
fn cache_reserve_stores_eligible_objects() {
    let reserved = |headers: Headers, parameters: &str, on: bool| {
        let mut site = Site::new(always(headers)).with_rule(parameters);
        site.edge.settings_mut().cache_reserve = on;
        site.get(URL);
        site.edge.objects(begin()).next().unwrap().in_reserve
    };
    let long: Headers = &[("cache-control", "max-age=36000"), ("content-length", "4")];
    assert!(reserved(long, "{}", true));
    assert!(!reserved(long, "{}", false));
    let mut site = Site::new(always(long)).with(|settings| settings.cache_reserve = true);
    site.get(URL);
    let in_reserve_after =
        |days: u64| site.edge.objects(begin() + seconds(days * 86400)).next().unwrap().in_reserve;
    assert_eq!([29, 30].map(in_reserve_after), [true, false]);
    assert!(!reserved(&[("cache-control", "max-age=35999"), ("content-length", "4")], "{}", true));
    assert!(!reserved(&[("cache-control", "max-age=36000")], "{}", true));
    assert!(!reserved(long, r#"{"cache_reserve":{"eligible":false}}"#, true));
    assert!(!reserved(long, r#"{"cache_reserve":{"eligible":true,"minimum_file_size":5}}"#, true));
    assert!(reserved(long, r#"{"cache_reserve":{"eligible":true,"minimum_file_size":4}}"#, true));
}
