//! Reads records: lines, or texts separated by NUL.

use std::io::{self, BufRead, Read as _};

/// The maximum size of a record in bytes.
pub const MAX_RECORD: usize = 1 << 20;

/// Calls `visit` with each record, without its end, and its number, counted from 1. A last record without an end is
/// included.
///
/// # Errors
///
/// If the stream cannot be read, or if a record is too long. If `visit` fails, reading ends with its error in the inner
/// result.
pub fn for_each<E>(
    mut reader: impl BufRead,
    separator: u8,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> io::Result<Result<(), E>> {
    let mut record = Vec::new();
    let mut number = 0;
    loop {
        record.clear();
        (&mut reader).take(MAX_RECORD as u64 + 1).read_until(separator, &mut record)?;
        number += 1;
        match record.pop() {
            None => return Ok(Ok(())),
            Some(last) if last != separator => {
                if record.len() >= MAX_RECORD {
                    let reason = format!("record {number} is longer than {MAX_RECORD} bytes");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
                record.push(last);
            }
            Some(_) => {}
        }
        if let Err(error) = visit(number, &record) {
            return Ok(Err(error));
        }
    }
}
