//! Authentication: a bearer token, or an e-mail address with its API key.

use core::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};

use cfcache_model::endpoint::{Area, Descriptor};

use crate::answer::{ApiResponse, Notice};
use crate::config::Config;

const X_AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const X_AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// A token that the emulator accepts.
#[derive(Clone)]
#[non_exhaustive]
pub struct Token {
    secret: String,
    /// The state that verification reports.
    pub state: TokenState,
    /// The end of its validity, as RFC 3339. Only reported, not enforced.
    pub expires_on: Option<String>,
    /// The start of its validity, as RFC 3339. Only reported, not enforced.
    pub not_before: Option<String>,
    /// Its permissions, named as in the dashboard, such as `Cache Purge`; `None` means all permissions.
    pub permissions: Option<Vec<String>>,
}

/// The state of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenState {
    /// It works.
    Active,
    /// It was disabled.
    Disabled,
    /// It has expired.
    Expired,
    /// It is not valid yet. (The API nevertheless reports it as active.)
    NotYetValid,
}

impl Token {
    /// Creates an active token with all permissions.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            state: TokenState::Active,
            expires_on: None,
            not_before: None,
            permissions: None,
        }
    }

    /// Sets the state, and a matching date if none was set.
    #[must_use]
    pub fn with_state(mut self, state: TokenState) -> Self {
        self.state = state;
        match state {
            TokenState::Expired => {
                self.expires_on.get_or_insert_with(|| "2020-01-01T00:00:00Z".to_owned());
            }
            TokenState::NotYetValid => {
                self.not_before.get_or_insert_with(|| "2099-12-31T23:59:59Z".to_owned());
            }
            TokenState::Active | TokenState::Disabled => {}
        }
        self
    }

    /// Sets the end of its validity that verification reports.
    #[must_use]
    pub fn with_expires_on(mut self, rfc_3339: impl Into<String>) -> Self {
        self.expires_on = Some(rfc_3339.into());
        self
    }

    /// Sets the start of its validity that verification reports.
    #[must_use]
    pub fn with_not_before(mut self, rfc_3339: impl Into<String>) -> Self {
        self.not_before = Some(rfc_3339.into());
        self
    }

    /// Limits it to these permissions, named as in the dashboard: `Cache Purge`, `Zone Read`, ….
    #[must_use]
    pub fn with_permissions<S: Into<String>>(mut self, permissions: impl IntoIterator<Item = S>) -> Self {
        self.permissions = Some(permissions.into_iter().map(Into::into).collect());
        self
    }

    fn may(&self, endpoint: &Descriptor) -> bool {
        // A token may always verify itself. An endpoint lists all permissions of which one is enough. A write
        // permission includes reading.
        let covers = |permission: &String| {
            let read = permission.strip_suffix("Write").map(|subject| format!("{subject}Read"));
            endpoint.permission.contains(permission.as_str())
                || read.is_some_and(|read| endpoint.permission.contains(&read))
        };
        endpoint.area == Area::Token
            || self.permissions.as_ref().is_none_or(|permissions| permissions.iter().any(covers))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("secret", &format_args!("[not shown]"))
            .field("state", &self.state)
            .field("expires_on", &self.expires_on)
            .field("not_before", &self.not_before)
            .field("permissions", &self.permissions)
            .finish()
    }
}

/// An e-mail address and its API key that the emulator accepts.
#[derive(Clone)]
#[non_exhaustive]
pub struct ApiKey {
    /// The address.
    pub email: String,
    key: String,
}

impl ApiKey {
    /// Creates a pair with all permissions.
    #[must_use]
    pub fn new(email: impl Into<String>, key: impl Into<String>) -> Self {
        Self { email: email.into(), key: key.into() }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("email", &self.email)
            .field("key", &format_args!("[not shown]"))
            .finish()
    }
}

/// The authenticated caller.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller<'a> {
    /// Any token of a valid form, if none is configured.
    AnyToken,
    /// A configured token.
    Known(&'a Token),
    /// An e-mail address and a key.
    Key,
}

/// Authenticates the caller of an endpoint, or returns the answer that refuses it.
pub(crate) fn authenticate<'a>(
    config: &'a Config,
    endpoint: &Descriptor,
    headers: &HeaderMap,
) -> Result<Caller<'a>, ApiResponse> {
    let presented = Presented::read(headers)?;
    match presented {
        // Published for the account's form of verification; the user's form is assumed to be the same.
        Presented { token: None, .. } if endpoint.area == Area::Token => {
            Err(ApiResponse::refused(StatusCode::BAD_REQUEST, 1001, "No API Token was sent"))
        }
        // If a program sends several kinds of credentials (the vendor's TypeScript SDK does), the token is used.
        Presented { token: Some(token), .. } => by_token(config, endpoint, token),
        Presented { key: Some((email, key)), .. } => by_key(config, email, key),
        Presented { token: None, key: None } => Err(ApiResponse::refused(
            StatusCode::BAD_REQUEST,
            9106,
            "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
        )),
    }
}

/// Returns whether the caller may use the endpoint at all.
pub(crate) fn permits(caller: Caller<'_>, endpoint: &Descriptor) -> bool {
    match caller {
        Caller::AnyToken | Caller::Key => true,
        Caller::Known(token) => token.may(endpoint),
    }
}

/// Returns the answer to a token that may not use an endpoint or may not see the zone: 10000 with the page of the
/// endpoint (changelog of 2026-08-21), or the model's sample if published logs contain something else.
pub(crate) fn forbidden(endpoint: &Descriptor) -> ApiResponse {
    let samples = (endpoint.samples)();
    let sample = samples.iter().find(|sample| sample.name == "refused_permission");
    match sample.filter(|sample| !sample.reply.contains("\"code\":10000")) {
        Some(sample) => ApiResponse::sample(sample),
        None => {
            let mut notice = Notice::new(10000, "Forbidden");
            notice.documentation_url = Some(endpoint.page);
            ApiResponse::refused_with(StatusCode::FORBIDDEN, &[notice])
        }
    }
}

fn by_token<'a>(config: &'a Config, endpoint: &Descriptor, token: &str) -> Result<Caller<'a>, ApiResponse> {
    let known = config.tokens.iter().find(|known| known.secret == token);
    let is_open = config.tokens.is_empty() && config.keys.is_empty();
    match known {
        Some(known) if endpoint.area == Area::Token || known.state == TokenState::Active => {
            Ok(Caller::Known(known))
        }
        None if is_open && !looks_like_key(token) => Ok(Caller::AnyToken),
        None if endpoint.area == Area::Token => {
            Err(ApiResponse::refused(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token"))
        }
        _ => Err(ApiResponse::refused(StatusCode::UNAUTHORIZED, 10000, "Authentication error")),
    }
}

fn by_key<'a>(config: &'a Config, email: &str, key: &str) -> Result<Caller<'a>, ApiResponse> {
    let is_open = config.tokens.is_empty() && config.keys.is_empty();
    // Addresses are compared without regard to case.
    let fits = |known: &ApiKey| known.email.eq_ignore_ascii_case(email) && known.key == key;
    if is_open || config.keys.iter().any(fits) {
        return Ok(Caller::Key);
    }
    Err(ApiResponse::refused(StatusCode::BAD_REQUEST, 9103, "Unknown X-Auth-Key or X-Auth-Email"))
}

/// Returns whether a token is in fact a global API key, a common mistake. The answer is that of an unknown token.
///
/// Source of the forms: <https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/>.
fn looks_like_key(token: &str) -> bool {
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    token.starts_with("cfk_") || (token.len() == 37 && token.bytes().all(is_lower_hex))
}

/// The credentials of a request, with a valid form.
struct Presented<'a> {
    token: Option<&'a str>,
    key: Option<(&'a str, &'a str)>,
}

impl<'a> Presented<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, ApiResponse> {
        let authorization = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let email = headers.get(X_AUTH_EMAIL).map(http::HeaderValue::as_bytes);
        let key = headers.get(X_AUTH_KEY).map(http::HeaderValue::as_bytes);

        let mut chain = Vec::new();
        let mut check = |value: Option<&'a [u8]>, form: fn(&str) -> Option<&str>, code, name| {
            let value = value?;
            let good = core::str::from_utf8(value).ok().and_then(form);
            if good.is_none() {
                chain.push(Notice::new(code, format!("Invalid format for {name} header")));
            }
            good
        };
        let token = check(authorization, bearer, 6111, "Authorization");
        let email = check(email, email_form, 6102, "X-Auth-Email");
        let key = check(key, key_form, 6103, "X-Auth-Key");
        if chain.is_empty() {
            return Ok(Self { token, key: email.zip(key) });
        }
        let notice = Notice {
            code: 6003,
            message: "Invalid request headers".to_owned(),
            documentation_url: None,
            chain,
        };
        Err(ApiResponse::refused_with(StatusCode::BAD_REQUEST, &[notice]))
    }
}

/// Returns the single word after `Bearer`, without quotes. The length is not checked, because that of real tokens has
/// changed.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'';
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_plain))
        .then_some(token)
}

fn email_form(value: &str) -> Option<&str> {
    let (local, domain) = value.rsplit_once('@')?;
    let has_blank = value.bytes().any(|byte| byte.is_ascii_whitespace());
    (!local.is_empty() && !domain.is_empty() && !has_blank).then_some(value)
}

/// Published keys have 37 to 54 characters, the vendor's SDK tests use 32, and its Terraform provider accepts 60.
fn key_form(value: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((32..=60).contains(&value.len()) && value.bytes().all(is_plain)).then_some(value)
}
