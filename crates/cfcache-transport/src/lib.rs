//! Sends one HTTP request to one origin, and reports whether it can have been processed.
//!
//! This crate moves bytes. It knows HTTP, TLS, proxies and deadlines; it does not know what the bytes mean, and it
//! never repeats a request that may have been processed: whether that is safe is known only above.
//!
//! - [`Transport`]: the trait that the layer above sees
//! - [`Origin`]: scheme, host and port
//! - [`TransportError`]: what went wrong; its [`Delivery`] says whether the request can have been processed
//! - `HyperTransport`: the implementation over hyper, with the feature `hyper`
//! - `ScriptedTransport`: answers in tests, with the feature `test-util`

mod error;
#[cfg(feature = "hyper")]
mod hyper;
mod origin;
#[cfg(any(test, feature = "test-util"))]
mod script;

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use bytes::Bytes;

pub use crate::error::{Cause, Delivery, Phase, TransportError};
#[cfg(feature = "hyper")]
pub use crate::hyper::{
    BuildError, HyperTransport, HyperTransportBuilder, InvalidProxy, Proxy, ProxyRules, Roots, Timeouts,
};
pub use crate::origin::{InvalidOrigin, Origin, Scheme};
#[cfg(any(test, feature = "test-util"))]
pub use crate::script::{NeverTransport, RecordingTransport, ScriptedTransport};

/// What the caller wants done, travelling beside the bytes so that no layer below has to guess it from them.
///
/// It changes nothing about how the request is sent: it names the request in errors, logs and test assertions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// The caller's name for it, such as `purge_cache`.
    pub name: &'static str,
    /// Which batch of a run it carries, counted from 0; `None` for a single call.
    pub batch: Option<u64>,
    /// Which try this is, counted from 1.
    pub attempt: u32,
}

impl Operation {
    /// Names a request that stands alone.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, batch: None, attempt: 1 }
    }

    /// Says which batch of a run the request carries.
    #[must_use]
    pub fn with_batch(mut self, batch: u64) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Says which try this is, counted from 1.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }
}

/// One request: what it is for, and its exact bytes.
#[derive(Clone)]
pub struct Request {
    /// What it is for.
    pub operation: Operation,
    /// Method, path with query, headers and body.
    ///
    /// The URI is in origin form (`/client/v4/zones`): scheme, host and port are the transport's [`Origin`].
    /// Headers that carry a secret are marked sensitive by whoever sets them.
    pub message: http::Request<Bytes>,
    sent: Option<Arc<AtomicBool>>,
}

impl Request {
    /// Puts a message under an operation.
    #[must_use]
    pub fn new(operation: Operation, message: http::Request<Bytes>) -> Self {
        Self { operation, message, sent: None }
    }

    /// Has `flag` say whether the request was handed to a connection, for a caller that may drop the future of
    /// [`Transport::send`]: while it is `false`, not a byte of the request has been written.
    #[must_use]
    pub fn with_sent_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.sent = Some(flag);
        self
    }

    /// Says in the caller's flag, if there is one, whether the request has been handed to a connection.
    pub fn set_sent(&self, is_sent: bool) {
        if let Some(flag) = &self.sent {
            flag.store(is_sent, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Request {
    /// Shows the operation, method, path and sizes: never a header's value, never the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("operation", &self.operation)
            .field("method", self.message.method())
            .field("uri", self.message.uri())
            .field("headers", &self.message.headers().len())
            .field("body_bytes", &self.message.body().len())
            .finish()
    }
}

/// A whole answer: status, version, headers and every byte of the body.
pub type Response = http::Response<Bytes>;

/// The future that [`Transport::send`] returns.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Sends one request to the one origin that it was made for.
///
/// Implementations promise:
///
/// - one call is one request on the wire at most, or a proof that nothing was processed ([`Delivery::NotSent`]);
/// - reading the body is part of the call: an `Ok` holds the whole answer;
/// - every status is an `Ok`, redirects and errors of the server included;
/// - dropping the future gives the request up.
pub trait Transport: Send + Sync {
    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] where no whole answer came back, saying in which phase it ended and whether the request
    /// can have been processed.
    fn send(&self, request: Request) -> ResponseFuture<'_>;
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        (**self).send(request)
    }
}
