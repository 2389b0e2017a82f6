//! `docs/api`: the public API of each library crate as text, so that a review shows what changes.
//!
//! The crate `public-api` reads it from rustdoc's JSON. That format is unstable and specific to a compiler version, so
//! the oldest compiler that the crates declare is used, and `RUSTC_BOOTSTRAP` enables the JSON.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::semver::{Version, VersionReq};

use crate::generate::Files;
use crate::repo;

/// Auto traits and markers that callers do not depend on. A lost `Send`, `Sync` or `Unpin` breaks callers.
const OMITTED: [&str; 5] = [
    "core::marker::Freeze",
    "core::marker::StructuralPartialEq",
    "core::marker::UnsafeUnpin",
    "core::panic::unwind_safe::RefUnwindSafe",
    "core::panic::unwind_safe::UnwindSafe",
];

/// Returns the listing of each published crate with a library.
pub(crate) fn listings() -> Result<Files> {
    let mut packages = repo::packages()?;
    packages.retain(|package| repo::is_published(package) && repo::has_library(package));
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let target = repo::target("public-api")?;
    let mut doc = repo::oldest_cargo()?;
    doc.args(["doc", "--quiet", "--locked", "--no-deps", "--lib", "--all-features", "--target-dir"]);
    doc.arg(&target).args(names.iter().flat_map(|name| ["--package", name]));
    doc.env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json --cap-lints=allow");
    // Only for these crates: a build script that sees the variable might choose other code.
    doc.env("RUSTC_BOOTSTRAP", names.join(",").replace('-', "_"));
    repo::run(&mut doc)?;
    let listing = |name: &&str| {
        let json = target.join("doc").join(format!("{}.json", name.replace('-', "_")));
        let api = public_api::Builder::from_rustdoc_json(&json).omit_blanket_impls(true).build();
        let api = api.with_context(|| format!("cannot read {}", json.display()))?;
        let lines = shortened(&api.items().map(ToString::to_string).collect::<Vec<_>>());
        let head = "with all features, written by `cargo xtask public-api`";
        Ok((format!("docs/api/{name}.txt"), format!("# The public API of {name} {head}.\n{lines}")))
    };
    names.iter().map(listing).collect()
}

/// Removes lines that follow from others: the functions of trait implementations.
fn shortened(lines: &[String]) -> String {
    let mut text = String::new();
    let mut implements_a_trait = false;
    for line in lines {
        let is_function = line.split('(').next().is_some_and(|start| start.contains("fn "));
        let is_implementation = line.starts_with("impl");
        if is_implementation || !(is_function || line.starts_with("pub type ")) {
            implements_a_trait = is_implementation && line.contains(" for ");
        }
        let is_omitted = is_implementation && OMITTED.iter().any(|name| line.contains(name));
        if !(is_omitted || implements_a_trait && is_function) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Fails if a line of the last release's listings was removed and the version is compatible with that release.
///
/// This replaces `cargo-semver-checks` in a simple form: the listing has every item and every auto trait, so a removed
/// or changed line is what can break a caller. Additions are always accepted.
pub(crate) fn check_version() -> Result<()> {
    let tags = ["tag", "--list", "v[0-9]*", "--sort=-version:refname", "--merged"];
    let tags = repo::capture("git", &tags)?;
    let Some(tag) = tags.lines().next() else {
        println!("there is no release yet, so nothing can break");
        return Ok(());
    };
    let version =
        &repo::packages()?.into_iter().find(repo::is_published).context("no crate is published")?.version;
    let mut gone = Vec::new();
    for path in repo::capture("git", &["ls-tree", "-r", "--name-only", tag, "--", "docs/api"])?.lines() {
        let before = repo::capture("git", &["show", &format!("{tag}:{path}")])?;
        let after = if repo::root().join(path).exists() { repo::read(path)? } else { String::new() };
        gone.extend(missing(&before, &after).into_iter().map(|line| format!("  {path}: {line}")));
    }
    ensure!(
        gone.is_empty() || !is_compatible(tag.trim_start_matches('v'), version)?,
        "version {version} claims to be compatible with {tag}, but these lines were removed:\n{}\nraise the version",
        gone.join("\n")
    );
    println!("{} lines of the API were removed since {tag}; the version is {version}", gone.len());
    Ok(())
}

/// Returns the lines that the later listing lacks.
fn missing<'a>(before: &'a str, after: &str) -> Vec<&'a str> {
    let after: BTreeSet<&str> = after.lines().collect();
    before.lines().filter(|line| !line.starts_with('#') && !after.contains(line)).collect()
}

/// Returns whether cargo accepts a version where a release was requested.
fn is_compatible(release: &str, version: &Version) -> Result<bool> {
    Ok(VersionReq::parse(release)?.matches(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_send_requires_an_incompatible_version() {
        let before = "# Header\npub struct a::B\nimpl core::marker::Send for a::B\n";
        let after = "# Other\nimpl !core::marker::Send for a::B\npub struct a::B\n";
        assert_eq!(missing(before, after), ["impl core::marker::Send for a::B"]);
        for (release, version, expected) in [
            ("0.1.0", "0.1.1", true),
            ("0.1.0", "0.2.0", false),
            ("1.2.0", "1.3.0", true),
            ("1.2.0", "2.0.0", false),
        ] {
            assert_eq!(is_compatible(release, &version.parse().unwrap()).unwrap(), expected, "{version}");
        }
    }
}
