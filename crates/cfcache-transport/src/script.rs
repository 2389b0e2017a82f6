//! Transports without a network, for tests of code that uses a transport. They need no runtime.

use core::fmt;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::{Request, Response, ResponseFuture, Transport, TransportError};

/// Returns prepared results, one per request, in order.
///
/// - A request after the last result panics and names the request.
/// - Dropping it before all results were used panics too, unless the thread is already panicking.
pub struct ScriptedTransport {
    results: Mutex<VecDeque<Result<Response, TransportError>>>,
}

impl ScriptedTransport {
    /// Creates a transport with these results.
    #[must_use]
    pub fn new(results: impl IntoIterator<Item = Result<Response, TransportError>>) -> Self {
        Self { results: Mutex::new(results.into_iter().collect()) }
    }

    /// The number of unused results.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Transport for ScriptedTransport {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        let next = self.results.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(result) = next else { panic!("the script ended before this request: {request:?}") };
        Box::pin(core::future::ready(result))
    }
}

impl Drop for ScriptedTransport {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let remaining = self.remaining();
            assert!(remaining == 0, "{remaining} scripted results were never asked for");
        }
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport").field("remaining", &self.remaining()).finish()
    }
}

type Answer = dyn Fn(&Request) -> Result<Response, TransportError> + Send + Sync;

/// Records every request, and answers it with a closure.
pub struct RecordingTransport {
    requests: Mutex<Vec<Request>>,
    answer: Box<Answer>,
}

impl RecordingTransport {
    /// Creates a transport that answers each request with the result of `answer`.
    #[must_use]
    pub fn new(
        answer: impl Fn(&Request) -> Result<Response, TransportError> + Send + Sync + 'static,
    ) -> Self {
        Self { requests: Mutex::default(), answer: Box::new(answer) }
    }

    /// The recorded requests, in the order in which they were sent.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transport for RecordingTransport {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        let result = (self.answer)(&request);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        Box::pin(core::future::ready(result))
    }
}

impl fmt::Debug for RecordingTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingTransport").field("requests", &self.requests()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
