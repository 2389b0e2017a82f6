//! Snapshots from manifests and git trees.

use cfcache_site::path::Root;
use cfcache_site::snapshot::git_tree::GitTree;
use cfcache_site::snapshot::manifest::Manifest;
use cfcache_site::snapshot::{Hash, HashKind, InvalidSnapshot, Snapshot};

use crate::support::captured;

fn nothing(_: &[u8]) -> bool {
    false
}

fn manifest(root: &str, list: &[u8], separator: u8) -> Result<Snapshot, String> {
    let mut manifest = Manifest::new(Root::new(root.as_bytes()));
    for line in list.strip_suffix(&[separator]).unwrap_or(list).split(|byte| *byte == separator) {
        manifest.push(line, &nothing).map_err(|error| error.to_string())?;
    }
    manifest.finish().map_err(|error| error.to_string())
}

const FILES: &[&str] = &[
    "%C3%BC%20b.html",
    "100%25%5E.html",
    "add.html",
    "back%5Cslash.html",
    "blog/index.html",
    "index.html",
    "mode.html",
    "new%0Aline.txt",
    "same.css",
    "tab%09%23.html",
    "to.html",
];

fn paths(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.iter().map(|entry| entry.path).collect()
}

#[test]
fn parses_captured_manifests() {
    for (name, separator, kind) in [
        ("sha256sum", b'\n', HashKind::Sha256),
        ("sha256sum-binary", b'\n', HashKind::Sha256),
        ("sha256sum-zero", 0, HashKind::Sha256),
        ("md5sum", b'\n', HashKind::Md5),
        ("b3sum", b'\n', HashKind::Sha256),
    ] {
        let snapshot = manifest("", &captured(name), separator).unwrap();
        assert_eq!((paths(&snapshot).as_slice(), snapshot.kind()), (FILES, kind), "{name}");
    }
}

#[test]
fn the_hash_depends_on_the_content() {
    let snapshot = manifest("", &captured("sha256sum"), b'\n').unwrap();
    let home = snapshot.iter().find(|entry| entry.path == "index.html").unwrap();
    assert_eq!(home.hash, Hash::sha256(b"home 2\n"));
    assert_eq!(home.size, None);
}

#[test]
fn manifests_with_absolute_paths_need_a_root() {
    let hash = "0".repeat(64);
    let list = format!("{hash}  /srv/www/a.html\n{hash} */srv/www/b/c.html\n{hash}  /srv/other\n");
    let snapshot = manifest("/srv/www", list.as_bytes(), b'\n').unwrap();
    assert_eq!(paths(&snapshot), ["a.html", "b/c.html"]);
    assert!(manifest("", list.as_bytes(), b'\n').unwrap_err().contains("`/srv/www/a.html` is absolute"));
}

#[test]
fn refuses_invalid_manifests() {
    let hash = |len: usize| "a".repeat(len);
    for (line, expected) in [
        ("index.html".to_owned(), "`index.html` is no line of a manifest"),
        (String::new(), "`` is no line of a manifest"),
        (format!("{} a", hash(64)), "is no line of a manifest"),
        (format!("SHA256 (a) = {}", hash(64)), "is no line of a manifest"),
        (format!("{}  a", hash(56)), "a hash of 56 hex digits"),
        (format!("{}  a\n{}  b", hash(64), hash(32)), "32 hex digits, after hashes of 64"),
        (format!("\\{}  a\\x", hash(64)), "is no line of a manifest"),
        (format!("{}  ../a", hash(64)), "has a `..`"),
        (format!("{}  a\n{}  ./a", hash(64), "b".repeat(64)), "`a` is in it twice"),
    ] {
        let error = manifest("", line.as_bytes(), b'\n').unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
    assert_eq!(Manifest::new(Root::none()).finish().unwrap_err(), InvalidSnapshot::Empty);
    // A repeated line is not a contradiction.
    let line = format!("{}  b\n{0}  a\n{0}  ./b\n", hash(64));
    assert_eq!(paths(&manifest("", line.as_bytes(), b'\n').unwrap()), ["a", "b"]);
}

fn tree(list: &[u8]) -> Result<Snapshot, String> {
    let mut tree = GitTree::default();
    for record in list.strip_suffix(b"\0").unwrap_or(list).split(|byte| *byte == 0) {
        tree.push(record, &nothing).map_err(|error| error.to_string())?;
    }
    tree.finish().map_err(|error| error.to_string())
}

#[test]
fn parses_captured_git_trees() {
    let snapshot = tree(&captured("git-ls-tree")).unwrap();
    let mut expected = FILES.to_vec();
    expected.push("link.html");
    expected.sort_unstable();
    assert_eq!((paths(&snapshot), snapshot.kind()), (expected, HashKind::GitSha1));
    let before = tree(&captured("git-ls-tree-before")).unwrap();
    let hash =
        |snapshot: &Snapshot, path: &str| snapshot.iter().find(|entry| entry.path == path).unwrap().hash;
    assert_eq!(hash(&before, "same.css"), hash(&snapshot, "same.css"));
    assert_ne!(hash(&before, "index.html"), hash(&snapshot, "index.html"));
    assert_eq!(hash(&before, "mode.html"), hash(&snapshot, "mode.html"), "a mode is not served");
}

#[test]
fn a_link_in_a_git_tree_changes_with_every_commit() {
    let id = |char: &str| char.repeat(40);
    let link = |page: &str| {
        let list = format!("100644 blob {}\tpage.html\0120000 blob {}\tlink.html\0", id(page), id("c"));
        tree(list.as_bytes()).unwrap().iter().next().unwrap().hash
    };
    assert_eq!(link("a"), link("a"));
    assert_ne!(link("a"), link("b"));
}

#[test]
fn refuses_invalid_git_trees() {
    let id = "a".repeat(40);
    for (record, expected) in [
        (format!("160000 commit {id}\tmodule"), "`module` is a submodule"),
        (format!("040000 tree {id}\tfolder"), "is no record of"),
        (format!("100644 blob {id} 12\ta"), "is no record of"),
        ("100644 blob abc\ta".to_owned(), "is no record of"),
        ("a.html".to_owned(), "is no record of"),
    ] {
        let error = tree(record.as_bytes()).unwrap_err();
        assert!(error.contains(expected), "{record}: {error}");
    }
    assert_eq!(GitTree::default().finish().unwrap_err(), InvalidSnapshot::Empty);
}
