//! What a deployment of a static site changed, and which URLs show it.
//!
//! - [`path`]: names of files as they stand in URLs
//! - [`mapping`]: a [`Site`](mapping::Site): which URLs show a file
//! - [`snapshot`]: what a site consists of: a directory, a manifest, a git tree, a sitemap
//! - [`changes`]: lists of changes of git, rsync, aws and rclone
//! - [`difference`]: what changed from one snapshot to the next
//! - [`selection`]: everything to purge, and less exact ways to say it
//! - [`state`]: what is remembered from one run to the next
//! - [`io`]: the modules that read and write files; all others are functions from values to values

pub mod changes;
pub mod difference;
pub mod io;
pub mod mapping;
pub mod path;
pub mod selection;
pub mod snapshot;
pub mod state;

/// The beginning of what was found, for a message.
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
