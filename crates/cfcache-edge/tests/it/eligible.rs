//! The eligibility of requests for the cache.

use std::time::Duration;

use cfcache_edge::CacheRules;
use cfcache_model::endpoint::CacheLevel;

use crate::support::{Site, URL, always, begin, counting, request, rule};

/// Source: "Default cache behavior", 2026.
const EXTENSIONS: &str = "7Z AVI AVIF APK BIN BMP BZ2 CLASS CSS CSV DOC DOCX DMG EJS EOT EPS EXE FLAC GIF GZ ICO ISO \
                          JAR JPG JPEG JS MID MIDI MKV MP3 MP4 OGG OTF PDF PICT PLS PNG PPT PPTX PS RAR SVG SVGZ SWF \
                          TAR TIF TIFF TTF WEBM WEBP WOFF WOFF2 XLS XLSX ZIP ZST";

#[test]
fn caches_default_extensions_in_upper_and_lower_case() {
    let mut site = Site::new(always(&[]));
    for extension in EXTENSIONS.split_whitespace() {
        for extension in [extension.to_owned(), extension.to_lowercase()] {
            let url = format!("https://example.com/a/b.{extension}?c=d");
            assert_eq!(site.statuses(&url, 2), ["MISS", "HIT"], "{extension}");
        }
    }
}

#[test]
fn other_paths_are_dynamic() {
    let cases = [
        ("/", "no extension"),
        ("/index.html", "extension html"),
        ("/a.json", "extension json"),
        ("/a.css/b", "no extension"),
        ("/css", "no extension"),
        ("/?a=b.css", "no extension"),
        ("/a.", "no extension"),
        ("/a.%22%0D", "no extension"),
        ("/a/robots.txt", "extension txt"),
    ];
    let mut site = Site::new(always(&[("cache-control", "public, max-age=60")]));
    for (path, why) in cases {
        let url = format!("https://example.com{path}");
        for _ in 0..2 {
            let seen = site.get(&url);
            assert_eq!((seen.cache(), seen.why()), ("DYNAMIC", &*format!("dynamic; {why}")), "{path}");
        }
    }
    assert_eq!(site.statuses("https://example.com/robots.txt", 2), ["MISS", "HIT"]);
}

#[test]
fn only_get_and_head_are_cached() {
    let mut site = Site::new(always(&[]));
    site.get(URL);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
        let seen = site.send(&request(method, URL, &[]));
        assert_eq!(seen.why(), format!("dynamic; method {method}"));
        assert_eq!(site.asked.last().unwrap().method(), method);
    }
    // None of these requests has invalidated the cached object.
    assert_eq!(site.get(URL).cache(), "HIT");
}

#[test]
fn the_edge_answers_unknown_methods() {
    let mut site = Site::new(always(&[]));
    for (method, code) in [("FOO", 501), ("get", 501), ("TRACE", 405)] {
        assert_eq!(site.send(&request(method, URL, &[])).code, code, "{method}");
    }
    assert!(site.asked.is_empty());
}

#[test]
fn head_fetches_and_stores_the_whole_object() {
    let mut site = Site::new(counting(&[("etag", "\"a\"")]));
    let head = site.send(&request("HEAD", URL, &[]));
    assert_eq!((head.cache(), &*head.body), ("MISS", ""));
    assert_eq!(head.header("content-length"), "1");
    assert_eq!(site.asked[0].method(), "GET");
    let get = site.get(URL);
    assert_eq!((get.cache(), &*get.body), ("HIT", "1"));
    let head = site.send(&request("HEAD", URL, &[]));
    assert_eq!((head.cache(), &*head.body, head.header("content-length")), ("HIT", "", "1"));
}

#[test]
fn development_mode_lasts_three_hours_and_purges_nothing() {
    let mut site = Site::new(always(&[("cache-control", "max-age=86400")]));
    site.get(URL);
    site.edge.settings_mut().development_mode = Some(begin());
    assert_eq!(site.get(URL).why(), "dynamic; development mode");
    site.wait(3 * 60 * 60 - 1);
    assert_eq!(site.get(URL).cache(), "DYNAMIC");
    site.wait(1);
    assert_eq!(site.get(URL).cache(), "HIT");
}

#[test]
fn rules_decide_about_eligibility_and_bypass() {
    let mut site = Site::new(always(&[])).with_rule(r#"{"cache":true}"#);
    assert_eq!(site.statuses("https://example.com/page", 2), ["MISS", "HIT"]);
    let mut site = Site::new(always(&[])).with_rule(r#"{"cache":false}"#);
    assert_eq!(site.get(URL).why(), "dynamic; rule");
    // The last matching rule decides; a rule without `cache` does not.
    let mut site = Site::new(always(&[])).with(|settings| {
        settings.rules = rule(r#"{"cache":false}"#)
            .with_rules(rule(r#"{"cache":true}"#))
            .with_rules(rule(r#"{"browser_ttl":{"mode":"respect_origin"}}"#));
    });
    assert_eq!(site.get("https://example.com/page").cache(), "MISS");
}

#[test]
fn patterns_make_pages_eligible() {
    let rules = CacheRules::default().with_eligible("WWW.example.com/blog/*").unwrap();
    let mut site = Site::new(always(&[])).with(|settings| settings.rules = rules);
    let cases = [
        ("https://www.example.com/blog/", "MISS"),
        ("https://www.EXAMPLE.com/blog/a/b?c", "MISS"),
        ("https://www.example.com/blog", "DYNAMIC"),
        ("https://www.example.com/Blog/a", "DYNAMIC"),
        ("https://example.com/blog/a", "DYNAMIC"),
    ];
    for (url, expected) in cases {
        assert_eq!(site.get(url).cache(), expected, "{url}");
    }
    for pattern in ["https://a/b", "/blog/*", "a/b?c", "a/**", "a b/*", "b\u{fc}cher.example/*", "a@b/*"] {
        let error = CacheRules::default().with_eligible(pattern).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{pattern}` is not of the form `HOST/PATH*`: ")), "{error}");
    }
}

#[test]
fn cache_levels_decide_about_query_strings() {
    let (one, other) = ("https://example.com/a.css?1", "https://example.com/a.css?2");
    let mut site = Site::new(always(&[]));
    assert_eq!((site.get(one).cache(), site.get(other).cache()), ("MISS", "MISS"));
    let mut site = Site::new(always(&[])).with(|settings| settings.cache_level = CacheLevel::Simplified);
    assert_eq!((site.get(one).cache(), site.get(other).cache()), ("MISS", "HIT"));
    let mut site = Site::new(always(&[])).with(|settings| settings.cache_level = CacheLevel::Basic);
    assert_eq!(site.get(one).why(), "dynamic; query string");
    assert_eq!(site.get("https://example.com/a.css").cache(), "MISS");
    // `Simplified` ignores the query only for the default extensions.
    let mut site = Site::new(always(&[])).with_rule(r#"{"cache":true}"#);
    site.edge.settings_mut().cache_level = CacheLevel::Simplified;
    assert_eq!(site.get("https://example.com/a?1").cache(), "MISS");
    assert_eq!(site.get("https://example.com/a?2").cache(), "MISS");
}

#[test]
fn ignores_cache_control_of_requests() {
    let mut site = Site::new(always(&[]));
    site.get(URL);
    for value in ["no-cache", "no-store", "max-age=0", "only-if-cached"] {
        assert_eq!(site.get_with(URL, &[("cache-control", value), ("pragma", "no-cache")]).cache(), "HIT");
    }
}

#[test]
fn ignores_rules_outside_of_their_time() {
    let mut site = Site::new(always(&[]));
    site.edge.settings_mut().development_mode = Some(begin() + Duration::from_secs(60));
    // A rule that has not started yet does not count either.
    assert_eq!(site.get(URL).cache(), "MISS");
}
