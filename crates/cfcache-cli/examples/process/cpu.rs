//! Measures the instructions per URL, from a pipe to the socket.

use std::io::BufWriter;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::emulator::Emulator;
use crate::{TOKEN, ZONE, program};

/// The number of URLs of the two runs. Their difference excludes what both have in common: the start, the connection.
const FEW: u64 = 150_000;
const MANY: u64 = 300_000;

/// The maximum number of instructions for a URL of 76 bytes.
const TARGET: f64 = 2000.0;

/// Purges URLs from a pipe with an emulator without limits, and counts with `valgrind --tool=callgrind`.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    let few = measure(cfcache, FEW)?;
    let many = measure(cfcache, MANY)?;
    ensure!(many > few, "more URLs took fewer instructions");
    let each = (many - few) as f64 / (MANY - FEW) as f64;
    println!("`purge urls --from - --no-rate-limit --batch-size 100`, URLs of 76 bytes from a pipe:");
    println!("  {FEW} URLs: {few} instructions, {MANY} URLs: {many}");
    println!("  {each:.0} instructions a URL");
    ensure!(each <= TARGET, "MISSED: the target is {TARGET:.0}");
    println!("  target at most {TARGET:.0}: met");
    Ok(())
}

/// Returns the instructions of a run with this many URLs.
fn measure(cfcache: &Path, urls: u64) -> Result<u64> {
    let emulator = Emulator::start(cfcache, &["--no-rate-limit"])?;
    let mut command = program(Path::new("valgrind"));
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(cfcache)
        .args(["--base-url", &emulator.base_url, "--zone", ZONE, "--no-rate-limit", "--batch-size", "100"])
        .args(["--quiet", "--json", "purge", "urls", "--from", "-"])
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().context("cannot start valgrind")?;
    let pipe = process.stdin.take().context("there is no pipe")?;
    let writer = std::thread::spawn(move || write(BufWriter::with_capacity(1 << 16, pipe), urls));
    let output = process.wait_with_output()?;
    if let Ok(written) = writer.join() {
        written?;
    }
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cfcache failed, {}: {told}", output.status);
    let report = String::from_utf8_lossy(&output.stdout);
    ensure!(report.contains(&format!("\"accepted\":{urls},")), "not all were accepted: {report}");
    let counted =
        told.lines().find_map(|line| line.split_once("Collected : ")).context("valgrind counted nothing")?;
    counted.1.trim().parse().context("valgrind counted no number")
}

fn write(mut pipe: impl std::io::Write, urls: u64) -> std::io::Result<()> {
    for number in 0..urls {
        writeln!(pipe, "https://www.example.com/assets/images/products/2026/{number:013}/large.webp")?;
    }
    pipe.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_has_76_bytes() {
        let mut written = Vec::new();
        write(&mut written, 1000).unwrap();
        assert!(written.split(|byte| *byte == b'\n').take(1000).all(|line| line.len() == 76));
    }
}
