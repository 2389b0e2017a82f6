//! Creates a snapshot from the pages of sitemaps and their dates.

use std::collections::BTreeMap;

use crate::mapping::Site;
use crate::snapshot::{FileEntry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

/// Collects the pages of sitemaps as the files that they are probably made from: `/blog/` is `blog/index.html`, and
/// `/about` is `about.html`, so that all forms of a page are purged.
#[derive(Debug, Default)]
pub struct SitemapPages {
    pages: BTreeMap<String, String>,
}

impl SitemapPages {
    /// Adds a page.
    ///
    /// # Errors
    ///
    /// [`InvalidPage`] if the page belongs to none of the site's URLs, or has no date.
    pub fn push(&mut self, site: &Site, loc: &str, lastmod: Option<&str>) -> Result<(), InvalidPage> {
        let path = site.site_path_of(loc).ok_or_else(|| InvalidPage::Elsewhere { loc: loc.to_owned() })?;
        let lastmod = lastmod.ok_or_else(|| InvalidPage::NoLastmod { loc: loc.to_owned() })?;
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
        // `/` and `/index.html` are the same file.
        let dates = self.pages.entry(path).or_default();
        dates.push_str(lastmod);
        dates.push('\n');
        Ok(())
    }

    /// Completes the snapshot.
    ///
    /// # Errors
    ///
    /// The same as [`SnapshotBuilder::finish`].
    pub fn finish(self) -> Result<Snapshot, InvalidSnapshot> {
        let mut builder = SnapshotBuilder::new(HashKind::Lastmod);
        for (path, dates) in &self.pages {
            builder.push(FileEntry { path, size: None, hash: Hash::sha256(dates.as_bytes()) })?;
        }
        builder.finish()
    }
}

/// Why a page of a sitemap cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPage {
    /// It belongs to another site.
    #[error("`{loc}` is under none of the site's URLs")]
    Elsewhere {
        /// The page.
        loc: String,
    },
    /// It has no date to compare.
    #[error("`{loc}` has no <lastmod>, so that nothing tells whether it changed")]
    NoLastmod {
        /// The page.
        loc: String,
    },
}
