//! Sends one HTTP request to one origin, and reports whether the server may have processed it.
//!
//! This crate knows HTTP, TLS, proxies and time limits. It does not know what a request means, and it never repeats a
//! request that may have been processed: only the caller can know whether that is safe.
//!
//! - [`Transport`]: the trait that callers use; functions implement it, too
//! - [`Origin`]: scheme, host and port
//! - [`TransportError`]: what went wrong; its [`Delivery`] says whether the request may have been processed
//! - `HyperTransport`: the implementation over hyper, with the feature `hyper`
//! - `ScriptedTransport`, `RecordingTransport`: answer in tests, with the feature `test-util`
//!
#![cfg_attr(feature = "hyper", doc = "```")]
#![cfg_attr(not(feature = "hyper"), doc = "```ignore")]
//! use bytes::Bytes;
//! use cfcache_transport::{Delivery, HyperTransport, Operation, Request, Transport as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Nothing listens on port 1, so the request was certainly not processed.
//! let transport = HyperTransport::builder("http://127.0.0.1:1".parse()?).build()?;
//! let message = http::Request::get("/client/v4/zones").body(Bytes::new())?;
//! let error = transport.send(Request::new(Operation::new("list_zones"), message)).await.unwrap_err();
//! assert_eq!(error.delivery(), Delivery::NotSent);
//! assert!(error.is_retryable());
//! # Ok(())
//! # }
//! ```

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
    BuildError, HyperTransport, HyperTransportBuilder, Proxy, ProxyRules, Roots, Timeouts,
};
pub use crate::origin::{InvalidUrl, Origin, Scheme};
#[cfg(any(test, feature = "test-util"))]
pub use crate::script::{RecordingTransport, ScriptedTransport};

/// Describes what a request is for.
///
/// It does not change how the request is sent; it names the request in errors, logs and test assertions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// The name of the operation, such as `purge_cache`.
    pub name: &'static str,
    /// The number of the batch that the request carries, counted from 0; `None` if the caller sends no batches.
    pub batch: Option<u64>,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
}

impl Operation {
    /// Creates an operation for the first attempt of a request without a batch.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, batch: None, attempt: 1 }
    }

    /// Sets the number of the batch.
    #[must_use]
    pub fn with_batch(mut self, batch: u64) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Sets the number of the attempt, counted from 1.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }
}

/// One request: its purpose and its exact bytes.
#[derive(Clone)]
pub struct Request {
    /// The purpose of the request.
    pub operation: Operation,
    /// Method, path with query, headers and body.
    ///
    /// The URI is in origin form (`/client/v4/zones`): scheme, host and port are the transport's [`Origin`].
    /// The caller marks headers that contain a secret as sensitive.
    pub message: http::Request<Bytes>,
    sent: Option<Arc<AtomicBool>>,
}

impl Request {
    /// Creates a request.
    #[must_use]
    pub fn new(operation: Operation, message: http::Request<Bytes>) -> Self {
        Self { operation, message, sent: None }
    }

    /// Lets the transport report in `flag` whether the request was handed to a connection. A caller that drops the
    /// future of [`Transport::send`] can read it afterwards: if it is `false`, the server has certainly not processed the
    /// request.
    #[must_use]
    pub fn with_sent_flag(mut self, flag: Arc<AtomicBool>) -> Self {
        self.sent = Some(flag);
        self
    }

    /// Sets the flag of [`with_sent_flag`](Self::with_sent_flag), if there is one. A transport calls this with `true`
    /// before it hands the request to a connection, and with `false` if the request was certainly not processed and is
    /// sent again.
    pub fn set_sent(&self, is_sent: bool) {
        if let Some(flag) = &self.sent {
            flag.store(is_sent, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Request {
    /// Shows the operation, method, path and sizes, but no header value and no body.
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

/// A complete response: status, version, headers and the whole body.
pub type Response = http::Response<Bytes>;

/// The future that [`Transport::send`] returns.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Sends requests to one origin.
///
/// Implementations guarantee:
///
/// - The server processes the request of a call at most once. If it certainly did not process it, the error says so
///   ([`Delivery::NotSent`]).
/// - The call includes reading the body: an `Ok` contains the complete response.
/// - Every status is an `Ok`, including redirects and server errors.
/// - Dropping the future cancels the request, which the server may have received by then.
pub trait Transport: Send + Sync {
    /// Sends `request` and reads the complete response.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] if there is no complete response. It contains the phase that failed, and whether the
    /// request may have been processed.
    fn send(&self, request: Request) -> ResponseFuture<'_>;
}

/// A function is a transport, for example one that wraps another transport, or that answers in a test.
impl<F, R> Transport for F
where
    F: Fn(Request) -> R + Send + Sync,
    R: Future<Output = Result<Response, TransportError>> + Send + 'static,
{
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        Box::pin(self(request))
    }
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        (**self).send(request)
    }
}
