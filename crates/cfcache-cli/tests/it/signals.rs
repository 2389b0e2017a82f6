//! Ctrl-C and signals to stop.

#![cfg(unix)]

use core::time::Duration;

use cfcache_emulator::Config;
use cfcache_model::Plan;

use crate::support::{Api, Dir, cfcache, urls, wait_until};

#[test]
fn the_first_ctrl_c_waits_for_requests_in_flight() {
    let api = Api::with_fault("delay=1s");
    let dir = Dir::new();
    let mut process = cfcache(&api)
        .args("purge urls --json --from - --concurrency 2 --failed-to")
        .arg(dir.at("failed"))
        .start();
    process.write(&urls(1000));
    wait_until(|| api.log().counts().connections >= 2);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130).tells("waiting for requests in flight");
    let report = ran.report();
    assert_eq!(report["accepted"], 200, "{report}");
    assert_eq!(api.items().len(), 200);
    let failed = report["failed"].as_u64().unwrap();
    assert_eq!(failed, dir.read("failed").lines().count() as u64);
    assert_eq!(report["failures"][0]["error"]["message"], "interrupted before it was sent");
    // No entry is both reported as unsent and sent.
    assert!(dir.read("failed").lines().all(|line| !api.items().iter().any(|item| item == line)));
}

#[test]
fn the_second_ctrl_c_stops_at_once_and_counts_every_entry() {
    let api = Api::with_fault("stall");
    let dir = Dir::new();
    let mut process = cfcache(&api)
        .args("purge urls --json --from - --concurrency 2 --failed-to")
        .arg(dir.at("failed"))
        .start();
    process.write(&urls(500));
    process.end();
    wait_until(|| api.log().counts().connections >= 2);
    std::thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(process.is_running());
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130);
    let report = ran.report();
    assert_eq!(report["accepted"], 0);
    assert_eq!(report["items"], report["failed"]);
    let messages = report["failures"].to_string();
    assert!(messages.contains("it may have been accepted"), "{messages}");
    // All unfinished entries are in the list for another run.
    let failed = dir.read("failed");
    assert_eq!(failed.lines().count() as u64, report["failed"].as_u64().unwrap());
    assert!(failed.contains("https://www.example.com/0\n"), "{failed}");
}

/// HTTP/1.1 allows at most 200 connections; requests that wait for one have not been sent.
#[test]
fn requests_that_waited_for_a_connection_are_not_sent_after_the_second_ctrl_c() {
    let api = Api::with_fault("stall");
    let mut process = cfcache(&api)
        .args("purge urls --json --from - --concurrency 230 --batch-size 1 --no-rate-limit")
        .start();
    process.write(&urls(230));
    process.end();
    wait_until(|| api.log().counts().connections >= 200 && api.requests() >= 200);
    process.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130);
    let report = ran.report();
    assert_eq!((&report["requests"], &report["failed"]), (&200.into(), &230.into()), "{report}");
    let messages = report["failures"].to_string();
    assert_eq!(messages.matches("it may have been accepted").count(), 200, "{messages}");
    assert_eq!(messages.matches("was not sent").count(), 30, "{messages}");
}

#[test]
fn ctrl_c_stops_while_waiting_for_a_pipe() {
    let api = Api::quick();
    let process = cfcache(&api).args("purge urls --json --from -").start();
    std::thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    let ran = process.finish();
    ran.exits(130).says_nothing().tells("nothing was sent");
    assert_eq!(api.requests(), 0);
}

#[test]
fn ctrl_c_during_a_purge_of_everything() {
    let api = Api::with_fault("delay=700ms");
    let process = cfcache(&api).args("purge everything -y --json").start();
    wait_until(|| api.log().counts().connections >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    let ran = process.finish();
    // The request in flight was awaited, and it succeeded.
    ran.exits(0).tells("waiting for requests in flight");
    assert_eq!(ran.report()["accepted"], 1);

    let api = Api::with_fault("stall");
    let process = cfcache(&api).args("purge everything -y --json").start();
    wait_until(|| api.log().counts().connections >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130).tells("it may have been accepted");
    assert_eq!(ran.report()["failed"], 1);

    // Between two attempts, there is nothing to wait for.
    let api = Api::with_fault("status=429,retry-after=60");
    let process = cfcache(&api).args("purge everything -y --json").start();
    wait_until(|| api.requests() >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130).tells("interrupted before it was tried again");
}

#[test]
fn ctrl_c_stops_while_waiting_for_the_server() {
    let api = Api::with_fault("status=429,retry-after=60");
    let process = cfcache(&api).args("purge tags a b c --json").start();
    wait_until(|| api.requests() >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130);
    assert_eq!(ran.report()["failed"], 3);
}

#[test]
fn sigterm_is_handled_like_ctrl_c() {
    let api = Api::with_fault("delay=500ms");
    let process = cfcache(&api).args("purge tags a --json").start();
    wait_until(|| api.log().counts().connections >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("TERM");
    let ran = process.finish();
    assert_eq!(ran.report()["accepted"], 1);
}

#[test]
fn ctrl_c_ends_reading_commands_immediately() {
    let api = Api::with_fault("stall,on=all");
    let process = cfcache(&api).args("zones list").start();
    wait_until(|| api.log().counts().connections >= 1);
    // Signals are handled while the connection is being opened.
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    process.finish().exits(130).says_nothing();
}

#[test]
fn ctrl_c_does_not_stop_a_started_clear() {
    let api = Api::start(Config::new(Plan::Enterprise).with_limits(false));
    let process = cfcache(&api).args("reserve clear --wait -y").start();
    wait_until(|| api.requests() >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    process
        .finish()
        .exits(130)
        .tells("interrupted; the clear continues")
        .tells("hint: `cfcache reserve status`");
    cfcache(&api).args("reserve status").run().exits(0);

    let api = Api::with_fault("stall,on=all");
    let process = cfcache(&api).args("reserve clear --wait -y").start();
    wait_until(|| api.log().counts().connections >= 1);
    std::thread::sleep(Duration::from_millis(200));
    process.signal("INT");
    process.finish().exits(130).tells("may have taken effect");
}

#[test]
fn sighup_is_handled_like_ctrl_c() {
    // If `nohup` started the tests, this process and its children must ignore the signal.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    if ignored.is_some_and(|mask| mask & 1 == 1) {
        eprintln!("skipped: SIGHUP is ignored here");
        return;
    }
    let api = Api::with_fault("delay=1s");
    let dir = Dir::new();
    let mut process = cfcache(&api)
        .args("purge urls --json --from - --concurrency 2 --failed-to")
        .arg(dir.at("failed"))
        .start();
    process.write(&urls(1000));
    wait_until(|| api.log().counts().connections >= 2);
    std::thread::sleep(Duration::from_millis(200));
    // The shell sends it, and then the terminal.
    process.signal("HUP");
    process.signal("HUP");
    let ran = process.finish();
    let report = ran.exits(130).report();
    assert_eq!(report["accepted"], 200, "{report}");
    let failed = report["failed"].as_u64().unwrap();
    assert_eq!(failed, dir.read("failed").lines().count() as u64);
}

/// Runs the binary from a shell that first runs a script.
fn after(script: &str) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!("{script}; exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_cfcache"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(std::process::Stdio::null());
    command
}

#[test]
#[cfg(target_os = "linux")]
fn signals_that_are_ignored_at_start_stay_ignored() {
    let api = Api::with_fault("delay=700ms");
    let mut command = after("trap '' INT HUP");
    let purge = ["--base-url", api.base(), "-z", crate::support::ZONE, "purge", "tags", "a", "--json"];
    command.args(purge).env("CLOUDFLARE_API_TOKEN", crate::support::TOKEN);
    let child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_until(|| api.log().counts().connections >= 1);
    std::thread::sleep(Duration::from_millis(200));
    for name in ["INT", "HUP", "INT"] {
        crate::support::signal(&child, name);
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("waiting for"), "{output:?}");
}

#[test]
fn too_few_file_descriptors_are_an_error_without_a_panic() {
    for limit in 5..24 {
        let output =
            after(&format!("ulimit -n {limit}")).args(["--emulator", "purge", "tags", "a"]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!err.contains("panicked"), "{limit}: {err}");
        if output.status.code() != Some(0) {
            assert!(matches!(output.status.code(), Some(5 | 127)), "{limit}: {output:?}");
        }
    }
}
