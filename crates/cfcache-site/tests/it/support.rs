//! Shared by several tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use cfcache_model::target::Target;
use cfcache_site::mapping::Site;
use cfcache_site::snapshot::{FileEntry, Hash, HashKind, Snapshot, SnapshotBuilder};

/// Returns the bytes of a captured file.
pub(crate) fn captured(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/captured/changes").join(name);
    std::fs::read(path).unwrap()
}

/// Creates a site from its table in a project's settings.
pub(crate) fn site(toml: &str) -> Site {
    toml::from_str(toml).unwrap()
}

/// Returns the site that most tests use.
pub(crate) fn example() -> Site {
    site("url = ['https://www.example.com']")
}

/// Formats a target for comparison; prefixes and hosts start with their kind.
pub(crate) fn text(target: &Target) -> String {
    match target {
        Target::Files(_) => target.text().into_owned(),
        _ => format!("{} {}", target.kind(), target.text()),
    }
}

/// Returns the targets that a site purges for a file.
pub(crate) fn targets(site: &Site, site_path: &str) -> Vec<String> {
    let mut targets = Vec::new();
    site.for_each_target(site_path, &mut |target| targets.push(text(&target)));
    targets
}

/// Creates a snapshot of files with these contents.
pub(crate) fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let mut builder = SnapshotBuilder::new(HashKind::Sha256);
    for (path, content) in files {
        let hash = Hash::sha256(content.as_bytes());
        builder.push(FileEntry { path, size: Some(content.len() as u64), hash }).unwrap();
    }
    builder.finish().unwrap()
}

/// A temporary folder for one test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cfcache-site-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
