//! Verification of server certificates.

use core::error::Error as StdError;
use core::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use crate::hyper::Roots;

type Verifier = Arc<dyn ServerCertVerifier>;

/// Verifies a certificate against the private authorities first, and then against the public ones.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    private: Option<Verifier>,
    /// The certificates of the private authorities: a server may use one of them as its own.
    named: Vec<CertificateDer<'static>>,
    roots: Roots,
    /// The public authorities, once they have been read. Reading the platform's store takes milliseconds.
    public: OnceLock<Result<Verifier, Error>>,
}

impl Trust {
    pub(super) fn new(
        roots: Roots,
        named: &[CertificateDer<'static>],
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, Error> {
        let mut store = RootCertStore::empty();
        for root in named {
            store.add(root.clone())?;
        }
        let private = (!store.is_empty()).then(|| webpki(store, &provider)).transpose()?;
        let trust =
            Arc::new(Self { provider, private, named: named.to_vec(), roots, public: OnceLock::new() });
        // Reads them while the name is looked up and the connection is opened. With a private authority they are rarely
        // needed.
        if trust.private.is_none() && roots == Roots::Platform {
            let ahead = Arc::clone(&trust);
            // If no thread can be started, they are read when they are needed.
            let read = move || drop(ahead.public());
            let _detached = thread::Builder::new().name("trusted roots".to_owned()).spawn(read);
        }
        Ok(trust)
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Returns the public authorities; waits if they are being read already.
    fn public(&self) -> Result<&Verifier, Error> {
        let read = || match self.roots {
            Roots::Platform => {
                let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&self.provider));
                verifier.map(|verifier| Arc::new(verifier) as Verifier)
            }
            Roots::Bundled => {
                let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
                webpki(RootCertStore { roots }, &self.provider)
            }
        };
        self.public.get_or_init(read).as_ref().map_err(|error| {
            let roots = self.roots;
            Error::Other(OtherError(Arc::new(TrustError::NoStore { roots, source: error.clone() })))
        })
    }
}

fn webpki(store: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Verifier, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map(|verifier| verifier as Verifier)
        .map_err(|error| Error::General(error.to_string()))
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ask = |verifier: &Verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let private = self.private.as_ref().map(ask);
        if let Some(Ok(verified)) = private {
            return Ok(verified);
        }
        if let Some(Err(refusal)) = &private
            && is_authority_itself(refusal)
            && self.named.iter().any(|named| named == end_entity)
        {
            // `openssl req -x509` creates an authority by default, and servers use it as their own certificate. It was
            // named as trusted, so there is no other authority to check; its dates were checked before this refusal.
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let public = match self.public().and_then(ask) {
            Ok(verified) => return Ok(verified),
            Err(refusal) => refusal,
        };
        let refusal = reason(private.and_then(Result::err), public);
        if is_unknown(&refusal) && intermediates.is_empty() && is_self_issued(end_entity) == Some(true) {
            let reason = OtherError(Arc::new(TrustError::SelfSigned));
            return Err(Error::InvalidCertificate(CertificateError::Other(reason)));
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

/// Chooses between the errors of the private and of the public authorities: the one that knows the issuer has the
/// reason.
fn reason(private: Option<Error>, public: Error) -> Error {
    let says_nothing = match &public {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        // A user who names a private authority may have no other trust store.
        _ => TrustError::no_store(&public).is_some(),
    };
    private.filter(|_| says_nothing).unwrap_or(public)
}

/// Returns whether a certificate was refused because it belongs to an authority and not to a server.
fn is_authority_itself(refusal: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(error))) = refusal else { return false };
    // The name of webpki's error, whose type is not accessible here. A test checks that the name is still correct.
    error.to_string() == "CaUsedAsEndEntity"
}

/// Returns whether no known authority vouches for it.
fn is_unknown(refusal: &Error) -> bool {
    // webpki reports `CaUsedAsEndEntity` (an `Other`) for the certificates that `openssl req -x509` makes by default.
    let Error::InvalidCertificate(reason) = refusal else { return false };
    matches!(reason, CertificateError::UnknownIssuer | CertificateError::Other(_))
}

/// The errors of [`Trust`] that rustls has no variant for.
#[derive(Debug)]
pub(super) enum TrustError {
    /// The public root certificates cannot be read.
    NoStore { roots: Roots, source: Error },
    /// The certificate is its own issuer.
    SelfSigned,
}

impl TrustError {
    /// Returns the error if the public root certificates cannot be read.
    pub(super) fn no_store(error: &Error) -> Option<&Self> {
        let Error::Other(other) = error else { return None };
        other.0.downcast_ref().filter(|error| matches!(error, Self::NoStore { .. }))
    }

    /// Returns whether a certificate was refused because it is its own issuer.
    pub(super) fn is_self_signed(error: &OtherError) -> bool {
        matches!(error.0.downcast_ref(), Some(Self::SelfSigned))
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoStore { roots: Roots::Platform, .. } => {
                "the platform's store of trusted certificates cannot be used"
            }
            Self::NoStore { roots: Roots::Bundled, .. } => "the bundled trusted certificates cannot be used",
            Self::SelfSigned => "self-signed certificate",
        })
    }
}

impl StdError for TrustError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NoStore { source, .. } => Some(source),
            Self::SelfSigned => None,
        }
    }
}

/// Returns whether a certificate names itself as its issuer; `None` where it cannot be read.
///
/// Parses only as much DER as is needed to skip the preceding fields (RFC 5280, section 4.1): version, serial number,
/// signature algorithm, **issuer**, validity, **subject**.
fn is_self_issued(certificate: &[u8]) -> Option<bool> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    let (_, _, fields) = element(fields)?;
    let (_, _, fields) = element(fields)?;
    let (_, issuer, fields) = element(fields)?;
    let (_, _, fields) = element(fields)?;
    let (_, subject, _) = element(fields)?;
    Some(issuer == subject)
}

/// Splits off the first DER element: its tag, its contents, and the remaining bytes.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
    };
    let (contents, after) = rest.split_at_checked(len)?;
    Some((tag, contents, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::*;

    #[test]
    fn the_error_comes_from_the_side_that_knows_the_issuer() {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let expired = || Error::InvalidCertificate(CertificateError::Expired);
        let revoked = || Error::InvalidCertificate(CertificateError::Revoked);
        let source = Error::General("empty".to_owned());
        let no_store = || {
            let error = TrustError::NoStore { roots: Roots::Platform, source: source.clone() };
            Error::Other(OtherError(Arc::new(error)))
        };
        for (private, public, expected) in [
            (None, unknown(), "UnknownIssuer"),
            (None, no_store(), "NoStore"),
            (Some(unknown()), unknown(), "UnknownIssuer"),
            (Some(unknown()), expired(), "Expired"),
            (Some(unknown()), no_store(), "UnknownIssuer"),
            (Some(expired()), unknown(), "Expired"),
            (Some(expired()), no_store(), "Expired"),
            (Some(expired()), revoked(), "Revoked"),
        ] {
            let reason = format!("{:?}", reason(private, public));
            assert!(reason.contains(expected), "{reason}, and not {expected}");
        }
    }

    #[test]
    fn self_issued_certificates_are_detected() {
        let authority = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(params, authority).unwrap();
        assert_eq!(is_self_issued(authority.der()), Some(true));

        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a server");
        let server = params.signed_by(&key, &authority).unwrap();
        assert_eq!(is_self_issued(server.der()), Some(false));
        for len in 0..server.der().len() {
            assert_eq!(is_self_issued(&server.der()[..len]), None, "cut to {len} bytes");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_reading_a_certificate_panic(bytes in any::<Vec<u8>>()) {
            let _: Option<bool> = is_self_issued(&bytes);
        }
    }
}
