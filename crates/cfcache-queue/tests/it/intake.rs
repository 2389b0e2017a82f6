//! The intake over real sockets: its answers, the stored requests, and its limits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cfcache_app::log::{LogFormat, Logger};
use cfcache_queue::intake::sources::IntakeSources;
use cfcache_queue::intake::{Intake, MAX_BODY_BYTES, PATH};
use cfcache_queue::metrics::Metrics;
use cfcache_queue::{SqliteStore, Store};
use ring::hmac;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::http::{HttpAnswer, post, read, send};
use crate::memory::{MemoryStore, Mode};

const SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS1zaWduZXItMTIzNDU2Nzg5";
const BEARER: &str = "a-fixed-secret-of-strapi";
const JSON: (&str, &str) = ("content-type", "application/json");
const BODY: &[u8] = br#"{"zone":"example.com","urls":["https://example.com/a"]}"#;
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A listening intake with a store in memory. Dropping it stops it.
pub(crate) struct TestIntake {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) metrics: Arc<Metrics>,
    folder: PathBuf,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl TestIntake {
    /// Starts with the sources of a file. FOLDER stands for a folder with the secrets `signer` and `bearer`.
    pub(crate) async fn start(name: &str, toml: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("cfcache-intake-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("signer"), SECRET).unwrap();
        std::fs::write(folder.join("bearer"), BEARER).unwrap();
        let settings: BTreeMap<_, _> =
            toml::from_str(&toml.replace("FOLDER", folder.to_str().unwrap())).unwrap();
        let sources =
            if settings.is_empty() { IntakeSources::local() } else { IntakeSources::open(&settings) };
        let (store, metrics) = (Arc::new(MemoryStore::default()), Arc::new(Metrics::new()));
        let intake = Arc::new(Intake::new(sources.unwrap(), Arc::clone(&store) as _, Arc::clone(&metrics)));
        let listeners = intake.listen(LOOPBACK).await.unwrap();
        let address = listeners.address().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(intake.serve(listeners, stopped));
        Self { address, store, metrics, folder, stop, serving }
    }

    pub(crate) async fn with_signature_and_bearer(name: &str) -> Self {
        let toml = "[signer]\nauth = 'standard-webhooks'\nsecret-files = ['FOLDER/signer']\nzones = ['example.com']\n\
                    [strapi]\nauth = 'bearer'\nsecret-files = ['FOLDER/bearer']\nzones = ['*']\nrate = 10\n";
        Self::start(name, toml).await
    }

    async fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> HttpAnswer {
        send(self.address, &post(PATH, headers, body)).await.unwrap()
    }

    fn has_metric(&self, line: &str) -> bool {
        let text = self.metrics.encode(None);
        text.lines().any(|found| found == line)
    }
}

impl Drop for TestIntake {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[expect(clippy::disallowed_methods, reason = "the timestamp of a signature must be close to now")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Returns the headers of a message that is signed at that time.
fn signed(id: &str, timestamp: u64, body: &[u8]) -> Vec<(&'static str, String)> {
    let secret = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let content = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let signature = BASE64_STANDARD.encode(hmac::sign(&key, &content));
    vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", format!("v1,{signature}")),
    ]
}

async fn post_signed(intake: &TestIntake, headers: &[(&'static str, String)], body: &[u8]) -> HttpAnswer {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    intake.post(&headers, body).await
}

#[tokio::test]
async fn stores_accepted_requests() {
    let intake = TestIntake::start("accepted", "").await;
    let answer = intake.post(&[JSON], BODY).await;
    assert_eq!((answer.status, answer.json()), (202, json!({"accepted": 1})));
    assert_eq!(intake.store.keys(), ["files https://example.com/a"]);
    assert!(intake.has_metric("cfcache_queue_requests_total{source=\"local\",kind=\"files\"} 1"));
    let body = br#"{"zone":"example.com","urls":["https://example.com/*"],"tags":["a","b"]}"#;
    let answer = intake.post(&[JSON], body).await;
    assert_eq!(answer.json()["accepted"], 3);
    assert_eq!(answer.json()["warnings"][0]["at"], "urls[0]");
}

#[tokio::test]
async fn lists_every_problem_and_stores_nothing() {
    let intake = TestIntake::start("wrong", "").await;
    let body = json!({"zone": "example.com", "urls": ["https://example.com/ok", "no", "https://example.com/a b"], "x": 1});
    let answer = intake.post(&[JSON], body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 400);
    let items = answer.json()["items"].clone();
    let places: Vec<&str> =
        items.as_array().unwrap().iter().map(|item| item["at"].as_str().unwrap()).collect();
    assert_eq!(places, ["x", "urls[1]", "urls[2]"]);
    assert_eq!(answer.json()["error"], "3 entries or fields are not valid; nothing was stored");
    let everything = br#"{"zone":"example.com","everything":true}"#;
    assert_eq!(intake.post(&[JSON], everything).await.status, 403);
    assert!(intake.store.keys().is_empty());
    assert!(intake.has_metric("cfcache_queue_rejected_total{source=\"local\",reason=\"invalid\"} 1"));
    assert!(intake.has_metric("cfcache_queue_rejected_total{source=\"local\",reason=\"forbidden\"} 1"));
}

#[tokio::test]
async fn refuses_other_paths_methods_and_media_types() {
    let intake = TestIntake::start("routes", "").await;
    for (bytes, status, header) in [
        (post("/", &[JSON], BODY), 404, None),
        (post("/v1/requests/", &[JSON], BODY), 404, None),
        (post("/v1/requests/../../etc/passwd", &[JSON], BODY), 404, None),
        (
            b"GET /v1/requests HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec(),
            405,
            Some("allow"),
        ),
        (
            b"PUT /v1/requests HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec(),
            405,
            Some("allow"),
        ),
        (b"POST /v1/requests HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_vec(), 411, None),
        (post(PATH, &[("content-type", "text/plain")], BODY), 415, None),
        (post(PATH, &[], BODY), 415, None),
        (post(&format!("{PATH}?x=1"), &[JSON], BODY), 400, None),
    ] {
        let answer = send(intake.address, &bytes).await.unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["error"].is_string());
        assert!(header.is_none_or(|name| answer.header(name).is_some()), "{answer:?}");
    }
    assert!(intake.store.keys().is_empty());
}

#[tokio::test]
async fn checks_the_signature_before_parsing_the_body() {
    let intake = TestIntake::with_signature_and_bearer("signature").await;
    let headers = signed("msg_1", now(), BODY);
    assert_eq!(post_signed(&intake, &headers, BODY).await.status, 202);

    let other = br#"{"zone":"example.com","urls":["https://example.com/b"]}"#;
    for (headers, body, reason) in [
        (headers.clone(), &other[..], "signature"),
        (headers.clone(), b"{", "signature"),
        (signed("msg_1", now() - 301, BODY), BODY, "timestamp"),
        (signed("msg_1", now() + 301, BODY), BODY, "timestamp"),
        (headers[..1].to_vec(), BODY, "no_credentials"),
    ] {
        let answer = post_signed(&intake, &headers, body).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        assert!(!answer.body.contains("urls"), "{answer:?}");
        let line = format!("cfcache_queue_rejected_total{{source=\"\",reason=\"{reason}\"}}");
        assert!(intake.metrics.encode(None).contains(&line), "{reason}");
    }
    assert_eq!(intake.store.keys().len(), 1);

    // The source may only purge one zone.
    let body = br#"{"zone":"example.org","tags":["a"]}"#;
    assert_eq!(post_signed(&intake, &signed("msg_2", now(), body), body).await.status, 403);
}

#[tokio::test]
async fn stores_a_repeated_message_again() {
    let intake = TestIntake::with_signature_and_bearer("replay").await;
    let headers = signed("msg_1", now(), BODY);
    for _ in 0..3 {
        assert_eq!(post_signed(&intake, &headers, BODY).await.status, 202);
    }
    assert_eq!(intake.store.keys().len(), 3);
}

#[tokio::test]
async fn a_source_above_its_rate_gets_429_with_retry_after() {
    let intake = TestIntake::with_signature_and_bearer("rate").await;
    let bearer = format!("Bearer {BEARER}");
    let headers = [JSON, ("authorization", bearer.as_str())];
    let tags: Vec<String> = (0..150).map(|number| format!("t{number}")).collect();
    let body = json!({"zone": "example.com", "tags": tags}).to_string();
    assert_eq!(intake.post(&headers, body.as_bytes()).await.status, 202);
    let answer = intake.post(&headers, BODY).await;
    assert_eq!(answer.status, 429);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert_eq!(intake.store.keys().len(), 150);
    // Other sources have their own rates.
    assert_eq!(post_signed(&intake, &signed("a", now(), BODY), BODY).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn answers_503_with_retry_after_if_the_store_fails() {
    let intake = TestIntake::start("store", "").await;
    for mode in [Mode::Fails, Mode::Hangs] {
        intake.store.set_mode(mode);
        let answer = intake.post(&[JSON], BODY).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(!answer.body.contains("relation"), "{answer:?}");
    }
    intake.store.set_mode(Mode::Works);
    assert_eq!(intake.post(&[JSON], BODY).await.status, 202);
    assert_eq!(intake.store.keys().len(), 1);
}

#[tokio::test]
async fn does_not_charge_the_rate_for_requests_that_were_not_stored() {
    let intake = TestIntake::with_signature_and_bearer("refund").await;
    let bearer = format!("Bearer {BEARER}");
    let headers = [JSON, ("authorization", bearer.as_str())];
    let tags: Vec<String> = (0..150).map(|number| format!("t{number}")).collect();
    let body = json!({"zone": "example.com", "tags": tags}).to_string();
    intake.store.set_mode(Mode::Fails);
    assert_eq!(intake.post(&headers, body.as_bytes()).await.status, 503);
    intake.store.set_mode(Mode::Works);
    assert_eq!(intake.post(&headers, body.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn refuses_bodies_above_the_limit() {
    let intake = TestIntake::start("large", "").await;
    let large = vec![b' '; MAX_BODY_BYTES + 1];
    assert_eq!(intake.post(&[JSON], &large).await.status, 413);
    // The announced length is refused without waiting for the body.
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n"
    );
    assert_eq!(send(intake.address, head.as_bytes()).await.unwrap().status, 413);

    // Chunks without an end.
    let stream = TcpStream::connect(intake.address).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    writer.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
        let mut sent = 0_usize;
        while writer.write_all(&chunk).await.is_ok() {
            sent += 0x4000;
        }
        sent
    });
    assert_eq!(read(reader).await.unwrap().status, 413);
    // The rest is in the buffers of the system.
    assert!(sending.await.unwrap() < 32 * MAX_BODY_BYTES);
    assert!(intake.store.keys().is_empty());
}

#[tokio::test]
async fn accepts_a_chunked_body() {
    let intake = TestIntake::start("chunks", "").await;
    let mut bytes = format!("POST {PATH} HTTP/1.1\r\nhost: [::1]:80\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for part in BODY.chunks(7) {
        bytes.extend(format!("{:x}\r\n", part.len()).bytes().chain(part.iter().copied()).chain(*b"\r\n"));
    }
    bytes.extend(b"0\r\n\r\n");
    assert_eq!(send(intake.address, &bytes).await.unwrap().status, 202);
}

#[tokio::test(start_paused = true)]
async fn closes_connections_without_a_complete_head_or_body() {
    let intake = TestIntake::start("slow", "").await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    );
    for (sent, expected) in [
        // Half a head, nothing, half a body.
        (&head[..40], None),
        ("", None),
        (&format!("{head}{{\"zone\""), Some(408)),
    ] {
        let began = Instant::now();
        let answer = send(intake.address, sent.as_bytes()).await;
        assert_eq!(answer.map(|answer| answer.status), expected, "{sent}");
        let took = began.elapsed();
        assert!((Duration::from_secs(9)..=Duration::from_secs(25)).contains(&took), "{sent}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn closes_a_connection_that_sends_its_head_byte_by_byte() {
    let intake = TestIntake::start("drip", "").await;
    let mut stream = TcpStream::connect(intake.address).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    for byte in format!("POST {PATH} HTTP/1.1\r\nx: ").bytes().chain(std::iter::repeat(b'x')) {
        let written = stream.write_all(&[byte]).await;
        let pause = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut answer)).await;
        if written.is_err() || pause.is_ok() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(15), "the connection is still open");
    }
}

#[tokio::test]
async fn refuses_heads_above_the_limit() {
    let intake = TestIntake::start("heads", "").await;
    let long = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: 1\r\n".repeat(1000));
    let path = format!("POST /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(1 << 20));
    for bytes in [long, many, path] {
        let answer = send(intake.address, bytes.as_bytes()).await;
        let status = answer.map(|answer| answer.status);
        assert!(matches!(status, None | Some(414 | 431)), "{status:?}");
    }
    for rubbish in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut bytes = rubbish.to_vec();
        bytes.extend(b"\r\n\r\n");
        let status = send(intake.address, &bytes).await.map(|answer| answer.status);
        assert!(matches!(status, None | Some(400 | 505)), "{status:?}");
    }
    assert_eq!(intake.post(&[JSON], BODY).await.status, 202);
}

#[tokio::test]
async fn refuses_conflicting_lengths_without_request_smuggling() {
    let intake = TestIntake::start("smuggle", "").await;
    let inner = String::from_utf8(post(PATH, &[JSON], BODY)).unwrap();
    for lengths in [
        "content-length: 0\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked, identity\r\n",
        "content-length: -1\r\n",
        "content-length: 1_0\r\n",
        "transfer-encoding:\u{b}chunked\r\n",
    ] {
        let bytes = format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{lengths}\r\n0\r\n\r\n{inner}"
        );
        let status = send(intake.address, bytes.as_bytes()).await.map(|answer| answer.status);
        assert_ne!(status, Some(202), "{lengths}");
        assert!(intake.store.keys().is_empty(), "{lengths}");
    }
}

#[tokio::test]
async fn refuses_browsers_and_proxies_without_sources() {
    let intake = TestIntake::start("browser", "").await;
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "null"),
        ("x-forwarded-for", "192.0.2.1"),
        ("via", "1.1 x"),
    ] {
        assert_eq!(intake.post(&[JSON, (name, value)], BODY).await.status, 403, "{name}");
    }
    let rebound = String::from_utf8(post(PATH, &[JSON], BODY)).unwrap();
    let rebound = rebound.replace("host: 127.0.0.1", "host: evil.example");
    assert_eq!(send(intake.address, rebound.as_bytes()).await.unwrap().status, 403);
    assert!(intake.store.keys().is_empty());
}

#[tokio::test]
async fn listens_only_locally_without_sources() {
    let store = Arc::new(MemoryStore::default());
    let intake = Intake::new(IntakeSources::local().unwrap(), store, Arc::new(Metrics::new()));
    let failure = intake.listen("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert!(failure.message.contains("without sources anyone may send"), "{failure:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_authenticates_its_source() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("cfcache-socket-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("s");
    // Such as after a process was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let toml = format!("[shop]\nauth = 'unix'\nsocket = '{}'\nzones = ['example.com']", socket.display());
    let mut intake = TestIntake::start("unix", &toml).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    // On a socket, the host and proxy headers do not matter: anyone who may write to it is the source.
    let bytes = String::from_utf8(post(PATH, &[JSON, ("via", "1.1 proxy")], BODY)).unwrap();
    writer.write_all(bytes.replace("host: 127.0.0.1", "host: queue").as_bytes()).await.unwrap();
    assert_eq!(read(reader).await.unwrap().status, 202);
    assert_eq!(intake.store.requests.lock().unwrap()[0].source.as_deref(), Some("shop"));
    // A TCP connection does not authenticate the source of a socket.
    assert_eq!(intake.post(&[JSON], BODY).await.status, 401);
    assert_eq!(
        send(intake.address, &post(&format!("{PATH}?source=shop"), &[JSON], BODY)).await.unwrap().status,
        401
    );

    // A second intake does not replace a socket in use.
    let settings: BTreeMap<_, _> = toml::from_str(&toml).unwrap();
    let second =
        Intake::new(IntakeSources::open(&settings).unwrap(), Arc::clone(&intake.store) as _, Arc::default());
    assert!(second.listen(LOOPBACK).await.is_err());

    intake.stop.send_replace(true);
    (&mut intake.serving).await.unwrap();
    assert!(!socket.exists());
    drop(std::fs::remove_dir_all(folder));
}

#[tokio::test]
async fn finishes_requests_in_progress_before_stopping() {
    let mut intake = TestIntake::start("stop", "").await;
    let mut stream = TcpStream::connect(intake.address).await.unwrap();
    let bytes = post(PATH, &[JSON], BODY);
    let (first, rest) = bytes.split_at(bytes.len() - 10);
    stream.write_all(first).await.unwrap();
    // This answer shows that the server has read the head of the first request.
    assert_eq!(intake.post(&[JSON], BODY).await.status, 202);
    intake.stop.send_replace(true);
    while TcpStream::connect(intake.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(rest).await.unwrap();
    let (reader, _writer) = stream.into_split();
    assert_eq!(read(reader).await.unwrap().status, 202);
    (&mut intake.serving).await.unwrap();
    assert_eq!(intake.store.keys().len(), 2);
}

#[tokio::test]
async fn never_interprets_the_text_of_a_field() {
    let intake = TestIntake::start("sql", "").await;
    for text in [
        "'); DROP TABLE cfcache.request; --",
        "\" OR 1=1",
        "$$",
        "\\x00",
        "%00",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "é",
        "\u{202e}",
    ] {
        let event = json!({
            "specversion": "1.0", "id": text, "source": text, "type": "dev.cfcache.purge.v1",
            "data": {"zone": "example.com", "tags": [text.replace([' ', ','], "_")], "urls": [format!("https://example.com/{text}")]},
        });
        let answer = intake
            .post(&[("content-type", "application/cloudevents+json")], event.to_string().as_bytes())
            .await;
        assert!(matches!(answer.status, 202 | 400), "{answer:?}");
        if answer.status == 202 {
            let requests = intake.store.requests.lock().unwrap();
            assert_eq!(requests.last().unwrap().event.as_deref(), Some(text));
        }
        for field in ["zone", "environment"] {
            let mut body = json!({"zone": "example.com", "tags": ["a"]});
            body[field] = text.into();
            assert_eq!(intake.post(&[JSON], body.to_string().as_bytes()).await.status, 400, "{field} {text}");
        }
    }
}

#[tokio::test]
async fn answers_despite_700_idle_connections() {
    let intake = TestIntake::start("flood", "").await;
    let mut idle = Vec::new();
    // More than the maximum number of connections.
    for _ in 0..700 {
        let mut stream = TcpStream::connect(intake.address).await.unwrap();
        // The connections that have been idle for longest are closed for new ones.
        drop(stream.write_all(b"POST /v1/req").await);
        idle.push(stream);
    }
    let mut posting = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let address = intake.address;
        posting.spawn(async move { send(address, &post(PATH, &[JSON], BODY)).await.unwrap().status });
    }
    while let Some(status) = posting.join_next().await {
        assert_eq!(status.unwrap(), 202);
    }
    assert_eq!(intake.store.keys().len(), 100);
}

#[tokio::test]
async fn the_log_contains_no_secret() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    let logger = Logger::new(LogFormat::Json, "debug".parse().unwrap(), move |line: &str| {
        written.lock().unwrap().push(line.to_owned());
    });
    // With only one subscriber, tracing lets the first thread that reaches a call site decide for all threads whether
    // it is enabled, and that may be the thread of another test.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _logging = tracing::subscriber::set_default(logger);
    let intake = TestIntake::with_signature_and_bearer("log").await;
    let (right, wrong) = (format!("Bearer {BEARER}"), format!("Bearer {BEARER}x"));
    let signed = signed("msg_1", now(), BODY);
    let signature = signed[3].1.clone();
    assert_eq!(intake.post(&[JSON, ("authorization", &right)], BODY).await.status, 202);
    assert_eq!(intake.post(&[JSON, ("authorization", &wrong)], BODY).await.status, 401);
    assert_eq!(post_signed(&intake, &signed, BODY).await.status, 202);
    assert_eq!(post_signed(&intake, &signed, b"{}").await.status, 401);
    let body = format!(r#"{{"zone":"{BEARER}-{SECRET}","tags":["{BEARER}"],"{BEARER}":1}}"#);
    assert_eq!(
        post_signed(&intake, &self::signed("m", now(), body.as_bytes()), body.as_bytes()).await.status,
        400
    );
    intake.store.set_mode(Mode::Fails);
    assert_eq!(intake.post(&[JSON, ("authorization", &right)], BODY).await.status, 503);
    let log = lines.lock().unwrap().join("\n");
    for expected in [
        "\"source\":\"strapi\"",
        "\"reason\":\"secret\"",
        "\"reason\":\"signature\"",
        "\"reason\":\"invalid\"",
        "relation",
    ] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    for secret in
        [BEARER, SECRET, SECRET.trim_start_matches("whsec_"), &signature, signature.trim_start_matches("v1,")]
    {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(!format!("{:?}", intake.store).contains(BEARER));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_script_of_the_docs_works() {
    let intake = TestIntake::with_signature_and_bearer("docs").await;
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/queue.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, behind) = docs.split_once("### Anything that can send a webhook").unwrap();
    let script = behind.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let secret = intake.folder.join("signer");
    let script = script
        .replace("/run/secrets/shop", secret.to_str().unwrap())
        .replace("http://127.0.0.1:8789", &format!("http://{}", intake.address));
    let ran = tokio::process::Command::new("sh").args(["-euc", &script]).output().await.unwrap();
    let (told, said) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(told, "{\"accepted\":1}\n", "the script needs curl and openssl: {said}");
    assert_eq!(intake.store.keys(), ["tags news"]);
}

/// Listens with a store, without configured sources.
async fn listen_with(store: Arc<dyn Store>) -> (SocketAddr, watch::Sender<bool>) {
    let intake = Arc::new(Intake::new(IntakeSources::local().unwrap(), store, Arc::default()));
    let listeners = intake.listen(LOOPBACK).await.unwrap();
    let address = listeners.address().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(intake.serve(listeners, stopped));
    (address, stop)
}

/// Checks that every text is stored unchanged.
async fn keeps_every_text(store: Arc<dyn Store>) {
    const TEXTS: [&str; 9] = [
        "'; DROP TABLE cfcache.request; --",
        "') ON CONFLICT DO NOTHING; SELECT pg_sleep(10); --",
        "\" OR 1=1 -- $1 $$ $tag$",
        "\\x00 \\u0000 %00 \\N \\.",
        "{\"a\": [1]} {}",
        "NULL",
        "é 例え 😀 \u{e9}\u{301}",
        "\u{1f468}\u{200d}\u{1f469}",
        "${jndi:ldap://x} {{7*7}} <script>",
    ];
    let (address, _stop) = listen_with(Arc::clone(&store)).await;
    let mut sent = Vec::new();
    for (number, text) in TEXTS.into_iter().enumerate() {
        let graphic = text.chars().filter(|char| char.is_ascii_graphic() && *char != ',');
        let tag: String = graphic.chain(format!("-{number}").chars()).collect();
        let event = json!({
            "specversion": "1.0", "id": text, "source": text, "type": "dev.cfcache.purge.v1",
            "data": {"zone": "example.com", "tags": [tag]},
        });
        let bytes =
            post(PATH, &[("content-type", "application/cloudevents+json")], event.to_string().as_bytes());
        let answer = send(address, &bytes).await.unwrap();
        assert_eq!(answer.status, 202, "{text}: {answer:?}");
        sent.push((tag, text.to_owned()));
    }
    let groups = store.ready_groups().await.unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    let claim = store.claim(&groups[0], 100).await.unwrap().unwrap();
    let mut kept: Vec<_> = claim
        .requests()
        .iter()
        .map(|claimed| {
            let request = &claimed.request.request;
            assert_eq!(request.source, request.event);
            (request.subject.key().into_owned(), request.event.clone().unwrap())
        })
        .collect();
    kept.sort();
    sent.sort();
    assert_eq!(kept, sent);
}

#[tokio::test]
async fn postgres_keeps_every_text() {
    let Some(database) = crate::support::postgres::database().await else { return };
    keeps_every_text(Arc::new(database.store())).await;
}

#[tokio::test]
async fn sqlite_keeps_every_text() {
    let folder = std::env::temp_dir().join(format!("cfcache-texts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    keeps_every_text(Arc::new(SqliteStore::open(&folder).unwrap())).await;
    drop(std::fs::remove_dir_all(folder));
}

#[tokio::test]
async fn answers_503_with_retry_after_if_postgres_is_down() {
    let Some(cluster) = crate::support::postgres::Cluster::start() else { return };
    // It lives as long as the process, which the databases of a cluster require.
    let cluster: &'static crate::support::postgres::Cluster = Box::leak(Box::new(cluster));
    let database = cluster.database().await;
    database.store().migrate().await.unwrap();
    let (address, _stop) = listen_with(Arc::new(database.store())).await;
    let bytes = post(PATH, &[JSON], BODY);
    assert_eq!(send(address, &bytes).await.unwrap().status, 202);
    cluster.pg_ctl(&["-m", "immediate", "-w", "stop"]);
    let answer = send(address, &bytes).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    cluster.pg_ctl(&["-w", "start"]);
    assert_eq!(send(address, &bytes).await.unwrap().status, 202);
    assert_eq!(database.store().status().await.unwrap().waiting(), 2);
}
