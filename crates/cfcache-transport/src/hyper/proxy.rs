//! Proxies: rules that choose one, and opening a tunnel through it.

use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::str::FromStr;
use std::sync::Arc;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::hyper::deadline::Deadline;
use crate::hyper::failure;
use crate::{Cause, Delivery, InvalidUrl, Origin, Phase, Scheme, TransportError};

/// An HTTP proxy: host, port, and optionally a user name and a password.
///
/// - The proxy is contacted over cleartext HTTP; TLS to the origin protects the data in the tunnel.
/// - Neither `Debug` nor `Display` shows the user name or the password.
#[derive(Clone)]
pub struct Proxy {
    found: Intercept,
    host: String,
    port: u16,
}

impl Proxy {
    /// The proxy's host, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The proxy's port; the default is 80.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the proxy is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let origin = Origin::from_str(&self.to_string());
        origin.is_ok_and(|origin| origin.is_loopback())
    }

    /// The value of the `Proxy-Authorization` header, marked as sensitive.
    pub(crate) fn credentials(&self) -> Option<&HeaderValue> {
        self.found.basic_auth()
    }

    /// Requests a tunnel to the origin (RFC 9110, section 9.3.6).
    pub(crate) async fn tunnel(
        &self,
        tcp: TcpStream,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<TcpStream, TransportError> {
        let missed = || format!("the proxy `{self}` did not open a tunnel to `{}`", authority(origin));
        deadline.run(Phase::Proxy, self.connect(tcp, origin), missed).await?
    }

    async fn connect(&self, tcp: TcpStream, origin: &Origin) -> Result<TcpStream, TransportError> {
        let fail =
            |cause, detail: String| TransportError::new(Delivery::NotSent, Phase::Proxy, cause, detail);
        let io = |error: hyper::Error| {
            let peer = self.to_string();
            failure::exchange(error, Delivery::NotSent, Phase::Proxy, &peer)
        };
        let target = authority(origin);
        let unnameable =
            || fail(Cause::Configuration, format!("`{target}` cannot be used in a request to a proxy"));

        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(io)?;
        let mut request = http::Request::new(String::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.parse().map_err(|_| unnameable())?;
        let host = HeaderValue::try_from(target.as_str()).map_err(|_| unnameable())?;
        request.headers_mut().insert(HOST, host);
        if let Some(credentials) = self.credentials() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let asking = async {
            let response = sender.send_request(request).await.map_err(io)?;
            if !response.status().is_success() {
                return Err(self.refused(response.status(), &target));
            }
            hyper::upgrade::on(response).await.map_err(io)
        };
        // Both run in one task, so that dropping it closes the connection and no request is lost between two tasks.
        let mut asking = pin!(asking);
        let mut connection = pin!(connection.with_upgrades());
        let mut open = true;
        let upgraded = poll_fn(|cx| {
            // If the connection fails, `asking` returns the error.
            open = open && connection.as_mut().poll(cx).is_pending();
            asking.as_mut().poll(cx)
        })
        .await?;
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return Err(fail(Cause::Protocol, format!("`{self}` opened a tunnel that cannot be used")));
        };
        if !parts.read_buf.is_empty() {
            // With TLS the client sends first, so these bytes are not from the origin.
            return Err(fail(Cause::Protocol, format!("`{self}` sent unexpected bytes into the tunnel")));
        }
        Ok(parts.io.into_inner())
    }

    /// The error for a proxy that refused.
    pub(crate) fn refused(&self, status: StatusCode, target: &str) -> TransportError {
        let code = status.as_u16();
        let why = match (status, self.credentials().is_some()) {
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, false) => ": it requires a user and a password",
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, true) => {
                ": it does not accept this user and password"
            }
            (StatusCode::FORBIDDEN, _) => ": it does not allow this destination",
            (StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE, _) => {
                ": it cannot reach the destination"
            }
            (StatusCode::GATEWAY_TIMEOUT, _) => ": it got no connection to the destination in time",
            _ => "",
        };
        let detail = format!("the proxy `{self}` refused a tunnel to `{target}` with status {code}{why}");
        TransportError::new(Delivery::NotSent, Phase::Proxy, Cause::ProxyRefused, detail)
            .with_retryable(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS)
    }
}

/// Returns `host:port`: CONNECT has no default port.
fn authority(origin: &Origin) -> String {
    let host = origin.host();
    if host.contains(':') {
        format!("[{host}]:{}", origin.port())
    } else {
        format!("{host}:{}", origin.port())
    }
}

impl FromStr for Proxy {
    type Err = InvalidUrl;

    /// Parses `http://proxy.example:3128`, `http://user:password@proxy.example:3128` or `proxy.example:3128`.
    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let bad_form =
            InvalidUrl::new("it is not of the form `http://host:port` or `http://user:password@host:port`");
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(InvalidUrl::new("only `http://` proxies are supported"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.matches('@').count() > 1
            || rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(['/', '?', '#', '\\']))
        {
            return Err(InvalidUrl::new(
                "its user and password must be percent-encoded (`@` as `%40`, `/` as `%2F`, `#` as `%23`)",
            ));
        }
        let url = format!("http://{rest}");
        let found =
            Matcher::builder().all(url).build().intercept(&Uri::from_static("https://origin.invalid/"));
        let found = found.ok_or(bad_form)?;
        let host = found.uri().host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let written = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
        let port = match found.uri().port_u16() {
            Some(0) => return Err(bad_form),
            Some(port) => port,
            // `http::Uri` parses `host:` and `host:99999` as a host without a port.
            None if written.rsplit_once(']').map_or(written, |(_, port)| port).contains(':') => {
                return Err(bad_form);
            }
            None => 80,
        };
        if host.is_empty() || written.contains(['/', '?', '#']) {
            return Err(bad_form);
        }
        Ok(Self { found, host, port })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "http://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.credentials().is_some() { "hidden" } else { "none" };
        f.debug_struct("Proxy").field("url", &self.to_string()).field("credentials", &credentials).finish()
    }
}

/// Rules that choose a proxy for an origin, in the format of the usual environment variables.
///
/// - It reads no environment itself; [`ProxyRules::from_variables`] takes a function for that.
/// - A loopback origin never goes through a proxy of [`ProxyRules::new`] or [`ProxyRules::from_variables`].
/// - [`ProxyRules::default`] reaches every origin directly; rules from one [`Proxy`] reach every origin through it.
#[derive(Clone, Default)]
pub struct ProxyRules {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// The rules for direct connections; `None` if there are none, not even for this machine.
    exceptions: Option<Arc<Matcher>>,
}

impl ProxyRules {
    /// Creates rules from the values of `ALL_PROXY`, `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, each empty if unset.
    ///
    /// `no_proxy` is a comma-separated list: `*` for everything, names (which include their subdomains, with or without
    /// a leading `.` or `*.`), addresses, and networks such as `10.0.0.0/8`.
    ///
    /// # Errors
    ///
    /// The first value that is not a proxy. Ignoring it would let requests bypass the proxy.
    pub fn new(all: &str, http: &str, https: &str, no_proxy: &str) -> Result<Self, InvalidUrl> {
        let parse = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse::<Proxy>().map(Some),
        };
        let all = parse(all)?;
        let (http, https) = (parse(http)?.or_else(|| all.clone()), parse(https)?.or(all));
        let no_proxy: Vec<&str> = no_proxy
            .split(',')
            .map(str::trim)
            // The matcher only supports a single `*`; `*.example.com` is common and means the same as `.example.com`.
            .map(|entry| entry.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(entry))
            .map(|entry| entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry))
            .collect();
        // For the matcher, `*` matches every name but no address.
        if no_proxy.contains(&"*") {
            return Ok(Self::default());
        }
        let exceptions = Matcher::builder().all("http://proxy.invalid").no(no_proxy.join(",")).build();
        Ok(Self { http, https, exceptions: Some(Arc::new(exceptions)) })
    }

    /// Creates rules from the environment variables `ALL_PROXY`, `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, as in
    /// [`new`](Self::new). `lookup` returns the value of a variable.
    ///
    /// - The names in lower case take precedence, and an empty variable counts as unset.
    /// - If `REQUEST_METHOD` is set, as in a CGI script, `HTTP_PROXY` is ignored: a client could have set it with the
    ///   request header `Proxy` (<https://httpoxy.org>). `http_proxy` is safe.
    ///
    /// # Errors
    ///
    /// The first value that is not a proxy. Ignoring it would let requests bypass the proxy.
    pub fn from_variables(
        mut lookup: impl FnMut(&'static str) -> Option<String>,
    ) -> Result<Self, InvalidUrl> {
        let mut first = |names: &[&'static str]| {
            let mut values = names.iter().filter_map(|name| lookup(name));
            values.find(|value| !value.trim().is_empty()).unwrap_or_default()
        };
        let is_cgi = !first(&["REQUEST_METHOD"]).is_empty();
        let http = first(if is_cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] });
        let all = first(&["all_proxy", "ALL_PROXY"]);
        let https = first(&["https_proxy", "HTTPS_PROXY"]);
        let no_proxy = first(&["no_proxy", "NO_PROXY"]);
        Self::new(&all, &http, &https, &no_proxy)
    }

    /// The proxy for an origin; `None` if it is reached directly.
    #[must_use]
    pub fn intercepts(&self, origin: &Origin) -> Option<Proxy> {
        if let Some(exceptions) = &self.exceptions {
            if origin.is_loopback() {
                return None;
            }
            let uri: Uri = origin.to_string().parse().ok()?;
            exceptions.intercept(&uri)?;
        }
        match origin.scheme() {
            Scheme::Http => self.http.clone(),
            Scheme::Https => self.https.clone(),
        }
    }
}

impl From<Proxy> for ProxyRules {
    /// Makes rules that reach every origin through one proxy, this machine included.
    fn from(proxy: Proxy) -> Self {
        Self { http: Some(proxy.clone()), https: Some(proxy), exceptions: None }
    }
}

impl fmt::Debug for ProxyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyRules")
            .field("http", &self.http)
            .field("https", &self.https)
            .finish_non_exhaustive()
    }
}
