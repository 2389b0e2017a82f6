//! Files that are read whole, each with a bound: `/dev/zero` is a file too.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most that a file of settings or certificates may hold: far above any that makes sense, and a bound on memory.
pub const MOST: u64 = 8 << 20;

/// Reads a file of at most `most` bytes.
///
/// # Errors
///
/// Where it cannot be read, or holds more.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A file whose size is known is not read to find it too long, and a device has none.
    if file.metadata().is_ok_and(|file| file.len() > most) {
        return Err(too_long(most));
    }
    read_from(file, most)
}

/// Reads a file of at most `most` bytes of text, or standard input where it is `-`. A byte order mark is dropped.
///
/// # Errors
///
/// Where it cannot be read, holds more, or is no UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = if path == Path::new("-") { read_from(io::stdin().lock(), most) } else { read(path, most) }?;
    text(bytes)
}

/// Makes text of bytes, without the byte order mark that it may begin with.
///
/// # Errors
///
/// Where they are no UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads at most `most` bytes, up to the end.
///
/// # Errors
///
/// Where reading fails, or there is more.
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
    fn what_is_longer_than_the_bound_is_refused_and_not_read_to_its_end() {
        assert_eq!(read_from(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read_from(&b"abcd"[..], 3).unwrap_err().to_string(), "it is longer than 3 bytes");
        assert!(read_from(io::repeat(0), 1000).is_err());
    }
}
