//! Properties that hold for any sequence of events.

use std::collections::HashMap;

use bytes::Bytes;
use cfcache_edge::{
    CacheSettings, Edge, Fetch, OriginFailure, Purge, PurgeFile, PurgeItems, RequestStep, VisitorInfo,
};
use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use crate::support::{begin, rule, seconds};

const HOSTS: [&str; 2] = ["a.example.com", "b.example.com"];
const PATHS: [&str; 4] = ["/x/1.css", "/x/2.css", "/xy/1.css", "/x.css?q=1"];
const TAGS: [&str; 3] = ["red", "green", "blue"];

/// An event.
#[derive(Debug, Clone)]
enum Event {
    /// A visitor requests a page, with or without a header of the cache key. The origin answers immediately or later.
    Request {
        page: usize,
        with_origin: bool,
        answered: bool,
    },
    /// The origin answers the oldest waiting request: with content, with an error, or with "not modified".
    Answer(Reply),
    /// The content of a page changes.
    Change(usize),
    Purge {
        items: PurgeItems,
        action: Action,
        environment: bool,
    },
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    Full,
    Fails,
    ServerError,
}

fn page_url(page: usize) -> String {
    format!("https://{}{}", HOSTS[page % 2], PATHS[page / 2])
}

fn item_lists() -> impl Strategy<Value = PurgeItems> {
    prop_oneof![
        Just(PurgeItems::Everything),
        prop::collection::vec((0..8usize, any::<bool>()), 1..3).prop_map(|pages| {
            let file = |(page, with_origin)| {
                let file = PurgeFile::new(page_url(page));
                if with_origin { file.with_header("Origin", "https://o") } else { file }
            };
            PurgeItems::Files(pages.into_iter().map(file).collect())
        }),
        prop::sample::subsequence(&TAGS[..], 1..3)
            .prop_map(|tags| PurgeItems::Tags(tags.into_iter().map(str::to_uppercase).collect())),
        prop::sample::select(&HOSTS[..]).prop_map(|host| PurgeItems::Hosts(vec![host.to_owned()])),
        (
            prop::sample::select(&HOSTS[..]),
            prop::sample::select(&["", "/", "/x", "/x/", "/xy", "/x/1.css"][..])
        )
            .prop_map(|(host, path)| PurgeItems::Prefixes(vec![format!("{host}{path}")])),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let reply = prop_oneof![5 => Just(Reply::Full), 1 => Just(Reply::Fails), 1 => Just(Reply::ServerError)];
    let action = prop_oneof![3 => Just(Action::Purge), 1 => Just(Action::Invalidate)];
    prop_oneof![
        6 => (0..8usize, any::<bool>(), any::<bool>())
            .prop_map(|(page, with_origin, answered)| Event::Request { page, with_origin, answered }),
        3 => reply.prop_map(Event::Answer),
        3 => (0..8usize).prop_map(Event::Change),
        2 => (item_lists(), action, prop::bool::weighted(0.1))
            .prop_map(|(items, action, environment)| Event::Purge { items, action, environment }),
        1 => (0..20u64).prop_map(Event::Wait),
    ]
}

/// Returns whether a purge covers a page, implemented only from the documentation.
fn covers(items: &PurgeItems, page: usize, with_origin: bool) -> bool {
    let url = page_url(page);
    let host_and_path = url.strip_prefix("https://").unwrap().split('?').next().unwrap();
    match items {
        PurgeItems::Everything => true,
        PurgeItems::Files(files) => {
            files.iter().any(|file| file.url == url && file.headers.is_empty() != with_origin)
        }
        PurgeItems::Tags(tags) => tags.iter().any(|tag| tag.to_lowercase() == TAGS[page % TAGS.len()]),
        PurgeItems::Hosts(hosts) => hosts.iter().any(|host| *host == HOSTS[page % 2]),
        PurgeItems::Prefixes(prefixes) => prefixes.iter().any(|prefix| {
            let directory = format!("{}/", prefix.trim_end_matches('/'));
            host_and_path == prefix || host_and_path.starts_with(&directory)
        }),
        other => panic!("{other:?}"),
    }
}

/// The origin, and the requirements for each answer.
struct TestOrigin {
    edge: Edge,
    now: std::time::SystemTime,
    /// The version of each page.
    versions: [u64; 8],
    /// The oldest version that may still be served, by page and header.
    oldest: HashMap<(usize, bool), u64>,
    /// Fetches in progress: page, header, the origin's version at the time of the request, and the oldest version that
    /// was allowed then. Nobody waits for a refresh.
    under_way: Vec<(Fetch, usize, bool, u64, u64, bool)>,
}

impl TestOrigin {
    fn request(&mut self, page: usize, with_origin: bool, answered: bool) -> Result<(), TestCaseError> {
        let mut request = Request::get(page_url(page)).body(()).unwrap();
        if with_origin {
            request.headers_mut().insert("origin", HeaderValue::from_static("https://o"));
        }
        let fetch = match self.edge.request(self.now, &request, &VisitorInfo::default()) {
            RequestStep::Answer { response, refresh } => {
                self.check(page, with_origin, &response, 0)?;
                let Some(fetch) = refresh else { return Ok(()) };
                self.begin(fetch, page, with_origin, true);
                return Ok(());
            }
            RequestStep::Fetch(fetch) => fetch,
            RequestStep::Wait(fill, _) => {
                let known = self.under_way.iter().any(|(fetch, ..)| fetch.ticket.id() == fill);
                prop_assert!(known, "waits for a fill that is not under way");
                return Ok(());
            }
            other => panic!("{other:?}"),
        };
        self.begin(fetch, page, with_origin, false);
        if answered {
            let last = self.under_way.len() - 1;
            self.answer(last, Reply::Full)?;
        }
        Ok(())
    }

    fn begin(&mut self, fetch: Fetch, page: usize, with_origin: bool, for_nobody: bool) {
        let oldest = self.oldest.get(&(page, with_origin)).copied().unwrap_or_default();
        self.under_way.push((fetch, page, with_origin, self.versions[page], oldest, for_nobody));
    }

    fn answer(&mut self, index: usize, reply: Reply) -> Result<(), TestCaseError> {
        if index >= self.under_way.len() {
            return Ok(());
        }
        let (fetch, page, with_origin, version, oldest, for_nobody) = self.under_way.remove(index);
        let etag = format!("\"{version}\"");
        let is_current = fetch.request.headers().get("if-none-match").is_some_and(|tag| *tag == *etag);
        let answer = Response::builder()
            .header("etag", etag)
            .header("cache-tag", TAGS[page % TAGS.len()])
            .header("cache-control", "max-age=10, stale-while-revalidate=5, stale-if-error=30");
        let answer = match reply {
            Reply::Fails => Err(OriginFailure::Closed),
            Reply::ServerError => Ok(answer.status(503).body(Bytes::from_static(b"error")).unwrap()),
            Reply::Full if is_current => Ok(answer.status(304).body(Bytes::new()).unwrap()),
            Reply::Full => Ok(answer.body(Bytes::from(version.to_string())).unwrap()),
        };
        let response = self.edge.fetched(self.now, fetch.ticket, answer);
        if for_nobody {
            return Ok(());
        }
        // A request that started before a purge may get the version from its start. A stale answer must not be older
        // than the purge.
        let stale = response.headers()["cf-cache-status"] == "STALE";
        self.check_since(page, &response, if stale { self.allowed(page, with_origin) } else { oldest })
    }

    fn allowed(&self, page: usize, with_origin: bool) -> u64 {
        self.oldest.get(&(page, with_origin)).copied().unwrap_or_default()
    }

    fn check(
        &self,
        page: usize,
        with_origin: bool,
        response: &Response<Bytes>,
        least: u64,
    ) -> Result<(), TestCaseError> {
        self.check_since(page, response, self.allowed(page, with_origin).max(least))
    }

    fn check_since(&self, page: usize, response: &Response<Bytes>, oldest: u64) -> Result<(), TestCaseError> {
        let Ok(version) = str::from_utf8(response.body()).unwrap().parse::<u64>() else {
            prop_assert!(response.status().is_server_error());
            return Ok(());
        };
        prop_assert!(version >= oldest, "version {version} of {}, purged since {oldest}", page_url(page));
        prop_assert!(version <= self.versions[page]);
        Ok(())
    }

    fn purge(&mut self, items: &PurgeItems, action: Action, environment: bool) -> Result<(), TestCaseError> {
        let id = environment.then(|| "other".to_owned());
        let purge = Purge::new(items.clone()).with_action(action).with_environment(id);
        let before = self.edge.len();
        let purged = self.edge.purge(self.now, &purge);
        prop_assert!(purged.objects <= before);
        if environment {
            prop_assert_eq!(purged.objects, 0, "nothing is in that environment");
            return Ok(());
        }
        if action == Action::Purge {
            prop_assert_eq!(self.edge.len(), before - purged.objects);
            for page in 0..8 {
                for with_origin in [false, true] {
                    if covers(items, page, with_origin) {
                        self.oldest.insert((page, with_origin), self.versions[page]);
                    }
                }
            }
        }
        // The remaining objects are not covered by the purge.
        for object in self.edge.objects(self.now) {
            let page = (0..8).find(|page| page_url(*page) == object.url).unwrap();
            let is_covered = covers(items, page, object.key.contains("https%3A//o"));
            let is_gone_or_stale = action == Action::Invalidate && object.fresh_for < 0;
            prop_assert!(!is_covered || is_gone_or_stale, "{} is left after {items:?}", object.key);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_answer_is_older_than_the_last_covering_purge(
        list in prop::collection::vec(events(), 1..60),
        tiered in any::<bool>(),
    ) {
        let mut settings = CacheSettings::new("example.com");
        settings.tiered_cache = tiered;
        settings.plan = Plan::Pro;
        let mut world = TestOrigin {
            edge: Edge::new(settings),
            now: begin(),
            versions: [1; 8],
            oldest: HashMap::new(),
            under_way: Vec::new(),
        };
        for event in list {
            match event {
                Event::Request { page, with_origin, answered } => world.request(page, with_origin, answered)?,
                Event::Answer(reply) => world.answer(0, reply)?,
                Event::Change(page) => world.versions[page] += 1,
                Event::Purge { items, action, environment } => world.purge(&items, action, environment)?,
                Event::Wait(time) => world.now += seconds(time),
            }
        }
        // Everything ends, and nothing remains.
        while !world.under_way.is_empty() {
            world.answer(0, Reply::Full)?;
        }
        drop(world.edge.purge(world.now, &Purge::new(PurgeItems::Everything)));
        prop_assert_eq!((world.edge.len(), world.edge.memory()), (0, 0));
    }

    #[test]
    fn handles_any_headers(
        request_headers in headers(),
        response_headers in headers(),
        code in 200u16..600,
        path in "/[ -~]{0,12}(\\.css|\\.jpg)?",
        plan in prop::sample::select(&[Plan::Free, Plan::Enterprise][..]),
        body in prop::collection::vec(any::<u8>(), 0..20),
        with_rule in any::<bool>(),
    ) {
        let path: String = path.chars().filter(|char| !" \"#<>\\^`{|}".contains(*char)).collect();
        let mut settings = CacheSettings::new("example.com");
        settings.plan = plan;
        settings.variants.insert("jpg".to_owned(), vec!["image/webp".to_owned()]);
        if with_rule {
            settings.rules = rule(RULE);
        }
        let mut edge = Edge::new(settings);
        let mut request = Request::builder().uri(format!("https://example.com{path}")).body(()).unwrap();
        request.headers_mut().extend(request_headers);
        let mut now = begin();
        for method in [Method::GET, Method::GET, Method::HEAD, Method::GET] {
            *request.method_mut() = method;
            match edge.request(now, &request, &VisitorInfo::default()) {
                RequestStep::Fetch(fetch) => {
                    let mut response = Response::new(Bytes::from(body.clone()));
                    *response.status_mut() = code.try_into().unwrap();
                    response.headers_mut().extend(response_headers.clone());
                    let answer = edge.fetched(now, fetch.ticket, Ok(response));
                    prop_assert!(answer.headers().contains_key("cf-cache-status"));
                    prop_assert!(!answer.headers().contains_key("cache-tag"));
                }
                RequestStep::Answer { response, .. } => {
                    prop_assert!(response.headers().contains_key("x-cfcache-edge"));
                }
                other => panic!("{other:?}"),
            }
            now += seconds(100_000);
        }
        prop_assert!(edge.objects(now).count() == edge.len());
    }
}

const RULE: &str = r#"{"cache":true,"vary":{"default":{"action":"normalize"}},"cache_key":{
    "ignore_query_strings_order":true,"cache_deception_armor":true,"custom_key":{
    "header":{"include":["x-a"],"contains":{"accept":["b"]}},"cookie":{"include":["a"],"check_presence":["b"]},
    "user":{"device_type":true,"geo":true,"lang":true}}}}"#;

/// Headers with a meaning, and any bytes as values.
fn headers() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    const NAMES: &[&str] = &[
        "cache-control",
        "cdn-cache-control",
        "expires",
        "vary",
        "etag",
        "last-modified",
        "set-cookie",
        "cache-tag",
        "content-length",
        "content-type",
        "age",
        "date",
        "connection",
        "range",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "accept",
        "accept-language",
        "cookie",
        "origin",
        "user-agent",
        "authorization",
        "x-a",
        "surrogate-control",
        "host",
        "x-forwarded-for",
        "transfer-encoding",
    ];
    const WORDS: &[&str] = &[
        "max-age=5",
        "no-cache",
        "private=\"set-cookie\"",
        "*",
        "accept",
        "\"a\"",
        "W/\"a\"",
        "bytes=0-1,3-",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Sun, 06 Nov 9999 08:49:37 GMT",
        "10",
        "-1",
        "stale-while-revalidate=9",
        "en-US, fr;q=0.8",
        "image/webp",
        "a=b; b=c",
        "x-a, accept-language",
    ];
    let value = prop_oneof![
        prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(prop_oneof![32u8..127, 128u8..=255], 0..40),
    ];
    let header = (prop::sample::select(NAMES), value)
        .prop_map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap()));
    prop::collection::vec(header, 0..8)
}
