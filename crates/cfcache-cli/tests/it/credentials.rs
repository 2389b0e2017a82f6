//! Where the credentials come from.

use cfcache_emulator::{ApiKey, Config, LimitMode, Token};
use cfcache_model::Plan;

use crate::support::{Api, Dir, TOKEN, bare, cfcache};

const KEY: &str = "0123456789abcdef0123456789abcdef01234";
const EMAIL: &str = "user@example.com";
const VARIABLE: &str = "CLOUDFLARE_API_TOKEN";

fn known() -> Api {
    let config = Config::new(Plan::Free).with_limits(LimitMode::Off);
    Api::start(config.with_token(Token::new(TOKEN)).with_key(ApiKey::new(EMAIL, KEY)))
}

#[test]
fn without_credentials_nothing_is_sent() {
    let api = Api::quick();
    for line in ["purge tags a", "purge everything -y", "zones list", "environments list", "token verify"] {
        let ran = cfcache(&api).without(VARIABLE).args(line).run();
        ran.exits(3).says_nothing().tells("no credentials").tells(VARIABLE).tells("--api-token-file");
    }
    // A variable that is set and empty is what an unset secret of a CI job looks like.
    let empty = cfcache(&api).env(VARIABLE, "").args("purge tags a").run();
    empty.exits(3).tells("`CLOUDFLARE_API_TOKEN` is set, and empty");
    let half = cfcache(&api).without(VARIABLE).env("CLOUDFLARE_API_KEY", KEY).args("purge tags a").run();
    half.exits(3).tells("CLOUDFLARE_EMAIL");
    assert_eq!(api.requests(), 0);
}

#[test]
fn the_older_pair_works_and_a_token_wins_over_it() {
    let api = known();
    let pair = || {
        cfcache(&api)
            .without(VARIABLE)
            .env("CLOUDFLARE_API_KEY", KEY)
            .env("CLOUDFLARE_EMAIL", EMAIL)
            .args("purge tags a")
    };
    pair().run().exits(0);
    let headers = |index: usize| api.log().entries()[index].headers.clone();
    assert_eq!(headers(0)["x-auth-email"], EMAIL);
    assert!(headers(0).contains_key("x-auth-key") && !headers(0).contains_key("authorization"));
    pair().env(VARIABLE, TOKEN).run().exits(0);
    assert!(headers(1).contains_key("authorization") && !headers(1).contains_key("x-auth-key"));
    // An empty token is no token.
    pair().env(VARIABLE, "").run().exits(0);
    assert!(headers(2).contains_key("x-auth-key"));
}

#[test]
fn a_file_wins_over_the_environment() {
    let api = known();
    let dir = Dir::new();
    let file = dir.file("token", format!("{TOKEN}\n"));
    let purge = || cfcache(&api).env(VARIABLE, "not-the-token-that-is-known-0000000000").args("purge tags a");
    purge().run().exits(3);
    purge().arg("--api-token-file").arg(&file).run().exits(0);
    purge().args("--api-token-file -").input(format!("  {TOKEN}\r\n")).run().exits(0);
}

#[test]
fn a_file_that_holds_no_token_is_named_and_not_shown() {
    let api = known();
    let dir = Dir::new();
    let refused = |path: &std::path::Path| {
        let ran = cfcache(&api).args("purge tags a --api-token-file").arg(path).run();
        ran.exits(3).says_nothing();
        ran.err
    };
    assert!(refused(&dir.at("missing")).contains("missing"));
    refused(&dir.file("empty", "\n"));
    let err = refused(&dir.file("two", format!("{TOKEN}\nsecond-line\n")));
    assert!(!err.contains(TOKEN) && !err.contains("second-line"), "{err}");
    assert!(refused(&dir.file("long", "x".repeat(10_000))).contains("more than a token"));
    refused(&dir.file("binary", b"\xFF\xFE\x00"));
    refused(dir.path());
    assert_eq!(api.requests(), 0);
}

#[test]
fn a_line_break_around_the_token_is_not_part_of_it() {
    let api = known();
    cfcache(&api).env(VARIABLE, format!("\n{TOKEN}\r\n")).args("purge tags a").run().exits(0);
}

#[test]
fn the_emulator_inside_needs_none_and_gets_none_of_the_users() {
    let ran = bare().args("--emulator purge tags a --json").run();
    ran.exits(0);
    assert_eq!(ran.report()["accepted"], 1);
    bare().env(VARIABLE, "not even of a valid form").args("--emulator purge tags a").run().exits(0);
}

#[test]
fn no_option_takes_a_secret() {
    let help = bare().arg("--help").run().out;
    for name in ["--api-token ", "--token ", "--api-key", "--email"] {
        assert!(!help.contains(name), "{name}");
    }
    bare().args("--api-token x purge tags a").run().exits(2);
}

#[test]
fn the_base_url_is_the_options_then_the_sdks_then_wranglers() {
    let api = Api::quick();
    let nowhere = "http://127.0.0.1:9/client/v4";
    let purge = || cfcache(&api).without("CLOUDFLARE_BASE_URL").args("purge tags a --max-retries 0");
    let here = api.base();
    purge().env("CLOUDFLARE_API_BASE_URL", here).run().exits(0);
    purge().env("CLOUDFLARE_API_BASE_URL", here).env("CLOUDFLARE_BASE_URL", "").run().exits(0);
    purge().env("CLOUDFLARE_API_BASE_URL", nowhere).env("CLOUDFLARE_BASE_URL", here).run().exits(0);
    purge().env("CLOUDFLARE_BASE_URL", nowhere).arg("--base-url").arg(here).run().exits(0);
    purge()
        .env("CLOUDFLARE_BASE_URL", "nonsense")
        .run()
        .exits(2)
        .tells("`CLOUDFLARE_BASE_URL` is not a base URL");
}

#[test]
fn credentials_do_not_leave_in_cleartext_unless_somebody_insists() {
    let ran = bare()
        .env(VARIABLE, TOKEN)
        .args("-z 023e105f4ecef8ad9ca31a8372d0c353 --base-url http://api.example.com/client/v4 purge tags a")
        .run();
    ran.exits(2).says_nothing().tells("--allow-insecure-http");
}
