//! Transports without a network, for the tests of what stands on one. They need no runtime.

use core::fmt;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::{Request, Response, ResponseFuture, Transport, TransportError};

/// Gives prepared results, one a request, in order.
///
/// - A request beyond the last result panics, naming the request.
/// - Dropping it while results are left panics too, unless the thread is panicking already.
pub struct ScriptedTransport {
    results: Mutex<VecDeque<Result<Response, TransportError>>>,
}

impl ScriptedTransport {
    /// Prepares the results.
    #[must_use]
    pub fn new(results: impl IntoIterator<Item = Result<Response, TransportError>>) -> Self {
        Self { results: Mutex::new(results.into_iter().collect()) }
    }

    /// How many results are left.
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

/// Keeps every request, and lets a closure answer it.
pub struct RecordingTransport {
    requests: Mutex<Vec<Request>>,
    answer: Box<Answer>,
}

impl RecordingTransport {
    /// Answers each request with what `answer` makes of it.
    #[must_use]
    pub fn new(
        answer: impl Fn(&Request) -> Result<Response, TransportError> + Send + Sync + 'static,
    ) -> Self {
        Self { requests: Mutex::default(), answer: Box::new(answer) }
    }

    /// The requests so far, in the order in which they were sent.
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

/// Never answers, for tests of what gives up or is interrupted.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct NeverTransport;

impl NeverTransport {
    /// Makes one.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Transport for NeverTransport {
    fn send(&self, request: Request) -> ResponseFuture<'_> {
        drop(request);
        Box::pin(core::future::pending())
    }
}

#[cfg(test)]
mod tests;
