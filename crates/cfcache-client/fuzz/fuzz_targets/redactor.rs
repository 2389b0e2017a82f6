//! Whatever a server says, none of the secret, and of what looks like one, is passed on.
//!
//! The first line of the input is the secret, the rest is what the server says.
#![no_main]

use cfcache_client::{Credentials, Redactor};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

fn assert_clean(text: &str) {
    let is_word = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    for word in text.split(|char| !is_word(char)) {
        assert!(!["cfk_", "cfut_", "cfat_", "cfoat_"].iter().any(|prefix| word.contains(prefix)), "{text:?}");
        let is_hex = word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(!(is_hex && (37..=45).contains(&word.len())), "{text:?}");
    }
}

fuzz_target!(|input: &str| {
    let (secret, said) = input.split_once('\n').unwrap_or(("", input));
    let shown = Redactor::default().redact(said);
    assert_clean(&shown);
    assert_eq!(Redactor::default().redact(&shown), shown);
    if let Ok(credentials) = Credentials::token(SecretString::from(secret)) {
        let shown = credentials.redactor().redact(said);
        assert_clean(&shown);
        // What stands in the place of a secret is known to everybody.
        let is_plain = secret.bytes().all(|byte| !b"[]".contains(&byte)) && !"secret".contains(secret);
        assert!(!is_plain || !shown.contains(secret), "{shown:?}");
    }
});
