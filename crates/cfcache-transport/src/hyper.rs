//! The hyper transport: its public type, its settings, and the decision whether to resend a request.

mod deadline;
mod dial;
mod failure;
mod pool;
mod proxy;
mod session;
mod tls;
mod trace;

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Uri};

pub use crate::hyper::proxy::{Proxy, ProxyRules};

use crate::hyper::deadline::Deadline;
use crate::hyper::dial::Route;
use crate::hyper::failure::NotProcessed;
use crate::hyper::pool::{Lease, Pool};
use crate::hyper::session::{Connection, Failed, TakePiece};
use crate::hyper::tls::{Protocol, Tls};
use crate::hyper::trace::TraceStep;
use crate::{Origin, Request, ResponseFuture, Scheme, Transport, TransportError};

/// A transport that speaks HTTP/1.1 and HTTP/2 over TCP and TLS.
///
/// - Over HTTP/2 all requests share one connection up to the server's limit; over HTTP/1.1 there is a small pool.
/// - A request is resent only if the server certainly did not process it, at most twice, and within the time limit of
///   the attempt.
/// - Redirects are returned like any other response.
/// - It needs a tokio runtime with IO and time enabled.
pub struct HyperTransport {
    pool: Arc<Pool>,
    timeouts: Timeouts,
    max_body: usize,
}

impl HyperTransport {
    /// How many times a request may be resent because it was certainly not processed.
    const RESENDS: u32 = 2;

    /// Returns a builder for a transport to `origin`.
    pub fn builder(origin: Origin) -> HyperTransportBuilder {
        HyperTransportBuilder {
            origin,
            timeouts: Timeouts::new(),
            max_body: 8 * 1024 * 1024,
            max_connections: 6,
            allows_insecure_http: false,
            cleartext: Protocol::Http1,
            proxy: None,
            roots: Roots::Platform,
            ca_pem: Vec::new(),
            connect_to: None,
        }
    }

    /// Sends `request` and passes the body of the response to `take` piece by piece, without buffering it. The returned
    /// response contains the number of bytes instead of the body.
    ///
    /// - The guarantees of [`Transport::send`] apply, and so does the limit on the body.
    /// - No piece is passed twice: a request is resent only if none of it was processed.
    ///
    /// # Errors
    ///
    /// The same as [`Transport::send`]; pieces may have been passed before.
    pub async fn stream(
        &self,
        request: Request,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<http::Response<u64>, TransportError> {
        self.try_send(request, &mut |piece| take(&piece)).await
    }

    async fn try_send(
        &self,
        request: Request,
        take: &mut TakePiece<'_>,
    ) -> Result<http::Response<u64>, TransportError> {
        let mut deadline = Deadline::start(self.timeouts);
        let mut resends = 0;
        loop {
            let (mut lease, later) = self.pool.acquire(deadline).await?;
            deadline = later;
            if lease.reused && !is_alive(&mut lease).await {
                lease.retire();
                continue;
            }
            let reused = lease.reused;
            request.set_sent(true);
            let step = TraceStep::exchange(&request, reused);
            let exchanged = step.run(self.exchange(&mut lease, &request, deadline, take)).await;
            let Failed { error, not_processed, fit } = match exchanged {
                Ok((response, can_be_reused)) => {
                    step.answered(&response);
                    if can_be_reused {
                        lease.give_back();
                    }
                    return self.unproxied(response);
                }
                Err(failed) => failed,
            };
            step.failed(&error);
            if fit {
                drop(lease)
            } else {
                lease.retire()
            }
            let again = match not_processed {
                // If a fresh connection accepts nothing, the failure is reported; only a reused connection may be
                // stale.
                Some(NotProcessed::NotSent) => reused,
                Some(NotProcessed::Refused | NotProcessed::GoingAway) => true,
                None => false,
            };
            if !again || resends == Self::RESENDS {
                return Err(error);
            }
            request.set_sent(false);
            resends += 1;
        }
    }

    /// Returns the response, and whether the connection can be used again.
    async fn exchange(
        &self,
        lease: &mut Lease,
        request: &Request,
        deadline: Deadline,
        take: &mut TakePiece<'_>,
    ) -> Result<(http::Response<u64>, bool), Failed> {
        let (message, route) = (&request.message, &self.pool.route);
        match lease.connection() {
            Some(Connection::Http1(connection)) => {
                connection.exchange(message, route, deadline, self.max_body, take).await
            }
            Some(Connection::Http2(connection)) => {
                let response = connection.exchange(message, route, deadline, self.max_body, take).await?;
                Ok((response, true))
            }
            None => unreachable!("the pool leases no connection that is not open"),
        }
    }

    /// Turns a proxy's demand for a password, which arrives as the response to a cleartext request, into an error.
    fn unproxied(&self, response: http::Response<u64>) -> Result<http::Response<u64>, TransportError> {
        let route = &self.pool.route;
        match route.forward_proxy() {
            Some(proxy) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(proxy.refused(response.status(), &route.origin.authority()))
            }
            _ => Ok(response),
        }
    }
}

/// Checks whether an idle connection is still open.
async fn is_alive(lease: &mut Lease) -> bool {
    if lease.was_idle {
        // Lets the runtime process a close that has arrived, so that no request is wasted on the connection.
        tokio::task::yield_now().await;
    }
    match lease.connection() {
        // Normally ready at once; if not, the connection is not worth waiting for.
        Some(Connection::Http1(connection)) => {
            tokio::time::timeout(Duration::from_secs(1), connection.ready()).await.unwrap_or(false)
        }
        Some(Connection::Http2(connection)) => !connection.is_closed(),
        None => false,
    }
}

impl Transport for HyperTransport {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        Box::pin(async move {
            let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
            let mut take = |piece: Bytes| {
                // Most bodies arrive in one piece, which needs no copy.
                if first.is_empty() {
                    first = piece;
                    return;
                }
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&piece);
            };
            let response = self.try_send(request, &mut take).await?;
            Ok(response.map(|_| if whole.is_empty() { first } else { whole.freeze() }))
        })
    }
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport")
            .field("origin", &self.pool.route.origin.authority())
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// The time limit of each phase of a request.
///
/// `Duration::MAX` means that only the limit of the whole attempt applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Looking up the host's addresses: 10 s.
    pub resolve: Duration,
    /// Opening the TCP connection, for all addresses together, and separately getting a tunnel from a proxy: 10 s.
    pub connect: Duration,
    /// The TLS handshake: 10 s.
    pub tls: Duration,
    /// Writing the request: 30 s.
    pub write: Duration,
    /// From the last byte of the request to the headers of the response: 30 s.
    pub head: Duration,
    /// Reading the body of the response: 20 s.
    pub body: Duration,
    /// The whole attempt: 60 s. Time spent waiting while other requests use all connections does not count.
    pub total: Duration,
}

impl Timeouts {
    /// The default limits, which are listed at the fields.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            write: Duration::from_secs(30),
            head: Duration::from_secs(30),
            body: Duration::from_secs(20),
            total: Duration::from_secs(60),
        }
    }

    /// Sets the limit of the whole attempt, and lets each phase use all of it.
    #[must_use]
    pub const fn from_total(total: Duration) -> Self {
        Self { resolve: total, connect: total, tls: total, write: total, head: total, body: total, total }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::new()
    }
}

/// Which root certificates are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Roots {
    /// Those of the operating system.
    Platform,
    /// Mozilla's list, which is included in this build, for containers without certificates.
    Bundled,
}

/// A builder for a [`HyperTransport`].
#[must_use = "a builder does nothing until `build`"]
pub struct HyperTransportBuilder {
    origin: Origin,
    timeouts: Timeouts,
    max_body: usize,
    max_connections: usize,
    allows_insecure_http: bool,
    cleartext: Protocol,
    proxy: Option<Proxy>,
    roots: Roots,
    ca_pem: Vec<Vec<u8>>,
    connect_to: Option<(String, u16)>,
}

impl HyperTransportBuilder {
    /// Sets the time limit of each phase.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the maximum size of a response body in bytes; the default is 8 MiB.
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets the maximum number of connections, at least one; the default is 6.
    ///
    /// Over HTTP/2, a second connection is opened only when the first one has as many requests as the server allows.
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Allows `http://` to another machine. Anyone on the way can then read the token.
    pub fn allow_insecure_http(mut self) -> Self {
        self.allows_insecure_http = true;
        self
    }

    /// Uses HTTP/2 over `http://` without negotiation, which the server must expect. Has no effect on `https://`.
    pub fn with_http2_prior_knowledge(mut self) -> Self {
        self.cleartext = Protocol::Http2;
        self
    }

    /// Connects through this proxy; `None`, the default, connects directly. [`ProxyRules::intercepts`] chooses the
    /// proxy for an origin.
    pub fn with_proxy(mut self, proxy: Option<Proxy>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Connects to this host and port instead of the origin's, without a proxy. Requests and TLS still use the origin's
    /// name, as with curl's `--connect-to`.
    ///
    /// An IPv6 address is written without brackets.
    pub fn with_connect_to(mut self, host: impl Into<String>, port: u16) -> Self {
        self.connect_to = Some((host.into(), port));
        self
    }

    /// Sets which root certificates to trust; the default is the platform's.
    pub fn with_roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Also trusts the certificate authorities in `pem`. Can be called several times.
    pub fn with_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem.push(pem.into());
        self
    }

    /// Builds the transport. It opens no connection yet.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] if the settings cannot work or would expose the token.
    pub fn build(self) -> Result<HyperTransport, BuildError> {
        let Self {
            origin,
            timeouts,
            max_body,
            max_connections,
            allows_insecure_http,
            cleartext,
            proxy,
            roots,
            ca_pem,
            connect_to,
        } = self;
        let proxy = proxy.filter(|_| connect_to.is_none());
        if origin.is_exposed() && !allows_insecure_http {
            return Err(BuildError::Exposed(origin));
        }
        if let Some(proxy) = &proxy
            && origin.scheme() == Scheme::Http
            && !allows_insecure_http
            && !proxy.is_loopback()
        {
            return Err(BuildError::ExposedToProxy(proxy.to_string()));
        }
        let mut authorities = Vec::new();
        for pem in &ca_pem {
            authorities.extend(tls::read_authorities(pem).map_err(BuildError::Ca)?);
        }
        let Ok(host) = HeaderValue::try_from(origin.authority()) else {
            return Err(BuildError::Origin(origin));
        };
        let tls = Tls::new(roots, authorities);
        let route = Route { origin, host, connect_to, proxy, tls, cleartext };
        if route.forward_proxy().is_some() && cleartext == Protocol::Http2 {
            return Err(BuildError::Http2ThroughProxy);
        }
        // Requests and certificates contain this name; if it is unusable for either, every attempt would fail.
        let nameable = route.origin.scheme() == Scheme::Http || tls::can_certify(&route.origin);
        if !nameable || route.uri(&Uri::default()).host().is_none() {
            return Err(BuildError::Origin(route.origin));
        }
        Ok(HyperTransport { pool: Arc::new(Pool::new(route, max_connections)), timeouts, max_body })
    }
}

impl fmt::Debug for HyperTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransportBuilder")
            .field("origin", &self.origin)
            .field("timeouts", &self.timeouts)
            .field("proxy", &self.proxy)
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

/// Why a transport cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The origin is `http://` on another machine, which was not allowed.
    Exposed(Origin),
    /// The origin is `http://` and the proxy is another machine, which was not allowed.
    ExposedToProxy(String),
    /// The certificates given to `with_ca_pem` cannot be used; contains the reason.
    Ca(String),
    /// HTTP/2 without TLS cannot go through a proxy.
    Http2ThroughProxy,
    /// The origin's host cannot be used in a request.
    Origin(Origin),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed(origin) => {
                write!(
                    f,
                    "`{origin}` is not encrypted: the token would be sent unencrypted to another machine"
                )
            }
            Self::ExposedToProxy(proxy) => {
                write!(
                    f,
                    "without TLS to the origin, the token would be sent unencrypted to the proxy `{proxy}`"
                )
            }
            Self::Ca(why) => write!(f, "the extra certificate authorities cannot be used: {why}"),
            Self::Http2ThroughProxy => f.write_str("HTTP/2 without TLS cannot go through a proxy"),
            Self::Origin(origin) => write!(f, "`{origin}` cannot be used in a request"),
        }
    }
}

impl StdError for BuildError {}
