//! `docs/api`: the public API of each library crate as a text, so that a review sees what changes in it.
//!
//! The crate `public-api` reads it from rustdoc's JSON, which is unstable: its format belongs to one compiler. The
//! compiler is therefore the one that the crates declare as the oldest, and `RUSTC_BOOTSTRAP` lets it write JSON.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::generate::Files;
use crate::repo;

/// The folder of the listings.
pub(crate) const FOLDER: &str = "docs/api";

/// Auto traits and markers that callers do not build on; a `Send`, `Sync` or `Unpin` that is lost breaks them.
const OMITTED: [&str; 5] = [
    "core::marker::Freeze",
    "core::marker::StructuralPartialEq",
    "core::marker::UnsafeUnpin",
    "core::panic::unwind_safe::RefUnwindSafe",
    "core::panic::unwind_safe::UnwindSafe",
];

/// The listing of each crate that is published and has a library.
pub(crate) fn listings() -> Result<Files> {
    let packages = repo::packages()?;
    let shown = packages.iter().filter(|package| package.is_published && package.has_library);
    let names: Vec<&str> = shown.map(|package| package.name.as_str()).collect();
    let target = repo::target()?.join("public-api");
    let mut doc = repo::oldest_toolchain(&packages)?.cargo();
    doc.args(["doc", "--quiet", "--locked", "--no-deps", "--lib", "--all-features", "--target-dir"])
        .arg(&target);
    doc.args(names.iter().flat_map(|name| ["--package", name]));
    doc.env("RUSTDOCFLAGS", "-Zunstable-options --output-format=json --cap-lints=allow");
    // Only these crates: a build script that sees the variable might choose other code.
    doc.env("RUSTC_BOOTSTRAP", names.join(",").replace('-', "_"));
    ensure!(doc.stderr(Stdio::inherit()).status()?.success(), "rustdoc failed");
    let listing = |name: &&str| {
        let json = target.join("doc").join(format!("{}.json", name.replace('-', "_")));
        let api = public_api::Builder::from_rustdoc_json(&json).omit_blanket_impls(true).build();
        let api = api.with_context(|| format!("cannot read {}", json.display()))?;
        let lines = shortened(&api.items().map(ToString::to_string).collect::<Vec<_>>());
        let head =
            format!("# The public API of {name} with all features, written by `cargo xtask public-api`.\n");
        Ok((format!("{FOLDER}/{name}.txt"), head + &lines))
    };
    names.iter().map(listing).collect()
}

/// Leaves out what follows from another line: the functions of a trait's implementation.
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

/// Fails where a line of the last release's listings is gone and the version does not say so.
///
/// It is `cargo-semver-checks` in small: the listing has every item and every auto trait, so a line that is gone or
/// changed is what can break a caller. Additions are never refused.
pub(crate) fn check_semver() -> Result<String> {
    let tags = repo::capture("git", ["tag", "--list", "v[0-9]*", "--sort=-version:refname", "--merged"])?;
    let Some(tag) = tags.lines().next() else {
        return Ok("nothing was released yet, so nothing can break".to_owned());
    };
    let version = repo::packages()?.into_iter().find(|package| package.is_published);
    let version = version.context("no crate is published")?.version;
    let mut gone = Vec::new();
    for path in repo::capture("git", ["ls-tree", "-r", "--name-only", tag, "--", FOLDER])?.lines() {
        let before = repo::capture("git", ["show", &format!("{tag}:{path}")])?;
        let after = if repo::root().join(path).exists() { repo::read(path)? } else { String::new() };
        gone.extend(missing(&before, &after).map(|line| format!("  {path}: {line}")));
    }
    ensure!(
        gone.is_empty() || breaks(tag.trim_start_matches('v'), &version),
        "version {version} is compatible with {tag} by its number, and this is gone:\n{}\nraise the version",
        gone.join("\n")
    );
    Ok(format!("{} lines of the API are gone since {tag}, the version is {version}", gone.len()))
}

/// The lines of a listing that the later one does not have.
fn missing<'a>(before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    let after: std::collections::BTreeSet<&str> = after.lines().collect();
    before.lines().filter(move |line| !line.starts_with('#') && !after.contains(line))
}

/// Whether cargo takes the second version for incompatible with the first: the first part that is not 0 differs.
fn breaks(before: &str, after: &str) -> bool {
    let parts = |version: &str| version.split(['.', '-']).map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (parts(before), parts(after));
    let significant = before.iter().position(|part| part != "0").unwrap_or(before.len());
    before.iter().zip(&after).take(significant + 1).any(|(before, after)| before != after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_keeps_send_and_drops_functions_of_trait_implementations() {
        let lines = [
            "pub struct a::B",
            "impl a::B",
            "pub const fn a::B::new() -> Self",
            "impl core::str::traits::FromStr for a::B",
            "pub type a::B::Err = a::C",
            "pub fn a::B::from_str(&str) -> Result<Self, a::C>",
            "impl core::marker::Freeze for a::B",
            "impl core::marker::Send for a::B",
            "pub fn a::free()",
        ];
        let kept = shortened(&lines.map(str::to_owned));
        let kept: Vec<&str> = kept.lines().collect();
        assert_eq!(kept, [lines[0], lines[1], lines[2], lines[3], lines[4], lines[7]]);
    }

    #[test]
    fn a_lost_send_is_missing() {
        let before = "# Header\npub struct a::B\nimpl core::marker::Send for a::B\n";
        let after = "# Other\nimpl !core::marker::Send for a::B\npub struct a::B\n";
        assert_eq!(missing(before, after).collect::<Vec<_>>(), ["impl core::marker::Send for a::B"]);
    }

    #[test]
    fn a_version_breaks_by_the_rules_of_cargo() {
        for (before, after, expected) in [
            ("0.1.0", "0.1.1", false),
            ("0.1.0", "0.2.0", true),
            ("0.0.1", "0.0.2", true),
            ("1.2.0", "1.3.0", false),
            ("1.2.0", "2.0.0", true),
            ("0.9.0", "1.0.0", true),
        ] {
            assert_eq!(breaks(before, after), expected, "{before} -> {after}");
        }
    }
}
