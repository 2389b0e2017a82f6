//! Small ways of showing other people's text.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// The most characters of an entry that a message repeats.
pub const CLIP_CHARS: usize = 80;

/// Makes foreign text fit for one line of a message: control characters become `?`, and what is longer than `limit`
/// characters is cut and ends in `…`.
#[must_use]
pub fn clip(text: &str, limit: usize) -> String {
    let mut shown: String =
        text.chars().take(limit).map(|char| if char.is_control() { '?' } else { char }).collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

/// Puts text between backticks, clipped to [`CLIP_CHARS`].
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = "`".to_owned();
    quoted.push_str(&clip(text, CLIP_CHARS));
    quoted.push('`');
    quoted
}
