//! The page with the cached objects, in a real browser.

use http_body_util::BodyExt as _;

use crate::browser::{Browser, is_skipped};
use crate::edge::{TestOrigin, cacheable, purge, start, visit};

#[tokio::test]
async fn the_page_updates_and_does_not_run_its_content() {
    if is_skipped() {
        return;
    }
    const TAG: &str = "<img/src=x/onerror=document.title='owned'>";
    let origin = TestOrigin::start(|_| {
        let mut response = cacheable("a");
        response.headers_mut().insert("cache-tag", TAG.parse().unwrap());
        response
    })
    .await;
    let server = start(&origin.url, |edge| edge).await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/__cfcache/", server.edge_url().unwrap())).await;
    assert_eq!(browser.run("return document.querySelectorAll('table').length").await, 0);

    // From here on, the page must notice changes by itself.
    visit(&server, "/a.css?%3Cscript%3E='").await.into_body().collect().await.unwrap();
    browser
        .until("return document.querySelector('#objects')?.innerText ?? ''", |text| {
            text.contains("https://www.example.com/a.css?%3Cscript%3E='") && text.contains(TAG)
        })
        .await;
    purge(&server, r#"{"hosts":["www.example.com"]}"#).await;
    browser
        .until("return document.querySelector('#purges')?.innerText ?? ''", |text| {
            text.contains("purge hosts") && text.contains("www.example.com") && text.trim_end().ends_with('1')
        })
        .await;
    assert_eq!(browser.run("return document.querySelectorAll('#objects').length").await, 0);
    assert_eq!(browser.run("return document.title").await, "What is cached");
    assert_eq!(browser.run("return document.images.length + document.scripts.length").await, 1);
    for width in [640, 1280] {
        browser.resize(width, 800).await;
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.run(fits).await, true, "{width}");
    }
}
