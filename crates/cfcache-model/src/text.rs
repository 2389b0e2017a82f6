//! Small ways of showing other people's text.

use alloc::string::String;

/// The most characters of an entry that a message repeats.
pub const CLIP_CHARS: usize = 80;

/// Returns whether a character draws nothing, or changes how what stands around it is drawn.
///
/// Control characters, the marks that turn the direction of writing, and blanks without width. A terminal must not get
/// them from foreign text, and a person must see that they are there. (The two joiners are left alone: some scripts
/// cannot be written without them.)
#[must_use]
pub fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Makes foreign text fit for one line of a message: what [`is_invisible`] is written as an escape (`\n`, `\u{202e}`),
/// and what is longer than `limit` characters is cut and ends in `…`.
#[must_use]
pub fn clip(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(limit) {
        if is_invisible(char) { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The beginning of a longer text on one line: blanks and line breaks become one blank each time, and the rest is as
/// with [`clip`].
#[must_use]
pub fn snippet(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // A character has at most four bytes, so this is enough to tell that there is more than `limit`.
        if line.len() > limit.saturating_mul(4) {
            break;
        }
    }
    clip(&line, limit)
}

/// Puts text between backticks, clipped to [`CLIP_CHARS`].
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    quoted.push_str(&clip(text, CLIP_CHARS));
    quoted.push('`');
    quoted
}

/// The text is none of the names that were expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{expected}")]
#[non_exhaustive]
pub struct UnknownName {
    /// Which names there are, in words.
    pub expected: &'static str,
}
