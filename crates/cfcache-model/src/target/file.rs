//! A single file: a URL and the headers of its cache key.

use alloc::borrow::{Cow, ToOwned};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use serde::ser::SerializeSeq;

use crate::InvalidInput;
use crate::pairs::pairs;
use crate::shared_text::SharedText;
use crate::target::{CacheKeyHeader, PurgeUrl, TargetKind, Warning, header, json_string_bytes};
use crate::text::{clip, quote};

/// A single cached file: its URL, and the headers of its cache key, if any.
///
/// - No header is repeated; names are case-insensitive.
/// - A file without headers is encoded as a string, `"https://…"`; one with headers as `{"url":…,"headers":{…}}`. The
///   API's schema does not allow both forms in one body, so a batch with one such file contains only objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct File {
    url: PurgeUrl,
    headers: Box<[CacheKeyHeader]>,
}

impl File {
    /// Parses an entry of a list: a URL, or `{"url": "…", "headers": {"CF-Device-Type": "mobile"}}`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`], which says what is wrong with the URL, the JSON or a header.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        if is_object(text) { Self::parse_object(text) } else { Ok(Self::from(PurgeUrl::parse(text)?)) }
    }

    /// Parses an entry of a list as [`parse`](Self::parse) does, and shares the text of a URL instead of copying it.
    ///
    /// # Errors
    ///
    /// As with [`parse`](Self::parse).
    #[inline]
    pub fn parse_shared(text: &SharedText) -> Result<Self, InvalidInput> {
        if is_object(text) { Self::parse_object(text) } else { Ok(Self::from(PurgeUrl::parse_shared(text)?)) }
    }

    fn parse_object(text: &str) -> Result<Self, InvalidInput> {
        let object: RawObject = serde_json::from_str(text).map_err(|error| {
            invalid_json(alloc::format!(
                "{} is not an entry in JSON: {}",
                quote(text),
                describe(&error, text)
            ))
        })?;
        Self::from_object(object, text)
    }

    /// Validates the parts of an object; errors show `found`.
    pub(crate) fn from_object(object: RawObject, found: &str) -> Result<Self, InvalidInput> {
        let url = object
            .url
            .ok_or_else(|| invalid_json(alloc::format!("there is no `url` in {}", quote(found))))?;
        let mut file = Self::from(PurgeUrl::parse(&url)?);
        for (name, value) in object.headers {
            file = file.with_header(CacheKeyHeader::new(&name, &value)?)?;
        }
        Ok(file)
    }

    /// Adds a header to the cache key.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] if there is already one with that name.
    pub fn with_header(mut self, header: CacheKeyHeader) -> Result<Self, InvalidInput> {
        if self.headers.iter().any(|have| have.is(header.name())) {
            let name = quote(header.name());
            return Err(InvalidInput::new(alloc::format!("the header {name} is given twice")));
        }
        let mut headers = Vec::from(self.headers);
        headers.push(header);
        self.headers = headers.into();
        Ok(self)
    }

    /// Adds each of `headers` whose name is not present yet.
    #[must_use]
    pub fn with_default_headers(mut self, headers: &[CacheKeyHeader]) -> Self {
        let own = &self.headers;
        let is_missing = |header: &&CacheKeyHeader| !own.iter().any(|have| have.is(header.name()));
        let missing: Vec<CacheKeyHeader> = headers.iter().filter(is_missing).cloned().collect();
        if !missing.is_empty() {
            self.headers = own.iter().cloned().chain(missing).collect();
        }
        self
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &PurgeUrl {
        &self.url
    }

    /// The key of a file with headers.
    #[cold]
    fn key_with_headers(&self) -> SharedText {
        // The order of the headers and the case of their names make no difference.
        let mut headers: Vec<(String, &str)> =
            self.headers.iter().map(|header| (header.name().to_ascii_lowercase(), header.value())).collect();
        headers.sort_unstable();
        let mut key = self.url.as_str().to_owned();
        for (name, value) in headers {
            // Neither a URL nor a header has a line break, so that these cannot run into each other.
            key.extend(["\n", &name, "\n", value]);
        }
        key.into()
    }

    /// The headers of its cache key, in the given order.
    #[must_use]
    pub fn headers(&self) -> &[CacheKeyHeader] {
        &self.headers
    }
}

/// Returns whether an entry starts like a JSON object.
#[inline]
fn is_object(text: &str) -> bool {
    // Leading blanks are rare.
    let is_bare = text.as_bytes().first().is_some_and(u8::is_ascii_graphic);
    let begin = if is_bare { text } else { text.trim_start() };
    begin.starts_with('{')
}

impl From<PurgeUrl> for File {
    #[inline]
    fn from(url: PurgeUrl) -> Self {
        Self { url, headers: Box::default() }
    }
}

impl fmt::Display for File {
    /// Formats the URL, or the JSON entry if there are headers, so that [`File::parse`] can read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl TargetKind for File {
    const FIELD: &'static str = "files";
    const WORD: &'static str = "urls";
    const NOUN: &'static str = "URL";

    fn text(&self) -> Cow<'_, str> {
        if self.headers.is_empty() {
            Cow::Borrowed(self.url.as_str())
        } else {
            Cow::Owned(serde_json::to_string(&WrittenObject::new(self)).unwrap_or_default())
        }
    }

    #[inline]
    fn string_bytes(&self) -> usize {
        if self.url.needs_escape() {
            json_string_bytes(self.url.as_str())
        } else {
            self.url.shared().len() + r#""""#.len()
        }
    }

    #[inline]
    fn header_bytes(&self) -> usize {
        // Nearly no file has headers.
        if self.headers.is_empty() { 0 } else { header_bytes(&self.headers) }
    }

    fn write<S: SerializeSeq>(&self, objects: bool, sequence: &mut S) -> Result<(), S::Error> {
        if objects {
            sequence.serialize_element(&WrittenObject::new(self))
        } else {
            sequence.serialize_element(self.url.as_str())
        }
    }

    #[inline]
    fn key(&self) -> SharedText {
        if self.headers.is_empty() { self.url.shared().clone() } else { self.key_with_headers() }
    }

    fn unescaped(&self) -> Option<&str> {
        (self.headers.is_empty() && !self.url.needs_escape()).then(|| self.url.as_str())
    }

    fn is_plain(&self) -> bool {
        self.headers.is_empty() && self.url.is_plain()
    }

    fn needs_object(&self) -> bool {
        !self.headers.is_empty()
    }

    fn warnings(&self, warn: &mut dyn FnMut(Warning)) {
        self.url.warnings(warn);
        for header in &self.headers {
            header.warnings(warn);
        }
    }
}

/// The number of bytes of headers in an object.
#[cold]
fn header_bytes(headers: &[CacheKeyHeader]) -> usize {
    let of_one = |header: &CacheKeyHeader| {
        json_string_bytes(header.name()) + ":".len() + json_string_bytes(header.value()) + ",".len()
    };
    // There is no comma after the last.
    r#","headers":{}"#.len() + headers.iter().map(of_one).sum::<usize>() - ",".len()
}

#[derive(Serialize)]
struct WrittenObject<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "header::serialize")]
    headers: &'a [CacheKeyHeader],
}

impl<'a> WrittenObject<'a> {
    fn new(file: &'a File) -> Self {
        Self { url: file.url.as_str(), headers: &file.headers }
    }
}

/// A file in JSON, before its parts are validated.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawObject {
    url: Option<String>,
    #[serde(default, deserialize_with = "pairs")]
    headers: Vec<(String, String)>,
}

fn invalid_json(message: String) -> InvalidInput {
    let cure = r#"an entry in JSON is written {"url": "https://…", "headers": {"NAME": "VALUE"}}"#;
    InvalidInput::new(message).with_cure(Some(cure.to_owned()))
}

/// The message of `serde_json` about `json`, with the position in characters, because a list has its own lines.
fn describe(error: &serde_json::Error, json: &str) -> String {
    let text = alloc::format!("{error}");
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    let lines_before = json.split_inclusive('\n').take(error.line().saturating_sub(1));
    let bytes_before: usize = lines_before.map(str::len).sum::<usize>() + error.column();
    let at = json.char_indices().take_while(|(index, _)| *index < bytes_before).count();
    alloc::format!("{} (at character {at})", clip(reason, 200))
}
