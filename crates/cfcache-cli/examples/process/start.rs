//! Measures the total time of a `cfcache` process, compared with `curl`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::emulator::Emulator;
use crate::now;
use crate::{TOKEN, ZONE, program};

/// The number of measured pairs of runs.
const PAIRS: usize = 200;

/// The number of pairs of runs before that, which fill the caches.
const WARM_UP: usize = 10;

/// The maximum ratio to the time of `curl`.
const TARGET: f64 = 0.28;

const URL: &str = "https://www.example.com/css/styles.css";

/// Compares `--version`, and a purge of one URL with a local emulator, with `curl` doing the same.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        bail!("curl is what is compared with, and it is not here: apt-get install curl");
    }
    println!("{PAIRS} pairs of runs, one after the other in turn, after {WARM_UP} to warm up; medians:\n");

    // A file that a linker has just written is in the page cache in pieces of 4 kB, and takes longer to map than a file
    // that was copied, unpacked or read from the disk.
    let installed = cfcache.with_file_name("cfcache-installed");
    std::fs::copy(cfcache, &installed).context("cannot copy the binary")?;
    let cfcache = installed.as_path();

    let mut version = program(cfcache);
    version.arg("--version");
    let mut curl_version = program(Path::new("curl"));
    curl_version.args(["--disable", "--version"]);
    let mut ratios = vec![compare("--version", &mut version, &mut curl_version)?];

    let emulator = Emulator::start(cfcache, &["--no-rate-limit"])?;
    let mut purge = program(cfcache);
    purge
        .args(["--base-url", &emulator.base_url, "--zone", ZONE, "purge", "urls", URL])
        .env("CLOUDFLARE_API_TOKEN", TOKEN);
    let mut curl_purge = program(Path::new("curl"));
    curl_purge
        .args(["--disable", "--silent", "--show-error", "--fail", "--request", "POST"])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--header", "Content-Type: application/json"])
        .args(["--data", &format!(r#"{{"files":["{URL}"]}}"#)])
        .arg(format!("{}/zones/{ZONE}/purge_cache", emulator.base_url));
    ratios.push(compare("purge of one URL", &mut purge, &mut curl_purge)?);
    drop(emulator);

    let worst = ratios.into_iter().fold(0.0, f64::max);
    ensure!(worst <= TARGET, "the target is a ratio of at most {TARGET:.2}");
    println!("\nthe target, a ratio of at most {TARGET:.2}, is met");
    Ok(())
}

/// Prints the medians of both, and returns their ratio.
fn compare(what: &str, ours: &mut Command, curl: &mut Command) -> Result<f64> {
    let (mut our_times, mut curl_times) = (Vec::new(), Vec::new());
    for pair in 0..WARM_UP + PAIRS {
        let (our_time, curl_time) = (time(ours)?, time(curl)?);
        if pair >= WARM_UP {
            our_times.push(our_time);
            curl_times.push(curl_time);
        }
    }
    let (our_median, curl_median) = (median(our_times), median(curl_times));
    let ratio = our_median.as_secs_f64() / curl_median.as_secs_f64();
    let shown = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    println!(
        "{what:<17} cfcache {:>8}   curl {:>8}   ratio {ratio:.2}",
        shown(our_median),
        shown(curl_median)
    );
    Ok(ratio)
}

fn time(command: &mut Command) -> Result<Duration> {
    let start = now();
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    let took = start.elapsed();
    ensure!(status.success(), "{:?} failed, {status}", command.get_program());
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
