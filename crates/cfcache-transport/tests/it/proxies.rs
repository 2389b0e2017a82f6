//! Requests through a proxy, and the proxy's refusals.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cfcache_transport::{Cause, Delivery, HyperTransport, Phase, Proxy, Roots, TransportError};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::support::{
    SHORT, Server, answer, chain, get, post, read_request, reset, send, stall, text, timeouts,
};
use crate::tls::{Authority, config, serve_tls};

fn proxy(server: &Server, credentials: &str) -> Option<Proxy> {
    Some(format!("http://{credentials}{}", server.address()).parse().unwrap())
}

/// Requests a tunnel to a host that only the proxy can reach.
fn through(proxy: Option<Proxy>) -> cfcache_transport::HyperTransportBuilder {
    HyperTransport::builder("https://api.test".parse().unwrap()).with_roots(Roots::Bundled).with_proxy(proxy)
}

#[tokio::test]
async fn tls_goes_through_the_tunnel_and_the_tunnel_is_kept() {
    let authority = Authority::new();
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let acceptor = TlsAcceptor::from(Arc::new(config(authority.identity(&["api.test"], |_| ()), alpn)));
        let origin = Server::start(move |_, socket| serve_tls(acceptor.clone(), socket)).await;
        let address = origin.address();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let tunnels = Server::start(move |_, mut socket| {
            let seen = Arc::clone(&seen);
            async move {
                let request = read_request(&mut socket).await.unwrap();
                seen.lock().unwrap().push(request);
                let mut origin = TcpStream::connect(address).await.unwrap();
                socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                drop(copy_bidirectional(&mut socket, &mut origin).await);
            }
        })
        .await;
        let proxy = proxy(&tunnels, "Aladdin:open%20sesame%40@");
        let transport = through(proxy).with_ca_pem(authority.pem()).build().unwrap();
        for _ in 0..3 {
            assert_eq!(text(&transport, post("/", "body")).await, "secure");
        }
        assert_eq!((tunnels.accepts(), origin.accepts()), (1, 1));
        // base64 of `Aladdin:open sesame@`
        let expected = "CONNECT api.test:443 HTTP/1.1\r\nhost: api.test:443\r\n\
                        proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZUA=\r\n\r\n";
        assert_eq!(*requests.lock().unwrap(), [expected]);
    }
}

async fn answered(credentials: &str, bytes: &'static [u8]) -> TransportError {
    let server = Server::start(move |_, mut socket| async move {
        read_request(&mut socket).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        stall(socket).await;
    })
    .await;
    let error =
        send(&through(proxy(&server, credentials)).build().unwrap(), post("/", "x")).await.unwrap_err();
    assert_eq!((error.delivery(), error.phase()), (Delivery::NotSent, Phase::Proxy), "{error}");
    assert!(error.to_string().contains(&format!("http://{}`", server.address())), "{error}");
    assert_eq!(server.accepts(), 1);
    error
}

#[tokio::test]
async fn a_proxys_refusal_is_reported_with_its_reason() {
    const UNKNOWN: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    for (credentials, bytes, retryable, text) in [
        ("", UNKNOWN, false, "with status 407: it requires a user and a password"),
        ("u:hidden@", UNKNOWN, false, "with status 407: it does not accept this user and password"),
        (
            "",
            &b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nsecret"[..],
            false,
            "with status 403: it does not allow this destination",
        ),
        ("", b"HTTP/1.1 404 Not Found\r\n\r\n", false, "with status 404"),
        (
            "",
            b"HTTP/1.1 302 Found\r\nlocation: http://login/\r\ncontent-length: 0\r\n\r\n",
            false,
            "with status 302",
        ),
        ("", b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", true, "with status 429"),
        (
            "",
            b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
            true,
            "with status 502: it cannot reach the destination",
        ),
        ("", b"HTTP/1.0 503 Service Unavailable\r\n\r\n", true, "with status 503"),
        (
            "",
            b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\n\r\n",
            true,
            "with status 504: it got no connection",
        ),
    ] {
        let error = answered(credentials, bytes).await;
        assert_eq!((error.cause(), error.is_retryable()), (Cause::ProxyRefused, retryable), "{error}");
        assert!(error.to_string().contains(text), "`{text}` is not in `{error}`");
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("hidden") && !shown.contains("secret"), "{shown}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_http_is_not_retryable() {
    let error = answered("", b"SSH-2.0-OpenSSH_9.9\r\n").await;
    assert_eq!((error.cause(), error.is_retryable()), (Cause::Protocol, false), "{error}");
}

#[tokio::test]
async fn bytes_that_the_proxy_sends_in_the_tunnel_are_refused() {
    let error = answered("", b"HTTP/1.1 200 OK\r\n\r\nadvertisement").await;
    assert_eq!((error.cause(), error.is_retryable()), (Cause::Protocol, false), "{error}");
    assert!(error.to_string().contains("sent unexpected bytes into the tunnel"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_closes_is_retryable() {
    for rudely in [false, true] {
        let server = Server::start(move |_, mut socket| async move {
            read_request(&mut socket).await.unwrap();
            if rudely {
                reset(socket);
            }
        })
        .await;
        let error = send(&through(proxy(&server, "")).build().unwrap(), get("/")).await.unwrap_err();
        assert_eq!(
            (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
            (Delivery::NotSent, Phase::Proxy, Cause::Io, true),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_proxy_that_stalls_times_out_in_the_proxy_phase() {
    let server = Server::start(|_, socket| stall(socket)).await;
    let transport =
        through(proxy(&server, "")).with_timeouts(timeouts(|t| t.connect = SHORT)).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
        (Delivery::NotSent, Phase::Proxy, Cause::TimedOut, true)
    );
    let expected = format!(
        "the proxy `http://{}` did not open a tunnel to `api.test:443` within 80 ms (asking the proxy for a tunnel)",
        server.address()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_unreachable_proxy_fails_to_connect() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Some(format!("http://{gone}").parse().unwrap());
    let error = send(&through(proxy).build().unwrap(), get("/")).await.unwrap_err();
    assert_eq!((error.delivery(), error.phase()), (Delivery::NotSent, Phase::Connect));
    assert!(error.to_string().starts_with(&format!("the proxy `{gone}` refused")), "{error}");
}

#[tokio::test]
async fn a_tunnel_to_the_wrong_server_fails_certificate_verification() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(config(authority.identity(&["other.test"], |_| ()), &["h2"])));
    let tunnels = Server::start(move |_, mut socket| {
        let acceptor = acceptor.clone();
        async move {
            read_request(&mut socket).await.unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            serve_tls(acceptor, socket).await;
        }
    })
    .await;
    let transport = through(proxy(&tunnels, "")).with_ca_pem(authority.pem()).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!((error.phase(), error.cause()), (Phase::Tls, Cause::Certificate));
    assert!(error.to_string().contains("not valid for `api.test`, only for `other.test`"), "{error}");
}

#[tokio::test]
async fn cleartext_requests_send_the_whole_url_to_the_proxy() {
    let server = Server::start(|_, mut socket| async move {
        while let Some(request) = read_request(&mut socket).await {
            socket.write_all(&answer(&request)).await.unwrap();
        }
    })
    .await;
    let transport = HyperTransport::builder("http://api.test:8080".parse().unwrap())
        .allow_insecure_http()
        .with_proxy(proxy(&server, "u:p@"))
        .build()
        .unwrap();
    let received = text(&transport, get("/client/v4/zones?name=a")).await;
    assert_eq!(
        received,
        "GET http://api.test:8080/client/v4/zones?name=a HTTP/1.1\r\nproxy-authorization: Basic dTpw\r\n\
         host: api.test:8080\r\n\r\n"
    );
}

#[tokio::test]
async fn a_407_of_the_proxy_is_not_a_response_of_the_origin() {
    let server = Server::start(|_, mut socket| async move {
        while let Some(request) = read_request(&mut socket).await {
            let status = if request.contains("/407") { "407 Who Are You" } else { "403 Forbidden" };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
        }
    })
    .await;
    let transport = HyperTransport::builder("http://api.test".parse().unwrap())
        .allow_insecure_http()
        .with_proxy(proxy(&server, ""))
        .build()
        .unwrap();
    let error = send(&transport, get("/407")).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause()),
        (Delivery::NotSent, Phase::Proxy, Cause::ProxyRefused)
    );
    let response = send(&transport, get("/403")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body()), (403, &Bytes::new()));
}
