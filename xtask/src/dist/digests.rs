//! The digests of a release, where the action and the component of GitLab check the archive that they download.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{PRODUCTS, archive, version};
use crate::generate::Files;
use crate::repo;

const DIGESTS: &str = ".github/actions/purge/digests.txt";
const SCRIPT: &str = ".github/actions/purge/purge.sh";
const COMPONENT: &str = "templates/purge.yml";

/// What a release has an archive of `cfcache` for.
const TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];

/// Writes the digests of the archives in a folder, which has those of all targets, into the action and the component, and
/// the checksums of all files into the folder.
pub(crate) fn digests(folder: &Path) -> Result<()> {
    let version = version(&PRODUCTS[0])?;
    let lines = lines(&version, &archive::sums(folder)?)?;
    archive::write_sums(folder)?;
    let head = repo::read(DIGESTS)?;
    let head = head.lines().next().filter(|line| line.starts_with('#')).context("digests.txt has no head")?;
    fs::write(repo::root().join(DIGESTS), format!("{head}\n{lines}"))?;
    for (path, content) in component()? {
        fs::write(repo::root().join(path), content)?;
    }
    println!("{lines}are in {DIGESTS} and in {COMPONENT}");
    Ok(())
}

/// A line for each target.
fn lines(version: &str, sums: &[(String, String)]) -> Result<String> {
    let mut lines = String::new();
    for target in TARGETS {
        let name = format!("cfcache-{version}-{target}.tar.gz");
        let sum = sums.iter().find(|(file, _)| *file == name).map(|(_, sum)| sum);
        let sum = sum.with_context(|| format!("{name} is missing: a release has all of {TARGETS:?}"))?;
        lines.push_str(&format!("{sum}  {name}\n"));
    }
    Ok(lines)
}

/// The component of GitLab, which has the action's script in it: a component is one file.
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
    fn a_release_has_a_digest_for_each_target_of_the_action() {
        let sums: Vec<(String, String)> = TARGETS
            .iter()
            .flat_map(|target| {
                ["cfcache", "cfcache-queue"].map(|name| format!("{name}-1.2.3-{target}.tar.gz"))
            })
            .map(|name| (name.clone(), name.len().to_string()))
            .collect();
        let lines = lines("1.2.3", &sums).unwrap();
        assert_eq!(lines.lines().count(), 5);
        assert!(lines.contains("46  cfcache-1.2.3-x86_64-unknown-linux-musl.tar.gz\n"), "{lines}");
        let error = super::lines("1.2.3", &sums[..8]).unwrap_err().to_string();
        assert!(error.starts_with("cfcache-1.2.3-x86_64-unknown-linux-musl.tar.gz is missing"), "{error}");
        let script = repo::read(SCRIPT).unwrap();
        assert!(TARGETS.iter().all(|target| script.contains(target)), "the action does not know one");
        let workflow = repo::read(".github/workflows/release.yml").unwrap();
        for target in TARGETS {
            assert_eq!(workflow.matches(&format!("- target: {target}\n")).count(), 1, "{target}");
        }
    }
}
