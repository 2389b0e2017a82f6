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
use crate::error::ErrorCause;
use crate::event::{Event, Exchange, Observer};
use crate::rate_headers::RateHeaders;
use crate::summary::Summary;

/// A parsed response: the result for the engine, and the reply for the caller.
pub(crate) struct ParsedResponse {
    pub(crate) attempt: AttemptResult,
    pub(crate) result: Result<Answer<()>, ErrorCause>,
    pub(crate) ray: Option<String>,
}

impl ParsedResponse {
    fn new(result: Result<Answer<()>, ApiFailure>, headers: RateHeaders, ray: Option<String>) -> Self {
        let in_body = result.as_ref().err().and_then(|failure| failure.retry_after);
        let attempt = AttemptResult::new(&result, headers.retry_after.or(in_body.map(Duration::from_secs)));
        Self { attempt, result: result.map_err(ErrorCause::Answer), ray }
    }
}

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
    /// `reply`.
    pub(crate) fn parse(
        &self,
        reply: &mut dyn ReadReply,
        result: Result<Response, TransportError>,
        observer: &mut dyn Observer,
        summary: &mut Summary,
    ) -> ParsedResponse {
        let redactor = &self.codec.redactor();
        let response = match result {
            Ok(response) => response,
            Err(mut error) => {
                let head = error.take_head().map(|head| Response::from_parts(head, Bytes::new()));
                let ray = head.as_ref().and_then(|head| ray(head, redactor));
                let failure =
                    head.as_ref().and_then(|head| parse_status(head.status().as_u16(), error.to_string()));
                let parsed = match (failure, head) {
                    // Status and headers arrived completely; the truncated body does not change them.
                    (Some(failure), Some(head)) => {
                        let headers = RateHeaders::from_headers(head.headers());
                        ParsedResponse::new(Err(failure), headers, ray)
                    }
                    _ => {
                        let (delivery, retryable) = (error.delivery(), error.is_retryable());
                        self.tell(Err(&error), false, redactor, observer, summary);
                        return ParsedResponse {
                            attempt: AttemptResult::Lost { delivery, retryable },
                            result: Err(ErrorCause::Transport(error)),
                            ray,
                        };
                    }
                };
                let is_limited = matches!(parsed.attempt, AttemptResult::RateLimited { .. });
                self.tell(Err(&error), is_limited, redactor, observer, summary);
                return parsed;
            }
        };
        // Before anything else reads it, so that an echoed secret appears in no message and no data.
        let body = redactor.blank(response.body());
        let result = parse_response_into(self.endpoint, response.status().as_u16(), &body, reply);
        let headers = RateHeaders::from_headers(response.headers());
        if let Some(quota) = headers.global_quota {
            self.limiter.set_global_quota(quota);
        }
        let mut parsed = ParsedResponse::new(result, headers, None);
        let is_limited = matches!(parsed.attempt, AttemptResult::RateLimited { .. });
        self.tell(Ok(&response), is_limited, redactor, observer, summary);
        match &mut parsed.result {
            Ok(answer) => {
                redact(redactor, &mut answer.errors);
                redact(redactor, &mut answer.messages);
                for warning in answer.warnings() {
                    summary.warnings += 1;
                    observer.on(Event::Warning(warning));
                }
            }
            Err(ErrorCause::Answer(failure)) => {
                parsed.ray = ray(&response, redactor);
                add_headers(failure, &response, redactor);
                redact(redactor, &mut failure.errors);
                redact(redactor, &mut failure.messages);
                if let Some(defect) = &mut failure.defect {
                    clean(redactor, defect);
                }
            }
            Err(_) => {}
        }
        parsed
    }

    fn tell(
        &self,
        result: Result<&Response, &TransportError>,
        rate_limited: bool,
        redactor: &Redactor,
        observer: &mut dyn Observer,
        summary: &mut Summary,
    ) {
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
