//! Credentials, and removing secrets from text.

use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

use cfcache_model::InvalidInput;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// Credentials of the API: a token, or an e-mail address with the global API key.
///
/// The secret is zeroized on drop, and neither `Debug` nor any error shows it. It can only be read as a header value
/// that is marked as sensitive.
#[derive(Clone)]
pub struct Credentials {
    /// The user of the global API key; `None` if the secret is a token.
    email: Option<String>,
    secret: SecretString,
}

impl Credentials {
    /// Creates credentials from an API token, which is sent as `Authorization: Bearer …`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if the token is empty or cannot be used in a header.
    pub fn token(token: SecretString) -> Result<Self, InvalidInput> {
        check("token", token.expose_secret())?;
        Ok(Self { email: None, secret: token })
    }

    /// Creates credentials from the global API key and its user's e-mail address, which are sent as `X-Auth-Key` and
    /// `X-Auth-Email`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if one of them is empty or cannot be used in a header.
    pub fn key(email: &str, key: SecretString) -> Result<Self, InvalidInput> {
        check("API key", key.expose_secret())?;
        check("e-mail address", email)?;
        Ok(Self { email: Some(email.to_owned()), secret: key })
    }

    /// Adds the credentials to headers, marked as sensitive.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let mut put = |name: HeaderName, value: &str| {
            // Cannot fail: the value was validated when the credentials were created.
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        };
        let secret = self.secret.expose_secret();
        if let Some(email) = &self.email {
            put(HeaderName::from_static("x-auth-email"), email);
            put(HeaderName::from_static("x-auth-key"), secret);
        } else {
            put(AUTHORIZATION, SecretString::from(["Bearer ", secret].concat()).expose_secret());
        }
    }

    /// Adds headers of the same names without the secrets, marked as sensitive, for output.
    pub(crate) fn apply_blanks(&self, headers: &mut HeaderMap) {
        let mut blank = HeaderValue::from_static(BLANK);
        blank.set_sensitive(true);
        let names =
            if self.email.is_some() { &["x-auth-email", "x-auth-key"][..] } else { &["authorization"] };
        for name in names {
            headers.insert(HeaderName::from_static(name), blank.clone());
        }
    }

    /// Returns a redactor that removes these credentials, and text that looks like credentials, from other text.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(self);
        redactor
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.email.is_some() { "Credentials(e-mail and key)" } else { "Credentials(token)" })
    }
}

/// Checks a secret. The error does not contain it.
fn check(noun: &str, secret: &str) -> Result<(), InvalidInput> {
    if secret.is_empty() {
        return Err(InvalidInput::new(format!("the {noun} is empty")));
    }
    match secret.chars().position(|char| !char.is_ascii_graphic()) {
        None => Ok(()),
        Some(index) => Err(InvalidInput::new(format!(
            "the {noun} has a blank, a line break or another invalid character at position {}",
            index + 1
        ))),
    }
}

/// Removes secrets from text that the program did not write, such as a server's message.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The newest secret is last. Clones share the list.
    secrets: Arc<[SecretString]>,
}

/// The maximum number of secrets that are remembered when credentials are rotated.
const REMEMBERED: usize = 8;

/// The prefixes of Cloudflare's secrets since 2026.
///
/// Source: <https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/>, 2026.
const PREFIXES: [&str; 4] = ["cfk_", "cfut_", "cfat_", "cfoat_"];

/// The text that replaces a secret.
const BLANK: &str = "[secret]";

impl Redactor {
    /// Also removes the secret of `credentials`.
    pub(crate) fn add(&mut self, credentials: &Credentials) {
        let surplus = (self.secrets.len() + 1).saturating_sub(REMEMBERED);
        let kept = self.secrets.iter().skip(surplus).cloned();
        self.secrets = kept.chain([credentials.secret.clone()]).collect();
    }

    /// Removes exactly the secret from a response. This is for data, from which text that only looks like a secret must
    /// not be removed.
    ///
    /// - Secrets of fewer than 16 characters are not removed, because they could be part of ordinary words.
    /// - A secret that is written with escapes is not removed; Cloudflare's secrets have no characters that JSON
    ///   escapes.
    #[must_use]
    pub fn blank<'t>(&self, answer: &'t [u8]) -> Cow<'t, [u8]> {
        let secrets = self.secrets.iter().map(|secret| secret.expose_secret().as_bytes());
        secrets.filter(|secret| secret.len() >= LEAST_IN_DATA).fold(
            Cow::Borrowed(answer),
            |answer, secret| match without(&answer, secret) {
                Some(clean) => Cow::Owned(clean),
                None => answer,
            },
        )
    }

    /// Removes from text the secret itself, words that contain or look like a secret of Cloudflare, and the word after
    /// `Bearer`.
    ///
    /// If the text was truncated (`…`) in the middle of the secret, the remaining part is removed as well.
    ///
    /// This is for text that a server or a library wrote, not for the user's own input: a URL may contain a long
    /// hexadecimal word.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.secrets.iter().map(|secret| secret.expose_secret()) {
            if text.contains(secret) {
                text = Cow::Owned(text.replace(secret, BLANK));
            }
            if let Some(whole) = without_beginnings(&text, secret) {
                text = Cow::Owned(whole);
            }
        }
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
        let mut clean = String::new();
        let mut is_changed = false;
        let mut after_bearer = false;
        let mut rest = &*text;
        while let Some(start) = rest.find(is_word) {
            let (between, tail) = rest.split_at(start);
            let end = tail.find(|char| !is_word(char)).unwrap_or(tail.len());
            let (word, next) = tail.split_at(end);
            let is_secret =
                looks_secret(word) || (after_bearer && between.trim().is_empty() && word.len() > 8);
            is_changed |= is_secret;
            clean.push_str(between);
            clean.push_str(if is_secret { BLANK } else { word });
            after_bearer = word.eq_ignore_ascii_case("bearer");
            rest = next;
        }
        clean.push_str(rest);
        if is_changed { Cow::Owned(clean) } else { text }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

/// Replaces the secret in a response; returns `None` if the response does not contain it.
fn without(answer: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    // Comparing the first byte alone saves calling a function for nearly every byte of each response.
    let is_secret = |window: &[u8]| window.first() == secret.first() && window == secret;
    let find = |text: &[u8]| text.windows(secret.len()).position(is_secret);
    let mut at = find(answer)?;
    let (mut clean, mut rest) = (Vec::new(), answer);
    loop {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(BLANK.as_bytes());
        rest = &rest[at + secret.len()..];
        match find(rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    clean.extend_from_slice(rest);
    Some(clean)
}

/// The minimum length of a secret to remove from data; Cloudflare's have at least 37 characters.
const LEAST_IN_DATA: usize = 16;

/// The minimum length of a truncated secret to remove; a shorter text is as likely to be an ordinary word.
const LEAST: usize = 4;

/// Removes beginnings of the secret that end with a `…`; returns `None` if there are none.
fn without_beginnings(text: &str, secret: &str) -> Option<String> {
    let pieces: Vec<&str> = text.split('…').collect();
    let (last, clipped) = pieces.split_last()?;
    let mut clean = String::new();
    let mut is_changed = false;
    for piece in clipped {
        // Secrets are ASCII (see `check`), so every byte is a character boundary.
        let left = (LEAST..secret.len()).rev().find(|length| piece.ends_with(&secret[..*length]));
        is_changed |= left.is_some();
        clean.push_str(&piece[..piece.len() - left.unwrap_or(0)]);
        clean.push_str(if left.is_some() { BLANK } else { "" });
        clean.push('…');
    }
    clean.push_str(last);
    is_changed.then_some(clean)
}

/// Returns whether a word has one of the documented forms of a secret.
///
/// - since 2026: one of the prefixes, anywhere in the word, because `%20` or `\n` before a secret are part of the same
///   word
/// - global keys before that: 37 to 45 lowercase hex digits
/// - tokens before that: 40 mixed characters. (An id has 32. A SHA-1 looks like a key; removing it loses little.)
fn looks_secret(word: &str) -> bool {
    if PREFIXES.iter().any(|prefix| word.contains(prefix)) {
        return true;
    }
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
    let is_old_key = (37..=45).contains(&word.len()) && word.bytes().all(is_hex);
    let is_old_token = word.len() == 40
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit);
    is_old_key || is_old_token
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secrets: &[&str]) -> Redactor {
        Redactor { secrets: secrets.iter().map(|secret| SecretString::from(*secret)).collect() }
    }

    #[test]
    fn every_documented_format_is_redacted() {
        let redactor = of(&["the-very-secret"]);
        let body = "0123456789abcdefghijABCDEFGHIJ0123456789";
        for secret in [
            "the-very-secret".to_owned(),
            format!("cfk_{body}1a2b3c4d5e"),
            format!("cfut_{body}aabbccdd"),
            format!("cfat_{body}aabbccdd"),
            format!("cfoat_{body}"),
            "144c9defac04969c7bfad8efaa8ea194144c9d".to_owned(),
            "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY".to_owned(),
        ] {
            for text in [
                secret.clone(),
                format!("token {secret} refused"),
                format!("\"{secret}\""),
                format!("Authorization: Bearer {secret}, and more"),
            ] {
                let shown = redactor.redact(&text);
                assert!(!shown.contains(&*secret), "{shown}");
                assert!(shown.contains(BLANK), "{shown}");
            }
        }
        for text in ["Bearer%20cfut_abc", r"the token is\ncfat_abc"] {
            let shown = redactor.redact(text);
            assert!(!shown.contains("_abc") && shown.contains(BLANK), "{shown}");
        }
        assert_eq!(
            redactor.redact("Authorization: Bearer short-but-secret."),
            "Authorization: Bearer [secret]."
        );
    }

    #[test]
    fn a_truncated_secret_is_redacted() {
        let redactor = of(&["the-very-secret"]);
        for (text, expected) in [
            ("`<html> the-very-secre…`: no JSON", "`<html> [secret]…`: no JSON"),
            ("a=the-v…, b=the-very-secr…", "a=[secret]…, b=[secret]…"),
            ("the-very-secret…", "[secret]…"),
            // Too short to reveal anything.
            ("in the…", "in the…"),
            ("the-very thing", "the-very thing"),
            ("… the-very", "… the-very"),
        ] {
            assert_eq!(redactor.redact(text), expected);
        }
        let short = of(&["abc"]);
        assert_eq!(short.redact("ab…"), "ab…");
    }

    #[test]
    fn blank_removes_only_the_secret_from_data() {
        let redactor = of(&["another-secret-before-it", "the-very-secret-token"]);
        let other = r#"{"result":{"id":"Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"}}"#;
        assert!(matches!(redactor.blank(other.as_bytes()), Cow::Borrowed(_)));
        let echo =
            br#"{"result":["the-very-secret-token"],"x":"athe-very-secret-tokenthe-very-secret-tokenz"}"#;
        let blanked = redactor.blank(echo);
        assert_eq!(*blanked, *br#"{"result":["[secret]"],"x":"a[secret][secret]z"}"#);
        assert_eq!(*redactor.blank(b"the-very-secret-token"), *b"[secret]");
        for secrets in [&[][..], &["result"]] {
            assert_eq!(*of(secrets).blank(echo), *echo);
        }
    }

    #[test]
    fn text_without_secrets_is_not_changed() {
        for text in [
            "",
            "zone 023e105f4ecef8ad9ca31a8372d0c353 not found",
            "https://www.example.com/css/styles.css?v=1",
            "a bearer of bad news",
            "Ünïcode — and a very_long_name_with_forty_characters_ok",
        ] {
            assert!(
                matches!(Redactor::default().redact(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::token(SecretString::from("hidden-word")).unwrap();
        let mut headers = HeaderMap::new();
        credentials.apply(&mut headers);
        let shown = format!("{credentials:?} {headers:?} {:?}", credentials.redactor());
        assert!(!shown.contains("hidden-word"), "{shown}");
        assert_eq!(headers["authorization"], "Bearer hidden-word");
    }

    #[test]
    fn credentials_that_are_no_header_value_are_refused_without_showing_them() {
        let refused = |text: &str| Credentials::token(SecretString::from(text)).unwrap_err().to_string();
        assert_eq!(refused(""), "the token is empty");
        let message = "the token has a blank, a line break or another invalid character at position 4";
        assert_eq!(refused("abc\ndef"), message);
        assert_eq!(refused("abc def"), message);
        assert_eq!(refused("abcédef"), message);
    }
}
