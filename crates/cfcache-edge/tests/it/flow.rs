//! Fill, hit, purge.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cfcache_edge::{Edge, File, Purge, Scope, Settings, Step, Visitor};
use http::{Request, Response};

const URL: &str = "https://www.example.com/css/styles.css";

fn begin() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn get(edge: &mut Edge, now: SystemTime, url: &str, origin: &str) -> (String, Bytes) {
    let request = Request::get(url).body(()).unwrap();
    let response = match edge.request(now, &request, &Visitor::default()) {
        Step::Answer { response, .. } => response,
        Step::Fetch(fetch) => {
            let answer =
                Response::builder().header("cache-tag", "A,b").body(Bytes::from(origin.to_owned())).unwrap();
            edge.fetched(now, fetch.ticket, Ok(answer))
        }
        other => panic!("{other:?}"),
    };
    (response.headers()["cf-cache-status"].to_str().unwrap().to_owned(), response.into_body())
}

#[test]
fn purged_objects_are_fetched_again() {
    let mut edge = Edge::new(Settings::new("example.com"));
    let scopes = [
        Scope::Everything,
        Scope::Files(vec![File::new(URL)]),
        Scope::Tags(vec!["a".to_owned()]),
        Scope::Hosts(vec!["www.example.com".to_owned()]),
        Scope::Prefixes(vec!["www.example.com/css".to_owned()]),
    ];
    for (index, scope) in scopes.into_iter().enumerate() {
        let body = index.to_string();
        assert_eq!(get(&mut edge, begin(), URL, &body), ("MISS".to_owned(), Bytes::from(body.clone())));
        assert_eq!(get(&mut edge, begin(), URL, "new"), ("HIT".to_owned(), Bytes::from(body)));
        assert_eq!(edge.purge(begin(), &Purge::new(scope)).objects, 1);
    }
}

#[test]
fn html_is_dynamic() {
    let mut edge = Edge::new(Settings::new("example.com"));
    assert_eq!(get(&mut edge, begin(), "https://www.example.com/", "a").0, "DYNAMIC");
    assert!(edge.is_empty());
}
