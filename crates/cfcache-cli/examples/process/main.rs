//! Measures the release binary as a process. `cargo xtask bench start`, `cpu`, `memory` and others run this, and so
//! does `cargo xtask order` for the list of functions that a purge runs.
//!
//! Each figure is a ratio of two measurements in one run, or a number that does not depend on the machine.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]

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

/// The zone of the emulator.
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// Not a secret: the emulator accepts any token of a valid form.
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

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Creates a command with an empty environment and no output.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The folder of `curl`.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}
