//! TLS: which certificates are accepted, which are refused, and with which reason.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use cfcache_transport::{
    Cause, Delivery, HyperTransport, HyperTransportBuilder, Phase, Roots, TransportError,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, RootCertStore, ServerConfig, crypto::ring};

use crate::support::{SHORT, Server, answer_all, get, reset, send, stall, text, timeouts};

/// A test's own certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The certificates of a server, and its private key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("A private authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn identity(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "A server");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn self_signed(is_ca: IsCa) -> Identity {
    self_signed_with(is_ca, |_| ()).0
}

/// A self-signed certificate, and the same in PEM.
fn self_signed_with(is_ca: IsCa, change: impl FnOnce(&mut CertificateParams)) -> (Identity, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = is_ca;
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ((vec![certificate.der().clone()], key), certificate.pem())
}

pub(crate) fn config((chain, key): Identity, alpn: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    config
}

/// Serves "secure" over TLS with the negotiated protocol, until the connection ends.
pub(crate) async fn serve_tls(acceptor: TlsAcceptor, socket: TcpStream) {
    let Ok(tls) = acceptor.accept(socket).await else { return };
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return answer_all(tls, "secure").await;
    }
    let mut connection = h2::server::handshake(tls).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data("secure".into(), true).unwrap();
    }
}

async fn server(config: ServerConfig) -> Server {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |_, socket| serve_tls(acceptor.clone(), socket)).await
}

/// A transport that trusts Mozilla's list, and nothing from the machine that runs the test.
fn builder(server: &Server) -> HyperTransportBuilder {
    let origin = format!("https://{}", server.address()).parse().unwrap();
    HyperTransport::builder(origin).with_roots(Roots::Bundled)
}

async fn refused(identity: Identity, authority: Option<&Authority>) -> TransportError {
    let server = server(config(identity, &["h2"])).await;
    let mut builder = builder(&server);
    if let Some(authority) = authority {
        builder = builder.with_ca_pem(authority.pem());
    }
    send(&builder.build().unwrap(), get("/")).await.unwrap_err()
}

#[track_caller]
fn assert_final(error: &TransportError, cause: Cause, text: &str) {
    assert_eq!(
        (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
        (Delivery::NotSent, Phase::Tls, cause, false),
        "{error}"
    );
    assert!(error.to_string().contains(text), "`{text}` is not in `{error}`");
}

#[tokio::test]
async fn the_server_chooses_http2_or_http1() {
    let authority = Authority::new();
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], http::Version::HTTP_2),
        (&["h2"], http::Version::HTTP_2),
        (&["http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        let server = server(config(authority.identity(&["127.0.0.1"], |_| ()), alpn)).await;
        let transport = builder(&server).with_ca_pem(authority.pem()).build().unwrap();
        for _ in 0..3 {
            let response = send(&transport, get("/")).await.unwrap();
            assert_eq!((response.version(), &response.body()[..]), (version, &b"secure"[..]), "{alpn:?}");
        }
        assert_eq!(server.accepts(), 1, "{alpn:?}");
    }
}

#[tokio::test]
async fn concurrent_requests_share_the_first_handshake() {
    let authority = Authority::new();
    let server = server(config(authority.identity(&["127.0.0.1"], |_| ()), &["h2"])).await;
    let transport = Arc::new(builder(&server).with_ca_pem(authority.pem()).build().unwrap());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let transport = Arc::clone(&transport);
            tokio::spawn(async move { text(&transport, get("/")).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "secure");
    }
    assert_eq!(server.accepts(), 1);
}

#[tokio::test]
async fn tls_1_2_and_1_3_work_and_sessions_are_resumed() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let (chain, key) = authority.identity(&["127.0.0.1"], |_| ());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&kinds);
        let server = Server::start(move |_, socket| {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            async move {
                let mut tls = acceptor.accept(socket).await.unwrap();
                seen.lock().unwrap().push(tls.get_ref().1.handshake_kind().unwrap());
                crate::support::read_request(&mut tls).await.unwrap();
                let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                tls.write_all(head).await.unwrap();
                tls.shutdown().await.unwrap();
                // Waits for the client to close, so that session tickets are not lost to a reset.
                drop(tls.read(&mut [0; 16]).await);
            }
        })
        .await;
        let transport = builder(&server).with_ca_pem(authority.pem()).build().unwrap();
        for _ in 0..2 {
            text(&transport, get("/")).await;
        }
        assert_eq!(*kinds.lock().unwrap(), [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_if_it_is_configured() {
    let authority = Authority::new();
    let other = Authority::new();
    let both = format!("{}{}", other.pem(), authority.pem());
    let server = server(config(authority.identity(&["127.0.0.1"], |_| ()), &["h2"])).await;
    for roots in [Roots::Bundled, Roots::Platform] {
        let transport = builder(&server).with_roots(roots).with_ca_pem(both.clone()).build().unwrap();
        assert_eq!(text(&transport, get("/")).await, "secure");
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let identity = Authority::new().identity(&["127.0.0.1"], |_| ());
    let error = refused(identity, Some(&Authority::named("Another authority"))).await;
    assert_final(&error, Cause::Certificate, "has a certificate from an authority that is not trusted here");
}

#[tokio::test]
async fn an_authority_with_only_the_name_of_a_trusted_one_is_refused() {
    let identity = Authority::new().identity(&["127.0.0.1"], |_| ());
    let error = refused(identity, Some(&Authority::new())).await;
    assert_final(&error, Cause::Certificate, "the trusted authority of that name did not sign");
}

#[tokio::test]
async fn the_platforms_store_does_not_trust_a_private_authority() {
    let identity = Authority::new().identity(&["127.0.0.1"], |_| ());
    let server = server(config(identity, &["h2"])).await;
    let transport = builder(&server).with_roots(Roots::Platform).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    // A container may have no trust store, which is another error that is not retryable.
    assert!(matches!(error.cause(), Cause::Certificate | Cause::TrustStore), "{error}");
    assert_eq!((error.phase(), error.is_retryable()), (Phase::Tls, false));
}

#[tokio::test]
async fn an_expired_certificate_is_refused_with_its_date() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2019, 12, 1);
        params.not_after = date_time_ymd(2020, 2, 29);
    });
    let error = refused(identity, Some(&authority)).await;
    assert_final(&error, Cause::Certificate, "has a certificate that expired on 2020-02-29");
}

#[tokio::test]
async fn a_certificate_from_the_future_is_refused_with_its_date() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2999, 12, 31);
        params.not_after = date_time_ymd(3001, 1, 1);
    });
    let error = refused(identity, Some(&authority)).await;
    assert_final(&error, Cause::Certificate, "has a certificate that is not valid before 2999-12-31");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_both_names() {
    let authority = Authority::new();
    let identity = authority.identity(&["api.example", "*.www.example"], |_| ());
    let error = refused(identity, Some(&authority)).await;
    let expected = "is not valid for `127.0.0.1`, only for `api.example`, `*.www.example`";
    assert_final(&error, Cause::Certificate, expected);
}

#[tokio::test]
async fn a_self_signed_certificate_is_reported_as_self_signed() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let error = refused(self_signed(is_ca), None).await;
        assert_final(&error, Cause::Certificate, "has a self-signed certificate");
    }
}

#[tokio::test]
async fn a_configured_self_signed_certificate_is_trusted_only_for_its_name_and_validity() {
    let past = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 2, 29);
    let elsewhere = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("api.example".try_into().unwrap())];
    };
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let named = async |identity: Identity, pem: &str| {
            let server = server(config(identity, &["h2"])).await;
            let builder = builder(&server).with_roots(Roots::Bundled).with_ca_pem(pem.as_bytes());
            send(&builder.build().unwrap(), get("/")).await.map(|response| response.status())
        };
        let (identity, pem) = self_signed_with(is_ca, |_| ());
        assert_eq!(named(identity, &pem).await.unwrap(), 200, "{is_ca:?}");
        // A certificate of the same form that was not named as trusted.
        let error = named(self_signed(is_ca), &pem).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Certificate, "{error}");
        let (identity, pem) = self_signed_with(is_ca, past);
        let error = named(identity, &pem).await.unwrap_err();
        assert_final(&error, Cause::Certificate, "has a certificate that expired on 2020-02-29");
        let (identity, pem) = self_signed_with(is_ca, elsewhere);
        let error = named(identity, &pem).await.unwrap_err();
        assert_final(&error, Cause::Certificate, "is not valid for `127.0.0.1`, only for `api.example`");
    }
}

#[tokio::test]
async fn a_certificate_not_meant_for_servers_is_refused() {
    let authority = Authority::new();
    let identity = authority.identity(&["127.0.0.1"], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let error = refused(identity, Some(&authority)).await;
    assert_final(&error, Cause::Certificate, "has a certificate that is not meant for servers");
}

/// A server that answers the start of the handshake with `bytes`, and then waits.
async fn answering(bytes: &'static [u8]) -> TransportError {
    let server = Server::start(move |_, mut socket| async move {
        socket.read_exact(&mut [0; 5]).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        stall(socket).await;
    })
    .await;
    send(&builder(&server).build().unwrap(), get("/")).await.unwrap_err()
}

#[tokio::test]
async fn a_server_of_tls_1_1_is_refused_for_good() {
    // A fatal `protocol_version` alert, as a server limited to TLS 1.1 sends it.
    let error = answering(&[21, 3, 2, 0, 2, 2, 70]).await;
    assert_final(&error, Cause::Protocol, "offers neither TLS 1.2 nor TLS 1.3");
    // A ServerHello that goes ahead with TLS 1.1 (version 3.2, random, no session, cipher 0x002f).
    const HELLO: &[u8] = &[
        22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0x2f, 0,
    ];
    let error = answering(HELLO).await;
    assert_final(&error, Cause::Protocol, "offers neither TLS 1.2 nor TLS 1.3");
}

#[tokio::test]
async fn a_server_without_a_common_cipher_is_not_retryable() {
    let error = answering(&[21, 3, 3, 0, 2, 2, 40]).await;
    assert_final(&error, Cause::Protocol, "supports none of our TLS ciphers");
}

#[tokio::test]
async fn a_server_without_tls_is_not_retryable() {
    let error = answering(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    assert_final(&error, Cause::Protocol, "does not speak TLS");
}

#[tokio::test]
async fn a_server_that_speaks_neither_http2_nor_http1_is_refused_for_good() {
    let authority = Authority::new();
    let server = server(config(authority.identity(&["127.0.0.1"], |_| ()), &["smtp"])).await;
    let transport = builder(&server).with_ca_pem(authority.pem()).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_final(&error, Cause::Protocol, "speaks neither HTTP/2 nor HTTP/1.1");
}

#[tokio::test]
async fn an_internal_error_alert_is_retryable() {
    let error = answering(&[21, 3, 3, 0, 2, 2, 80]).await;
    assert_eq!(
        (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
        (Delivery::NotSent, Phase::Tls, Cause::Io, true),
        "{error}"
    );
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_is_retryable() {
    for rudely in [false, true] {
        let server = Server::start(move |_, mut socket| async move {
            socket.read_exact(&mut [0; 5]).await.unwrap();
            if rudely { reset(socket) } else { socket.shutdown().await.unwrap() }
        })
        .await;
        let error = send(&builder(&server).build().unwrap(), get("/")).await.unwrap_err();
        assert_eq!(
            (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
            (Delivery::NotSent, Phase::Tls, Cause::Io, true),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_stalled_handshake_times_out_in_the_tls_phase() {
    let server = Server::start(|_, socket| stall(socket)).await;
    let transport = builder(&server).with_timeouts(timeouts(|t| t.tls = SHORT)).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!(
        (error.delivery(), error.phase(), error.cause(), error.is_retryable()),
        (Delivery::NotSent, Phase::Tls, Cause::TimedOut, true)
    );
    let expected =
        format!("`{}` did not finish the TLS handshake within 80 ms (setting up TLS)", server.address());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_demand_for_a_client_certificate_is_reported() {
    let authority = Authority::new();
    let (chain, key) = authority.identity(&["127.0.0.1"], |_| ());
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |_, socket| {
        let acceptor = acceptor.clone();
        async move {
            let refused = acceptor.accept(socket).into_fallible().await.map(|_| ()).unwrap_err();
            // Continues reading, so that the alert is not lost to a reset.
            let (_, mut socket) = refused;
            drop(socket.read_to_end(&mut Vec::new()).await);
        }
    })
    .await;
    let transport = builder(&server).with_ca_pem(authority.pem()).build().unwrap();
    let error = send(&transport, get("/")).await.unwrap_err();
    assert_eq!((error.cause(), error.is_retryable()), (Cause::Protocol, false), "{error}");
    assert!(error.to_string().contains("demands a client certificate"), "{error}");
}

#[test]
fn the_test_host_is_an_ip_address() {
    // `CertificateParams::new` creates an IP name from it; as a DNS name it would change the meaning of every test
    // above.
    assert!("127.0.0.1".parse::<IpAddr>().is_ok());
}
