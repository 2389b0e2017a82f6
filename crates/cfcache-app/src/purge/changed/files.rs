//! What visitors should get at the URLs of a site: its files, but no deleted ones.

use std::collections::{HashMap, HashSet};

use cfcache_model::target::Target;
use cfcache_probe::{ExpectedBody, Sha256};
use cfcache_site::mapping::Site;
use cfcache_site::path;
use cfcache_site::selection::split_gone;
use cfcache_site::snapshot::{Hash, Snapshot};

use crate::purge::changed::select::Work;

/// The known files of a site.
pub(in crate::purge) struct SiteFiles<'a> {
    site: &'a Site,
    snapshot: Option<&'a Snapshot>,
    /// The hashes of deleted files.
    deleted: &'a HashMap<String, Hash>,
    /// The entries of URLs that no longer show a file.
    gone: HashSet<String>,
}

impl<'a> SiteFiles<'a> {
    pub(super) fn new(site: &'a Site, work: &'a Work) -> Self {
        let urls: Vec<Target> = work.urls().cloned().collect();
        let gone = match &work.snapshot {
            Some(snapshot) => {
                let text = |target: &Target| target.text().into_owned();
                let mut shown = HashSet::new();
                for entry in snapshot.iter() {
                    // Includes the URLs of files that are purged by prefix.
                    site.for_each_file_url(entry.path, &mut |target| {
                        shown.insert(text(&target));
                    });
                }
                let (_, gone) = split_gone(urls, site, snapshot);
                gone.iter().map(text).filter(|target| !shown.contains(target)).collect()
            }
            None => work.gone.clone(),
        };
        Self { site, snapshot: work.snapshot.as_ref(), deleted: &work.deleted, gone }
    }

    /// Returns whether an entry shows no file any more.
    pub(in crate::purge) fn is_gone(&self, target: &Target) -> bool {
        self.gone.contains(&*target.text())
    }

    /// The file that a URL shows, if it is unambiguous.
    pub(in crate::purge) fn file_at(&self, url: &str) -> Option<String> {
        let mut files = self.site.files_shown_at(url);
        files.retain(|file| self.snapshot.is_some_and(|snapshot| snapshot.contains(file)));
        match files.len() {
            1 => files.pop(),
            // Which of several files a URL shows depends on the host, except for a file with exactly that name.
            _ => files.into_iter().next().filter(|file| {
                self.site.site_path_of(url).map(path::from_any_spelling).as_ref() == Some(file)
            }),
        }
    }

    /// The body that a visitor should get, if it is known.
    pub(in crate::purge) fn body_at(&self, url: &str) -> Option<ExpectedBody> {
        let sha256 = |hash: Hash| Sha256::new(*hash.as_bytes());
        if let Some(hash) = self.file_at(url).and_then(|file| self.snapshot?.hash_of(&file)) {
            return Some(ExpectedBody::OfFile(sha256(hash)));
        }
        let files = self.site.files_shown_at(url);
        // One of several files is served; it is not known which one.
        if files.iter().any(|file| self.snapshot.is_some_and(|snapshot| snapshot.contains(file))) {
            return None;
        }
        let hash = files.iter().find_map(|file| self.deleted.get(file))?;
        Some(ExpectedBody::NotThis(sha256(*hash)))
    }
}
