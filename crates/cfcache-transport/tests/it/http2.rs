//! HTTP/2: one connection, its stream limit, and refused requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cfcache_transport::{Cause, Delivery, HyperTransport, Phase, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

use crate::support::{SHORT, Server, expire, get, post, request, reset, send, stall, text, timeouts};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
/// HPACK for `:status: 200`.
const STATUS_200: &[u8] = &[0x88];
/// HPACK for `:status: 103`: the name from the table, the value as literal characters.
const INFORMATION_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

/// The server's side of an HTTP/2 connection, frame by frame.
pub(crate) struct Frames(TcpStream);

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frames {
    /// Reads the client's preface and sends `settings`.
    pub(crate) async fn greet(socket: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self(socket);
        let mut preface = [0; 24];
        frames.0.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.write(SETTINGS, 0, 0, &payload).await;
        frames
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.try_write(kind, flags, stream, payload).await.unwrap();
    }

    async fn try_write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await
    }

    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until a request is complete, and returns its stream; `None` at the end of the connection.
    async fn request(&mut self) -> Option<u32> {
        self.request_with_body().await.map(|(stream, _)| stream)
    }

    /// Like `request`, with the body. Bodies must not be interleaved: each request sends its only DATA frame last.
    pub(crate) async fn request_with_body(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            let frame = self.next().await?;
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return Some((frame.stream, frame.payload));
            }
        }
    }

    /// Sends a response, unless the client has closed the connection.
    pub(crate) async fn try_answer(&mut self, stream: u32, body: &str) {
        if self.try_write(HEADERS, END_HEADERS, stream, STATUS_200).await.is_ok() {
            drop(self.try_write(DATA, END_STREAM, stream, body.as_bytes()).await);
        }
    }

    /// Resets a stream, unless the client has closed the connection.
    pub(crate) async fn try_refuse(&mut self, stream: u32, reason: u32) {
        drop(self.try_write(RST_STREAM, 0, stream, &reason.to_be_bytes()).await);
    }

    /// Sends GOAWAY, unless the client has closed the connection.
    pub(crate) async fn try_go_away(&mut self, last: u32, reason: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(reason.to_be_bytes());
        drop(self.try_write(GOAWAY, 0, 0, &payload).await);
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        reset(self.0);
    }

    async fn answer(&mut self, stream: u32, body: &str) {
        self.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
        self.write(DATA, END_STREAM, stream, body.as_bytes()).await;
    }

    async fn go_away(&mut self, last: u32, reason: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(reason.to_be_bytes());
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    async fn refuse(&mut self, stream: u32, reason: u32) {
        self.write(RST_STREAM, 0, stream, &reason.to_be_bytes()).await;
    }

    async fn answer_all(&mut self, body: &str) {
        while let Some(stream) = self.request().await {
            self.answer(stream, body).await;
        }
    }
}

fn transport(server: &Server) -> HyperTransport {
    server.builder().with_http2_prior_knowledge().build().unwrap()
}

/// Sends `count` requests concurrently, and returns their results.
async fn burst(
    transport: &Arc<HyperTransport>,
    count: usize,
) -> Vec<Result<cfcache_transport::Response, cfcache_transport::TransportError>> {
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let transport = Arc::clone(transport);
            tokio::spawn(async move { transport.send(post(&format!("/{n}"), "body")).await })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// A conforming server with a stream limit, which holds every request until `gate` releases and reports it.
async fn limited(
    limit: Option<u32>,
    gate: &Arc<Semaphore>,
    arrived: mpsc::UnboundedSender<usize>,
) -> (Server, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, gate) = (Arc::clone(&most), Arc::clone(gate));
    let server = Server::start(move |n, socket| {
        let (gate, arrived, most) = (Arc::clone(&gate), arrived.clone(), Arc::clone(&seen));
        async move {
            let mut builder = h2::server::Builder::new();
            if let Some(limit) = limit {
                builder.max_concurrent_streams(limit);
            }
            let mut connection = builder.handshake::<_, Bytes>(socket).await.unwrap();
            let here = Arc::new(AtomicUsize::new(0));
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let (gate, here) = (Arc::clone(&gate), Arc::clone(&here));
                arrived.send(n).unwrap();
                tokio::spawn(async move {
                    gate.acquire().await.unwrap().forget();
                    here.fetch_sub(1, Ordering::SeqCst);
                    let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                    body.send_data(Bytes::from_static(b"ok"), true).unwrap();
                });
            }
        }
    })
    .await;
    (server, most)
}

#[tokio::test]
async fn the_request_is_the_callers_in_http2s_form() {
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let server = Server::start(move |_, socket| {
        let kept = Arc::clone(&kept);
        async move {
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (head, mut body) = request.into_parts();
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    while let Some(data) = body.data().await {
                        let data = data.unwrap();
                        body.flow_control().release_capacity(data.len()).unwrap();
                        bytes.extend_from_slice(&data);
                    }
                    *kept.lock().unwrap() = Some((head, bytes));
                    respond.send_response(http::Response::new(()), true).unwrap();
                });
            }
        }
    })
    .await;
    let body: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let message = http::Request::post("/client/v4/zones/x/purge_cache?a=b")
        .header("authorization", "Bearer t")
        .body(Bytes::from(body.clone()))
        .unwrap();
    let response = send(&transport(&server), request(message)).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    let (head, bytes) = seen.lock().unwrap().take().unwrap();
    assert_eq!(bytes, body);
    assert_eq!(
        head.uri.to_string(),
        format!("http://{}/client/v4/zones/x/purge_cache?a=b", server.address())
    );
    let headers: HashMap<_, _> =
        head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, HashMap::from([("authorization", "Bearer t"), ("content-length", "200000")]));
}

#[tokio::test]
async fn concurrent_requests_share_one_connection_from_the_start() {
    let gate = Arc::new(Semaphore::new(0));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (server, _) = limited(Some(200), &gate, arrived).await;
    let transport = Arc::new(transport(&server));
    let sending = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { burst(&transport, 100).await }
    });
    for _ in 0..100 {
        assert_eq!(arrivals.recv().await, Some(0));
    }
    gate.add_permits(200);
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
    assert!(burst(&transport, 100).await.iter().all(Result::is_ok));
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_server_without_a_limit_gets_one_connection() {
    let gate = Arc::new(Semaphore::new(1000));
    let (arrived, _arrivals) = mpsc::unbounded_channel();
    let (server, _) = limited(None, &gate, arrived).await;
    assert!(burst(&Arc::new(transport(&server)), 300).await.iter().all(Result::is_ok));
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_second_connection_is_opened_only_at_the_stream_limit() {
    let gate = Arc::new(Semaphore::new(0));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (server, most) = limited(Some(2), &gate, arrived).await;
    let transport = Arc::new(transport(&server));
    let mut tasks = Vec::new();
    for connection in [0, 0, 1, 1, 2] {
        let transport = Arc::clone(&transport);
        tasks.push(tokio::spawn(async move { transport.send(get("/")).await }));
        assert_eq!(arrivals.recv().await, Some(connection));
    }
    assert_eq!(server.accepts(), 3);
    gate.add_permits(5);
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_first_burst_obeys_a_limit_that_is_not_known_yet() {
    let gate = Arc::new(Semaphore::new(1000));
    let (arrived, _arrivals) = mpsc::unbounded_channel();
    let (server, most) = limited(Some(3), &gate, arrived).await;
    let transport = server.builder().with_http2_prior_knowledge().with_max_connections(2).build().unwrap();
    assert!(burst(&Arc::new(transport), 50).await.iter().all(Result::is_ok));
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(server.accepts() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_of_many_threads_share_one_connection() {
    let gate = Arc::new(Semaphore::new(1_000_000));
    let (arrived, _arrivals) = mpsc::unbounded_channel();
    let (server, _) = limited(Some(1000), &gate, arrived).await;
    let transport = Arc::new(transport(&server));
    for _ in 0..10 {
        assert!(burst(&transport, 100).await.iter().all(Result::is_ok));
    }
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_on_another_connection() {
    let server = Server::start(|n, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        if n == 0 {
            frames.refuse(stream, REFUSED_STREAM).await;
            assert!(frames.request().await.is_none(), "the connection that refused got another request");
        } else {
            frames.answer(stream, "second").await;
            stall(frames.0).await;
        }
    })
    .await;
    assert_eq!(text(&transport(&server), post("/", "body")).await, "second");
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_server_that_always_refuses_gets_the_request_three_times() {
    let server = Server::start(|_, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        while let Some(stream) = frames.request().await {
            frames.refuse(stream, REFUSED_STREAM).await;
        }
    })
    .await;
    let error = send(&transport(&server), post("/", "body")).await.unwrap_err();
    assert_eq!((error.delivery(), error.cause(), error.is_retryable()), (Delivery::NotSent, Cause::Io, true));
    assert!(error.to_string().contains("refused the stream unprocessed"), "{error}");
    assert_eq!(server.accepts(), 3);
}

#[tokio::test]
async fn a_stream_reset_for_any_other_reason_may_have_been_processed() {
    let server = Server::start(|_, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        frames.refuse(stream, INTERNAL_ERROR).await;
        frames.answer_all("next").await;
    })
    .await;
    let transport = transport(&server);
    let error = send(&transport, post("/", "body")).await.unwrap_err();
    assert_eq!((error.delivery(), error.phase(), error.cause()), (Delivery::Unknown, Phase::Head, Cause::Io));
    // The other requests on the connection are not affected.
    assert_eq!(text(&transport, get("/")).await, "next");
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_graceful_goaway_below_the_request_moves_it_to_another_connection() {
    let server = Server::start(|n, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        if n == 0 {
            frames.go_away(stream - 1, NO_ERROR).await;
            stall(frames.0).await;
        } else {
            frames.answer(stream, "second").await;
            stall(frames.0).await;
        }
    })
    .await;
    assert_eq!(text(&transport(&server), post("/", "body")).await, "second");
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_graceful_goaway_that_includes_the_request_lets_it_finish() {
    let server = Server::start(|n, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        if n == 0 {
            frames.go_away(stream, NO_ERROR).await;
        }
        frames.answer(stream, &format!("from {n}")).await;
        assert!(n == 1 || frames.request().await.is_none(), "a request came after the GOAWAY");
        stall(frames.0).await;
    })
    .await;
    let transport = transport(&server);
    assert_eq!(text(&transport, post("/", "body")).await, "from 0");
    assert_eq!(text(&transport, post("/", "body")).await, "from 1");
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_goaway_in_two_steps_loses_no_request() {
    // The usual way (RFC 9113, section 6.8): first a GOAWAY that only announces the end, then one with the last stream.
    const ANY: u32 = 0x7fff_ffff;
    let server = Server::start(|n, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        frames.go_away(ANY, NO_ERROR).await;
        frames.answer(stream, &format!("from {n}")).await;
        if let Some(late) = frames.request().await {
            frames.go_away(late - 1, NO_ERROR).await;
            stall(frames.0).await;
        }
    })
    .await;
    let transport = transport(&server);
    for n in 0..4 {
        assert_eq!(text(&transport, post("/", "body")).await, format!("from {n}"));
        assert_eq!(server.accepts(), n + 1);
    }
}

#[tokio::test]
async fn a_goaway_that_includes_the_request_and_then_a_close_has_unknown_delivery() {
    let server = Server::start(|_, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        frames.go_away(stream, NO_ERROR).await;
    })
    .await;
    let error = send(&transport(&server), post("/", "body")).await.unwrap_err();
    assert_eq!((error.delivery(), error.phase(), error.cause()), (Delivery::Unknown, Phase::Head, Cause::Io));
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_goaway_with_an_error_is_no_evidence() {
    let server = Server::start(|_, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        frames.go_away(stream - 1, INTERNAL_ERROR).await;
        stall(frames.0).await;
    })
    .await;
    let error = send(&transport(&server), post("/", "body")).await.unwrap_err();
    assert_eq!((error.delivery(), error.cause()), (Delivery::Unknown, Cause::Io));
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_goaway_between_requests_is_handled_silently() {
    let (gone, mut leaving) = mpsc::unbounded_channel();
    let server = Server::start(move |n, socket| {
        let gone = gone.clone();
        async move {
            let mut frames = Frames::greet(socket, &[]).await;
            let stream = frames.request().await.unwrap();
            frames.answer(stream, &format!("from {n}")).await;
            frames.go_away(stream, NO_ERROR).await;
            gone.send(()).unwrap();
            assert!(frames.request().await.is_none(), "a request came after the GOAWAY");
        }
    })
    .await;
    let transport = transport(&server);
    for n in 0..4 {
        assert_eq!(text(&transport, post("/", "body")).await, format!("from {n}"));
        leaving.recv().await.unwrap();
    }
    assert_eq!(server.accepts(), 4);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_is_replaced_silently() {
    let (gone, mut leaving) = mpsc::unbounded_channel();
    let server = Server::start(move |n, socket| {
        let gone = gone.clone();
        async move {
            let mut frames = Frames::greet(socket, &[]).await;
            let stream = frames.request().await.unwrap();
            frames.answer(stream, &format!("from {n}")).await;
            drop(frames);
            gone.send(()).unwrap();
        }
    })
    .await;
    let transport = transport(&server);
    for n in 0..4 {
        assert_eq!(text(&transport, post("/", "body")).await, format!("from {n}"));
        leaving.recv().await.unwrap();
    }
    assert_eq!(server.accepts(), 4);
}

#[tokio::test]
async fn a_closed_connection_fails_its_requests_and_the_next_opens_another() {
    let server = Server::start(|n, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        let stream = frames.request().await.unwrap();
        if n == 0 {
            for _ in 0..4 {
                frames.request().await.unwrap();
            }
        } else {
            frames.answer(stream, "x").await;
            frames.answer_all("x").await;
        }
    })
    .await;
    let transport = Arc::new(transport(&server));
    for result in burst(&transport, 5).await {
        let error = result.unwrap_err();
        assert_eq!((error.delivery(), error.phase()), (Delivery::Unknown, Phase::Head));
    }
    assert!(burst(&transport, 5).await.iter().all(Result::is_ok));
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_server_without_flow_control_window_times_out_in_the_write_phase() {
    let server = Server::start(|_, socket| async move {
        let mut frames = Frames::greet(socket, &[]).await;
        while frames.next().await.is_some() {}
    })
    .await;
    let short = timeouts(|t| t.write = SHORT);
    let transport = server.builder().with_http2_prior_knowledge().with_timeouts(short).build().unwrap();
    let error = send(&transport, post("/", vec![b' '; 200_000])).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::Unknown, Phase::Write, Cause::TimedOut)
    );
}

/// Shorter than the time to the first ping, which these tests do not cover.
const BEFORE_PINGS: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_slow_response_only_cancels_its_own_stream() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |_, socket| {
        let arrived = arrived.clone();
        async move {
            let mut frames = Frames::greet(socket, &[]).await;
            let slow = frames.request().await.unwrap();
            // An informational response: without any data, the connection would count as dead.
            frames.write(HEADERS, END_HEADERS, slow, INFORMATION_103).await;
            arrived.send(()).unwrap();
            while let Some(frame) = frames.next().await {
                if frame.kind == RST_STREAM {
                    assert_eq!((frame.stream, &frame.payload[..]), (slow, &[0, 0, 0, 8][..]));
                    arrived.send(()).unwrap();
                    break;
                }
            }
            frames.answer_all("x").await;
        }
    })
    .await;
    let limits = timeouts(|t| t.head = BEFORE_PINGS);
    let builder = server.builder().with_http2_prior_knowledge().with_timeouts(limits);
    let transport = Arc::new(builder.build().unwrap());
    let error = expire(&transport, get("/"), &mut arrivals).await;
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::Unknown, Phase::Head, Cause::TimedOut)
    );
    arrivals.recv().await.unwrap();
    assert_eq!(text(&transport, get("/")).await, "x");
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_silent_connection_gets_no_further_requests() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |n, socket| {
        let arrived = arrived.clone();
        async move {
            let mut frames = Frames::greet(socket, &[]).await;
            if n == 0 {
                // Answers one request, so that the settings have arrived before the server becomes silent.
                let stream = frames.request().await.unwrap();
                frames.answer(stream, "x").await;
                frames.request().await.unwrap();
                arrived.send(()).unwrap();
                stall(frames.0).await;
            } else {
                frames.answer_all("x").await;
            }
        }
    })
    .await;
    let limits = timeouts(|t| t.head = BEFORE_PINGS);
    let builder = server.builder().with_http2_prior_knowledge().with_timeouts(limits);
    let transport = Arc::new(builder.build().unwrap());
    text(&transport, get("/")).await;
    assert_eq!(expire(&transport, get("/"), &mut arrivals).await.cause(), Cause::TimedOut);
    assert_eq!(text(&transport, get("/")).await, "x");
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_fails_before_the_response_deadline() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (pinged, mut pings) = mpsc::unbounded_channel();
    let server = Server::start(move |_, socket| {
        let (arrived, pinged) = (arrived.clone(), pinged.clone());
        async move {
            let mut frames = Frames::greet(socket, &[]).await;
            frames.request().await.unwrap();
            arrived.send(()).unwrap();
            while let Some(frame) = frames.next().await {
                if frame.kind == PING {
                    pinged.send(()).unwrap();
                }
            }
        }
    })
    .await;
    let transport = transport(&server);
    let sending = tokio::spawn(async move { transport.send(get("/")).await });
    arrivals.recv().await.unwrap();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let error = sending.await.unwrap().unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    assert_eq!((error.delivery(), error.cause()), (Delivery::Unknown, Cause::TimedOut));
    assert!(error.to_string().contains("keep-alive ping"), "{error}");
    pings.recv().await.unwrap();
}

#[tokio::test]
async fn a_truncated_or_too_long_body_is_an_error() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |n, socket| {
        let arrived = arrived.clone();
        async move {
            let mut frames = Frames::greet(socket, &[]).await;
            let stream = frames.request().await.unwrap();
            frames.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
            if n == 0 {
                frames.write(DATA, 0, stream, b"0123456789a").await;
                let stream = frames.request().await.unwrap();
                frames.write(HEADERS, END_HEADERS, stream, STATUS_200).await;
                frames.write(DATA, 0, stream, b"half").await;
            } else {
                frames.write(DATA, 0, stream, b"0123456789").await;
                arrived.send(()).unwrap();
                stall(frames.0).await;
            }
        }
    })
    .await;
    let limits = timeouts(|t| t.body = BEFORE_PINGS);
    let builder = server.builder().with_http2_prior_knowledge().with_max_body(10).with_timeouts(limits);
    let transport = Arc::new(builder.build().unwrap());
    let long = send(&transport, get("/")).await.unwrap_err();
    assert_eq!((long.phase(), long.cause()), (Phase::Body, Cause::TooLarge));
    let cut = send(&transport, get("/")).await.unwrap_err();
    assert_eq!((cut.delivery(), cut.phase(), cut.cause()), (Delivery::Unknown, Phase::Body, Cause::Io));
    assert_eq!(server.accepts(), 1);
    let stalled = expire(&transport, get("/"), &mut arrivals).await;
    assert_eq!((stalled.phase(), stalled.cause()), (Phase::Body, Cause::TimedOut));
    for error in [long, cut, stalled] {
        assert_eq!(error.head().map(|head| head.status.as_u16()), Some(200));
    }
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn late_settings_delay_the_burst_but_not_the_first_request() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut socket| {
        let (gate, arrived) = (Arc::clone(&opened), arrived.clone());
        async move {
            let mut preface = [0; 24];
            socket.read_exact(&mut preface).await.unwrap();
            let mut frames = Frames(socket);
            let first = frames.request().await.unwrap();
            arrived.send(()).unwrap();
            gate.acquire().await.unwrap().forget();
            let mut settings = MAX_CONCURRENT_STREAMS.to_be_bytes().to_vec();
            settings.extend(10_u32.to_be_bytes());
            frames.write(SETTINGS, 0, 0, &settings).await;
            frames.answer(first, "x").await;
            frames.answer_all("x").await;
        }
    })
    .await;
    let transport = Arc::new(transport(&server));
    let sending = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { burst(&transport, 5).await }
    });
    arrivals.recv().await.unwrap();
    assert_eq!(server.accepts(), 1);
    gate.add_permits(1);
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(server.accepts(), 1);
}
