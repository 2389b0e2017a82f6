//! Reads records: lines, or texts separated by NUL.

use std::io::{self, BufRead, Read as _};

/// The maximum size of a record in bytes.
pub const MAX_RECORD: usize = 1 << 20;

/// Calls `visit` with each record, without its end, and its number, counted from 1. A last record without an end is
/// included.
///
/// # Errors
///
/// If the stream cannot be read, if a record is too long, or if a stream of NUL-separated records ends with a line
/// break: it has lines, which would be one record with a name that no file has. If `visit` fails, reading ends with its
/// error in the inner result.
pub fn for_each<E>(
    mut reader: impl BufRead,
    separator: u8,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> io::Result<Result<(), E>> {
    let mut record = Vec::new();
    let mut number = 0;
    loop {
        let mut is_line = false;
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
                is_line = separator == 0 && last == b'\n';
            }
            Some(_) => {}
        }
        if let Err(error) = visit(number, &record) {
            return Ok(Err(error));
        }
        if is_line {
            let reason = format!("record {number} ends with a line break instead of NUL, so these are lines");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], separator: u8) -> (Vec<Vec<u8>>, Option<String>) {
        let mut records = Vec::new();
        let result = for_each(text, separator, |_, record| {
            records.push(record.to_vec());
            Ok::<(), ()>(())
        });
        (records, result.err().map(|error| error.to_string()))
    }

    #[test]
    fn lines_are_not_read_as_records_that_end_with_nul() {
        assert_eq!(read(b"a\nb\0c\0", 0), (vec![b"a\nb".to_vec(), b"c".to_vec()], None));
        assert_eq!(read(b"a\n\0", 0), (vec![b"a\n".to_vec()], None));
        assert_eq!(read(b"a", 0), (vec![b"a".to_vec()], None));
        let (_, error) = read(b"a\nb\n", 0);
        assert!(error.is_some_and(|error| error.contains("a line break instead of NUL")));
    }
}
