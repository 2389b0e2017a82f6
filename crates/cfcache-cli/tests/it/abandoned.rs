//! Cancelled runs: entries that were not read or not sent are still counted.

use std::collections::BTreeSet;

use crate::support::{Api, Dir, ZONE, cfcache, urls};

/// After three batches, all requests are refused, for longer than the run waits.
const LOCKED: &str = "status=429,retry-after=700,after=3";

#[test]
fn a_cancelled_run_counts_the_rest_of_its_file() {
    let api = Api::with_fault(LOCKED);
    let dir = Dir::new();
    let list = dir.file("urls.txt", urls(20_000));
    let rest = dir.at("rest.txt");
    let ran = cfcache(&api)
        .args("purge urls --json --max-wait 5 --no-rate-limit --quiet --from")
        .arg(&list)
        .arg("--failed-to")
        .arg(&rest)
        .run();
    let report = ran.exits(4).report();
    assert_eq!(report["items"], 20_000);
    assert!(report.get("incomplete").is_none(), "{report}");

    // Failed and accepted entries are all entries.
    let text = dir.read("rest.txt");
    let sent = api.items();
    let all: BTreeSet<&str> = text.lines().chain(sent.iter().map(String::as_str)).collect();
    assert_eq!(all.len(), 20_000);
    assert_eq!(report["accepted"].as_u64().unwrap() + text.lines().count() as u64, 20_000);
}

/// Entries that are already assigned to the run of a zone are also counted.
#[test]
fn a_cancelled_run_over_several_zones_counts_the_rest_of_its_file() {
    let api = Api::with_fault(LOCKED);
    let dir = Dir::new();
    let lines: Vec<String> = (0..20_000)
        .map(|number| format!("https://{}/{number}\n", ["www.example.com", "example.org"][number % 2]))
        .collect();
    let list = dir.file("urls.txt", lines.concat());
    let rest = dir.at("rest.txt");
    let zones = format!("[zones]\n\"example.com\" = \"{ZONE}\"\n\"example.org\" = \"{}\"\n", "4".repeat(32));
    let config = dir.file("config.toml", zones);
    let ran = cfcache(&api)
        .without("CLOUDFLARE_ZONE_ID")
        .args("purge urls --json --max-wait 5 --no-rate-limit --quiet --from")
        .arg(&list)
        .arg("--failed-to")
        .arg(&rest)
        .arg("--config")
        .arg(&config)
        .run();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let report = ran.report();
    assert_eq!(report["items"], 20_000);
    let text = dir.read("rest.txt");
    let sent = api.items();
    let all: BTreeSet<&str> = text.lines().chain(sent.iter().map(String::as_str)).collect();
    assert_eq!(all.len(), 20_000);
}

#[test]
fn reports_an_unread_pipe_at_every_verbosity() {
    let api = Api::with_fault(LOCKED);
    let ran = cfcache(&api)
        .args("purge urls --json --max-wait 5 --no-rate-limit --quiet --from -")
        .input(urls(20_000))
        .run();
    let report = ran.exits(4).tells("was not read completely").report();
    assert_eq!(report["incomplete"], true);
    assert!(report["items"].as_u64().unwrap() < 20_000);
}

#[test]
fn refuses_list_options_without_a_list() {
    let api = Api::quick();
    let dir = Dir::new();
    let mappings = dir.file("regions.txt", "192.0.2.1 aws us-east-1\n");
    for option in ["--failed-to f", "--on-invalid skip", "--journal j", "--batch-size 5", "-e Staging"] {
        let import = cfcache(&api).args(option).args("origin-regions import").arg(&mappings).run();
        import.exits(2).says_nothing().tells("is only for purge and invalidate");
        cfcache(&api).args(option).args("zones list").run().exits(2).says_nothing();
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn refuses_an_empty_list_of_variants() {
    let api = Api::quick();
    for empty in ["{}", "\u{feff}{}\n"] {
        let ran = cfcache(&api).args("variants set --from -").input(empty).run();
        ran.exits(2).says_nothing().tells("contains no variants").tells("variants delete");
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn refuses_an_empty_base_url() {
    let api = Api::quick();
    let ran = cfcache(&api).env("CLOUDFLARE_BASE_URL", "").args("purge tags a").run();
    ran.exits(2).says_nothing().tells("`CLOUDFLARE_BASE_URL` is set but empty");
}

#[test]
fn accepts_repeated_options() {
    let api = Api::quick();
    cfcache(&api).args("-q -q -y -y --json --json purge tags a").run().exits(0).report();
}
