//! The targets to purge for a set of changes.

use std::collections::BTreeSet;

use cfcache_site::difference::{ChangeKind, FileChange};
use cfcache_site::selection::{Selection, collapse, split_gone};

use crate::support::{example, site, snapshot, text};

fn change(kind: ChangeKind, path: &str) -> FileChange {
    FileChange { path: path.to_owned(), kind }
}

fn texts(selection: &Selection) -> Vec<String> {
    selection.targets().iter().map(text).collect()
}

#[test]
fn combines_both_mappings_without_duplicates() {
    let before = site("url = ['https://old.example', 'https://www.example.com']");
    let now = example();
    let mut selection = Selection::new();
    assert_eq!(selection.push_change(&change(ChangeKind::Deleted, "a.html"), &[&before, &now]), 4);
    // `a/index.html` is also served under `/a`.
    assert_eq!(selection.push_change(&change(ChangeKind::Added, "a/index.html"), &[&now]), 3);
    assert_eq!(
        texts(&selection),
        [
            "https://old.example/a.html",
            "https://www.example.com/a.html",
            "https://old.example/a",
            "https://www.example.com/a",
            "https://www.example.com/a/",
            "https://www.example.com/a/index.html",
        ]
    );
}

#[test]
fn skips_new_files_with_a_hash_in_their_name() {
    let site = site("url = ['https://e.com']\n[[match]]\nfiles = '_next/static/**'\nadded = 'skip'");
    let mut selection = Selection::new();
    assert_eq!(selection.push_change(&change(ChangeKind::Added, "_next/static/a.js"), &[&site]), 0);
    assert!(selection.is_empty());
    assert_eq!(selection.push_change(&change(ChangeKind::Changed, "_next/static/b.js"), &[&site]), 1);
    assert_eq!(selection.push_change(&change(ChangeKind::Deleted, "_next/static/c.js"), &[&site]), 1);
    assert_eq!(selection.push_change(&change(ChangeKind::Added, "a.js"), &[&site]), 1);
    // Another mapping must not skip it.
    assert_eq!(
        selection.push_change(&change(ChangeKind::Added, "_next/static/d.js"), &[&site, &example()]),
        1
    );
}

#[test]
fn marks_urls_without_a_file_as_gone() {
    let site = site("url = ['https://e.com']\nalways = ['/news?page=1']");
    let mut selection = Selection::new();
    for path in ["a.html", "a/index.html", "b.html", "c.css"] {
        selection.push_change(&change(ChangeKind::Changed, path), &[&site]);
    }
    selection.push_always(&site);
    let now = snapshot(&[("a/index.html", ""), ("c.css", "")]);
    let (served, gone) = split_gone(selection.into_targets(), &site, &now);
    let served: Vec<_> = served.iter().map(text).collect();
    let gone: Vec<_> = gone.iter().map(text).collect();
    // `/a` now shows `a/index.html`.
    assert_eq!(
        served,
        [
            "https://e.com/a",
            "https://e.com/a/",
            "https://e.com/a/index.html",
            "https://e.com/c.css",
            "https://e.com/news?page=1"
        ]
    );
    assert_eq!(gone, ["https://e.com/a.html", "https://e.com/b.html", "https://e.com/b"]);
}

#[test]
fn collapses_folders_if_half_of_their_files_changed() {
    let now = snapshot(&[
        ("index.html", ""),
        ("x.html", ""),
        ("y.html", ""),
        ("z.html", ""),
        ("docs/a.html", ""),
        ("docs/b.html", ""),
        ("docs/c/d.html", ""),
        ("blog/1.html", ""),
        ("blog/2.html", ""),
        ("blog/3.html", ""),
    ]);
    let changes = [
        change(ChangeKind::Changed, "blog/1.html"),
        change(ChangeKind::Changed, "docs/a.html"),
        change(ChangeKind::Changed, "docs/c/d.html"),
        change(ChangeKind::Changed, "index.html"),
    ];
    let collapsed = collapse(&changes, &now, 1);
    assert_eq!(collapsed.folders, BTreeSet::from(["docs"]));
    assert_eq!(collapsed.rest, [&changes[0], &changes[3]]);
    // The deleted file was a part of its folder.
    let deleted = [change(ChangeKind::Deleted, "blog/0.html"), change(ChangeKind::Deleted, "gone/a.html")];
    let collapsed = collapse(&deleted, &now, 1);
    assert_eq!(collapsed.folders, BTreeSet::from(["gone"]));
    assert_eq!(collapsed.rest, [&deleted[0]]);
    assert_eq!(collapse(&changes, &now, 3).folders, BTreeSet::new(), "too few to be worth a prefix");
    let all: Vec<_> = now.iter().map(|entry| change(ChangeKind::Changed, entry.path)).collect();
    assert_eq!(collapse(&all, &now, 1).folders, BTreeSet::from([""]));
}

#[test]
fn a_collapsed_folder_is_a_prefix_below_every_url() {
    let site = site("url = ['https://a.example', 'https://b.example/sub']");
    for (folder, expected) in [
        ("docs", ["prefixes a.example/docs", "prefixes b.example/sub/docs"]),
        ("", ["prefixes a.example/", "prefixes b.example/sub"]),
    ] {
        let mut found = Vec::new();
        site.for_each_folder_prefix(folder, &mut |target| found.push(text(&target)));
        assert_eq!(found, expected);
    }
}
