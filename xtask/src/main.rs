//! The chores of the workspace. `cargo xtask` lists them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who runs it")]

mod bench;
mod cache_tests;
mod ci;
mod conformance;
mod dist;
#[path = "../../crates/cfcache-cli/examples/process/emulator.rs"]
mod emulator;
mod generate;
mod install;
mod public_api;
mod repo;
mod tidy;
mod workflows;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask CHORE

Chores:
  generate          Write what is made from code: fixtures/generated, docs/reference, templates
  generate --check  List what of it is not current, and write nothing
  public-api        Write what each library crate shows: docs/api
  public-api --check  List what of it is not current, and write nothing
  tidy              Check the promises that rot silently
  ci [STEP]...      Run what CI runs: all steps, or those named
  cache-tests       Run npm's http-cache-tests against the emulated edge
  conformance       Drive the emulator with the vendor's SDK, and compare what it sends with the model
  bench [NAME]...   Measure what docs/performance.md shows: all, or those named
  simulate queue [SEED]  Play a day of a large queue in simulated time, for docs/queue.md
  dist [TARGET]     Pack a release for a target: archive, Debian package, bill of materials, checksums
  dist --twice      Pack what is committed in two folders, and compare the bytes
  binary NAME FILE  Build a binary as releases have it: a step of the Dockerfile
  digests FOLDER    Write the digests of a release's archives into the action
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match *arguments.as_slice() {
        ["generate"] => generate::PAGES.write(),
        ["generate", "--check"] => generate::PAGES.check(),
        ["public-api"] => generate::PUBLIC_API.write(),
        ["public-api", "--check"] => generate::PUBLIC_API.check(),
        ["tidy"] => tidy::run(),
        ["ci", ref steps @ ..] => ci::run(steps),
        ["cache-tests"] => cache_tests::run(),
        ["conformance"] => conformance::run(),
        ["bench", ref benches @ ..] => bench::run(benches),
        ["simulate", "queue", ref seed @ ..] => simulate_queue(seed),
        ["dist"] => dist::run(None),
        ["binary", name, to] => dist::binary(name, to.as_ref()),
        ["digests", folder] => dist::digests(folder.as_ref()),
        ["dist", "--twice"] => dist::twice(),
        ["dist", target] if !target.starts_with('-') => dist::run(Some(target)),
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}\nSteps of ci: {}\nNames of bench: {}\n", ci::steps(), bench::names());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("error: no such chore: `{}`\n\n{USAGE}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The simulation is an example of its crate, and runs with optimizations: a day of it is a minute's work.
fn simulate_queue(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = repo::command("cargo");
    command.args(["run", "--quiet", "--release", "--package=cfcache-queue", "--example=simulate", "--"]);
    let status = command.args(arguments).status()?;
    anyhow::ensure!(status.success(), "it failed");
    Ok(())
}
