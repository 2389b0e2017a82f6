//! Measures the memory of a run, and whether it grows with the input.

use std::io::BufWriter;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::emulator::Emulator;
use crate::now;
use crate::{TOKEN, ZONE, program};

/// The number of URLs of the two runs.
const FEW: u64 = 1_000_000;
const MANY: u64 = 10_000_000;

/// The maximum for the large run, in MiB, and the maximum relative difference of the small one.
const TARGET: f64 = 48.0;
const WITHIN: f64 = 0.1;

/// How often the system is asked. It keeps the peak itself.
const EVERY: Duration = Duration::from_millis(5);

/// Purges URLs from a pipe with a journal, with an emulator without limits.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    println!("peak resident memory of `purge urls --from - --journal FILE`, URLs from a pipe:");
    let few = measure(cfcache, FEW)?;
    let many = measure(cfcache, MANY)?;
    let ratio = few / many;
    println!("  {FEW} URLs over {MANY}: {ratio:.3}");
    ensure!(many <= TARGET, "MISSED: the target is {TARGET} MiB");
    ensure!((1.0 - ratio).abs() <= WITHIN, "MISSED: the target is within 10 % of each other");
    println!("  target at most {TARGET} MiB, and within 10 % of each other: met");
    Ok(())
}

/// Returns the peak in MiB.
fn measure(cfcache: &Path, urls: u64) -> Result<f64> {
    let emulator = Emulator::start(cfcache, &["--no-rate-limit"])?;
    let journal = cfcache.with_file_name("bench.journal");
    let _none = std::fs::remove_file(&journal);
    let mut command = program(cfcache);
    command
        .args([
            "--base-url",
            &emulator.base_url,
            "--zone",
            ZONE,
            "--no-rate-limit",
            "--quiet",
            "purge",
            "urls",
        ])
        .args(["--from", "-", "--journal"])
        .arg(&journal)
        .env("CLOUDFLARE_API_TOKEN", TOKEN);
    let begun = now();
    let mut process = command.stdin(Stdio::piped()).spawn().context("cannot start cfcache")?;
    let pipe = process.stdin.take().context("there is no pipe")?;
    let writer = std::thread::spawn(move || write(BufWriter::with_capacity(1 << 16, pipe), urls));
    let peak = watch(&mut process)?;
    let took = begun.elapsed();
    let status = process.wait()?;
    ensure!(status.success(), "cfcache failed, {status}");
    if let Ok(written) = writer.join() {
        written?;
    }
    let journaled = std::fs::metadata(&journal)?.len();
    std::fs::remove_file(&journal)?;
    println!(
        "  {urls} URLs: {peak:.1} MiB, in {:.1} s, a journal of {:.1} MB",
        took.as_secs_f64(),
        journaled as f64 / 1e6
    );
    Ok(peak)
}

fn write(mut pipe: impl std::io::Write, urls: u64) -> std::io::Result<()> {
    for number in 0..urls {
        // The product with an odd number gives a permutation, so all URLs differ and neighbors are not similar.
        let name = number.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF;
        writeln!(pipe, "https://www.example.com/assets/{:03}/{name:08x}.jpg", number % 997)?;
    }
    pipe.flush()
}

/// Reads the peak that the system has recorded, until the process ends.
pub(super) fn watch(process: &mut Child) -> Result<f64> {
    let path = format!("/proc/{}/status", process.id());
    let mut peak = None;
    while process.try_wait()?.is_none() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        // A process that has ended but was not waited for has no peak.
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        peak = kib.or(peak);
        std::thread::sleep(EVERY);
    }
    Ok(peak.context("this system does not say how much memory a process takes (`/proc`)")? / 1024.0)
}
