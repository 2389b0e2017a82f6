//! Credentials, and keeping them out of everything that people read.

use core::error::Error as StdError;
use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// What the API asks for: a token, or the older pair of e-mail address and global key.
///
/// The secret is zeroized on drop, and neither `Debug` nor any error shows it. There is no way to get it back out except
/// as a header that is marked sensitive.
#[derive(Clone)]
pub struct Credentials {
    scheme: AuthScheme,
}

#[derive(Clone)]
enum AuthScheme {
    Token(SecretString),
    Key { email: String, key: SecretString },
}

impl Credentials {
    /// An API token, sent as `Authorization: Bearer …`.
    ///
    /// # Errors
    ///
    /// [`InvalidCredentials`] where it is empty or cannot stand in a header.
    pub fn token(token: SecretString) -> Result<Self, InvalidCredentials> {
        check("token", token.expose_secret())?;
        Ok(Self { scheme: AuthScheme::Token(token) })
    }

    /// The global API key with the e-mail address of its user, sent as `X-Auth-Key` and `X-Auth-Email`.
    ///
    /// # Errors
    ///
    /// [`InvalidCredentials`] where one is empty or cannot stand in a header.
    pub fn key(email: &str, key: SecretString) -> Result<Self, InvalidCredentials> {
        check("API key", key.expose_secret())?;
        check("e-mail address", email)?;
        Ok(Self { scheme: AuthScheme::Key { email: email.to_owned(), key } })
    }

    /// Puts them into headers, marked sensitive.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let mut put = |name: HeaderName, value: &str| {
            // Checked when they were made: visible ASCII is a header value.
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        };
        match &self.scheme {
            AuthScheme::Token(token) => {
                let bearer = SecretString::from(format!("Bearer {}", token.expose_secret()));
                put(AUTHORIZATION, bearer.expose_secret());
            }
            AuthScheme::Key { email, key } => {
                put(HeaderName::from_static("x-auth-email"), email);
                put(HeaderName::from_static("x-auth-key"), key.expose_secret());
            }
        }
    }

    /// Puts headers of the same names without the secrets in, marked sensitive: for showing.
    pub(crate) fn apply_blanks(&self, headers: &mut HeaderMap) {
        let mut blank = HeaderValue::from_static(BLANK);
        blank.set_sensitive(true);
        let names = match &self.scheme {
            AuthScheme::Token(_) => &["authorization"][..],
            AuthScheme::Key { .. } => &["x-auth-email", "x-auth-key"],
        };
        for name in names {
            headers.insert(HeaderName::from_static(name), blank.clone());
        }
    }

    /// What takes them, and all that looks like them, out of other people's text.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(self);
        redactor
    }

    const fn secret(&self) -> &SecretString {
        match &self.scheme {
            AuthScheme::Token(token) => token,
            AuthScheme::Key { key, .. } => key,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            AuthScheme::Token(_) => "Credentials(token)",
            AuthScheme::Key { .. } => "Credentials(e-mail and key)",
        })
    }
}

fn check(noun: &'static str, secret: &str) -> Result<(), InvalidCredentials> {
    if secret.is_empty() {
        return Err(InvalidCredentials { noun, problem: CredentialsProblem::Empty });
    }
    match secret.chars().position(|char| !char.is_ascii_graphic()) {
        None => Ok(()),
        Some(index) => {
            Err(InvalidCredentials { noun, problem: CredentialsProblem::Character { at: index + 1 } })
        }
    }
}

/// Why something is not a credential. It never says what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCredentials {
    noun: &'static str,
    problem: CredentialsProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CredentialsProblem {
    Empty,
    Character { at: usize },
}

impl fmt::Display for InvalidCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.noun;
        match self.problem {
            CredentialsProblem::Empty => write!(f, "the {noun} is empty"),
            CredentialsProblem::Character { at } => write!(
                f,
                "the {noun} has a blank, a line break or another character at position {at} that cannot be in one",
            ),
        }
    }
}

impl StdError for InvalidCredentials {}

/// Takes secrets out of text that came from somewhere else, such as a server's message.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The newest last. Clones share them.
    secrets: Arc<[SecretString]>,
}

/// So many secrets are remembered where credentials are rotated.
const REMEMBERED: usize = 8;

/// How the vendor's secrets begin since 2026.
///
/// Source: <https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/>, 2026.
const PREFIXES: [&str; 4] = ["cfk_", "cfut_", "cfat_", "cfoat_"];

/// Stands where a secret stood.
const BLANK: &str = "[secret]";

impl Redactor {
    /// Takes the secret of these out as well.
    pub(crate) fn add(&mut self, credentials: &Credentials) {
        let surplus = (self.secrets.len() + 1).saturating_sub(REMEMBERED);
        let kept = self.secrets.iter().skip(surplus).cloned();
        self.secrets = kept.chain([credentials.secret().clone()]).collect();
    }

    /// An answer without the secret itself: for what is data, where nothing may be taken out that only looks like one.
    ///
    /// - A secret of fewer than 16 characters stays: it would be found in words that have nothing to do with it.
    /// - So does one that is written with escapes; the vendor's have no character that JSON would escape.
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

    /// The text without the secret itself, without words that hold or look like one of the vendor's, and without
    /// whatever follows `Bearer`.
    ///
    /// Where the text was clipped (`…`) in the middle of the secret, the part that is left is taken out as well.
    ///
    /// Meant for text that a server or a library wrote. It is not for what the user gave: a URL may well hold a long
    /// hex word.
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

/// The answer with a blank wherever the secret is in it; `None` where it is not.
fn without(answer: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let find = |text: &[u8]| text.windows(secret.len()).position(|window| window == secret);
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

/// The shortest secret that is looked for in data; the vendor's have no less than 37 characters.
const LEAST_IN_DATA: usize = 16;

/// The least of a secret that is worth hiding; a shorter word is as likely to be another.
const LEAST: usize = 4;

/// The text without the beginnings of the secret that stand before a `…`; `None` where there is none.
fn without_beginnings(text: &str, secret: &str) -> Option<String> {
    let pieces: Vec<&str> = text.split('…').collect();
    let (last, clipped) = pieces.split_last()?;
    let mut clean = String::new();
    let mut is_changed = false;
    for piece in clipped {
        // Secrets are ASCII (see `check`), so each length is the end of a character.
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
/// - the prefixes of 2026, anywhere in it: `%20` and `\n` before a secret make one word with it
/// - the global key before: 37 to 45 lowercase hex digits
/// - tokens before: 40 characters, mixed (an id has 32, and a SHA-1 is taken for a key: a message loses little by it)
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
    fn what_clipping_leaves_of_a_secret_is_redacted() {
        let redactor = of(&["the-very-secret"]);
        for (text, expected) in [
            ("`<html> the-very-secre…`: no JSON", "`<html> [secret]…`: no JSON"),
            ("a=the-v…, b=the-very-secr…", "a=[secret]…, b=[secret]…"),
            ("the-very-secret…", "[secret]…"),
            // Too little to tell anything.
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
    fn an_answer_loses_the_secret_and_nothing_else() {
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
    fn other_text_is_left_alone() {
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
    fn what_cannot_be_a_header_is_refused_without_being_shown() {
        let refused = |text: &str| Credentials::token(SecretString::from(text)).unwrap_err().to_string();
        assert_eq!(refused(""), "the token is empty");
        let message =
            "the token has a blank, a line break or another character at position 4 that cannot be in one";
        assert_eq!(refused("abc\ndef"), message);
        assert_eq!(refused("abc def"), message);
        assert_eq!(refused("abcédef"), message);
    }
}
