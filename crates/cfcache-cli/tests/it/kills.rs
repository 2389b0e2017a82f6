//! A process that is killed at any moment loses nothing, and repeats at most the requests that were in flight.

#![cfg(unix)]

use core::time::Duration;
use std::collections::HashMap;

use cfcache_emulator::Config;
use cfcache_model::Plan;

use crate::support::{Api, Dir, cfcache, urls};

/// Returns the number of kills: the number in CI, or more on request.
fn kills() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test that can be made longer")]
    let kills = std::env::var("CFCACHE_TEST_KILLS");
    kills.ok().map_or(20, |kills| kills.parse().unwrap())
}

/// The moments of the kills are pseudo-random, and the same each time.
#[test]
fn kills_lose_nothing_and_repeat_only_requests_in_flight() {
    const BATCH: u64 = 10;
    const CONCURRENCY: u64 = 4;
    for from_file in [true, false] {
        let kills = kills();
        // A file is checked completely before the first request, and most kills should come later.
        let entries = usize::try_from(kills * if from_file { 80 } else { 400 }).unwrap();
        let config = Config::new(Plan::Free).with_limits(false).with_latency(Duration::from_millis(4));
        let api = Api::start(config);
        let dir = Dir::new();
        let list = dir.file("list", urls(entries));
        let start = || {
            let cmd = cfcache(&api)
                .args("purge urls --json --batch-size 10 --concurrency 4 --journal")
                .arg(dir.at("journal"));
            if from_file {
                cmd.arg("--from").arg(&list)
            } else {
                cmd.args("--from -").stdin(std::process::Stdio::null())
            }
        };
        let feed = |cmd: crate::support::Cmd| if from_file { cmd } else { cmd.input(urls(entries)) };
        let mut chance = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..kills {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            feed(start()).kill_after(Duration::from_micros(10_000 + chance % 110_000));
        }
        let before = api.items().len();
        let last = feed(start()).run();
        last.exits(0);
        let report = last.report();
        assert_eq!(report["failed"], 0);
        let mut seen: HashMap<String, u64> = HashMap::new();
        for item in api.items() {
            *seen.entry(item).or_default() += 1;
        }
        assert_eq!(seen.len(), entries, "something was lost");
        let repeats: u64 = seen.values().map(|times| times - 1).sum();
        // Repeated are the requests in flight at a kill, and those that were accepted while the disk was still writing
        // earlier ones. On a busy machine the latter are more. Without a journal, it would be everything that the
        // killed run had sent.
        let bound = 3 * kills * CONCURRENCY * BATCH;
        assert!(repeats <= bound, "{repeats} repeats; at most {bound} are expected");
        // The test is meaningful only if the kills happened during the runs.
        assert!(before > 0, "no run got anywhere before it was killed");
        let skipped = report["skipped"].as_u64().unwrap();
        assert!(skipped > 0);
        eprintln!("{kills} kills: {before} items before the last run, {skipped} skipped, {repeats} repeats");
    }
}
