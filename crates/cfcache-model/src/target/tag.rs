//! A cache tag.

use alloc::borrow::{Cow, ToOwned};
use core::fmt;

use crate::InvalidInput;
use crate::shared_text::SharedText;
use crate::target::{TargetKind, Warning, unescaped};
use crate::text::quote;

/// The maximum length of a tag, in characters.
///
/// A cached file can have a longer tag (the `Cache-Tag` header allows it), which cannot be purged. Source:
/// <https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags/>, 2026.
pub const MAX_TAG_CHARS: usize = 1024;

/// A cache tag, as the origin sent it in `Cache-Tag`.
///
/// - 1 to [`MAX_TAG_CHARS`] characters of printable ASCII, without space or comma.
/// - The API ignores case: `Foo` and `foo` are the same tag. The given case is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(SharedText);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if it is empty, too long, or contains a character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        if text.is_empty() {
            return Err(InvalidInput::new("the tag is empty"));
        }
        let fits = |char: char| char.is_ascii_graphic() && char != ',';
        if let Some((index, char)) = text.chars().enumerate().find(|(_, char)| !fits(*char)) {
            let message = alloc::format!(
                "the tag {} has {char:?} at character {}: a tag is printable ASCII without space or comma",
                quote(text),
                index + 1
            );
            let bare = text.trim();
            let cure = if bare.len() < text.len() && Self::parse(bare).is_ok() {
                Some(alloc::format!("leave out the blank around it: {}", quote(bare)))
            } else if matches!(char, ',' | ' ') {
                Some("give each tag as an argument, or on a line, of its own".to_owned())
            } else {
                None
            };
            return Err(InvalidInput::new(message).with_cure(cure));
        }
        let chars = text.len();
        if chars > MAX_TAG_CHARS {
            let message = alloc::format!(
                "the tag {} has {chars} characters, and the API takes at most {MAX_TAG_CHARS}",
                quote(text)
            );
            let cure = "a file with so long a tag can be purged by URL, host or prefix".to_owned();
            return Err(InvalidInput::new(message).with_cure(Some(cure)));
        }
        Ok(Self(text.into()))
    }

    /// The tag in the given case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TargetKind for Tag {
    const FIELD: &'static str = "tags";
    const WORD: &'static str = "tags";
    const NOUN: &'static str = "tag";

    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn unescaped(&self) -> Option<&str> {
        unescaped(&self.0)
    }

    // Not inlined, because it would make `Target::key` slower for URLs.
    #[inline(never)]
    fn key(&self) -> SharedText {
        let is_lowercase = !self.0.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_lowercase { self.0.clone() } else { self.0.to_ascii_lowercase().into() }
    }

    fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        let is_between =
            |begin: char, end: char| self.0.len() > 1 && self.0.starts_with(begin) && self.0.ends_with(end);
        if is_between('[', ']') || is_between('{', '}') {
            warn(Warning::TagIsJson);
        } else if is_between('"', '"') || is_between('\'', '\'') {
            warn(Warning::TagIsQuoted);
        }
    }
}
