//! The meaning of a response, from its status and body.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use serde::de::DeserializeOwned;

use crate::catalog::{self, Explanation};
use crate::endpoint::{Descriptor, Endpoint, Method};
use crate::envelope::{Envelope, MAX_SHOWN, NoEnvelope, ResponseInfo, ResultInfo};
use crate::text::snippet;

/// The maximum number of characters of an unreadable body that an error repeats.
const SNIPPET_CHARS: usize = 200;

/// The content of a successful response.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The `result`.
    pub result: T,
    /// The unchanged JSON of `result`, including unknown fields.
    pub raw: String,
    /// Errors that the API reports in a successful response.
    pub errors: Vec<ResponseInfo>,
    /// Messages of the API.
    pub messages: Vec<ResponseInfo>,
    /// The page information of a list.
    pub result_info: Option<ResultInfo>,
}

impl<T> Answer<T> {
    /// Replaces the `result`.
    #[must_use]
    pub fn with_result<U>(self, result: U) -> Answer<U> {
        let Self { raw, errors, messages, result_info, .. } = self;
        Answer { result, raw, errors, messages, result_info }
    }

    /// The parts of a successful response that users should see: errors, and messages except that of token verification
    /// (code 10000).
    pub fn warnings(&self) -> impl Iterator<Item = &ResponseInfo> {
        self.errors.iter().chain(self.messages.iter().filter(|message| message.code != 10000))
    }
}

/// The content of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiFailure {
    /// The class of the failure, which decides what to do.
    pub class: Class,
    /// The HTTP status.
    pub status: u16,
    /// The API's errors.
    pub errors: Vec<ResponseInfo>,
    /// The API's messages, which sometimes say more than the errors.
    pub messages: Vec<ResponseInfo>,
    /// What was wrong with the body, if it was not a valid envelope or contradicted the status.
    pub defect: Option<String>,
    /// The catalog's entry for the first known error.
    pub explanation: Option<&'static Explanation>,
    /// Whether the request may have been processed nonetheless. This is the case for a 2xx without a clear result, and
    /// for errors of servers in front of the API, which may not know. It is never the case for requests that only read.
    pub may_be_processed: bool,
    /// The wait in seconds before a retry, if the body states one. A `Retry-After` header takes precedence.
    pub retry_after: Option<u64>,
}

/// A class of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Too many requests.
    RateLimited,
    /// The server timed out, is overloaded or failed.
    Unavailable,
    /// The credentials are missing, malformed, unknown, or lack a permission.
    Credentials,
    /// The request contains more entries than are allowed.
    TooMany,
    /// An entry of the request cannot be purged; others may be valid.
    BadEntry,
    /// The plan does not include the feature.
    Plan,
    /// The requested object does not exist.
    Missing,
    /// The request was refused for another reason.
    Refused,
    /// A 3xx response. Redirects are not followed, because the credentials would be sent along.
    Redirected,
    /// A bot challenge or a page of an intermediary, not a response of the API.
    NotTheApi,
    /// A 2xx response that does not report success.
    Unclear,
    /// A success whose `result` has an undocumented form.
    UnexpectedResult,
}

impl Class {
    /// Returns whether the same request can succeed later without any change.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }
}

/// Parses the response to a request, and returns its meaning.
///
/// # Errors
///
/// [`ApiFailure`], unless the status is 2xx *and* the body says `"success": true`; Cloudflare's SDKs check only the
/// status.
pub fn parse_response<E: Endpoint>(
    request: &E,
    status: u16,
    body: &[u8],
) -> Result<Answer<E::Reply>, ApiFailure> {
    let mut reply: Option<E::Reply> = None;
    let answer = parse_response_into(request.descriptor(), status, body, &mut reply)?;
    let Some(reply) = reply else { unreachable!("there is an answer only if its `result` was read") };
    Ok(answer.with_result(reply))
}

/// The destination of a parsed `result`. With an `Option` behind this trait, code that does not depend on the endpoint
/// is compiled only once.
pub trait ReadReply {
    /// Parses a `result`.
    ///
    /// # Errors
    ///
    /// If it does not have the documented form.
    fn read(&mut self, raw: &str) -> Result<(), serde_json::Error>;
}

impl<T: DeserializeOwned> ReadReply for Option<T> {
    fn read(&mut self, raw: &str) -> Result<(), serde_json::Error> {
        serde_json::from_str(raw).map(|read| *self = Some(read))
    }
}

/// Like [`parse_response`], with the `result` stored in `reply` if the request succeeded.
///
/// # Errors
///
/// As with [`parse_response`].
pub fn parse_response_into(
    endpoint: &Descriptor,
    status: u16,
    body: &[u8],
    reply: &mut dyn ReadReply,
) -> Result<Answer<()>, ApiFailure> {
    let envelope = read(endpoint, status, body)?;
    // A missing `result` is parsed as `null`, which some endpoints send.
    let raw = envelope.raw_result().to_owned();
    match reply.read(&raw) {
        Ok(()) => Ok(Answer {
            result: (),
            raw,
            errors: envelope.errors(),
            messages: envelope.messages(),
            result_info: envelope.result_info(),
        }),
        Err(error) => Err(ApiFailure {
            // The API reports success, and would send the same response again.
            class: Class::UnexpectedResult,
            status,
            errors: envelope.errors(),
            messages: envelope.messages(),
            defect: Some(alloc::format!(
                "success, but a `result` that cannot be parsed ({error}): {}",
                snippet(&raw, SNIPPET_CHARS),
            )),
            explanation: None,
            may_be_processed: endpoint.method != Method::Get,
            retry_after: None,
        }),
    }
}

/// Classifies a response whose body is incomplete, by its status; `defect` says what is wrong with the body.
///
/// Returns `None` if the status is not enough: a success and a refusal need the body.
#[must_use]
pub fn parse_status(status: u16, defect: String) -> Option<ApiFailure> {
    let class = class_of(status);
    class.is_temporary().then(|| ApiFailure {
        class,
        status,
        errors: Vec::new(),
        messages: Vec::new(),
        defect: Some(defect),
        explanation: None,
        may_be_processed: leaves_open(status),
        retry_after: None,
    })
}

/// Parses the part of a response that is the same for all endpoints.
///
/// # Errors
///
/// An [`ApiFailure`] unless the response is a 2xx with `"success": true`.
fn read<'a>(endpoint: &Descriptor, status: u16, body: &'a [u8]) -> Result<Envelope<'a>, ApiFailure> {
    let parsed = Envelope::parse(body);
    let is_2xx = (200..300).contains(&status);
    let is_read = endpoint.method == Method::Get;
    match parsed {
        Ok(envelope) if is_2xx && envelope.success() == Some(true) => Ok(envelope),
        Ok(envelope) if envelope.problem().is_some() && !is_2xx => {
            Err(of_the_edge(status, &envelope, is_read))
        }
        Ok(envelope) => {
            let (success, errors, messages) = (envelope.success(), envelope.errors(), envelope.messages());
            let defect = match success {
                None if is_2xx => Some("no `success` in the response".to_owned()),
                Some(true) => {
                    Some("`success` is true in the response, but the status is an error".to_owned())
                }
                _ if errors.is_empty() && messages.is_empty() => {
                    Some("the response states no reason".to_owned())
                }
                _ => None,
            };
            let explanation = catalog::explain_all(endpoint, status, &errors);
            let unclear = is_2xx && success.is_none() && errors.is_empty();
            let class = match explanation {
                Some(explanation) => explanation.class,
                // A request that only reads is not repeated to find out whether it was processed.
                None if unclear && is_read => Class::NotTheApi,
                None if unclear => Class::Unclear,
                None => class_of(status),
            };
            // A 429 or 5xx is temporary whatever the body says: the status may come from a server in front of the API.
            let class = if class_of(status).is_temporary() { class_of(status) } else { class };
            let says_no = success == Some(false);
            Err(ApiFailure {
                class,
                status,
                errors,
                messages,
                defect,
                explanation,
                may_be_processed: !is_read && (class == Class::Unclear || leaves_open(status) && !says_no),
                retry_after: None,
            })
        }
        Err(no_envelope) => {
            let class = match class_of(status) {
                // A truncated response may be complete the next time; a page of another server will be the same.
                Class::Refused
                    if is_2xx
                        && is_read
                        && !matches!(no_envelope, NoEnvelope::Empty | NoEnvelope::Broken(_)) =>
                {
                    Class::NotTheApi
                }
                Class::Refused if is_2xx => Class::Unclear,
                Class::Refused | Class::Credentials | Class::Missing if no_envelope != NoEnvelope::Empty => {
                    Class::NotTheApi
                }
                class => class,
            };
            let beginning = snippet(&String::from_utf8_lossy(body), SNIPPET_CHARS);
            let defect = if beginning.is_empty() {
                alloc::format!("{no_envelope}")
            } else {
                alloc::format!("{no_envelope}: {beginning}")
            };
            Err(ApiFailure {
                class,
                status,
                errors: Vec::new(),
                messages: Vec::new(),
                defect: Some(defect),
                explanation: is_final(status).then_some(&catalog::EDGE_TLS),
                may_be_processed: !is_read && (class == Class::Unclear || leaves_open(status)),
                retry_after: None,
            })
        }
    }
}

/// Classifies problem details: the edge responded, because the API was not asked or did not respond.
///
/// Source: Cloudflare's changelog of 2026-03-11, 2026-03-12 and 2026-04-27.
fn of_the_edge(status: u16, problem: &Envelope<'_>, is_read: bool) -> ApiFailure {
    let retry_after = problem.retry_after();
    let (class, explanation) = match class_of(status) {
        class if class.is_temporary() => (class, None),
        // A response that states a wait can be retried, whatever the status is.
        _ if retry_after.is_some() && !is_final(status) => (Class::Unavailable, None),
        _ if is_final(status) => (Class::NotTheApi, Some(&catalog::EDGE_TLS)),
        // The request did not reach the API, which checks credentials.
        Class::Credentials => (Class::NotTheApi, Some(&catalog::EDGE_BLOCK)),
        Class::Refused | Class::Missing => (Class::NotTheApi, None),
        class => (class, None),
    };
    ApiFailure {
        class,
        status,
        errors: problem.errors(),
        messages: problem.messages(),
        defect: None,
        explanation,
        may_be_processed: !is_read && leaves_open(status),
        retry_after,
    }
}

/// Returns whether a status of the edge means that a retry cannot help: it could not set up TLS with the server behind it.
const fn is_final(status: u16) -> bool {
    matches!(status, 525 | 526)
}

/// Returns whether a status alone leaves open whether the request was processed. A gateway that got no or a bad response
/// does not know; one that sends 503, or could not set up TLS, did not forward the request.
const fn leaves_open(status: u16) -> bool {
    matches!(status, 500..=599) && status != 503 && !is_final(status)
}

/// The class of a failure, by its status alone.
fn class_of(status: u16) -> Class {
    match status {
        300..=399 => Class::Redirected,
        401 | 403 => Class::Credentials,
        404 => Class::Missing,
        408 => Class::Unavailable,
        // The maximum size of a body is not documented; a body with fewer entries is smaller.
        413 => Class::TooMany,
        429 => Class::RateLimited,
        status if is_final(status) => Class::NotTheApi,
        // Including 520 to 530, which the edge in front of the API sends.
        500..=599 => Class::Unavailable,
        _ => Class::Refused,
    }
}

impl ApiFailure {
    /// The code of the first error; 0 if there is none.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.errors.iter().map(|error| error.code).find(|code| *code != 0).unwrap_or_default()
    }

    /// The documentation page that the API names for its errors, if any.
    #[must_use]
    pub fn documentation_url(&self) -> Option<&str> {
        self.errors
            .iter()
            .flat_map(ResponseInfo::flatten)
            .find_map(|error| error.documentation_url.as_deref())
    }

    /// The API's message in one line: its errors, otherwise its messages, otherwise what is wrong with the body.
    #[must_use]
    pub fn reason(&self) -> String {
        // "Bad Request" alone does not help; the reason was observed in `messages`.
        let said = self.errors.iter().chain(&self.messages);
        let mut parts: Vec<String> =
            said.clone().take(MAX_SHOWN).map(|info| alloc::format!("{info}")).collect();
        if let more @ 1.. = said.count().saturating_sub(MAX_SHOWN) {
            parts.push(alloc::format!("and {more} more"));
        }
        parts.extend(self.defect.clone());
        parts.join("; ")
    }
}

impl fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.status, self.reason())
    }
}

impl Error for ApiFailure {}
