//! Sitemaps: pages and when they changed last.

use std::collections::BTreeMap;

use crate::mapping::Site;
use crate::snapshot::{Entry, Hash, HashKind, InvalidSnapshot, Snapshot, SnapshotBuilder};

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
    /// [`InvalidPage`] where the page is under none of the site's URLs, or does not say when it changed.
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

/// Why a page of a sitemap is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPage {
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
}
