//! Signatures of the Standard Webhooks specification, version 1: HMAC-SHA256 over id, time and body.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, 1.0.0.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use ring::hmac;
use zeroize::Zeroizing;

/// The maximum difference between the sender's clock and this one. The specification does not set it; its libraries use
/// five minutes.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The maximum number of signatures of one message that are checked. A sender adds one for each of its secrets.
const MAX_SIGNATURES: usize = 8;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// The headers of a signed message whose timestamp is valid. The signature can be verified only with the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedHead {
    /// The signed text before the body: `id.timestamp.`.
    prefix: String,
    signatures: Vec<Vec<u8>>,
}

/// Why a message does not have a valid signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsigned {
    /// A header is missing or invalid.
    #[error("the header `{0}` is missing or invalid")]
    Header(&'static str),
    /// The timestamp is too far from now: the message is old, or a clock is wrong.
    #[error(
        "`webhook-timestamp` is {seconds} seconds {} this server's clock, and at most 300 are allowed",
        if *is_past { "before" } else { "after" }
    )]
    Time {
        /// The difference.
        seconds: u64,
        /// Whether the timestamp is in the past.
        is_past: bool,
    },
    /// No signature is valid for any of the secrets.
    #[error("no signature in `webhook-signature` is valid")]
    Signature,
}

impl SignedHead {
    /// Returns whether a message has a signature header.
    #[must_use]
    pub(crate) fn is_in(headers: &HeaderMap) -> bool {
        headers.contains_key(SIGNATURE)
    }

    /// Reads the headers, before the body is read.
    ///
    /// # Errors
    ///
    /// [`Unsigned`] if a header is missing or invalid, or the timestamp is too far from `now`.
    pub(crate) fn read(headers: &HeaderMap, now: SystemTime) -> Result<Self, Unsigned> {
        let id = text(headers, ID)?;
        let timestamp = text(headers, TIMESTAMP)?;
        let is_number = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: u64 = timestamp.parse().ok().filter(|_| is_number).ok_or(Unsigned::Header(TIMESTAMP))?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if now.abs_diff(seconds) > TOLERANCE.as_secs() {
            return Err(Unsigned::Time { seconds: now.abs_diff(seconds), is_past: seconds < now });
        }
        let signatures: Vec<Vec<u8>> = text(headers, SIGNATURE)?
            .split(' ')
            // Other versions, such as `v1a` with public keys, are not supported and are ignored.
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|signature| BASE64_STANDARD.decode(signature).ok())
            .take(MAX_SIGNATURES)
            .collect();
        if signatures.is_empty() {
            return Err(Unsigned::Header(SIGNATURE));
        }
        Ok(Self { prefix: format!("{id}.{timestamp}."), signatures })
    }

    /// Returns the bytes that the signature covers.
    #[must_use]
    pub(crate) fn signed(&self, body: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), body].concat()
    }

    /// Returns whether one of the signatures is valid for the bytes of [`signed`](Self::signed). The comparison takes
    /// constant time.
    #[must_use]
    pub(crate) fn is_valid(&self, key: &hmac::Key, signed: &[u8]) -> bool {
        // The body is hashed once for all signatures. `ring` can compare only signatures of its own, so the hashes of
        // both signatures are compared.
        let expected = hmac::sign(key, signed);
        let is_right = |signature: &Vec<u8>| {
            hmac::verify(key, expected.as_ref(), hmac::sign(key, signature).as_ref()).is_ok()
        };
        self.signatures.iter().any(is_right)
    }
}

/// Returns the value of a header that is given once and consists of visible ASCII and blanks.
fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Unsigned> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) if !value.is_empty() => Ok(value),
        _ => Err(Unsigned::Header(name)),
    }
}

/// Parses a secret: `whsec_` and base64. Returns `None` if it is invalid, or shorter than 24 bytes or longer than 64,
/// the limits of the specification.
#[must_use]
pub(crate) fn key(secret: &str) -> Option<hmac::Key> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded).ok()?);
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's libraries. Python's `hmac` and `base64` give the same signature.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: [(&str, &str); 3] = [
        (ID, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (TIMESTAMP, "1614265330"),
        (SIGNATURE, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn headers(changed: &[(&str, Option<&str>)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in SIGNED {
            headers.insert(name, value.parse().unwrap());
        }
        for (name, value) in changed {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            match value {
                Some(value) => headers.insert(name, value.parse().unwrap()),
                None => headers.remove(name),
            };
        }
        headers
    }

    fn verify(headers: &HeaderMap, body: &[u8], now: u64) -> Result<(), Unsigned> {
        let head = SignedHead::read(headers, at(now))?;
        let is_valid = head.is_valid(&key(SECRET).unwrap(), &head.signed(body));
        if is_valid { Ok(()) } else { Err(Unsigned::Signature) }
    }

    #[test]
    fn verifies_the_example_of_the_specification() {
        assert_eq!(verify(&headers(&[]), BODY, 1_614_265_330), Ok(()));
        // The sender rotates its secrets, so the message has other signatures too.
        let several = format!("v1,AAAA v1a,{} {}", "x".repeat(10), SIGNED[2].1);
        assert_eq!(verify(&headers(&[(SIGNATURE, Some(&several))]), BODY, 1_614_265_330), Ok(()));
    }

    #[test]
    fn refuses_a_changed_body_id_or_timestamp() {
        let now = 1_614_265_330;
        for (changed, body) in [
            ((ID, Some("msg_other")), BODY),
            ((TIMESTAMP, Some("1614265331")), BODY),
            ((SIGNATURE, Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=")), BODY),
            ((SIGNATURE, Some("v1,AAAA")), BODY),
            ((ID, Some(SIGNED[0].1)), &b"{\"test\": 2432232315}"[..]),
            ((ID, Some(SIGNED[0].1)), b""),
        ] {
            let verified = verify(&headers(&[changed]), body, now);
            let expected = [Err(Unsigned::Signature), Err(Unsigned::Header(SIGNATURE))];
            assert!(expected.contains(&verified), "{changed:?}: {verified:?}");
        }
    }

    #[test]
    fn names_missing_and_invalid_headers() {
        for (name, value) in [
            (ID, None),
            (ID, Some("")),
            (TIMESTAMP, None),
            (TIMESTAMP, Some("")),
            (TIMESTAMP, Some("+1614265330")),
            (TIMESTAMP, Some("1614265330.0")),
            (TIMESTAMP, Some("99999999999999999999")),
            (SIGNATURE, None),
            (SIGNATURE, Some("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")),
            (SIGNATURE, Some("v1,")),
            (SIGNATURE, Some("v1,***")),
            (SIGNATURE, Some("v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")),
        ] {
            let verified = verify(&headers(&[(name, value)]), BODY, 1_614_265_330);
            let expected = [Err(Unsigned::Header(name)), Err(Unsigned::Signature)];
            assert!(expected.contains(&verified), "{name} {value:?}: {verified:?}");
        }
        let mut twice = headers(&[]);
        twice.append(ID, "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
        assert_eq!(verify(&twice, BODY, 1_614_265_330), Err(Unsigned::Header(ID)));
    }

    #[test]
    fn accepts_timestamps_within_five_minutes_of_now() {
        let sent = 1_614_265_330;
        for (now, expected) in [
            (sent - 300, Ok(())),
            (sent + 300, Ok(())),
            (sent + 301, Err(Unsigned::Time { seconds: 301, is_past: true })),
            (sent - 301, Err(Unsigned::Time { seconds: 301, is_past: false })),
            (0, Err(Unsigned::Time { seconds: sent, is_past: false })),
        ] {
            assert_eq!(verify(&headers(&[]), BODY, now), expected, "at {now}");
        }
    }

    #[test]
    fn accepts_secrets_of_24_to_64_bytes() {
        let encode = |length: usize| BASE64_STANDARD.encode(vec![7; length]);
        for (secret, is_key) in [
            (SECRET.to_owned(), true),
            (SECRET.replace("whsec_", ""), true),
            (encode(23), false),
            (encode(24), true),
            (encode(64), true),
            (encode(65), false),
            ("whsec_".to_owned(), false),
            ("whsec_not base64 but long enough to be".to_owned(), false),
        ] {
            assert_eq!(key(&secret).is_some(), is_key, "{secret}");
        }
    }
}
