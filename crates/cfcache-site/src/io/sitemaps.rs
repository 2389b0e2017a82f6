//! The snapshot of sitemaps, which name when each page changed.

use std::fs::File;
use std::io::{BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use crate::mapping::Site;
use crate::snapshot::Snapshot;
use crate::snapshot::sitemap::{InvalidSitemap, Location, SitemapPages, read};

/// How many sitemaps an index may name: what the protocol allows.
const MAX_SITEMAPS: usize = 50_000;

/// Reads sitemaps; `-` is standard input. What an index names is looked for beside it.
///
/// # Errors
///
/// Which file is wrong, and how.
pub fn snapshot(paths: &[PathBuf], site: &Site) -> Result<Snapshot, InvalidSitemap> {
    let mut pages = SitemapPages::default();
    for path in paths {
        let mut children = Vec::new();
        one(path, site, &mut pages, Some(&mut children))?;
        for child in children {
            one(&child, site, &mut pages, None)?;
        }
    }
    pages.finish().map_err(|error| InvalidSitemap::Child { reason: error.to_string() })
}

/// Reads one; an index where one may be, whose children are looked for afterwards.
fn one(
    path: &Path,
    site: &Site,
    pages: &mut SitemapPages,
    mut children: Option<&mut Vec<PathBuf>>,
) -> Result<(), InvalidSitemap> {
    let named = |reason: String| InvalidSitemap::Child { reason: format!("`{}`: {reason}", path.display()) };
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| named(error.to_string()))?)
    };
    let mut visit = |location| match location {
        Location::Page { loc, lastmod } => pages.push(site, &loc, lastmod.as_deref()),
        Location::Sitemap { loc } => {
            let children = children.as_mut().filter(|children| children.len() < MAX_SITEMAPS);
            let Some(children) = children else {
                return Err(named(
                    "an index is named by another index, or names too many sitemaps".to_owned(),
                ));
            };
            let address = loc.split(['?', '#']).next().unwrap_or_default();
            let name = address.rsplit('/').next().unwrap_or_default();
            if name.is_empty() || path == Path::new("-") {
                return Err(named(format!(
                    "`{loc}` is looked for beside the index, and there is no such file"
                )));
            }
            children.push(path.with_file_name(name));
            Ok(())
        }
    };
    read(BufReader::new(input), &mut visit).map_err(|error| match error {
        InvalidSitemap::Child { .. } => error,
        error => named(error.to_string()),
    })
}
