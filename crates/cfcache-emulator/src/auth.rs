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

/// Authenticates the caller of an endpoint, or returns the answer that refuses it.
///
/// Returns the configured token. `None` is a caller with all permissions: an e-mail address and a key, or any token of
/// a valid form if none is configured.
pub(crate) fn authenticate<'a>(
    config: &'a Config,
    endpoint: &Descriptor,
    headers: &HeaderMap,
) -> Result<Option<&'a Token>, ApiResponse> {
    let mut invalid = Vec::new();
    let token = valid_header(headers, &AUTHORIZATION, bearer, 6111, "Authorization", &mut invalid);
    let email = valid_header(headers, &X_AUTH_EMAIL, email_form, 6102, "X-Auth-Email", &mut invalid);
    let key = valid_header(headers, &X_AUTH_KEY, key_form, 6103, "X-Auth-Key", &mut invalid);
    if !invalid.is_empty() {
        let notice = Notice { chain: invalid, ..Notice::new(6003, "Invalid request headers") };
        return Err(ApiResponse::refused_with(StatusCode::BAD_REQUEST, &[notice]));
    }
    match (token, email.zip(key)) {
        // Published for the account's form of verification; the user's form is assumed to be the same.
        (None, _) if endpoint.area == Area::Token => {
            Err(ApiResponse::refused(StatusCode::BAD_REQUEST, 1001, "No API Token was sent"))
        }
        // If a program sends several kinds of credentials (the vendor's TypeScript SDK does), the token is used.
        (Some(token), _) => by_token(config, endpoint, token),
        (None, Some((email, key))) => by_key(config, email, key).map(|()| None),
        (None, None) => Err(ApiResponse::refused(
            StatusCode::BAD_REQUEST,
            9106,
            "Missing X-Auth-Key, X-Auth-Email or Authorization headers",
        )),
    }
}

/// Returns the value of a header that has a valid form. For another form, an error is added to the list.
fn valid_header<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    form: fn(&str) -> Option<&str>,
    code: u32,
    shown_name: &str,
    invalid: &mut Vec<Notice>,
) -> Option<&'a str> {
    let value = headers.get(name)?.as_bytes();
    let valid = core::str::from_utf8(value).ok().and_then(form);
    if valid.is_none() {
        invalid.push(Notice::new(code, format!("Invalid format for {shown_name} header")));
    }
    valid
}

/// Returns whether the caller may use the endpoint at all.
pub(crate) fn permits(caller: Option<&Token>, endpoint: &Descriptor) -> bool {
    caller.is_none_or(|token| token.may(endpoint))
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

fn by_token<'a>(
    config: &'a Config,
    endpoint: &Descriptor,
    token: &str,
) -> Result<Option<&'a Token>, ApiResponse> {
    let known = config.tokens.iter().find(|known| known.secret == token);
    let is_open = config.tokens.is_empty() && config.keys.is_empty();
    match known {
        Some(known) if endpoint.area == Area::Token || known.state == TokenState::Active => Ok(Some(known)),
        None if is_open && !looks_like_key(token) => Ok(None),
        None if endpoint.area == Area::Token => {
            Err(ApiResponse::refused(StatusCode::UNAUTHORIZED, 1000, "Invalid API Token"))
        }
        _ => Err(ApiResponse::refused(StatusCode::UNAUTHORIZED, 10000, "Authentication error")),
    }
}

fn by_key(config: &Config, email: &str, key: &str) -> Result<(), ApiResponse> {
    let is_open = config.tokens.is_empty() && config.keys.is_empty();
    // Addresses are compared without regard to case.
    let fits = |known: &ApiKey| known.email.eq_ignore_ascii_case(email) && known.key == key;
    if is_open || config.keys.iter().any(fits) {
        return Ok(());
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
