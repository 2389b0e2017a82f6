//! Sitemaps.

use cfcache_site::io::sitemaps::snapshot;
use cfcache_site::snapshot::sitemap::{InvalidSitemap, Location, SitemapPages, read};

use crate::support::{Scratch, example, site, targets};

fn locations(xml: &[u8]) -> Result<Vec<Location>, InvalidSitemap> {
    let mut all = Vec::new();
    read(xml, &mut |location| {
        all.push(location);
        Ok(())
    })?;
    Ok(all)
}

fn page(loc: &str, lastmod: Option<&str>) -> Location {
    Location::Page { loc: loc.to_owned(), lastmod: lastmod.map(str::to_owned) }
}

#[test]
fn pages_and_dates() {
    let xml = "\u{feff}<?xml version='1.0' encoding='UTF-8'?>
        <!-- <url><loc>https://no.example/</loc></url> -->
        <urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9' xmlns:image='http://www.google.com/schemas/sitemap-image/1.1'>
          <url>
            <lastmod> 2026-11-25 </lastmod>
            <loc>
              https://www.example.com/a?b=1&amp;c=&#50;
            </loc>
            <image:image><image:loc>https://www.example.com/image.png</image:loc></image:image>
          </url>
          <url><loc><![CDATA[https://www.example.com/d?e&f]]></loc><changefreq>daily</changefreq></url>
        </urlset>";
    assert_eq!(
        locations(xml.as_bytes()).unwrap(),
        [
            page("https://www.example.com/a?b=1&c=2", Some("2026-11-25")),
            page("https://www.example.com/d?e&f", None),
        ]
    );
}

#[test]
fn indexes_and_prefixes_of_names() {
    let xml = b"<s:sitemapindex xmlns:s='http://www.sitemaps.org/schemas/sitemap/0.9'><s:sitemap><s:loc>https://e.com/1.xml</s:loc><s:lastmod>2026</s:lastmod></s:sitemap></s:sitemapindex>";
    assert_eq!(locations(xml).unwrap(), [Location::Sitemap { loc: "https://e.com/1.xml".to_owned() }]);
    assert_eq!(locations(b"<urlset/>").unwrap(), []);
}

#[test]
fn what_is_no_sitemap_is_refused() {
    for (xml, expected) in [
        (&b""[..], "it begins with nothing"),
        (b"https://e.com/\n", "it begins with nothing"),
        (b"<html><body/></html>", "it begins with <html>"),
        (b"<rss><channel><item><loc>x</loc></item></channel></rss>", "it begins with <rss>"),
        (b"<urlset><url><loc>a</loc></url>", "it ends in the middle"),
        (b"<urlset><url><loc>a</url></urlset>", "at byte 19"),
        (b"<urlset><url></url></urlset>", "an entry has no <loc>"),
        (b"<urlset><url><loc> </loc></url></urlset>", "an entry has no <loc>"),
        (b"<urlset><url><loc>&nbsp;</loc></url></urlset>", "the entity `&nbsp;`"),
        (b"<urlset><url><loc>\xff</loc></url></urlset>", "at byte"),
    ] {
        let error = locations(xml).unwrap_err().to_string();
        assert!(error.contains(expected), "{}: {error}", String::from_utf8_lossy(xml));
    }
}

#[test]
fn pages_are_the_files_they_are_made_of() {
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
fn pages_that_cannot_be_compared_are_refused() {
    let mut pages = SitemapPages::default();
    let error = pages.push(&example(), "https://www.example.com/a", None).unwrap_err();
    assert!(error.to_string().contains("https://www.example.com/a` has no <lastmod>"), "{error}");
    let error = pages.push(&example(), "https://example.com/a", Some("2026")).unwrap_err();
    assert!(error.to_string().contains("under none of the site's URLs"), "{error}");
    let ignoring = site("url = ['https://www.example.com']\nignore = ['drafts/**']");
    pages.push(&ignoring, "https://www.example.com/drafts/a", Some("2026")).unwrap();
    assert!(pages.finish().is_err(), "nothing is left");
}

#[test]
fn an_index_names_the_files_beside_it() {
    let scratch = Scratch::new();
    let index = |names: &[&str]| {
        let sitemap = |name: &&str| format!("<sitemap><loc>https://www.example.com/{name}</loc></sitemap>");
        format!("<sitemapindex>{}</sitemapindex>", names.iter().map(sitemap).collect::<String>())
    };
    let pages = |path: &str| {
        format!(
            "<urlset><url><loc>https://www.example.com/{path}</loc><lastmod>2026</lastmod></url></urlset>"
        )
    };
    scratch.write("index.xml", &index(&["maps/1.xml?v=2", "2.xml"]));
    scratch.write("1.xml", &pages("a/"));
    scratch.write("2.xml", &pages("b"));
    scratch.write("3.xml", &pages("c"));
    let path = |name: &str| scratch.0.join(name);
    let found = snapshot(&[path("index.xml"), path("3.xml")], &example()).unwrap();
    let paths: Vec<_> = found.iter().map(|entry| entry.path).collect();
    assert_eq!(paths, ["a/index.html", "b.html", "c.html"]);

    scratch.write("deep.xml", &index(&["index.xml"]));
    scratch.write("odd.xml", &index(&["maps/"]));
    scratch.write("empty.xml", "<urlset/>");
    scratch.write("elsewhere.xml", &pages("a").replace("www.", ""));
    for (name, expected) in [
        ("deep.xml", "an index is named by another index"),
        ("odd.xml", "`https://www.example.com/maps/` is looked for beside the index"),
        ("missing.xml", "missing.xml`"),
        ("empty.xml", "there is no file in it"),
        ("elsewhere.xml", "under none of the site's URLs"),
    ] {
        let error = snapshot(&[path(name)], &example()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}
