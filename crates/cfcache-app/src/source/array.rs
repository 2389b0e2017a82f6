//! Reads the elements of a JSON array one at a time.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read};

use memchr::memchr;

use crate::source::lines::{LONGEST, Line};

/// Reads a JSON array of strings, and of objects if entries may be objects.
///
/// - It keeps one element in memory, of at most [`LONGEST`] bytes.
/// - A string is an entry like a line; an object is an entry without white space between its parts.
pub struct Array<R> {
    reader: BufReader<R>,
    takes_objects: bool,
    /// The last `[`, `,` or `]` outside of the elements; `None` before the array.
    mark: Option<u8>,
    /// The element, without white space outside of strings.
    element: Vec<u8>,
}

impl<R: Read> Array<R> {
    /// Creates a reader.
    pub fn new(reader: BufReader<R>, takes_objects: bool) -> Self {
        Self { reader, takes_objects, mark: None, element: Vec::new() }
    }

    /// Returns whether another element is available without waiting.
    pub fn has_more_at_hand(&self) -> bool {
        memchr(b',', self.reader.buffer()).is_some()
    }

    /// Returns the next element.
    pub fn next_line(&mut self) -> Line {
        match self.read_element() {
            Ok(true) => {}
            Ok(false) => return Line::End,
            Err(error) => return Line::Failed(error),
        }
        if self.element.len() > LONGEST {
            return Line::too_long("element", &self.element[..80]);
        }
        let invalid =
            |reason| Line::Invalid { given: String::from_utf8_lossy(&self.element).into_owned(), reason };
        match self.element.first() {
            Some(b'"') => match serde_json::from_slice::<String>(&self.element) {
                Ok(text) => Line::Entry(text.trim().into()),
                Err(error) => invalid(format!("the element is not valid JSON: {error}")),
            },
            Some(b'{') if self.takes_objects => match core::str::from_utf8(&self.element) {
                Ok(text) => Line::Entry(text.into()),
                Err(_) => invalid("the element is not UTF-8".to_owned()),
            },
            _ if self.takes_objects => {
                invalid("the element is neither a string nor an object with `url`".to_owned())
            }
            _ => invalid("the element is not a string".to_owned()),
        }
    }

    /// Reads the next element completely. Of an element that is too long, one byte more than allowed is kept.
    fn read_element(&mut self) -> Result<bool, Error> {
        self.element.clear();
        let (mut depth, mut is_in_string, mut is_escaped) = (0_usize, false, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return match self.mark {
                    Some(b']') => Ok(false),
                    _ => Err(Error::other("the JSON array has no end: a `]` is missing")),
                };
            }
            for (index, &byte) in buffer.iter().enumerate() {
                if is_in_string {
                    is_in_string = is_escaped || byte != b'"';
                    is_escaped = !is_escaped && byte == b'\\';
                } else {
                    let is_at_top = depth == 0;
                    match (byte, self.mark) {
                        (b' ' | b'\t' | b'\n' | b'\r', _) => continue,
                        (_, Some(b']')) => {
                            return Err(Error::other("there is text after the JSON array"));
                        }
                        (b'[', None) => {
                            self.mark = Some(byte);
                            continue;
                        }
                        (_, None) => return Err(Error::other("it is no JSON array")),
                        (b',' | b']', mark) if is_at_top => {
                            let is_empty = self.element.is_empty();
                            if is_empty && !(byte == b']' && mark == Some(b'[')) {
                                return Err(Error::other("an element is missing in the JSON array"));
                            }
                            self.mark = Some(byte);
                            self.reader.consume(index + 1);
                            if is_empty {
                                // Checks what follows the array.
                                return self.read_element();
                            }
                            return Ok(true);
                        }
                        (b'"', _) => is_in_string = true,
                        (b'{' | b'[', _) => depth += 1,
                        (b'}' | b']', _) => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                }
                if self.element.len() <= LONGEST {
                    self.element.push(byte);
                }
            }
            let read = buffer.len();
            self.reader.consume(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, takes_objects: bool) -> Vec<String> {
        let read_with = |capacity| {
            let mut array = Array::new(BufReader::with_capacity(capacity, json.as_bytes()), takes_objects);
            let mut seen = Vec::new();
            loop {
                seen.push(match array.next_line() {
                    Line::Entry(text) => text.to_string(),
                    Line::Nothing => "-".to_owned(),
                    Line::Invalid { given, reason } => format!("{given}: {reason}"),
                    Line::Failed(error) => {
                        seen.push(format!("! {error}"));
                        return seen;
                    }
                    Line::End => return seen,
                });
            }
        };
        let whole = read_with(1 << 16);
        for capacity in [1, 2, 5] {
            assert_eq!(read_with(capacity), whole);
        }
        whole
    }

    #[test]
    fn strings_and_objects_of_an_array_are_entries() {
        assert_eq!(read("[]", true), [""; 0]);
        assert_eq!(read(" [ ] \n", true), [""; 0]);
        assert_eq!(read(r#"["a", " b,]\"[ " ,"ü\n\u00fc"]"#, true), ["a", "b,]\"[", "ü\nü"]);
        assert_eq!(
            read("[\n  {\n    \"url\": \"a b\",\n    \"headers\": {\"X\": \"]}\"}\n  },\n  \"c\"\n]\n", true),
            [r#"{"url":"a b","headers":{"X":"]}"}}"#, "c"]
        );
    }

    #[test]
    fn invalid_elements_are_reported_and_skipped() {
        assert_eq!(
            read(r#"[1, null, ["a"], {"a":1}, "b" "c", "\x", "d"]"#, false),
            [
                "1: the element is not a string",
                "null: the element is not a string",
                "[\"a\"]: the element is not a string",
                "{\"a\":1}: the element is not a string",
                "\"b\"\"c\": the element is not valid JSON: trailing characters at line 1 column 4",
                "\"\\x\": the element is not valid JSON: invalid escape at line 1 column 3",
                "d",
            ]
        );
        let long = format!("[\"{}\", \"a\"]", "x".repeat(LONGEST + 5));
        assert!(read(&long, true)[0].ends_with("longer than 1048576 bytes"));
        assert_eq!(read(&long, true)[1], "a");
    }

    #[test]
    fn a_truncated_array_or_text_after_it_is_an_error() {
        for (json, expected) in [
            ("[\"a\"", "! the JSON array has no end: a `]` is missing"),
            ("[\"a\", \"b", "! the JSON array has no end: a `]` is missing"),
            ("[\"a\",]", "! an element is missing in the JSON array"),
            ("[,\"a\"]", "! an element is missing in the JSON array"),
            ("[\"a\"] x", "! there is text after the JSON array"),
            ("[\"a\"]\n[\"b\"]", "! there is text after the JSON array"),
            ("[]]", "! there is text after the JSON array"),
        ] {
            assert_eq!(read(json, true).last().map(String::as_str), Some(expected), "{json}");
        }
    }
}
