//! Writes what is made from code: the fixtures and the reference pages.

mod fixtures;
mod reference;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::repo;

/// Paths in the checkout, and what the files hold.
type Files = BTreeMap<String, String>;

/// The folders that hold nothing else: a file that is not wanted there is removed.
const OWNED: &[&str] = &["fixtures/generated", "docs/reference"];

/// A difference between what is there and what is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Difference {
    Missing(String),
    Stale(String),
    /// The number of the first line that differs.
    Changed(String, usize),
}

/// Writes what is not current, and removes what is no longer wanted.
pub(crate) fn write() -> Result<()> {
    let wanted = wanted()?;
    let differences = differences(&wanted, OWNED)?;
    for difference in &differences {
        match difference {
            Difference::Missing(path) | Difference::Changed(path, _) => {
                let file = repo::root().join(path);
                if let Some(folder) = file.parent() {
                    fs::create_dir_all(folder)
                        .with_context(|| format!("cannot make the folder of {path}"))?;
                }
                fs::write(&file, &wanted[path]).with_context(|| format!("cannot write {path}"))?;
                println!("wrote {path}");
            }
            Difference::Stale(path) => {
                let file = repo::root().join(path);
                fs::remove_file(&file).with_context(|| format!("cannot remove {path}"))?;
                println!("removed {path}");
                // Fails where the folder holds more, as it should.
                let _more = file.parent().map(fs::remove_dir);
            }
        }
    }
    println!("{} files are current, {} of them changed", wanted.len(), differences.len());
    Ok(())
}

/// Fails where something is not current, and says what.
pub(crate) fn check() -> Result<()> {
    let wanted = wanted()?;
    report(&differences(&wanted, OWNED)?)?;
    println!("{} files are current", wanted.len());
    Ok(())
}

fn report(differences: &[Difference]) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    let mut text = String::from("generated files are not current:");
    for difference in differences {
        text.push_str("\n  ");
        match difference {
            Difference::Missing(path) => text.push_str(&format!("missing: {path}")),
            Difference::Stale(path) => text.push_str(&format!("no longer wanted: {path}")),
            Difference::Changed(path, line) => text.push_str(&format!("differs from line {line}: {path}")),
        }
    }
    bail!("{text}\nrun cargo xtask generate");
}

fn wanted() -> Result<Files> {
    let mut files = fixtures::files();
    files.extend(reference::from_source()?);
    files.extend(reference::from_the_binary()?);
    Ok(files)
}

fn differences(wanted: &Files, owned: &[&str]) -> Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (path, content) in wanted {
        match fs::read(repo::root().join(path)) {
            Err(_) => differences.push(Difference::Missing(path.clone())),
            Ok(found) if found != content.as_bytes() => {
                let found = String::from_utf8_lossy(&found).into_owned();
                let same = found.lines().zip(content.lines()).take_while(|(found, wanted)| found == wanted);
                differences.push(Difference::Changed(path.clone(), same.count() + 1));
            }
            Ok(_) => {}
        }
    }
    for folder in owned {
        let found = repo::files_below(folder)?;
        let stale = found.into_iter().filter(|path| !wanted.contains_key(path));
        differences.extend(stale.map(Difference::Stale));
    }
    Ok(differences)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pages that `cfcache` itself prints are checked by the step `generate` of `cargo xtask ci`, which builds it first.
    #[test]
    fn generated_files_are_current() {
        let mut files = fixtures::files();
        files.extend(reference::from_source().unwrap());
        let mut differences = differences(&files, OWNED).unwrap();
        differences.retain(|difference| match difference {
            Difference::Stale(path) => !reference::OF_THE_BINARY.contains(&path.as_str()),
            _ => true,
        });
        report(&differences).unwrap();
    }

    #[test]
    fn a_difference_is_named_and_so_is_the_cure() {
        let files = Files::from([("xtask/no such file".to_owned(), String::new())]);
        let found = differences(&files, &[]).unwrap();
        assert_eq!(found, [Difference::Missing("xtask/no such file".to_owned())]);
        let report = report(&found).unwrap_err().to_string();
        assert!(report.contains("missing: xtask/no such file"), "{report}");
        assert!(report.ends_with("run cargo xtask generate"), "{report}");
    }
}
