//! The lines of a list, or its entries between NUL characters.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read};

use memchr::{memchr, memchr2};

/// The longest entry that is read, in bytes: far above any URL, and a bound on memory.
pub const LONGEST: usize = 1 << 20;

/// What ends an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// LF, CRLF or CR. Blanks around an entry are no part of it, and a line that begins with `#` is a comment.
    LineBreak,
    /// NUL. An entry is every byte before it.
    Null,
}

/// Reads a list entry by entry.
pub struct Lines<R> {
    reader: BufReader<R>,
    delimiter: Delimiter,
    /// How many bytes of the reader's buffer are the line that was given out last.
    given: usize,
    /// Where in the buffer the line after it ends, where that was looked for.
    end: Option<usize>,
    /// Whether the last line ended in CR at the end of the buffer: an LF that follows belongs to it.
    is_after_cr: bool,
    /// A line that was not whole in the buffer.
    line: Vec<u8>,
}

/// A line of a list.
pub enum Line<'a> {
    /// An entry.
    Entry(&'a str),
    /// Blank, or a comment.
    Nothing,
    /// No entry can be made of it.
    Invalid {
        /// What it holds.
        given: String,
        /// Why it is invalid.
        reason: String,
    },
    /// It could not be read.
    Failed(Error),
    /// There are no more.
    End,
}

impl<R: Read> Lines<R> {
    /// Reads lines.
    pub fn new(reader: BufReader<R>, delimiter: Delimiter) -> Self {
        Self { reader, delimiter, given: 0, end: None, is_after_cr: false, line: Vec::new() }
    }

    /// Whether there is another entry that can be had without waiting.
    pub fn has_more_at_hand(&mut self) -> bool {
        self.end = self.delimiter.find(&self.reader.buffer()[self.given..]);
        self.end.is_some()
    }

    /// Returns the next line.
    pub fn next_line(&mut self) -> Line<'_> {
        self.reader.consume(core::mem::take(&mut self.given));
        let end = match self.end.take() {
            None if !self.is_after_cr => self.delimiter.find(self.reader.buffer()),
            end => end,
        };
        let line = match end {
            // Most lines are whole in the buffer, and need not be copied.
            Some(end) => {
                let buffer = self.reader.buffer();
                self.given = end + 1;
                if buffer[end] == b'\r' {
                    match buffer.get(end + 1) {
                        Some(b'\n') => self.given += 1,
                        Some(_) => {}
                        None => self.is_after_cr = true,
                    }
                }
                &self.reader.buffer()[..end]
            }
            None => match self.read_on() {
                Ok(()) => self.line.as_slice(),
                Err(line) => return line,
            },
        };
        match (core::str::from_utf8(line), self.delimiter) {
            (Ok(""), Delimiter::Null) => Line::Nothing,
            (Ok(text), Delimiter::Null) => Line::Entry(text),
            (Ok(text), Delimiter::LineBreak) => match trim(text) {
                text if text.is_empty() || text.starts_with('#') => Line::Nothing,
                text => Line::Entry(text),
            },
            (Err(_), Delimiter::LineBreak) if line.trim_ascii_start().starts_with(b"#") => Line::Nothing,
            (Err(error), _) => Line::Invalid {
                given: String::from_utf8_lossy(line).into_owned(),
                reason: format!("the line is not UTF-8 (byte {})", error.valid_up_to() + 1),
            },
        }
    }

    /// Reads a line that is not whole in the buffer.
    fn read_on(&mut self) -> Result<(), Line<'static>> {
        self.line.clear();
        let mut is_too_long = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Line::Failed(error)),
            };
            if core::mem::take(&mut self.is_after_cr) && buffer.first() == Some(&b'\n') {
                self.reader.consume(1);
                continue;
            }
            let is_end_of_input = buffer.is_empty();
            if is_end_of_input && self.line.is_empty() {
                return Err(Line::End);
            }
            let end = self.delimiter.find(buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            if !is_too_long {
                self.line.extend_from_slice(part);
            }
            let mut used = part.len();
            if let Some(end) = end {
                used += 1;
                if buffer[end] == b'\r' {
                    match buffer.get(end + 1) {
                        Some(b'\n') => used += 1,
                        Some(_) => {}
                        None => self.is_after_cr = true,
                    }
                }
            }
            self.reader.consume(used);
            if self.line.len() > LONGEST {
                is_too_long = true;
                self.line.truncate(80);
            }
            if end.is_some() || is_end_of_input {
                return if is_too_long { Err(Line::too_long("line", &self.line)) } else { Ok(()) };
            }
        }
    }
}

/// A line without the blanks around it, of which most have none.
fn trim(line: &str) -> &str {
    let is_bare = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
    let bytes = line.as_bytes();
    if is_bare(bytes.first()) && is_bare(bytes.last()) { line } else { line.trim() }
}

impl Line<'_> {
    /// An entry of which only the beginning was kept.
    pub fn too_long(noun: &str, beginning: &[u8]) -> Self {
        Self::Invalid {
            given: String::from_utf8_lossy(beginning).into_owned(),
            reason: format!("the {noun} is longer than {LONGEST} bytes"),
        }
    }
}

impl Delimiter {
    fn find(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::LineBreak => memchr2(b'\n', b'\r', bytes),
            Self::Null => memchr(b'\0', bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(bytes: &[u8], delimiter: Delimiter, capacity: usize) -> Vec<String> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, bytes), delimiter);
        let mut seen = Vec::new();
        loop {
            seen.push(match lines.next_line() {
                Line::Entry(text) => text.to_owned(),
                Line::Nothing => "-".to_owned(),
                Line::Invalid { reason, .. } => reason,
                Line::Failed(error) => error.to_string(),
                Line::End => return seen,
            });
            lines.has_more_at_hand();
        }
    }

    #[track_caller]
    fn assert_reads(bytes: &[u8], delimiter: Delimiter, expected: &[&str]) {
        for capacity in [1, 2, 3, 7, 1 << 16] {
            assert_eq!(read_as(bytes, delimiter, capacity), expected, "capacity {capacity}");
        }
    }

    #[test]
    fn lines_are_entries_without_the_blanks_around_them() {
        assert_reads(
            b"a\r\n b \n\n  \n#c\n #d\n\te\xC2\xA0\nlast",
            Delimiter::LineBreak,
            &["a", "b", "-", "-", "-", "-", "e", "last"],
        );
        assert_reads(b"", Delimiter::LineBreak, &[]);
        assert_reads(b"\n", Delimiter::LineBreak, &["-"]);
        assert_reads(b"a,b;c d\n", Delimiter::LineBreak, &["a,b;c d"]);
        assert_reads(b"a\0b\n", Delimiter::LineBreak, &["a\0b"]);
    }

    #[test]
    fn cr_lf_and_crlf_end_a_line() {
        assert_reads(b"a\rb\rc", Delimiter::LineBreak, &["a", "b", "c"]);
        assert_reads(b"a\r\rb\r\n\r\nc\n\rd\r", Delimiter::LineBreak, &["a", "-", "b", "-", "c", "-", "d"]);
    }

    #[test]
    fn entries_between_nulls_are_taken_byte_for_byte() {
        assert_reads(b" a\r\n\0#b\0\0c\n", Delimiter::Null, &[" a\r\n", "#b", "-", "c\n"]);
    }

    #[test]
    fn rubbish_is_named_and_passed_over() {
        assert_reads(
            b"ok\nab\xFFc\n# \xFF\nok",
            Delimiter::LineBreak,
            &["ok", "the line is not UTF-8 (byte 3)", "-", "ok"],
        );
        for delimiter in [Delimiter::LineBreak, Delimiter::Null] {
            let end = if delimiter == Delimiter::Null { 0 } else { b'\n' };
            let mut long = vec![b'x'; LONGEST + 5];
            long.extend([end, b'o', b'k', end]);
            assert_eq!(read_as(&long, delimiter, 7), ["the line is longer than 1048576 bytes", "ok"]);
            let mut fits = vec![b'x'; LONGEST];
            fits.push(end);
            assert_eq!(read_as(&fits, delimiter, 7)[0].len(), LONGEST);
        }
    }
}
