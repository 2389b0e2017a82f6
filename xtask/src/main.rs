//! The commands of contributors and CI. `cargo xtask --help` lists them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

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

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};

/// Commands of contributors and CI
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the checks of CI: all steps in order, or only the named ones
    Ci {
        #[arg(value_name = "STEP", value_parser = PossibleValuesParser::new(ci::names()))]
        steps: Vec<String>,
    },
    /// Write the generated files: fixtures/generated, docs/reference, templates
    Generate(Check),
    /// Write the public API of each library crate to docs/api
    PublicApi(Check),
    /// Run the vendor's SDK against the emulator, and write its requests to fixtures/sdk
    Conformance(Check),
    /// Run npm's http-cache-tests against the emulated edge
    CacheTests,
    /// Check the rules of the tree that the compiler does not check
    Tidy,
    /// Measure the figures of docs/performance.md and docs/queue.md: all, or only the named ones
    Bench {
        #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(bench::names()))]
        names: Vec<String>,
    },
    /// List the functions that a purge runs, for the linker: crates/cfcache-cli/start.order
    Order,
    /// Simulate a day of a large queue, for docs/queue.md
    Simulate {
        #[arg(value_parser = ["queue"])]
        what: String,
        /// The seed of the random numbers
        seed: Option<u64>,
    },
    /// Build a release in target/dist: archives, Debian packages, bills of materials, checksums
    Dist {
        /// The target to build for; this machine by default
        target: Option<String>,
        /// Build a release of the committed files in two folders, and compare the bytes
        #[arg(long, conflicts_with_all = ["target", "no_run"])]
        twice: bool,
        /// Do not run the binaries in the files of their images
        #[arg(long)]
        no_run: bool,
    },
    /// Build a release binary: a step of the Dockerfile
    Binary {
        #[arg(value_parser = PossibleValuesParser::new(dist::PRODUCTS.map(|product| product.binary)))]
        name: String,
        /// The output file
        file: PathBuf,
    },
    /// Write the digests of a release's archives into the GitHub Action and the GitLab component
    Digests {
        /// The folder with the archives of all targets
        folder: PathBuf,
    },
}

#[derive(clap::Args)]
struct Check {
    /// Write nothing, and fail if a file is not up to date
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Ci { steps } => ci::run(&steps),
        Command::Generate(Check { check }) => generate::PAGES.run(check),
        Command::PublicApi(Check { check }) => generate::PUBLIC_API.run(check),
        Command::Conformance(Check { check }) => generate::SDK_REQUESTS.run(check),
        Command::CacheTests => cache_tests::run(),
        Command::Tidy => tidy::run(),
        Command::Bench { names } => bench::run(&names),
        Command::Order => bench::order(),
        Command::Simulate { seed, .. } => bench::simulate_queue(seed),
        Command::Dist { twice: true, .. } => dist::twice(),
        Command::Dist { target, no_run, .. } => dist::run(target.as_deref(), !no_run),
        Command::Binary { name, file } => dist::binary(&name, &file),
        Command::Digests { folder } => dist::digests(&folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
