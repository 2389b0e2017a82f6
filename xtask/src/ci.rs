//! What CI runs, and what a contributor runs: the same.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{conformance, generate, public_api, repo, tidy};

/// A name, and what it does.
type Step = (&'static str, fn() -> Result<Outcome>);

/// What a step that did not fail came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It needs something that not every machine has.
    Skipped(String),
}

fn passed((): ()) -> Outcome {
    Outcome::Passed
}

/// In this order: what is quick, and what others build on, comes first.
const STEPS: &[Step] = &[
    ("fmt", || fmt().map(passed)),
    ("tidy", || tidy::run().map(passed)),
    ("deny", deny),
    ("clippy", || clippy().map(passed)),
    ("test", || test().map(passed)),
    ("conformance", || conformance::run().map(passed)),
    ("generate", || generate::check().map(passed)),
    ("public-api", || public_api::check().map(passed)),
    ("docs", || docs().map(passed)),
    ("fuzz", || fuzz().map(passed)),
    ("msrv", msrv),
];

/// The names of the steps.
pub(crate) fn steps() -> String {
    STEPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Runs the steps named, or all; the first that fails is the last that runs.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|(step, _)| step != *name)) {
        bail!("no such step: `{unknown}`; the steps are {}", steps());
    }
    let mut times = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        println!("=== {name}");
        let start = now();
        let result = step();
        let took = seconds(start.elapsed());
        match result {
            Ok(Outcome::Passed) => {
                println!("=== {name}: passed in {took}\n");
                times.push(format!("{name} {took}"));
            }
            Ok(Outcome::Skipped(why)) => {
                println!("=== {name}: SKIPPED: {why}\n");
                times.push(format!("{name} skipped"));
            }
            Err(error) => {
                bail!("step `{name}` failed after {took}: {error:#}\nto repeat it: cargo xtask ci {name}")
            }
        }
    }
    println!("no step failed: {}", times.join(", "));
    Ok(())
}

/// The clock. Other crates are given the time; here it is what is asked for.
#[expect(clippy::disallowed_methods, reason = "to measure is what this is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn fmt() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    // Modules that a macro declares are not found by it.
    let folder = repo::root().join("crates/cfcache-model/src/endpoint");
    let mut command = repo::command("rustfmt");
    command.args(["--edition", "2024", "--check"]);
    for file in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        command.arg(file?.path());
    }
    println!("$ rustfmt --edition 2024 --check crates/cfcache-model/src/endpoint/*.rs");
    succeed(&mut command)
}

fn clippy() -> Result<()> {
    // The features that no other crate of the workspace turns off are turned off here. And what a crate forgot to ask
    // of its dependencies shows only where nobody else asks for it: alone.
    let selections: [&[&str]; 7] = [
        &["--workspace", "--all-targets"],
        &["--package=cfcache-model"],
        &["--package=cfcache-edge"],
        &["--package=cfcache-emulator"],
        &["--package=cfcache-client", "--no-default-features"],
        &["--package=cfcache-transport", "--no-default-features"],
        &["--package=cfcache-transport", "--all-targets", "--all-features"],
    ];
    for selection in selections {
        cargo(&[&["clippy", "--quiet"], selection, &["--", "-D", "warnings"]].concat())?;
    }
    Ok(())
}

/// Licences, sources and crates that are not wanted. (Advisories have to be fetched, and change without us.)
fn deny() -> Result<Outcome> {
    let version = repo::command("cargo").args(["deny", "--version"]).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Skipped("cargo-deny is not here (cargo install --locked cargo-deny)".to_owned()));
    }
    // Two versions of a crate are worth a warning, and not the page of it.
    let quiet = ["deny", "--offline", "--log-level=error", "check", "--hide-inclusion-graph"];
    cargo(&[&quiet[..], &["licenses", "bans", "sources"]].concat())?;
    Ok(Outcome::Passed)
}

/// The fuzz targets are no members of the workspace, so nothing else would see that they no longer compile. To run them
/// takes nightly; to check them does not.
fn fuzz() -> Result<()> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    let files = repo::files()?;
    let manifests: Vec<_> = files.iter().filter(|path| path.ends_with("/fuzz/Cargo.toml")).collect();
    ensure!(!manifests.is_empty(), "there is no fuzz target");
    for manifest in manifests {
        let arguments = ["check", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", target];
        // Nothing is linked, so there need not be a compiler for the C++ of the fuzzer, nor what it makes.
        let fuzzer = format!("{target}/libfuzzer.a");
        succeed(announced(&arguments).env("CUSTOM_LIBFUZZER_PATH", fuzzer))?;
    }
    Ok(())
}

/// Builds with the oldest compilers that the manifests allow, where these are here.
fn msrv() -> Result<Outcome> {
    let metadata = metadata()?;
    let mut crates: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().context("cargo metadata names no packages")? {
        if let (Some(name), Some(version)) = (package["name"].as_str(), package["rust_version"].as_str()) {
            crates.entry(version).or_default().push(name);
        }
    }
    ensure!(!crates.is_empty(), "no crate says which compiler it needs");
    let Ok(installed) = repo::capture("rustup", ["toolchain", "list"]) else {
        return Ok(Outcome::Skipped("rustup is not here".to_owned()));
    };
    let mut missing = Vec::new();
    for (version, names) in crates {
        let Some(toolchain) = toolchain(&installed, version) else {
            missing.push(format!("Rust {version} is not here (rustup toolchain install {version})"));
            continue;
        };
        println!("$ cargo +{toolchain} check --package {}", names.join(" --package "));
        let mut command = repo::command("rustup");
        command.args(["run", toolchain, "cargo", "check", "--quiet", "--locked"]);
        succeed(command.args(names.iter().flat_map(|name| ["--package", name])))?;
    }
    Ok(if missing.is_empty() { Outcome::Passed } else { Outcome::Skipped(missing.join("; ")) })
}

/// The installed toolchain of a version such as `1.89`: `1.89-x86_64-unknown-linux-gnu`, `1.89.0-…`.
fn toolchain<'l>(installed: &'l str, version: &str) -> Option<&'l str> {
    installed.lines().filter_map(|line| line.split_whitespace().next()).find(|name| {
        name.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    })
}

/// What cargo knows of the workspace, without its dependencies.
fn metadata() -> Result<Value> {
    let text = repo::capture("cargo", ["metadata", "--no-deps", "--format-version=1"])?;
    serde_json::from_str(&text).context("cargo metadata printed no JSON")
}

fn docs() -> Result<()> {
    let mut command = announced(&["doc", "--quiet", "--workspace", "--no-deps"]);
    // The comments of options are help on a terminal, where a URL stands as it is.
    succeed(command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::bare-urls"))
}

/// The command that the README names, and the sum of what it says.
fn test() -> Result<()> {
    let mut command = announced(&["test", "--workspace"]);
    // Snapshots are compared and never written.
    command.envs([("CI", "true"), ("INSTA_UPDATE", "no")]).stdout(Stdio::piped());
    let mut running = command.spawn().context("cannot run cargo")?;
    let mut sum = Sum::default();
    if let Some(printed) = running.stdout.take() {
        let mut printed = BufReader::new(printed);
        let mut line = Vec::new();
        let mut out = std::io::stdout().lock();
        while printed.read_until(b'\n', &mut line)? > 0 {
            out.write_all(&line)?;
            sum.read(&String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    let status = running.wait()?;
    println!("tests: {} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    ensure!(status.success(), "`cargo test --workspace` failed, {status}");
    ensure!(sum.passed > 0, "no test was run");
    Ok(())
}

/// What the binaries of a test run say together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Sum {
    /// Reads `test result: ok. 9 passed; 0 failed; 1 ignored; …`, and no other line.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|line| line.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            let Some((number, what)) = count.trim().split_once(' ') else { continue };
            let number: u64 = number.parse().unwrap_or_default();
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

fn cargo(arguments: &[&str]) -> Result<()> {
    succeed(&mut announced(arguments))
}

fn announced(arguments: &[&str]) -> Command {
    println!("$ cargo {}", arguments.join(" "));
    let mut command = repo::command("cargo");
    command.args(arguments);
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo failed, {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up() {
        let mut sum = Sum::default();
        sum.read("running 9 tests\n");
        sum.read(
            "test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.13s\n",
        );
        sum.read("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n");
        assert_eq!(sum, Sum { passed: 10, failed: 3, skipped: 1 });
    }

    #[test]
    fn a_toolchain_is_found_by_its_version() {
        let installed = "stable-x86_64-unknown-linux-gnu (active, default)\n1.8.0-x86_64-unknown-linux-gnu\n\
                         1.89.0-x86_64-unknown-linux-gnu\n1.90-x86_64-unknown-linux-gnu (override)\n1.91\n";
        for (version, expected) in [
            ("1.89", Some("1.89.0-x86_64-unknown-linux-gnu")),
            ("1.90", Some("1.90-x86_64-unknown-linux-gnu")),
            ("1.91", Some("1.91")),
            ("1.8", Some("1.8.0-x86_64-unknown-linux-gnu")),
            ("1.9", None),
            ("1.88", None),
        ] {
            assert_eq!(toolchain(installed, version), expected, "{version}");
        }
        assert_eq!(toolchain("", "1.89"), None);
    }

    #[test]
    fn an_unknown_step_is_named() {
        let error = run(&["fmt", "nothing"]).unwrap_err().to_string();
        assert_eq!(error, format!("no such step: `nothing`; the steps are {}", steps()));
    }
}
