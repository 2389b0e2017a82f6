//! Finds the changes of a deployment of a static site, and the affected URLs.
//!
//! - [`path`]: percent-encoding of file names
//! - [`mapping`]: a [`Site`](mapping::Site), which maps files to URLs
//! - [`snapshot`]: the files of a site, from a directory, a manifest, a git tree or a sitemap
//! - [`changes`]: lists of changes of git, rsync, aws and rclone
//! - [`difference`]: compares two snapshots
//! - [`selection`]: selects what to purge, by URL or less exactly
//! - [`state`]: the state between two runs
//! - [`io`]: the modules that read and write files; all others are pure functions
//!
//! ```
//! use cfcache_site::difference::difference;
//! use cfcache_site::mapping::{Site, SiteUrl};
//! use cfcache_site::path::Root;
//! use cfcache_site::snapshot::manifest::Manifest;
//!
//! // Two outputs of `md5sum`, from before and after a deployment.
//! let site = Site::new(vec![SiteUrl::parse("https://www.example.com")?]);
//! let read = |line: &str| {
//!     let mut manifest = Manifest::new(Root::none());
//!     manifest.push(line.as_bytes(), &|path| site.ignores(path))?;
//!     manifest.finish()
//! };
//! let before = read("0cc175b9c0f1b6a831c399e269772661  blog/index.html")?;
//! let after = read("92eb5ffee6ae2fec3ad71c777531578f  blog/index.html")?;
//!
//! let mut difference = difference(Some(before.kind()), &after);
//! for entry in before.iter() {
//!     difference.push_old(entry);
//! }
//! let (changes, counts) = difference.finish();
//! assert_eq!(counts.changed, 1);
//!
//! let mut urls = Vec::new();
//! site.for_each_target(&changes[0].path, &mut |target| urls.push(target.text().into_owned()));
//! urls.sort();
//! assert_eq!(
//!     urls,
//!     ["https://www.example.com/blog", "https://www.example.com/blog/", "https://www.example.com/blog/index.html"],
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod changes;
pub mod difference;
pub mod io;
pub mod mapping;
pub mod path;
pub mod selection;
pub mod snapshot;
pub mod state;

/// The beginning of a text, for a message.
fn clip(bytes: &[u8]) -> String {
    const MOST: usize = 120;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    let shown: String = text
        .chars()
        .flat_map(
            |char| if char.is_control() { char.escape_default().collect::<Vec<_>>() } else { vec![char] },
        )
        .collect();
    if bytes.len() > MOST { format!("{shown}…") } else { shown }
}
