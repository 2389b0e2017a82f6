//! Who depends on whom.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::repo;

/// What each crate may depend on directly, but for tests. Everything else is a decision: take it, then write it here.
const ALLOWED: &[(&str, &[&str])] = &[
    ("cfcache-model", &["serde", "serde_json", "siphasher", "thiserror"]),
    (
        "cfcache-transport",
        &[
            "bytes",
            "h2",
            "http",
            "hyper",
            "hyper-rustls",
            "hyper-util",
            "rustls",
            "rustls-platform-verifier",
            "tokio",
            "tower-service",
            "webpki-roots",
        ],
    ),
    (
        "cfcache-client",
        &[
            "bytes",
            "cfcache-model",
            "cfcache-transport",
            "futures-core",
            "http",
            "httpdate",
            "secrecy",
            "tokio",
        ],
    ),
    ("cfcache-edge", &["bytes", "cfcache-model", "http", "httpdate", "serde_json"]),
    (
        "cfcache-emulator",
        &["bytes", "cfcache-model", "http", "http-body-util", "hyper", "hyper-util", "serde_json", "tokio"],
    ),
    (
        "cfcache-cli",
        &[
            "cfcache-client",
            "cfcache-emulator",
            "cfcache-model",
            "cfcache-transport",
            "clap",
            "clap_complete",
            "clap_mangen",
            "futures-core",
            "http",
            // Line breaks many bytes at a time; in the tree already.
            "memchr",
            "secrecy",
            "serde",
            "serde_json",
            "siphasher",
            "terminal_size",
            "tokio",
            "toml",
            // How many columns a text takes is a table of the Unicode standard; this is that table, and nothing below it.
            "unicode-width",
        ],
    ),
    (
        "xtask",
        &["anyhow", "cfcache-model", "http", "prettyplease", "proc-macro2", "quote", "serde_json", "syn"],
    ),
];

/// Which of our crates each may know, tests included.
const BELOW: &[(&str, &[&str])] = &[
    ("cfcache-model", &[]),
    ("cfcache-transport", &[]),
    ("cfcache-client", &["cfcache-model", "cfcache-transport"]),
    ("cfcache-edge", &["cfcache-model"]),
    ("cfcache-emulator", &["cfcache-edge", "cfcache-model"]),
    (
        "cfcache-cli",
        &["cfcache-client", "cfcache-edge", "cfcache-emulator", "cfcache-model", "cfcache-transport"],
    ),
    ("xtask", &["cfcache-model"]),
];

/// All that the model stands on, macros aside.
const MODEL_TREE: &[&str] = &[
    "cfcache-model",
    "itoa",
    "memchr",
    "serde",
    "serde_core",
    "serde_json",
    "siphasher",
    "thiserror",
    "zmij",
];

/// What must not be below the client without its driver.
const IO: &[&str] = &["hyper", "hyper-rustls", "hyper-util", "mio", "ring", "rustls", "socket2", "tokio"];

/// A name, and the files of a crate that alone may use it; other crates may not use it at all.
const NAMES: &[(&str, &[&str])] = &[
    ("clap::", &["crates/cfcache-cli/src/args.rs"]),
    ("clap_complete::", &["crates/cfcache-cli/src/command/generate.rs"]),
    ("clap_mangen::", &["crates/cfcache-cli/src/command/generate.rs"]),
    ("env::var", &["crates/cfcache-cli/src/config/environment.rs"]),
    (
        "rustls::",
        &["crates/cfcache-transport/src/hyper/tls.rs", "crates/cfcache-transport/src/hyper/tls/trust.rs"],
    ),
];

struct Package {
    name: String,
    /// Names, and whether they are for tests.
    dependencies: Vec<(String, bool)>,
}

fn packages() -> Result<Vec<Package>> {
    let text = repo::capture("cargo", ["metadata", "--no-deps", "--format-version=1"])?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]).into_iter().map(|package| Package {
        name: name(&package),
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|dependency| (name(dependency), dependency["kind"] == "dev"))
            .collect(),
    });
    Ok(packages.collect())
}

/// The rows of a table for a crate.
fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, row)| *row)
}

pub(super) fn direct_dependencies_equal_the_allow_list() -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let packages = packages()?;
    for package in &packages {
        let Some(allowed) = row(ALLOWED, &package.name) else {
            broken.push(format!("{} is not in the allow-list of xtask/src/tidy/crates.rs", package.name));
            continue;
        };
        let found = package.dependencies.iter().filter(|(_, for_tests)| !for_tests);
        let found: Vec<&str> = found.map(|(name, _)| name.as_str()).collect();
        let new = found.iter().filter(|name| !allowed.contains(name));
        broken.extend(new.map(|name| format!("{} depends on {name}, which is not allowed", package.name)));
        let gone = allowed.iter().filter(|name| !found.contains(name));
        broken.extend(gone.map(|name| format!("{} is allowed {name}, and does not use it", package.name)));
    }
    for (name, _) in ALLOWED {
        if packages.iter().all(|package| package.name != *name) {
            broken.push(format!("{name} is allowed dependencies, and does not exist"));
        }
    }
    Ok(broken)
}

pub(super) fn arrows_point_down_in_tests_too() -> Result<Vec<String>> {
    let packages = packages()?;
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut broken = Vec::new();
    for package in &packages {
        let below = row(BELOW, &package.name).unwrap_or_default();
        // A crate's tests may use the crate itself with other features.
        let wrong = package
            .dependencies
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| is_ours(name) && *name != package.name && !below.contains(name));
        broken.extend(wrong.map(|name| format!("{} depends on {name}, which is not below it", package.name)));
    }
    Ok(broken)
}

/// The names of the crates below one, sorted, macros aside.
fn tree(arguments: &[&str]) -> Result<Vec<String>> {
    let output = repo::command("cargo")
        .args(["tree", "--edges=normal,no-proc-macro", "--prefix=none", "--format={p}"])
        .args(arguments)
        .output()
        .context("cannot run cargo tree")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo tree failed:\n{}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

pub(super) fn the_model_builds_on_data_alone() -> Result<Vec<String>> {
    let found = tree(&["--package=cfcache-model", "--all-features"])?;
    let new = found.iter().filter(|name| !MODEL_TREE.contains(&name.as_str()));
    let gone = MODEL_TREE.iter().filter(|name| !found.iter().any(|found| found == *name));
    let new = new.map(|name| format!("cfcache-model stands on {name}, which is not in the list"));
    Ok(new.chain(gone.map(|name| format!("cfcache-model no longer stands on {name}"))).collect())
}

pub(super) fn the_client_without_its_driver_knows_no_io() -> Result<Vec<String>> {
    let found = tree(&["--package=cfcache-client", "--no-default-features"])?;
    let wrong = found.iter().filter(|name| IO.contains(&name.as_str()));
    Ok(wrong.map(|name| format!("cfcache-client without features stands on {name}")).collect())
}

pub(super) fn the_model_is_no_std() -> Result<Vec<String>> {
    let path = "crates/cfcache-model/src/lib.rs";
    let is_no_std = repo::read(path)?.lines().any(|line| line == "#![no_std]");
    Ok(if is_no_std { Vec::new() } else { vec![format!("{path} is not `#![no_std]`")] })
}

pub(super) fn a_name_from_below_stays_in_its_file() -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for path in repo::files()? {
        if !(path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs")) {
            continue;
        }
        let text = repo::read(&path)?;
        for (name, homes) in NAMES {
            if homes.contains(&path.as_str()) {
                continue;
            }
            let places = text.lines().enumerate().filter(|(_, line)| names(line, name));
            broken.extend(places.map(|(index, _)| {
                format!("{path}:{} names `{name}`, which is for {} alone", index + 1, homes.join(", "))
            }));
        }
    }
    Ok(broken)
}

/// Does a line of code begin a path with that name?
fn names(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(name).any(|(index, _)| !code[..index].ends_with(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_word_outside_of_comments() {
        assert!(names("use rustls::ClientConfig;", "rustls::"));
        assert!(!names("use hyper_rustls::HttpsConnector;", "rustls::"));
        assert!(!names("let a = 1; // rustls::ClientConfig", "rustls::"));
        assert!(names("let home = std::env::var_os(name);", "env::var"));
    }
}
