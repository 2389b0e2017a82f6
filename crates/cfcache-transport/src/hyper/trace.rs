//! Spans for the steps of a request if the feature `tracing` is on, otherwise nothing. No field contains a header, a
//! query string, a body or a proxy password.

use core::fmt;

#[cfg(feature = "tracing")]
use tracing::instrument::{Instrument as _, Instrumented};

use crate::{Request, TransportError};

/// The target that log filters use.
#[cfg(feature = "tracing")]
const TARGET: &str = "cfcache_transport";

/// The span of one step, at level `INFO`. If the step failed, the field `error` contains the reason.
pub(crate) struct TraceStep {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(not(feature = "tracing"))]
impl TraceStep {
    pub(crate) const fn connect(_host: &str, _port: u16) -> Self {
        Self {}
    }

    pub(crate) const fn tunnel(_proxy: &dyn fmt::Display, _target: &dyn fmt::Display) -> Self {
        Self {}
    }

    pub(crate) const fn tls(_server: &dyn fmt::Display) -> Self {
        Self {}
    }

    pub(crate) const fn exchange(_request: &Request, _is_reused: bool) -> Self {
        Self {}
    }

    pub(crate) const fn run<F: Future>(&self, step: F) -> F {
        step
    }

    pub(crate) const fn failed(&self, _error: &TransportError) {}

    pub(crate) const fn answered(&self, _response: &http::Response<u64>) {}
}

#[cfg(feature = "tracing")]
impl TraceStep {
    /// Looking up a host and opening a TCP connection to it.
    pub(crate) fn connect(host: &str, port: u16) -> Self {
        Self {
            span: tracing::info_span!(target: TARGET, "connect", host, port, error = tracing::field::Empty),
        }
    }

    /// Getting a tunnel from a proxy.
    pub(crate) fn tunnel(proxy: &dyn fmt::Display, target: &dyn fmt::Display) -> Self {
        Self {
            span: tracing::info_span!(
            target: TARGET,
                           "proxy_tunnel",
                           %proxy,
                           %target,
                           error = tracing::field::Empty
                       ),
        }
    }

    /// The TLS handshake.
    pub(crate) fn tls(server: &dyn fmt::Display) -> Self {
        Self {
            span: tracing::info_span!(target: TARGET, "tls_handshake", %server, error = tracing::field::Empty),
        }
    }

    /// Sending a request on an open connection and reading the response.
    pub(crate) fn exchange(request: &Request, is_reused: bool) -> Self {
        use tracing::field::Empty;
        let message = &request.message;
        Self {
            span: tracing::info_span!(
            target: TARGET,
                           "exchange",
                           method = %message.method(),
                           // Without the query string, which may contain anything.
                           path = message.uri().path(),
                           sent_bytes = message.body().len(),
                           is_reused,
                           version = Empty,
                           status = Empty,
                           received_bytes = Empty,
                           error = Empty,
                       ),
        }
    }

    /// Runs the step within its span.
    pub(crate) fn run<F: Future>(&self, step: F) -> Instrumented<F> {
        step.instrument(self.span.clone())
    }

    /// Records the error of the step.
    pub(crate) fn failed(&self, error: &TransportError) {
        self.span.record("error", error.detail());
    }

    /// Records the response of an exchange.
    pub(crate) fn answered(&self, response: &http::Response<u64>) {
        self.span.record("version", tracing::field::debug(response.version()));
        self.span.record("status", response.status().as_u16());
        self.span.record("received_bytes", *response.body());
    }
}
