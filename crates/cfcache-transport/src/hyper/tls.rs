//! TLS. Only this module and its submodules use rustls.

mod trust;

use core::error::Error as StdError;
use core::task::{Context, Poll};
use std::io;
use std::sync::{Arc, OnceLock};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::hyper::Roots;
use crate::hyper::failure::{describe_io, links};
use crate::hyper::tls::trust::{Trust, TrustError};
use crate::{Cause, Delivery, Origin, Phase, TransportError};

/// A connection, with or without TLS.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The negotiated protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A connection without TLS.
pub(crate) fn cleartext(tcp: TcpStream) -> Stream {
    MaybeHttpsStream::Http(TokioIo::new(tcp))
}

/// The trust settings, and the TLS configuration made from them when the first connection is opened. A run over
/// loopback without TLS must not pay for that.
pub(crate) struct Tls {
    roots: Roots,
    private: Vec<CertificateDer<'static>>,
    config: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

impl Tls {
    pub(crate) fn new(roots: Roots, private: Vec<CertificateDer<'static>>) -> Self {
        Self { roots, private, config: OnceLock::new() }
    }

    /// Starts the slow parts of the preparation, so that they run while the connection is opened.
    pub(crate) fn prepare(&self) {
        let _later = self.config();
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TransportError> {
        self.config.get_or_init(|| self.build()).clone().map_err(|error| {
            let detail = "TLS cannot be set up";
            TransportError::new(Delivery::NotSent, Phase::Tls, Cause::Configuration, detail)
                .with_source(error)
        })
    }

    fn build(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        // Passed explicitly: the process-wide default panics if two crates disagree about it.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust::new(self.roots, &self.private, Arc::clone(&provider))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            // `dangerous` because it accepts any verifier; `Trust` never accepts a certificate that a verifier refused.
            .dangerous()
            .with_custom_certificate_verifier(trust)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Performs the TLS handshake over `tcp` and returns the protocol that the server chose.
    pub(crate) async fn handshake(
        &self,
        tcp: TcpStream,
        origin: &Origin,
    ) -> Result<(Stream, Protocol), TransportError> {
        let peer = origin.authority();
        let uri: Uri = origin.to_string().parse().map_err(|error: http::uri::InvalidUri| {
            let detail = format!("`{peer}` cannot be used in a TLS handshake");
            TransportError::new(Delivery::NotSent, Phase::Tls, Cause::Configuration, detail)
                .with_source(error)
        })?;
        let mut connector = HttpsConnector::from((OpenConnection(Some(TokioIo::new(tcp))), self.config()?));
        connector.enforce_https();
        let stream = connector.call(uri).await.map_err(|error| explain(error, &peer))?;
        let protocol = match &stream {
            MaybeHttpsStream::Https(tls) => match tls.inner().get_ref().1.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            },
            MaybeHttpsStream::Http(_) => Protocol::Http1,
        };
        Ok((stream, protocol))
    }
}

/// Returns whether a certificate can be valid for the origin's host at all.
pub(crate) fn can_certify(origin: &Origin) -> bool {
    ServerName::try_from(origin.host()).is_ok()
}

/// Reads the certificates of private authorities from PEM. Fails if there is none, or if one cannot be used as an
/// authority.
pub(crate) fn read_authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut store = RootCertStore::empty();
    let mut authorities = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let certificate =
            certificate.map_err(|error| format!("certificate {} is not PEM: {error}", index + 1))?;
        store
            .add(certificate.clone())
            .map_err(|error| format!("certificate {} cannot be used: {error}", index + 1))?;
        authorities.push(certificate);
    }
    if authorities.is_empty() {
        return Err("it holds no `BEGIN CERTIFICATE` block".to_owned());
    }
    Ok(authorities)
}

/// Passes an open connection to `HttpsConnector`, so that each phase has its own time limit.
struct OpenConnection(Option<TokioIo<TcpStream>>);

impl Service<Uri> for OpenConnection {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = core::future::Ready<Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        core::future::ready(self.0.take().ok_or_else(|| io::Error::other("the connection was taken already")))
    }
}

/// Finds a rustls error in a chain of errors.
pub(crate) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    links(error).find_map(|error| error.downcast_ref())
}

/// Returns the error for a failed handshake.
fn explain(error: Box<dyn StdError + Send + Sync>, peer: &str) -> TransportError {
    let fail = |cause, detail: String| TransportError::new(Delivery::NotSent, Phase::Tls, cause, detail);
    let described = match find(&*error) {
        Some(error) => match TrustError::no_store(error) {
            Some(store) => fail(Cause::TrustStore, store.to_string()),
            None => {
                let (cause, text) = describe(error);
                fail(cause, format!("`{peer}` {text}"))
            }
        },
        None => {
            let what = describe_io(&*error).unwrap_or("closed the connection");
            fail(Cause::Io, format!("`{peer}` {what}"))
        }
    };
    described.with_source(error)
}

/// Returns the cause and a description that can follow the server's name.
pub(crate) fn describe(error: &rustls::Error) -> (Cause, String) {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(error) => (Cause::Certificate, describe_certificate(error)),
        Error::NoCertificatesPresented => (Cause::Certificate, "presented no certificate".to_owned()),
        Error::AlertReceived(AlertDescription::ProtocolVersion) | Error::PeerIncompatible(_) => {
            (Cause::Protocol, "offers neither TLS 1.2 nor TLS 1.3 with a supported cipher".to_owned())
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            (Cause::Protocol, "supports none of our TLS ciphers".to_owned())
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            (Cause::Protocol, "does not serve this name over TLS".to_owned())
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            (Cause::Protocol, "demands a client certificate, which is not supported".to_owned())
        }
        Error::NoApplicationProtocol | Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            (Cause::Protocol, "speaks neither HTTP/2 nor HTTP/1.1 over TLS".to_owned())
        }
        // A problem of the server that may be temporary.
        Error::AlertReceived(AlertDescription::InternalError) => {
            (Cause::Io, "ended the TLS handshake with an internal error".to_owned())
        }
        Error::AlertReceived(alert) => (Cause::Protocol, format!("refused TLS with the alert {alert:?}")),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => (Cause::Protocol, "does not speak TLS, or breaks its rules".to_owned()),
        _ => (Cause::Protocol, "failed during the TLS handshake".to_owned()),
    }
}

fn describe_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::ExpiredContext { not_after, .. } => {
            format!("has a certificate that expired on {}", format_date(*not_after))
        }
        E::Expired => "has a certificate that has expired".to_owned(),
        E::NotValidYetContext { not_before, .. } => {
            format!("has a certificate that is not valid before {}", format_date(*not_before))
        }
        E::NotValidYet => "has a certificate that is not valid yet".to_owned(),
        E::NotValidForNameContext { expected, presented } => {
            const SHOWN: usize = 4;
            let expected = expected.to_str();
            let mut names: Vec<String> = presented.iter().take(SHOWN).map(|name| readable(name)).collect();
            if presented.len() > SHOWN {
                names.push(format!("{} more", presented.len() - SHOWN));
            }
            if names.is_empty() {
                format!("has a certificate that is not valid for `{expected}`, nor for any other name")
            } else {
                format!("has a certificate that is not valid for `{expected}`, only for {}", names.join(", "))
            }
        }
        E::NotValidForName => "has a certificate that is not valid for this name".to_owned(),
        // A browser may fetch or know a missing intermediate certificate; this client may not.
        E::UnknownIssuer => {
            "has a certificate from an authority that is not trusted here, or does not send the whole \
                             chain"
                .to_owned()
        }
        E::Other(error) if TrustError::is_self_signed(error) => {
            "has a self-signed certificate that is not trusted".to_owned()
        }
        E::Revoked => "has a certificate that was revoked".to_owned(),
        E::BadSignature => {
            "has a certificate that the trusted authority of that name did not sign".to_owned()
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "has a certificate that is not meant for servers".to_owned()
        }
        E::BadEncoding => "has a certificate that cannot be read".to_owned(),
        _ => "has a certificate that is not acceptable".to_owned(),
    }
}

/// Returns the name in `DnsName("a.test")`, the form in which rustls shows names.
fn readable(presented: &str) -> String {
    let name = presented.split_once('"').and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
    format!("`{}`", name.unwrap_or(presented))
}

/// Formats the date of a time: `2026-11-22`.
///
/// Counts days in eras of 400 years, which all have the same length.
fn format_date(time: UnixTime) -> String {
    const DAYS_PER_ERA: u64 = 146_097;
    const DAYS_FROM_0000_03_01_TO_1970: u64 = 719_468;
    let days = time.as_secs() / 86_400 + DAYS_FROM_0000_03_01_TO_1970;
    let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months count from March, so that the leap day is the last day.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn days_are_formatted_as_calendar_dates() {
        let day = |secs| format_date(UnixTime::since_unix_epoch(Duration::from_secs(secs)));
        for (secs, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(secs), expected);
        }
    }
}
