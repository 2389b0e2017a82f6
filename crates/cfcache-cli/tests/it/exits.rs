//! Every exit code, from real runs.

use core::time::Duration;

use cfcache_emulator::{Config, Token};
use cfcache_model::Plan;

use crate::support::{Api, Dir, TOKEN, ZONE, bare, cfcache, urls};

#[test]
fn code_0_everything_was_accepted() {
    let api = Api::quick();
    let ran = cfcache(&api).args("purge urls https://www.example.com/a https://www.example.com/b").run();
    insta::assert_snapshot!(ran.told(), @r"
    stdout:
    accepted: purge 2 URLs on zone 023e105f4ecef8ad9ca31a8372d0c353 (1 request, [TIME])
    exit code: 0
    ");
}

#[test]
fn code_0_after_retries() {
    for fault in ["status=503,times=2", "reset-after,times=2", "status=429,times=1", "malformed,times=1"] {
        let api = Api::with_fault(fault);
        let ran = cfcache(&api).args("purge tags a --json").run();
        ran.exits(0);
        assert!(ran.report()["retries"].as_u64().unwrap() > 0, "{fault}: {ran:?}");
    }
}

#[test]
fn code_1_the_api_refused_the_request() {
    let api = Api::with_fault("status=400,code=9999");
    let ran = cfcache(&api).args("purge urls https://www.example.com/a").run();
    insta::assert_snapshot!(ran.told());
    let api = Api::with_fault("success-false");
    let ran = cfcache(&api).args("purge tags a --json").run();
    ran.exits(1);
    assert_eq!(ran.report()["failed"], 1);
}

#[test]
fn code_1_some_items_failed() {
    let api = Api::with_fault("status=400,code=9999,at=1");
    let ran = cfcache(&api).args("purge urls --json --concurrency 1 --from -").input(urls(150)).run();
    ran.exits(1);
    let report = ran.report();
    assert_eq!((&report["accepted"], &report["failed"]), (&50.into(), &100.into()));
}

#[test]
fn code_2_invalid_arguments() {
    bare().args("--emulator purge urls nonsense").run().exits(2).says_nothing();
}

#[test]
fn code_3_the_credentials_are_refused() {
    let config = Config::new(Plan::Free).with_limits(false);
    let api = Api::start(config.with_token(Token::new("another-token-than-the-one-that-is-sent")));
    let ran = cfcache(&api).args("purge urls --from - --json --concurrency 1").input(urls(1000)).run();
    ran.exits(3).tells("cfcache token verify");
    let report = ran.report();
    assert_eq!(report["accepted"], 0);
    assert_eq!(report["failed"], report["items"]);
    // Entries that were not read are not part of the report, which says so.
    ran.tells("the input was not read completely");
    // A permanent refusal is not retried.
    assert_eq!(api.requests(), 1);
    let forbidden = Token::new(TOKEN).with_permissions(["Zone Read"]);
    let api = Api::start(Config::new(Plan::Free).with_token(forbidden));
    cfcache(&api).args("purge everything -y").run().exits(3);
}

#[test]
fn code_4_rate_limited_until_the_end() {
    let api = Api::with_fault("status=429,retry-after=3600");
    let ran = cfcache(&api).args("purge tags a --max-wait 5").run();
    insta::assert_snapshot!(ran.told());
    let api = Api::with_fault("status=429,retry-after=3600");
    let ran = cfcache(&api).args("purge everything -y --max-wait 5 --json").run();
    ran.exits(4);
    assert_eq!(ran.report()["rate_limited"], 1);
    // It did not wait.
    assert!(ran.report()["elapsed_ms"].as_u64().unwrap() < 4000);
}

#[test]
fn code_5_the_api_failed_or_is_unreachable() {
    let api = Api::with_fault("status=503");
    let ran = cfcache(&api).args("purge tags a --max-retries 1 --json").run();
    ran.exits(5);
    let report = ran.report();
    assert_eq!((&report["requests"], &report["retries"]), (&2.into(), &1.into()));
    for fault in ["reset-before", "reset-after", "html", "truncate", "stall"] {
        let api = Api::with_fault(fault);
        let ran = cfcache(&api).args("purge tags a --max-retries 0 --timeout 0.3 --json").run();
        ran.exits(5);
        assert_eq!(ran.report()["failed"], 1, "{fault}");
    }
    let nobody = bare()
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .args("-z example.com --base-url http://127.0.0.1:9/client/v4 --max-retries 0 purge tags a --json")
        .run();
    nobody.exits(5).says_nothing().tells("cannot look up the zone").tells("127.0.0.1:9");
}

#[test]
fn the_most_severe_of_several_failures_is_the_exit_code() {
    // The first batch is refused, and the second gets an error of the server.
    let config = Config::new(Plan::Free)
        .with_limits(false)
        .with_fault("status=400,code=9999,times=1".parse().unwrap())
        .with_fault("status=503".parse().unwrap());
    let api = Api::start(config);
    let ran = cfcache(&api)
        .args("purge urls --from - --json --max-retries 0 --concurrency 1")
        .input(urls(200))
        .run();
    ran.exits(5);
}

#[test]
fn a_batch_refused_because_of_one_entry_fails_only_that_entry() {
    let dir = Dir::new();
    // The emulator refuses a batch with a URL of another zone.
    let api = Api::quick();
    let input = format!("{}https://www.another-zone.example/x\n{}", urls(30), urls(60));
    let ran =
        cfcache(&api).args("purge urls --json --from - --failed-to").arg(dir.at("failed")).input(input).run();
    if ran.code == Some(0) {
        // The emulator does not know the hosts of a zone, so this cannot be tested.
        return;
    }
    ran.exits(1);
    assert_eq!(ran.report()["failed"], 1);
    assert_eq!(ran.report()["accepted"], 60);
    assert_eq!(dir.read("failed"), "https://www.another-zone.example/x\n");
}

#[test]
fn without_a_terminal_everything_needs_the_yes_option() {
    let api = Api::quick();
    for line in ["purge everything", "invalidate everything"] {
        for input in ["", "y\n", "yes\n"] {
            let ran = cfcache(&api).args(line).input(input).run();
            ran.exits(2).says_nothing().tells("there is no terminal to ask on").tells("--yes");
            ran.tells("in all of its environments").tells(ZONE);
        }
    }
    assert_eq!(api.requests(), 0);
    // One environment is not a whole zone, so it needs no confirmation.
    cfcache(&api).args("purge everything -e Staging").run().exits(0);
    for yes in ["--yes", "-y", "--force", "-f"] {
        cfcache(&api).args("purge everything").arg(yes).run().exits(0);
    }
}

#[test]
fn respects_the_limits_of_the_plan_by_default() {
    // 30 requests with 25 tokens in the bucket: the server never has to refuse one.
    let config = Config::new(Plan::Enterprise).with_limits(true);
    let api = Api::start(config);
    let tags: String = (0..3000).map(|number| format!("tag-{number}\n")).collect();
    let ran = cfcache(&api).args("purge tags --plan pro --from - --json").input(tags).run();
    ran.exits(0);
    let report = ran.report();
    assert_eq!(report["rate_limited"], 0);
    assert!(report["elapsed_ms"].as_u64().unwrap() >= 900, "{report}");
    let _unused = Duration::ZERO;
}

#[test]
fn unreadable_settings_are_errors_but_others_are_shown() {
    let api = Api::with_fault("status=500,on=get_variants");
    let ran = cfcache(&api).args("settings -q --max-retries 0").run();
    ran.exits(5).tells("error: 1 setting cannot be read\n  Variants: the API answered with status 500");
    assert!(ran.out.contains("Cache Reserve"), "{ran:?}");

    let api = Api::with_fault("status=403,code=10000,on=all");
    let ran = cfcache(&api).args("settings --json").run();
    ran.exits(3).tells("error: 11 settings cannot be read");
    assert_eq!(ran.err.matches("hint: ").count(), 1, "{ran:?}");
}

#[test]
fn reports_the_reason_of_retries() {
    let unreachable = || bare().env("CLOUDFLARE_API_TOKEN", TOKEN).args("--base-url http://127.0.0.1:9/");
    let notes = |told: &str, part: &str| told.lines().filter(|line| line.starts_with(part)).count();
    for line in ["purge tags a b", "purge everything -y", "zones list", "settings"] {
        let run =
            |options: &str| unreachable().args("--max-retries 2 -z").arg(ZONE).args(line).args(options).run();
        let ran = run("");
        ran.exits(5);
        // Once, for any number of attempts.
        assert_eq!(
            notes(&ran.err, "`127.0.0.1:9` refused the connection, try 2 of 3, again in"),
            1,
            "{line}: {ran:?}"
        );
        let quiet = run("-q");
        assert_eq!(notes(&quiet.err, "`127.0.0.1:9`"), 0, "{quiet:?}");
    }
    for (fault, reason) in [
        ("status=503,times=2", "the API answered with status 503"),
        ("html,times=2", "the API answered with status 502"),
    ] {
        let api = Api::with_fault(fault);
        let ran = cfcache(&api).args("purge tags a").run();
        ran.exits(0).tells(", try 2 of 11, again in");
        assert_eq!(notes(&ran.err, reason), 1, "{ran:?}");
    }
    // An error that is gone at the next attempt is not reported.
    let api = Api::with_fault("status=503,times=1");
    assert_eq!(cfcache(&api).args("purge tags a").run().exits(0).err, "");
}
