//! Tests of the spans for the steps of a request.

use std::sync::Arc;

use cfcache_transport::HyperTransport;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::spans::Recording;
use crate::support::{Server, answer_all, read_request, request, send};
use crate::tls::{Authority, config, serve_tls};

const TOKEN: &str = "v1.0-do-not-print-me";

fn secret() -> cfcache_transport::Request {
    let message = http::Request::post("/a?token=v1.0-do-not-print-me")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(TOKEN.into())
        .unwrap();
    request(message)
}

#[tokio::test]
async fn each_step_through_a_proxy_has_a_span_without_secrets() {
    let recording = Recording::start();
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(config(authority.identity(&["api.test"], |_| ()), &["h2"])));
    let origin = Server::start(move |_, socket| serve_tls(acceptor.clone(), socket)).await;
    let address = origin.address();
    let tunnels = Server::start(move |_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        let mut origin = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        drop(copy_bidirectional(&mut socket, &mut origin).await);
    })
    .await;
    let proxy = format!("http://someone:{TOKEN}@{}", tunnels.address()).parse().unwrap();
    let transport = HyperTransport::builder("https://api.test".parse().unwrap())
        .with_ca_pem(authority.pem())
        .with_proxy(Some(proxy))
        .build()
        .unwrap();
    for _ in 0..2 {
        send(&transport, secret()).await.unwrap();
    }
    let spans = recording.finish();
    let shown = format!("{spans:?}");
    assert!(!shown.contains(TOKEN) && !shown.contains("someone"), "{shown}");
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str()).collect();
    assert_eq!(names, ["connect", "proxy_tunnel", "tls_handshake", "exchange", "exchange"]);
    assert_eq!(spans[0]["port"], tunnels.address().port().to_string());
    assert!(spans[1]["target"].contains("api.test") && spans[2]["server"].contains("api.test"), "{shown}");
    let exchange = |span: usize| {
        ["method", "path", "is_reused", "version", "status", "received_bytes"]
            .map(|field| spans[span][field].as_str())
    };
    assert_eq!(exchange(3), ["POST", "\"/a\"", "false", "HTTP/2.0", "200", "6"]);
    assert_eq!(exchange(4), ["POST", "\"/a\"", "true", "HTTP/2.0", "200", "6"]);
    assert!(spans.iter().all(|span| !span.contains_key("error")), "{shown}");
}

#[tokio::test]
async fn the_size_of_a_streamed_body_is_recorded() {
    let recording = Recording::start();
    let server = Server::start(|_, socket| answer_all(socket, "twelve bytes")).await;
    server.transport().stream(secret(), &mut |_| ()).await.unwrap();
    let spans = recording.finish();
    assert_eq!((spans[1]["name"].as_str(), spans[1]["received_bytes"].as_str()), ("exchange", "12"));
}

#[tokio::test]
async fn a_refused_connection_is_recorded_in_its_span() {
    let recording = Recording::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let transport = HyperTransport::builder(format!("http://{address}").parse().unwrap()).build().unwrap();
    send(&transport, secret()).await.unwrap_err();
    let spans = recording.finish();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0]["error"], format!("\"`{address}` refused the connection\""));
}
