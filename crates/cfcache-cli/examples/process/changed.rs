//! Measures how long `purge changed` takes if nothing changed, compared with programs that hash files, and the time and
//! memory for a manifest of a million paths.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::memory::watch;
use crate::now;
use crate::program;

/// The site: the number of files, and the size of each in bytes.
const FILES: usize = 20_000;
const BYTES: usize = 25_000;

/// The number of measured rounds, each with all programs in turn. Ratios are medians over the rounds, so that short
/// loads of the machine do not matter.
const ROUNDS: usize = 9;

/// The maximum ratios to the times of `b3sum` and `sha256sum`.
const OF_B3SUM: f64 = 1.5;
const OF_SHA256SUM: f64 = 0.5;

/// The maximum ratio of a run with one changed file to a run without changes. Anything above 1 is noise.
const OF_NOTHING: f64 = 1.1;

/// The number of paths in a manifest, with the maximum time in seconds and memory in MiB.
const PATHS: u64 = 1_000_000;
const SECONDS: f64 = 2.0;
const MEMORY: f64 = 300.0;

/// Runs both measurements.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    for tool in ["b3sum", "sha256sum"] {
        if Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_err() {
            bail!("{tool} is what is compared with, and it is not here: apt-get install b3sum coreutils");
        }
    }
    let folder = cfcache.with_file_name("bench.changed");
    let _none = fs::remove_dir_all(&folder);
    let result = tree(cfcache, &folder).and_then(|()| manifest(cfcache, &folder));
    let _gone = fs::remove_dir_all(&folder);
    result
}

/// Measures a directory in which nothing changed, or one file.
fn tree(cfcache: &Path, folder: &Path) -> Result<()> {
    let public = folder.join("public");
    let mut content = vec![0_u8; BYTES];
    for file in 0..FILES {
        let path = public.join(format!("{}/{file}.html", file % 200));
        fs::create_dir_all(path.parent().context("it has a folder")?)?;
        content[..8].copy_from_slice(&file.to_le_bytes());
        fs::write(path, &content)?;
    }
    let state = folder.join("state");
    expect_success(changed(cfcache, &state).arg(&public).args(["--first", "nothing"]))?;
    let recorded = fs::read(&state)?;
    let all = |tool: &str| {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("find . -type f -print0 | xargs -0 {tool} >/dev/null"))
            .current_dir(&public);
        command
    };
    let mut rounds = Vec::new();
    let one = public.join("0/0.html");
    let unchanged = fs::read(&one)?;
    for round in 0..=ROUNDS {
        let mut times = [0.0; 4];
        times[0] = time(&mut all("b3sum"))?;
        times[1] = time(&mut all("sha256sum"))?;
        // There is no server, so a request would fail.
        times[2] = time(changed(cfcache, &state).arg(&public))?;
        fs::write(&one, round.to_le_bytes())?;
        // The targets are recorded, but not sent.
        times[3] = time(changed(cfcache, &state).arg(&public).arg("--begin"))?;
        fs::write(&one, &unchanged)?;
        fs::write(&state, &recorded)?;
        if round > 0 {
            rounds.push(times);
        }
    }
    let of_rounds = |value: &dyn Fn(&[f64; 4]) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [b3sum, sha256sum, nothing, changed] = [0, 1, 2, 3].map(|index| of_rounds(&|times| times[index]));
    let ms = |seconds: f64| format!("{:.0} ms", seconds * 1e3);
    println!(
        "{FILES} files of {BYTES} bytes, the medians of {ROUNDS} rounds: b3sum {}, sha256sum {}, nothing changed {}, one file {}",
        ms(b3sum),
        ms(sha256sum),
        ms(nothing),
        ms(changed)
    );
    let (of_b3sum, of_sha256sum, of_nothing) = (
        of_rounds(&|times| times[2] / times[0]),
        of_rounds(&|times| times[2] / times[1]),
        of_rounds(&|times| times[3] / times[2]),
    );
    println!("  {of_b3sum:.2} of b3sum, {of_sha256sum:.2} of sha256sum; one file {of_nothing:.2} of none");
    ensure!(
        of_b3sum <= OF_B3SUM || of_sha256sum <= OF_SHA256SUM,
        "MISSED: the target is {OF_B3SUM} of b3sum, or {OF_SHA256SUM} of sha256sum"
    );
    ensure!(of_nothing <= OF_NOTHING, "MISSED: the target is that one file costs no more than none");
    println!("  target at most {OF_B3SUM} of b3sum or {OF_SHA256SUM} of sha256sum, without a request: met");
    Ok(())
}

/// Measures a manifest of many paths with a state of the same size.
fn manifest(cfcache: &Path, folder: &Path) -> Result<()> {
    let path: PathBuf = folder.join("manifest");
    let mut file = BufWriter::new(fs::File::create(&path)?);
    for number in 0..PATHS {
        // In random order, as from `find`.
        let name = number.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF;
        writeln!(file, "{name:064x}  ./section-{:03}/article-{name:08x}/index.html", number % 997)?;
    }
    file.flush()?;
    let state = folder.join("paths");
    let mut took = f64::INFINITY;
    let mut peak = 0.0_f64;
    for round in 0..=3 {
        let begun = now();
        let mut command = changed(cfcache, &state);
        command.arg("--manifest").arg(&path).args(["--first", "nothing"]);
        let mut process = command.spawn().context("cannot start cfcache")?;
        peak = peak.max(watch(&mut process)?);
        ensure!(process.wait()?.success(), "cfcache failed");
        if round > 0 {
            took = took.min(begun.elapsed().as_secs_f64());
        }
    }
    println!("a manifest of {PATHS} paths, nothing changed: {took:.2} s, {peak:.0} MiB");
    ensure!(took <= SECONDS, "MISSED: the target is {SECONDS} s");
    ensure!(peak <= MEMORY, "MISSED: the target is {MEMORY} MiB");
    println!("  target at most {SECONDS} s and {MEMORY} MiB: met");
    Ok(())
}

/// Creates the command, with the address of no server.
fn changed(cfcache: &Path, state: &Path) -> Command {
    let mut command = program(cfcache);
    command
        .args(["--base-url", "http://127.0.0.1:9/client/v4", "--zone", crate::ZONE])
        .args(["purge", "changed", "--url", "https://www.example.com", "--state"])
        .arg(state)
        .env("CLOUDFLARE_API_TOKEN", crate::TOKEN);
    command
}

fn expect_success(command: &mut Command) -> Result<()> {
    ensure!(command.status().context("cannot start it")?.success(), "it failed: {command:?}");
    Ok(())
}

fn time(command: &mut Command) -> Result<f64> {
    let begun = now();
    expect_success(command)?;
    let took: Duration = begun.elapsed();
    Ok(took.as_secs_f64())
}
