//! Parses the output of `aws s3 sync --no-progress`.

use super::{InvalidChange, ListFormat, OnChange};
use crate::difference::ChangeKind;

/// With `has_root`, keys are passed as complete URLs; otherwise the bucket is the site.
pub(super) fn line(line: &[u8], has_root: bool, found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
    // Progress is a line without an end that is overwritten by the next one and padded with blanks.
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
            // A file name may contain this too; the key follows the last occurrence.
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

/// The key in `s3://bucket/key`. A key that ends with `/` is a folder of the console.
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
