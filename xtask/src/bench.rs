//! The figures of `docs/performance.md`, each a ratio of two things that were measured in one run.

mod plan;
mod size;

use anyhow::{Context as _, Result, bail, ensure};

use crate::repo::{self, Profile};

/// A name, and what it does.
type Bench = (&'static str, fn() -> Result<()>);

const BENCHES: &[Bench] = &[
    ("size", size::run),
    ("start", || measure("start")),
    ("plan", plan::run),
    ("tls", || wire("tls")),
    ("throughput", || wire("throughput")),
    ("cpu", || measure("cpu")),
    ("memory", || measure("memory")),
    ("changed", || measure("changed")),
    ("edge", || measure("edge")),
    ("probe", || measure("probe")),
    ("pace", || wire("pace")),
    ("queue", queue),
];

/// The zone that the emulator has.
pub(crate) const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// No secret: the emulator takes any token of a valid form.
pub(crate) const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCD";

/// The names of the benches.
pub(crate) fn names() -> String {
    BENCHES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Runs the benches named, or all; one that misses its target does not keep the others from running.
pub(crate) fn run(wanted: &[&str]) -> Result<()> {
    if let Some(unknown) = wanted.iter().find(|name| BENCHES.iter().all(|(bench, _)| bench != *name)) {
        bail!("no such bench: `{unknown}`; there are {}", names());
    }
    println!("{}", machine());
    let mut missed = Vec::new();
    for (name, bench) in BENCHES.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
        println!("\n=== {name}");
        if let Err(error) = bench() {
            println!("{error:#}");
            missed.push(*name);
        }
    }
    ensure!(missed.is_empty(), "not as it should be: {}", missed.join(", "));
    Ok(())
}

/// What the figures were measured on.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    format!(
        "machine: {cores} cores, {}, Linux {}, load {} in the minute before",
        model.map_or("unknown", |(_, model)| model),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}

/// The benches that need more than the standard library are with the binary.
fn wire(name: &str) -> Result<()> {
    let mut command = repo::command("cargo");
    command.args(["bench", "--quiet", "--package=cfcache-cli", "--bench=wire", "--", name]);
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "it failed, or missed a target");
    Ok(())
}

/// The figures of `docs/queue.md`, on a PostgreSQL that the example starts.
fn queue() -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let status = repo::command("cargo").args(arguments).status().context("cannot run cargo")?;
        ensure!(status.success(), "it failed, or missed a target");
        Ok(())
    };
    let package = ["--quiet", "--release", "--package=cfcache-queue"];
    cargo(&[&["build", "--bin=cfcache-queue"], &package[..]].concat())?;
    let program = repo::root().join("target/release/cfcache-queue");
    cargo(&[&["run", "--example=measure"], &package[..], &["--", &program.to_string_lossy()]].concat())
}

/// The benches of the release binary as a process, which are with it, too.
fn measure(name: &str) -> Result<()> {
    let cfcache = repo::build_cfcache(Profile::Release)?;
    let mut command = repo::command("cargo");
    command.args(["run", "--quiet", "--package=cfcache-cli", "--example=process", "--", name]).arg(cfcache);
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "it failed, or missed a target");
    Ok(())
}
