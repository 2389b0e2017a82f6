//! Status and body in, meaning out.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::DeserializeOwned;

use crate::catalog::{self, Explanation};
use crate::endpoint::{Descriptor, Endpoint, Method};
use crate::envelope::{Envelope, MAX_SHOWN, NoEnvelope, ResponseInfo, ResultInfo};
use crate::text::snippet;

/// The most characters of an unreadable body that an error repeats.
const SNIPPET_CHARS: usize = 200;

/// What an answer means.
///
/// Success is a 2xx status *and* `"success": true`, nothing less; the vendor's SDKs look at the status alone.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "whoever handles answers must handle each of these")]
pub enum Verdict<T> {
    /// The API did what was asked, or accepted it.
    Done(Answer<T>),
    /// Not now: rate limited, overloaded, timed out, or broken on the server's side. Asking again may help.
    Retryable(ApiFailure),
    /// No. Asking again for the same gives the same answer.
    Refused(ApiFailure),
    /// A 2xx that does not say whether it was done.
    Unreadable(ApiFailure),
}

/// What came with success.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The `result`.
    pub result: T,
    /// The `result` as the API wrote it, byte for byte, with every field that we do not know.
    pub raw: String,
    /// Errors that the API reports beside its success.
    pub errors: Vec<ResponseInfo>,
    /// Remarks of the API.
    pub messages: Vec<ResponseInfo>,
    /// The page of a list.
    pub result_info: Option<ResultInfo>,
}

impl<T> Answer<T> {
    /// The same with another `result`.
    #[must_use]
    pub fn with_result<U>(self, result: U) -> Answer<U> {
        let Self { raw, errors, messages, result_info, .. } = self;
        Answer { result, raw, errors, messages, result_info }
    }

    /// What the API reports beside its success, and somebody should see: errors, and remarks but for the good news of token
    /// verification (code 10000).
    pub fn warnings(&self) -> impl Iterator<Item = &ResponseInfo> {
        self.errors.iter().chain(self.messages.iter().filter(|message| message.code != 10000))
    }
}

/// What came with failure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiFailure {
    /// What sort of failure it is, which decides what to do.
    pub class: Class,
    /// The HTTP status.
    pub status: u16,
    /// The API's errors.
    pub errors: Vec<ResponseInfo>,
    /// The API's remarks, which sometimes say more than the errors.
    pub messages: Vec<ResponseInfo>,
    /// What was wrong with the body, where it was no envelope or not one of success.
    pub defect: Option<String>,
    /// The catalog's entry for the first error that it knows.
    pub explanation: Option<&'static Explanation>,
    /// Whether it may have been done all the same. So it is of a 2xx that does not say, and of the error pages of what is in
    /// front of the API, which need not know. What only reads has no effect that could be unclear.
    pub unclear: bool,
    /// How many seconds to wait before another try, where the body says so. A `Retry-After` header counts more.
    pub retry_after: Option<u64>,
}

/// A sort of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Too many requests.
    RateLimited,
    /// The server timed out, is overloaded or broken.
    Unavailable,
    /// The credentials are missing, malformed, unknown, or may not do this.
    Credentials,
    /// The request holds more entries than are allowed.
    TooMany,
    /// One entry of the request cannot be purged; the others may.
    BadEntry,
    /// The plan does not include it.
    Plan,
    /// What was asked for does not exist.
    Missing,
    /// Refused for another reason.
    Refused,
    /// A 3xx. Redirects are not followed, because the credentials would go along.
    Redirected,
    /// A bot challenge or a page of something in between: not the API's answer.
    NotTheApi,
    /// A 2xx that does not say that it succeeded.
    Unclear,
    /// It succeeded, and the `result` has another form than the documented one.
    UnexpectedResult,
}

impl Class {
    /// Returns whether the same request can succeed later, with nobody changing anything.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable)
    }
}

/// Reads the answer to a request, and says what it means.
#[must_use]
pub fn parse_response<E: Endpoint>(request: &E, status: u16, body: &[u8]) -> Verdict<E::Reply> {
    let mut reply: Option<E::Reply> = None;
    match (parse_response_into(request.descriptor(), status, body, &mut reply), reply) {
        (Verdict::Done(answer), Some(reply)) => Verdict::Done(answer.with_result(reply)),
        (Verdict::Done(_), None) => unreachable!("an answer is done where its `result` was read"),
        (Verdict::Retryable(failure), _) => Verdict::Retryable(failure),
        (Verdict::Refused(failure), _) => Verdict::Refused(failure),
        (Verdict::Unreadable(failure), _) => Verdict::Unreadable(failure),
    }
}

/// Where the `result` of an answer is read to. With an `Option` behind this, code that does not depend on what is asked
/// is compiled once, and not once for each endpoint.
pub trait ReadReply {
    /// Reads a `result`.
    ///
    /// # Errors
    ///
    /// Where it has another form than the documented one.
    fn read(&mut self, raw: &str) -> Result<(), serde_json::Error>;
}

impl<T: DeserializeOwned> ReadReply for Option<T> {
    fn read(&mut self, raw: &str) -> Result<(), serde_json::Error> {
        serde_json::from_str(raw).map(|read| *self = Some(read))
    }
}

/// The same, with the `result` read to `reply`, which has it where this is [`Verdict::Done`].
#[must_use]
pub fn parse_response_into(
    endpoint: &Descriptor,
    status: u16,
    body: &[u8],
    reply: &mut dyn ReadReply,
) -> Verdict<()> {
    let envelope = match read(endpoint, status, body) {
        Ok(envelope) => envelope,
        Err(failure) => return Verdict::from(failure),
    };
    // A missing `result` is read as `null`, which it is for some endpoints.
    let raw = envelope.raw_result().to_owned();
    match reply.read(&raw) {
        Ok(()) => Verdict::Done(Answer {
            result: (),
            raw,
            errors: envelope.errors,
            messages: envelope.messages,
            result_info: envelope.result_info,
        }),
        Err(error) => Verdict::from(ApiFailure {
            // The API says that it was done, and will say it in the same words the next time.
            class: Class::UnexpectedResult,
            status,
            errors: envelope.errors,
            messages: envelope.messages,
            defect: Some(alloc::format!(
                "success, but a `result` that is not understood ({error}): {}",
                snippet(&raw, SNIPPET_CHARS),
            )),
            explanation: None,
            unclear: endpoint.method != Method::Get,
            retry_after: None,
        }),
    }
}

/// Judges an answer of which only the status arrived, because its body broke off; `defect` says how.
///
/// `None` where the status alone does not tell what to do: of a success it matters what the body says, and of a refusal why.
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
        unclear: leaves_open(status),
        retry_after: None,
    })
}

/// Reads an answer as far as all endpoints are alike.
///
/// # Errors
///
/// The [`ApiFailure`], where it is not a 2xx with `"success": true`.
fn read(endpoint: &Descriptor, status: u16, body: &[u8]) -> Result<Envelope, ApiFailure> {
    let parsed = Envelope::parse(body);
    let is_2xx = (200..300).contains(&status);
    let is_read = endpoint.method == Method::Get;
    match parsed {
        Ok(envelope) if is_2xx && envelope.success == Some(true) => Ok(envelope),
        Ok(envelope) if envelope.is_problem && !is_2xx => Err(of_the_edge(status, envelope, is_read)),
        Ok(envelope) => {
            let defect = match envelope.success {
                None if is_2xx => Some("no `success` in the answer".to_owned()),
                Some(true) => {
                    Some("`success` is true in the answer, and the status says otherwise".to_owned())
                }
                _ if envelope.errors.is_empty() && envelope.messages.is_empty() => {
                    Some("no reason in the answer".to_owned())
                }
                _ => None,
            };
            let explanation = catalog::explain_all(endpoint, status, &envelope.errors);
            let unclear = is_2xx && envelope.success.is_none() && envelope.errors.is_empty();
            let class = match explanation {
                Some(explanation) => explanation.class,
                // What has no effect is not asked again to find out whether it had one.
                None if unclear && is_read => Class::NotTheApi,
                None if unclear => Class::Unclear,
                None => class_of(status),
            };
            // A 429 or a 5xx is temporary whatever the body says: the status comes from what is in front.
            let class = if class_of(status).is_temporary() { class_of(status) } else { class };
            let says_no = envelope.success == Some(false);
            Err(ApiFailure {
                class,
                status,
                errors: envelope.errors,
                messages: envelope.messages,
                defect,
                explanation,
                unclear: !is_read && (class == Class::Unclear || leaves_open(status) && !says_no),
                retry_after: None,
            })
        }
        Err(no_envelope) => {
            let class = match class_of(status) {
                // What breaks off may be whole the next time; a page of something else will not be another.
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
                unclear: !is_read && (class == Class::Unclear || leaves_open(status)),
                retry_after: None,
            })
        }
    }
}

/// Judges problem details: the edge in front of the API answered, and the API was not asked or did not answer.
///
/// Source: the vendor's changelog of 2026-03-11, 2026-03-12 and 2026-04-27.
fn of_the_edge(status: u16, problem: Envelope, is_read: bool) -> ApiFailure {
    let (class, explanation) = match class_of(status) {
        class if class.is_temporary() => (class, None),
        // Whatever the status is: what says when to come back can be asked again.
        _ if problem.retry_after.is_some() && !is_final(status) => (Class::Unavailable, None),
        _ if is_final(status) => (Class::NotTheApi, Some(&catalog::EDGE_TLS)),
        // No API was there to look at credentials.
        Class::Credentials => (Class::NotTheApi, Some(&catalog::EDGE_BLOCK)),
        Class::Refused | Class::Missing => (Class::NotTheApi, None),
        class => (class, None),
    };
    ApiFailure {
        class,
        status,
        errors: problem.errors,
        messages: problem.messages,
        defect: None,
        explanation,
        unclear: !is_read && leaves_open(status),
        retry_after: problem.retry_after,
    }
}

/// Returns whether the edge says of a status that another try cannot help: it could not set up TLS with what is behind it.
const fn is_final(status: u16) -> bool {
    matches!(status, 525 | 526)
}

/// Returns whether a status alone leaves open that the request was done. A gateway that got no answer, or a bad one, does
/// not know; one that says 503, or that it could not set up TLS, did not pass the request on.
const fn leaves_open(status: u16) -> bool {
    matches!(status, 500..=599) && status != 503 && !is_final(status)
}

/// What a status alone says of an answer that is no success.
fn class_of(status: u16) -> Class {
    match status {
        300..=399 => Class::Redirected,
        401 | 403 => Class::Credentials,
        404 => Class::Missing,
        408 => Class::Unavailable,
        // How large a body may be is not documented; if one is too large, fewer entries will do.
        413 => Class::TooMany,
        429 => Class::RateLimited,
        status if is_final(status) => Class::NotTheApi,
        // All of them: 520 to 530 come from the edge in front of the API.
        500..=599 => Class::Unavailable,
        _ => Class::Refused,
    }
}

impl<T> From<ApiFailure> for Verdict<T> {
    fn from(failure: ApiFailure) -> Self {
        match failure.class {
            Class::RateLimited | Class::Unavailable => Self::Retryable(failure),
            Class::Unclear => Self::Unreadable(failure),
            _ => Self::Refused(failure),
        }
    }
}

impl ApiFailure {
    /// The code of the first error; 0 where there is none.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.errors.iter().map(|error| error.code).find(|code| *code != 0).unwrap_or_default()
    }

    /// The page that the API names for its errors, where it names one.
    #[must_use]
    pub fn documentation_url(&self) -> Option<&str> {
        self.errors
            .iter()
            .flat_map(ResponseInfo::flatten)
            .find_map(|error| error.documentation_url.as_deref())
    }

    /// What the API said, in one line: its errors, else its remarks, else what is wrong with the body.
    #[must_use]
    pub fn reason(&self) -> String {
        // "Bad Request" alone helps nobody; what does was seen in `messages`.
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
