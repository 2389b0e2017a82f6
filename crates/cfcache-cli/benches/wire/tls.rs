//! TLS: a whole process compared with `curl`, and HTTP/2 compared with HTTP/1.1.

use core::time::Duration;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cfcache_client::engine::Policy;
use cfcache_client::{PurgeScope, entries};
use cfcache_model::Kind;
use cfcache_model::endpoint::Action;
use cfcache_model::plan::{BatchLimits, Entry};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use crate::server::Server;
use crate::{TOKEN, ZONE, block_on, client, median, process, urls, verdict, zone};

/// The number of measured pairs of runs, and of pairs to warm up.
const PAIRS: usize = 200;
const WARM_UP: usize = 10;

/// The maximum ratio to the time of `curl`.
const TARGET: f64 = 0.5;

const BATCH: usize = 100;
const BATCHES: usize = 1000;
const ROUNDS: usize = 9;

/// The file with the trusted authorities on Debian and its derivatives.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

const URL: &str = "https://www.example.com/css/styles.css";

pub(crate) fn run() -> bool {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let identity = Identity::new();
    let ours = directory.join("authority.pem");
    std::fs::write(&ours, &identity.authority).unwrap();
    let server = Server::fixed(Some(identity.acceptor(&["h2", "http/1.1"])));
    let ours = ours.to_str().unwrap();

    println!("one URL over TLS as a whole process, {PAIRS} pairs in turn after {WARM_UP}, medians:");
    let mut purge = process::cfcache(&server.base());
    purge.args(["--ca-file", ours, "--quiet", "purge", "urls", URL]);
    // `cfcache` trusts the machine's authorities and this one, so `curl` must too.
    let both = directory.join("authorities.pem");
    let mut authorities = std::fs::read(AUTHORITIES).unwrap();
    authorities.extend_from_slice(identity.authority.as_bytes());
    std::fs::write(&both, authorities).unwrap();
    let mut met = compare(&mut purge, "the same authorities", &mut curl(&server, both.to_str().unwrap()));
    met &= compare(&mut purge, "that one authority alone", &mut curl(&server, ours));
    drop(server);

    println!("\n{BATCHES} requests of {BATCH} URLs over TLS, medians of {ROUNDS} rounds in turn:");
    let list = urls(BATCH * BATCHES);
    let two = Server::fixed(Some(identity.acceptor(&["h2"])));
    let one = Server::fixed(Some(identity.acceptor(&["http/1.1"])));
    let (mut http2, mut http1) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        http2.push(send(&two, &identity, &list));
        http1.push(send(&one, &identity, &list));
    }
    let connections = |server: &Server| server.connections() as f64 / ROUNDS as f64;
    let (http2, http1) = (median(http2), median(http1));
    println!("  HTTP/2:   {}, connections {}", shown(http2), connections(&two));
    println!("  HTTP/1.1: {}, connections {}", shown(http1), connections(&one));
    println!("  HTTP/2 over HTTP/1.1: {:.3}", http2.as_secs_f64() / http1.as_secs_f64());
    met
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn curl(server: &Server, authorities: &str) -> Command {
    let mut curl = process::program("curl");
    curl.args(["--disable", "--silent", "--show-error", "--fail", "--http2", "--request", "POST"])
        .args(["--cacert", authorities])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--header", "Content-Type: application/json"])
        .args(["--data", &format!(r#"{{"files":["{URL}"]}}"#)])
        .arg(format!("{}/zones/{ZONE}/purge_cache", server.base()));
    curl
}

fn compare(purge: &mut Command, what: &str, curl: &mut Command) -> bool {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..WARM_UP + PAIRS {
        let times = (process::time(purge), process::time(curl));
        if pair >= WARM_UP {
            ours.push(times.0);
            theirs.push(times.1);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let what = format!("cfcache {}, curl --http2 with {what} {}, ratio", shown(ours), shown(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    verdict(&what, ratio, ratio <= TARGET, "at most 0.5")
}

/// A thousand batches, including handshakes.
fn send(server: &Server, identity: &Identity, list: &str) -> Duration {
    block_on(async {
        let mut policy = Policy::default();
        policy.limits = None;
        let client =
            client(&server.base(), policy, |builder| builder.with_ca_pem(identity.authority.as_bytes()));
        let entry = |line| Entry::parse(Kind::Files, line, &mut |_| {}).unwrap();
        let run = PurgeScope::new(Action::Purge, zone(), Kind::Files, BatchLimits::new(BATCH));
        let input = entries(list.lines().map(entry));
        let begun = Instant::now();
        let tally = client.run(&run, input, core::future::pending(), &mut ()).await;
        assert_eq!(tally.accepted, (BATCH * BATCHES) as u64, "{tally:?}");
        begun.elapsed()
    })
}

/// A server's certificate, and the authority that signed it.
struct Identity {
    authority: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Identity {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        // With the same name, the server's certificate would look self-signed.
        params.distinguished_name.push(DnType::CommonName, "An authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "A server");
        let certificate = params.signed_by(&key, &authority).unwrap();
        Self { authority: authority.pem(), certificate, key }
    }

    fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
