//! Parses the output of `rclone check --combined -` and `rclone sync --combined -`.

use super::{InvalidChange, ListFormat, OnChange};
use crate::difference::ChangeKind;

pub(super) fn line(line: &[u8], found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
    let [sign, b' ', name @ ..] = line else {
        return if line.is_empty() { Ok(()) } else { Err(InvalidChange::shape(line, ListFormat::Rclone)) };
    };
    let kind = match sign {
        b'=' => return Ok(()),
        b'+' => ChangeKind::Added,
        b'-' => ChangeKind::Deleted,
        b'*' => ChangeKind::Changed,
        b'!' => return Err(InvalidChange::Failed { found: crate::clip(line) }),
        _ => return Err(InvalidChange::shape(line, ListFormat::Rclone)),
    };
    found(name, kind)?;
    // It depends on the server whether the name contains the control character or its picture.
    match without_pictures(name) {
        Some(name) => found(name.as_bytes(), kind),
        None => Ok(()),
    }
}

/// The name with control characters instead of the pictures that rclone writes for them; `None` if there are none.
///
/// Source: <https://rclone.org/overview/#restricted-characters>: U+2400 … for control characters, and U+201B before a
/// picture that is part of the name itself.
fn without_pictures(name: &[u8]) -> Option<String> {
    let name = core::str::from_utf8(name).ok()?;
    let mut decoded = String::with_capacity(name.len());
    let mut is_quoted = false;
    for char in name.chars() {
        let code = u32::from(char);
        match code {
            _ if is_quoted => decoded.push(char),
            0x201b => {}
            0x2400..=0x241f => decoded.push(char::from_u32(code - 0x2400)?),
            0x2421 => decoded.push('\u{7f}'),
            _ => decoded.push(char),
        }
        is_quoted = code == 0x201b && !is_quoted;
    }
    (decoded != name).then_some(decoded)
}
