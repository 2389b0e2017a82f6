//! The origin of the edge: another server, or a folder.

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use cfcache_model::InvalidInput;
use cfcache_model::text::quote;
use http::Uri;

/// The origin of the edge.
///
/// The text form is a URL (`http://127.0.0.1:3000`) or the path of a folder (`./public`):
///
/// ```
/// use cfcache_emulator::EdgeOrigin;
///
/// let origin: EdgeOrigin = "http://127.0.0.1:3000".parse()?;
/// assert!(matches!(origin, EdgeOrigin::Server(_)));
/// assert!("https://www.example.com".parse::<EdgeOrigin>().is_err());
/// # Ok::<(), cfcache_model::InvalidInput>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EdgeOrigin {
    /// An HTTP/1.1 server without TLS. The path of the URL is prepended to the path of each request.
    Server(Uri),
    /// A folder.
    ///
    /// - `/a/` is `a/index.html`; `/a` is the file `a`, otherwise `a.html`.
    /// - A folder that is requested without a trailing slash is redirected (301).
    /// - A missing file is 404, with the content of `404.html` if that exists.
    /// - Links that leave the folder are not followed.
    Folder(PathBuf),
}

impl EdgeOrigin {
    /// Creates an origin from a folder.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if there is no such folder.
    pub fn folder(path: impl AsRef<Path>) -> Result<Self, InvalidInput> {
        let path = path.as_ref();
        let shown = path.display();
        match path.canonicalize() {
            Ok(found) if found.is_dir() => Ok(Self::Folder(found)),
            Ok(_) => Err(invalid(format!("`{shown}` is not a folder"))),
            Err(error) => Err(invalid(format!("the folder `{shown}` cannot be used: {error}"))),
        }
    }

    fn server(text: &str) -> Result<Self, InvalidInput> {
        let uri: Uri = match text.parse() {
            Ok(uri) => uri,
            // The text may contain a password.
            Err(error) => return Err(invalid(format!("the origin is not a URL: {error}"))),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(invalid("an origin must be http://HOST[:PORT], without user and password"));
        }
        let text = quote(text);
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(invalid(format!(
                    "{text}: an origin with TLS is not supported; use its plain port (http://), or a proxy in between"
                )));
            }
            _ => return Err(invalid(format!("{text}: an origin must be http://HOST[:PORT], or a folder"))),
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(invalid(format!("{text}: an origin must be http://HOST[:PORT]")));
        }
        if uri.query().is_some() {
            return Err(invalid(format!("{text}: the URL of an origin must not have a query")));
        }
        Ok(Self::Server(uri))
    }
}

impl FromStr for EdgeOrigin {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        if text.contains("://") { Self::server(text) } else { Self::folder(text) }
    }
}

impl fmt::Display for EdgeOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(uri) => uri.fmt(f),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

fn invalid(message: impl Into<Cow<'static, str>>) -> InvalidInput {
    InvalidInput::new(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_http_urls_and_folders() {
        for (text, expected) in [
            ("https://example.com", "an origin with TLS is not supported"),
            ("ftp://example.com", "an origin must be http://HOST"),
            ("http://user:secret@127.0.0.1", "without user and password"),
            ("https://user:secret@127.0.0.1", "without user and password"),
            ("ftp://user:secret@127.0.0.1/a b", "is not a URL"),
            ("http://127.0.0.1/?a=1", "must not have a query"),
            ("http://", "is not a URL"),
            ("/no/such/folder", "cannot be used"),
            ("", "cannot be used"),
        ] {
            let error = text.parse::<EdgeOrigin>().expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(matches!("http://localhost:3000/base".parse(), Ok(EdgeOrigin::Server(_))));
        assert!(matches!(".".parse(), Ok(EdgeOrigin::Folder(path)) if path.is_absolute()));
    }
}
