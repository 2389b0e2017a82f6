//! What the release binary takes, as a process: `cargo xtask bench start`, `cpu`, `memory` and the like run this, and
//! `cargo xtask order` for the functions that a purge runs.
//!
//! Each figure is a ratio of two things that were measured in one run, or a number that does not depend on the machine.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who runs it")]

mod changed;
mod cpu;
mod edge;
mod emulator;
mod memory;
mod order;
mod probe;
mod size;
mod start;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Result;

/// The zone that the emulator has.
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// No secret: the emulator takes any token of a valid form.
const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCD";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let run: fn(&Path) -> Result<()> = match arguments.first().map(String::as_str) {
        Some("size") => size::run,
        Some("start") => start::run,
        Some("cpu") => cpu::run,
        Some("memory") => memory::run,
        Some("changed") => changed::run,
        Some("edge") => edge::run,
        Some("probe") => probe::run,
        Some("order") => order::run,
        _ => {
            eprintln!(
                "usage: cargo xtask bench size|start|cpu|memory|changed|edge|probe, or cargo xtask order"
            );
            return ExitCode::from(2);
        }
    };
    let Some(cfcache) = arguments.get(1) else {
        eprintln!("the binary that is measured is the second argument");
        return ExitCode::from(2);
    };
    let result = std::path::absolute(cfcache).map_err(Into::into).and_then(|cfcache| run(&cfcache));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "to measure is what this is for")]
fn now() -> Instant {
    Instant::now()
}

/// A program that finds nothing in the environment, and says nothing.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where `curl` is.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}
