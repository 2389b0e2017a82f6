//! Reads the lines of a list, or its entries separated by NUL.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read};

use cfcache_model::SharedText;
use memchr::{memchr, memchr2, memrchr, memrchr2};

/// The maximum length of an entry in bytes: far above any URL, and a limit on memory.
pub const LONGEST: usize = 1 << 20;

/// The number of bytes of lines that share one allocation, unless a line is longer. It is large enough that allocations
/// cost little, and small enough that one long-lived entry does not keep much memory.
const BLOCK: usize = 1 << 12;

/// The end of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiter {
    /// LF, CRLF or CR. Surrounding blanks are removed, and lines that begin with `#` are comments.
    LineBreak,
    /// NUL. All bytes before it are the entry.
    Null,
}

/// Reads a list one entry at a time.
pub struct Lines<R> {
    reader: BufReader<R>,
    delimiter: Delimiter,
    /// Lines that were taken out of the reader's buffer together and are plain, without their ends.
    plain: VecDeque<SharedText>,
    /// Other lines that were taken out of it together, each with its end.
    block: SharedText,
    /// How many bytes of them were given out.
    given: usize,
    /// Whether the last line ended with a CR at the end of the buffer, so that a following LF belongs to it.
    is_after_cr: bool,
    /// A line that is in no block.
    line: Vec<u8>,
    /// Whether the rest of a line that is too long has not been read yet. The line is reported before, because it may
    /// have no end.
    is_in_long_line: bool,
}

/// A line of a list.
pub enum Line {
    /// An entry.
    Entry(SharedText),
    /// A blank line or a comment.
    Nothing,
    /// An invalid entry.
    Invalid {
        /// The text.
        given: String,
        /// The reason.
        reason: String,
    },
    /// A read error.
    Failed(Error),
    /// The end of the input.
    End,
}

impl<R: Read> Lines<R> {
    /// Reads lines.
    pub fn new(reader: BufReader<R>, delimiter: Delimiter) -> Self {
        Self {
            reader,
            delimiter,
            plain: VecDeque::new(),
            block: SharedText::from(""),
            given: 0,
            is_after_cr: false,
            line: Vec::new(),
            is_in_long_line: false,
        }
    }

    /// Returns whether another entry is available without waiting.
    pub fn has_more_at_hand(&self) -> bool {
        !self.plain.is_empty()
            || self.given < self.block.len()
            || (!self.is_in_long_line && self.delimiter.find(self.reader.buffer()).is_some())
    }

    /// The next lines, if they were taken out of the buffer together and are plain.
    pub(crate) fn plain(&mut self) -> &mut VecDeque<SharedText> {
        &mut self.plain
    }

    /// Returns the next line.
    pub fn next_line(&mut self) -> Line {
        match self.plain.pop_front() {
            Some(line) => Line::from_plain(line),
            None => self.next_other_line(),
        }
    }

    /// Returns the next line if no plain lines are left that were taken.
    #[inline(never)]
    fn next_other_line(&mut self) -> Line {
        if self.given == self.block.len() {
            if self.is_in_long_line || !self.take_block() {
                return self.read_line();
            }
            if let Some(line) = self.plain.pop_front() {
                return Line::from_plain(line);
            }
        }
        let rest = &self.block[self.given..];
        // A block ends with the end of a line.
        let length = self.delimiter.find(rest.as_bytes()).unwrap_or(rest.len());
        self.given += length + end_bytes(&rest.as_bytes()[length..]);
        let entry = self.delimiter.entry(&rest[..length]);
        if entry.is_empty() {
            return Line::Nothing;
        }
        let start = entry.as_ptr().addr() - self.block.as_ptr().addr();
        Line::Entry(self.block.part(start..start + entry.len()))
    }

    /// Takes whole lines from the buffer as a block. Returns `false` if there is none, or if the first line is not
    /// text.
    fn take_block(&mut self) -> bool {
        let buffer = self.reader.buffer();
        let last = self.delimiter.find_last(&buffer[..buffer.len().min(BLOCK)]);
        let Some(last) = last.or_else(|| self.delimiter.find(buffer)) else { return false };
        let end = last + end_bytes(&buffer[last..]);
        let text = match core::str::from_utf8(&buffer[..end]) {
            Ok(text) => text,
            Err(error) => {
                let text = core::str::from_utf8(&buffer[..error.valid_up_to()]).unwrap_or_default();
                let Some(last) = self.delimiter.find_last(text.as_bytes()) else { return false };
                &text[..last + end_bytes(&text.as_bytes()[last..])]
            }
        };
        let end = text.len();
        self.block = SharedText::from(text);
        let is_plain =
            self.delimiter == Delimiter::LineBreak && self.block.split_plain_lines(&mut self.plain);
        self.given = if is_plain { end } else { 0 };
        self.is_after_cr = text.ends_with('\r') && end == buffer.len();
        self.reader.consume(end);
        true
    }

    /// Reads a line that is in no block.
    fn read_line(&mut self) -> Line {
        if let Err(line) = self.fill_line() {
            return line;
        }
        match core::str::from_utf8(&self.line) {
            Ok(text) => match self.delimiter.entry(text) {
                "" => Line::Nothing,
                entry => Line::Entry(entry.into()),
            },
            Err(_)
                if self.delimiter == Delimiter::LineBreak
                    && self.line.trim_ascii_start().starts_with(b"#") =>
            {
                Line::Nothing
            }
            Err(error) => Line::Invalid {
                given: String::from_utf8_lossy(&self.line).into_owned(),
                reason: format!("the line is not UTF-8 (byte {})", error.valid_up_to() + 1),
            },
        }
    }

    /// Reads up to the end of a line, or until it is too long.
    fn fill_line(&mut self) -> Result<(), Line> {
        self.line.clear();
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
            let is_rest = self.is_in_long_line;
            if !is_rest {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + end_bytes(&buffer[part.len()..]);
            self.is_after_cr = buffer[part.len()..] == *b"\r";
            self.reader.consume(used);
            if self.line.len() > LONGEST {
                self.is_in_long_line = end.is_none();
                self.line.truncate(80);
                return Err(Line::too_long("line", &self.line));
            }
            if end.is_some() || is_end_of_input {
                self.is_in_long_line = false;
                if !is_rest {
                    return Ok(());
                }
            }
        }
    }
}

/// How many bytes the end of a line has with which these begin.
fn end_bytes(bytes: &[u8]) -> usize {
    match bytes {
        [] => 0,
        [b'\r', b'\n', ..] => 2,
        _ => 1,
    }
}

impl Line {
    /// A line that contains no CR, blank or NUL, and does not begin with `#`.
    fn from_plain(line: SharedText) -> Self {
        if line.is_empty() { Self::Nothing } else { Self::Entry(line) }
    }

    /// The error for an entry of which only the beginning was kept.
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

    fn find_last(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::LineBreak => memrchr2(b'\n', b'\r', bytes),
            Self::Null => memrchr(b'\0', bytes),
        }
    }

    /// Returns the entry of a line, or an empty text.
    fn entry(self, line: &str) -> &str {
        if self == Self::Null {
            return line;
        }
        // Most have no blanks around them.
        let is_bare = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_graphic);
        let bytes = line.as_bytes();
        let entry = if is_bare(bytes.first()) && is_bare(bytes.last()) { line } else { line.trim() };
        if entry.starts_with('#') { "" } else { entry }
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
                Line::Entry(text) => text.to_string(),
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
    fn surrounding_blanks_and_comments_are_removed() {
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

    /// Blocks with and without plain lines, of all ends of lines, give what the definition of a line says.
    #[test]
    fn plain_and_other_lines_of_one_block_are_read_alike() {
        let texts = ["https://www.example.com/a", "https://www.example.com/ü", " /./b ", "# c", "", "d e"];
        let ends = ["\n", "\r\n", "\r"];
        let lines = || texts.iter().flat_map(|text| ends.map(|end| (*text, end)));
        for ((first, first_end), (second, second_end)) in
            lines().flat_map(|one| lines().map(move |two| (one, two)))
        {
            for (third, third_end) in lines() {
                let list = [first, first_end, second, second_end, third, third_end].concat();
                let unified = list.replace("\r\n", "\n").replace('\r', "\n");
                let expected: Vec<String> = unified
                    .lines()
                    .map(|line| match line.trim() {
                        entry if entry.is_empty() || entry.starts_with('#') => "-".to_owned(),
                        entry => entry.to_owned(),
                    })
                    .collect();
                assert_eq!(read_as(list.as_bytes(), Delimiter::LineBreak, 1 << 16), expected, "{list:?}");
            }
        }
    }

    #[test]
    fn lines_are_whole_wherever_a_block_of_them_ends() {
        for length in BLOCK - 9..BLOCK + 2 {
            let first = "a".repeat(length);
            for end in ["\n", "\r\n", "\r"] {
                let list = format!("{first}{end}b{end}ü{end}{end}c");
                assert_reads(list.as_bytes(), Delimiter::LineBreak, &[&first, "b", "ü", "-", "c"]);
            }
        }
    }

    #[test]
    fn entries_separated_by_nul_are_unchanged() {
        assert_reads(b" a\r\n\0#b\0\0c\n", Delimiter::Null, &[" a\r\n", "#b", "-", "c\n"]);
    }

    #[test]
    fn invalid_lines_are_reported_and_skipped() {
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
            // Nothing of its rest is an entry, wherever the input ends.
            for rest in [&[][..], b"x", &[b'x', end]] {
                let long = [&[b'x'; LONGEST + 1], rest].concat();
                assert_eq!(read_as(&long, delimiter, 1 << 16).len(), 1, "{rest:?}");
            }
            let endless = BufReader::new(std::io::repeat(b'x'));
            assert!(matches!(Lines::new(endless, delimiter).next_line(), Line::Invalid { .. }));
            let mut fits = vec![b'x'; LONGEST];
            fits.push(end);
            assert_eq!(read_as(&fits, delimiter, 7)[0].len(), LONGEST);
        }
    }
}
