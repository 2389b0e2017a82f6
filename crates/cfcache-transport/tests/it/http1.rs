//! HTTP/1.1: bytes on the wire, reuse of connections, waiting for one, and failures in each phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cfcache_transport::{Cause, Delivery, Phase, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use crate::support::{
    SHORT, Server, answer, answer_all, chain, expire, get, post, read_request, request, reset, send, stall,
    text, timeouts,
};

#[tokio::test]
async fn the_wire_has_the_callers_bytes_plus_host_and_content_length() {
    let server = Server::start(|_, mut socket| async move {
        let received = read_request(&mut socket).await.unwrap();
        socket.write_all(&answer(&received)).await.unwrap();
    })
    .await;
    let message = http::Request::post("/client/v4/zones/x/purge_cache?a=b")
        .header("authorization", "Bearer t")
        .body(Bytes::from_static(b"{\"purge_everything\":true}"))
        .unwrap();
    let received = text(&server.transport(), request(message)).await;
    let expected = format!(
        "POST /client/v4/zones/x/purge_cache?a=b HTTP/1.1\r\nauthorization: Bearer t\r\nhost: {}\r\n\
         content-length: 25\r\n\r\n{{\"purge_everything\":true}}",
        server.address()
    );
    assert_eq!(received, expected);
}

#[tokio::test]
async fn a_connection_is_reused_for_sequential_requests() {
    let server = Server::start(|_, socket| answer_all(socket, "hello")).await;
    let transport = server.transport();
    for _ in 0..5 {
        assert_eq!(text(&transport, post("/", "body")).await, "hello");
    }
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn requests_above_the_connection_limit_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut socket| {
        let (gate, arrived) = (Arc::clone(&held), arrived.clone());
        async move {
            while read_request(&mut socket).await.is_some() {
                arrived.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                socket.write_all(&answer("x")).await.unwrap();
            }
        }
    })
    .await;
    let transport = Arc::new(server.builder().with_max_connections(2).build().unwrap());
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let transport = Arc::clone(&transport);
        tasks.push(tokio::spawn(async move { transport.send(get("/")).await }));
    }
    for _ in 0..2 {
        arrivals.recv().await.unwrap();
    }
    assert_eq!(server.accepts(), 2);
    gate.add_permits(6);
    for task in tasks {
        assert!(task.await.unwrap().is_ok());
    }
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closed_is_replaced_silently() {
    let (closed, mut closes) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut socket| {
        let closed = closed.clone();
        async move {
            read_request(&mut socket).await.unwrap();
            socket.write_all(&answer("once")).await.unwrap();
            drop(socket);
            closed.send(()).unwrap();
        }
    })
    .await;
    let transport = server.transport();
    for n in 1..=4 {
        assert_eq!(text(&transport, post("/", "body")).await, "once");
        closes.recv().await.unwrap();
        assert_eq!(server.accepts(), n);
    }
}

#[tokio::test]
async fn connection_close_ends_reuse() {
    let server = Server::start(|_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        socket.write_all(head).await.unwrap();
        assert!(read_request(&mut socket).await.is_none(), "a second request came after `connection: close`");
    })
    .await;
    let transport = server.transport();
    for n in 1..=3 {
        assert_eq!(text(&transport, get("/")).await, "ok");
        assert_eq!(server.accepts(), n);
    }
}

#[tokio::test]
async fn a_connection_idle_for_a_minute_is_not_reused() {
    let server = Server::start(|_, socket| answer_all(socket, "x")).await;
    let transport = server.transport();
    text(&transport, get("/")).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(59)).await;
    tokio::time::resume();
    text(&transport, get("/")).await;
    assert_eq!(server.accepts(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    text(&transport, get("/")).await;
    assert_eq!(server.accepts(), 2);
}

#[tokio::test]
async fn a_response_before_the_end_of_the_request_is_returned_and_ends_the_connection() {
    let server = Server::start(|_, mut socket| async move {
        let mut some = [0; 1024];
        socket.read_exact(&mut some).await.unwrap();
        socket.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.unwrap();
        stall(socket).await;
    })
    .await;
    let transport = server.transport();
    for n in 1..=2 {
        let response = send(&transport, post("/", vec![b' '; 64 << 20])).await.unwrap();
        assert_eq!((response.status().as_u16(), &response.body()[..]), (413, &b"big"[..]));
        assert_eq!(server.accepts(), n);
    }
}

#[tokio::test]
async fn redirects_are_returned_as_responses() {
    let server = Server::start(|_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        let head = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        socket.write_all(head).await.unwrap();
    })
    .await;
    let response = send(&server.transport(), get("/")).await.unwrap();
    assert_eq!(response.status().as_u16(), 302);
    assert_eq!(response.headers()["location"], "http://127.0.0.1:1/");
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origin = format!("http://{address}").parse().unwrap();
    let transport = cfcache_transport::HyperTransport::builder(origin).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::NotSent, Phase::Connect, Cause::Io)
    );
    assert!(error.is_retryable());
    assert_eq!(error.to_string(), format!("`{address}` refused the connection (connecting)"));
}

#[tokio::test]
async fn a_failed_connection_fails_all_requests_that_wait_for_it() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origin = format!("http://{address}").parse().unwrap();
    let transport = Arc::new(cfcache_transport::HyperTransport::builder(origin).build().unwrap());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let transport = Arc::clone(&transport);
            tokio::spawn(async move { transport.send(get("/")).await.unwrap_err() })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap();
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(chain(&error).contains("refused"), "{}", chain(&error));
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[tokio::test]
async fn an_unknown_host_fails_in_the_resolve_phase() {
    // One character longer than the limit for a label, so that no resolver queries a server.
    let host = format!("{}.invalid", "a".repeat(64));
    let origin = format!("http://{host}").parse().unwrap();
    let transport = cfcache_transport::HyperTransport::builder(origin).allow_insecure_http().build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!((error.delivery(), error.phase()), (Delivery::NotSent, Phase::Resolve));
    let expected = format!("no address was found for `{host}` (looking up the host)");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_reset_before_the_response_has_unknown_delivery() {
    let server = Server::start(|_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        reset(socket);
    })
    .await;
    let error = send(&server.transport(), post("/", "x")).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
        (Delivery::Unknown, Phase::Head, Cause::Io, true)
    );
    assert!(error.to_string().contains("reset the connection"), "{error}");
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_request_on_a_reused_connection_that_closes_is_not_repeated() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let server = Server::start(move |_, mut socket| {
        let seen = Arc::clone(&seen);
        async move {
            read_request(&mut socket).await.unwrap();
            socket.write_all(&answer("x")).await.unwrap();
            read_request(&mut socket).await.unwrap();
            seen.fetch_add(1, Ordering::SeqCst);
            drop(socket);
        }
    })
    .await;
    let transport = server.transport();
    text(&transport, get("/")).await;
    let error = send(&transport, post("/", "x")).await.unwrap_err();
    assert_eq!((error.delivery(), error.phase()), (Delivery::Unknown, Phase::Head));
    assert!(error.to_string().contains("closed the connection before it responded"), "{error}");
    assert_eq!((server.accepts(), requests.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_close_before_the_request_was_read_is_reported_and_not_repeated() {
    let server = Server::start(|_, socket| async move { drop(socket) }).await;
    let error = send(&server.transport(), post("/", "x")).await.unwrap_err();
    // It is a race whether a byte was sent by then; the request must not be repeated in either case.
    assert!(matches!(error.phase(), Phase::Write | Phase::Head), "{error}");
    assert_eq!(error.cause(), Cause::Io);
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn a_reset_in_the_middle_of_the_request_has_unknown_delivery() {
    let server = Server::start(|_, mut socket| async move {
        let mut some = [0; 1024];
        socket.read_exact(&mut some).await.unwrap();
        reset(socket);
    })
    .await;
    let error = send(&server.transport(), post("/", vec![b' '; 64 << 20])).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::Unknown, Phase::Write, Cause::Io)
    );
}

#[tokio::test]
async fn a_truncated_body_is_an_error_with_either_framing() {
    for head in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    ] {
        let server = Server::start(move |_, mut socket| async move {
            read_request(&mut socket).await.unwrap();
            socket.write_all(head).await.unwrap();
        })
        .await;
        let error = send(&server.transport(), get("/")).await.unwrap_err();
        assert_eq!(
            (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
            (Delivery::Unknown, Phase::Body, Cause::Io, true)
        );
        assert!(error.to_string().contains("in the middle of the response"), "{error}");
    }
}

#[tokio::test]
async fn a_response_that_is_not_http_is_not_retryable() {
    let server = Server::start(|_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        socket.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        stall(socket).await;
    })
    .await;
    let error = send(&server.transport(), get("/")).await.unwrap_err();
    assert_eq!((error.cause(), error.phase(), error.is_retryable()), (Cause::Protocol, Phase::Head, false));
    assert_eq!(error.delivery(), Delivery::Unknown);
}

#[tokio::test]
async fn a_body_above_the_limit_is_an_error_announced_or_not() {
    for head in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n0123456789a"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n",
    ] {
        let server = Server::start(move |_, mut socket| async move {
            read_request(&mut socket).await.unwrap();
            socket.write_all(head).await.unwrap();
            stall(socket).await;
        })
        .await;
        let fits = server.builder().with_max_body(11).build().unwrap();
        assert_eq!(text(&fits, get("/")).await, "0123456789a");
        let error = send(&server.builder().with_max_body(10).build().unwrap(), get("/")).await.unwrap_err();
        assert_eq!(
            (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
            (Delivery::Unknown, Phase::Body, Cause::TooLarge, false)
        );
        assert!(error.to_string().contains("10"), "{error}");
    }
}

#[tokio::test]
async fn a_response_in_many_pieces_is_assembled() {
    let server = Server::start(|_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        for piece in 0..500 {
            socket.write_all(format!("4\r\n{piece:04}\r\n").as_bytes()).await.unwrap();
        }
        socket.write_all(b"0\r\n\r\n").await.unwrap();
        stall(socket).await;
    })
    .await;
    let expected: String = (0..500).map(|piece| format!("{piece:04}")).collect();
    assert_eq!(text(&server.transport(), get("/")).await, expected);
}

#[tokio::test]
async fn a_server_that_reads_nothing_times_out_in_the_write_phase() {
    let server = Server::start(|_, socket| stall(socket)).await;
    let transport = server.builder().with_timeouts(timeouts(|t| t.write = SHORT)).build().unwrap();
    let error = send(&transport, post("/", vec![b' '; 64 << 20])).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::Unknown, Phase::Write, Cause::TimedOut)
    );
    let expected =
        format!("`{}` did not accept the whole request within 80 ms (writing the request)", server.address());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_server_that_never_responds_times_out_in_the_head_phase() {
    let server = Server::start(|_, socket| stall(socket)).await;
    for request in [get("/"), post("/", "small")] {
        let transport = server.builder().with_timeouts(timeouts(|t| t.head = SHORT)).build().unwrap();
        let error = send(&transport, request).await.unwrap_err();
        assert_eq!(
            (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
            (Delivery::Unknown, Phase::Head, Cause::TimedOut, true)
        );
        let expected =
            format!("`{}` sent no response within 80 ms (waiting for the response)", server.address());
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_server_that_stops_in_the_body_times_out_in_the_body_phase() {
    let server = Server::start(|_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        stall(socket).await;
    })
    .await;
    let transport = server.builder().with_timeouts(timeouts(|t| t.body = SHORT)).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::Unknown, Phase::Body, Cause::TimedOut)
    );
    assert!(error.to_string().contains("within 80 ms"), "{error}");
}

#[tokio::test]
async fn the_whole_attempt_has_a_deadline() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |_, mut socket| {
        let arrived = arrived.clone();
        async move {
            read_request(&mut socket).await.unwrap();
            arrived.send(()).unwrap();
            stall(socket).await;
        }
    })
    .await;
    let limits = timeouts(|t| {
        t.total = Duration::from_secs(45);
        t.head = Duration::MAX;
    });
    let transport = Arc::new(server.builder().with_timeouts(limits).build().unwrap());
    let error = expire(&transport, get("/"), &mut arrivals).await;
    assert_eq!((error.phase(), error.cause()), (Phase::Head, Cause::TimedOut));
    assert!(error.to_string().contains("within the 45 s of the whole try"), "{error}");
}

#[tokio::test]
async fn loopback_names_need_no_resolver() {
    let server = Server::start(|_, socket| answer_all(socket, "here")).await;
    for name in ["localhost", "LOCALHOST.", "no-such-name.localhost"] {
        let origin = format!("http://{name}:{}", server.address().port()).parse().unwrap();
        let transport = cfcache_transport::HyperTransport::builder(origin).build().unwrap();
        assert_eq!(text(&transport, get("/")).await, "here", "{name}");
    }
}

#[tokio::test]
async fn dropping_a_request_closes_its_connection() {
    let cut = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&cut);
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let server = Server::start(move |n, mut socket| {
        let (seen, arrived) = (Arc::clone(&seen), arrived.clone());
        async move {
            read_request(&mut socket).await.unwrap();
            arrived.send(()).unwrap();
            if n == 0 {
                assert_eq!(socket.read(&mut [0; 16]).await.unwrap_or(0), 0);
                seen.store(true, Ordering::SeqCst);
                arrived.send(()).unwrap();
            } else {
                socket.write_all(&answer("x")).await.unwrap();
            }
        }
    })
    .await;
    let transport = Arc::new(server.builder().with_max_connections(1).build().unwrap());
    let task = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.send(get("/")).await }
    });
    arrivals.recv().await.unwrap();
    task.abort();
    arrivals.recv().await.unwrap();
    assert!(cut.load(Ordering::SeqCst));
    assert_eq!(text(&transport, get("/")).await, "x");
}
