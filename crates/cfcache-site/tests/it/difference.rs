//! The difference between two snapshots.

use std::collections::BTreeMap;

use cfcache_site::difference::{ChangeKind, FileChange, difference};
use cfcache_site::snapshot::{HashKind, Snapshot};
use proptest::prelude::*;

use crate::support::snapshot;

fn changes(old: &Snapshot, new: &Snapshot) -> (Vec<FileChange>, [u64; 4]) {
    let mut difference = difference(Some(old.kind()), new);
    for entry in old.iter() {
        difference.push_old(entry);
    }
    let (changes, counts) = difference.finish();
    (changes, [counts.added, counts.changed, counts.deleted, counts.unchanged])
}

fn change(kind: ChangeKind, path: &str) -> FileChange {
    FileChange { path: path.to_owned(), kind }
}

#[test]
fn finds_additions_changes_and_deletions() {
    let old = snapshot(&[("a", "1"), ("b", "1"), ("c", "1"), ("e", "1")]);
    let new = snapshot(&[("0", "1"), ("b", "2"), ("c", "1"), ("d", "1"), ("f", "1")]);
    let (found, counts) = changes(&old, &new);
    assert_eq!(
        found,
        [
            change(ChangeKind::Added, "0"),
            change(ChangeKind::Deleted, "a"),
            change(ChangeKind::Changed, "b"),
            change(ChangeKind::Added, "d"),
            change(ChangeKind::Deleted, "e"),
            change(ChangeKind::Added, "f"),
        ]
    );
    assert_eq!(counts, [3, 1, 2, 1]);
}

#[test]
fn finds_edits_that_keep_the_length() {
    let (found, _) = changes(&snapshot(&[("a", "12")]), &snapshot(&[("a", "21")]));
    assert_eq!(found, [change(ChangeKind::Changed, "a")]);
}

#[test]
fn hashes_of_different_kinds_cannot_be_compared() {
    let files = snapshot(&[("a", "1"), ("b", "1")]);
    for kind in [None, Some(HashKind::GitSha256), Some(HashKind::Lastmod)] {
        let mut difference = difference(kind, &files);
        files.iter().for_each(|entry| difference.push_old(entry));
        let (_, counts) = difference.finish();
        assert_eq!((counts.changed, counts.unchanged), (2, 0), "{kind:?}");
    }
}

proptest! {
    /// Compared with an implementation that uses maps.
    #[test]
    fn agrees_with_a_comparison_by_maps(
        old in proptest::collection::btree_map("[a-c/%]{1,3}", "[xy]", 1..12),
        new in proptest::collection::btree_map("[a-c/%]{1,3}", "[xy]", 1..12),
    ) {
        let taken = |files: &BTreeMap<String, String>| {
            let files: Vec<_> = files.iter().rev().map(|(path, content)| (path.as_str(), content.as_str())).collect();
            snapshot(&files)
        };
        let (found, counts) = changes(&taken(&old), &taken(&new));
        let mut expected = Vec::new();
        for path in old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>() {
            match (old.get(path), new.get(path)) {
                (None, _) => expected.push(change(ChangeKind::Added, path)),
                (_, None) => expected.push(change(ChangeKind::Deleted, path)),
                (before, after) if before != after => expected.push(change(ChangeKind::Changed, path)),
                _ => {}
            }
        }
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(counts[0] + counts[1] + counts[3], new.len() as u64);
        prop_assert_eq!(counts[1] + counts[2] + counts[3], old.len() as u64);
    }
}
