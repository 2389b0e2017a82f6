//! Runs the public test suite for HTTP caches (npm's `http-cache-tests`) against the emulated edge.
//!
//! Cloudflare differs from the cache of RFC 9111, so some tests fail as intended. The lists in `xtask/conformance` name
//! these tests with the reasons. Each test must have the result in its list.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::emulator::Emulator;
use crate::{install, repo};

const PACKAGE: &str = "http-cache-tests@0.4.5";

/// The arguments of the edge, and the list of expected results.
const RUNS: [(&[&str], &str); 2] = [
    (&[], "xtask/conformance/cache-tests-default.txt"),
    (
        &["--cache-rules", concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/cache-tests-rule.json")],
        "xtask/conformance/cache-tests-rule.txt",
    ),
];

/// Runs the suite with and without a cache rule, concurrently.
pub(crate) fn run() -> Result<()> {
    let suite = install::npm("cache-tests", PACKAGE)?;
    let cfcache = repo::build_cfcache()?;
    // The suite's own origin cannot choose a free port by itself.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let mut origin = node(&suite, "server/server.mjs");
    origin.env("npm_config_port", port.to_string()).env("npm_config_pidfile", "/dev/null");
    let mut origin = origin.stdout(Stdio::piped()).spawn().context("cannot run Node.js")?;
    let mut line = String::new();
    let mut printed = BufReader::new(origin.stdout.take().context("the origin has no output")?);
    let results = printed.read_line(&mut line).context("cannot read what the origin prints").and_then(|_| {
        ensure!(line.starts_with("Listening on "), "the suite's origin does not start: `{}`", line.trim());
        let url = format!("http://127.0.0.1:{port}");
        thread::scope(|scope| {
            let runs = RUNS.map(|(arguments, list)| {
                let arguments = [arguments, &["--origin", &url]].concat();
                let (cfcache, suite) = (&cfcache, &suite);
                scope.spawn(move || {
                    compare(&run_suite(cfcache, suite, &arguments)?, &repo::read(list)?).context(list)
                })
            });
            runs.into_iter().map(|run| run.join().unwrap_or_else(|_| bail!("a run panicked"))).collect()
        })
    });
    origin.kill().and_then(|()| origin.wait()).context("cannot stop the suite's origin")?;
    for ((_, list), [passed, failed]) in RUNS.iter().zip::<Vec<_>>(results?) {
        println!("{list}: {passed} tests pass, {failed} fail for the reasons in the list");
    }
    Ok(())
}

/// Creates a command for a script of the suite, with the variables that npm would set.
fn node(suite: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--no-warnings", script]).current_dir(suite).stdin(Stdio::null());
    // Without an empty `id`, the suite runs no tests.
    command.env("npm_config_protocol", "http").env("npm_package_config_id", "").env_remove("npm_config_id");
    command
}

/// Runs the suite once against an edge, and returns the result of each test.
fn run_suite(cfcache: &Path, suite: &Path, arguments: &[&str]) -> Result<BTreeMap<String, Value>> {
    let edge = [&["--plan", "free", "--edge-listen", "127.0.0.1:0"], arguments].concat();
    let emulator = Emulator::start(cfcache, &edge)?;
    let edge = emulator.edge_url.as_ref().context("the emulator does not print the address of its edge")?;
    let printed = repo::output(node(suite, "cli.mjs").env("npm_config_base", edge))?;
    serde_json::from_str(&printed).context("the suite does not print results as JSON")
}

/// Compares results with a list of tests in sections `[passes]` and `[fails: …]`. Returns how many pass and fail.
fn compare(results: &BTreeMap<String, Value>, list: &str) -> Result<[usize; 2]> {
    let mut expected = BTreeMap::new();
    let mut passes = None;
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line == "[passes]" || line.starts_with("[fails: ") {
            passes = Some(line == "[passes]");
        } else {
            let passes = passes.with_context(|| format!("`{line}` is in no section"))?;
            ensure!(expected.insert(line, passes).is_none(), "{line} is in the list twice");
        }
    }
    let mut differences = Vec::new();
    for (test, result) in results {
        match (result == &Value::Bool(true), expected.remove(test.as_str())) {
            (true, Some(true)) | (false, Some(false)) => {}
            (true, _) => differences.push(format!("{test} passes, but is not in the list of passing tests")),
            (false, _) => differences.push(format!("{test} fails, but has no reason in the list: {result}")),
        }
    }
    differences.extend(expected.keys().map(|test| format!("{test} is in the list, but did not run")));
    ensure!(differences.is_empty(), "the list differs from the results:\n  {}", differences.join("\n  "));
    let passed = results.values().filter(|result| **result == Value::Bool(true)).count();
    Ok([passed, results.len() - passed])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_results_that_differ_from_the_list() {
        let results = BTreeMap::from([("a".to_owned(), true.into()), ("b".to_owned(), "no".into())]);
        assert_eq!(compare(&results, "# A list.\n\n[passes]\na\n[fails: why]\nb\n").unwrap(), [1, 1]);
        for (list, error) in [
            ("[passes]\na\nb\n", "b fails, but has no reason"),
            ("[fails: why]\na\nb\n", "a passes, but is not in the list"),
            ("[passes]\na\nc\n[fails: why]\nb\n", "c is in the list, but did not run"),
            ("[passes]\na\n[fails: why]\na\nb\n", "a is in the list twice"),
            ("a\n", "`a` is in no section"),
        ] {
            let found = compare(&results, list).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
