//! Lists of changes in the real output formats of the tools.

use cfcache_site::changes::{ChangeList, InvalidChange, ListFormat};
use cfcache_site::path::Root;

use crate::support::{captured, example, site};

fn records(list: &[u8], separator: u8) -> Vec<&[u8]> {
    let list = list.strip_suffix(&[separator]).unwrap_or(list);
    list.split(|byte| *byte == separator).collect()
}

/// Parses a list. Returns its changes as `M path`, and the error.
fn read(format: ListFormat, root: &str, list: &[u8], separator: u8) -> (Vec<String>, Option<InvalidChange>) {
    let mut changes = ChangeList::new(format, Root::new(root.as_bytes()));
    let mut error = None;
    for record in records(list, separator) {
        if let Err(invalid) = changes.push(record, &example()) {
            error = Some(invalid);
            break;
        }
    }
    if error.is_none() {
        error = changes.finish().err();
    }
    let shown =
        changes.changes().iter().map(|change| format!("{} {}", change.kind.letter(), change.path)).collect();
    (shown, error)
}

fn read_lines(format: ListFormat, lines: &str) -> (Vec<String>, Option<InvalidChange>) {
    read(format, "", lines.as_bytes(), b'\n')
}

const EXPECTED: &[&str] = &[
    "A 100%25%5E.html",
    "M %C3%BC%20b.html",
    "A add.html",
    "A back%5Cslash.html",
    "M blog/index.html",
    "D from.html",
    "M index.html",
    "A link.html",
    "A new%0Aline.txt",
    "D old.txt",
    "D sub/deep/a.html",
    "A tab%09%23.html",
    "A to.html",
];

/// Returns the expected changes, sorted by path as in a list.
fn expected(without: &[&str], also: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = EXPECTED.iter().chain(also).map(|line| (*line).to_owned()).collect();
    all.retain(|line| !without.contains(&&line[2..]));
    all.sort_by(|left, right| left[2..].cmp(&right[2..]));
    all
}

#[test]
fn parses_captured_git_output() {
    for name in ["git-name-status", "git-raw"] {
        let (changes, error) = read(ListFormat::Git, "public", &captured(name), 0);
        assert_eq!(error, None, "{name}");
        // git treats a changed mode as changed content, which causes one unnecessary purge.
        assert_eq!(changes, expected(&[], &["M mode.html"]), "{name}");
    }
}

#[test]
fn git_without_a_root_lists_the_whole_repository() {
    let (changes, _) = read(ListFormat::Git, "", &captured("git-name-status"), 0);
    assert!(changes.contains(&"M src.md".to_owned()) && changes.contains(&"M public/index.html".to_owned()));
}

#[test]
fn git_without_z_is_refused() {
    let (changes, error) = read(ListFormat::Git, "public", &captured("git-without-z"), 0);
    assert_eq!((changes, error), (Vec::new(), Some(InvalidChange::NotNullSeparated)));
}

#[test]
fn git_renames_and_copies_change_both_names() {
    let (changes, error) = read(ListFormat::Git, "", b"R087\0a\0b\0C100\0c\0d\0T\0e\0M\0f\0", 0);
    assert_eq!(error, None);
    assert_eq!(changes, ["D a", "A b", "M c", "A d", "M e", "M f"]);
}

#[test]
fn refuses_incomplete_and_foreign_git_lists() {
    for (list, expected) in [
        (&b"M\0a\0D\0"[..], "the list ends in the middle, after `D`"),
        (b"R100\0a\0", "the list ends in the middle, after `a`"),
        (b"U\0a\0", "`U` is nothing that git"),
        (b"a.html\0b.html\0", "`a.html` is nothing that git"),
        (b"M\0../a\0", "has a `..`"),
    ] {
        let (_, error) = read(ListFormat::Git, "", list, 0);
        let error = error.unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn parses_captured_rsync_output() {
    for name in ["rsync", "rsync-c-locale"] {
        let (changes, error) = read(ListFormat::Rsync, "", &captured(name), b'\n');
        assert_eq!(error, None, "{name}");
        assert_eq!(changes, expected(&[], &[]), "{name}");
    }
    let (changes, error) = read(ListFormat::Rsync, "", &captured("rsync-hard-links"), b'\n');
    assert_eq!(error, None);
    assert_eq!(changes, expected(&[], &["A zhard.html"]));
    // The target of a link is printed after it and may be part of its name, so both are purged.
    let (changes, error) = read(ListFormat::Rsync, "", &captured("rsync-itemize-verbose"), b'\n');
    assert_eq!(error, None);
    assert_eq!(changes, expected(&[], &["A link.html%20-%3E%20index.html"]));
}

#[test]
fn parses_rsync_items() {
    let lines = "<f.st...... sent.html\n\
        >f..t...... time.html\n\
        .f..t...... only-time\n\
        .L..t...... only-link\n\
        .d..t...... ./\n\
        cd+++++++++ folder/\n\
        cL+++++++++ a => b -> c\n\
        >f.stpoguax all.html\n\
        *deleting   gone/\n\
        *deleting   gone/a b.html\n\
        >f+++++++++ \\#134#303\\#\n";
    let (changes, error) = read_lines(ListFormat::Rsync, lines);
    assert_eq!(error, None);
    assert_eq!(
        changes,
        [
            "A %5C%23303%5C%23",
            "A a",
            "A a%20=%3E%20b",
            "A a%20=%3E%20b%20-%3E%20c",
            "M all.html",
            "D gone/a%20b.html",
            "M sent.html",
            "M time.html",
        ]
    );
    for line in
        ["index.html", "deleting a", ">x+++++++++ a", ">f+++++++++", "rsync: [sender] link_stat failed"]
    {
        let (_, error) = read_lines(ListFormat::Rsync, line);
        assert!(
            matches!(error, Some(InvalidChange::Shape { .. } | InvalidChange::Path(_))),
            "{line}: {error:?}"
        );
    }
}

#[test]
fn parses_captured_aws_output() {
    let kinds = |lines: Vec<String>| -> Vec<String> {
        // An upload does not say whether the key existed before.
        lines.into_iter().map(|line| line.replacen("A ", "M ", 1)).collect()
    };
    let (changes, error) = read(ListFormat::Aws, "s3://www-example/site", &captured("aws"), b'\n');
    assert_eq!(error, None);
    assert_eq!(changes, kinds(expected(&["new%0Aline.txt"], &[])));
    // Without a folder, the paths are the keys of the bucket.
    let (changes, _) = read(ListFormat::Aws, "", &captured("aws"), b'\n');
    assert!(changes.contains(&"M site/blog/index.html".to_owned()), "{changes:?}");
    let (changes, error) = read(ListFormat::Aws, "s3://www-example/copy/", &captured("aws-copy"), b'\n');
    assert_eq!(
        (changes, error),
        (vec!["M 100%25%5E.html".into(), "M add.html".into(), "M tab%09%23.html".into()], None)
    );
}

#[test]
fn parses_captured_aws_output_with_progress() {
    let (changes, error) = read(ListFormat::Aws, "s3://www-example/site", &captured("aws-progress"), b'\n');
    assert_eq!(error, None);
    let deleted: Vec<&str> = changes.iter().filter_map(|line| line.strip_prefix("D ")).collect();
    assert_eq!(
        deleted,
        ["100%25%5E.html", "add.html", "back%5Cslash.html", "link.html", "tab%09%23.html", "to.html"]
    );
    let uploaded: Vec<&str> = changes.iter().filter_map(|line| line.strip_prefix("M ")).collect();
    assert_eq!(
        uploaded,
        [
            "%C3%BC%20b.html",
            "blog/index.html",
            "from.html",
            "index.html",
            "mode.html",
            "old.txt",
            "same.css",
            "sub/deep/a.html"
        ]
    );
}

#[test]
fn refuses_aws_output_without_changes_or_with_errors() {
    let (changes, error) = read(ListFormat::Aws, "", &captured("aws-dryrun"), b'\n');
    assert!(changes.is_empty() && matches!(error, Some(InvalidChange::DryRun { .. })), "{error:?}");
    let (changes, error) = read(ListFormat::Aws, "", &captured("aws-failed"), b'\n');
    assert!(changes.is_empty() && matches!(error, Some(InvalidChange::Failed { .. })), "{error:?}");
    let (changes, error) = read_lines(ListFormat::Aws, "upload: a to s3://b/a\nline.txt to s3://b/c\n");
    assert_eq!(changes, ["M a"], "what was read before stays");
    assert!(matches!(error, Some(InvalidChange::Shape { .. })), "{error:?}");
}

#[test]
fn parses_aws_lines() {
    let lines = "upload: x to s3://y/z to s3://b/x to y\n\
        upload: ./index.html to s3://b/index.html\n\
        copy: s3://b/a to s3://b/c\n\
        move: s3://b/m to s3://b/n\n\
        delete: s3://b/gone.html\n\
        delete: s3://b/folder/\n";
    let (changes, error) = read_lines(ListFormat::Aws, lines);
    assert_eq!(error, None);
    assert_eq!(changes, ["M c", "D gone.html", "M index.html", "D m", "M n", "M x%20to%20y"]);
}

#[test]
fn parses_captured_rclone_output() {
    let (changes, error) = read(ListFormat::Rclone, "", &captured("rclone-check"), b'\n');
    assert_eq!(error, None);
    // rclone skips links. A control character and its replacement symbol are both purged.
    let also = ["A new%E2%90%8Aline.txt", "A tab%E2%90%89%23.html"];
    assert_eq!(changes, expected(&["link.html"], &also));
}

#[test]
fn refuses_rclone_errors() {
    let (changes, error) = read_lines(ListFormat::Rclone, "+ a\n! b\n");
    assert_eq!(changes, ["A a"]);
    assert!(matches!(error, Some(InvalidChange::Failed { .. })), "{error:?}");
    let (_, error) = read_lines(ListFormat::Rclone, "2026/11/25 NOTICE: something\n");
    assert!(matches!(error, Some(InvalidChange::Shape { .. })), "{error:?}");
}

#[test]
fn unquotes_replacement_symbols_in_rclone_names() {
    let (changes, _) = read_lines(ListFormat::Rclone, "+ a\u{201b}\u{240a}b\n");
    assert_eq!(changes, ["A a%E2%80%9B%E2%90%8Ab", "A a%E2%90%8Ab"]);
}

#[test]
fn accepts_files_but_not_folders() {
    let (changes, error) =
        read(ListFormat::Paths, "public", b"public/a\0public/b/\0\0elsewhere\0public/a\0", 0);
    assert_eq!((changes, error), (vec!["M a".to_owned()], None));
}

#[test]
fn skips_ignored_files() {
    let mut list = ChangeList::new(ListFormat::Paths, Root::none());
    let site = site("url = ['https://e.com']\nignore = ['**/*.map']");
    for path in ["a.js", "a.js.map"] {
        list.push(path.as_bytes(), &site).unwrap();
    }
    assert_eq!(list.changes().len(), 1);
}

#[test]
fn parses_names_of_formats() {
    for format in ListFormat::ALL {
        assert_eq!(format.name().parse::<ListFormat>().unwrap(), *format);
    }
    assert!("svn".parse::<ListFormat>().is_err());
}
