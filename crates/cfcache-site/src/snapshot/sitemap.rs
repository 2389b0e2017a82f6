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
    /// [`InvalidSnapshot`] if the page belongs to none of the site's URLs, or has no date.
    pub fn push(&mut self, site: &Site, loc: &str, lastmod: Option<&str>) -> Result<(), InvalidSnapshot> {
        let path =
            site.site_path_of(loc).ok_or_else(|| InvalidSnapshot::Elsewhere { loc: loc.to_owned() })?;
        let lastmod = lastmod.ok_or_else(|| InvalidSnapshot::NoLastmod { loc: loc.to_owned() })?;
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
