//! Writes the digests of a release. The GitHub Action and the GitLab component check downloads with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::archive;
use crate::generate::Files;
use crate::repo;

const DIGESTS: &str = ".github/actions/purge/digests.txt";
const SCRIPT: &str = ".github/actions/purge/purge.sh";
const COMPONENT: &str = "templates/purge.yml";

/// The targets of the archives of `cfcache` in a release.
const TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];

/// Writes the digests of the archives in a folder, which must contain all targets, into the action and the component.
/// Writes the checksums of all files into the folder.
pub(crate) fn digests(folder: &Path) -> Result<()> {
    let packages = repo::packages()?;
    let package = packages.iter().find(|package| *package.name == "cfcache-cli").context("no such crate")?;
    let lines = lines(&package.version.to_string(), &archive::sums(folder)?)?;
    archive::write_sums(folder)?;
    let head = repo::read(DIGESTS)?;
    let head = head.lines().next().filter(|line| line.starts_with('#')).context("digests.txt has no head")?;
    fs::write(repo::root().join(DIGESTS), format!("{head}\n{lines}"))?;
    for (path, content) in component()? {
        fs::write(repo::root().join(path), content)?;
    }
    println!("{lines}written to {DIGESTS} and {COMPONENT}");
    Ok(())
}

/// Returns one line for each target.
fn lines(version: &str, sums: &BTreeMap<String, String>) -> Result<String> {
    let mut lines = String::new();
    for target in TARGETS {
        let name = format!("cfcache-{version}-{target}.tar.gz");
        let sum = sums.get(&name);
        let sum = sum.with_context(|| format!("{name} is missing: a release contains all of {TARGETS:?}"))?;
        lines.push_str(&format!("{sum}  {name}\n"));
    }
    Ok(lines)
}

/// Returns the GitLab component, which contains the script of the action because a component is a single file.
pub(crate) fn component() -> Result<Files> {
    let head = repo::read("xtask/src/dist/component.yml")?;
    let indented = |path: &str, blanks: usize| -> Result<String> {
        let text = repo::read(path)?;
        let line = |line: &str| {
            if line.is_empty() { "\n".to_owned() } else { format!("{}{line}\n", " ".repeat(blanks)) }
        };
        Ok(text.lines().map(line).collect())
    };
    let text = head
        .replace("@DIGESTS@\n", indented(DIGESTS, 8)?.trim_start())
        .replace("@SCRIPT@\n", indented(SCRIPT, 6)?.trim_start());
    Ok(Files::from([(COMPONENT.to_owned(), text)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_action_has_a_digest() {
        let name = |target: &&str| format!("cfcache-1.2.3-{target}.tar.gz");
        let mut sums: BTreeMap<String, String> =
            TARGETS.iter().map(|target| (name(target), format!("digest of {target}"))).collect();
        sums.insert("cfcache-queue-1.2.3-x86_64-unknown-linux-musl.tar.gz".to_owned(), "another".to_owned());
        let lines = lines("1.2.3", &sums).unwrap();
        assert_eq!(lines.lines().count(), 5);
        let linux = "digest of x86_64-unknown-linux-musl  cfcache-1.2.3-x86_64-unknown-linux-musl.tar.gz\n";
        assert!(lines.ends_with(linux), "{lines}");
        sums.remove(&name(&TARGETS[4]));
        let error = super::lines("1.2.3", &sums).unwrap_err().to_string();
        assert!(error.starts_with("cfcache-1.2.3-x86_64-unknown-linux-musl.tar.gz is missing"), "{error}");
        let script = repo::read(SCRIPT).unwrap();
        assert!(TARGETS.iter().all(|target| script.contains(target)), "the action lacks a target");
        let workflow = repo::read(".github/workflows/release.yml").unwrap();
        for target in TARGETS {
            assert_eq!(workflow.matches(&format!("- target: {target}\n")).count(), 1, "{target}");
        }
    }
}
