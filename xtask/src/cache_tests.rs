//! The public test suite for HTTP caches (npm's `http-cache-tests`) against the emulated edge.
//!
//! Cloudflare is not the cache that RFC 9111 describes, so the edge fails some of its tests on purpose. The lists in
//! `xtask/conformance` say which, and why; each test has to do what its list says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::emulator::Emulator;
use crate::install;
use crate::repo::{self, Profile};

const PACKAGE: &str = "http-cache-tests@0.4.5";

/// A name, the file of cache rules that the edge is started with, and the list of what is expected.
const RUNS: [(&str, Option<&str>, &str); 2] = [
    ("without rules", None, "xtask/conformance/cache-tests-default.txt"),
    (
        "with a rule",
        Some("xtask/conformance/cache-tests-rule.json"),
        "xtask/conformance/cache-tests-rule.txt",
    ),
];

/// Runs the suite with and without a rule, at the same time.
pub(crate) fn run() -> Result<()> {
    let cfcache = repo::build_cfcache(Profile::Tests)?;
    let target = cfcache.ancestors().nth(2).context("cfcache was built into no folder")?;
    let suite = install::npm(&target.join("cache-tests"), PACKAGE)?.join("node_modules/http-cache-tests");
    let origin = Origin::start(&suite)?;
    let results: Vec<_> = thread::scope(|scope| {
        let runs = RUNS.map(|(name, rules, list)| {
            let (cfcache, suite, origin) = (&cfcache, &suite, &origin);
            scope.spawn(move || one(cfcache, suite, origin, rules, list).context(name))
        });
        runs.into_iter().map(|run| run.join().unwrap_or_else(|_| bail!("a run panicked"))).collect()
    });
    for ((name, ..), result) in RUNS.iter().zip(results) {
        let (passed, failed) = result?;
        println!("{name}: {passed} tests pass, {failed} fail for the reasons that are written down");
    }
    Ok(())
}

/// The suite's own origin.
struct Origin {
    process: Child,
    url: String,
}

impl Origin {
    fn start(suite: &Path) -> Result<Self> {
        // It cannot pick a port by itself.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = node(suite, "server/server.mjs");
        command.env("npm_config_port", port.to_string()).env("npm_config_pidfile", "/dev/null");
        let process = command.stdout(Stdio::piped()).spawn().context("Node.js cannot be started")?;
        let mut origin = Self { process, url: format!("http://127.0.0.1:{port}") };
        let mut line = String::new();
        if let Some(printed) = origin.process.stdout.take() {
            BufReader::new(printed).read_line(&mut line)?;
        }
        ensure!(line.starts_with("Listening on "), "the suite's origin does not start: `{}`", line.trim());
        Ok(origin)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

fn node(suite: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--no-warnings", script]).current_dir(suite).stdin(Stdio::null());
    // What npm would set; without an empty `id` the suite runs nothing.
    command.env("npm_config_protocol", "http").env("npm_package_config_id", "").env_remove("npm_config_id");
    command
}

/// Runs the suite once, and gives how many tests pass and fail as its list has it.
fn one(
    cfcache: &Path,
    suite: &Path,
    origin: &Origin,
    rules: Option<&str>,
    list: &str,
) -> Result<(usize, usize)> {
    let rules = rules.map(|rules| repo::root().join(rules).display().to_string());
    let mut edge = vec!["--plan", "free", "--edge-listen", "127.0.0.1:0", "--origin", &origin.url];
    edge.extend(rules.iter().flat_map(|rules| ["--cache-rules", rules]));
    let emulator = Emulator::start(cfcache, &edge)?;
    let base = emulator.edge_url.clone().context("the emulator does not say where its edge is")?;
    let output =
        node(suite, "cli.mjs").env("npm_config_base", base).output().context("cannot run the suite")?;
    drop(emulator);
    let results: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("the suite gives no results: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    let text = repo::read(list)?;
    let (passing, failing) = expected(&text)?;
    let mut wrong = Vec::new();
    for (test, result) in &results {
        let passes = result == &Value::Bool(true);
        match (passes, passing.contains(test.as_str()), failing.contains(test.as_str())) {
            (true, true, _) | (false, _, true) => {}
            (true, ..) => wrong.push(format!("{test} passes, and is not in the list of those")),
            (false, true, _) => wrong.push(format!("{test} fails: {result}")),
            (false, ..) => wrong.push(format!("{test} fails, and has no reason: {result}")),
        }
    }
    let unseen = passing.union(&failing).filter(|test| !results.contains_key(**test));
    wrong.extend(unseen.map(|test| format!("{test} is in the list, and did not run")));
    ensure!(wrong.is_empty(), "{list} does not say what the edge does:\n  {}", wrong.join("\n  "));
    Ok((passing.len(), failing.len()))
}

/// Reads a list: those that pass, and those that fail.
fn expected(text: &str) -> Result<(BTreeSet<&str>, BTreeSet<&str>)> {
    let (mut passing, mut failing) = (BTreeSet::new(), BTreeSet::new());
    let mut section = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        section = match (line, section) {
            ("[passes]", _) => Some(true),
            (head, _) if head.starts_with("[fails: ") => Some(false),
            (test, Some(passes)) => {
                let list = if passes { &mut passing } else { &mut failing };
                ensure!(list.insert(test), "{test} is in the list twice");
                section
            }
            (line, None) => bail!("`{line}` is in no section"),
        };
    }
    let twice = passing.intersection(&failing).next();
    ensure!(twice.is_none(), "{twice:?} passes and fails");
    Ok((passing, failing))
}
