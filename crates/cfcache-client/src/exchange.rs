//! Prepares requests, and extracts from responses what the engine needs.

use core::time::Duration;
use std::borrow::Cow;

use bytes::Bytes;
use cfcache_model::endpoint::{Descriptor, Parts};
use cfcache_model::envelope::ResponseInfo;
use cfcache_model::verdict::{Answer, ApiFailure, Class, ReadReply, parse_response_into, parse_status};
use cfcache_transport::{Operation, Response, TransportError};

use crate::auth::Redactor;
use crate::codec::Codec;
use crate::engine::{AttemptResult, Limiter};
use crate::error::{Error, ErrorCause};
use crate::event::{Event, Exchange, Observer};
use crate::rate_headers::{global_quota, retry_after};
use crate::summary::Summary;

/// One attempt of a request, to be reported and counted.
pub(crate) struct Try<'a> {
    pub(crate) endpoint: &'static Descriptor,
    pub(crate) codec: &'a Codec,
    pub(crate) limiter: &'a dyn Limiter,
    /// The method and path.
    pub(crate) parts: &'a Parts,
    /// The size of the body.
    pub(crate) body_bytes: usize,
    pub(crate) operation: &'a Operation,
    pub(crate) elapsed: Duration,
}

impl Try<'_> {
    /// Parses the result of a request, reports it to `observer`, and counts it. The body of the response is passed to
    /// `reply`. Returns the result for the engine and for the caller.
    pub(crate) fn parse(
        &self,
        reply: &mut dyn ReadReply,
        result: Result<Response, TransportError>,
        observer: &mut dyn Observer,
        summary: &mut Summary,
    ) -> (AttemptResult, Result<Answer<()>, Error>) {
        let redactor = &self.codec.redactor();
        let response = match result {
            Ok(response) => response,
            Err(mut error) => {
                let head = error.take_head().map(|head| Response::from_parts(head, Bytes::new()));
                let ray = head.as_ref().and_then(|head| ray(head, redactor));
                // Status and headers arrived completely; the truncated body does not change them.
                let failure =
                    head.as_ref().and_then(|head| parse_status(head.status().as_u16(), error.to_string()));
                let attempt = match (&failure, &head) {
                    (Some(failure), Some(head)) => {
                        AttemptResult::new(Some(failure), retry_after(head.headers()))
                    }
                    _ => AttemptResult::Lost { delivery: error.delivery(), retryable: error.is_retryable() },
                };
                self.tell(Err(&error), attempt, redactor, observer, summary);
                let cause = match failure {
                    Some(failure) => ErrorCause::Answer(failure),
                    None => ErrorCause::Transport(error),
                };
                return (attempt, Err(Error { ray, ..Error::new(self.endpoint, cause) }));
            }
        };
        // Before anything else reads it, so that an echoed secret appears in no message and no data.
        let body = redactor.blank(response.body());
        let mut result = parse_response_into(self.endpoint, response.status().as_u16(), &body, reply);
        if let Some(quota) = global_quota(response.headers()) {
            self.limiter.set_global_quota(quota);
        }
        let attempt = AttemptResult::new(result.as_ref().err(), retry_after(response.headers()));
        self.tell(Ok(&response), attempt, redactor, observer, summary);
        match &mut result {
            Ok(answer) => {
                redact(redactor, &mut answer.errors);
                redact(redactor, &mut answer.messages);
                for warning in answer.warnings() {
                    summary.warnings += 1;
                    observer.on(Event::Warning(warning));
                }
            }
            Err(failure) => {
                add_headers(failure, &response, redactor);
                redact(redactor, &mut failure.errors);
                redact(redactor, &mut failure.messages);
                if let Some(defect) = &mut failure.defect {
                    clean(redactor, defect);
                }
            }
        }
        let result = result.map_err(|failure| {
            let ray = ray(&response, redactor);
            Error { ray, ..Error::new(self.endpoint, ErrorCause::Answer(failure)) }
        });
        (attempt, result)
    }

    fn tell(
        &self,
        result: Result<&Response, &TransportError>,
        attempt: AttemptResult,
        redactor: &Redactor,
        observer: &mut dyn Observer,
        summary: &mut Summary,
    ) {
        let rate_limited = matches!(attempt, AttemptResult::RateLimited { .. });
        let is_sent = result.map_or_else(TransportError::is_sent, |_| true);
        summary.requests += u64::from(is_sent);
        summary.retries += u64::from(is_sent && self.operation.attempt > 1);
        summary.rate_limited += u64::from(rate_limited);
        observer.on(Event::Exchange(Exchange {
            operation: self.operation,
            method: self.parts.method.as_str(),
            path: &self.codec.path(self.parts),
            codec: self.codec,
            body_bytes: self.body_bytes,
            elapsed: self.elapsed,
            result,
            redactor,
            rate_limited,
        }));
    }
}

/// The `cf-ray` of a response in a form that can be shown.
fn ray(response: &Response, redactor: &Redactor) -> Option<String> {
    let ray = response.headers().get("cf-ray")?.to_str().ok()?;
    Some(redactor.redact(ray).chars().take(64).collect())
}

/// Adds the parts of the reason that are in headers.
fn add_headers(failure: &mut ApiFailure, response: &Response, redactor: &Redactor) {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    // A challenge for browsers instead of a response. Source: `packages/workers-utils/src/cfetch` of
    // <https://github.com/cloudflare/workers-sdk>.
    if header("cf-mitigated") == Some("challenge") {
        failure.class = Class::NotTheApi;
        failure.defect = Some(
            "a challenge for browsers (`cf-mitigated: challenge`) instead of a response: the address that this \
             machine calls from is taken for a bot"
                .to_owned(),
        );
    } else if failure.class == Class::Redirected
        && let Some(location) = header("location")
    {
        // Before it is truncated: the first half of a secret does not look like one.
        let location = cfcache_model::text::quote(&redactor.redact(location));
        failure.defect = Some(format!("a redirect to {location}, which is not followed"));
    }
}

/// Removes secrets from messages of the API.
fn redact(redactor: &Redactor, infos: &mut [ResponseInfo]) {
    for info in infos {
        clean(redactor, &mut info.message);
        let pointer = info.pointer.as_mut();
        for text in pointer.into_iter().chain(&mut info.documentation_url) {
            clean(redactor, text);
        }
        redact(redactor, &mut info.error_chain);
    }
}

fn clean(redactor: &Redactor, text: &mut String) {
    if let Cow::Owned(redacted) = redactor.redact(text) {
        *text = redacted;
    }
}
