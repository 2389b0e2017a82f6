//! Cache keys: which requests share an object.

use cfcache_edge::VisitorInfo;

use crate::support::{Site, URL, always, begin, rule};

/// Returns the cache key of a request, from the answer.
fn key(site: &mut Site, url: &str, headers: &[(&str, &str)]) -> String {
    let seen = site.get_with(url, headers);
    seen.header("x-cfcache-edge").split_once("; key=").unwrap().1.to_owned()
}

#[test]
fn writes_the_default_key_in_the_vendors_form() {
    let mut site = Site::new(always(&[]));
    let url = "https://example.com/images/hero.jpg";
    assert_eq!(key(&mut site, url, &[]), "example.com::::https://example.com/images/hero.jpg:::::");
    let object = site.edge.objects(begin()).next().unwrap();
    assert_eq!(object.url, url);
}

#[test]
fn ignores_the_visitors_scheme_and_the_case_of_the_host() {
    let mut site = Site::new(always(&[]));
    site.get("https://www.example.com/a.css?x");
    for url in [
        "http://www.example.com/a.css?x",
        "https://WWW.example.com/a.css?x",
        "https://www.example.com:443/a.css?x",
        "http://www.example.com:80/a.css?x",
    ] {
        assert_eq!(site.get(url).cache(), "HIT", "{url}");
    }
    for url in [
        "https://www.example.com/A.css?x",
        "https://www.example.com/a.css?X",
        "https://www.example.com/a.css",
        "https://example.com/a.css?x",
        "https://www.example.com:8443/a.css?x",
    ] {
        assert_eq!(site.get(url).cache(), "MISS", "{url}");
    }
    // The scheme of the request to the origin counts.
    site.edge.settings_mut().origin_is_https = false;
    assert_eq!(site.get("https://www.example.com/a.css?x").cache(), "MISS");
}

#[test]
fn uses_the_host_header_of_requests_without_an_absolute_url() {
    let mut site = Site::new(always(&[]));
    site.get("https://www.example.com/a.css");
    assert_eq!(site.get_with("/a.css", &[("host", "www.example.com")]).cache(), "HIT");
}

#[test]
fn headers_of_the_default_key_separate_objects() {
    let names = [
        "origin",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-forwarded-host",
        "x-host",
        "x-forwarded-scheme",
        "x-original-url",
        "x-rewrite-url",
        "forwarded",
    ];
    for name in names {
        let mut site = Site::new(always(&[]));
        site.get(URL);
        let ask = |site: &mut Site, value| site.get_with(URL, &[(name, value)]).cache().to_owned();
        assert_eq!(ask(&mut site, "a"), "MISS", "{name}");
        assert_eq!(ask(&mut site, "a"), "HIT", "{name}");
        assert_eq!(ask(&mut site, "b"), "MISS", "{name}");
    }
    let mut site = Site::new(always(&[]));
    site.get(URL);
    assert_eq!(site.get_with(URL, &[("x-forwarded-scheme", "https")]).cache(), "HIT");
    for name in ["user-agent", "accept", "accept-language", "accept-encoding", "cookie", "referer", "x-a"] {
        assert_eq!(site.get_with(URL, &[(name, "a")]).cache(), "HIT", "{name}");
    }
}

#[test]
fn values_cannot_imitate_other_parts_of_a_key() {
    let mut site = Site::new(always(&[]));
    let keys = [
        key(&mut site, URL, &[("x-host", "a"), ("forwarded", "b")]),
        key(&mut site, URL, &[("x-host", "a;forwarded=b")]),
        key(&mut site, URL, &[("origin", "a:https://www.example.com/css/styles.css")]),
        key(&mut site, "https://www.example.com/css/styles.css:x-host=a.css", &[]),
        key(&mut site, URL, &[("x-host", "a%3A")]),
        key(&mut site, URL, &[("x-host", "a:")]),
    ];
    for (index, one) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(one), "{keys:?}");
    }
}

/// Returns the URL and the remaining parts of the key of a rule.
fn key_by_rule(parameters: &str, url: &str, headers: &[(&str, &str)]) -> String {
    let parameters = format!(r#"{{"cache":true,"cache_key":{parameters}}}"#);
    let mut site = Site::new(always(&[])).with(|settings| settings.rules = rule(&parameters));
    let address = "192.0.2.1".parse().unwrap();
    site.visitor = VisitorInfo::new(address).with_country("de");
    key(&mut site, url, headers).split_once("https://").unwrap().1.to_owned()
}

#[test]
fn truncates_long_keys() {
    let mut site = Site::new(always(&[]));
    let url = format!("https://example.com/{}.css", "a".repeat(5000));
    let shown = key(&mut site, &url, &[]);
    assert!(shown.ends_with("aaa...") && shown.len() < 2100, "{shown}");
    assert_eq!(site.get(&url).cache(), "HIT");
}

#[test]
fn selects_and_sorts_query_strings() {
    let custom = |query: &str| format!(r#"{{"custom_key":{{"query_string":{query}}}}}"#);
    let cases = [
        (custom(r#"{"include":["*"]}"#), "b=2&a=1", "?b=2&a=1"),
        (custom(r#"{"exclude":["*"]}"#), "b=2&a=1", ""),
        (custom(r#"{"exclude":"*"}"#), "b=2&a=1", ""),
        (custom(r#"{"exclude":{"all":true}}"#), "b=2&a=1", ""),
        (custom(r#"{"include":["a"]}"#), "b=2&a=1&c", "?a=1"),
        (custom(r#"{"include":{"list":["c","b"]}}"#), "b=2&a=1&c", "?b=2&c"),
        (custom(r#"{"exclude":["a"]}"#), "b=2&a=1&c", "?b=2&c"),
        (custom(r#"{"include":["x"]}"#), "b=2", ""),
        (r#"{"ignore_query_strings_order":true}"#.to_owned(), "b=2&a=2&a=1&c", "?a=1&a=2&b=2&c"),
        (r#"{"ignore_query_strings_order":false}"#.to_owned(), "b=2&a=1", "?b=2&a=1"),
    ];
    for (parameters, query, expected) in cases {
        let found = key_by_rule(&parameters, &format!("https://example.com/a?{query}"), &[]);
        assert_eq!(found, format!("example.com/a{expected}:::::"), "{parameters} {query}");
    }
    // The setting of the zone, and a rule that overrides it.
    let mut site = Site::new(always(&[])).with(|settings| settings.sort_query = true);
    assert!(key(&mut site, "https://example.com/a.css?b&a", &[]).contains("?a&b:"));
    let mut site = Site::new(always(&[])).with_rule(r#"{"cache_key":{"ignore_query_strings_order":false}}"#);
    site.edge.settings_mut().sort_query = true;
    assert!(key(&mut site, "https://example.com/a.css?b&a", &[]).contains("?b&a:"));
}

#[test]
fn custom_keys_contain_headers_cookies_and_visitor_properties() {
    let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";
    let all: &[(&str, &str)] = &[
        ("x-a", "1"),
        ("cookie", "theme=dark; session=1"),
        ("accept-language", "de-AT, en;q=0.5"),
        ("accept-encoding", "gzip, br"),
        ("user-agent", phone),
        ("origin", "https://other.example"),
    ];
    let cases = [
        (r#"{"custom_key":{"header":{"include":["X-A","x-b"]}}}"#, ":x-a=1;x-b=::::"),
        (r#"{"custom_key":{"header":{"check_presence":["x-a","x-b"]}}}"#, ":x-a::::"),
        (
            r#"{"custom_key":{"header":{"contains":{"accept-encoding":["br","zstd"]}}}}"#,
            ":accept-encoding~br::::",
        ),
        (
            r#"{"custom_key":{"cookie":{"include":["theme"],"check_presence":["session","none"]}}}"#,
            "::theme=dark;session:::",
        ),
        (r#"{"custom_key":{"user":{"device_type":true}}}"#, ":::mobile::"),
        (r#"{"cache_by_device_type":true}"#, ":::mobile::"),
        (r#"{"custom_key":{"user":{"geo":true,"lang":true}}}"#, "::::DE:de-at"),
        (r#"{"custom_key":{"host":{"resolved":true}}}"#, ":::::"),
    ];
    for (parameters, expected) in cases {
        assert_eq!(
            key_by_rule(parameters, "https://example.com/a", all),
            format!("example.com/a{expected}"),
            "{parameters}"
        );
    }
    let mut site = Site::new(always(&[]))
        .with_rule(r#"{"cache_key":{"custom_key":{"header":{"exclude_origin":true}}}}"#);
    site.get(URL);
    assert_eq!(site.get_with(URL, &[("origin", "https://other.example")]).cache(), "HIT");
}

#[test]
fn determines_the_device_from_the_user_agent() {
    let cases = [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)", "mobile"),
        ("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Mobile/15E148", "tablet"),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120.0.0.0 Mobile Safari/537.36", "mobile"),
        ("Mozilla/5.0 (Linux; Android 14; SM-X900) Chrome/120.0.0.0 Safari/537.36", "tablet"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0.0.0 Safari/537.36", "desktop"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "desktop"),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1)", "mobile"),
        ("curl/8.5.0", "desktop"),
        ("", "desktop"),
    ];
    for (agent, expected) in cases {
        let found = key_by_rule(
            r#"{"cache_by_device_type":true}"#,
            "https://example.com/a",
            &[("user-agent", agent)],
        );
        assert_eq!(found, format!("example.com/a:::{expected}::"), "{agent}");
    }
    // The origin gets the device type.
    let mut site = Site::new(always(&[])).with_rule(r#"{"cache_key":{"cache_by_device_type":true}}"#);
    site.get_with(URL, &[("user-agent", cases[0].0), ("cf-device-type", "desktop")]);
    assert_eq!(site.asked[0].headers()["cf-device-type"], "mobile");
}
