//! What went wrong, for a person at three in the morning.

use core::error::Error as StdError;

use cfcache_client::{Error, ErrorCause, ErrorKind};
use cfcache_model::text::clip;
use cfcache_model::verdict::Class;
use cfcache_transport::Cause;

use crate::exit::Exit;
use crate::wording;

/// Something that ends the command: what was found, what to do about it, and how the process ends.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong.
    pub message: String,
    /// What is behind it, the nearest first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Makes a failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Makes a failure of wrong usage or invalid input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what is behind it.
    pub fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Says what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same once more.
    pub fn copied(&self) -> Self {
        let Self { exit, message, causes, hint } = self;
        Self { exit: *exit, message: message.clone(), causes: causes.clone(), hint: hint.clone() }
    }

    /// What went wrong and the nearest reason, in one line.
    pub fn described(&self) -> String {
        match self.causes.first() {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        }
    }

    /// An error of the client, behind what it kept from being done: "cannot look up the zone `example.com`".
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

/// What the error says, with how it came to it: "… [3 tries in 2.10 s, cf-ray 8f3a…]".
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

/// What of [`describe`] is the same for every request that ends so: neither its ray nor its time.
pub fn reason(error: &Error) -> String {
    if error.is_unclear() { format!("{error} [{UNCLEAR}]") } else { error.to_string() }
}

/// Why a request is sent again, in few words: "`127.0.0.1:9` refused the connection".
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
            return Some(format!("this is for {}", error.endpoint.plans));
        }
        if let Some(explanation) = failure.explanation {
            return Some(format!("{}: {}", explanation.meaning, explanation.cure));
        }
    }
    let is_list = error.endpoint.area == cfcache_model::endpoint::Area::Purge;
    let class = error.failure().map(|failure| failure.class);
    let text = match (&error.cause, error.kind()) {
        _ if class == Some(Class::UnexpectedResult) => {
            "the API's answer has another form than is known here: update cfcache, and check the base URL"
        }
        _ if matches!(class, Some(Class::NotTheApi | Class::Redirected)) => {
            "it was not the API that answered: check the base URL, and what is in between"
        }
        (ErrorCause::Transport(error), _) => match error.cause() {
            Cause::Certificate => {
                "if a private authority is meant to be in between, trust it with `--ca-file FILE`; where this \
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
            "wait, then run it again for what failed (`--failed-to FILE` collects it)"
        }
        (_, ErrorKind::RateLimited) => "wait, then run it again",
        (_, ErrorKind::Unreachable) if !is_list => "run it again later",
        (_, ErrorKind::Unreachable) => "run it again later for what failed (`--failed-to FILE` collects it)",
        (_, ErrorKind::Credentials) => "check the token with `cfcache token verify`",
        _ => return None,
    };
    Some(text.to_owned())
}
