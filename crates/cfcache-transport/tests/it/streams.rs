//! Bodies that are handed over while they arrive, and connections to another address than the origin's.

use core::pin::Pin;

use cfcache_transport::{Cause, HyperTransport, Phase, TransportError};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Server, get, read_request, send, text};

type Handled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Answers each request with a body of so many bytes in chunks, and with what follows them.
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

/// What the pieces of a body come to.
async fn stream(transport: &HyperTransport) -> (Result<http::Response<u64>, TransportError>, Vec<u8>) {
    let mut pieces = Vec::new();
    let result = transport.stream(get("/"), &mut |piece| pieces.extend_from_slice(piece)).await;
    (result, pieces)
}

#[tokio::test]
async fn a_body_is_handed_over_in_order_and_counted() {
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
async fn a_body_beyond_the_bound_is_an_error_with_the_head() {
    let server = Server::start(chunks(300, "0\r\n\r\n")).await;
    let transport = server.builder().with_max_body(10_000).build().unwrap();
    let (result, pieces) = stream(&transport).await;
    let error = result.unwrap_err();
    assert_eq!((error.cause(), error.phase()), (Cause::TooLarge, Phase::Body));
    assert_eq!(error.head().unwrap().headers["etag"], "\"a\"");
    assert!(pieces.len() <= 10_000, "{}", pieces.len());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_with_the_head() {
    let server = Server::start(chunks(3, "")).await;
    let (result, pieces) = stream(&server.transport()).await;
    let error = result.unwrap_err();
    assert_eq!((error.phase(), error.head().is_some()), (Phase::Body, true));
    assert_eq!(pieces.len(), 3 * 1024);
}

#[tokio::test]
async fn another_address_is_asked_under_the_origins_name() {
    let server = Server::start(|_, mut socket| async move {
        while let Some(request) = read_request(&mut socket).await {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{request}", request.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let address = server.address();
    let builder = HyperTransport::builder("http://www.example.com".parse().unwrap());
    // Whatever the proxy is, it is not asked: the address was given by hand.
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
async fn an_address_that_refuses_is_named_in_the_error() {
    // Bound and let go: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let transport = HyperTransport::builder("http://localhost".parse().unwrap())
        .with_connect_to("127.0.0.1", address.port())
        .build()
        .unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.to_string().contains(&format!("`{address}`")), "{error}");
}
