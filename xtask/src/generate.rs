//! Writes what is made from code: the fixtures, the reference pages, the listings of the public API.

mod fixtures;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{dist, public_api, repo};

/// Paths in the checkout, and what the files hold.
pub(crate) type Files = BTreeMap<String, String>;

/// A set of files that is made from code, and the chore that writes it.
pub(crate) struct Generated {
    /// The folders that hold nothing else: a file that is not wanted there is removed.
    folders: &'static [&'static str],
    chore: &'static str,
    /// Makes them; told whether they are compared only.
    files: fn(bool) -> Result<Files>,
}

/// The fixtures, the reference pages, and the component of GitLab.
pub(crate) const PAGES: Generated = Generated {
    folders: &["fixtures/generated", "docs/reference"],
    chore: "generate",
    files: |is_check| {
        let mut files = fixtures::files();
        files.extend(reference::from_source());
        files.extend(dist::component()?);
        files.extend(reference::from_the_binary(is_check)?);
        Ok(files)
    },
};

/// The listings of the public API.
pub(crate) const PUBLIC_API: Generated =
    Generated { folders: &[public_api::FOLDER], chore: "public-api", files: |_| public_api::listings() };

/// How many changed lines of a file are shown.
const SHOWN: usize = 20;

impl Generated {
    /// Writes what is not current, and removes what is no longer wanted.
    pub(crate) fn write(&self) -> Result<()> {
        let wanted = (self.files)(false)?;
        let stale = differences(&wanted, self.folders)?;
        for path in stale.keys() {
            let file = repo::root().join(path);
            let Some(content) = wanted.get(path) else {
                fs::remove_file(&file).with_context(|| format!("cannot remove {path}"))?;
                println!("removed {path}");
                // Fails where the folder holds more, as it should.
                let _more = file.parent().map(fs::remove_dir);
                continue;
            };
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).with_context(|| format!("cannot make the folder of {path}"))?;
            }
            fs::write(&file, content).with_context(|| format!("cannot write {path}"))?;
            println!("wrote {path}");
        }
        println!("{} files are current, {} of them changed", wanted.len(), stale.len());
        Ok(())
    }

    /// Fails where something is not current, and says what.
    pub(crate) fn check(&self) -> Result<()> {
        let wanted = (self.files)(true)?;
        let stale: Vec<String> = differences(&wanted, self.folders)?.into_values().collect();
        ensure!(
            stale.is_empty(),
            "generated files are not current:\n{}\nif the change is meant: cargo xtask {}",
            stale.join("\n"),
            self.chore
        );
        println!("{} files are current", wanted.len());
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
        for path in repo::files_below(folder)?.into_iter().filter(|path| !wanted.contains_key(path)) {
            let what = format!("  no longer wanted: {path}");
            stale.insert(path, what);
        }
    }
    Ok(stale)
}

/// The lines that only one of the texts has.
fn changes(found: &str, wanted: &str) -> String {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (found.lines().collect(), wanted.lines().collect());
    let gone = found.lines().filter(|line| !new.contains(line)).map(|line| format!("\n    - {line}"));
    let come = wanted.lines().filter(|line| !old.contains(line)).map(|line| format!("\n    + {line}"));
    let mut lines: Vec<String> = gone.chain(come).collect();
    if lines.is_empty() {
        return " the order or the number of its lines".to_owned();
    }
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("\n    and {more} lines more"));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages that `cfcache` itself prints are checked by the step `generate` of `cargo xtask ci`, which builds it first.
    #[test]
    fn generated_files_are_current() {
        let mut files = fixtures::files();
        files.extend(reference::from_source());
        files.extend(dist::component().unwrap());
        let mut stale = differences(&files, PAGES.folders).unwrap();
        stale.retain(|path, _| !reference::OF_THE_BINARY.contains(&path.as_str()));
        assert!(stale.is_empty(), "{stale:#?}");
    }

    #[test]
    fn a_difference_is_named() {
        let files = Files::from([("xtask/no such file".to_owned(), String::new())]);
        let found = differences(&files, &[]).unwrap();
        assert_eq!(found["xtask/no such file"], "  missing: xtask/no such file");
        assert_eq!(changes("one\ntwo\n", "one\nthree\n"), "\n    - two\n    + three");
        assert!(changes(&"a\n".repeat(9), "").ends_with("- a"));
    }
}
