//! The HTTP client: requests URLs as a visitor does, with one transport for each origin.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use cfcache_transport::{
    Cause, HyperTransport, Operation, Origin, Phase, ProxyRules, Request, Roots, Scheme, Timeouts,
    TransportError,
};
use http::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use ring::digest::{Context, SHA256};

use crate::answer::{Body, Sha256, VisitorAnswer, edge_error};

/// The characters that a browser encodes (<https://url.spec.whatwg.org/#path-percent-encode-set>), without `?`, `#` and
/// `%`, which are already handled.
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'^');

/// Shorter values of additional headers, such as `1`, are no secrets.
const MIN_SECRET: usize = 8;

/// The maximum number of open origins. The least recently used one is closed.
const MAX_ORIGINS: usize = 64;

/// The number of bytes of a body in which an error page of the edge is searched.
const ERROR_PAGE_BYTES: usize = 4096;

/// The maximum size of a body, in bytes: the largest that Cloudflare caches outside of Enterprise
/// (<https://developers.cloudflare.com/cache/concepts/default-cache-behavior/>).
const MAX_BODY: usize = 512 * 1024 * 1024;

/// The maximum number of connections to one origin.
const MAX_CONNECTIONS: usize = 64;

/// Requests URLs as a visitor does: GET, without following redirects, without cookies, without `Cache-Control`.
///
/// - Bodies are read to their end, up to a limit, and never stored; they are hashed while they are read if required.
/// - Additional headers are never shown, neither by `Debug` nor in errors, and are not sent over cleartext HTTP to
///   another machine.
pub struct Visitor {
    settings: VisitorBuilder,
    origins: Mutex<Origins>,
    /// Whether the local address to connect to supports TLS, once an answer showed it.
    supports_tls: OnceLock<bool>,
}

/// The open transports.
#[derive(Default)]
struct Origins {
    open: HashMap<Origin, (Arc<HyperTransport>, u64)>,
    uses: u64,
}

/// The settings of a [`Visitor`].
#[must_use = "a builder does nothing until `build`"]
#[derive(Clone)]
pub struct VisitorBuilder {
    user_agent: HeaderValue,
    headers: HeaderMap,
    connect_to: Option<(String, u16)>,
    proxies: ProxyRules,
    roots: Roots,
    ca_pem: Vec<Vec<u8>>,
    timeouts: Timeouts,
    max_body: usize,
}

/// The result of a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Visit {
    /// The answer. A body that was not read completely has no hash.
    pub answer: VisitorAnswer,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// Why the body was not read completely, if it was not.
    pub broken: Option<String>,
}

/// Why there was no answer, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer(String);

impl NoAnswer {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// Returns the reason.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for NoAnswer {}

/// A function that gets the pieces of a body.
pub type BodySink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

impl Visitor {
    /// Creates a builder with this `User-Agent`.
    pub fn builder(user_agent: &'static str) -> VisitorBuilder {
        let mut timeouts = Timeouts::new();
        // A large file over a slow connection may take long. The timeout of the whole request limits it.
        timeouts.body = Duration::MAX;
        VisitorBuilder {
            user_agent: HeaderValue::from_static(user_agent),
            headers: HeaderMap::new(),
            connect_to: None,
            proxies: ProxyRules::default(),
            roots: Roots::Platform,
            ca_pem: Vec::new(),
            timeouts,
            max_body: MAX_BODY,
        }
    }

    /// Requests a URL with these additional headers, and hashes the body.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] if there was no complete head of an answer.
    pub async fn visit(&self, url: &str, headers: &[(HeaderName, HeaderValue)]) -> Result<Visit, NoAnswer> {
        self.visit_with(url, headers, &mut |_| ()).await
    }

    /// Requests a URL as [`Visitor::visit`] does, and passes each piece of the body to `sink`.
    ///
    /// # Errors
    ///
    /// The same as [`Visitor::visit`].
    pub async fn visit_with(
        &self,
        url: &str,
        headers: &[(HeaderName, HeaderValue)],
        sink: BodySink<'_>,
    ) -> Result<Visit, NoAnswer> {
        let (origin, path) = address(url).map_err(NoAnswer)?;
        let may_lack_tls = origin.scheme() == Scheme::Https && self.is_local();
        if may_lack_tls && self.supports_tls.get() == Some(&false) {
            return self.ask(&without_tls(&origin), &path, headers, sink).await.map_err(|e| no_answer(&e));
        }
        let error = match self.ask(&origin, &path, headers, sink).await {
            Ok(visit) => {
                if may_lack_tls {
                    self.supports_tls.get_or_init(|| true);
                }
                return Ok(visit);
            }
            Err(error) => error,
        };
        // Another request may have shown in the meantime that it does not.
        if !(may_lack_tls && self.supports_tls.get() != Some(&true) && is_refusal_of_tls(&error)) {
            return Err(no_answer(&error));
        }
        match self.ask(&without_tls(&origin), &path, headers, sink).await {
            // With this status, servers that demand TLS answer a request without it.
            Ok(visit) if visit.answer.status == 400 && !visit.answer.is_from_edge() => Err(no_answer(&error)),
            Ok(visit) => {
                self.supports_tls.get_or_init(|| false);
                Ok(visit)
            }
            Err(cleartext) => Err(NoAnswer(format!("{error}; without TLS: {cleartext}"))),
        }
    }

    /// Returns whether all requests go to this machine.
    fn is_local(&self) -> bool {
        let Some((host, _)) = &self.settings.connect_to else { return false };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("http://{host}").parse().is_ok_and(|origin: Origin| origin.is_loopback())
    }

    async fn ask(
        &self,
        origin: &Origin,
        path: &Uri,
        headers: &[(HeaderName, HeaderValue)],
        sink: BodySink<'_>,
    ) -> Result<Visit, TransportError> {
        let transport = self.transport(origin)?;
        let mut message = http::Request::new(Bytes::new());
        *message.uri_mut() = path.clone();
        let map = message.headers_mut();
        map.insert(ACCEPT, HeaderValue::from_static("*/*"));
        map.insert(USER_AGENT, self.settings.user_agent.clone());
        // A token of Cloudflare Access is like a password: it must not be sent unencrypted.
        if !origin.is_exposed() || self.is_local() {
            map.extend(self.settings.headers.clone());
        }
        for (name, value) in headers {
            map.insert(name, value.clone());
        }
        let mut hash = Context::new(&SHA256);
        let mut beginning = Vec::new();
        let mut bytes = 0;
        let mut take = |piece: &[u8]| {
            hash.update(piece);
            bytes += piece.len() as u64;
            let room = ERROR_PAGE_BYTES.saturating_sub(beginning.len());
            beginning.extend_from_slice(&piece[..piece.len().min(room)]);
            sink(piece);
        };
        let result = transport.stream(Request::new(Operation::new("visit"), message), &mut take).await;
        let mut body = Body::new(bytes);
        let (mut head, broken) = match result {
            Ok(response) => {
                let digest = hash.finish();
                body.sha256 = digest.as_ref().try_into().ok().map(Sha256::new);
                (response.into_parts().0, None)
            }
            Err(error) => match error.head() {
                Some(head) => (head.clone(), Some(no_answer(&error).0)),
                None => return Err(error),
            },
        };
        self.blank_secrets(&mut head.headers);
        if head.status.is_client_error() || head.status.is_server_error() {
            body.edge_error = edge_error(&beginning);
        }
        #[expect(clippy::disallowed_methods, reason = "a `Retry-After` date is relative to now")]
        let now = SystemTime::now();
        let answer = VisitorAnswer::from_head(head.status, &head.headers, now).with_body(body);
        Ok(Visit { answer, headers: head.headers, broken })
    }

    /// Replaces the secrets of the additional headers where a server repeats them, for example in the `Location` of a
    /// redirect to a login: answers are printed.
    fn blank_secrets(&self, headers: &mut HeaderMap) {
        for sent in self.settings.headers.values() {
            // After a scheme, such as `Bearer`.
            let secret = sent.as_bytes().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            if secret.len() < MIN_SECRET {
                continue;
            }
            for value in headers.values_mut() {
                if let Some(blanked) = blanked(value.as_bytes(), secret) {
                    *value = blanked;
                }
            }
        }
    }

    fn transport(&self, origin: &Origin) -> Result<Arc<HyperTransport>, TransportError> {
        {
            let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
            origins.uses += 1;
            let uses = origins.uses;
            if let Some((transport, used)) = origins.open.get_mut(origin) {
                *used = uses;
                return Ok(Arc::clone(transport));
            }
        }
        let transport = self.open(origin).map_err(|why| {
            let delivery = cfcache_transport::Delivery::NotSent;
            TransportError::new(delivery, Phase::Connect, Cause::Configuration, why)
        })?;
        self.keep(origin, &transport);
        Ok(transport)
    }

    fn keep(&self, origin: &Origin, transport: &Arc<HyperTransport>) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.open.len() >= MAX_ORIGINS && !origins.open.contains_key(origin) {
            let oldest = origins.open.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(origin, _)| origin.clone()) {
                origins.open.remove(&oldest);
            }
        }
        let used = origins.uses;
        origins.open.insert(origin.clone(), (Arc::clone(transport), used));
    }

    fn open(&self, origin: &Origin) -> Result<Arc<HyperTransport>, String> {
        let settings = &self.settings;
        let mut timeouts = settings.timeouts;
        if self.is_local() {
            // A server without TLS may wait for more input during the handshake.
            timeouts.tls = timeouts.tls.min(Duration::from_secs(2));
        }
        let mut builder = HyperTransport::builder(origin.clone())
            // Secret headers are not sent to such an origin.
            .allow_insecure_http()
            .with_timeouts(timeouts)
            .with_max_body(settings.max_body)
            .with_max_connections(MAX_CONNECTIONS)
            .with_proxy(settings.proxies.intercepts(origin))
            .with_roots(settings.roots);
        for pem in &settings.ca_pem {
            builder = builder.with_ca_pem(pem.as_slice());
        }
        if let Some((host, port)) = &settings.connect_to {
            builder = builder.with_connect_to(host, *port);
        }
        builder.build().map(Arc::new).map_err(|error| error.to_string())
    }
}

impl VisitorBuilder {
    /// Sends a header with each request, such as an access token.
    pub fn with_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.append(name, value);
        self
    }

    /// Connects to this address for every URL, but uses the host name of the URL. A local server that does not support
    /// TLS is used without it.
    pub fn with_connect_to(mut self, host: impl Into<String>, port: u16) -> Self {
        self.connect_to = Some((host.into(), port));
        self
    }

    /// Connects to the host of each URL, which undoes [`with_connect_to`](Self::with_connect_to).
    pub fn without_connect_to(mut self) -> Self {
        self.connect_to = None;
        self
    }

    /// Sets the rules that select a proxy. Default: no proxy.
    pub fn with_proxy_rules(mut self, rules: ProxyRules) -> Self {
        self.proxies = rules;
        self
    }

    /// Sets the trusted certificate authorities. Default: those of the platform.
    pub fn with_roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Adds the trusted certificate authorities in `pem`. Can be repeated.
    pub fn with_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem.push(pem.into());
        self
    }

    /// Sets the timeout of one request, including its body. Default: 60 s.
    pub fn with_timeout(mut self, total: Duration) -> Self {
        self.timeouts.total = total;
        self
    }

    /// Sets the maximum number of bytes of a body. Default: 512 MiB.
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Creates the visitor. Nothing is sent yet.
    #[must_use]
    pub fn build(self) -> Visitor {
        Visitor { settings: self, origins: Mutex::default(), supports_tls: OnceLock::new() }
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for VisitorBuilder {
    /// Shows the number of additional headers, but not the headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VisitorBuilder")
            .field("headers", &self.headers.len())
            .field("connect_to", &self.connect_to)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Returns the same origin without TLS.
fn without_tls(origin: &Origin) -> Origin {
    format!("http://{}", origin.authority()).parse().unwrap_or_else(|_| origin.clone())
}

/// Returns whether a server without TLS, such as an emulated edge, can be the cause of an error.
fn is_refusal_of_tls(error: &TransportError) -> bool {
    error.phase() == Phase::Tls && !matches!(error.cause(), Cause::Certificate | Cause::Configuration)
}

/// Returns the hash of everything in a reader.
///
/// # Errors
///
/// An error of the reader.
pub fn hash(mut reader: impl std::io::Read) -> std::io::Result<Sha256> {
    let mut context = Context::new(&SHA256);
    let mut buffer = [0; 16 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => context.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Ok(Sha256::new(bytes))
}

/// Returns the key of the rate limit of a URL: its host and port, in lower case. Returns the whole text if it is not a
/// URL.
#[must_use]
pub fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest).to_ascii_lowercase()
}

/// Returns the origin of a URL, and the path to request, as a browser would send it.
fn address(url: &str) -> Result<(Origin, Uri), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !authority.is_ascii() {
        return Err(format!("the host `{authority}` has non-ASCII letters: write it as `xn--…`"));
    }
    if authority.contains('@') {
        // The URL is not shown, because it may contain a password.
        return Err("the URL contains a user or a password, which visitors do not send".to_owned());
    }
    let origin: Origin = format!("{scheme}://{authority}")
        .parse()
        .map_err(|invalid| format!("`{scheme}://{authority}` cannot be requested: {invalid}"))?;
    let path = path.split('#').next().unwrap_or("");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let encoded = format!("{slash}{}", utf8_percent_encode(path, PATH));
    let path = encoded.parse().map_err(|error| format!("`{url}` cannot be requested: {error}"))?;
    Ok((origin, path))
}

/// Returns a header's value without a secret; `None` if it does not contain the secret.
fn blanked(value: &[u8], secret: &[u8]) -> Option<HeaderValue> {
    let mut blanked = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.windows(secret.len()).position(|part| part == secret) {
        blanked.extend_from_slice(&rest[..at]);
        blanked.extend_from_slice(b"[secret]");
        rest = &rest[at + secret.len()..];
    }
    if blanked.is_empty() {
        return None;
    }
    blanked.extend_from_slice(rest);
    HeaderValue::from_bytes(&blanked).ok()
}

/// Formats an error with its causes, in one line.
fn no_answer(error: &TransportError) -> NoAnswer {
    NoAnswer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_urls_in_the_form_of_a_browser() {
        for (url, origin, path) in [
            ("https://www.example.com", "https://www.example.com", "/"),
            ("HTTPS://www.example.com:8443/a?b=c#d", "https://www.example.com:8443", "/a?b=c"),
            ("http://a.test?x", "http://a.test", "/?x"),
            ("https://a.test/ü/<b>?q=ü", "https://a.test", "/%C3%BC/%3Cb%3E?q=%C3%BC"),
            ("https://a.test/%7Eb", "https://a.test", "/%7Eb"),
            (
                "https://a.test/a b\u{7f}\u{1}\"`{}^|\\'~!*",
                "https://a.test",
                "/a%20b%7F%01%22%60%7B%7D%5E|\\'~!*",
            ),
        ] {
            let (found, uri) = address(url).unwrap();
            assert_eq!((found.to_string().as_str(), uri.to_string().as_str()), (origin, path), "{url}");
        }
        for (url, why) in [
            ("https://user:secret@a.test/", "user or a password"),
            ("https://ü.test/", "xn--"),
            ("https:///a", "host"),
            ("www.example.com", "not a URL"),
        ] {
            let found = address(url).unwrap_err();
            assert!(found.contains(why), "{url}: {found}");
        }
    }

    #[test]
    fn host_of_returns_host_and_port() {
        assert_eq!(host_of("https://WWW.example.com:8443/a"), "www.example.com:8443");
        assert_eq!(host_of("http://a.test?b"), "a.test");
    }

    /// Another request may find out during a handshake that the server lacks TLS.
    #[tokio::test]
    async fn a_failed_handshake_is_repeated_without_tls() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let visitor = Arc::new(Visitor::builder("test").with_connect_to("127.0.0.1", port).build());
        let other = Arc::clone(&visitor);
        tokio::spawn(async move {
            let (mut handshake, _) = listener.accept().await.unwrap();
            other.supports_tls.set(false).unwrap();
            handshake.write_all(b"no TLS").await.unwrap();
            let (mut socket, _) = listener.accept().await.unwrap();
            let _head = socket.read(&mut [0; 4096]).await.unwrap();
            socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        });
        let visit = visitor.visit("https://www.example.com/", &[]).await;
        assert_eq!(visit.map(|visit| visit.answer.status), Ok(204));
    }

    #[test]
    fn debug_does_not_show_extra_headers() {
        let visitor = Visitor::builder("test")
            .with_header(
                HeaderName::from_static("cf-access-client-secret"),
                HeaderValue::from_static("s3cret"),
            )
            .build();
        let shown = format!("{visitor:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("cf-access"), "{shown}");
    }
}
