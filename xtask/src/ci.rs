//! What CI runs, and what a contributor runs: the same.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::generate::{PAGES, PUBLIC_API};
use crate::{cache_tests, conformance, dist, public_api, repo, tidy, workflows};

/// A name, and what it does.
type Step = (&'static str, fn() -> Result<Outcome>);

/// How a step that did not fail ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It needs something that not every machine has. In CI this is a failure.
    Skipped(String),
}

fn passed((): ()) -> Outcome {
    Outcome::Passed
}

/// In this order: what is quick, and what others build on, comes first.
const STEPS: &[Step] = &[
    ("fmt", || fmt().map(passed)),
    ("tidy", || tidy::run().map(passed)),
    ("shellcheck", shellcheck),
    ("workflows", || workflows::run().map(passed)),
    ("deny", deny),
    ("clippy", || clippy().map(passed)),
    ("test", || test().map(passed)),
    ("conformance", || conformance::run().map(passed)),
    ("cache-tests", || cache_tests::run().map(passed)),
    ("generate", || PAGES.check().map(passed)),
    ("public-api", public_api),
    ("docs", || docs().map(passed)),
    ("fuzz", || fuzz().map(passed)),
    ("outside", || outside().map(passed)),
    ("msrv", msrv),
    ("package", || package().map(passed)),
    ("dist", dist),
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
    #[expect(clippy::disallowed_methods, reason = "CI services set it, and `.ci/run` does")]
    let is_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    let steps: Vec<Step> =
        STEPS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)).copied().collect();
    println!("{}", run_steps(&steps, is_ci)?);
    Ok(())
}

/// Runs the steps and says how many passed and which were skipped.
fn run_steps(steps: &[Step], is_ci: bool) -> Result<String> {
    let (mut passed, mut skipped) = (Vec::new(), Vec::new());
    for (name, step) in steps {
        println!("=== {name}");
        let start = now();
        let result = step();
        let took = seconds(start.elapsed());
        let error = match result {
            Ok(Outcome::Passed) => {
                println!("=== {name}: passed in {took}\n");
                passed.push(format!("{name} {took}"));
                continue;
            }
            Ok(Outcome::Skipped(why)) if !is_ci => {
                println!("=== {name}: SKIPPED: {why}\n");
                skipped.push(format!("\n  {name}: {why}"));
                continue;
            }
            Ok(Outcome::Skipped(why)) => format!("{why}; in CI no step is skipped"),
            Err(error) => format!("{error:#}"),
        };
        bail!("step `{name}` failed after {took}: {error}\nto repeat it: cargo xtask ci {name}");
    }
    Ok(format!(
        "{} passed, {} skipped: {}{}",
        passed.len(),
        skipped.len(),
        passed.join(", "),
        skipped.concat()
    ))
}

/// The clock. Other crates are given the time; here it is what is asked for.
#[expect(clippy::disallowed_methods, reason = "to measure is what this is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Every file of Rust: modules that a macro declares, and the fuzz targets, are not found by `cargo fmt`.
fn fmt() -> Result<()> {
    let files = repo::files()?.into_iter().filter(|path| path.ends_with(".rs"));
    println!("$ rustfmt --edition 2024 --check **/*.rs");
    succeed(repo::command("rustfmt").args(["--edition", "2024", "--check"]).args(files))
}

fn clippy() -> Result<()> {
    cargo(&[
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ])?;
    // What a crate forgot to ask of its dependencies, and what a feature hides, shows only where nobody else asks for
    // it: alone, and without features.
    for package in repo::packages()?.iter().filter(|package| package.has_library) {
        let selection =
            ["clippy", "--quiet", "--locked", "--no-default-features", "--package", &package.name];
        cargo(&[&selection[..], &["--", "-D", "warnings"]].concat())?;
    }
    Ok(())
}

/// The scripts of the repository: `*.sh`, and the one that starts all of this.
fn shellcheck() -> Result<Outcome> {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        return Ok(Outcome::Skipped("shellcheck is not here (Debian: shellcheck)".to_owned()));
    }
    let files = repo::files()?;
    let is_script = |path: &&String| path.ends_with(".sh") || path.as_str() == ".ci/run";
    let scripts: Vec<&String> = files.iter().filter(is_script).collect();
    println!("$ shellcheck {scripts:?}");
    succeed(repo::command("shellcheck").args(scripts))?;
    Ok(Outcome::Passed)
}

/// Licenses, sources, crates that are not wanted, and which crate may depend on which: `.deny.toml`. (Advisories have to
/// be fetched, and change without us.)
fn deny() -> Result<Outcome> {
    let version = repo::command("cargo").args(["deny", "--version"]).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Skipped(
            "cargo-deny is not here (cargo install --locked cargo-deny@0.20.2)".to_owned(),
        ));
    }
    // Two versions of a crate are worth a warning, and not the page of it.
    let quiet = ["deny", "--offline", "--log-level=error", "check", "--hide-inclusion-graph"];
    cargo(&[&quiet[..], &["licenses", "bans", "sources"]].concat())?;
    Ok(Outcome::Passed)
}

/// The fuzz targets are no members of the workspace, so nothing else would see that they no longer compile. To run them
/// takes nightly; to check them does not.
fn fuzz() -> Result<()> {
    check_beside_the_workspace("/fuzz/Cargo.toml")
}

/// A program of another workspace, which knows nothing but the facade, compiles.
fn outside() -> Result<()> {
    check_beside_the_workspace("/outside/Cargo.toml")
}

fn check_beside_the_workspace(which: &str) -> Result<()> {
    let target = repo::target()?.display().to_string();
    let files = repo::files()?;
    let manifests: Vec<_> = files.iter().filter(|path| path.ends_with(which)).collect();
    ensure!(!manifests.is_empty(), "there is no `{which}`");
    for manifest in manifests {
        let arguments =
            ["check", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", &target];
        // Nothing is linked, so there need not be a compiler for the C++ of the fuzzer, nor what it makes.
        let fuzzer = format!("{target}/libfuzzer.a");
        succeed(announced(&arguments).env("CUSTOM_LIBFUZZER_PATH", fuzzer))?;
    }
    Ok(())
}

/// Builds everything with the oldest compiler that the crates declare.
fn msrv() -> Result<Outcome> {
    let toolchain = match repo::oldest_toolchain(&repo::packages()?) {
        Ok(toolchain) => toolchain,
        Err(error) => return Ok(Outcome::Skipped(error.to_string())),
    };
    println!("$ {toolchain} check --workspace --all-targets");
    succeed(toolchain.cargo().args(["check", "--quiet", "--locked", "--workspace", "--all-targets"]))?;
    Ok(Outcome::Passed)
}

/// Compares the listings of the API with the code, and what they lost with the version.
fn public_api() -> Result<Outcome> {
    if let Err(error) = repo::oldest_toolchain(&repo::packages()?) {
        return Ok(Outcome::Skipped(error.to_string()));
    }
    PUBLIC_API.check()?;
    println!("{}", public_api::check_semver()?);
    Ok(Outcome::Passed)
}

/// Packs a release twice: the static binary has to work in an empty root, and the bytes have to be the same.
fn dist() -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::Skipped("the static binary and the Debian package are for Linux".to_owned()));
    }
    let version = repo::command("cargo").args(["deb", "--version"]).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Ok(Outcome::Skipped(
            "cargo-deb is not here (cargo install --locked cargo-deb@3.8.0)".to_owned(),
        ));
    }
    dist::twice().map(passed)
}

/// Packs each published crate as crates.io would get it, and builds it from that, in the order of their dependencies.
fn package() -> Result<()> {
    let packages = repo::packages()?;
    // Cargo serves the packages to each other from a registry in the target folder, keeps what it unpacks and builds of it
    // under the folder's path, and takes that again the next time, whatever has changed. So each run has its own.
    let number = RandomState::new().build_hasher().finish();
    let folder = repo::root().join("target").join(format!("package-{number:x}"));
    let target = folder.display().to_string();
    // Cargo does not know what of it is not committed; CI has a clean checkout, and a contributor mostly has not.
    let mut arguments =
        vec!["package", "--quiet", "--locked", "--allow-dirty", "--workspace", "--target-dir", &target];
    for package in packages.iter().filter(|package| !package.is_published) {
        arguments.extend(["--exclude", &package.name]);
    }
    let result = cargo(&arguments);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {target}"))?;
    }
    result
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
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} failed, {status}");
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
    fn a_skipped_step_is_counted_and_fails_in_ci() {
        let steps: [Step; 2] = [
            ("one", || Ok(Outcome::Passed)),
            ("two", || Ok(Outcome::Skipped("no tool (install it)".to_owned()))),
        ];
        let summary = run_steps(&steps, false).unwrap();
        assert!(summary.starts_with("1 passed, 1 skipped: one "), "{summary}");
        assert!(summary.ends_with("\n  two: no tool (install it)"), "{summary}");
        let error = run_steps(&steps, true).unwrap_err().to_string();
        assert!(error.contains("no tool (install it); in CI no step is skipped"), "{error}");
    }

    #[test]
    fn an_unknown_step_is_named() {
        let error = run(&["fmt", "nothing"]).unwrap_err().to_string();
        assert_eq!(error, format!("no such step: `nothing`; the steps are {}", steps()));
    }
}
