//! Tests that secrets are not shown.

use bytes::Bytes;
use cfcache_transport::{Proxy, Request};
use tokio::io::AsyncReadExt;

use crate::support::{Server, chain, read_request, request, reset, send};

const TOKEN: &str = "v1.0-do-not-print-me";

fn secret() -> Request {
    // Not marked sensitive on purpose: this crate shows no header's value, marked or not.
    let message = http::Request::post("/")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("x-auth-key", TOKEN)
        .body(Bytes::from(format!("{{\"secret\":\"{TOKEN}\"}}")))
        .unwrap();
    request(message)
}

#[test]
fn no_debug_output_shows_a_header_or_a_body() {
    let shown = format!("{:?} {:#?}", secret(), secret());
    assert!(!shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn no_error_shows_a_header_or_a_body() {
    let server = Server::start(|n, mut socket| async move {
        if n == 0 {
            read_request(&mut socket).await.unwrap();
        } else {
            socket.read_exact(&mut [0; 1]).await.unwrap();
        }
        reset(socket);
    })
    .await;
    let transport = server.transport();
    for _ in 0..2 {
        let error = send(&transport, secret()).await.unwrap_err();
        let shown = format!("{error} {} {error:?} {error:#?} {transport:?}", chain(&error));
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}

#[test]
fn no_builder_shows_a_proxys_password() {
    let proxy: Proxy = format!("http://someone:{TOKEN}@proxy.example:3128").parse().unwrap();
    let builder = cfcache_transport::HyperTransport::builder("https://api.test".parse().unwrap())
        .with_proxy(Some(proxy.clone()));
    let mut shown = format!("{builder:?} {proxy} {proxy:?}");
    shown.push_str(&format!("{:#?}", builder.build().unwrap()));
    assert!(!shown.contains(TOKEN) && !shown.contains("someone"), "{shown}");
}
