//! Files that are made and not written by hand: fixtures, reference pages, listings of the public API, the SDK's requests.

mod fixtures;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{conformance, dist, public_api, repo};

/// Paths in the checkout, and what the files hold.
pub(crate) type Files = BTreeMap<String, String>;

/// A set of files that a command makes.
pub(crate) struct Generated {
    command: &'static str,
    /// The folders that hold nothing else: a file that is not made is removed there.
    folders: &'static [&'static str],
    /// Makes them; told whether they are compared only.
    files: fn(bool) -> Result<Files>,
}

/// The fixtures, the reference pages, and the component of GitLab.
pub(crate) const PAGES: Generated = Generated {
    command: "generate",
    folders: &["fixtures/generated"],
    files: |is_check| {
        reference::test_the_command_line(is_check)?;
        from_the_model()
    },
};

/// The listings of the public API.
pub(crate) const PUBLIC_API: Generated =
    Generated { command: "public-api", folders: &["docs/api"], files: |_| public_api::listings() };

/// What the vendor's SDK sends.
pub(crate) const SDK_REQUESTS: Generated =
    Generated { command: "conformance", folders: &["fixtures/sdk"], files: |_| conformance::requests() };

fn from_the_model() -> Result<Files> {
    Ok([fixtures::files(), reference::pages(), dist::component()?].into_iter().flatten().collect())
}

impl Generated {
    /// Writes what is not current and removes what is no longer made, or fails and says what it is.
    pub(crate) fn run(&self, is_check: bool) -> Result<()> {
        let wanted = (self.files)(is_check)?;
        let stale = differences(&wanted, self.folders)?;
        let changes: Vec<&str> = stale.values().map(String::as_str).collect();
        ensure!(
            stale.is_empty() || !is_check,
            "files are not current:\n{}\nif the change is meant: cargo xtask {}",
            changes.join("\n"),
            self.command
        );
        for path in stale.keys() {
            let file = repo::root().join(path);
            if let Some(content) = wanted.get(path) {
                fs::create_dir_all(file.parent().context("a file has no folder")?)?;
                fs::write(&file, content).with_context(|| format!("cannot write {path}"))?;
                println!("wrote {path}");
            } else {
                fs::remove_file(&file).with_context(|| format!("cannot remove {path}"))?;
                println!("removed {path}");
            }
        }
        println!("{} files are current, {} of them changed", wanted.len(), stale.len());
        Ok(())
    }
}

/// The files that are not as wanted, each with what is wrong with it.
fn differences(wanted: &Files, folders: &[&str]) -> Result<Files> {
    let mut stale = Files::new();
    for (path, content) in wanted {
        match fs::read(repo::root().join(path)) {
            Err(_) => drop(stale.insert(path.clone(), format!("  missing: {path}"))),
            Ok(found) if found != content.as_bytes() => {
                let changes = changes(&String::from_utf8_lossy(&found), content);
                stale.insert(path.clone(), format!("  {path} differs:{changes}"));
            }
            Ok(_) => {}
        }
    }
    for folder in folders {
        for path in repo::files(folder)?.into_iter().filter(|path| !wanted.contains_key(path)) {
            let what = format!("  no longer wanted: {path}");
            stale.insert(path, what);
        }
    }
    Ok(stale)
}

/// The first lines that only one of the texts has.
fn changes(found: &str, wanted: &str) -> String {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (found.lines().collect(), wanted.lines().collect());
    let gone = found.lines().filter(|line| !new.contains(line)).map(|line| format!("\n    - {line}"));
    let come = wanted.lines().filter(|line| !old.contains(line)).map(|line| format!("\n    + {line}"));
    let lines: Vec<String> = gone.chain(come).collect();
    match lines.len() {
        0 => " the order or the number of its lines".to_owned(),
        1..=SHOWN => lines.concat(),
        all => format!("{}\n    and {} lines more", lines[..SHOWN].concat(), all - SHOWN),
    }
}

/// How many changed lines of a file are shown.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_current() {
        let stale = differences(&from_the_model().unwrap(), PAGES.folders).unwrap();
        assert!(stale.is_empty(), "{stale:#?}");
    }

    #[test]
    fn a_difference_is_named() {
        let files = Files::from([("xtask/no such file".to_owned(), String::new())]);
        let found = differences(&files, &["xtask/Cargo.toml"]).unwrap();
        assert_eq!(found["xtask/no such file"], "  missing: xtask/no such file");
        assert_eq!(found["xtask/Cargo.toml"], "  no longer wanted: xtask/Cargo.toml");
        assert_eq!(changes("one\ntwo\n", "one\nthree\n"), "\n    - two\n    + three");
        assert!(changes(&"a\n".repeat(30), "").ends_with("- a\n    and 10 lines more"));
    }
}
