//! The HTTP client, tested with a minimal server.

use core::task::{Context, Poll};
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cfcache_model::endpoint::Action;
use cfcache_probe::{
    Expectation, GateSettings, Limits, Passage, Sha256, UrlToVerify, Variant, Verdict, Verification,
    VerifyEvent, VerifySettings, VisitRequest, Visitor, probe, verify, wait_at_gate, warm,
};
use futures_core::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Answers each request with the result of `answer` for its head, and records the heads.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&heads), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut received = Vec::new();
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                        received.extend_from_slice(&buffer[..count]);
                        if !received.starts_with(b"GET ") {
                            // Bytes that are not HTTP get an error, as from usual servers, and the connection is
                            // closed.
                            let _gone = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                            return;
                        }
                        if received.ends_with(b"\r\n\r\n") {
                            let head = String::from_utf8(core::mem::take(&mut received)).unwrap();
                            let answer = answer(&head);
                            kept.lock().unwrap().push(head);
                            if socket.write_all(answer.as_bytes()).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {headers}content-length: {}\r\n\r\n{body}", body.len())
}

const HIT: &str = "200 OK\r\ncf-cache-status: HIT\r\nage: 3\r\ncf-ray: 8f3a1b2c3d4e5f60-FRA\r\n";

/// A stream of one item.
struct Once(Option<Vec<VisitRequest>>);

impl Stream for Once {
    type Item = Vec<VisitRequest>;

    fn poll_next(
        mut self: core::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Vec<VisitRequest>>> {
        Poll::Ready(self.0.take())
    }
}

fn visitor() -> Visitor {
    Visitor::builder("cfcache-test/1").build()
}

#[tokio::test]
async fn a_visit_is_a_plain_get_with_a_hashed_body() {
    let server = Server::start(|_| answer(HIT, "foo")).await;
    let visit = visitor().visit(&server.url("/a?b=c"), &[]).await.unwrap();
    let expected = format!(
        "GET /a?b=c HTTP/1.1\r\naccept: */*\r\nuser-agent: cfcache-test/1\r\nhost: {}\r\n\r\n",
        server.address
    );
    assert_eq!(server.heads(), [expected]);
    let foo = Sha256::from_hex("2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae");
    assert_eq!((visit.answer.body.bytes, visit.answer.body.sha256), (3, foo));
    assert_eq!((visit.answer.age, visit.answer.colo()), (Some(3), Some("FRA")));
}

#[tokio::test]
async fn does_not_follow_redirects() {
    let server = Server::start(|_| answer("302 Found\r\nlocation: /login\r\ncf-ray: a-FRA\r\n", "")).await;
    let visit = visitor().visit(&server.url("/"), &[]).await.unwrap();
    assert_eq!((visit.answer.status, visit.answer.location.as_deref()), (302, Some("/login")));
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn an_incomplete_body_has_no_hash() {
    let server =
        Server::start(|_| format!("HTTP/1.1 {HIT}content-length: 10\r\nconnection: close\r\n\r\nfoo")).await;
    // The connection stays open, so the timeout ends the request.
    let visitor = Visitor::builder("t").with_timeout(Duration::from_millis(200)).build();
    let visit = visitor.visit(&server.url("/"), &[]).await.unwrap();
    assert_eq!((visit.answer.age, visit.answer.body.sha256), (Some(3), None));
    assert!(visit.broken.is_some());
}

/// A handshake can fail because the server is overloaded. Its answer without TLS says nothing about the page.
#[tokio::test]
async fn an_error_without_tls_does_not_hide_a_failed_handshake() {
    let bad_request = answer("400 Bad Request\r\nserver: nginx\r\n", "");
    for (second, after) in [(bad_request, ""), ("no HTTP\r\n\r\n".to_owned(), "; without TLS: ")] {
        let server = Server::start(move |_| second.clone()).await;
        let visitor = Visitor::builder("t").with_connect_to("127.0.0.1", server.address.port()).build();
        for _ in 0..2 {
            let error = visitor.visit("https://www.example.com/a", &[]).await.unwrap_err().to_string();
            assert!(error.contains("does not speak TLS") && error.contains(after), "{error}");
        }
        // Each request tried TLS first.
        assert_eq!(server.heads().len(), 2);
    }
}

#[tokio::test]
async fn recognizes_error_pages_of_the_edge() {
    let server = Server::start(|_| answer("403 Forbidden\r\ncf-ray: a-FRA\r\n", "error code: 1020")).await;
    let visit = visitor().visit(&server.url("/"), &[]).await.unwrap();
    assert_eq!(visit.answer.body.edge_error, Some(1020));
}

#[tokio::test]
async fn a_missing_answer_is_explained_without_secrets() {
    // A port that was bound and released: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = visitor().visit(&format!("http://{address}/"), &[]).await.unwrap_err();
    assert!(error.to_string().contains(&format!("`{address}` refused the connection")), "{error}");
    let error = visitor().visit("https://user:s3cret@www.example.com/", &[]).await.unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn connects_without_tls_to_a_local_address_that_lacks_it() {
    let server = Server::start(|_| answer(HIT, "x")).await;
    let visitor = Visitor::builder("t")
        .with_connect_to("127.0.0.1", server.address.port())
        .with_header("cf-access-client-secret".parse().unwrap(), "s3cret".parse().unwrap())
        .build();
    for _ in 0..2 {
        visitor.visit("https://www.example.com/a", &[]).await.unwrap();
    }
    let heads = server.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| head.contains("\r\nhost: www.example.com\r\n")), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("\r\ncf-access-client-secret: s3cret\r\n")), "{heads:?}");
}

/// The handshake of the second request begins before the first request is answered without TLS, and fails after that.
#[tokio::test]
async fn every_concurrent_handshake_that_fails_is_followed_by_a_request_without_tls() {
    const NO_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (begin_second, second_begins) = tokio::sync::oneshot::channel();
    let (end_first, first_ended) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let accept = async || {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut received = [0; 4096];
            assert!(socket.read(&mut received).await.unwrap() > 0);
            socket
        };
        accept().await.write_all(NO_TLS).await.unwrap();
        let mut first = accept().await;
        begin_second.send(()).unwrap();
        let mut second = accept().await;
        first.write_all(answer(&format!("{HIT}connection: close\r\n"), "x").as_bytes()).await.unwrap();
        drop(first);
        first_ended.await.unwrap();
        second.write_all(NO_TLS).await.unwrap();
        drop(second);
        accept().await.write_all(answer(HIT, "x").as_bytes()).await.unwrap();
    });
    let visitor = Visitor::builder("t").with_connect_to("127.0.0.1", port).build();
    let first = async {
        let visit = visitor.visit("https://www.example.com/a", &[]).await;
        end_first.send(()).unwrap();
        visit.unwrap()
    };
    let second = async {
        second_begins.await.unwrap();
        visitor.visit("https://www.example.com/b", &[]).await.unwrap()
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.answer.status, second.answer.status), (200, 200));
}

#[tokio::test]
async fn probe_requests_each_url_once_in_order() {
    let server = Server::start(|head| {
        let path = head.split(' ').nth(1).unwrap();
        answer(HIT, path)
    })
    .await;
    let targets = (0..1000).map(|number| VisitRequest::new(server.url(&format!("/{number}")))).collect();
    let mut given = Vec::new();
    let limits = Limits::new(4, None);
    let visitor = Arc::new(visitor());
    let whole = probe(
        &visitor,
        limits,
        Once(Some(targets)),
        &mut |target, visited| {
            assert!(visited.is_ok(), "{visited:?}");
            given.push(target.url.clone());
        },
        core::future::pending(),
    )
    .await;
    assert!(whole);
    let wanted: Vec<_> = (0..1000).map(|number| server.url(&format!("/{number}"))).collect();
    assert_eq!(given, wanted);
    assert_eq!(server.heads().len(), 1000);
}

#[tokio::test]
async fn warm_fetches_each_url_for_each_variant() {
    let server = Server::start(|_| answer("200 OK\r\ncf-cache-status: MISS\r\ncf-ray: a-FRA\r\n", "x")).await;
    let targets = vec![VisitRequest::new(server.url("/a"))];
    let mut given = Vec::new();
    let variants = [Variant::Plain, Variant::Mobile, Variant::Avif];
    let limits = Limits::new(2, None);
    warm(
        &Arc::new(visitor()),
        limits,
        false,
        &variants,
        Once(Some(targets)),
        &mut |_, variant, warmed| {
            assert!(warmed.is_warm());
            given.push(variant);
        },
        core::future::pending(),
    )
    .await;
    given.sort();
    assert_eq!(given, variants);
    let heads = server.heads().concat();
    assert!(heads.contains("iPhone") && heads.contains("accept: image/avif"), "{heads}");
}

#[tokio::test]
async fn a_gate_with_unique_queries_opens_for_the_new_version() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let server = Server::start(move |_| {
        let mut asked = counted.lock().unwrap();
        *asked += 1;
        answer(HIT, if *asked > 2 { "build 2" } else { "build 1" })
    })
    .await;
    let expectation: Expectation = format!("{} contains build 2", server.url("/v")).parse().unwrap();
    let mut settings = GateSettings::new();
    settings.every = Duration::from_millis(5);
    let passage =
        wait_at_gate(&visitor(), &expectation, settings, Some(7), &mut |_| (), core::future::pending()).await;
    assert_eq!(passage, Passage::Open { asked: 5 });
    let mut paths: Vec<_> =
        server.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert!(paths.iter().all(|path| path.starts_with("/v?cfcache-after=7-")), "{paths:?}");
    paths.dedup();
    assert_eq!(paths.len(), 5);
}

#[tokio::test]
async fn secrets_of_extra_headers_are_blanked_where_a_server_repeats_them() {
    let server = Server::start(|_| {
        answer("302 Found\r\nlocation: /login?t=token-0123456789&x=1\r\netag: \"1\"\r\n", "")
    })
    .await;
    let visitor = Visitor::builder("t")
        .with_header("authorization".parse().unwrap(), "Bearer token-0123456789".parse().unwrap())
        .with_header("x-test".parse().unwrap(), "1".parse().unwrap())
        .build();
    let visit = visitor.visit(&server.url("/a"), &[]).await.unwrap();
    assert_eq!(visit.answer.location.as_deref(), Some("/login?t=[secret]&x=1"));
    assert_eq!(visit.headers["location"], "/login?t=[secret]&x=1");
    assert_eq!(visit.headers["etag"], "\"1\"");
}

#[tokio::test]
async fn verify_reports_each_url_of_a_host_that_demands_a_long_wait() {
    let server = Server::start(|_| {
        answer("429 Too Many Requests\r\ncf-ray: 8f3a1b2c3d4e5f60-FRA\r\nretry-after: 86400\r\n", "")
    })
    .await;
    let visitor = Arc::new(visitor());
    // More than are open at once.
    const URLS: usize = 5000;
    let mut verification = Verification::new(VerifySettings::new(Action::Purge));
    let mut left = (0..URLS).map(|number| {
        let url = UrlToVerify::new(server.address.to_string(), Duration::ZERO);
        (url, VisitRequest::new(server.url(&format!("/{number}"))))
    });
    let mut decided = vec![0; URLS];
    let whole = verify(
        &visitor,
        &mut verification,
        &mut || left.next(),
        Instant::now(),
        &mut |_| async { Ok(()) },
        &mut |event| {
            if let VerifyEvent::Decided(url) = event {
                assert!(matches!(url.verdict, Verdict::Unproven(_)), "{url:?}");
                decided[url.url] += 1;
            }
        },
        core::future::pending(),
    )
    .await;
    assert!(
        whole && decided.iter().all(|times| *times == 1),
        "{:?}",
        decided.iter().position(|times| *times != 1)
    );
    assert_eq!(verification.counts().unproven, URLS as u64);
}
