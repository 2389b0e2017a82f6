//! Parses the output of `git diff --name-status -z` and `git diff --raw -z`.

use super::{InvalidChange, ListFormat, OnChange};
use crate::difference::ChangeKind;

/// The position in a record: a status is followed by one path, or by two if a file was renamed or copied.
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
        // `--raw` writes modes and ids before the status; merges have several colons.
        let status = if field.starts_with(b":") {
            field.rsplit(|byte| *byte == b' ').next().unwrap_or_default()
        } else {
            field
        };
        let (letter, score) = status.split_first().ok_or_else(shape)?;
        if !score.iter().all(u8::is_ascii_digit) {
            return Err(shape());
        }
        // Taken from the end.
        self.expected = match letter {
            b'A' => vec![ChangeKind::Added],
            b'M' | b'T' => vec![ChangeKind::Changed],
            b'D' => vec![ChangeKind::Deleted],
            b'R' => vec![ChangeKind::Added, ChangeKind::Deleted],
            // The source of a copy did not change by the copy, but purging it costs little, and a copy of a file that
            // was also changed is only listed as a copy.
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
