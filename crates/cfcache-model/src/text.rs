//! Functions that prepare foreign text for messages.

use alloc::string::String;

/// The maximum number of characters of an entry that a message repeats.
pub const CLIP_CHARS: usize = 80;

/// Returns whether a character draws nothing, or changes how what stands around it is drawn.
///
/// These are control characters, marks that change the direction of text, and blanks without width. A terminal must not
/// get them from foreign text, and a person must see that they are there. (The two joiners are allowed, because some
/// scripts need them.)
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

/// Makes foreign text fit for one line of a message: characters for which [`is_invisible`] is true are
/// escaped (`\n`, `\u{202e}`), and text longer than `limit` characters is truncated and ends with `…`.
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

/// The beginning of a longer text on one line: white space is collapsed to single blanks, and the rest is handled as in
/// [`clip`].
#[must_use]
pub fn snippet(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // A character has at most four bytes, so this is enough to know that there are more than `limit`.
        if line.len() > limit.saturating_mul(4) {
            break;
        }
    }
    clip(&line, limit)
}

/// Puts text between backticks, truncated to [`CLIP_CHARS`].
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    quoted.push_str(&clip(text, CLIP_CHARS));
    quoted.push('`');
    quoted
}
