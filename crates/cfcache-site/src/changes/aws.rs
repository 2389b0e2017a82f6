//! `aws s3 sync --no-progress`.

use super::{InvalidChange, ListFormat, OnChange};
use crate::difference::ChangeKind;

/// `has_root` tells that keys are given as whole URLs; else the bucket is what the site consists of.
pub(super) fn line(line: &[u8], has_root: bool, found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
    // Progress is a line without an end, which the next one is written over, filled up with blanks.
    let (line, has_progress) = match line.iter().rposition(|byte| *byte == b'\r') {
        Some(at) => (&line[at + 1..], true),
        None => (line, false),
    };
    let line = if has_progress { line.trim_ascii_end() } else { line };
    if line.is_empty() || line.starts_with(b"Completed ") {
        return Ok(());
    }
    if line.starts_with(b"(dryrun) ") {
        return Err(InvalidChange::DryRun { found: crate::clip(line) });
    }
    let shape = || InvalidChange::shape(line, ListFormat::Aws);
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(shape)?;
    let (verb, rest) = (&line[..colon], &line[colon + 1..]);
    let rest = rest.strip_prefix(b" ").ok_or_else(shape)?;
    match verb {
        b"upload" | b"copy" | b"move" => {
            // The name of a file may hold this too; the key is what follows the last.
            let to = b" to s3://";
            let at = rest.windows(to.len()).rposition(|window| window == to).ok_or_else(shape)?;
            key(&rest[at + b" to ".len()..], ChangeKind::Changed, has_root, found)?;
            if rest[..at].starts_with(b"s3://") && verb == b"move" {
                key(&rest[..at], ChangeKind::Deleted, has_root, found)
            } else {
                Ok(())
            }
        }
        b"delete" if rest.starts_with(b"s3://") => key(rest, ChangeKind::Deleted, has_root, found),
        b"warning" => Err(InvalidChange::Failed { found: crate::clip(line) }),
        verb if verb.ends_with(b" failed") => Err(InvalidChange::Failed { found: crate::clip(line) }),
        _ => Err(shape()),
    }
}

/// The key in `s3://bucket/key`. A key that ends in `/` is the console's idea of a folder.
fn key(url: &[u8], kind: ChangeKind, has_root: bool, found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
    if url.ends_with(b"/") {
        return Ok(());
    }
    if has_root {
        return found(url, kind);
    }
    let bucket_and_key = url.strip_prefix(b"s3://").unwrap_or(url);
    let slash = bucket_and_key.iter().position(|byte| *byte == b'/');
    found(slash.map_or(&[][..], |slash| &bucket_and_key[slash + 1..]), kind)
}
