//! Measures how fast visitor URLs are requested, compared with `curl`, and the memory of a long list.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::emulator::Emulator;
use crate::memory::watch;
use crate::now;
use crate::{TOKEN, ZONE, program};

/// The number of URLs in a short list and in a long one.
const FEW: u64 = 10_000;
const MANY: u64 = 100_000;

/// The number of measurements of each, in turns.
const ROUNDS: usize = 5;

/// The maximum ratio to the time of `curl`.
const TARGET: f64 = 1.5;

/// The maximum memory of a streamed list, short or long, in MiB; and the maximum memory for each of 100,000 URLs that
/// are purged, verified and fetched, in bytes.
const STREAMED: f64 = 24.0;
const BYTES: f64 = 64.0;

/// Requests 10,000 URLs of an emulated edge, all of them hits, four concurrently and without a rate limit. Then
/// measures memory.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    let folder = cfcache.ancestors().nth(2).context("cfcache was built into no folder")?.join("bench-probe");
    drop(fs::remove_dir_all(&folder));
    let site = folder.join("site");
    fs::create_dir_all(&site).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(site.join("a.css"), vec![b'x'; 1000])?;
    let origin = site.to_str().context("the folder is not Unicode")?;
    let arguments = ["--no-rate-limit", "--edge-listen", "127.0.0.1:0", "--origin", origin];
    let emulator = Emulator::start(cfcache, &arguments)?;
    let edge = emulator.edge_url.clone().context("the emulator does not say where its edge is")?;
    let edge = edge.trim_start_matches("http://").to_owned();

    let list = |count: u64| -> Result<std::path::PathBuf> {
        let path = folder.join(format!("{count}.txt"));
        let urls: String =
            (0..count).map(|number| format!("http://www.example.com/a.css?{number}\n")).collect();
        fs::write(&path, urls)?;
        Ok(path)
    };
    let (few, many) = (list(FEW)?, list(MANY)?);
    let visiting = |command: &str, list: &Path| {
        let mut process = program(cfcache);
        process.args([command, "--no-rate-limit", "--concurrency", "4", "--output", "ndjson"]);
        process.args(["--verify-connect", &edge, "--from"]).arg(list);
        process
    };
    let config = folder.join("curl.txt");
    let lines: String = (0..FEW)
        .map(|number| format!("url = \"http://www.example.com/a.css?{number}\"\noutput = \"/dev/null\"\n"))
        .collect();
    fs::write(&config, lines)?;
    let curl = || {
        let mut process = Command::new("curl");
        process.args(["--silent", "--parallel", "--parallel-max", "4"]);
        process.args(["--connect-to", &format!("::{edge}"), "--config"]).arg(&config);
        process.stdout(Stdio::null()).stderr(Stdio::null());
        process
    };
    // The second requests are all hits.
    time(&mut visiting("warm", &few))?;

    println!("{FEW} URLs, all hits of 1,000 bytes, 4 at once, {ROUNDS} rounds in turn:\n");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, theirs) = (time(&mut visiting("probe", &few))?, time(&mut curl())?);
        let ratio = ours / theirs;
        println!("  probe {ours:>6.2} s   curl {theirs:>6.2} s   ratio {ratio:.2}");
        ratios.push(ratio);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();

    println!("\npeak resident memory, {FEW} and {MANY} URLs:");
    let mut most = 0.0_f64;
    for command in ["probe", "warm"] {
        let small = peak(&mut visiting(command, &few))?;
        let large = peak(&mut visiting(command, &many))?;
        println!("  {command} --from: {small:.1} MiB, {large:.1} MiB");
        most = most.max(small).max(large);
    }
    let purge = |list: &Path| {
        let mut process = program(cfcache);
        process.args(["--base-url", &emulator.base_url, "--zone", ZONE, "--no-rate-limit", "--quiet"]);
        process.args(["purge", "urls", "--verify=all", "--warm", "--visitor-rate", "1000000"]);
        process.args(["--verify-connect", &edge, "--from"]).arg(list).env("CLOUDFLARE_API_TOKEN", TOKEN);
        process
    };
    let (small, large) = (peak(&mut purge(&few))?, peak(&mut purge(&many))?);
    let bytes = (large - small) * 1024.0 * 1024.0 / (MANY - FEW) as f64;
    println!(
        "  purge urls --verify=all --warm: {small:.1} MiB, {large:.1} MiB: {bytes:.0} bytes for each URL more"
    );
    ensure!(
        median <= TARGET,
        "MISSED: the median is {median:.2}, and the target at most {TARGET:.2} of curl's time"
    );
    ensure!(most <= STREAMED, "MISSED: the target is {STREAMED} MiB for a list that streams");
    ensure!(bytes <= BYTES, "MISSED: the target is {BYTES} bytes for each URL that is held");
    println!(
        "\nthe median is {median:.2}; the targets, {TARGET:.2}, {STREAMED} MiB and {BYTES} bytes, are met"
    );
    Ok(())
}

/// Returns the time of a process in seconds, and checks that it succeeds.
fn time(command: &mut Command) -> Result<f64> {
    let begun = now();
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed, {status}");
    Ok(begun.elapsed().as_secs_f64())
}

/// Returns the peak memory of a process in MiB, and checks that it succeeds.
fn peak(command: &mut Command) -> Result<f64> {
    let mut process = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let peak = watch(&mut process)?;
    let status = process.wait()?;
    ensure!(status.success(), "{command:?} failed, {status}");
    Ok(peak)
}
