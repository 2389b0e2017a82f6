//! The edge on a socket: answers to visitors, requests to the origin, and the effect of purges through the API.

use core::convert::Infallible;
use core::time::Duration;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cfcache_emulator::{Config, EdgeConfig, EdgeOrigin, Emulator, Server, Zone};
use futures_util::stream::{self, StreamExt as _};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::support::{TOKEN, ZONE, unlimited};

pub(crate) type OriginBody = BoxBody<Bytes, Infallible>;

/// An origin whose answers the test decides.
pub(crate) struct TestOrigin {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request<()>>>>,
}

impl TestOrigin {
    pub(crate) async fn start(
        answer: impl Fn(&Request<()>) -> Response<OriginBody> + Send + Sync + 'static,
    ) -> Self {
        let (_, open) = watch::channel(true);
        Self::start_gated(open, answer).await
    }

    /// An origin that answers only while `open` is true; other requests wait.
    async fn start_gated(
        open: watch::Receiver<bool>,
        answer: impl Fn(&Request<()>) -> Response<OriginBody> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen, open) = (Arc::clone(&answer), Arc::clone(&seen), open.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, seen, mut open) = (Arc::clone(&answer), Arc::clone(&seen), open.clone());
                    async move {
                        let request = request.map(|_| ());
                        let response = answer(&request);
                        seen.lock().unwrap().push(request);
                        // An error means that nobody can close it any more.
                        drop(open.wait_for(|open| *open).await);
                        Ok::<_, Infallible>(response)
                    }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, requests }
    }

    /// Waits for the first request.
    async fn is_asked(&self) {
        let asked = async {
            while self.asked() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
    }

    fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn body(text: impl Into<Bytes>) -> OriginBody {
    Full::new(text.into()).boxed()
}

pub(crate) fn cacheable(text: impl Into<Bytes>) -> Response<OriginBody> {
    Response::builder().header("cache-control", "max-age=3600").body(body(text)).unwrap()
}

pub(crate) async fn start(origin: &str, config: impl FnOnce(EdgeConfig) -> EdgeConfig) -> Server {
    start_with(unlimited(), origin, config).await
}

async fn start_with(base: Config, origin: &str, config: impl FnOnce(EdgeConfig) -> EdgeConfig) -> Server {
    let edge = config(EdgeConfig::new(origin.parse().unwrap()));
    Emulator::start(base.with_edge(edge), ([127, 0, 0, 1], 0).into()).await.unwrap()
}

fn client() -> Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn send(url: String, request: http::request::Builder, body: &str) -> Response<Incoming> {
    client().request(request.uri(url).body(Full::new(body.to_owned().into())).unwrap()).await.unwrap()
}

/// Sends a visitor's request for a path of `www.example.com`.
pub(crate) async fn visit(server: &Server, path: &str) -> Response<Incoming> {
    let url = format!("{}{path}", server.edge_url().unwrap());
    send(url, Request::get("/").header("host", "www.example.com"), "").await
}

/// Returns the cache status and the body.
async fn look(server: &Server, path: &str) -> (String, String) {
    let response = visit(server, path).await;
    let status = header(&response, "cf-cache-status");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn header<B>(response: &Response<B>, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Sends an API call for the zone, which must succeed.
async fn call(server: &Server, method: &str, path: &str, body: &str) {
    let url = format!("{}/zones/{ZONE}/{path}", server.base_url());
    let request = Request::builder().method(method).header("authorization", format!("Bearer {TOKEN}"));
    let response = send(url, request, body).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{path}: {status} {body:?}");
}

pub(crate) async fn purge(server: &Server, body: &str) {
    call(server, "POST", "purge_cache", body).await;
}

fn is(looked: &(String, String), status: &str, body: &str) {
    assert_eq!((looked.0.as_str(), looked.1.as_str()), (status, body));
}

/// A temporary folder, deleted on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cfcache-edge-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn origin(&self) -> String {
        self.0.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn a_purge_through_the_api_changes_hit_to_miss() {
    let folder = Folder::new("purge");
    folder.write("app.css", "one");
    let server = start(&folder.origin(), |edge| edge).await;
    is(&look(&server, "/app.css").await, "MISS", "one");
    is(&look(&server, "/app.css").await, "HIT", "one");
    folder.write("app.css", "two, and longer");
    is(&look(&server, "/app.css").await, "HIT", "one");
    assert_eq!(server.objects().len(), 1);
    purge(&server, r#"{"files":["https://www.example.com/app.css"]}"#).await;
    assert!(server.objects().is_empty());
    is(&look(&server, "/app.css").await, "MISS", "two, and longer");
    is(&look(&server, "/app.css").await, "HIT", "two, and longer");
}

#[tokio::test]
async fn a_folder_serves_index_pages_redirects_and_nothing_outside() {
    let folder = Folder::new("folder");
    folder.write("site/index.html", "home");
    folder.write("site/blog/index.html", "blog");
    folder.write("site/about.html", "about");
    folder.write("site/404.html", "not here");
    folder.write("secret.txt", "secret");
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.0.join("secret.txt"), folder.0.join("site/link.txt")).unwrap();
    let server = start(&format!("{}/site", folder.origin()), |edge| edge).await;
    for (path, status, expected) in [
        ("/", 200, "home"),
        ("/index.html", 200, "home"),
        ("/blog/", 200, "blog"),
        ("/about", 200, "about"),
        ("/about.html", 200, "about"),
        ("/nothing", 404, "not here"),
        ("/link.txt", 404, "not here"),
        ("/%2e%2e/secret.txt", 400, ""),
        // On Unix, a backslash is not a separator: it is part of the name of a missing file.
        ("/..%5csecret.txt", if cfg!(unix) { 404 } else { 400 }, ""),
    ] {
        let response = visit(&server, path).await;
        assert_eq!(response.status(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        if !expected.is_empty() {
            assert_eq!(body, expected, "{path}");
        }
        assert_ne!(body, "secret");
    }
    let response = visit(&server, "/blog?a=1").await;
    assert_eq!((response.status().as_u16(), header(&response, "location")), (301, "/blog/?a=1".into()));
    let response = visit(&server, "//evil.example/..").await;
    assert_ne!(response.status(), 301);
}

#[tokio::test]
async fn a_folder_serves_files_from_before_1970() {
    let folder = Folder::new("before-1970");
    folder.write("old.css", "old");
    let file = fs::File::options().write(true).open(folder.0.join("old.css")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    let server = start(&folder.origin(), |edge| edge).await;
    let response = visit(&server, "/old.css").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "old");
}

#[tokio::test]
async fn serves_a_zone_with_a_name_in_unicode() {
    let folder = Folder::new("unicode");
    folder.write("a.css", "a");
    let edge = EdgeConfig::new(folder.origin().parse().unwrap());
    for name in ["B\u{fc}cher.example", "xn--bcher-kva.example."] {
        let config = unlimited().with_zone(Zone::new(ZONE, name)).with_edge(edge.clone());
        let server = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap();
        for host in ["localhost", "www.xn--bcher-kva.example"] {
            let url = format!("{}/a.css", server.edge_url().unwrap());
            let response = send(url, Request::get("/").header("host", host), "").await;
            assert_eq!(response.status(), 200, "{name} {host}");
        }
    }
}

#[tokio::test]
async fn serves_hosts_of_the_zone_and_refuses_others() {
    let origin =
        TestOrigin::start(|request| cacheable(request.headers()["host"].to_str().unwrap().to_owned())).await;
    let server = start(&origin.url, |edge| edge).await;
    for (host, status, expected) in [
        ("www.example.com", 200, "www.example.com"),
        ("WWW.Example.com:8788", 200, "www.example.com"),
        ("example.com", 200, "example.com"),
        ("127.0.0.1:8788", 200, "example.com"),
        ("localhost", 200, "example.com"),
        ("notexample.com", 409, ""),
        ("example.org", 409, ""),
    ] {
        let url = format!("{}/a.css", server.edge_url().unwrap());
        let response = send(url, Request::get("/").header("host", host), "").await;
        assert_eq!(response.status(), status, "{host}");
        if !expected.is_empty() {
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected, "{host}");
        }
    }
}

#[tokio::test]
async fn streams_uncached_answers() {
    let (pieces, receiver) = mpsc::unbounded_channel::<Bytes>();
    let receiver = Mutex::new(Some(receiver));
    let origin = TestOrigin::start(move |_| {
        let mut receiver = receiver.lock().unwrap().take().unwrap();
        let pieces = stream::poll_fn(move |context| receiver.poll_recv(context));
        Response::new(BodyExt::boxed(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece))))))
    })
    .await;
    let server = start(&origin.url, |edge| edge).await;
    pieces.send("one".into()).unwrap();
    let response = visit(&server, "/events").await;
    assert_eq!(header(&response, "cf-cache-status"), "DYNAMIC");
    let mut body = response.into_body();
    // The first piece arrives before the origin has finished its answer.
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    pieces.send("two".into()).unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(pieces);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn concurrent_requests_for_one_object_reach_the_origin_once() {
    let (gate, open) = watch::channel(false);
    let origin = TestOrigin::start_gated(open, |_| cacheable("a")).await;
    let server = Arc::new(start(&origin.url, |edge| edge).await);
    let visits: Vec<_> = (0..50)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { look(&server, "/a.css").await })
        })
        .collect();
    origin.is_asked().await;
    gate.send_replace(true);
    let mut statuses = Vec::new();
    for visit in visits {
        let (status, body) = visit.await.unwrap();
        assert_eq!(body, "a");
        statuses.push(status);
    }
    assert_eq!(origin.asked(), 1);
    assert_eq!(statuses.iter().filter(|status| *status == "MISS").count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| *status == "HIT").count(), 49, "{statuses:?}");
}

#[tokio::test]
async fn a_body_above_the_limit_is_forwarded_but_not_cached() {
    let large = "x".repeat(300_000);
    let expected = large.clone();
    let origin = TestOrigin::start(move |request| {
        let piece = Bytes::from(large.clone());
        if request.uri().path() == "/known.css" {
            return cacheable(piece);
        }
        // Without a length, only the body shows how large it is.
        let pieces = [piece.slice(..100_000), piece.slice(100_000..)];
        let pieces = stream::iter(pieces.map(|piece| Ok(Frame::data(piece))));
        Response::builder()
            .header("cache-control", "max-age=60")
            .body(BodyExt::boxed(StreamBody::new(pieces)))
            .unwrap()
    })
    .await;
    let server = start(&origin.url, |edge| edge.with_max_object(200_000)).await;
    for path in ["/known.css", "/unknown.css", "/unknown.css"] {
        let (status, body) = look(&server, path).await;
        assert_eq!(body, expected, "{path}");
        assert_ne!(status, "HIT", "{path}");
    }
    assert_eq!(look(&server, "/known.css").await.0, "BYPASS");
    assert!(server.objects().is_empty());
}

#[tokio::test]
async fn failures_of_the_origin_are_52x_errors() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let closing = start(&format!("http://{address}"), |edge| edge).await;
    assert_eq!(visit(&closing, "/a.css").await.status(), 520);
    assert_eq!(visit(&closing, "/a").await.status(), 520);

    let unused = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let gone = start(&format!("http://{unused}"), |edge| edge).await;
    assert_eq!(visit(&gone, "/a.css").await.status(), 521);
    assert!(gone.objects().is_empty());
}

#[tokio::test]
async fn a_fill_continues_when_its_visitor_leaves() {
    let (gate, open) = watch::channel(false);
    let origin = TestOrigin::start_gated(open, |_| cacheable("a")).await;
    let server = Arc::new(start(&origin.url, |edge| edge).await);
    let leaving = {
        let server = Arc::clone(&server);
        tokio::spawn(async move { look(&server, "/a.css").await })
    };
    origin.is_asked().await;
    leaving.abort();
    gate.send_replace(true);
    // Other requests wait for that fill, or find the stored object.
    is(&look(&server, "/a.css").await, "HIT", "a");
    assert_eq!(origin.asked(), 1);
}

#[tokio::test]
async fn a_delayed_purge_takes_effect_after_the_delay() {
    let origin = TestOrigin::start(|_| cacheable("a")).await;
    let server = start(&origin.url, |edge| edge.with_purge_delay(Duration::from_secs(60))).await;
    look(&server, "/a.css").await;
    purge(&server, r#"{"purge_everything":true}"#).await;
    is(&look(&server, "/a.css").await, "HIT", "a");
    server.advance(Duration::from_secs(61));
    is(&look(&server, "/a.css").await, "MISS", "a");
    is(&look(&server, "/a.css").await, "HIT", "a");
}

#[tokio::test]
async fn survivors_stay_cached_although_their_purge_was_accepted() {
    let origin = TestOrigin::start(|_| cacheable("a")).await;
    let config = unlimited().with_fault("survive,every=2".parse().unwrap());
    let server = start_with(config, &origin.url, |edge| edge).await;
    let paths = ["/1.css", "/2.css", "/3.css", "/4.css"];
    for path in paths {
        look(&server, path).await;
    }
    let files: Vec<_> = paths.iter().map(|path| format!("\"https://www.example.com{path}\"")).collect();
    purge(&server, &format!(r#"{{"files":[{}]}}"#, files.join(","))).await;
    let left: Vec<_> = server.objects().into_iter().map(|object| object.url).collect();
    assert_eq!(left, ["https://www.example.com/2.css", "https://www.example.com/4.css"]);
    assert_eq!(server.purges().len(), 1);
    // The fifth item does not survive.
    purge(&server, r#"{"hosts":["www.example.com"]}"#).await;
    assert!(server.objects().is_empty());
}

#[tokio::test]
async fn development_mode_set_through_the_api_bypasses_the_cache_until_it_ends() {
    let origin = TestOrigin::start(|_| cacheable("a")).await;
    let server = start(&origin.url, |edge| edge).await;
    look(&server, "/a.css").await;
    is(&look(&server, "/a.css").await, "HIT", "a");
    call(&server, "PATCH", "settings/development_mode", r#"{"value":"on"}"#).await;
    is(&look(&server, "/a.css").await, "DYNAMIC", "a");
    call(&server, "PATCH", "settings/development_mode", r#"{"value":"off"}"#).await;
    is(&look(&server, "/a.css").await, "HIT", "a");
    call(&server, "PATCH", "settings/development_mode", r#"{"value":"on"}"#).await;
    server.advance(Duration::from_secs(3 * 60 * 60 + 1));
    assert_ne!(look(&server, "/a.css").await.0, "DYNAMIC");
}

#[tokio::test]
async fn visitors_can_use_http_2_without_tls() {
    let origin = TestOrigin::start(|_| cacheable("a")).await;
    let server = start(&origin.url, |edge| edge).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    for expected in ["MISS", "HIT"] {
        let url = format!("{}/a.css", server.edge_url().unwrap());
        let request = Request::get(url).version(http::Version::HTTP_2).body(Full::default()).unwrap();
        let response = client.request(request).await.unwrap();
        assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
        assert_eq!(header(&response, "cf-cache-status"), expected);
    }
}

#[tokio::test]
async fn forwards_the_visitors_body_and_adds_headers() {
    let origin = TestOrigin::start(|_| cacheable("a")).await;
    let server = start(&origin.url, |edge| edge).await;
    let url = format!("{}/form?a=1", server.edge_url().unwrap());
    let request = Request::post("/").header("host", "www.example.com").header("connection", "x-hop");
    let response = send(url, request.header("x-hop", "1"), "field=value").await;
    assert_eq!(header(&response, "cf-cache-status"), "DYNAMIC");
    let requests = origin.requests.lock().unwrap();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method().as_str(), request.uri().to_string()), ("POST", "/form?a=1".to_owned()));
    let headers = request.headers();
    for (name, expected) in [
        ("host", "www.example.com"),
        ("cf-connecting-ip", "127.0.0.1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("accept-encoding", "identity"),
        ("content-length", "11"),
    ] {
        assert_eq!(headers.get(name).map(|value| value.to_str().unwrap()), Some(expected), "{name}");
    }
    assert!(!headers.contains_key("x-hop"), "{headers:?}");
}

#[tokio::test]
async fn detects_an_origin_that_is_the_edge_itself() {
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let edge =
        EdgeConfig::new(EdgeOrigin::Server(format!("http://{port}").parse().unwrap())).with_listen(port);
    let server = Emulator::start(unlimited().with_edge(edge), ([127, 0, 0, 1], 0).into()).await.unwrap();
    assert_eq!(visit(&server, "/a").await.status(), 508);
    assert_eq!(visit(&server, "/a.css").await.status(), 508);
}

#[tokio::test]
async fn control_requests_move_the_clock_and_show_objects() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let origin =
        TestOrigin::start(move |_| cacheable(counted.fetch_add(1, Ordering::Relaxed).to_string())).await;
    let server = start(&origin.url, |edge| edge).await;
    is(&look(&server, "/a.css").await, "MISS", "0");
    let control = |method: &str, what: &str| {
        let url = format!("{}/__cfcache/{what}", server.edge_url().unwrap());
        send(url, Request::builder().method(method), "")
    };
    let objects = control("GET", "?json").await.into_body().collect().await.unwrap().to_bytes();
    let objects: serde_json::Value = serde_json::from_slice(&objects).unwrap();
    assert_eq!(objects["count"], 1);
    assert_eq!(objects["objects"][0]["url"], "https://www.example.com/a.css");
    assert_eq!(control("POST", "advance?seconds=3601").await.status(), 200);
    is(&look(&server, "/a.css").await, "EXPIRED", "1");
    for (method, what, status) in [
        ("POST", "advance", 400),
        ("POST", "advance?seconds=-1", 400),
        ("POST", "advance?seconds=NaN", 400),
        ("POST", "advance?seconds=1e300", 400),
        ("GET", "advance?seconds=1", 405),
        ("GET", "nothing", 404),
        ("GET", "?xml", 400),
        ("POST", "", 405),
    ] {
        assert_eq!(control(method, what).await.status(), status, "{method} {what}");
    }
    // HTTP cannot express a year with five digits.
    server.advance(Duration::MAX);
    assert_eq!(control("POST", "advance?seconds=1").await.status(), 400);
    assert_eq!(control("POST", "advance?seconds=0").await.status(), 200);
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn settings_through_the_api_change_the_edge() {
    let origin = TestOrigin::start(|request| cacheable(request.uri().to_string())).await;
    let server = start(&origin.url, |edge| edge).await;
    look(&server, "/a.css?b=1&a=2").await;
    is(&look(&server, "/a.css?a=2&b=1").await, "MISS", "/a.css?a=2&b=1");
    call(&server, "PATCH", "settings/sort_query_string_for_cache", r#"{"value":"on"}"#).await;
    look(&server, "/b.css?b=1&a=2").await;
    assert_eq!(look(&server, "/b.css?a=2&b=1").await.0, "HIT");
    call(&server, "PATCH", "settings/cache_level", r#"{"value":"basic"}"#).await;
    assert_eq!(look(&server, "/b.css?a=2&b=1").await.0, "DYNAMIC");
    call(&server, "PATCH", "settings/cache_level", r#"{"value":"simplified"}"#).await;
    look(&server, "/c.css?1").await;
    assert_eq!(look(&server, "/c.css?2").await.0, "HIT");
}

#[tokio::test]
async fn a_purge_of_an_environment_does_not_affect_others() {
    let origin = TestOrigin::start(|_| cacheable("a")).await;
    let server = start(&origin.url, |edge| edge).await;
    let staging = || async {
        let url = format!("{}/a.css", server.edge_url().unwrap());
        let request = Request::get("/").header("host", "www.example.com");
        header(&send(url, request.header("cookie", "cf_env=staging"), "").await, "cf-cache-status")
    };
    for _ in 0..2 {
        staging().await;
        look(&server, "/a.css").await;
    }
    assert_eq!((staging().await.as_str(), look(&server, "/a.css").await.0.as_str()), ("HIT", "HIT"));
    let environment = server.objects().into_iter().find_map(|object| object.environment).unwrap();
    let everything = r#"{"purge_everything":true}"#;
    call(&server, "POST", &format!("environments/{environment}/purge_cache"), everything).await;
    assert_eq!((look(&server, "/a.css").await.0.as_str(), staging().await.as_str()), ("HIT", "MISS"));
    // The id of Production purges everything in production.
    let production = &Zone::example().environments[0];
    assert_eq!((production.name.as_str(), production.expression.as_str()), ("Production", ""));
    call(&server, "POST", &format!("environments/{}/purge_cache", production.id), everything).await;
    assert_eq!((look(&server, "/a.css").await.0.as_str(), staging().await.as_str()), ("MISS", "HIT"));
    // Everything in the zone includes all environments.
    purge(&server, everything).await;
    assert_eq!((look(&server, "/a.css").await.0.as_str(), staging().await.as_str()), ("MISS", "MISS"));
}

#[tokio::test]
async fn an_invalidated_object_is_revalidated() {
    let folder = Folder::new("invalidate");
    folder.write("app.css", "one");
    let server = start(&folder.origin(), |edge| edge).await;
    look(&server, "/app.css").await;
    call(&server, "POST", "invalidate_cache", r#"{"hosts":["www.example.com"]}"#).await;
    is(&look(&server, "/app.css").await, "REVALIDATED", "one");
    is(&look(&server, "/app.css").await, "HIT", "one");
    folder.write("app.css", "another");
    call(&server, "POST", "invalidate_cache", r#"{"purge_everything":true}"#).await;
    is(&look(&server, "/app.css").await, "EXPIRED", "another");
    is(&look(&server, "/app.css").await, "HIT", "another");
}

#[tokio::test]
async fn purges_by_tag_and_prefix_remove_covered_objects() {
    let origin = TestOrigin::start(|request| {
        let mut response = cacheable("a");
        let tag = format!("all, Page-{}", request.uri().path().len());
        response.headers_mut().insert("cache-tag", tag.parse().unwrap());
        response
    })
    .await;
    let server = start(&origin.url, |edge| edge).await;
    for path in ["/a.css", "/bb.css", "/d/c.css", "/dd/c.css"] {
        let response = visit(&server, path).await;
        assert!(!response.headers().contains_key("cache-tag"));
        response.into_body().collect().await.unwrap();
    }
    let urls = || server.objects().into_iter().map(|object| object.url).collect::<Vec<_>>();
    assert_eq!(urls().len(), 4);
    purge(&server, r#"{"tags":["PAGE-6"]}"#).await;
    assert_eq!(urls().len(), 3);
    purge(&server, r#"{"prefixes":["www.example.com/d"]}"#).await;
    assert_eq!(urls(), ["https://www.example.com/bb.css", "https://www.example.com/dd/c.css"]);
    purge(&server, r#"{"tags":["all"]}"#).await;
    assert!(urls().is_empty());
}
