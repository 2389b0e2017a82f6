//! The URLs of a file.

use cfcache_site::mapping::Site;

use crate::support::{example, site, targets, text};

/// Returns URLs on the host that most tests use.
fn urls(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| format!("https://www.example.com{path}")).collect()
}

#[test]
fn maps_files_to_default_urls() {
    for (file, expected) in [
        ("index.html", &["/", "/index.html"][..]),
        ("d/index.html", &["/d/", "/d/index.html", "/d"]),
        ("d/e/index.html", &["/d/e/", "/d/e/index.html", "/d/e"]),
        ("a.html", &["/a.html", "/a"]),
        ("d/a.html", &["/d/a.html", "/d/a"]),
        ("old/index.htm", &["/old/", "/old/index.htm", "/old"]),
        ("style.css", &["/style.css"]),
        ("feed", &["/feed"]),
        ("404.html", &["/404.html", "/404"]),
        // These names are similar to index pages, but are not.
        ("myindex.html", &["/myindex.html", "/myindex"]),
        ("index.html.gz", &["/index.html.gz"]),
        ("index.html/a.css", &["/index.html/a.css"]),
        ("d/.html", &["/d/.html"]),
        (".well-known/security.txt", &["/.well-known/security.txt"]),
        ("%C3%BC.html", &["/%C3%BC.html", "/%C3%BC"]),
        // Both spellings of `^`, in each form.
        ("a%5Eb.html", &["/a%5Eb.html", "/a^b.html", "/a%5Eb", "/a^b"]),
        ("a(b).html", &["/a(b).html", "/a%28b%29.html", "/a(b)", "/a%28b%29"]),
        // A query comes from a sitemap.
        ("?p=1", &["/?p=1"]),
        ("list?file=a.html", &["/list?file=a.html"]),
    ] {
        assert_eq!(targets(&example(), file), urls(expected), "{file}");
    }
}

/// Each row is a host of the table "Where a static host serves a file", and the paths at which it serves `a.html` and
/// `d/index.html`, or redirects from.
#[test]
fn covers_the_paths_of_every_static_host() {
    let force = "url = ['https://www.example.com']
        [[match]]
        files = '**/*.html'
        forms = ['file', 'bare', 'slash']";
    for (host, settings, page, index) in [
        ("nginx, Apache, Caddy, S3 website", "", &["/a.html"][..], &["/d/", "/d/index.html", "/d"][..]),
        ("GitHub Pages", "", &["/a.html", "/a"], &["/d/", "/d/index.html", "/d"]),
        ("Netlify", "", &["/a", "/a.html"], &["/d/", "/d/index.html", "/d"]),
        ("Pages, Workers auto-trailing-slash", "", &["/a", "/a.html"], &["/d/", "/d", "/d/index.html"]),
        ("Workers drop-trailing-slash", "", &["/a", "/a.html"], &["/d", "/d/", "/d/index.html"]),
        ("Workers none", "", &["/a.html"], &["/d/index.html"]),
        ("Workers force-trailing-slash", force, &["/a/", "/a.html", "/a"], &["/d/", "/d", "/d/index.html"]),
    ] {
        let site = if settings.is_empty() { example() } else { site(settings) };
        for (file, served) in [("a.html", page), ("d/index.html", index)] {
            let purged = targets(&site, file);
            for url in urls(served) {
                assert!(purged.contains(&url), "{host}: {url} is missing in {purged:?}");
            }
        }
    }
}

#[test]
fn maps_files_below_every_url_and_base_path() {
    let site = site("url = ['https://WWW.example.com/', 'HTTP://example.com:8080/sub/ü']");
    assert_eq!(
        targets(&site, "index.html"),
        [
            "https://www.example.com/",
            "http://example.com:8080/sub/%C3%BC/",
            "https://www.example.com/index.html",
            "http://example.com:8080/sub/%C3%BC/index.html",
            // A host always has a trailing slash; a folder may lack it.
            "http://example.com:8080/sub/%C3%BC",
        ]
    );
    assert_eq!(
        targets(&site, "a.css"),
        ["https://www.example.com/a.css", "http://example.com:8080/sub/%C3%BC/a.css"]
    );
}

#[test]
fn adds_entries_with_headers_to_the_plain_entry() {
    let site = site(
        "url = ['https://www.example.com']
        [[match]]
        files = '**/*.html'
        headers = [{ CF-Device-Type = 'mobile' }, { CF-Device-Type = 'tablet', Origin = 'https://a.example' }]",
    );
    assert_eq!(
        targets(&site, "d/a.html")[..3],
        [
            "https://www.example.com/d/a.html",
            r#"{"url":"https://www.example.com/d/a.html","headers":{"CF-Device-Type":"mobile"}}"#,
            r#"{"url":"https://www.example.com/d/a.html","headers":{"CF-Device-Type":"tablet","Origin":"https://a.example"}}"#,
        ]
    );
    assert_eq!(targets(&site, "d/a.html").len(), 6);
    assert_eq!(targets(&site, "a.css"), urls(&["/a.css"]));
}

#[test]
fn prefixes_cover_pages_with_any_query() {
    let site = site(
        "url = ['https://www.example.com', 'https://example.com:8443/sub']
        [[match]]
        files = '**'
        as = 'prefix'",
    );
    for (file, expected) in [
        ("docs/index.html", &["prefixes www.example.com/docs", "prefixes example.com/sub/docs"][..]),
        // It is not documented whether `/a` covers `/a.html`.
        (
            "docs/a.html",
            &[
                "prefixes www.example.com/docs/a",
                "prefixes example.com/sub/docs/a",
                "prefixes www.example.com/docs/a.html",
                "prefixes example.com/sub/docs/a.html",
            ],
        ),
        ("docs/a.txt", &["prefixes www.example.com/docs/a.txt", "prefixes example.com/sub/docs/a.txt"]),
        ("index.html", &["prefixes www.example.com/", "prefixes example.com/sub"]),
    ] {
        assert_eq!(targets(&site, file), expected, "{file}");
    }
}

#[test]
fn shortens_prefixes_above_the_depth_limit() {
    let site = site("url = ['https://e.com']\n[[match]]\nfiles = '**'\nas = 'prefix'");
    let deep = |depth: usize| vec!["d"; depth].join("/");
    assert_eq!(targets(&site, &deep(31)), [format!("prefixes e.com/{}", deep(31))]);
    assert_eq!(targets(&site, &deep(33)), [format!("prefixes e.com/{}", deep(31))]);
}

#[test]
fn uses_the_first_matching_rule() {
    let site = site(
        "url = ['https://www.example.com']
        [[match]]
        files = 'docs/**/*.html'
        as = 'prefix'
        [[match]]
        files = '**/*.html'
        forms = ['bare']
        [[match]]
        files = '{a,b}/**'
        added = 'skip'",
    );
    assert_eq!(targets(&site, "docs/a/index.html"), ["prefixes www.example.com/docs/a"]);
    assert_eq!(targets(&site, "docs/index.html"), ["prefixes www.example.com/docs"]);
    assert_eq!(targets(&site, "docs/a.css"), urls(&["/docs/a.css"]));
    assert_eq!(targets(&site, "a/x.html"), urls(&["/a/x"]));
    assert!(site.skips_added("a/x.js") && site.skips_added("b/c/x.js"));
    assert!(!site.skips_added("a/x.html"), "an earlier rule matches");
    assert!(!site.skips_added("c/x.js"));
    // Patterns are matched with the names of files, not with encoded paths.
    let umlaut = self::site("url = ['https://e.com']\n[[match]]\nfiles = 'ü ?.html'\nadded = 'skip'");
    assert!(umlaut.skips_added("%C3%BC%20b.html"));
}

#[test]
fn ignores_files_by_pattern() {
    let site = site("url = ['https://e.com']\nignore = ['**/.DS_Store', '*.map', 'drafts/**']");
    for (file, expected) in [
        (".DS_Store", true),
        ("a/b/.DS_Store", true),
        ("app.js.map", true),
        ("js/app.js.map", false),
        ("drafts/a/b.html", true),
        ("draft.html", false),
    ] {
        assert_eq!(site.ignores(file.as_bytes()), expected, "{file}");
    }
}

fn always(site: &Site) -> Vec<String> {
    let mut all = Vec::new();
    site.for_each_always(&mut |target| all.push(text(&target)));
    all
}

#[test]
fn always_applies_below_every_url() {
    let site = site(
        "url = ['https://www.example.com', 'https://example.com/sub']
        always = ['/', '/news?tab=press', '/ü']",
    );
    assert_eq!(
        always(&site),
        [
            "https://www.example.com/",
            "https://example.com/sub/",
            "https://www.example.com/news?tab=press",
            "https://example.com/sub/news?tab=press",
            "https://www.example.com/%C3%BC",
            "https://example.com/sub/%C3%BC",
        ]
    );
}

#[test]
fn always_uses_the_headers_of_its_page() {
    let site = site(
        "url = ['https://www.example.com']
        always = ['/', '/about', '/feed.xml']
        [[match]]
        files = '**/*.html'
        headers = [{ CF-Device-Type = 'mobile' }]",
    );
    let all = always(&site);
    for path in ["/", "/about"] {
        let mobile =
            format!(r#"{{"url":"https://www.example.com{path}","headers":{{"CF-Device-Type":"mobile"}}}}"#);
        assert!(all.contains(&mobile), "{mobile} is missing in {all:?}");
    }
    let plain = urls(&["/", "/about", "/feed.xml"]);
    assert!(plain.iter().all(|url| all.contains(url)), "{all:?}");
}

#[test]
fn lists_each_host_once_without_ports() {
    let site = site("url = ['https://a.example', 'https://a.example/sub', 'https://b.example:8443']");
    let hosts: Vec<_> = site.hosts().iter().map(text).collect();
    assert_eq!(hosts, ["hosts a.example", "hosts b.example"]);
}

#[test]
fn maps_urls_back_to_paths() {
    let site = site("url = ['https://www.example.com', 'https://example.com/sub']");
    for (url, expected) in [
        ("https://www.example.com/", Some("")),
        ("https://www.example.com", Some("")),
        ("HTTPS://WWW.example.com/a/ü?q=1#f", Some("a/%C3%BC?q=1")),
        ("https://example.com/sub/a", Some("a")),
        ("https://example.com/sub", Some("")),
        ("https://example.com/subway", None),
        ("https://example.com/a", None),
        ("http://www.example.com/a", None),
        ("https://elsewhere.example/a", None),
    ] {
        assert_eq!(site.site_path_of(url).as_deref(), expected, "{url}");
    }
}

#[test]
fn refuses_invalid_settings_with_their_line() {
    for (settings, line, expected) in [
        ("url = []", 1, "`url` is empty"),
        ("url = ['https://a.example']\nroot = '../public'", 2, "`root` is a folder below"),
        ("root = '/srv/www'\nurl = ['https://a.example']", 1, "`root` is a folder below"),
        ("url = 'https://a.example'", 1, "invalid type"),
        ("url = ['https://a.example']\nurls = []", 2, "unknown field `urls`"),
        ("url = ['a.example']", 1, "`a.example` is no URL of a site"),
        ("url = ['https://a.example/?q']", 1, "an origin and a path"),
        ("url = ['https://user@a.example']", 1, "it has a user"),
        ("url = ['https://a.example/a b']", 1, "has a space"),
        ("url = ['https://a.example']\nalways = ['feed.xml']", 2, "begins with `/`"),
        ("url = ['https://a.example']\nalways = ['/a*']", 2, "one of"),
        ("url = ['https://a.example']\nignore = ['a[']", 2, "no pattern for files"),
        ("url = ['https://a.example']\nignore = ['/a']", 2, "without `/`"),
        ("url = ['https://a.example']\n[[match]]\nfiles = ''", 3, "it is empty"),
        ("url = ['https://a.example']\n[[match]]\nfiles = '*'\nas = 'tags'", 4, "unknown variant `tags`"),
        ("url = ['https://a.example']\n[[match]]\nfiles = '*'\nforms = []", 4, "`forms` is empty"),
        ("url = ['https://a.example']\n[[match]]\nfiles = '*'\nforms = ['dir']", 4, "unknown variant `dir`"),
        ("url = ['https://a.example']\n[[match]]\nfiles = '*'\nadded = true", 4, "wanted string or table"),
        (
            "url = ['https://a.example']\n[[match]]\nfiles = '*'\nheaders = [{}]",
            4,
            "a set of headers is empty",
        ),
        (
            "url = ['https://a.example']\n[[match]]\nfiles = '*'\nheaders = [{ CF-Device-Type = 'phone' }]",
            4,
            "CF-Device-Type",
        ),
    ] {
        let error = toml::from_str::<Site>(settings).unwrap_err();
        let found = settings[..error.span().unwrap().start].matches('\n').count() + 1;
        assert_eq!(found, line, "{settings}: {error}");
        assert!(error.message().contains(expected), "{settings}: {error}");
    }
}

#[test]
fn a_site_round_trips_through_a_state() {
    let site = site(
        "url = ['https://www.example.com', 'https://example.com/sub']
        always = ['/', '/news?tab=press']
        ignore = ['**/.DS_Store']
        [[match]]
        files = 'docs/**'
        as = 'prefix'
        [[match]]
        files = '**/*.html'
        forms = ['slash']
        headers = [{ CF-Device-Type = 'mobile' }]
        [[match]]
        files = '_next/**'
        added = 'skip'",
    );
    let json = serde_json::to_string(&site).unwrap();
    assert_eq!(serde_json::from_str::<Site>(&json).unwrap(), site, "{json}");
}

#[test]
fn lists_the_files_that_a_static_host_serves_for_a_url() {
    let site = site("url = ['https://www.example.com/sub']");
    for (url, expected) in [
        ("https://www.example.com/sub/", &["index.html", "index.htm"][..]),
        ("https://www.example.com/sub", &["index.html", "index.htm"]),
        ("https://www.example.com/sub/d/", &["d/index.html", "d/index.htm", "d.html", "d.htm"]),
        ("https://www.example.com/sub/a", &["a", "a.html", "a.htm", "a/index.html", "a/index.htm"]),
        ("https://www.example.com/sub/a?b", &[]),
        ("https://www.example.com/a", &[]),
    ] {
        assert_eq!(site.files_shown_at(url), expected, "{url}");
    }
}

#[test]
fn lists_urls_of_files_that_are_purged_by_prefix() {
    let site = site("url = ['https://www.example.com']\n[[match]]\nfiles = 'docs/**'\nas = 'prefix'");
    let mut found = Vec::new();
    site.for_each_file_url("docs/a.html", &mut |target| found.push(text(&target)));
    assert_eq!(found, urls(&["/docs/a.html", "/docs/a"]));
}
