//! Encodes the model's requests as HTTP. Only this file uses both the model's requests and the transport's.

use core::fmt;
use core::str::FromStr;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use cfcache_model::InvalidInput;
use cfcache_model::endpoint::{Method, Parts};
use cfcache_transport::{InvalidUrl, Origin};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};

use crate::auth::{Credentials, Redactor};

/// The base URL of Cloudflare's API.
pub const DEFAULT_BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// The base URL of the API: an origin, and the path below which all endpoints are.
///
/// - A trailing slash makes no difference.
/// - It has no query, no fragment, no user and no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    origin: Origin,
    path: String,
}

impl BaseUrl {
    /// Scheme, host and port.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path below which all endpoints are, without a trailing slash: `/client/v4`, or empty.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let authority = text.find("://").map_or(0, |index| index + 3);
        let end = text[authority..].find(['/', '?', '#']).map_or(text.len(), |index| authority + index);
        let (origin, path) = text.split_at(end);
        let origin: Origin =
            origin.parse().map_err(|invalid: InvalidUrl| InvalidInput::new(invalid.to_string()))?;
        let path = path.trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte);
        if !path.bytes().all(is_plain) {
            return Err(InvalidInput::new("its path must not contain a query, a fragment, or blanks"));
        }
        Ok(Self { origin, path: path.to_owned() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// Encodes requests as HTTP, with the common headers.
pub struct Codec {
    base: BaseUrl,
    user_agent: HeaderValue,
    credentials: RwLock<Option<Credentials>>,
    /// Knows credentials before they are used.
    redactor: RwLock<Redactor>,
}

impl Codec {
    /// Creates a codec for requests below `base` with these credentials, from a program named `user_agent` (such as
    /// `cfcache/0.1.0`).
    ///
    /// # Panics
    ///
    /// Panics if `user_agent`, a constant of the program, contains characters that are not allowed in a header.
    #[must_use]
    pub fn new(base: BaseUrl, credentials: Option<&Credentials>, user_agent: &'static str) -> Self {
        Self::with_user_agent(base, credentials, HeaderValue::from_static(user_agent))
    }

    /// Like [`new`](Self::new), with a user agent that is only known at run time.
    #[must_use]
    pub fn with_user_agent(
        base: BaseUrl,
        credentials: Option<&Credentials>,
        user_agent: HeaderValue,
    ) -> Self {
        let codec = Self { base, user_agent, credentials: RwLock::default(), redactor: RwLock::default() };
        if let Some(credentials) = credentials {
            codec.set_credentials(credentials.clone());
        }
        codec
    }

    /// The base URL.
    #[must_use]
    pub const fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Uses other credentials for the next requests. The previous ones are still removed from responses.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.redactor.write().unwrap_or_else(PoisonError::into_inner).add(&credentials);
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
    }

    /// Returns a redactor that removes the credentials from other text.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        self.redactor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The headers of a request in a form that can be shown: credentials are blanked, and marked as sensitive.
    #[must_use]
    pub fn shown_headers(&self) -> HeaderMap {
        let mut headers = self.plain_headers();
        let credentials = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(credentials) = &*credentials {
            credentials.apply_blanks(&mut headers);
        }
        headers
    }

    fn plain_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers
    }

    /// The path of a request, including the path of the base URL.
    #[must_use]
    pub fn path(&self, parts: &Parts) -> String {
        [self.base.path.as_str(), &parts.path].concat()
    }

    /// Encodes a request; `body` is the content of `parts.body`, shared between attempts. The credentials are added
    /// now, marked as sensitive, and are dropped with the request.
    ///
    /// # Errors
    ///
    /// [`http::Error`] if the path is invalid, which the newtypes of the model prevent.
    pub fn request(&self, parts: &Parts, body: Option<Bytes>) -> Result<http::Request<Bytes>, http::Error> {
        let mut headers = self.plain_headers();
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        {
            let credentials = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(credentials) = &*credentials {
                credentials.apply(&mut headers);
            }
        }
        let mut request = http::Request::builder()
            .method(method(parts.method))
            .uri(self.path(parts))
            .body(body.unwrap_or_default())?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("base", &self.base).finish_non_exhaustive()
    }
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
        // The model may add methods, but each of them is a valid method name.
        other => http::Method::from_bytes(other.as_str().as_bytes()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        let good = [
            ("https://api.cloudflare.com/client/v4", "https://api.cloudflare.com", "/client/v4"),
            ("https://api.cloudflare.com/client/v4/", "https://api.cloudflare.com", "/client/v4"),
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787", ""),
            ("http://[::1]:80/", "http://[::1]", ""),
        ];
        for (text, origin, path) in good {
            let base: BaseUrl = text.parse().unwrap();
            assert_eq!((base.origin().to_string().as_str(), base.path()), (origin, path), "{text}");
        }
        let bad = [
            "",
            "api.cloudflare.com",
            "ftp://x/",
            "https://",
            "https://u:p@x/",
            "https://x/?a",
            "https://x/#f",
            "https://x/a b",
        ];
        for text in bad {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
