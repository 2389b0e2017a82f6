//! `--plan auto`, and progress.

use core::time::Duration;

use cfcache_emulator::{Config, Token};
use cfcache_model::Plan;

use crate::support::{Api, TOKEN, cfcache};

fn tags(count: usize) -> String {
    (0..count).map(|number| format!("tag-{number}\n")).collect()
}

#[test]
fn requests_the_plan_once_a_run_exceeds_the_smallest_one() {
    let api = Api::start(Config::new(Plan::Enterprise).with_limits(true));
    let ran = cfcache(&api).args("purge tags --json -v --from -").input(tags(6000)).run();
    ran.exits(0).tells("the zone's plan is `enterprise`");
    // 60 requests: with the limits of the free plan, they would take seven minutes.
    assert_eq!(ran.report()["rate_limited"], 0);
    assert!(ran.report()["elapsed_ms"].as_u64().unwrap() < 20_000);
    let asked = api.paths().iter().filter(|path| path.starts_with("GET ")).count();
    assert_eq!(asked, 1);
}

#[test]
fn a_small_purge_costs_no_extra_request() {
    let api = Api::start(Config::new(Plan::Enterprise).with_limits(true));
    cfcache(&api).args("purge tags --from -").input(tags(1000)).run().exits(0);
    assert_eq!(api.requests(), 10);
    // A run with an explicit plan sends no extra request either.
    for line in ["--plan enterprise", "--no-rate-limit"] {
        api.log().clear();
        cfcache(&api).args("purge tags --from -").args(line).input(tags(6000)).run().exits(0);
        assert_eq!(api.requests(), 60, "{line}");
    }
}

#[test]
fn uses_the_plan_of_a_looked_up_zone() {
    let api = Api::start(Config::new(Plan::Enterprise).with_limits(true));
    cfcache(&api).args("-z example.com purge tags --from -").input(tags(6000)).run().exits(0);
    assert_eq!(api.requests(), 61);
}

#[cfg(unix)]
#[test]
fn uses_the_smallest_plan_if_the_token_may_not_read_the_zone() {
    let token = Token::new(TOKEN).with_permissions(["Cache Purge"]);
    let config = Config::new(Plan::Enterprise).with_limits(true).with_token(token);
    let api = Api::start(config);
    let mut process = cfcache(&api).args("purge tags --json -v --from -").start();
    process.write(&tags(6000));
    process.end();
    crate::support::wait_until(|| api.paths().iter().any(|path| path.starts_with("GET ")));
    std::thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    let ran = process.finish();
    ran.exits(130).tells("the zone's plan cannot be read");
    let accepted = ran.report()["accepted"].as_u64().unwrap();
    assert!((2000..=2600).contains(&accepted), "{accepted}");
}

#[test]
fn without_a_terminal_prints_progress_every_ten_seconds() {
    // One request, which takes slightly longer than that.
    let api = Api::with_fault("delay=10500ms");
    std::thread::scope(|scope| {
        let told = scope.spawn(|| cfcache(&api).args("purge tags a b").run());
        let quiet = scope.spawn(|| cfcache(&api).args("purge tags a b -q").run());
        let without = scope.spawn(|| cfcache(&api).args("purge tags a b --no-progress").run());
        let told = told.join().unwrap();
        told.exits(0);
        assert_eq!(told.err.lines().count(), 1, "{told:?}");
        told.tells("0 of 2 tags accepted").tells("1 in flight");
        assert_eq!(quiet.join().unwrap().err, "");
        assert_eq!(without.join().unwrap().err, "");
    });
}
