//! The steps of CI. Contributors run them with the same command.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::Artifact;

use crate::repo::{self, Missing, REPORT_ARTIFACTS, cargo, need, run as succeed};
use crate::{cache_tests, dist, generate, public_api, tidy, workflows};

/// The name of a step, and its function. The error [`Missing`] means that a program is not installed.
type Step = (&'static str, fn() -> Result<()>);

/// The order: quick steps first, and steps before those that depend on them.
const STEPS: [Step; 17] = [
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("shellcheck", shellcheck),
    ("workflows", workflows::run),
    ("deny", deny),
    ("clippy", clippy),
    ("test", test),
    ("conformance", || generate::SDK_REQUESTS.run(true)),
    ("cache-tests", cache_tests::run),
    ("generate", || generate::PAGES.run(true)),
    ("public-api", public_api),
    ("docs", docs),
    ("fuzz", || check_other_workspaces("*/fuzz/Cargo.toml")),
    ("outside", || check_other_workspaces("*/outside/Cargo.toml")),
    ("msrv", msrv),
    ("package", package),
    ("dist", dist),
];

pub(crate) fn names() -> [&'static str; STEPS.len()] {
    STEPS.map(|(name, _)| name)
}

/// Runs the named steps, or all; stops at the first failure.
pub(crate) fn run(names: &[String]) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "CI services and `.ci/run` set it")]
    let is_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    let is_wanted = |(name, _): &Step| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let steps: Vec<Step> = STEPS.into_iter().filter(is_wanted).collect();
    println!("{}", run_steps(&steps, is_ci)?);
    Ok(())
}

/// Runs the steps. Returns a summary with the number of passed steps and the skipped steps.
fn run_steps(steps: &[Step], is_ci: bool) -> Result<String> {
    let (mut passed, mut skipped) = (Vec::new(), Vec::new());
    for (name, step) in steps {
        println!("=== {name}");
        #[expect(clippy::disallowed_methods, reason = "to show how long a step takes")]
        let start = Instant::now();
        let result = step();
        let took = format!("{:.1} s", start.elapsed().as_secs_f64());
        match result {
            Ok(()) => {
                println!("=== {name}: passed in {took}\n");
                passed.push(format!("{name} {took}"));
            }
            Err(error) if error.is::<Missing>() && !is_ci => {
                println!("=== {name}: SKIPPED: {error}\n");
                skipped.push(format!("\n  {name}: {error}"));
            }
            Err(error) => {
                let note = if error.is::<Missing>() { " (in CI, no step may be skipped)" } else { "" };
                bail!(
                    "step `{name}` failed after {took}{note}: {error:#}\nto repeat it: cargo xtask ci {name}"
                );
            }
        }
    }
    let (passed, times) = (passed.len(), passed.join(", "));
    Ok(format!("{passed} passed, {} skipped: {times}{}", skipped.len(), skipped.concat()))
}

/// Checks the format of every Rust file. `cargo fmt` misses modules that a macro declares, and other workspaces.
fn fmt() -> Result<()> {
    succeed(repo::command("rustfmt").args(["--edition=2024", "--check"]).args(repo::files("*.rs")?))
}

/// Checks the scripts of the repository: `*.sh`, and the entry point of CI.
fn shellcheck() -> Result<()> {
    need(&["shellcheck", "--version"], "apt-get install shellcheck (Debian)")?;
    succeed(repo::command("shellcheck").args(repo::files("*.sh")?).arg(".ci/run"))
}

/// Checks licenses, sources, banned crates, and dependencies between crates: `.deny.toml`. Advisories are not checked,
/// because they must be downloaded, and change without a change in the repository.
fn deny() -> Result<()> {
    need(&["cargo", "deny", "--version"], "cargo install --locked cargo-deny@0.20.2")?;
    let check = ["deny", "--offline", "--log-level=error", "check", "--hide-inclusion-graph"];
    succeed(cargo(&check).args(["licenses", "bans", "sources"]))
}

fn clippy() -> Result<()> {
    let all = ["clippy", "--locked", "--workspace", "--all-targets", "--all-features"];
    let compiled = repo::artifacts(cargo(&all).args(REPORT_ARTIFACTS).args(["--", "--deny=warnings"]))?;
    every_file_is_compiled(&compiled)?;
    // Missing features of dependencies, and code that a feature hides, show only when a crate is built alone.
    for package in repo::packages()?.iter().filter(|package| repo::has_library(package)) {
        let alone = ["clippy", "--quiet", "--locked", "--no-default-features", "--package", &package.name];
        succeed(cargo(&alone).args(["--", "--deny=warnings"]))?;
    }
    Ok(())
}

/// Checks that every Rust file is compiled: one that no `mod` names is not, and its tests never run.
fn every_file_is_compiled(compiled: &[Artifact]) -> Result<()> {
    let mut read = BTreeSet::new();
    for artifact in compiled.iter().filter(|artifact| artifact.manifest_path.starts_with(repo::root())) {
        // A build script has no list; it is a single file.
        read.extend(artifact.target.src_path.strip_prefix(repo::root()).ok().map(ToString::to_string));
        let Some(metadata) = artifact.filenames.iter().find(|path| path.extension() == Some("rmeta")) else {
            continue;
        };
        let name = metadata.file_stem().and_then(|name| name.strip_prefix("lib")).unwrap_or_default();
        let list = metadata.with_file_name(format!("{name}.d"));
        let list = fs::read_to_string(&list).with_context(|| format!("cannot read {list}"))?;
        read.extend(list.lines().filter_map(|line| Some(line.strip_suffix(':')?.to_owned())));
    }
    let mut left = [repo::files("crates/*.rs")?, repo::files("xtask/*.rs")?].concat();
    left.retain(|path| !read.contains(path) && !path.contains("/fuzz/") && !path.contains("/outside/"));
    ensure!(left.is_empty(), "not compiled, because they are modules of no crate: {}", left.join(", "));
    Ok(())
}

/// Runs the test command of the README, and sums up the results.
fn test() -> Result<()> {
    let mut test = cargo(&["test", "--workspace"]);
    // Snapshots are compared but never written.
    test.envs([("CI", "true"), ("INSTA_UPDATE", "no")]).stdout(Stdio::piped());
    let mut test = test.spawn().context("cannot run cargo")?;
    let mut sum = [0; 3];
    for line in BufReader::new(test.stdout.take().context("cargo has no output")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        let counts = counts(&line).unwrap_or_default();
        sum = [sum[0] + counts[0], sum[1] + counts[1], sum[2] + counts[2]];
    }
    let status = test.wait()?;
    let [passed, failed, ignored] = sum;
    println!("tests: {passed} passed, {failed} failed, {ignored} ignored");
    ensure!(status.success(), "`cargo test --workspace` failed, {status}");
    ensure!(passed > 0, "no test was run");
    Ok(())
}

/// Parses the numbers of `test result: ok. 9 passed; 0 failed; 1 ignored; …`.
fn counts(line: &str) -> Option<[u64; 3]> {
    let numbers = line.strip_prefix("test result: ")?.split(' ').filter_map(|word| word.parse().ok());
    numbers.take(3).collect::<Vec<_>>().try_into().ok()
}

/// Compares the listings of the API with the code, and removed lines with the version.
fn public_api() -> Result<()> {
    generate::PUBLIC_API.run(true)?;
    public_api::check_version()
}

fn docs() -> Result<()> {
    // The comments of options are also the help on a terminal, where URLs are written without markup.
    let flags = "-D warnings -A rustdoc::bare-urls";
    succeed(cargo(&["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", flags))
}

/// Checks the other workspaces: fuzz targets (only to run them takes nightly), and a program that uses the facade.
fn check_other_workspaces(manifests: &str) -> Result<()> {
    let target = repo::target("")?.display().to_string();
    let manifests = repo::files(manifests)?;
    ensure!(!manifests.is_empty(), "there is no manifest of such a workspace");
    for manifest in manifests {
        let check = ["check", "--quiet", "--locked", "--manifest-path", &manifest, "--target-dir", &target];
        // Nothing is linked, so neither a C++ compiler nor the fuzzer's library is needed.
        succeed(cargo(&check).env("CUSTOM_LIBFUZZER_PATH", format!("{target}/libfuzzer.a")))?;
    }
    Ok(())
}

/// Checks everything with the oldest compiler that the crates declare.
fn msrv() -> Result<()> {
    succeed(repo::oldest_cargo()?.args(["check", "--quiet", "--locked", "--workspace", "--all-targets"]))
}

/// Packages each published crate as for crates.io, and builds it from the package, in the order of their dependencies.
fn package() -> Result<()> {
    // Cargo serves the packages from a registry in the target folder, and caches their unpacked sources and builds by
    // path, even after they change. So each run uses a new folder.
    let folder = repo::root().join(format!("target/package-{:x}", RandomState::new().hash_one(())));
    // The packages contain uncommitted changes too: contributors often have some, and CI has none.
    let mut package = cargo(&["package", "--quiet", "--locked", "--allow-dirty", "--workspace"]);
    package.arg("--target-dir").arg(&folder);
    for package_left_out in repo::packages()?.iter().filter(|package| !repo::is_published(package)) {
        package.args(["--exclude", &package_left_out.name]);
    }
    let result = succeed(&mut package);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    result
}

/// Builds a release in two folders. The bytes must be the same, and the binaries must run in their images.
fn dist() -> Result<()> {
    ensure!(cfg!(target_os = "linux"), Missing("static binaries and Debian packages need Linux".to_owned()));
    need(&["cargo", "deb", "--version"], "cargo install --locked cargo-deb@3.8.0")?;
    dist::twice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_counts_of_a_test_binary() {
        let line = "test result: FAILED. 8 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.13s";
        assert_eq!(counts(line), Some([8, 2, 1]));
        assert_eq!(counts("running 9 tests"), None);
    }

    #[test]
    fn a_step_without_its_tool_is_skipped_but_fails_in_ci() {
        let steps: [Step; 2] = [("one", || Ok(())), ("two", || need(&["no-such-tool"], "look for it"))];
        let summary = run_steps(&steps, false).unwrap();
        assert!(summary.starts_with("1 passed, 1 skipped: one "), "{summary}");
        let skipped = "\n  two: `no-such-tool` does not run; to install it: look for it";
        assert!(summary.ends_with(skipped), "{summary}");
        let error = run_steps(&steps, true).unwrap_err().to_string();
        assert!(error.contains("in CI, no step may be skipped"), "{error}");
        let broken: [Step; 1] = [("three", || bail!("it is broken"))];
        assert!(run_steps(&broken, false).unwrap_err().to_string().contains("it is broken"));
    }
}
