//! Requests and purges during a fetch.

use bytes::Bytes;
use cfcache_edge::{
    CacheEnvironment, CacheSettings, Edge, Expression, Fetch, OriginFailure, Purge, PurgeItems, RequestStep,
    ResponseStep, VisitorInfo,
};
use http::Response;

use crate::support::{Site, URL, always, begin, files, hosts, prefixes, request, response, seconds, tags};

fn ask(edge: &mut Edge, url: &str) -> RequestStep {
    edge.request(begin(), &request("GET", url, &[]), &VisitorInfo::default())
}

fn fetch(step: RequestStep) -> Fetch {
    match step {
        RequestStep::Fetch(fetch) => fetch,
        other => panic!("not a fetch: {other:?}"),
    }
}

fn status(response: &Response<Bytes>) -> &str {
    response.headers()["cf-cache-status"].to_str().unwrap()
}

#[test]
fn fills_each_key_only_once_at_a_time() {
    let mut edge = Edge::new(CacheSettings::new("example.com"));
    let first = fetch(ask(&mut edge, URL));
    let RequestStep::Wait(fill, until) = ask(&mut edge, URL) else { panic!("it is being filled") };
    assert_eq!((fill, until), (first.ticket.id(), begin() + seconds(10)));
    // Requests for other keys do not wait for it.
    let other = fetch(ask(&mut edge, "https://example.com/other.css"));
    assert!(other.ticket.id() != fill);
    let answer = edge.fetched(begin(), first.ticket, Ok(response(200, &[], "one")));
    assert_eq!(status(&answer), "MISS");
    let RequestStep::Answer { response, .. } = ask(&mut edge, URL) else { panic!("it is stored") };
    assert_eq!(status(&response), "HIT");
}

#[test]
fn a_request_that_waited_too_long_goes_to_the_origin() {
    let mut edge = Edge::new(CacheSettings::new("example.com"));
    let slow = fetch(ask(&mut edge, URL));
    let RequestStep::Wait(_, until) = ask(&mut edge, URL) else { panic!("it is being filled") };
    let visitor = VisitorInfo::default();
    let second = fetch(edge.request(until, &request("GET", URL, &[]), &visitor));
    // They do not wait for each other either.
    let third = fetch(edge.request(until, &request("GET", URL, &[]), &visitor));
    edge.abandoned(slow.ticket);
    edge.fetched(until, second.ticket, Ok(response(200, &[], "second")));
    // The last answer to arrive is stored.
    edge.fetched(until, third.ticket, Ok(response(200, &[], "third")));
    assert_eq!(edge.len(), 1);
    edge.purge(until, &Purge::new(PurgeItems::Everything));
    let _fourth = fetch(edge.request(until, &request("GET", URL, &[]), &visitor));
    assert!(matches!(edge.request(until, &request("GET", URL, &[]), &visitor), RequestStep::Wait(..)));
}

#[test]
fn an_earlier_fetch_does_not_replace_a_later_one() {
    let mut site = Site::new(always(&[]));
    let slow = fetch(ask(&mut site.edge, URL));
    let fast =
        fetch(site.edge.request(begin() + seconds(10), &request("GET", URL, &[]), &VisitorInfo::default()));
    site.edge.fetched(begin(), fast.ticket, Ok(response(200, &[], "new")));
    let answer = site.edge.fetched(begin(), slow.ticket, Ok(response(200, &[], "old")));
    assert_eq!((status(&answer), &answer.body()[..]), ("MISS", &b"old"[..]));
    assert_eq!(site.get(URL).body, "new");
}

#[test]
fn a_failed_fetch_does_not_block_waiting_requests() {
    let mut edge = Edge::new(CacheSettings::new("example.com"));
    let first = fetch(ask(&mut edge, URL));
    assert!(matches!(ask(&mut edge, URL), RequestStep::Wait(..)));
    drop(edge.failed(begin(), first.ticket, OriginFailure::Timeout));
    let _second = fetch(ask(&mut edge, URL));
    let _third = fetch(ask(&mut edge, URL));
}

#[test]
fn the_end_of_another_fill_does_not_release_a_key() {
    let mut edge = Edge::new(CacheSettings::new("example.com"));
    let slow = fetch(ask(&mut edge, URL));
    let later = begin() + seconds(10);
    let visitor = VisitorInfo::default();
    let second = fetch(edge.request(later, &request("GET", URL, &[]), &visitor));
    edge.fetched(later, second.ticket, Ok(response(200, &[], "second")));
    edge.purge(later, &Purge::new(PurgeItems::Everything));
    let third = fetch(edge.request(later, &request("GET", URL, &[]), &visitor));
    edge.abandoned(slow.ticket);
    let RequestStep::Wait(fill, _) = edge.request(later, &request("GET", URL, &[]), &visitor) else {
        panic!("it is being filled")
    };
    assert_eq!(fill, third.ticket.id());
}

#[test]
fn requests_do_not_wait_for_answers_that_are_not_stored() {
    let mut edge = Edge::new(CacheSettings::new("example.com"));
    let first = fetch(ask(&mut edge, URL));
    edge.fetched(begin(), first.ticket, Ok(response(200, &[("cache-control", "no-store")], "")));
    let second = fetch(ask(&mut edge, URL));
    let third = fetch(ask(&mut edge, URL));
    edge.fetched(begin(), third.ticket, Err(OriginFailure::Closed));
    edge.fetched(begin(), second.ticket, Ok(response(200, &[], "")));
    // After it was stored, requests wait again.
    edge.purge(begin(), &Purge::new(PurgeItems::Everything));
    let _fourth = fetch(ask(&mut edge, URL));
    assert!(matches!(ask(&mut edge, URL), RequestStep::Wait(..)));
}

#[test]
fn every_kind_of_end_releases_the_key() {
    type End = fn(&mut Edge, Fetch);
    let ends: [End; 5] = [
        |edge, fetch| drop(edge.failed(begin(), fetch.ticket, OriginFailure::Refused)),
        |edge, fetch| edge.abandoned(fetch.ticket),
        |edge, fetch| {
            let head = response(200, &[("vary", "*")], "").map(drop);
            assert!(matches!(edge.answered(begin(), fetch.ticket, head), ResponseStep::Pass(_)));
        },
        |edge, fetch| {
            let ResponseStep::Keep(keep) = edge.answered(begin(), fetch.ticket, Response::new(())) else {
                panic!("it is to be stored")
            };
            drop(edge.outgrown(begin(), keep.ticket));
        },
        |edge, fetch| {
            let ResponseStep::Keep(keep) = edge.answered(begin(), fetch.ticket, Response::new(())) else {
                panic!("it is to be stored")
            };
            edge.abandoned(keep.ticket);
        },
    ];
    for end in ends {
        let mut edge = Edge::new(CacheSettings::new("example.com"));
        let first = fetch(ask(&mut edge, URL));
        end(&mut edge, first);
        drop(fetch(ask(&mut edge, URL)));
    }
}

#[test]
fn does_not_store_a_fetch_that_started_before_a_purge() {
    let item_lists = [
        PurgeItems::Everything,
        files(&[URL]),
        tags(&["T"]),
        hosts(&["www.example.com"]),
        prefixes(&["www.example.com/css"]),
    ];
    for items in item_lists {
        for purged_after_head in [false, true] {
            let mut site = Site::new(always(&[]));
            let head = || response(200, &[("cache-tag", "t")], "").map(drop);
            let old = fetch(ask(&mut site.edge, URL));
            if !purged_after_head {
                assert_eq!(site.purge(items.clone()).objects, 0);
            }
            let ResponseStep::Keep(keep) = site.edge.answered(begin(), old.ticket, head()) else {
                panic!("it is to be stored")
            };
            if purged_after_head {
                site.purge(items.clone());
            }
            let answer = site.edge.filled(begin(), keep.ticket, Bytes::from_static(b"old"));
            assert_eq!((status(&answer), &answer.body()[..]), ("MISS", &b"old"[..]));
            assert!(site.edge.is_empty(), "{items:?}");
            assert_eq!(site.get(URL).cache(), "MISS");
        }
    }
}

#[test]
fn requests_do_not_wait_for_a_fetch_that_started_before_a_purge() {
    let item_lists = [
        (PurgeItems::Everything, true),
        (files(&[URL]), true),
        (hosts(&["www.example.com"]), true),
        (prefixes(&["www.example.com/css"]), true),
        (prefixes(&["www.example.com/cs"]), false),
        // Tags are known only after the head has arrived.
        (tags(&["t"]), false),
    ];
    for (items, opens) in item_lists {
        let mut edge = Edge::new(CacheSettings::new("example.com"));
        let old = fetch(ask(&mut edge, URL));
        edge.purge(begin(), &Purge::new(items.clone()));
        let step = ask(&mut edge, URL);
        assert_eq!(matches!(step, RequestStep::Fetch(_)), opens, "{items:?}");
        let head = response(200, &[("cache-tag", "t")], "").map(drop);
        let ResponseStep::Keep(_old) = edge.answered(begin(), old.ticket, head) else {
            panic!("it is to be stored")
        };
        if let RequestStep::Fetch(new) = step {
            // The end of the old fetch does not release the key of the new one.
            assert!(matches!(ask(&mut edge, URL), RequestStep::Wait(fill, _) if fill == new.ticket.id()));
        } else {
            edge.purge(begin(), &Purge::new(tags(&["t"])));
            assert!(matches!(ask(&mut edge, URL), RequestStep::Fetch(_)));
        }
    }
}

#[test]
fn a_purge_of_other_targets_does_not_affect_a_fetch() {
    let mut site = Site::new(always(&[]));
    let old = fetch(ask(&mut site.edge, URL));
    for items in [
        files(&["https://example.com/b.css"]),
        tags(&["b"]),
        hosts(&["b"]),
        prefixes(&["www.example.com/cs"]),
    ] {
        site.purge(items);
    }
    site.edge.fetched(begin(), old.ticket, Ok(response(200, &[("cache-tag", "a")], "old")));
    assert_eq!(site.get(URL).cache(), "HIT");
}

#[test]
fn stores_a_fetch_that_started_before_an_invalidation_as_stale() {
    let mut site = Site::new(always(&[]));
    let old = fetch(ask(&mut site.edge, URL));
    site.invalidate(PurgeItems::Everything);
    site.edge.fetched(begin(), old.ticket, Ok(response(200, &[], "old")));
    let seen = site.get(URL);
    assert_eq!((seen.cache(), &*seen.body), ("EXPIRED", "body"));
}

#[test]
fn does_not_serve_stale_copies_from_before_a_purge() {
    let first = || response(200, &[("cache-control", "max-age=5"), ("etag", "\"a\"")], "old");
    let mut site = Site::new(Box::new(move |_| Ok(first())));
    site.get(URL);
    site.wait(6);
    let (now, visitor) = (site.now, VisitorInfo::default());
    let stale = fetch(site.edge.request(now, &request("GET", URL, &[]), &visitor));
    site.purge(PurgeItems::Everything);
    let answer = site.edge.fetched(now, stale.ticket, Err(OriginFailure::Refused));
    assert_eq!(answer.status(), 521);
    // The origin's answer to an earlier request does not restore it either.
    site.get(URL);
    site.wait(6);
    let now = site.now;
    let stale = fetch(site.edge.request(now, &request("GET", URL, &[]), &visitor));
    site.purge(PurgeItems::Everything);
    let answer = site.edge.fetched(now, stale.ticket, Ok(response(304, &[], "")));
    assert_eq!((status(&answer), &answer.body()[..]), ("REVALIDATED", &b"old"[..]));
    assert!(site.edge.is_empty());
}

#[test]
fn one_refresh_at_a_time_while_others_get_the_stale_object() {
    let headers = &[("cache-control", "max-age=5, stale-while-revalidate=100")];
    let mut site = Site::new(always(headers));
    site.get(URL);
    site.wait(6);
    let now = site.now;
    let ask = |edge: &mut Edge| edge.request(now, &request("GET", URL, &[]), &VisitorInfo::default());
    let RequestStep::Answer { response: first, refresh: Some(refresh) } = ask(&mut site.edge) else {
        panic!("it is refreshed")
    };
    let RequestStep::Answer { response: second, refresh: None } = ask(&mut site.edge) else {
        panic!("it is being refreshed")
    };
    assert_eq!((status(&first), status(&second)), ("UPDATING", "UPDATING"));
    // A failed refresh keeps the object, and the next request tries again.
    drop(site.edge.fetched(now, refresh.ticket, Err(OriginFailure::Timeout)));
    assert!(matches!(ask(&mut site.edge), RequestStep::Answer { refresh: Some(_), .. }));
}

#[test]
fn the_answer_of_a_refresh_goes_to_no_visitor() {
    let mut site = Site::new(always(&[("cache-control", "max-age=5, stale-while-revalidate=100")]));
    site.get(URL);
    site.wait(6);
    let step = site.edge.request(site.now, &request("GET", URL, &[]), &VisitorInfo::default());
    let RequestStep::Answer { refresh: Some(refresh), .. } = step else { panic!("it is refreshed") };
    let ResponseStep::Keep(keep) = site.edge.answered(site.now, refresh.ticket, Response::new(())) else {
        panic!("it is to be stored")
    };
    assert!(keep.pass.is_none());
}

#[test]
fn a_purge_of_another_environment_does_not_affect_a_fetch() {
    let staging = Expression::parse(r#"http.cookie contains "staging""#).unwrap();
    let mut settings = CacheSettings::new("example.com");
    settings.environments = vec![CacheEnvironment::new("staging", staging)];
    for (id, stored) in [(None, true), (Some("staging"), false), (Some("other"), true)] {
        let mut edge = Edge::new(settings.clone());
        let request = request("GET", URL, &[("cookie", "staging")]);
        let fetch = fetch(edge.request(begin(), &request, &VisitorInfo::default()));
        let purge = Purge::new(hosts(&["www.example.com"])).with_environment(id.map(str::to_owned));
        edge.purge(begin(), &purge);
        edge.fetched(begin(), fetch.ticket, Ok(response(200, &[], "")));
        assert_eq!(edge.len(), usize::from(stored), "{id:?}");
    }
}

#[test]
fn too_many_purges_during_a_fetch_count_as_everything() {
    let mut site = Site::new(always(&[]));
    let old = fetch(ask(&mut site.edge, URL));
    for index in 0..1100 {
        site.purge(tags(&[&index.to_string()]));
    }
    site.edge.fetched(begin(), old.ticket, Ok(response(200, &[], "old")));
    assert!(site.edge.is_empty());
    let new = fetch(ask(&mut site.edge, URL));
    site.edge.fetched(begin(), new.ticket, Ok(response(200, &[], "new")));
    assert_eq!(site.edge.len(), 1);
}
