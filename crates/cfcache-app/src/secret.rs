//! Prevents secrets from being shown: users mix up variables, and paste tokens in the place of ids or names.

use core::fmt;
use std::path::Path;

use cfcache_client::Redactor;
use cfcache_model::text::{CLIP_CHARS, clip};

/// The maximum length of a text that is shown although it is neither a domain nor a path; an id has at most 32
/// characters.
const LONGEST_ID: usize = cfcache_model::id::MAX_ID_CHARS;

/// Returns whether a text looks like a token or key of a known form, or may be one of an unknown form: longer than an
/// id, and neither a domain, a path, nor several words.
pub fn may_be_secret(text: &str) -> bool {
    let is_one_word = !text.trim().contains(['.', '/', '\\', ' ']);
    (is_one_word && text.chars().count() > LONGEST_ID) || Redactor::default().redact(text) != text
}

/// An id or a name between backticks, as given; a text that [`may_be_secret`] is not shown.
pub fn shown(text: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| write_shown(f, text, true))
}

/// Like [`shown`], without backticks.
pub fn bare(text: &str) -> impl fmt::Display {
    fmt::from_fn(move |f| write_shown(f, text, false))
}

/// A path between backticks, unless it may be a token: a token may be given instead of the name of its file.
pub fn shown_path(path: &Path) -> impl fmt::Display {
    fmt::from_fn(|f| write_shown(f, &path.to_string_lossy(), true))
}

/// The name of a file for messages that add the backticks themselves.
pub fn path_name(path: &Path) -> String {
    bare(&path.to_string_lossy()).to_string()
}

fn write_shown(f: &mut fmt::Formatter<'_>, text: &str, is_quoted: bool) -> fmt::Result {
    if may_be_secret(text) {
        return write!(f, "[{} characters, not shown: they may be a secret]", text.chars().count());
    }
    // A path may be longer than other names, and must be shown completely to be found.
    let text = clip(text, CLIP_CHARS.max(4096));
    if is_quoted { write!(f, "`{text}`") } else { f.write_str(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_a_secret_is_not_shown() {
        let body = "0123456789abcdefghijABCDEFGHIJ0123456789";
        for secret in [
            format!("cfut_{body}aabbccdd"),
            format!("cfat_{body}aabbccdd"),
            format!("cfk_{body}1a2b3c4d5e"),
            format!("cfoat_{body}"),
            format!("\"cfut_{body}aabbccdd\""),
            format!("{body}.example.com"),
            format!("./{body}"),
            "cfut_cut-off".to_owned(),
            "144c9defac04969c7bfad8efaa8ea194144c9d".to_owned(),
            "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY".to_owned(),
            "a-token-of-a-form-that-nobody-knows-yet".to_owned(),
        ] {
            let shown = shown(&secret).to_string();
            assert!(!shown.contains(&secret[..secret.len().min(8)]), "{shown}");
        }
    }

    #[test]
    fn ids_names_domains_and_paths_are_shown() {
        for text in [
            "",
            "023e105f4ecef8ad9ca31a8372d0c353",
            "Staging",
            "a-domain-whose-first-label-is-longer-than-an-id.example.com",
            "/run/secrets/a-name-that-is-longer-than-any-id-of-the-api",
            "a name of several words, longer than any id of the API",
        ] {
            assert_eq!(shown(text).to_string(), format!("`{text}`"));
        }
        assert_eq!(shown("a\u{1b}[2Jb").to_string(), "`a\\u{1b}[2Jb`");
    }
}
