//! Errors for people.

use core::error::Error as StdError;

use cfcache_client::{Error, ErrorCause, ErrorKind};
use cfcache_model::text::clip;
use cfcache_model::verdict::Class;
use cfcache_transport::Cause;

use crate::exit::Exit;
use crate::wording;

/// An error that ends a command: what happened, what to do about it, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong.
    pub message: String,
    /// The underlying errors, the nearest first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Creates a failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Creates a failure for wrong usage or invalid input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds an underlying error.
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns a copy.
    pub fn copied(&self) -> Self {
        let Self { exit, message, causes, hint } = self;
        Self { exit: *exit, message: message.clone(), causes: causes.clone(), hint: hint.clone() }
    }

    /// The message and the nearest cause, in one line.
    pub fn described(&self) -> String {
        match self.causes.first() {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        }
    }

    /// Converts an error of the client; `message` says what could not be done, such as "cannot look up the zone
    /// `example.com`".
    pub fn from_error(error: &Error, message: impl Into<String>) -> Self {
        let mut failure = Self::new(error.kind().into(), message);
        failure.causes.push(describe(error));
        let mut source = error.source();
        while let Some(cause) = source {
            failure.causes.push(cause.to_string());
            source = cause.source();
        }
        failure.hint = hint(error);
        failure
    }
}

/// Describes an error with its attempts: "… [3 tries in 2.10 s, cf-ray 8f3a…]".
pub fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut facts = Vec::new();
    match (error.attempts, wording::duration(error.elapsed)) {
        (0, _) => {}
        (1, elapsed) => facts.push(format!("1 try in {elapsed}")),
        (tries, elapsed) => facts.push(format!("{tries} tries in {elapsed}")),
    }
    if error.is_unclear() {
        facts.push(UNCLEAR.to_owned());
    }
    if let Some(ray) = &error.ray {
        facts.push(format!("cf-ray {ray}"));
    }
    if !facts.is_empty() {
        text.push_str(&format!(" [{}]", facts.join(", ")));
    }
    text
}

/// The part of [`describe`] that is the same for all requests that fail alike: without ray and time.
pub fn reason(error: &Error) -> String {
    if error.is_unclear() { format!("{error} [{UNCLEAR}]") } else { error.to_string() }
}

/// A short reason why a request is sent again: "`127.0.0.1:9` refused the connection".
pub fn why(cause: &ErrorCause) -> String {
    match cause {
        ErrorCause::Transport(error) => error.detail().to_owned(),
        cause => clip(&cause.to_string(), 160),
    }
}

const UNCLEAR: &str = "may have taken effect";

/// What to do about an error.
pub fn hint(error: &Error) -> Option<String> {
    if let Some(failure) = error.failure() {
        let permission = error.endpoint.permission;
        if failure.class == Class::Credentials && failure.code() == 10000 {
            return Some(format!(
                "check the token with `cfcache token verify`; it needs the permission \"{permission}\", for this zone",
            ));
        }
        if failure.class == Class::Plan {
            return Some(format!("this needs {}", error.endpoint.plans));
        }
        if let Some(explanation) = failure.explanation {
            return Some(format!("{}: {}", explanation.meaning, explanation.cure));
        }
    }
    let is_list = error.endpoint.area == cfcache_model::endpoint::Area::Purge;
    let class = error.failure().map(|failure| failure.class);
    let text = match (&error.cause, error.kind()) {
        _ if class == Some(Class::UnexpectedResult) => {
            "the API's response has an unknown form: update cfcache, and check the base URL"
        }
        _ if matches!(class, Some(Class::NotTheApi | Class::Redirected)) => {
            "the response is not from the API: check the base URL, and proxies in between"
        }
        (ErrorCause::Transport(error), _) => match error.cause() {
            Cause::Certificate => {
                "if a private authority is intended, trust it with `--ca-file FILE`; where this \
                 machine has no authorities at all, `--roots bundled`"
            }
            Cause::TrustStore => {
                "this machine has no certificates to trust: install them (`ca-certificates`), or use those that came with \
                 the binary (`--roots bundled`)"
            }
            Cause::TimedOut => "try again, or allow more time (`--timeout`)",
            Cause::Protocol => "check the base URL and whether a proxy is in between",
            Cause::ProxyRefused => "check the proxy's address and credentials",
            _ => "check the network, and the base URL (`--base-url`) if one is set",
        },
        (_, ErrorKind::RateLimited) if is_list => {
            "wait, then run it again for the failed entries (`--failed-to FILE` collects them)"
        }
        (_, ErrorKind::RateLimited) => "wait, then run it again",
        (_, ErrorKind::Unreachable) if !is_list => "run it again later",
        (_, ErrorKind::Unreachable) => {
            "run it again later for the failed entries (`--failed-to FILE` collects them)"
        }
        (_, ErrorKind::Credentials) => "check the token with `cfcache token verify`",
        _ => return None,
    };
    Some(text.to_owned())
}
