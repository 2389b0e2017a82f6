//! `git diff --name-status -z` and `git diff --raw -z`.

use super::{InvalidChange, ListFormat, OnChange};
use crate::difference::ChangeKind;

/// Where in a record the list is: a status is followed by one path, or by two where a file was renamed or copied.
#[derive(Debug, Default)]
pub(super) struct DiffParser {
    expected: Vec<ChangeKind>,
    last: String,
}

impl DiffParser {
    pub(super) fn record(&mut self, field: &[u8], found: &mut OnChange<'_>) -> Result<(), InvalidChange> {
        self.last = crate::clip(field);
        if let Some(kind) = self.expected.pop() {
            return found(field, kind);
        }
        if field.contains(&b'\n') && field.contains(&b'\t') {
            return Err(InvalidChange::NotNullSeparated);
        }
        let shape = || InvalidChange::shape(field, ListFormat::Git);
        // `--raw` puts modes and ids before the status; merges have more than one colon.
        let status = if field.starts_with(b":") {
            field.rsplit(|byte| *byte == b' ').next().unwrap_or_default()
        } else {
            field
        };
        let (letter, score) = status.split_first().ok_or_else(shape)?;
        if !score.iter().all(u8::is_ascii_digit) {
            return Err(shape());
        }
        // The last is taken first.
        self.expected = match letter {
            b'A' => vec![ChangeKind::Added],
            b'M' | b'T' => vec![ChangeKind::Changed],
            b'D' => vec![ChangeKind::Deleted],
            b'R' => vec![ChangeKind::Added, ChangeKind::Deleted],
            // The source of a copy is what it was; it costs little to purge it, and a copy of a file that was changed
            // as well is told as a copy only.
            b'C' => vec![ChangeKind::Added, ChangeKind::Changed],
            _ => return Err(shape()),
        };
        Ok(())
    }

    pub(super) fn finish(&self) -> Result<(), InvalidChange> {
        if self.expected.is_empty() {
            return Ok(());
        }
        Err(InvalidChange::Unfinished { after: self.last.clone() })
    }
}
