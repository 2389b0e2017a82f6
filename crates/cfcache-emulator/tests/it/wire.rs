//! Behavior that only a socket can show.

use core::time::Duration;
use std::io::ErrorKind;

use bytes::Bytes;
use cfcache_emulator::{Config, Emulator, Server};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{TOKEN, ZONE, unlimited};

const BODY: &str = r#"{"tags":["a-cache-tag"]}"#;

async fn start(config: Config) -> Server {
    Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn faulty(faults: &[&str]) -> Server {
    let faults = faults.iter().map(|text| text.parse().unwrap());
    start(faults.fold(unlimited(), Config::with_fault)).await
}

async fn connect(running: &Server) -> TcpStream {
    TcpStream::connect(running.address()).await.unwrap()
}

/// A purge request in HTTP/1.1.
fn purge() -> String {
    let length = BODY.len();
    format!(
        "POST /client/v4/zones/{ZONE}/purge_cache HTTP/1.1\r\nhost: emulator\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {length}\r\n\r\n{BODY}"
    )
}

/// A received answer.
#[derive(Debug)]
struct Reply {
    head: String,
    body: Vec<u8>,
    /// The error that ended it early, if any.
    end: Option<ErrorKind>,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Reads one answer. A connection that is closed early gives `UnexpectedEof`.
async fn reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let end = match stream.read(&mut piece).await {
            Ok(0) => Some(ErrorKind::UnexpectedEof),
            Ok(count) => {
                bytes.extend_from_slice(&piece[..count]);
                None
            }
            Err(error) => Some(error.kind()),
        };
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let head = split.map(|at| String::from_utf8(bytes[..at].to_vec()).unwrap().to_lowercase());
        let body = split.map(|at| bytes[at + 4..].to_vec()).unwrap_or_default();
        let promised: Option<usize> = head.as_ref().and_then(|head| {
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            line.map(|length| length.parse().unwrap())
        });
        if end.is_some() || (head.is_some() && body.len() >= promised.unwrap_or(0)) {
            return Reply { head: head.unwrap_or_default(), body, end };
        }
    }
}

/// Sends one purge on a new connection.
async fn purge_once(running: &Server) -> Reply {
    let mut stream = connect(running).await;
    stream.write_all(purge().as_bytes()).await.unwrap();
    timeout(Duration::from_secs(10), reply(&mut stream)).await.unwrap()
}

async fn h2(running: &Server) -> SendRequest<Full<Bytes>> {
    let stream = connect(running).await;
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn h2_purge(running: &Server) -> http::Request<Full<Bytes>> {
    http::Request::post(format!("{}/zones/{ZONE}/purge_cache", running.base_url()))
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Full::from(BODY))
        .unwrap()
}

#[tokio::test]
async fn edge_errors_are_problem_details() {
    let json = "accept: application/json\r\nhost:";
    for (fault, status, retry_after) in [
        ("edge=1015", 429, Some(30)),
        ("edge=1015,retry-after=2", 429, Some(2)),
        ("edge=1020", 403, None),
        ("edge=1033", 530, Some(120)),
        ("edge=504", 504, Some(60)),
        ("edge=526", 526, None),
        ("edge=1005,status=451", 451, Some(120)),
    ] {
        let running = faulty(&[fault]).await;
        let mut stream = connect(&running).await;
        stream.write_all(purge().replacen("host:", json, 1).as_bytes()).await.unwrap();
        let reply = reply(&mut stream).await;
        assert_eq!(reply.status(), status, "{fault}");
        assert!(reply.head.contains("content-type: application/problem+json"), "{}", reply.head);
        let body = reply.json().unwrap();
        for name in ["type", "title", "status", "detail", "instance", "error_category"] {
            assert!(!body[name].is_null(), "{fault}: {name}");
        }
        assert_eq!(body["status"], status, "{fault}");
        assert_eq!(body["retry_after"].as_u64(), retry_after, "{fault}");
        let header = retry_after.map(|seconds| format!("\r\nretry-after: {seconds}\r\n"));
        let is_told = |header: String| format!("{}\r\n", reply.head).contains(&header);
        assert!(header.map_or(!reply.head.contains("retry-after"), is_told), "{fault}: {}", reply.head);
        assert_eq!(running.log().counts().processed, 0);
        // A client that does not ask for JSON gets a page.
        let page = purge_once(&running).await;
        assert_eq!((page.status(), page.json()), (status, None), "{fault}");
    }
}

#[tokio::test]
async fn serves_many_requests_on_one_connection() {
    let running = start(unlimited()).await;
    assert_eq!(running.base_url(), format!("http://{}/client/v4", running.address()));
    let mut stream = connect(&running).await;
    for number in 1..=3 {
        stream.write_all(purge().as_bytes()).await.unwrap();
        let reply = reply(&mut stream).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.json().unwrap()["result"], json!({ "id": ZONE }));
        assert!(reply.head.contains("\r\ndate: "), "{}", reply.head);
        assert!(reply.head.contains(&format!("\r\ncf-ray: 8f3a00000000000{number}-lhr")), "{}", reply.head);
    }
    let entries = running.log().entries();
    assert!(entries.iter().all(|entry| entry.connection == 1 && entry.processed));
    assert_eq!(entries[2].version, http::Version::HTTP_11);
    assert_eq!(entries[2].body, BODY);
    assert_eq!(entries[2].endpoint, Some("purge_zone_cache"));
    assert_eq!(entries[2].headers["authorization"], "[not kept]");
    assert_eq!((running.log().counts().connections, running.log().counts().requests), (1, 3));
    assert_eq!(running.purges().len(), 3);
}

#[tokio::test]
async fn accepts_http_2_with_prior_knowledge() {
    let running = start(unlimited()).await;
    let mut sender = h2(&running).await;
    let answers: Vec<_> = (0..20).map(|_| sender.send_request(h2_purge(&running))).collect();
    for answer in answers {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["success"], true);
    }
    let entries = running.log().entries();
    assert_eq!(entries.len(), 20);
    assert!(entries.iter().all(|entry| entry.version == http::Version::HTTP_2 && entry.connection == 1));
    running.stop().await;
}

#[tokio::test]
async fn resets_connections() {
    // The fault, whether the request took effect, and how much of an answer arrived.
    let rows = [
        ("reset-before", false, None),
        ("reset-after", true, None),
        ("reset-mid", true, Some(46)),
        ("reset-mid=10", true, Some(10)),
        ("reset-mid=0", true, Some(0)),
        ("reset-mid=1000", true, Some(92)),
    ];
    for (fault, processed, body) in rows {
        let running = faulty(&[&format!("{fault},times=1")]).await;
        let broken = purge_once(&running).await;
        assert_eq!(broken.end, Some(ErrorKind::ConnectionReset), "{fault}: {broken:?}");
        assert_eq!(broken.status(), if body.is_some() { 200 } else { 0 }, "{fault}");
        assert_eq!(broken.body.len(), body.unwrap_or(0), "{fault}");

        let entry = &running.log().entries()[0];
        assert_eq!(entry.processed, processed, "{fault}");
        assert_eq!(entry.status, body.map(|_| 200), "{fault}");
        assert_eq!(entry.fault.as_deref(), Some(format!("{fault},times=1").as_str()));
        assert_eq!(running.purges().len(), usize::from(processed), "{fault}");
        assert_eq!(purge_once(&running).await.status(), 200, "{fault}");
    }
}

#[tokio::test]
async fn sends_damaged_answers() {
    let rows: &[(&str, u16, Option<Value>, bool)] = &[
        ("status=503", 503, Some(json!([])), false),
        ("status=429", 429, Some(json!([1134])), false),
        ("status=400,code=1016", 400, Some(json!([1016])), false),
        ("status=200,processed=yes", 200, Some(json!([])), true),
        ("success-false", 200, Some(json!([])), false),
        ("success-false,code=1134", 200, Some(json!([1134])), false),
        ("status=500,body=oops, sorry", 500, None, false),
        ("malformed", 200, None, true),
        ("malformed,processed=no", 503, None, false),
        ("html", 502, None, false),
        ("html,status=520", 520, None, false),
        ("empty", 200, None, true),
        ("empty,status=204", 204, None, true),
        ("empty,status=403,processed=no", 403, None, false),
    ];
    for (fault, status, codes, processed) in rows {
        let running = faulty(&[fault]).await;
        let reply = purge_once(&running).await;
        assert_eq!((reply.status(), reply.end), (*status, None), "{fault}: {reply:?}");
        assert!(reply.head.contains("cf-ray: "), "{fault}");
        let found = reply.json().map(|body| {
            assert_eq!(body["success"], false, "{fault}");
            body["errors"].as_array().unwrap().iter().map(|error| error["code"].clone()).collect::<Value>()
        });
        assert_eq!(found, *codes, "{fault}: {:?}", String::from_utf8_lossy(&reply.body));
        assert_eq!(reply.body.is_empty(), fault.starts_with("empty"), "{fault}");
        let entry = &running.log().entries()[0];
        assert_eq!((entry.processed, entry.status), (*processed, Some(*status)), "{fault}");
    }
}

#[tokio::test]
async fn truncates_answers() {
    for (fault, length) in [("truncate", 46), ("truncate=1", 1)] {
        let running = faulty(&[fault]).await;
        let reply = purge_once(&running).await;
        assert_eq!((reply.status(), reply.body.len()), (200, length), "{fault}");
        assert!(reply.head.contains("content-length: 93"));
        assert_eq!(reply.end, Some(ErrorKind::UnexpectedEof), "{fault}");

        // On HTTP/2 only the stream is reset, and the connection continues.
        let mut sender = h2(&running).await;
        for _ in 0..2 {
            sender.ready().await.unwrap();
            let answer = sender.send_request(h2_purge(&running)).await.unwrap();
            assert!(answer.into_body().collect().await.is_err(), "{fault}");
        }
        assert_eq!(running.log().counts().connections, 2);
        assert_eq!(running.log().counts().processed, 3);
    }
}

#[tokio::test]
async fn goaway_closes_the_connection_after_the_answer() {
    let running = faulty(&["goaway,times=1"]).await;
    let mut stream = connect(&running).await;
    stream.write_all(purge().as_bytes()).await.unwrap();
    let first = reply(&mut stream).await;
    assert_eq!(first.status(), 200);
    assert!(first.head.contains("connection: close"), "{}", first.head);
    assert_eq!(reply(&mut stream).await.end, Some(ErrorKind::UnexpectedEof));

    let running = faulty(&["goaway,at=2"]).await;
    let mut sender = h2(&running).await;
    for _ in 0..2 {
        sender.ready().await.unwrap();
        assert_eq!(sender.send_request(h2_purge(&running)).await.unwrap().status(), 200);
    }
    let end = async { while sender.ready().await.is_ok() {} };
    timeout(Duration::from_secs(5), end).await.unwrap();
    assert_eq!(running.log().counts().processed, 2);
}

#[tokio::test]
async fn a_reset_affects_all_requests_on_the_connection() {
    let running = faulty(&["delay=10s,times=1", "reset-after,times=1"]).await;
    let mut sender = h2(&running).await;
    let slow = sender.send_request(h2_purge(&running));
    let reset = sender.send_request(h2_purge(&running));
    let (slow, reset) = timeout(Duration::from_secs(5), async { (slow.await, reset.await) }).await.unwrap();
    assert!(slow.is_err() && reset.is_err());
    // Both took effect, although the client got no answer.
    assert_eq!(running.log().counts().processed, 2);
}

#[tokio::test]
async fn delays_answers() {
    let wait = Duration::from_millis(200);
    for fault in ["delay=200ms", "slow=200ms", "status=503,delay=200ms", "reset-after,delay=200ms"] {
        let running = faulty(&[fault]).await;
        let begun = Instant::now();
        let reply = purge_once(&running).await;
        assert!(begun.elapsed() >= wait, "{fault}");
        if !fault.starts_with("status") && !fault.starts_with("reset") {
            assert_eq!(reply.json().unwrap()["success"], true, "{fault}");
        }
    }
    let running = start(unlimited().with_latency(wait)).await;
    let begun = Instant::now();
    assert_eq!(purge_once(&running).await.status(), 200);
    assert!(begun.elapsed() >= wait);
}

#[tokio::test]
async fn stall_sends_no_answer() {
    for (fault, processed) in [("stall", false), ("stall,processed=yes", true)] {
        let running = faulty(&[fault]).await;
        let mut stream = connect(&running).await;
        stream.write_all(purge().as_bytes()).await.unwrap();
        let mut byte = [0];
        assert!(timeout(Duration::from_millis(200), stream.read(&mut byte)).await.is_err(), "{fault}");
        let entry = &running.log().entries()[0];
        assert_eq!((entry.processed, entry.status), (processed, None), "{fault}");
        // Stopping does not wait forever.
        timeout(Duration::from_secs(5), running.stop()).await.unwrap();
        assert!(matches!(stream.read(&mut byte).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn applies_faults_in_order_to_selected_requests() {
    let running = faulty(&["status=503,times=2", "html,at=2", "status=429,on=list_zones"]).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(purge_once(&running).await.status());
    }
    // The page is for the second of the requests that the first fault did not affect.
    assert_eq!(statuses, [503, 503, 200, 502, 200]);
    let mut stream = connect(&running).await;
    let list = "GET /client/v4/zones HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\n\r\n";
    stream.write_all(list.as_bytes()).await.unwrap();
    let reply = reply(&mut stream).await;
    assert_eq!(reply.status(), 429);
    assert_eq!(reply.json().unwrap()["errors"][0]["code"], 971);
    assert_eq!(running.log().counts().faulted, 4);
}

#[tokio::test]
async fn stop_finishes_requests_in_progress() {
    let running = start(unlimited().with_latency(Duration::from_millis(300))).await;
    let address = running.address();
    let mut idle = connect(&running).await;
    let mut silent = connect(&running).await;
    idle.write_all(purge().as_bytes()).await.unwrap();
    assert_eq!(reply(&mut idle).await.status(), 200);
    let mut busy = connect(&running).await;
    busy.write_all(purge().as_bytes()).await.unwrap();
    let log = running.log();
    while log.counts().requests < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (stopped, last) = tokio::join!(timeout(Duration::from_secs(5), running.stop()), reply(&mut busy));
    stopped.unwrap();
    assert_eq!(last.status(), 200);
    let mut byte = [0];
    assert!(matches!(idle.read(&mut byte).await, Ok(0) | Err(_)));
    assert!(matches!(silent.read(&mut byte).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn drop_stops_immediately() {
    let running = faulty(&["stall"]).await;
    let mut stream = connect(&running).await;
    stream.write_all(purge().as_bytes()).await.unwrap();
    let log = running.log();
    while log.counts().requests < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(running);
    let mut byte = [0];
    let end = timeout(Duration::from_millis(500), stream.read(&mut byte)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn survives_garbage() {
    let running = start(unlimited()).await;
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20));
    let many = "x: y\r\n".repeat(10_000);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let rows: Vec<Vec<u8>> = vec![
        b"".into(),
        b"\r\n\r\n".into(),
        b"hello\r\n\r\n".into(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".into(),
        (0..=255).collect(),
        vec![0; 100_000],
        long.into_bytes(),
        format!("GET / HTTP/1.1\r\n{many}\r\n").into_bytes(),
        b"POST /client/v4/zones HTTP/1.1\r\ncontent-length: -1\r\n\r\n".into(),
        b"POST /client/v4/zones HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".into(),
        preface.into(),
        [preface.as_slice(), &[0xff; 100]].concat(),
    ];
    for bytes in rows {
        let mut stream = connect(&running).await;
        // The server may close the connection early.
        drop(stream.write_all(&bytes).await);
        drop(stream.shutdown().await);
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
        assert_eq!(purge_once(&running).await.status(), 200);
    }
    running.stop().await;
}

#[tokio::test]
async fn refuses_bodies_above_the_limit() {
    let running = start(unlimited()).await;
    let head = format!(
        "POST /client/v4/zones/{ZONE}/purge_cache HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\n"
    );
    let mut promised = connect(&running).await;
    promised.write_all(format!("{head}content-length: 16777217\r\n\r\n").as_bytes()).await.unwrap();
    let refusal = reply(&mut promised).await;
    assert_eq!(refusal.status(), 413);
    assert!(refusal.head.contains("\r\ncf-ray: "), "{}", refusal.head);

    let (mut read, mut write) = connect(&running).await.into_split();
    write.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let sending = async {
        let mut chunk = b"100000\r\n".to_vec();
        chunk.resize(chunk.len() + 0x10_0000, b' ');
        chunk.extend(b"\r\n");
        // The server may close the connection early.
        for _ in 0..17 {
            if write.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    let reading = async {
        let mut head = [0; 12];
        read.read_exact(&mut head).await.map(|_| head)
    };
    let ((), head) =
        timeout(Duration::from_secs(20), async { tokio::join!(sending, reading) }).await.unwrap();
    assert_eq!(&head.unwrap(), b"HTTP/1.1 413");
    assert!(running.log().entries().iter().all(|entry| !entry.processed && entry.status == Some(413)));
}

#[tokio::test]
async fn an_incomplete_body_has_no_effect() {
    let running = start(unlimited()).await;
    let mut stream = connect(&running).await;
    let text = purge();
    stream.write_all(&text.as_bytes()[..text.len() - 5]).await.unwrap();
    drop(stream);
    while running.log().counts().requests < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let entry = &running.log().entries()[0];
    assert_eq!((entry.processed, entry.status), (false, None));
    assert!(running.purges().is_empty());
}

#[tokio::test]
async fn keeps_the_configured_number_of_log_entries() {
    for (most, kept) in [(usize::MAX, 5), (2, 2), (0, 0)] {
        let running = start(unlimited().with_max_log_entries(most)).await;
        for _ in 0..5 {
            assert_eq!(purge_once(&running).await.status(), 200);
        }
        let log = running.log();
        assert_eq!((log.entries().len(), running.purges().len()), (kept, kept), "{most}");
        let counts = log.counts();
        assert_eq!((counts.connections, counts.requests, counts.processed, counts.items), (5, 5, 5, 5));
        if let Some(last) = log.entries().last() {
            assert_eq!(last.connection, 5);
        }
        log.clear();
        assert_eq!((log.counts().requests, log.entries().len()), (0, 0));
    }
}

#[tokio::test]
async fn refuses_a_port_in_use() {
    let running = start(unlimited()).await;
    let error = Emulator::start(unlimited(), running.address()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: ", running.address())), "{error}");
}
