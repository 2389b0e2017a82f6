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
