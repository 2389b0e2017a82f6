//! Generated files: fixtures, reference pages, listings of the public API, and the SDK's requests.

mod fixtures;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{conformance, dist, public_api, repo};

/// Paths in the checkout, with the content of the files.
pub(crate) type Files = BTreeMap<String, String>;

/// A set of generated files.
pub(crate) struct Generated {
    command: &'static str,
    /// Folders that contain only generated files. Other files in them are removed.
    folders: &'static [&'static str],
    /// Generates the files. The argument says whether they are only compared.
    files: fn(bool) -> Result<Files>,
}

/// The fixtures, the reference pages, and the GitLab component.
pub(crate) const PAGES: Generated = Generated {
    command: "generate",
    folders: &["fixtures/generated"],
    files: |is_check| {
        reference::test_the_command_line(is_check)?;
        model_files()
    },
};

/// The listings of the public API.
pub(crate) const PUBLIC_API: Generated =
    Generated { command: "public-api", folders: &["docs/api"], files: |_| public_api::listings() };

/// The requests of the vendor's SDK.
pub(crate) const SDK_REQUESTS: Generated =
    Generated { command: "conformance", folders: &["fixtures/sdk"], files: |_| conformance::requests() };

fn model_files() -> Result<Files> {
    Ok([fixtures::files(), reference::pages(), dist::component()?].into_iter().flatten().collect())
}

impl Generated {
    /// Writes changed files and removes obsolete ones. With `is_check`, fails and lists them instead.
    pub(crate) fn run(&self, is_check: bool) -> Result<()> {
        let expected = (self.files)(is_check)?;
        let stale = differences(&expected, self.folders)?;
        let changes: Vec<&str> = stale.values().map(String::as_str).collect();
        ensure!(
            stale.is_empty() || !is_check,
            "generated files are not up to date:\n{}\nif the change is intended: cargo xtask {}",
            changes.join("\n"),
            self.command
        );
        for path in stale.keys() {
            let file = repo::root().join(path);
            if let Some(content) = expected.get(path) {
                fs::create_dir_all(file.parent().context("a file has no folder")?)?;
                fs::write(&file, content).with_context(|| format!("cannot write {path}"))?;
                println!("wrote {path}");
            } else {
                fs::remove_file(&file).with_context(|| format!("cannot remove {path}"))?;
                println!("removed {path}");
            }
        }
        println!("{} files are up to date; {} of them changed", expected.len(), stale.len());
        Ok(())
    }
}

/// Returns the files that differ, with a description of each difference.
fn differences(expected: &Files, folders: &[&str]) -> Result<Files> {
    let mut stale = Files::new();
    for (path, content) in expected {
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
        for path in repo::files(folder)?.into_iter().filter(|path| !expected.contains_key(path)) {
            let what = format!("  obsolete: {path}");
            stale.insert(path, what);
        }
    }
    Ok(stale)
}

/// Returns the first lines that only one of the texts contains.
fn changes(found: &str, expected: &str) -> String {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (found.lines().collect(), expected.lines().collect());
    let gone = found.lines().filter(|line| !new.contains(line)).map(|line| format!("\n    - {line}"));
    let come = expected.lines().filter(|line| !old.contains(line)).map(|line| format!("\n    + {line}"));
    let lines: Vec<String> = gone.chain(come).collect();
    match lines.len() {
        0 => " the order or the number of its lines".to_owned(),
        1..=SHOWN => lines.concat(),
        all => format!("{}\n    and {} lines more", lines[..SHOWN].concat(), all - SHOWN),
    }
}

/// The number of changed lines to show for a file.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_up_to_date() {
        let stale = differences(&model_files().unwrap(), PAGES.folders).unwrap();
        assert!(stale.is_empty(), "{stale:#?}");
    }

    #[test]
    fn describes_differences() {
        let files = Files::from([("xtask/no such file".to_owned(), String::new())]);
        let found = differences(&files, &["xtask/Cargo.toml"]).unwrap();
        assert_eq!(found["xtask/no such file"], "  missing: xtask/no such file");
        assert_eq!(found["xtask/Cargo.toml"], "  obsolete: xtask/Cargo.toml");
        assert_eq!(changes("one\ntwo\n", "one\nthree\n"), "\n    - two\n    + three");
        assert!(changes(&"a\n".repeat(30), "").ends_with("- a\n    and 10 lines more"));
    }
}
