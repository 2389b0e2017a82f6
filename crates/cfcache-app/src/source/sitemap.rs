//! Reads the addresses in a sitemap, or in the sitemaps that an index lists.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Error, Read, Take};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cfcache_model::text::{CLIP_CHARS, clip, quote};
use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use crate::secret::path_name;
use crate::source::head::{self, Format};
use crate::source::lines::{LONGEST, Line};

/// The maximum nesting of indexes. The protocol has one level (<https://www.sitemaps.org/protocol.html>).
const MAX_DEPTH: usize = 3;

/// The maximum number of sitemaps in an index, as in the protocol.
const MAX_FILES: usize = 50_000;

/// The maximum uncompressed size of a sitemap: several times what the protocol allows, and a limit for decompression
/// bombs.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The maximum length of `<lastmod>`: several times that of a date and time.
const LONGEST_DATE: usize = 256;

/// The maximum size of a part of a file that is kept in memory: between two tags, or a comment.
const MAX_EVENT_BYTES: u64 = 4 << 20;

/// Reads the `<loc>` of each `<url>`, and continues with the files of a sitemap index.
pub struct Sitemap<'r> {
    /// The file that is being read, after the indexes that list it.
    open: Vec<Document<'r>>,
    /// The files that were read, with the address that each was listed with.
    files: BTreeMap<PathBuf, String>,
    /// The folder of the files of an index; `None` for standard input.
    folder: Option<PathBuf>,
    /// Whether the `<lastmod>` of each page is read.
    has_dates: bool,
    /// The name of the file of the last line.
    name: Rc<str>,
    /// The number of the last line in its file.
    number: u64,
    buffer: Vec<u8>,
}

/// A sitemap or an index that is being read.
struct Document<'r> {
    name: Rc<str>,
    /// Its limit is set before each event.
    reader: Reader<Take<BufReader<Box<dyn Read + 'r>>>>,
    has_root: bool,
    is_index: bool,
    depth: usize,
    /// The prefix of the current `<url>` or `<sitemap>`, such as `sm:`.
    entry: Option<String>,
    has_address: bool,
    is_in_address: bool,
    has_dates: bool,
    is_in_date: bool,
    /// The number of `<url>` and `<sitemap>` elements so far.
    entries: u64,
    /// The `<loc>` of the last one.
    address: String,
    /// The `<lastmod>` of the last one, if it is read; empty if there is none.
    lastmod: String,
}

impl<'r> Sitemap<'r> {
    /// Opens a file. The files of an index are in the same folder as `path`.
    pub fn new(name: &str, path: Option<&Path>, reader: impl Read + 'r) -> Result<Self, Error> {
        let folder = path.map(|path| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        });
        let files = path.map(|path| (path.to_owned(), String::new())).into_iter().collect();
        let open = vec![Document::new(name, reader)?];
        let name = Rc::from("");
        Ok(Self { open, files, folder, has_dates: false, name, number: 0, buffer: Vec::new() })
    }

    /// Also reads the `<lastmod>` of each page.
    pub fn with_dates(mut self) -> Self {
        self.has_dates = true;
        self.open.iter_mut().for_each(|document| document.has_dates = true);
        self
    }

    /// Returns whether more is available without waiting.
    pub fn has_more_at_hand(&self) -> bool {
        let buffer =
            self.open.last().map_or(&[][..], |document| document.reader.get_ref().get_ref().buffer());
        memchr::memmem::find(buffer, b"loc>").is_some()
    }

    /// Returns the name of the file of the last line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the last line in its file, counted from 1.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the `<lastmod>` of the page of the last line, if it is read.
    pub fn lastmod(&self) -> Option<&str> {
        let lastmod = self.open.last().map(|document| document.lastmod.trim());
        lastmod.filter(|date| !date.is_empty())
    }

    /// Returns the next address.
    pub fn next_line(&mut self) -> Line {
        while let Some(document) = self.open.last_mut() {
            let read = document.next_line(&mut self.buffer);
            (self.name, self.number) = (Rc::clone(&document.name), document.entries);
            match read {
                Ok(Line::Nothing) => {
                    if let Err(error) = self.open_child() {
                        return Line::Failed(error);
                    }
                }
                Ok(Line::End) => drop(self.open.pop()),
                Ok(line) => return line,
                Err(error) => return Line::Failed(error),
            }
        }
        Line::End
    }

    /// Opens the file that an index lists with the address that was read last.
    fn open_child(&mut self) -> Result<(), Error> {
        let Some(index) = self.open.last() else { return Ok(()) };
        let address = index.address.trim();
        let path = self.child(address).map_err(Error::other)?;
        match self.files.get(&path) {
            Some(known) if known == address => return Ok(()),
            Some(_) => {
                return Err(Error::other(format!(
                    "two addresses of the index belong to the same file, `{}`",
                    path.display()
                )));
            }
            None => {}
        }
        if self.open.len() > MAX_DEPTH {
            return Err(Error::other(format!("indexes list indexes more than {MAX_DEPTH} deep")));
        }
        if self.files.len() > MAX_FILES {
            return Err(Error::other(format!("the index lists more than {MAX_FILES} sitemaps")));
        }
        let name = path_name(&path);
        let child = File::open(&path).and_then(|file| Document::new(&name, file));
        let mut child = child.map_err(|error| Error::other(format!("`{name}`: {error}")))?;
        child.has_dates = self.has_dates;
        self.files.insert(path, address.to_owned());
        self.open.push(child);
        Ok(())
    }

    /// Returns the file of an address: its path below the index's folder, or its last part in that folder.
    fn child(&self, address: &str) -> Result<PathBuf, String> {
        let Some(folder) = &self.folder else {
            return Err("an index from standard input has no files beside it: give it as a file".to_owned());
        };
        let no_file = || format!("{} is not the name of a file beside the index", quote(address));
        let (_, rest) = address.split_once("://").ok_or_else(no_file)?;
        let (_, path) = rest.split_once('/').ok_or_else(no_file)?;
        let path = path.split(['?', '#']).next().unwrap_or_default();
        // Nothing may lead out of the folder: neither `..`, nor what another system interprets as a path.
        let is_name =
            |segment: &&str| !matches!(*segment, "." | "..") && !segment.contains(['\\', ':', '\0', '%']);
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let last = segments.last().ok_or_else(no_file)?;
        if !segments.iter().all(is_name) {
            return Err(no_file());
        }
        let mut below = folder.clone();
        below.extend(&segments);
        let beside = folder.join(last);
        match [below, beside.clone()].into_iter().find(|path| path.is_file()) {
            Some(path) => Ok(path),
            None => Err(format!(
                "the index lists {}, but there is no file `{}`; the sitemaps of an index must be files beside it",
                quote(address),
                beside.display()
            )),
        }
    }
}

impl<'r> Document<'r> {
    fn new(name: &str, reader: impl Read + 'r) -> Result<Self, Error> {
        let (format, reader) = head::look(reader)?;
        let reader: Box<dyn Read + 'r> = match format {
            Format::Gzip => {
                let (format, unpacked) = head::look(MultiGzDecoder::new(reader))?;
                match format {
                    Format::Gzip => return Err(Error::other("it is compressed twice")),
                    Format::Utf16 => return Err(utf16()),
                    Format::Text | Format::Array => Box::new(unpacked),
                }
            }
            Format::Utf16 => return Err(utf16()),
            Format::Text | Format::Array => Box::new(reader),
        };
        Ok(Self {
            name: Rc::from(name),
            reader: Reader::from_reader(BufReader::with_capacity(1 << 16, reader).take(0)),
            has_root: false,
            is_index: false,
            depth: 0,
            entry: None,
            has_address: false,
            is_in_address: false,
            has_dates: false,
            is_in_date: false,
            entries: 0,
            address: String::new(),
            lastmod: String::new(),
        })
    }

    /// Reads up to the next address; returns [`Line::Nothing`] if it is that of a file, which an index lists.
    fn next_line(&mut self, buffer: &mut Vec<u8>) -> Result<Line, Error> {
        let mut invalid: Option<String> = None;
        loop {
            buffer.clear();
            let position = self.reader.buffer_position();
            if position > MAX_FILE_BYTES {
                return Err(Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes, unpacked")));
            }
            self.reader.get_mut().set_limit(MAX_EVENT_BYTES + 1);
            let event = self.reader.read_event_into(buffer);
            // The reader took the end of the limit for that of the file.
            if self.reader.get_ref().limit() == 0 {
                return Err(Error::other(format!(
                    "there are more than {MAX_EVENT_BYTES} bytes without a tag"
                )));
            }
            let event = event.map_err(|error| match error {
                quick_xml::Error::Io(error) => Error::other(error.to_string()),
                error => {
                    // The error quotes the document.
                    let error = clip(&error.to_string(), CLIP_CHARS);
                    Error::other(format!("it is not well-formed XML ({error}, behind byte {position})"))
                }
            })?;
            match event {
                Event::Start(element) => {
                    self.begin(&element, &mut invalid)?;
                    self.depth += 1;
                }
                Event::Empty(element) => {
                    self.begin(&element, &mut invalid)?;
                    self.depth += 1;
                    if let Some(line) = self.end(&mut invalid) {
                        return Ok(line);
                    }
                }
                Event::End(_) => {
                    if let Some(line) = self.end(&mut invalid) {
                        return Ok(line);
                    }
                }
                Event::Text(text) if self.is_in_address => self.address.push_str(&text),
                Event::CData(text) if self.is_in_address => self.address.push_str(&text),
                Event::Text(text) if self.is_in_date => self.lastmod.push_str(&text),
                Event::CData(text) if self.is_in_date => self.lastmod.push_str(&text),
                Event::GeneralRef(entity) if self.is_in_address => match entity.resolve_char_ref() {
                    Ok(Some(char)) => self.address.push(char),
                    Ok(None) => match resolve_predefined_entity(&entity) {
                        Some(text) => self.address.push_str(text),
                        None => {
                            let name = clip(&entity, 40);
                            self.address.push_str(&format!("&{name};"));
                            invalid.get_or_insert(format!("the entity `&{name};` is not one of XML"));
                        }
                    },
                    Err(error) => {
                        invalid.get_or_insert(clip(&error.to_string(), CLIP_CHARS));
                    }
                },
                Event::Text(text) if self.depth == 0 && !text.trim().is_empty() => {
                    return Err(Error::other(no_sitemap("it is not XML", self.has_dates)));
                }
                Event::Eof if self.depth > 0 => {
                    return Err(Error::other("the XML is cut off: end tags are missing"));
                }
                Event::Eof if !self.has_root => {
                    return Err(Error::other(no_sitemap("there is no element in it", self.has_dates)));
                }
                Event::Eof => return Ok(Line::End),
                _ => {}
            }
            if self.address.len() > LONGEST {
                self.address.truncate(self.address.floor_char_boundary(80));
                invalid.get_or_insert(format!("the address is longer than {LONGEST} bytes"));
            }
            if self.lastmod.len() > LONGEST_DATE {
                self.lastmod.truncate(self.lastmod.floor_char_boundary(80));
                invalid.get_or_insert(format!("the `<lastmod>` is longer than {LONGEST_DATE} bytes"));
            }
        }
    }

    fn begin(&mut self, element: &BytesStart<'_>, invalid: &mut Option<String>) -> Result<(), Error> {
        let (name, local) = (element.name(), element.local_name());
        let (name, local): (&str, &str) = (name.as_ref(), local.as_ref());
        match self.depth {
            0 => match local {
                "urlset" | "sitemapindex" => {
                    (self.has_root, self.is_index) = (true, local == "sitemapindex");
                }
                other => {
                    let what = format!("its outermost element is `<{}>`", clip(other, 40));
                    return Err(Error::other(no_sitemap(&what, self.has_dates)));
                }
            },
            1 if local == if self.is_index { "sitemap" } else { "url" } => {
                self.entries += 1;
                self.has_address = false;
                self.lastmod.clear();
                self.entry = Some(name[..name.len() - local.len()].to_owned());
            }
            // Extensions have a `<loc>` as well (`<image:loc>`), in their own namespace.
            2 if local == "loc" && self.entry.as_deref() == Some(&name[..name.len() - local.len()]) => {
                if self.has_address {
                    invalid.get_or_insert("there is a second `<loc>` in it".to_owned());
                }
                (self.has_address, self.is_in_address) = (true, true);
                self.address.clear();
            }
            2 if self.has_dates
                && local == "lastmod"
                && self.entry.as_deref() == Some(&name[..name.len() - local.len()]) =>
            {
                self.is_in_date = true;
                self.lastmod.clear();
            }
            _ if self.is_in_address => {
                invalid.get_or_insert(format!("there is `<{}>` in its `<loc>`", clip(name, 40)));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, invalid: &mut Option<String>) -> Option<Line> {
        self.depth = self.depth.saturating_sub(1);
        // The date may come before or after the address.
        let waits_for_date = self.has_dates && !self.is_index;
        match self.depth {
            2 if core::mem::take(&mut self.is_in_date) => None,
            2 if core::mem::take(&mut self.is_in_address) && !waits_for_date => Some(self.line(invalid)),
            1 if self.entry.take().is_some() => {
                if !self.has_address {
                    let reason = "there is no `<loc>` in it".to_owned();
                    return Some(Line::Invalid { given: String::new(), reason });
                }
                waits_for_date.then(|| self.line(invalid))
            }
            _ => None,
        }
    }

    /// The address that was read last.
    fn line(&self, invalid: &mut Option<String>) -> Line {
        let address = self.address.trim();
        match invalid.take() {
            Some(reason) => Line::Invalid { given: clip(address, 80), reason },
            None if self.is_index => Line::Nothing,
            None => Line::Entry(address.into()),
        }
    }
}

fn utf16() -> Error {
    Error::other("it is UTF-16: save it as UTF-8")
}

fn no_sitemap(why: &str, has_dates: bool) -> String {
    // If dates are needed, a list of URLs would not help.
    let other = if has_dates { "" } else { " (`--from` reads a list)" };
    format!("{why}, so it is not a sitemap{other}")
}
