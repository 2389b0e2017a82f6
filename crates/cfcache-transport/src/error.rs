use core::error::Error as StdError;
use core::fmt;

/// Whether the request can have been processed by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// Proven not: nothing of it left this machine, or the server said that it did not process it
    /// (HTTP/2 `REFUSED_STREAM`, or `GOAWAY` with a lower last stream).
    NotSent,
    /// Perhaps: it was sent, in part or whole, and no whole answer came back.
    Unknown,
}

/// How far a request had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// The host's name was being looked up.
    Resolve,
    /// A TCP connection was being opened.
    Connect,
    /// A proxy was being asked for a tunnel.
    Proxy,
    /// TLS was being set up.
    Tls,
    /// The request was being written.
    Write,
    /// The status line and headers of the answer were awaited.
    Head,
    /// The body of the answer was being read.
    Body,
}

impl Phase {
    /// Names the phase as a person would, fit to follow "while".
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Resolve => "looking up the host",
            Self::Connect => "connecting",
            Self::Proxy => "asking the proxy for a tunnel",
            Self::Tls => "setting up TLS",
            Self::Write => "writing the request",
            Self::Head => "waiting for the answer",
            Self::Body => "reading the answer",
        }
    }
}

/// Why it failed, as far as a caller has to know to decide what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The deadline of the phase, or of the whole try, passed.
    TimedOut,
    /// The peer's certificate was refused. Final: trying again cannot help.
    Certificate,
    /// The two sides share no TLS version or cipher, or the peer does not speak TLS. Final.
    Protocol,
    /// The proxy answered, and refused. Final unless its answer was a 5xx or 429.
    ProxyRefused,
    /// The answer's body is longer than the bound. Final.
    TooLarge,
    /// This machine's store of trusted certificates is empty or cannot be read, so that no certificate can be judged. Final.
    TrustStore,
    /// Set up in a way that cannot work, such as an unreadable certificate file. Final.
    Configuration,
    /// Anything else: refused, reset, unreachable, closed early.
    Io,
}

/// A request that got no whole answer.
///
/// `Display` says what happened and in which phase, and leaves its source to whoever prints the chain.
pub struct TransportError {
    delivery: Delivery,
    phase: Phase,
    cause: Cause,
    retryable: bool,
    detail: String,
    head: Option<Box<http::response::Parts>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// Says that a request failed in `phase`; `detail` is a lowercase fragment such as
    /// `` `127.0.0.1:9` refused the connection ``.
    #[must_use]
    pub fn new(delivery: Delivery, phase: Phase, cause: Cause, detail: impl Into<String>) -> Self {
        let retryable = matches!(cause, Cause::TimedOut | Cause::Io);
        Self { delivery, phase, cause, retryable, detail: detail.into(), head: None, source: None }
    }

    /// Keeps the error below this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Keeps what had arrived of the answer.
    #[must_use]
    pub fn with_head(mut self, head: http::response::Parts) -> Self {
        self.head = Some(Box::new(head));
        self
    }

    /// Overrides whether another try can help, for the causes where that depends on more than the cause.
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// What happened, without the phase that `Display` adds.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the request can have been processed.
    #[must_use]
    pub const fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// How far it had come.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it failed.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Returns whether anything of the request was sent, as far as that is known. A request that waited for a connection,
    /// or for which none could be opened, was not.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.delivery != Delivery::NotSent || self.phase > Phase::Write
    }

    /// Takes out what arrived of the answer.
    #[must_use]
    pub fn take_head(&mut self) -> Option<http::response::Parts> {
        self.head.take().map(|head| *head)
    }

    /// Status and headers of the answer, where they came before it failed: reading the body is what failed then.
    #[must_use]
    pub fn head(&self) -> Option<&http::response::Parts> {
        self.head.as_deref()
    }

    /// Returns whether another try can help. Whether one is *allowed* depends on the operation, which this layer does not
    /// know.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Debug for TransportError {
    /// Shows everything but the headers' values.
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
