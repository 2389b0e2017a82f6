//! Pages in sitemaps.

use cfcache_site::snapshot::sitemap::SitemapPages;

use crate::support::{example, site, targets};

#[test]
fn maps_pages_to_their_files() {
    let mut pages = SitemapPages::default();
    for path in ["", "index.html", "about", "blog/", "blog/a.html", "d/v1.2", "list?p=2", "%C3%BC/"] {
        pages.push(&example(), &format!("https://www.example.com/{path}"), Some("2026")).unwrap();
    }
    let snapshot = pages.finish().unwrap();
    let paths: Vec<_> = snapshot.iter().map(|entry| entry.path).collect();
    assert_eq!(
        paths,
        [
            "%C3%BC/index.html",
            "about.html",
            "blog/a.html",
            "blog/index.html",
            "d/v1.2",
            "index.html",
            "list?p=2"
        ]
    );
    assert!(targets(&example(), "about.html").contains(&"https://www.example.com/about".to_owned()));
}

#[test]
fn refuses_pages_that_cannot_be_compared() {
    let mut pages = SitemapPages::default();
    let error = pages.push(&example(), "https://www.example.com/a", None).unwrap_err();
    assert!(error.to_string().contains("https://www.example.com/a` has no <lastmod>"), "{error}");
    let error = pages.push(&example(), "https://example.com/a", Some("2026")).unwrap_err();
    assert!(error.to_string().contains("under none of the site's URLs"), "{error}");
    let ignoring = site("url = ['https://www.example.com']\nignore = ['drafts/**']");
    pages.push(&ignoring, "https://www.example.com/drafts/a", Some("2026")).unwrap();
    assert!(pages.finish().is_err(), "nothing is left");
}
