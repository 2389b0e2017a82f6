//! `--from-sitemap`: sitemaps and sitemap indexes, valid and invalid ones.

use std::io::Write as _;

use crate::support::{Api, Dir, bare, cfcache};

const A: &str = "https://www.example.com/a";

fn urlset(inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\
         {inside}</urlset>\n"
    )
}

fn index(files: &[&str]) -> String {
    let files: String = files.iter().map(|file| format!("<sitemap><loc>{file}</loc></sitemap>\n")).collect();
    format!("<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n{files}</sitemapindex>")
}

fn gzip(content: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(content.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn every_url_of_a_sitemap_is_an_entry() {
    let dir = Dir::new();
    for (content, expected) in [
        (urlset("<url><loc>https://www.example.com/a</loc><lastmod>2026-01-01</lastmod></url>"), &[A][..]),
        (urlset("\n<url>\n  <loc>\n    https://www.example.com/a\r\n  </loc>\n</url>"), &[A]),
        (urlset("<url><loc><![CDATA[https://www.example.com/?a=1&b=2]]></loc></url>"), &["https://www.example.com/?a=1&b=2"]),
        (urlset("<url><loc> <![CDATA[ https://www.example.com/a ]]> </loc></url>"), &[A]),
        (urlset("<url><loc>https://www.example.com/?a=1&amp;b=2&#x26;c=%33&#39;</loc></url>"), &["https://www.example.com/?a=1&b=2&c=%33'"]),
        (urlset("<url><loc>https://www.example.com/<!-- a comment -->a</loc></url>"), &[A]),
        (urlset("<!-- <url><loc>https://www.example.com/no</loc></url> --><url><loc>https://www.example.com/a</loc></url>"), &[A]),
        (urlset("<url><loc>https://www.example.com/a</loc></url><url><loc>https://www.example.com/ü</loc></url>"), &[A, "https://www.example.com/ü"]),
        (
            "\u{feff}<?xml version='1.0'?><?xml-stylesheet href='a.xsl'?><!DOCTYPE urlset>\
             <s:urlset xmlns:s='http://www.sitemaps.org/schemas/sitemap/0.9' xmlns:image='http://www.google.com/schemas/sitemap-image/1.1'>\
             <s:url><s:loc>https://www.example.com/a</s:loc><image:image><image:loc>https://www.example.com/a.png</image:loc></image:image>\
             <xhtml:link href='https://www.example.com/de'/></s:url></s:urlset>"
                .to_owned(),
            &[A],
        ),
    ] {
        let plain = dir.file("sitemap.xml", &content);
        let packed = dir.file("sitemap.xml.gz", gzip(&content));
        for (from, input) in [
            (plain.to_str().unwrap(), Vec::new()),
            (packed.to_str().unwrap(), Vec::new()),
            ("-", content.clone().into_bytes()),
            ("-", gzip(&content)),
        ] {
            let api = Api::quick();
            let ran = cfcache(&api).args("purge urls --json --from-sitemap").arg(from).input(input).run();
            ran.exits(0);
            assert_eq!(api.items(), expected, "{content}");
            assert_eq!(ran.report()["items"], expected.len(), "{content}");
        }
    }
}

#[test]
fn an_index_refers_to_files_in_its_folder() {
    let dir = Dir::new();
    std::fs::create_dir_all(dir.at("site/en")).unwrap();
    let page = |name: &str| urlset(&format!("<url><loc>https://www.example.com/{name}</loc></url>"));
    dir.file("site/pages.xml", page("pages"));
    dir.file("site/posts.xml.gz", gzip(&page("posts")));
    dir.file("site/en/sitemap.xml", page("en"));
    dir.file("site/deeper.xml", index(&["https://www.example.com/pages-2.xml"]));
    dir.file("site/pages-2.xml", page("pages-2"));
    let root = dir.file(
        "site/sitemap.xml",
        index(&[
            "https://www.example.com/pages.xml",
            "https://www.example.com/sitemaps/posts.xml.gz?v=2",
            "https://www.example.com/en/sitemap.xml",
            "https://www.example.com/pages.xml",
            "https://www.example.com/deeper.xml",
        ]),
    );
    let api = Api::quick();
    cfcache(&api).args("purge urls --from-sitemap").arg(&root).run().exits(0);
    let expected = ["pages", "posts", "en", "pages-2"].map(|name| format!("https://www.example.com/{name}"));
    assert_eq!(api.items(), expected);
    // Also from inside the folder.
    api.log().clear();
    cfcache(&api).args("purge urls --from-sitemap sitemap.xml").current_dir(&dir.at("site")).run().exits(0);
    assert_eq!(api.items(), expected);
}

#[test]
fn refuses_sitemaps_that_would_lose_entries() {
    let dir = Dir::new();
    dir.file("other.xml", urlset("<url><loc>https://www.example.com/a</loc></url>"));
    std::fs::create_dir(dir.at("folder")).unwrap();
    let api = Api::quick();
    let url = "<url><loc>https://www.example.com/a</loc></url>";
    let whole = urlset(url);
    for (content, why) in [
        (String::new(), "there is no element in it"),
        (urlset(""), "the input contains no URLs"),
        ("https://www.example.com/a\n".to_owned(), "it is not XML"),
        ("<html><body>404</body></html>".to_owned(), "its outermost element is `<html>`"),
        (whole.replace("</urlset>", ""), "the XML is cut off"),
        (whole.replace("</loc></url></urlset>", ""), "the XML is cut off"),
        (whole.replace("</loc>", "</url>"), "it is not well-formed XML"),
        (whole.replace("</loc>", "</l\u{1b}\u{202e}c>"), "but `</l\\u{1b}\\u{202e}c>` was found"),
        (urlset(&format!("{url}<url><lastmod>2026</lastmod></url>")), "<url> 2: there is no `<loc>` in it"),
        (urlset(&format!("{url}<url><loc/></url>")), "<url> 2: the URL is empty"),
        (urlset("<url><loc>/about</loc></url>"), "<url> 1: `/about` does not begin with"),
        (
            urlset("<url><loc>https://www.example.com/&nbsp;</loc></url>"),
            "the entity `&nbsp;` is not one of XML",
        ),
        (urlset("<url><loc>https://www.example.com/?a=1&b=2</loc></url>"), "it is not well-formed XML"),
        (urlset("<url><loc>https://www.example.com/a b</loc></url>"), "a space at character"),
        (urlset("<url><loc>https://www.example.com/<b>a</b></loc></url>"), "there is `<b>` in its `<loc>`"),
        (
            urlset("<url><loc>https://www.example.com/a</loc><loc>https://www.example.com/b</loc></url>"),
            "there is a second `<loc>`",
        ),
        (index(&["https://www.example.com/missing.xml"]), "there is no file"),
        (index(&["https://www.example.com/../other.xml"]), "is not the name of a file"),
        (index(&["https://www.example.com/%2e%2e/other.xml"]), "is not the name of a file"),
        (index(&["https://www.example.com/a\\..\\other.xml"]), "is not the name of a file"),
        (index(&["other.xml"]), "is not the name of a file"),
        (index(&["https://www.example.com/"]), "is not the name of a file"),
        (index(&["https://www.example.com/folder"]), "there is no file"),
        (index(&["https://www.example.com/bad.xml"]), "two addresses of the index belong to the same file"),
        (
            index(&["https://www.example.com/en/other.xml", "https://www.example.com/de/other.xml"]),
            "two addresses of the index belong to the same file",
        ),
    ] {
        let list = dir.file("bad.xml", &content);
        let ran = cfcache(&api).args("purge urls --from-sitemap").arg(&list).run();
        ran.exits(2).says_nothing().tells(why);
    }
    // Not UTF-8, or shorter than announced after decompression.
    let latin =
        [b"<urlset><url><loc>https://www.example.com/".as_slice(), b"\xFC</loc></url></urlset>"].concat();
    let mut torn = gzip(&whole);
    torn.truncate(torn.len() - 10);
    for content in [latin, torn, gzip("x")] {
        let list = dir.file("bad.xml", content);
        cfcache(&api).args("purge urls --from-sitemap").arg(&list).run().exits(2).says_nothing();
    }
    let input = index(&["https://www.example.com/other.xml"]);
    let ran = cfcache(&api).args("purge urls --from-sitemap -").input(input).run();
    ran.exits(2).says_nothing().tells("an index from standard input has no files beside it");
    cfcache(&api)
        .args("purge urls --from - --from-sitemap -")
        .input("")
        .run()
        .exits(2)
        .tells("can only be read once");
    cfcache(&api).args("purge tags --from-sitemap a").run().exits(2).tells("is only for `urls`");
    assert_eq!(api.requests(), 0);
}

#[test]
fn limits_endless_indexes_and_files_without_tags() {
    let dir = Dir::new();
    for number in 0..6 {
        let next = format!("https://www.example.com/{}.xml", number + 1);
        dir.file(&format!("{number}.xml"), index(&[&next]));
    }
    let list =
        |name: &str| bare().args("purge urls --dry-run --emulator --from-sitemap").arg(dir.at(name)).run();
    list("0.xml").exits(2).tells("indexes list indexes more than 3 deep");
    dir.file("bomb.xml.gz", gzip(&format!("<urlset>{}</urlset>", " ".repeat(64 << 20))));
    list("bomb.xml.gz").exits(2).tells("bytes without a tag");
    dir.file(
        "long.xml",
        urlset(&format!("<url><loc>https://www.example.com/{}</loc></url>", "a".repeat(2 << 20))),
    );
    list("long.xml").exits(2).tells("the address is longer than 1048576 bytes");
}

#[test]
fn names_skipped_entries_of_a_sitemap() {
    let dir = Dir::new();
    let api = Api::quick();
    let inside = "<url><loc>https://www.example.com/a</loc></url><url/><url><loc>nonsense</loc></url>";
    let list = dir.file("sitemap.xml", urlset(inside));
    let ran = cfcache(&api).args("purge urls --json --on-invalid skip --from-sitemap").arg(list).run();
    ran.exits(2).tells("<url> 2").tells("<url> 3");
    assert_eq!((&ran.report()["accepted"], &ran.report()["invalid"]), (&1.into(), &2.into()));
}
