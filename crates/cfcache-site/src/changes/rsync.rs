//! Parses the output of `rsync --out-format='%i %n'`.

use super::{InvalidChange, ListFormat, OnChange};
use crate::difference::ChangeKind;

/// Lines that `-v` and `--stats` add, which are not about files.
const PROSE: &[&[u8]] = &[
    b"sending incremental file list",
    b"receiving incremental file list",
    b"receiving file list",
    b"building file list",
    b"delta-transmission ",
    b"created directory ",
    b"sent ",
    b"total size is ",
];

/// Source: `--itemize-changes` in rsync(1): `YXcstpoguax`, which describes how the file is updated, and its type.
pub(super) fn line(line: &[u8], found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
    if line.is_empty() || PROSE.iter().any(|prose| line.starts_with(prose)) {
        return Ok(());
    }
    let shape = || InvalidChange::shape(line, ListFormat::Rsync);
    let (item, name) = line.split_at_checked(12).ok_or_else(shape)?;
    if item == b"*deleting   " {
        return entry(name, ChangeKind::Deleted, found);
    }
    let [
        update @ (b'<' | b'>' | b'c' | b'h' | b'.'),
        file @ (b'f' | b'd' | b'L' | b'D' | b'S'),
        flags @ ..,
        b' ',
    ] = item
    else {
        return Err(shape());
    };
    // Eleven characters: two for the update and the type, nine for the differences.
    if !flags.iter().all(|flag| flag.is_ascii_alphabetic() || b"+.? ".contains(flag)) {
        return Err(shape());
    }
    let is_new = flags.contains(&b'+');
    let kind = if is_new { ChangeKind::Added } else { ChangeKind::Changed };
    match (update, file) {
        // Changes of attributes only, folders, devices and sockets are not served.
        (b'.', _) | (_, b'd' | b'D' | b'S') => Ok(()),
        _ => {
            entry(name, kind, found)?;
            // Without `--out-format`, `-i` appends the target of a link.
            for arrow in [" -> ", " => "] {
                let at = name.windows(arrow.len()).position(|window| window == arrow.as_bytes());
                if let Some(at) = at.filter(|_| *update == b'h' || *file == b'L') {
                    entry(&name[..at], kind, found)?;
                }
            }
            Ok(())
        }
    }
}

fn entry(name: &[u8], kind: ChangeKind, found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
    if name.ends_with(b"/") {
        return Ok(());
    }
    found(&unescape(name), kind)
}

/// rsync writes an unprintable byte as `\#` and three octal digits.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        rest = after;
        let mut byte = *first;
        if let [b'\\', b'#', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] =
            [&[byte][..], rest].concat().as_slice()
        {
            byte = (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0');
            rest = &rest[rest.len() - after.len()..];
        }
        unescaped.push(byte);
    }
    unescaped
}
