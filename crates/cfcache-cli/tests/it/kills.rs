//! A process that is killed at any moment loses nothing, and repeats no more than it had in flight.

#![cfg(unix)]

use core::time::Duration;
use std::collections::HashMap;

use cfcache_emulator::{Config, LimitMode};
use cfcache_model::Plan;

use crate::support::{Api, Dir, cfcache, urls};

/// As many kills as CI wants; a person who changes the journal wants more.
fn kills() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test that can be made longer")]
    let kills = std::env::var("CFCACHE_TEST_KILLS");
    kills.ok().map_or(20, |kills| kills.parse().unwrap())
}

/// Killed at moments that look like chance, and are the same each time.
#[test]
fn nothing_is_lost_and_little_is_repeated() {
    const BATCH: u64 = 10;
    const CONCURRENCY: u64 = 4;
    for from_file in [true, false] {
        let kills = kills();
        // A file is checked whole before the first request, and most of the kills are to come after that.
        let entries = usize::try_from(kills * if from_file { 80 } else { 400 }).unwrap();
        let config =
            Config::new(Plan::Free).with_limits(LimitMode::Off).with_latency(Duration::from_millis(4));
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
        // What is in flight at a kill, and what was accepted while the disk still wrote what came before: on a busy machine
        // that is more than is in flight, and without a journal it would be everything that the killed run had sent.
        let bound = 3 * kills * CONCURRENCY * BATCH;
        assert!(repeats <= bound, "{repeats} repeats; at most {bound} are expected");
        // It was a test only if the kills came in the middle.
        assert!(before > 0, "no run got anywhere before it was killed");
        let skipped = report["skipped"].as_u64().unwrap();
        assert!(skipped > 0);
        eprintln!("{kills} kills: {before} items before the last run, {skipped} skipped, {repeats} repeats");
    }
}
