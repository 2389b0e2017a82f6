//! TLS from the user's point of view: trusted authorities, and messages about others. The transport's tests cover the
//! kinds of errors.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Cmd, Dir, TOKEN, ZONE, bare};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "A private authority");
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with its own certificate, which accepts every purge.
struct Server {
    port: u16,
    accepts: Arc<AtomicU64>,
}

impl Server {
    /// Starts a server with a certificate of [`config`].
    fn start(authority: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let config = config(authority, change);
        Self::accepting(move |socket| {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            answer(StreamOwned::new(tls, socket));
        })
    }

    fn accepting(serve: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepts = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&accepts);
        // It ends with the tests.
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                counting.fetch_add(1, Ordering::SeqCst);
                serve(socket.unwrap());
            }
        });
        Self { port, accepts }
    }

    /// Creates a purge of one URL at this server, which trusts only the authorities of the following arguments.
    fn purge(&self, empty: &Dir) -> Cmd {
        bare()
            .env("CLOUDFLARE_BASE_URL", format!("https://localhost:{}/client/v4", self.port))
            .env("CLOUDFLARE_ZONE_ID", ZONE)
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .env("SSL_CERT_DIR", empty.path())
            .args("purge urls https://www.example.com/a")
    }

    /// Checks that there was one connection, and that it failed permanently.
    #[track_caller]
    fn is_refused(&self, command: Cmd, why: &str) {
        let ran = command.run();
        ran.exits(5).tells(why).tells("hint: ");
        assert!(!ran.err.contains(TOKEN), "{ran:?}");
        assert_eq!(self.accepts.load(Ordering::SeqCst), 1, "{ran:?}");
    }
}

/// Creates a certificate for `localhost`, modified by `change`. Without an authority, it is self-signed.
fn config(authority: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "A server");
    change(&mut params);
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// Reads one request, and accepts it.
fn answer(mut stream: impl std::io::Read + std::io::Write) {
    let mut request = Vec::new();
    let mut some = [0; 1024];
    while !request.ends_with(b"]}") {
        match stream.read(&mut some) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&some[..read]),
        }
    }
    let body = format!(r#"{{"success":true,"errors":[],"messages":[],"result":{{"id":"{ZONE}"}}}}"#);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
}

#[test]
fn trusts_a_private_authority_with_and_without_the_platforms() {
    let authority = authority();
    let server = Server::start(Some(&authority), |_| ());
    let directory = Dir::new();
    let ours = directory.file("ours.pem", authority.pem());
    let other = directory.file("other.pem", self::authority().pem());
    let empty = directory.file("empty.pem", "");
    // As the named one, without the platform's.
    for store in [&other, &empty] {
        server.purge(&directory).env("SSL_CERT_FILE", store).arg("--ca-file").arg(&ours).run().exits(0);
    }
    server.purge(&directory).args("--roots bundled --ca-file").arg(&ours).run().exits(0);
    // As one of the platform's, with another named one.
    server.purge(&directory).env("SSL_CERT_FILE", &ours).run().exits(0);
    server.purge(&directory).env("SSL_CERT_FILE", &ours).arg("--ca-file").arg(&other).run().exits(0);
}

#[test]
fn refuses_a_certificate_of_an_unknown_authority_without_retries() {
    let unknown = "has a certificate from an authority that is not trusted here";
    let directory = Dir::new();
    let other = directory.file("other.pem", {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Another authority");
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    });
    let start = || Server::start(Some(&authority()), |_| ());

    let server = start();
    server.is_refused(server.purge(&directory).args("--roots bundled"), unknown);
    let server = start();
    server.is_refused(server.purge(&directory).env("SSL_CERT_FILE", &other), unknown);
    // An empty platform store is not the reason if an authority was named.
    let server = start();
    let none = server.purge(&directory).env("SSL_CERT_FILE", "/dev/null");
    server.is_refused(none.arg("--ca-file").arg(&other), unknown);
}

#[test]
fn reports_a_platform_without_trusted_authorities() {
    let server = Server::start(Some(&authority()), |_| ());
    let directory = Dir::new();
    let command = server.purge(&directory).env("SSL_CERT_FILE", "/dev/null");
    server.is_refused(command, "the platform's store of trusted certificates cannot be used");
    // Neither of the two exists.
    let server = Server::start(Some(&authority()), |_| ());
    let command =
        server.purge(&directory).env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    let ran = command.run();
    ran.exits(5).tells("--roots bundled");
    assert!(!ran.err.contains("check the network"), "{ran:?}");
}

#[test]
fn explains_invalid_certificates_without_retries() {
    let authority = authority();
    let directory = Dir::new();
    let ours = directory.file("ours.pem", authority.pem());
    let refused = |server: &Server, why: &str| {
        server.is_refused(server.purge(&directory).args("--roots bundled --ca-file").arg(&ours), why);
    };
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2019, 12, 1);
        params.not_after = date_time_ymd(2020, 2, 29);
    };
    refused(&Server::start(Some(&authority), expired), "has a certificate that expired on 2020-02-29");
    let misnamed = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("api.example".try_into().unwrap())];
    };
    let other_name = "is not valid for `localhost`, only for `api.example`";
    refused(&Server::start(Some(&authority), misnamed), other_name);
    refused(&Server::start(None, |_| ()), "has a self-signed certificate");
    // The alert of a server that supports only TLS 1.1.
    let old = Server::accepting(|mut socket| {
        let mut hello = [0; 1024];
        let _read = socket.read(&mut hello).unwrap();
        socket.write_all(&[21, 3, 2, 0, 2, 2, 70]).unwrap();
    });
    refused(&old, "offers neither TLS 1.2 nor TLS 1.3");
}

#[test]
fn a_visitor_does_not_continue_without_tls_after_a_failed_handshake() {
    let authority = authority();
    let directory = Dir::new();
    let ours = directory.file("ours.pem", authority.pem());
    let config = config(Some(&authority), |_| ());
    let is_first = AtomicBool::new(true);
    let server = Server::accepting(move |mut socket| {
        let mut hello = [0];
        socket.peek(&mut hello).unwrap();
        let page = b"HTTP/1.1 200 OK\r\ncf-ray: 1-FRA\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        if hello != [22] {
            socket.write_all(page).unwrap();
        } else if is_first.swap(false, Ordering::SeqCst) {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            let _head = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(page).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
    });
    let ran = bare()
        .args("probe https://localhost/a https://localhost/b --concurrency 1 --roots bundled")
        .args(&format!("--verify-connect localhost:{}", server.port))
        .arg("--ca-file")
        .arg(&ours)
        .run();
    ran.exits(5);
    assert!(ran.out.contains("200") && ran.out.contains("(setting up TLS)"), "{ran:?}");
}
