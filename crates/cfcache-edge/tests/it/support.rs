//! A zone with a scripted origin and a simulated clock.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cfcache_edge::{
    CacheRules, CacheSettings, Edge, Fetch, OriginFailure, Purge, PurgeEffect, PurgeFile, PurgeItems,
    RequestStep, VisitorInfo,
};
use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use http::{HeaderMap, Method, Request, Response};

pub(crate) const URL: &str = "https://www.example.com/css/styles.css";

/// The origin's answers.
pub(crate) type Origin = Box<dyn FnMut(&Request<()>) -> Result<Response<Bytes>, OriginFailure>>;

pub(crate) struct Site {
    pub(crate) edge: Edge,
    pub(crate) now: SystemTime,
    pub(crate) visitor: VisitorInfo,
    pub(crate) origin: Origin,
    /// The requests to the origin, in order.
    pub(crate) asked: Vec<Request<()>>,
}

/// The answer to a visitor.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    fn new(response: Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Self { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the cache status.
    pub(crate) fn cache(&self) -> &str {
        self.header("cf-cache-status")
    }

    /// Returns the reason, without the key.
    pub(crate) fn why(&self) -> &str {
        self.header("x-cfcache-edge").split("; key=").next().unwrap()
    }
}

pub(crate) fn begin() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Creates a response with these headers.
pub(crate) fn response(code: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut response = Response::builder().status(code);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Bytes::from(body.to_owned())).unwrap()
}

/// Creates an origin that always answers 200 with these headers.
pub(crate) fn always(headers: &[(&'static str, &'static str)]) -> Origin {
    let headers = headers.to_vec();
    Box::new(move |_| Ok(response(200, &headers, "body")))
}

/// Creates an origin with the bodies 1, 2, 3, … and these headers.
pub(crate) fn counting(headers: &[(&'static str, &'static str)]) -> Origin {
    let headers = headers.to_vec();
    let mut count = 0;
    Box::new(move |_| {
        count += 1;
        Ok(response(200, &headers, &count.to_string()))
    })
}

/// Creates an origin that answers the next requests with these results, in order.
pub(crate) fn script(list: Vec<Result<Response<Bytes>, OriginFailure>>) -> Origin {
    let mut list = list.into_iter();
    Box::new(move |request| {
        list.next().unwrap_or_else(|| panic!("the origin was asked once too often: {request:?}"))
    })
}

/// Creates rules with one rule for all requests.
pub(crate) fn rule(parameters: &str) -> CacheRules {
    let json = format!(
        r#"[{{"expression":"true","action":"set_cache_settings","action_parameters":{parameters}}}]"#
    );
    CacheRules::parse(&json).unwrap()
}

pub(crate) fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

impl Site {
    pub(crate) fn new(origin: Origin) -> Self {
        let edge = Edge::new(CacheSettings::new("example.com"));
        Self { edge, now: begin(), visitor: VisitorInfo::default(), origin, asked: Vec::new() }
    }

    pub(crate) fn with_plan(mut self, plan: Plan) -> Self {
        self.edge.settings_mut().plan = plan;
        self
    }

    pub(crate) fn with_rule(mut self, parameters: &str) -> Self {
        self.edge.settings_mut().rules = rule(parameters);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut CacheSettings)) -> Self {
        change(self.edge.settings_mut());
        self
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(crate) fn send(&mut self, request: &Request<()>) -> Seen {
        match self.edge.request(self.now, request, &self.visitor) {
            RequestStep::Answer { response, refresh } => {
                if let Some(fetch) = refresh {
                    self.fetch(fetch);
                }
                Seen::new(response)
            }
            RequestStep::Fetch(fetch) => self.fetch(fetch),
            other => panic!("nothing else is under way: {other:?}"),
        }
    }

    fn fetch(&mut self, fetch: Fetch) -> Seen {
        let answer = (self.origin)(&fetch.request);
        self.asked.push(fetch.request);
        Seen::new(self.edge.fetched(self.now, fetch.ticket, answer))
    }

    pub(crate) fn get(&mut self, url: &str) -> Seen {
        self.get_with(url, &[])
    }

    pub(crate) fn get_with(&mut self, url: &str, headers: &[(&str, &str)]) -> Seen {
        self.send(&request(Method::GET.as_str(), url, headers))
    }

    /// Returns the cache statuses of several requests for the same URL.
    pub(crate) fn statuses(&mut self, url: &str, count: usize) -> Vec<String> {
        (0..count).map(|_| self.get(url).cache().to_owned()).collect()
    }

    pub(crate) fn purge(&mut self, items: PurgeItems) -> PurgeEffect {
        self.edge.purge(self.now, &Purge::new(items))
    }

    pub(crate) fn invalidate(&mut self, items: PurgeItems) -> PurgeEffect {
        self.edge.purge(self.now, &Purge::new(items).with_action(Action::Invalidate))
    }
}

pub(crate) fn files(urls: &[&str]) -> PurgeItems {
    PurgeItems::Files(urls.iter().map(|url| PurgeFile::new(*url)).collect())
}

pub(crate) fn tags(tags: &[&str]) -> PurgeItems {
    PurgeItems::Tags(tags.iter().map(|&tag| tag.to_owned()).collect())
}

pub(crate) fn hosts(hosts: &[&str]) -> PurgeItems {
    PurgeItems::Hosts(hosts.iter().map(|&host| host.to_owned()).collect())
}

pub(crate) fn prefixes(prefixes: &[&str]) -> PurgeItems {
    PurgeItems::Prefixes(prefixes.iter().map(|&prefix| prefix.to_owned()).collect())
}
