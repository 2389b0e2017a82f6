//! Streamed bodies, and connections to another address than the origin's.

use core::pin::Pin;

use cfcache_transport::{Cause, HyperTransport, Phase, TransportError};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Server, get, read_request, send, text};

type Handled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers each request with a chunked body of `count` bytes, followed by `end`.
fn chunks(count: usize, end: &'static str) -> impl Fn(usize, TcpStream) -> Handled + Send {
    move |_, mut socket| {
        Box::pin(async move {
            while read_request(&mut socket).await.is_some() {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\netag: \"a\"\r\n\r\n";
                socket.write_all(head.as_bytes()).await.unwrap();
                for letter in (b'a'..=b'z').cycle().take(count) {
                    let piece = [letter; 1024];
                    socket.write_all(b"400\r\n").await.unwrap();
                    socket.write_all(&piece).await.unwrap();
                    socket.write_all(b"\r\n").await.unwrap();
                }
                socket.write_all(end.as_bytes()).await.unwrap();
                if end.is_empty() {
                    return;
                }
            }
        })
    }
}

/// Streams a body; returns the result and the collected pieces.
async fn stream(transport: &HyperTransport) -> (Result<http::Response<u64>, TransportError>, Vec<u8>) {
    let mut pieces = Vec::new();
    let result = transport.stream(get("/"), &mut |piece| pieces.extend_from_slice(piece)).await;
    (result, pieces)
}

#[tokio::test]
async fn a_streamed_body_arrives_in_order_and_is_counted() {
    let server = Server::start(chunks(300, "0\r\n\r\n")).await;
    let transport = server.transport();
    for _ in 0..2 {
        let (response, pieces) = stream(&transport).await;
        let response = response.unwrap();
        assert_eq!((response.status().as_u16(), *response.body()), (200, 300 * 1024));
        assert_eq!(pieces.len(), 300 * 1024);
        assert!(
            pieces.chunks(1024).zip((b'a'..=b'z').cycle()).all(|(piece, letter)| piece == [letter; 1024])
        );
    }
    assert_eq!(server.accepts(), 1, "the connection is used again");
}

#[tokio::test]
async fn a_body_of_many_pieces_is_returned_whole() {
    let server = Server::start(chunks(300, "0\r\n\r\n")).await;
    let transport = server.transport();
    let (_, pieces) = stream(&transport).await;
    assert_eq!(send(&transport, get("/")).await.unwrap().body(), &pieces);
}

#[tokio::test]
async fn a_streamed_body_above_the_limit_is_an_error_with_the_headers() {
    let server = Server::start(chunks(300, "0\r\n\r\n")).await;
    let transport = server.builder().with_max_body(10_000).build().unwrap();
    let (result, pieces) = stream(&transport).await;
    let error = result.unwrap_err();
    assert_eq!((error.cause(), error.phase()), (Cause::TooLarge, Phase::Body));
    assert_eq!(error.head().unwrap().headers["etag"], "\"a\"");
    assert!(pieces.len() <= 10_000, "{}", pieces.len());
}

#[tokio::test]
async fn a_truncated_streamed_body_is_an_error_with_the_headers() {
    let server = Server::start(chunks(3, "")).await;
    let (result, pieces) = stream(&server.transport()).await;
    let error = result.unwrap_err();
    assert_eq!((error.phase(), error.head().is_some()), (Phase::Body, true));
    assert_eq!(pieces.len(), 3 * 1024);
}

#[tokio::test]
async fn connect_to_uses_the_address_but_the_origins_name() {
    let server = Server::start(|_, mut socket| async move {
        while let Some(request) = read_request(&mut socket).await {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}", request.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let address = server.address();
    let builder = HyperTransport::builder("http://www.example.com".parse().unwrap());
    // The proxy is not used, because the address was given explicitly.
    let proxy = "http://127.0.0.1:9".parse().unwrap();
    let transport = builder
        .allow_insecure_http()
        .with_proxy(Some(proxy))
        .with_connect_to(address.ip().to_string(), address.port())
        .build()
        .unwrap();
    let received = text(&transport, get("/a")).await;
    assert_eq!(received, "GET /a HTTP/1.1\r\nhost: www.example.com\r\n\r\n");
}

#[tokio::test]
async fn a_refused_connect_to_address_is_named_in_the_error() {
    // Bound and released: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let transport = HyperTransport::builder("http://localhost".parse().unwrap())
        .with_connect_to("127.0.0.1", address.port())
        .build()
        .unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.to_string().contains(&format!("`{address}`")), "{error}");
}
