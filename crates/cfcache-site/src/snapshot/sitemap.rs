//! Sitemaps: pages and when they changed last.

use std::collections::BTreeMap;
use std::io::BufRead;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::mapping::Site;
use crate::snapshot::{Entry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

/// The most bytes of a sitemap. The protocol allows 50 MB: <https://www.sitemaps.org/protocol.html>.
pub const MAX_BYTES: u64 = 256 << 20;

/// What a sitemap or an index of sitemaps names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `<url>`: a page.
    Page {
        /// Its URL.
        loc: String,
        /// When it changed last, as it stands there.
        lastmod: Option<String>,
    },
    /// `<sitemap>`: another sitemap.
    Sitemap {
        /// Its URL.
        loc: String,
    },
}

/// Reads a sitemap or an index of them.
///
/// Blanks around a value are dropped; entities, character references and CDATA are read as XML has them.
///
/// # Errors
///
/// [`InvalidSitemap`] where it is no well-formed sitemap, and whatever `visit` fails with.
pub fn read(
    reader: impl BufRead,
    visit: &mut dyn FnMut(Location) -> Result<(), InvalidSitemap>,
) -> Result<(), InvalidSitemap> {
    let mut reader = Reader::from_reader(reader.take(MAX_BYTES));
    let mut buffer = Vec::new();
    let mut parser = SitemapParser::default();
    loop {
        buffer.clear();
        let at = reader.buffer_position();
        let xml = |error: &dyn core::fmt::Display| InvalidSitemap::Xml { at, reason: error.to_string() };
        if at >= MAX_BYTES {
            return Err(InvalidSitemap::Long);
        }
        match reader.read_event_into(&mut buffer).map_err(|error| xml(&error))? {
            Event::Start(tag) => parser.open(tag.local_name().as_ref())?,
            Event::Empty(tag) => {
                parser.open(tag.local_name().as_ref())?;
                parser.close(visit)?;
            }
            Event::End(_) => parser.close(visit)?,
            Event::Text(text) => parser.text(&text.xml10_content()),
            Event::CData(text) => parser.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                match reference.resolve_char_ref().map_err(|error| xml(&error))? {
                    Some(char) => parser.text(char.encode_utf8(&mut [0; 4])),
                    None => match quick_xml::escape::resolve_predefined_entity(&reference) {
                        Some(text) => parser.text(text),
                        None => {
                            return Err(xml(&format!(
                                "the entity `&{};` is not one of XML's own",
                                &*reference
                            )));
                        }
                    },
                }
            }
            Event::Eof if parser.open.is_empty() && parser.has_root => return Ok(()),
            Event::Eof if parser.has_root => return Err(xml(&"it ends in the middle")),
            Event::Eof => return Err(InvalidSitemap::Root { found: "nothing".to_owned() }),
            _ => {}
        }
    }
}

/// Where in a sitemap the reader is, and what it has of the entry that it is in.
#[derive(Default)]
struct SitemapParser {
    has_root: bool,
    open: Vec<Tag>,
    loc: String,
    lastmod: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    UrlSet,
    SitemapIndex,
    Url,
    Sitemap,
    Loc,
    Lastmod,
    Other,
}

impl SitemapParser {
    fn open(&mut self, name: &str) -> Result<(), InvalidSitemap> {
        let tag = match (self.open.as_slice(), name) {
            ([], "urlset") => Tag::UrlSet,
            ([], "sitemapindex") => Tag::SitemapIndex,
            ([], _) => {
                return Err(InvalidSitemap::Root { found: format!("<{}>", crate::clip(name.as_bytes())) });
            }
            ([Tag::UrlSet], "url") => Tag::Url,
            ([Tag::SitemapIndex], "sitemap") => Tag::Sitemap,
            // `<image:loc>` is deeper, and is no page.
            ([_, Tag::Url | Tag::Sitemap], "loc") => Tag::Loc,
            ([_, Tag::Url], "lastmod") => Tag::Lastmod,
            _ => Tag::Other,
        };
        if matches!(tag, Tag::Url | Tag::Sitemap) {
            self.loc.clear();
            self.lastmod.clear();
        }
        self.has_root = true;
        self.open.push(tag);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        match self.open.last() {
            Some(Tag::Loc) => self.loc.push_str(text),
            Some(Tag::Lastmod) => self.lastmod.push_str(text),
            _ => {}
        }
    }

    fn close(
        &mut self,
        visit: &mut dyn FnMut(Location) -> Result<(), InvalidSitemap>,
    ) -> Result<(), InvalidSitemap> {
        let Some(tag @ (Tag::Url | Tag::Sitemap)) = self.open.pop() else { return Ok(()) };
        let loc = self.loc.trim().to_owned();
        if loc.is_empty() {
            return Err(InvalidSitemap::NoLoc);
        }
        let lastmod = Some(self.lastmod.trim()).filter(|text| !text.is_empty());
        visit(match tag {
            Tag::Sitemap => Location::Sitemap { loc },
            _ => Location::Page { loc, lastmod: lastmod.map(str::to_owned) },
        })
    }
}

/// Collects the pages of sitemaps as the files that they are probably made of: `/blog/` is `blog/index.html`, and
/// `/about` is `about.html`, so that a page has all its forms.
#[derive(Debug, Default)]
pub struct SitemapPages {
    pages: BTreeMap<String, String>,
}

impl SitemapPages {
    /// Adds a page.
    ///
    /// # Errors
    ///
    /// [`InvalidSitemap`] where the page is under none of the site's URLs, or does not say when it changed.
    pub fn push(&mut self, site: &Site, loc: &str, lastmod: Option<&str>) -> Result<(), InvalidSitemap> {
        let path = site.site_path_of(loc).ok_or_else(|| InvalidSitemap::Elsewhere { loc: loc.to_owned() })?;
        let lastmod = lastmod.ok_or_else(|| InvalidSitemap::NoLastmod { loc: loc.to_owned() })?;
        let last = path.rsplit('/').next().unwrap_or_default();
        let path = if path.contains('?') || last.contains('.') {
            path
        } else if last.is_empty() {
            format!("{path}index.html")
        } else {
            format!("{path}.html")
        };
        if site.ignores(&crate::path::decode(&path)) {
            return Ok(());
        }
        // `/` and `/index.html` are one file.
        let dates = self.pages.entry(path).or_default();
        dates.push_str(lastmod);
        dates.push('\n');
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// As [`SnapshotBuilder::finish`].
    pub fn finish(self) -> Result<Snapshot, InvalidSnapshot> {
        let mut builder = SnapshotBuilder::new(HashKind::Lastmod);
        for (path, dates) in &self.pages {
            builder.push(Entry { path, size: None, hash: Hash::sha256(dates.as_bytes()) })?;
        }
        builder.finish()
    }
}

/// Why a text is not a usable sitemap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSitemap {
    /// It is no XML.
    #[error("at byte {at}: {reason}")]
    Xml {
        /// Where.
        at: u64,
        /// What is wrong.
        reason: String,
    },
    /// It is other XML.
    #[error("it begins with {found}, and a sitemap with <urlset> or <sitemapindex>")]
    Root {
        /// What it begins with.
        found: String,
    },
    /// It is too long.
    #[error("it is longer than {MAX_BYTES} bytes")]
    Long,
    /// An entry names nothing.
    #[error("an entry has no <loc>")]
    NoLoc,
    /// A page of another site.
    #[error("`{loc}` is under none of the site's URLs")]
    Elsewhere {
        /// The page.
        loc: String,
    },
    /// A page that cannot be compared.
    #[error("`{loc}` has no <lastmod>, so that nothing tells whether it changed")]
    NoLastmod {
        /// The page.
        loc: String,
    },
    /// Another sitemap that it names failed.
    #[error("{reason}")]
    Child {
        /// Which one and why.
        reason: String,
    },
}
