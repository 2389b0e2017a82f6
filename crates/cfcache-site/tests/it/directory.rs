//! The snapshot of a directory.

use std::error::Error as _;

use cfcache_site::io::directory::{DirectoryError, snapshot};
use cfcache_site::snapshot::Hash;

use crate::support::{Scratch, example, site};

#[test]
fn hashes_every_file() {
    let scratch = Scratch::new();
    // More files than a batch, so that several threads hash them.
    for index in 0..300 {
        scratch.write(&format!("pages/{}/index.html", index * 7 % 300), &format!("page {}", index * 7 % 300));
    }
    scratch.write(".well-known/ü b.txt", "");
    std::fs::create_dir(scratch.0.join("empty")).unwrap();
    let found = snapshot(&scratch.0, &example()).unwrap();
    assert_eq!(found.len(), 301);
    let mut previous = "";
    for entry in found.iter() {
        assert!(previous < entry.path, "{previous} is before {}", entry.path);
        previous = entry.path;
        let content = match entry.path.split('/').nth(1).unwrap() {
            "%C3%BC%20b.txt" => String::new(),
            page => format!("page {page}"),
        };
        assert_eq!(entry.hash, Hash::sha256(content.as_bytes()), "{}", entry.path);
        assert_eq!(entry.size, Some(content.len() as u64));
    }
    assert!(found.contains("pages/299/index.html") && !found.contains("pages/300/index.html"));
}

#[test]
fn hashes_large_files_completely() {
    let scratch = Scratch::new();
    let content = "0123456789".repeat(60_000);
    scratch.write("large", &content);
    let found = snapshot(&scratch.0, &example()).unwrap();
    assert_eq!(found.iter().next().unwrap().hash, Hash::sha256(content.as_bytes()));
}

#[test]
fn skips_ignored_files() {
    let scratch = Scratch::new();
    scratch.write("a.html", "");
    scratch.write("b/.DS_Store", "");
    let site = site("url = ['https://e.com']\nignore = ['**/.DS_Store']");
    assert_eq!(snapshot(&scratch.0, &site).unwrap().len(), 1);
}

#[test]
fn an_empty_directory_is_an_error() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.0.join("empty")).unwrap();
    let error = snapshot(&scratch.0, &example()).unwrap_err();
    assert!(error.to_string().contains("there is no file in it"), "{error}");
}

#[test]
fn refuses_missing_paths_and_files() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    let error = snapshot(&scratch.0.join("missing"), &example()).unwrap_err();
    assert!(
        matches!(&error, DirectoryError::Unreadable { path, .. } if path.ends_with("missing")),
        "{error}"
    );
    assert!(error.source().is_some());
    let error = snapshot(&scratch.0.join("file"), &example()).unwrap_err();
    assert!(matches!(error, DirectoryError::NoDirectory { .. }), "{error}");
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn follows_links_within_the_root() {
        let scratch = Scratch::new();
        scratch.write("a/x.html", "x");
        scratch.write("b/y.html", "y");
        symlink("../a", scratch.0.join("b/folder")).unwrap();
        symlink("a/x.html", scratch.0.join("file.html")).unwrap();
        let found = snapshot(&scratch.0, &example()).unwrap();
        let paths: Vec<_> = found.iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["a/x.html", "b/folder/x.html", "b/y.html", "file.html"]);
        let linked = found.iter().find(|entry| entry.path == "file.html").unwrap();
        assert_eq!(linked.hash, Hash::sha256(b"x"));
    }

    #[test]
    fn the_root_may_be_a_link() {
        let scratch = Scratch::new();
        scratch.write("releases/1/index.html", "x");
        symlink("releases/1", scratch.0.join("current")).unwrap();
        assert_eq!(snapshot(&scratch.0.join("current"), &example()).unwrap().len(), 1);
    }

    #[test]
    fn refuses_links_that_leave_the_root() {
        let scratch = Scratch::new();
        scratch.write("site/index.html", "");
        scratch.write("site-secret/key", "");
        for target in ["../site-secret/key", "../site-secret", ".."] {
            let link = scratch.0.join("site/link");
            symlink(target, &link).unwrap();
            let error = snapshot(&scratch.0.join("site"), &example()).unwrap_err();
            assert!(
                matches!(&error, DirectoryError::Outside { path, .. } if *path == link),
                "{target}: {error}"
            );
            std::fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn refuses_dangling_links() {
        let scratch = Scratch::new();
        scratch.write("index.html", "");
        symlink("missing", scratch.0.join("link")).unwrap();
        let error = snapshot(&scratch.0, &example()).unwrap_err();
        assert!(error.to_string().ends_with("link`"), "{error}");
    }

    #[test]
    fn refuses_circular_links() {
        let scratch = Scratch::new();
        scratch.write("a/b/index.html", "");
        for (link, target) in [("a/b/up", ".."), ("a/b/top", "../.."), ("a/self", ".")] {
            let link = scratch.0.join(link);
            symlink(target, &link).unwrap();
            let error = snapshot(&scratch.0, &example()).unwrap_err();
            assert!(matches!(&error, DirectoryError::Loop { path } if *path == link), "{error}");
            std::fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn refuses_unreadable_files() {
        let scratch = Scratch::new();
        scratch.write("index.html", "");
        scratch.write("secret.html", "");
        let secret = scratch.0.join("secret.html");
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
        if std::fs::File::open(&secret).is_ok() {
            // Root can read every file. The next test covers a file without readable content.
            return;
        }
        let error = snapshot(&scratch.0, &example()).unwrap_err();
        assert!(matches!(&error, DirectoryError::Unreadable { path, .. } if *path == secret), "{error}");
    }

    #[test]
    fn refuses_sockets_and_pipes() {
        let scratch = Scratch::new();
        scratch.write("index.html", "");
        let path = scratch.0.join("socket");
        let _socket = UnixListener::bind(&path).unwrap();
        let error = snapshot(&scratch.0, &example()).unwrap_err();
        assert!(matches!(&error, DirectoryError::NoFile { path: found } if *found == path), "{error}");
    }

    #[test]
    fn accepts_names_with_any_bytes() {
        let scratch = Scratch::new();
        std::fs::write(scratch.0.join(OsStr::from_bytes(b"\xff\n\\%.html")), "x").unwrap();
        let found = snapshot(&scratch.0, &example()).unwrap();
        assert_eq!(found.iter().next().unwrap().path, "%FF%0A%5C%25.html");
    }
}
