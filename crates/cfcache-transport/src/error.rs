use core::error::Error as StdError;
use core::fmt;
use std::sync::Arc;

/// Whether the server may have processed the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The request was certainly not processed: none of it left this machine, or the server said that it did not
    /// process it (HTTP/2 `REFUSED_STREAM`, or `GOAWAY` with a lower last stream).
    NotSent,
    /// The request may have been processed: all or part of it was sent, and no complete response was received.
    Unknown,
}

/// The step of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Looking up the host name.
    Resolve,
    /// Opening a TCP connection.
    Connect,
    /// Requesting a tunnel from a proxy.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// Writing the request.
    Write,
    /// Waiting for the status line and headers of the response.
    Head,
    /// Reading the body of the response.
    Body,
}

impl Phase {
    /// A description of the phase that can follow the word "while".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Resolve => "looking up the host",
            Self::Connect => "connecting",
            Self::Proxy => "asking the proxy for a tunnel",
            Self::Tls => "setting up TLS",
            Self::Write => "writing the request",
            Self::Head => "waiting for the response",
            Self::Body => "reading the response",
        }
    }
}

/// The cause of a failure, in as much detail as a caller needs to decide what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The time limit of the phase or of the whole attempt was exceeded.
    TimedOut,
    /// The peer's certificate was refused. A retry cannot help.
    Certificate,
    /// Both sides share no TLS version or cipher, or the peer does not use TLS. A retry cannot help.
    Protocol,
    /// The proxy refused the request. A retry can help only after a 5xx or 429.
    ProxyRefused,
    /// The body of the response exceeds the limit. A retry cannot help.
    TooLarge,
    /// This machine's store of trusted certificates is empty or unreadable, so no certificate can be verified. A retry
    /// cannot help.
    TrustStore,
    /// The configuration cannot work, for example because of an unreadable certificate file. A retry cannot help.
    Configuration,
    /// Any other IO error: refused, reset, unreachable, closed early.
    Io,
}

/// A request that got no complete response.
///
/// `Display` describes the failure and its phase, without its sources. Clones share the source: requests that waited
/// for the same connection return the same error.
#[derive(Clone)]
pub struct TransportError {
    delivery: Delivery,
    phase: Phase,
    cause: Cause,
    retryable: bool,
    detail: String,
    head: Option<Box<http::response::Parts>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// Creates an error for a request that failed in `phase`; `detail` is a lowercase fragment such as
    /// `` `127.0.0.1:9` refused the connection ``.
    #[must_use]
    pub fn new(delivery: Delivery, phase: Phase, cause: Cause, detail: impl Into<String>) -> Self {
        let retryable = matches!(cause, Cause::TimedOut | Cause::Io);
        Self { delivery, phase, cause, retryable, detail: detail.into(), head: None, source: None }
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Adds the headers of the response, if they had arrived.
    #[must_use]
    pub fn with_head(mut self, head: http::response::Parts) -> Self {
        self.head = Some(Box::new(head));
        self
    }

    /// Sets whether a retry can help, if that depends on more than the cause.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// A description of the failure without the phase, which `Display` adds.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the server may have processed the request.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The phase that failed.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The cause of the failure.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Returns whether any part of the request may have been sent. This is `false` if the request was still waiting for
    /// a connection, or if no connection could be opened.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.delivery != Delivery::NotSent || self.phase > Phase::Write
    }

    /// Takes the headers of the response out of the error.
    #[must_use]
    pub fn take_head(&mut self) -> Option<http::response::Parts> {
        self.head.take().map(|head| *head)
    }

    /// Status and headers of the response, if they arrived before the failure: then only reading the body failed.
    #[must_use]
    pub fn head(&self) -> Option<&http::response::Parts> {
        self.head.as_deref()
    }

    /// Returns whether a retry can help. Whether a retry is *allowed* depends on the operation, which this layer does
    /// not know.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Debug for TransportError {
    /// Shows everything except header values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportError")
            .field("delivery", &self.delivery)
            .field("phase", &self.phase)
            .field("cause", &self.cause)
            .field("retryable", &self.retryable)
            .field("detail", &self.detail)
            .field("status", &self.head.as_ref().map(|head| head.status))
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.phase.describe())
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
