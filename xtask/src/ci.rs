//! What CI runs, and what a contributor runs: the same.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{conformance, generate, public_api, repo, tidy};

/// A name, and what it does.
type Step = (&'static str, fn() -> Result<()>);

/// In this order: what is quick, and what others build on, comes first.
const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("test", test),
    ("conformance", conformance::run),
    ("generate", generate::check),
    ("public-api", public_api::check),
    ("docs", docs),
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
        let took = start.elapsed();
        times.push(format!("{name} {}", seconds(took)));
        if let Err(error) = result {
            bail!(
                "step `{name}` failed after {}: {error:#}\nto repeat it: cargo xtask ci {name}",
                seconds(took)
            );
        }
        println!("=== {name}: passed in {}\n", seconds(took));
    }
    println!("all steps passed: {}", times.join(", "));
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
    // The features that no other crate of the workspace turns off are turned off here.
    let selections: [&[&str]; 4] = [
        &["--workspace", "--all-targets"],
        &["--package=cfcache-client", "--no-default-features"],
        &["--package=cfcache-transport", "--no-default-features"],
        &["--package=cfcache-transport", "--all-targets", "--all-features"],
    ];
    for selection in selections {
        cargo(&[&["clippy", "--quiet"], selection, &["--", "-D", "warnings"]].concat())?;
    }
    Ok(())
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
    fn an_unknown_step_is_named() {
        let error = run(&["fmt", "nothing"]).unwrap_err().to_string();
        assert_eq!(error, format!("no such step: `nothing`; the steps are {}", steps()));
    }
}
