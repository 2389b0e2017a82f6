//! The objects that a purge removes.

use cfcache_edge::{CacheEnvironment, CacheRules, Expression, Purge, PurgeFile, PurgeItems};

use crate::support::{
    Origin, Site, URL, always, begin, counting, files, hosts, prefixes, response, rule, tags,
};

fn purge_environment(site: &mut Site, items: PurgeItems, id: &str) -> usize {
    site.edge.purge(begin(), &Purge::new(items).with_environment(Some(id.to_owned()))).objects
}

/// An origin that tags each response with its path.
fn tagging() -> Origin {
    Box::new(|request| Ok(response(200, &[("cache-tag", request.uri().path())], "body")))
}

#[test]
fn each_kind_of_purge_removes_its_targets() {
    let all = [
        "https://example.com/a/one.css",
        "https://example.com/a/one.css?x=1",
        "https://example.com/ab.css",
        "https://example.com/a.css",
        "https://www.example.com/a/one.css",
    ];
    let cases: &[(PurgeItems, &[usize])] = &[
        (PurgeItems::Everything, &[0, 1, 2, 3, 4]),
        (files(&["https://example.com/a/one.css"]), &[0]),
        (files(&["http://EXAMPLE.com/a/one.css#part", "https://example.com/a/one.css?x=1"]), &[0, 1]),
        (files(&["https://example.com/A/one.css", "example.com/a.css", "https://", "\u{0}"]), &[]),
        (tags(&["/A/one.css"]), &[0, 1, 4]),
        (tags(&["/a.css", "none", ""]), &[3]),
        (hosts(&["EXAMPLE.com"]), &[0, 1, 2, 3]),
        (hosts(&["www.example.com", "example.com"]), &[0, 1, 2, 3, 4]),
        (hosts(&["ample.com", "example", ""]), &[]),
        (prefixes(&["example.com/a"]), &[0, 1]),
        (prefixes(&["example.com/a/"]), &[0, 1]),
        (prefixes(&["example.com/a/one.css"]), &[0, 1]),
        (prefixes(&["Example.com"]), &[0, 1, 2, 3]),
        (prefixes(&["www.example.com/", "example.com/a.css"]), &[3, 4]),
        (prefixes(&["example.com/on", "/a", "https://example.com/a"]), &[]),
    ];
    for (items, expected) in cases {
        let mut site = Site::new(tagging());
        for url in all {
            site.get(url);
        }
        assert_eq!(site.purge(items.clone()).objects, expected.len(), "{items:?}");
        for (index, url) in all.iter().enumerate() {
            let status = if expected.contains(&index) { "MISS" } else { "HIT" };
            assert_eq!(site.get(url).cache(), status, "{url} after {items:?}");
        }
        // Objects that were fetched again can be purged again, and everything can be purged.
        assert_eq!(site.edge.len(), all.len());
        assert_eq!(site.purge(PurgeItems::Everything).objects, all.len());
        assert_eq!((site.edge.len(), site.edge.memory()), (0, 0));
    }
}

#[test]
fn duplicate_targets_count_once() {
    let item_lists = [
        files(&[URL, URL, "http://www.example.com/css/styles.css"]),
        tags(&["t", "T", "u"]),
        hosts(&["www.example.com", "WWW.example.com"]),
        prefixes(&["www.example.com", "www.example.com/css"]),
    ];
    for items in item_lists {
        let mut site = Site::new(always(&[("cache-tag", "t,u,t")]));
        site.get(URL);
        assert_eq!(site.invalidate(items.clone()).objects, 1, "{items:?}");
        assert_eq!(site.purge(items.clone()).objects, 1, "{items:?}");
    }
}

#[test]
fn a_purge_returns_the_removed_objects() {
    let mut site = Site::new(always(&[]));
    site.get(URL);
    let purged = site.purge(PurgeItems::Everything);
    assert_eq!(purged.urls().collect::<Vec<_>>(), [URL]);
}

#[test]
fn parses_tags_in_lists_and_repeated_headers() {
    let headers = &[
        ("cache-tag", " One ,two,, t w o"),
        ("cache-tag", "THREE, on\u{e9}"),
        ("cache-control", "max-age=60"),
    ];
    for tag in ["one", "ONE", " two ", "t w o", "Three"] {
        let mut site = Site::new(always(headers));
        let seen = site.get(URL);
        assert!(!seen.headers.contains_key("cache-tag"));
        assert_eq!(site.purge(tags(&[tag])).objects, 1, "{tag}");
    }
    let mut site = Site::new(always(headers));
    site.get(URL);
    let object = site.edge.objects(begin()).next().unwrap();
    assert_eq!(object.tags, ["one", "two", "t w o", "three"]);
    // Tags beyond 16 KB are ignored.
    let long: &'static str = Box::leak(format!("first,{},last", "x".repeat(16 * 1024)).into_boxed_str());
    let mut site = Site::new(always(&[("cache-tag", long)]));
    site.get(URL);
    assert_eq!(site.purge(tags(&["last"])).objects, 0);
    assert_eq!(site.purge(tags(&["first"])).objects, 1);
}

#[test]
fn headers_of_a_file_select_its_key() {
    let mut site = Site::new(always(&[]));
    let other = ("origin", "https://other.example");
    site.get(URL);
    site.get_with(URL, &[other]);
    let file = PurgeFile::new(URL).with_header("Origin", other.1);
    assert_eq!(site.purge(PurgeItems::Files(vec![file])).objects, 1);
    assert_eq!(site.get(URL).cache(), "HIT");
    assert_eq!(site.get_with(URL, &[other]).cache(), "MISS");
    // Without the header, the object without it is purged.
    assert_eq!(site.purge(files(&[URL])).objects, 1);
    assert_eq!(site.get_with(URL, &[other]).cache(), "HIT");
}

#[test]
fn purges_custom_keys_with_the_documented_headers() {
    let mut site = Site::new(always(&[])).with_rule(
        r#"{"cache":true,"cache_key":{"custom_key":{
            "user":{"device_type":true,"geo":true,"lang":true},"cookie":{"include":["theme"]},
            "header":{"include":["x-a"]},"query_string":{"include":["page"]}}}}"#,
    );
    let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)";
    site.visitor = cfcache_edge::VisitorInfo::new("192.0.2.1".parse().unwrap()).with_country("ES");
    let url = "https://example.com/page?utm=1&page=2";
    let headers = &[
        ("user-agent", phone),
        ("accept-language", "zh-CN,en"),
        ("cookie", "a=1; theme=dark"),
        ("x-a", "1"),
    ];
    site.get_with(url, headers);
    let file = || PurgeFile::new("https://example.com/page?page=2");
    let full = || {
        file()
            .with_header("CF-Device-Type", "mobile")
            .with_header("CF-IPCountry", "ES")
            .with_header("accept-language", "zh-CN")
            .with_header("Cookie", "theme=dark")
            .with_header("X-A", "1")
    };
    // A missing header counts as empty.
    assert_eq!(site.purge(PurgeItems::Files(vec![file()])).objects, 0);
    assert_eq!(site.purge(PurgeItems::Files(vec![full()])).objects, 1);
    assert_eq!(site.get_with(url, headers).cache(), "MISS");
    // Purges by prefix and host do not depend on the key.
    assert_eq!(site.purge(prefixes(&["example.com/page"])).objects, 1);
}

#[test]
fn a_rule_for_get_does_not_match_a_purge() {
    let json = |expression: &str| {
        format!(
            r#"[{{"expression":"{expression}","action":"set_cache_settings","action_parameters":{{"cache":true,
            "cache_key":{{"custom_key":{{"query_string":{{"exclude":["*"]}}}}}}}}}}]"#
        )
    };
    let purged = |expression: &str| {
        let rules = CacheRules::parse(&json(expression)).unwrap();
        let mut site = Site::new(always(&[])).with(|settings| settings.rules = rules);
        site.get("https://example.com/a?1");
        site.purge(files(&["https://example.com/a?1"])).objects
    };
    assert_eq!(purged(r#"http.request.method eq \"GET\""#), 0);
    assert_eq!(purged(r#"http.request.method in {\"GET\" \"PURGE\"}"#), 1);
}

#[test]
fn non_ascii_urls_are_one_object_in_both_forms() {
    let mut site = Site::new(always(&[]));
    site.get("https://example.com/%C3%BC.css");
    assert_eq!(site.purge(files(&["https://example.com/ü.css"])).objects, 1);
    site.get("https://example.com/%C3%BC/a.css");
    assert_eq!(site.purge(prefixes(&["example.com/ü"])).objects, 1);
}

#[test]
fn with_tiered_cache_purges_by_tag_host_and_prefix_give_expired() {
    let item_lists = [tags(&["t"]), hosts(&["www.example.com"]), prefixes(&["www.example.com/css"])];
    for items in item_lists {
        let mut site = Site::new(counting(&[("cache-tag", "t"), ("etag", "\"a\"")]));
        site.edge.settings_mut().tiered_cache = true;
        site.get(URL);
        assert_eq!(site.purge(items.clone()).objects, 1);
        assert_eq!(site.statuses(URL, 2), ["EXPIRED", "HIT"], "{items:?}");
        // The trace of the purge disappears with the new copy.
        site.edge.settings_mut().tiered_cache = false;
        site.purge(items.clone());
        assert_eq!(site.get(URL).cache(), "MISS", "{items:?}");
        site.edge.settings_mut().tiered_cache = true;
        // It is a new copy, and the old one was not revalidated.
        assert!(!site.asked.last().unwrap().headers().contains_key("if-none-match"));
        for removing in [PurgeItems::Everything, files(&[URL])] {
            site.purge(items.clone());
            site.purge(removing.clone());
            assert_eq!(site.get(URL).cache(), "MISS", "{items:?}, then {removing:?}");
        }
        site.edge.settings_mut().tiered_cache = false;
        site.purge(items.clone());
        assert_eq!(site.get(URL).cache(), "MISS", "{items:?}");
    }
}

#[test]
fn environments_have_separate_caches() {
    let environment = |id, expression| CacheEnvironment::new(id, Expression::parse(expression).unwrap());
    let site = || {
        let mut site = Site::new(always(&[("cache-tag", "t")]));
        site.edge.settings_mut().environments = vec![
            environment("production", ""),
            environment("staging", r#"(http.request.cookies["cf_env"][0] eq "staging")"#),
            environment("development", "(ip.src in {192.0.2.0/24})"),
        ];
        site
    };
    let statuses = |site: &mut Site| {
        let production = site.get(URL).cache().to_owned();
        let staging = site.get_with(URL, &[("cookie", "cf_env=staging")]).cache().to_owned();
        site.visitor = cfcache_edge::VisitorInfo::new("192.0.2.9".parse().unwrap());
        let development = site.get(URL).cache().to_owned();
        site.visitor = cfcache_edge::VisitorInfo::default();
        [production, staging, development]
    };
    let (hit, miss) = ("HIT", "MISS");
    let mut filled = site();
    assert_eq!(statuses(&mut filled), [miss, miss, miss]);
    assert_eq!(statuses(&mut filled), [hit, hit, hit]);
    let listed: Vec<_> = filled.edge.objects(begin()).map(|object| object.environment).collect();
    assert_eq!(listed, [None, Some("staging".to_owned()), Some("development".to_owned())]);

    for items in [files(&[URL]), tags(&["t"]), hosts(&["www.example.com"]), prefixes(&["www.example.com"])] {
        let mut site = site();
        statuses(&mut site);
        assert_eq!(purge_environment(&mut site, items.clone(), "staging"), 1, "{items:?}");
        assert_eq!(statuses(&mut site), [hit, miss, hit], "{items:?}");
        assert_eq!(site.purge(items.clone()).objects, 1, "{items:?}");
        assert_eq!(statuses(&mut site), [miss, hit, hit], "{items:?}");
        assert_eq!(purge_environment(&mut site, items.clone(), "production"), 1, "{items:?}");
        assert_eq!(statuses(&mut site), [miss, hit, hit], "{items:?}");
        assert_eq!(purge_environment(&mut site, items, "unknown"), 0);
    }
    assert_eq!(purge_environment(&mut filled, PurgeItems::Everything, "development"), 1);
    assert_eq!(statuses(&mut filled), [hit, hit, miss]);
    // The id of production purges everything in production; without an id, everything in all environments is purged.
    assert_eq!(purge_environment(&mut filled, PurgeItems::Everything, "production"), 1);
    assert_eq!(statuses(&mut filled), [miss, hit, hit]);
    assert_eq!(filled.purge(PurgeItems::Everything).objects, 3);
}

#[test]
fn purges_redirects_but_not_their_targets() {
    let mut site = Site::new(Box::new(|request| {
        Ok(match request.uri().path() {
            "/old.css" => response(301, &[("location", "/new.css")], ""),
            _ => response(200, &[], "new"),
        })
    }));
    site.get("https://example.com/old.css");
    site.get("https://example.com/new.css");
    assert_eq!(site.purge(files(&["https://example.com/old.css"])).objects, 1);
    assert_eq!(site.get("https://example.com/new.css").cache(), "HIT");
    assert_eq!(site.get("https://example.com/old.css").cache(), "MISS");
}

#[test]
fn a_purge_removes_from_cache_reserve_but_an_invalidation_does_not() {
    let headers = &[("cache-control", "max-age=86400"), ("content-length", "4"), ("etag", "\"a\"")];
    let mut site = Site::new(always(headers)).with(|settings| settings.cache_reserve = true);
    site.get(URL);
    site.invalidate(files(&[URL]));
    assert!(site.edge.objects(begin()).next().unwrap().in_reserve);
    site.purge(files(&[URL]));
    assert_eq!(site.get(URL).cache(), "MISS");
}

#[test]
fn changed_rules_do_not_affect_stored_objects() {
    let mut site = Site::new(always(&[])).with_rule(r#"{"cache":true}"#);
    site.get("https://example.com/page");
    site.edge.settings_mut().rules = rule(r#"{"cache":false}"#);
    assert_eq!(site.get("https://example.com/page").cache(), "DYNAMIC");
    site.edge.settings_mut().rules = rule(r#"{"cache":true}"#);
    assert_eq!(site.get("https://example.com/page").cache(), "HIT");
}

/// Purges with more objects than are removed from the indexes at once.
#[test]
fn large_purges_remove_the_same_objects_as_small_ones() {
    let url = |index: usize| format!("https://h{}.example.com/{index}.css", index % 2);
    let tag = |index: usize| ["zero", "one", "two"][index % 3];
    let all = 600;
    for is_swept in [false, true] {
        let mut site = Site::new(Box::new(move |request| {
            let name = request.uri().path().trim_matches(['/', '.', 'c', 's']);
            Ok(response(200, &[("cache-tag", tag(name.parse().unwrap()))], "body"))
        }));
        let statuses = |site: &mut Site, expected: &dyn Fn(usize) -> &'static str| {
            for index in 0..all {
                assert_eq!(site.get(&url(index)).cache(), expected(index), "{index}");
            }
            assert_eq!(site.edge.len(), all);
        };
        statuses(&mut site, &|_| "MISS");
        let memory = site.edge.memory();
        assert_eq!(site.purge(tags(&["zero"])).objects, 200);
        assert_eq!((site.edge.len(), site.edge.objects(begin()).count()), (400, 400));
        // Each stored object frees at least its own size of removed objects.
        assert_eq!(site.edge.sweep(0), 200);
        site.get(&url(0));
        assert!(site.edge.sweep(0) < 200);
        assert_eq!(site.purge(files(&[&url(0)])).objects, 1);
        // Objects that are marked as removed are not purged again.
        assert_eq!(site.purge(tags(&["zero"])).objects, 0);
        assert_eq!(site.purge(hosts(&["h0.example.com"])).objects, 200);
        if is_swept {
            assert_eq!(site.edge.sweep(10), site.edge.sweep(0));
            assert_eq!(site.edge.sweep(usize::MAX), 0);
        }
        statuses(&mut site, &|index| if index % 3 == 0 || index % 2 == 0 { "MISS" } else { "HIT" });
        assert_eq!(site.edge.sweep(usize::MAX), 0);
        assert_eq!(site.purge(prefixes(&["h1.example.com/"])).objects, 300);
        assert_eq!(site.invalidate(tags(&["one"])).objects, 100);
        statuses(&mut site, &|index| match (index % 2, index % 3) {
            (1, _) => "MISS",
            (_, 1) => "EXPIRED",
            _ => "HIT",
        });
        assert_eq!(site.edge.memory(), memory);
        assert_eq!(site.purge(PurgeItems::Everything).objects, all);
        statuses(&mut site, &|_| "MISS");
    }
}
