//! A span for each request if the feature `tracing` is on, otherwise nothing. No field contains a header with a secret,
//! or a body.

use core::time::Duration;

use cfcache_transport::{Request, Response, ResponseFuture, Transport, TransportError};
#[cfg(feature = "tracing")]
use tracing::instrument::{Instrument as _, Instrumented};

use crate::auth::Redactor;

/// The target that log filters use.
#[cfg(feature = "tracing")]
const TARGET: &str = "cfcache_client";

/// The span `request`, at level `INFO`:
///
/// - `endpoint`, `zone`, `batch`, `attempt`: the request
/// - `status`, `ray`: the response; `error`: why there is none
/// - `wait_ms`: the wait before its next attempt, if there is one
pub(crate) struct RequestSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

#[cfg(not(feature = "tracing"))]
impl RequestSpan {
    pub(crate) const fn new(_request: &Request) -> Self {
        Self {}
    }

    pub(crate) fn send<'t>(&self, transport: &'t dyn Transport, request: Request) -> ResponseFuture<'t> {
        transport.send(request)
    }

    pub(crate) const fn answered(&self, _result: &Result<Response, TransportError>, _redactor: &Redactor) {}

    pub(crate) const fn retrying(&self, _wait: Duration) {}
}

#[cfg(feature = "tracing")]
impl RequestSpan {
    /// Creates the span of a request that is about to be sent.
    pub(crate) fn new(request: &Request) -> Self {
        use tracing::field::Empty;

        let operation = &request.operation;
        let span = tracing::info_span!(
        target: TARGET,
                   "request",
                   endpoint = operation.name,
                   zone = Empty,
                   batch = operation.batch,
                   attempt = operation.attempt,
                   status = Empty,
                   ray = Empty,
                   error = Empty,
                   wait_ms = Empty,
               );
        if span.is_disabled() {
            return Self { span };
        }
        let mut segments = request.message.uri().path().split('/').skip_while(|segment| *segment != "zones");
        if let Some(zone) = segments.nth(1) {
            span.record("zone", zone);
        }
        Self { span }
    }

    /// Sends the request within its span. This is not an `async fn`, because its future would keep the space of the request
    /// until the response, and tokio moves the whole future once more when it has ended.
    pub(crate) fn send<'t>(
        &self,
        transport: &'t dyn Transport,
        request: Request,
    ) -> Instrumented<ResponseFuture<'t>> {
        transport.send(request).instrument(self.span.clone())
    }

    /// Records the result.
    pub(crate) fn answered(&self, result: &Result<Response, TransportError>, redactor: &Redactor) {
        if self.span.is_disabled() {
            return;
        }
        match result {
            Ok(response) => {
                self.span.record("status", response.status().as_u16());
                if let Some(ray) = response.headers().get("cf-ray").and_then(|ray| ray.to_str().ok()) {
                    // A server may send any text here.
                    let ray: String = redactor.redact(ray).chars().take(64).collect();
                    self.span.record("ray", ray.as_str());
                }
            }
            Err(error) => {
                self.span.record("error", error.phase().describe());
            }
        }
    }

    /// Records the wait before the next attempt.
    pub(crate) fn retrying(&self, wait: Duration) {
        self.span.record("wait_ms", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
}
