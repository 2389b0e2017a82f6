//! Measures the figures of `docs/performance.md` and `docs/queue.md`. Each is a ratio of two measurements in one run,
//! or a number that does not depend on the machine. Each benchmark is in the crate that it measures.

use std::fs;

use anyhow::{Result, ensure};

use crate::repo::{self, cargo};

/// The name of a benchmark, and its function.
type Bench = (&'static str, fn(&str) -> Result<()>);

const BENCHES: [Bench; 12] = [
    ("size", process),
    ("start", process),
    ("plan", |_| {
        repo::run(&mut cargo(&["bench", "--package=cfcache-model", "--bench=plan", "--", "--noplot"]))
    }),
    ("tls", wire),
    ("throughput", wire),
    ("cpu", process),
    ("memory", process),
    ("changed", process),
    ("edge", process),
    ("probe", process),
    ("pace", wire),
    ("queue", queue),
];

pub(crate) fn names() -> [&'static str; BENCHES.len()] {
    BENCHES.map(|(name, _)| name)
}

/// Runs the named benchmarks, or all. A benchmark that misses its target does not stop the others.
pub(crate) fn run(names: &[String]) -> Result<()> {
    println!("{}", machine());
    let mut missed = Vec::new();
    for (name, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            println!("\n=== {name}");
            if let Err(error) = bench(name) {
                println!("{error:#}");
                missed.push(name);
            }
        }
    }
    ensure!(missed.is_empty(), "failed, or missed their targets: {}", missed.join(", "));
    Ok(())
}

/// Describes the machine.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let (kernel, load) = (kernel.trim(), load.split(' ').next().unwrap_or_default());
    let model = model.map_or("unknown", |(_, model)| model);
    format!("machine: {cores} cores, {model}, Linux {kernel}, load {load} in the minute before")
}

/// Runs a benchmark that needs a server.
fn wire(name: &str) -> Result<()> {
    repo::run(&mut cargo(&["bench", "--quiet", "--package=cfcache-cli", "--bench=wire", "--", name]))
}

/// Runs a benchmark of the release binary as a process.
fn process(name: &str) -> Result<()> {
    run_release(name, &[])
}

/// Lists the functions that a purge runs, with a release binary that contains symbols.
pub(crate) fn order() -> Result<()> {
    run_release("order", &[("CARGO_PROFILE_RELEASE_STRIP", "false")])
}

fn run_release(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    let build = &mut cargo(&["build", "--package=cfcache-cli", "--bin=cfcache", "--release"]);
    let binary = repo::build(build.envs(settings.iter().copied()), "cfcache")?;
    repo::run(
        cargo(&["run", "--quiet", "--package=cfcache-cli", "--example=process", "--", name]).arg(binary),
    )
}

/// Runs the benchmark of the queue, on a PostgreSQL cluster that the example starts.
fn queue(_: &str) -> Result<()> {
    let build = &mut cargo(&["build", "--package=cfcache-queue", "--bin=cfcache-queue", "--release"]);
    let binary = repo::build(build, "cfcache-queue")?;
    repo::run(
        cargo(&["run", "--quiet", "--release", "--package=cfcache-queue", "--example=measure_queue", "--"])
            .arg(binary),
    )
}

/// Runs the simulation, an example of the queue's crate, with optimizations: a day takes a minute.
pub(crate) fn simulate_queue(seed: Option<u64>) -> Result<()> {
    let example = ["run", "--quiet", "--release", "--package=cfcache-queue", "--example=simulate", "--"];
    repo::run(cargo(&example).args(seed.map(|seed| seed.to_string())))
}
