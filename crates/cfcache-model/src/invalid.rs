//! The error for text that somebody wrote.

use alloc::borrow::Cow;
use alloc::string::String;

/// Why a text was refused: an id, a target, a header, the name of a plan, the value of a setting.
///
/// - `Display` says what was found, what is allowed, and where the difference is. The parsers of this crate repeat at most
///   [`CLIP_CHARS`](crate::text::CLIP_CHARS) characters of the text ([`quote`](crate::text::quote)), and none of a text
///   that may be a secret.
/// - [`cure`](Self::cure) suggests a correction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidInput {
    message: Cow<'static, str>,
    cure: Option<String>,
}

impl InvalidInput {
    /// Creates an error without a suggestion; `message` is a lowercase fragment without a full stop.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), cure: None }
    }

    /// Sets the suggestion.
    #[must_use]
    pub fn with_cure(mut self, cure: Option<String>) -> Self {
        self.cure = cure;
        self
    }

    /// A suggestion in the imperative, if there is a likely one.
    #[must_use]
    pub fn cure(&self) -> Option<&str> {
        self.cure.as_deref()
    }
}
