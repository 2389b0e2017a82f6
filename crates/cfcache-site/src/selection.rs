//! Selects what to purge for changes, by URL or less exactly.

use std::collections::{BTreeSet, HashMap, HashSet};

use cfcache_model::target::{Kind, Target};

use crate::difference::{ChangeKind, FileChange};
use crate::mapping::Site;
use crate::snapshot::Snapshot;

/// The entries to purge, each once, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Selection {
    targets: Vec<Target>,
    seen: HashSet<(Kind, String)>,
}

impl Selection {
    /// Creates an empty selection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a target.
    pub fn push(&mut self, target: Target) {
        if self.seen.insert(key(&target)) {
            self.targets.push(target);
        }
    }

    /// Adds everything that may show a changed file, for each mapping in `sites`: that of the state and the current
    /// one. Returns the number of targets, including those that were already present.
    pub fn push_change(&mut self, change: &FileChange, sites: &[&Site]) -> usize {
        let mut own = HashSet::new();
        for site in sites {
            if change.kind == ChangeKind::Added && site.skips_added(&change.path) {
                continue;
            }
            site.for_each_target(&change.path, &mut |target| {
                own.insert(key(&target));
                self.push(target);
            });
        }
        own.len()
    }

    /// Adds the entries that are always purged.
    pub fn push_always(&mut self, site: &Site) {
        site.for_each_always(&mut |target| self.push(target));
    }

    /// Returns whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The entries.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The entries.
    #[must_use]
    pub fn into_targets(self) -> Vec<Target> {
        self.targets
    }
}

fn key(target: &Target) -> (Kind, String) {
    (target.kind(), target.text().into_owned())
}

/// Splits targets into those that show a file of the snapshot or are always purged, and those that no longer show a
/// file.
///
/// URLs of deleted files have to be purged even if everything else is only marked as stale, because a stale copy could
/// be served for a while.
#[must_use]
pub fn split_gone(targets: Vec<Target>, site: &Site, snapshot: &Snapshot) -> (Vec<Target>, Vec<Target>) {
    let mut gone: HashSet<(Kind, String)> = targets.iter().map(key).collect();
    let mut served = |target: Target| {
        gone.remove(&key(&target));
    };
    for entry in snapshot.iter() {
        site.for_each_target(entry.path, &mut served);
    }
    site.for_each_always(&mut served);
    targets.into_iter().partition(|target| !gone.contains(&key(target)))
}

/// Changes in which folders replace the files in them.
#[derive(Debug, PartialEq, Eq)]
pub struct Collapsed<'a> {
    /// Folders in which at least half of the files changed; the root's folder is empty.
    pub folders: BTreeSet<&'a str>,
    /// All changes outside of these folders.
    pub rest: Vec<&'a FileChange>,
}

/// Replaces changes by folders, as high up as possible, if at least half of a folder's files and at least `at_least` of
/// them changed.
#[must_use]
pub fn collapse<'a>(changes: &'a [FileChange], snapshot: &'a Snapshot, at_least: u64) -> Collapsed<'a> {
    let mut folders: HashMap<&str, (u64, u64)> = HashMap::new();
    for entry in snapshot.iter() {
        for folder in ancestors(entry.path) {
            folders.entry(folder).or_default().0 += 1;
        }
    }
    for change in changes {
        for folder in ancestors(&change.path) {
            let (all, changed) = folders.entry(folder).or_default();
            *changed += 1;
            *all += u64::from(change.kind == ChangeKind::Deleted);
        }
    }
    let mut collapsed = Collapsed { folders: BTreeSet::new(), rest: Vec::new() };
    for change in changes {
        let is_full = |folder: &&str| {
            folders.get(folder).is_some_and(|(all, changed)| *changed >= at_least && *changed * 2 >= *all)
        };
        match ancestors(&change.path).find(is_full) {
            Some(folder) => drop(collapsed.folders.insert(folder)),
            None => collapsed.rest.push(change),
        }
    }
    collapsed
}

/// The folders of a file, starting with the root's.
fn ancestors(site_path: &str) -> impl Iterator<Item = &str> {
    [""].into_iter().chain(site_path.match_indices('/').map(|(at, _)| &site_path[..at]))
}
