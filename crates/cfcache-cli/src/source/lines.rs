//! The lines of a list.

use std::io::{BufRead, BufReader, Read};

use memchr::memchr;

/// The longest line that is read, in bytes: far above any URL, and a bound on memory.
const LONGEST: usize = 1 << 20;

/// Reads a list line by line.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    /// How many bytes of the reader's buffer are the line that was given out last.
    given: usize,
    /// Where in the buffer the line after it ends, where that was looked for.
    end: Option<usize>,
    /// A line that was not whole in the buffer.
    line: Vec<u8>,
    is_first: bool,
}

/// A line of a list.
pub(super) enum Line<'a> {
    /// An entry, without its line break.
    Entry(&'a str),
    /// Blank, or a comment.
    Nothing,
    /// Not text, or endless.
    Invalid { given: String, reason: String },
    /// It could not be read.
    Failed(std::io::Error),
    /// There are no more.
    End,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: BufReader<R>) -> Self {
        Self { reader, given: 0, end: None, line: Vec::new(), is_first: true }
    }

    /// Is there more that can be had without waiting?
    pub(super) fn has_more_at_hand(&mut self) -> bool {
        self.end = memchr(b'\n', &self.reader.buffer()[self.given..]);
        self.end.is_some()
    }

    pub(super) fn next(&mut self) -> Line<'_> {
        self.reader.consume(core::mem::take(&mut self.given));
        let is_first = core::mem::take(&mut self.is_first);
        let end = self.end.take().or_else(|| memchr(b'\n', self.reader.buffer()));
        let mut line = match end {
            // Most lines are whole in the buffer, and need not be copied.
            Some(end) => {
                self.given = end + 1;
                &self.reader.buffer()[..self.given]
            }
            None => match self.read_on() {
                Ok(()) => self.line.as_slice(),
                Err(line) => return line,
            },
        };
        if is_first {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') || line.trim_ascii().is_empty() {
            return Line::Nothing;
        }
        match core::str::from_utf8(line) {
            Ok(text) => Line::Entry(text),
            Err(error) => Line::Invalid {
                given: String::from_utf8_lossy(line).into_owned(),
                reason: format!("the line is not UTF-8 (byte {})", error.valid_up_to() + 1),
            },
        }
    }

    /// Reads a line that is not whole in the buffer.
    fn read_on(&mut self) -> Result<(), Line<'static>> {
        self.line.clear();
        match self.reader.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut self.line) {
            Ok(0) => return Err(Line::End),
            Ok(_) => {}
            Err(error) => return Err(Line::Failed(error)),
        }
        if self.line.len() > LONGEST && self.line.last() != Some(&b'\n') {
            let given = String::from_utf8_lossy(&self.line[..80]).into_owned();
            return Err(match self.reader.skip_until(b'\n') {
                Ok(_) => Line::Invalid { given, reason: format!("the line is longer than {LONGEST} bytes") },
                Err(error) => Line::Failed(error),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::new(BufReader::with_capacity(7, bytes));
        let mut seen = Vec::new();
        loop {
            seen.push(match lines.next() {
                Line::Entry(text) => text.to_owned(),
                Line::Nothing => "-".to_owned(),
                Line::Invalid { reason, .. } => reason,
                Line::Failed(error) => error.to_string(),
                Line::End => return seen,
            });
        }
    }

    #[test]
    fn lines_are_entries_byte_for_byte() {
        assert_eq!(
            read(b"a\r\n b \n\n  \n#c\n #d\ne\r\r\nlast"),
            ["a", " b ", "-", "-", "-", " #d", "e\r", "last"]
        );
        assert_eq!(read(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb"), ["a", "\u{feff}b"]);
        assert_eq!(read(b""), [""; 0]);
        assert_eq!(read(b"\n"), ["-"]);
        assert_eq!(read(b"a,b;c d\n"), ["a,b;c d"]);
    }

    #[test]
    fn rubbish_is_named_and_passed_over() {
        assert_eq!(read(b"ok\nab\xFFc\nok"), ["ok", "the line is not UTF-8 (byte 3)", "ok"]);
        let mut long = vec![b'x'; LONGEST + 5];
        long.extend(b"\nok\n");
        assert_eq!(read(&long), ["the line is longer than 1048576 bytes", "ok"]);
        let mut fits = vec![b'x'; LONGEST - 1];
        fits.push(b'\n');
        assert_eq!(read(&fits)[0].len(), LONGEST - 1);
    }
}
