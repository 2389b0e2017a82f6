//! Reads files completely, with a limit on their size: `/dev/zero` is a file too.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The maximum size of a file of settings or certificates: far above any useful size, and a limit on memory.
pub const MOST: u64 = 8 << 20;

/// Reads a file of at most `most` bytes.
///
/// # Errors
///
/// If it cannot be read or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // If the size is known, a file that is too large is not read. Devices have no size.
    if file.metadata().is_ok_and(|file| file.len() > most) {
        return Err(too_long(most));
    }
    read_from(file, most)
}

/// Reads a text file of at most `most` bytes, or standard input if the path is `-`. A byte order mark is removed.
///
/// # Errors
///
/// If it cannot be read, is larger, or is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = if path == Path::new("-") { read_from(io::stdin().lock(), most) } else { read(path, most) }?;
    text(bytes)
}

/// Converts bytes to text, without a byte order mark.
///
/// # Errors
///
/// If they are not UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads a reader of at most `most` bytes completely.
///
/// # Errors
///
/// If reading fails, or if there are more bytes.
pub fn read_from(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long(most)) } else { Ok(bytes) }
}

fn too_long(most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_above_the_limit_is_refused_without_reading_it_completely() {
        assert_eq!(read_from(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read_from(&b"abcd"[..], 3).unwrap_err().to_string(), "it is longer than 3 bytes");
        assert!(read_from(io::repeat(0), 1000).is_err());
    }
}
