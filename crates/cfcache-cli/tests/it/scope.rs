//! Zones and environments, by id and by name.

use cfcache_emulator::{Config, Token, Zone};
use cfcache_model::Plan;

use crate::support::{Api, TOKEN, ZONE, bare, cfcache};

fn open() -> Config {
    Config::new(Plan::Free).with_limits(false)
}

#[test]
fn looks_up_a_domain_once_and_an_id_never() {
    let api = Api::quick();
    cfcache(&api).args("-z Example.COM. purge tags a").run().exits(0);
    assert_eq!(api.paths().len(), 2);
    assert!(api.paths()[0].starts_with("GET /client/v4/zones?"), "{:?}", api.paths());
    assert!(api.paths()[0].contains("name=example.com"), "{:?}", api.paths());
    assert!(api.paths()[1].starts_with(&format!("POST /client/v4/zones/{ZONE}/purge_cache")));
    api.log().clear();
    cfcache(&api).args("purge tags a").run().exits(0);
    assert_eq!(api.requests(), 1);
}

#[test]
fn suggests_zones_for_an_unknown_one() {
    let api = Api::quick();
    let ran = cfcache(&api).args("-z www.example.com purge tags a --json").run();
    ran.exits(1)
        .says_nothing()
        .tells("there is no zone `www.example.com`")
        .tells("did you mean `example.com`?");
    assert_eq!(api.bodies(), [""; 0]);
}

#[test]
fn refuses_an_ambiguous_zone_name_and_lists_the_zones() {
    let second = "11111111111111111111111111111111";
    let config = open().with_zone(Zone::new(ZONE, "example.com")).with_zone(Zone::new(second, "example.com"));
    let api = Api::start(config);
    let ran = cfcache(&api).args("-z example.com purge everything --yes").run();
    ran.exits(1).says_nothing().tells("there are 2 zones named `example.com`").tells(ZONE).tells(second);
    assert_eq!(api.bodies(), [""; 0]);
}

#[test]
fn reports_a_zone_that_the_token_may_not_access() {
    let api = Api::quick();
    let ran = cfcache(&api).args("-z 11111111111111111111111111111111 purge tags a --json").run();
    // The API chooses the code; the test only checks that nothing was accepted.
    assert!(matches!(ran.code, Some(1 | 3)), "{ran:?}");
    assert_eq!(ran.report()["accepted"], 0);
}

#[test]
fn suggests_the_zone_id_for_a_token_that_may_only_purge() {
    let token = Token::new(TOKEN).with_permissions(["Cache Purge"]);
    let api = Api::start(open().with_token(token));
    let ran = cfcache(&api).args("-z example.com purge tags a").run();
    ran.exits(3).says_nothing().tells("cannot look up the zone `example.com`").tells("give the zone's id");
    cfcache(&api).args("purge tags a").run().exits(0);
}

#[test]
fn suggests_verifying_an_unknown_token() {
    let api = Api::start(open().with_token(Token::new("another-token-than-the-one-that-is-sent")));
    for line in ["-z example.com purge tags a", "-e staging purge tags a"] {
        let ran = cfcache(&api).args(line).run();
        ran.exits(3)
            .says_nothing()
            .tells("status 401")
            .tells("hint: check the token with `cfcache token verify`");
    }
    let urls = "purge urls https://www.example.com/a";
    let ran = cfcache(&api).without("CLOUDFLARE_ZONE_ID").args(urls).run();
    ran.exits(3)
        .says_nothing()
        .tells("status 401")
        .tells("hint: check the token with `cfcache token verify`");
}

#[test]
fn finds_an_environment_by_name_in_any_case() {
    let api = Api::quick();
    let ran = cfcache(&api).args("-e staging purge tags a --json").run();
    ran.exits(0);
    let report = ran.report();
    let id = report["environment"].as_str().unwrap();
    let expected = format!("POST /client/v4/zones/{ZONE}/environments/{id}/purge_cache");
    assert_eq!(api.paths()[1].trim_end_matches('/'), expected);
    // An id is not looked up.
    api.log().clear();
    cfcache(&api).arg("-e").arg(id).args("invalidate everything -y").run().exits(0);
    let expected = format!("POST /client/v4/zones/{ZONE}/environments/{id}/invalidate_cache");
    assert_eq!(api.paths().iter().map(|path| path.trim_end_matches('/')).collect::<Vec<_>>(), [expected]);
}

#[test]
fn purging_everything_in_production_needs_confirmation() {
    let api = Api::quick();
    let environments = cfcache(&api).args("environments list --json").run();
    let environments: serde_json::Value = serde_json::from_str(&environments.out).unwrap();
    let list = environments["environments"].as_array().unwrap();
    let id = |name: &str| {
        list.iter().find(|known| known["name"] == name).unwrap()["ref"].as_str().unwrap().to_owned()
    };
    for environment in ["production".to_owned(), " PRODUCTION ".to_owned(), id("Production")] {
        for action in ["purge", "invalidate"] {
            let ran = cfcache(&api).args(action).args("everything -e").arg(&environment).run();
            ran.exits(2).says_nothing().tells("this needs confirmation");
        }
        assert_eq!(api.bodies(), [""; 0]);
        cfcache(&api).args("purge everything -y -e").arg(&environment).run().exits(0);
        assert_eq!(api.bodies().len(), 1);
        api.log().clear();
    }
    // The other environments do not, neither by name nor by id.
    for environment in ["Staging".to_owned(), id("Development")] {
        cfcache(&api).args("purge everything -e").arg(&environment).run().exits(0);
    }
    // An id that the zone lacks, or that may not be looked up, may be Production's.
    cfcache(&api)
        .args("purge everything -e 0123456789abcdef0123456789")
        .run()
        .exits(2)
        .tells("needs confirmation");
    let api = Api::start(open().with_token(Token::new(TOKEN).with_permissions(["Cache Purge"])));
    cfcache(&api).args("purge everything -e").arg(id("Staging")).run().exits(2).tells("needs confirmation");
    assert_eq!(api.bodies(), [""; 0]);
}

#[test]
fn finds_an_internationalized_zone_in_both_forms() {
    let (name, coded) = ("with-\u{fc}mlaut.de", "xn--with-mlaut-eeb.de");
    for zone_name in [name, coded] {
        let api = Api::start(open().with_zone(Zone::new(ZONE, zone_name)));
        for given in [name, coded, "WITH-\u{dc}MLAUT.de.", "with-u\u{308}mlaut.de"] {
            let ran = cfcache(&api).arg("-z").arg(given).args("purge tags a --json").run();
            ran.exits(0);
            assert_eq!(ran.report()["zone"], ZONE);
        }
    }
}

#[test]
fn names_the_permission_if_the_token_sees_no_zone() {
    // The API omits zones that the token may not see, without a message.
    let empty = r#"status=200,on=list_zones,body={"success":true,"errors":[],"messages":[],"result":[]}"#;
    let api = Api::with_fault(empty);
    for line in ["zones list", "-z example.com purge tags a"] {
        cfcache(&api).args(line).run().tells("\"Zone Read\"").tells("Give the zone's id instead");
    }
    let urls = "purge urls https://www.example.com/a";
    cfcache(&api).without("CLOUDFLARE_ZONE_ID").args(urls).run().exits(1).tells("\"Zone Read\"");
}

#[test]
fn refuses_a_zone_with_another_name_than_requested() {
    let other = format!(
        r#"status=200,on=list_zones,body={{"success":true,"errors":[],"messages":[],"result":[{{"id":"{ZONE}","name":"other.example"}}]}}"#
    );
    let api = Api::with_fault(&other);
    let ran = cfcache(&api).args("-z example.com purge everything -y").run();
    ran.exits(1).says_nothing().tells("returned `other.example`, which is ignored").tells("there is no zone");
    assert_eq!(api.bodies(), [""; 0]);
}

#[test]
fn an_account_variable_is_optional_but_an_account_option_is_not() {
    const REFUSED: &str = r#"status=401,code=1000,on=verify_account_token"#;
    let account = "01a7362d577a6c3019a474fd6f485823";
    let verify = |api: &Api| cfcache(api).env("CLOUDFLARE_ACCOUNT_ID", account).args("token verify");
    // A user's token, although the variable is set.
    let api = Api::with_fault(REFUSED);
    verify(&api).run().exits(0).tells("`CLOUDFLARE_ACCOUNT_ID` is set, but the token belongs to a user");
    cfcache(&api).args("token verify --account").arg(account).run().exits(3).tells("without `--account`");
    // An account's token.
    let api = Api::with_fault("status=401,code=1000,on=verify_token");
    verify(&api).run().exits(0);
    assert_eq!(api.requests(), 1);
    cfcache(&api).args("token verify").run().exits(3).tells("`CLOUDFLARE_ACCOUNT_ID`");
    let ran = cfcache(&api).env("CF_ACCOUNT_ID", account).args("token verify").run();
    ran.exits(3).tells("`CF_ACCOUNT_ID` is set but not used: the variable is `CLOUDFLARE_ACCOUNT_ID`");
    // Neither endpoint accepts it.
    let api = Api::start(open().with_token(Token::new("some-other-token-that-is-not-the-one")));
    verify(&api).run().exits(3).tells("of `CLOUDFLARE_ACCOUNT_ID`) nor as a user's token");
}

#[test]
fn lists_environments_for_an_unknown_one() {
    let api = Api::quick();
    let ran = cfcache(&api).args("-e nowhere purge tags a").run();
    ran.exits(1).says_nothing().tells("`Production`, `Staging`, `Development`");
    // An empty variable in a script must not mean the whole zone.
    cfcache(&api).arg("-e").arg("").args("purge everything -y").run().exits(2).tells("is empty");
    assert_eq!(api.bodies(), [""; 0]);
}

#[test]
fn lists_zones_and_environments() {
    let api = Api::quick();
    insta::assert_snapshot!(cfcache(&api).args("zones list").run().told(), @r"
    stdout:
    NAME         ID                                STATUS  PLAN
    example.com  023e105f4ecef8ad9ca31a8372d0c353  active  free
    exit code: 0
    ");
    let json = cfcache(&api).args("zones list --json").run();
    let zones: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(zones[0]["name"], "example.com");
    assert_eq!(zones.as_array().unwrap().len(), 1);
    insta::assert_snapshot!(cfcache(&api).args("environments list").run().told(), @r"
    stdout:
    NAME         ID                              VERSION
    Production   12f4c9a5f0d14b7a9b8e7d6c5b4a39  0
    Staging      4e9f1d2a7b8c3f60a5d4e3c2b1a09f  0
    Development  8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c  0
    exit code: 0
    ");
    let json = cfcache(&api).args("environments list --json").run();
    let result: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(result.to_string().contains("Staging"), "{result}");
}

#[test]
fn reads_all_pages_of_zones() {
    let mut config = open();
    for number in 0..120 {
        config = config.with_zone(Zone::new(format!("{number:032x}"), format!("zone-{number}.example")));
    }
    let api = Api::start(config);
    let ran = cfcache(&api).args("zones list").run();
    ran.exits(0);
    assert_eq!(ran.out.lines().count(), 121);
    assert!(api.requests() > 1);
    let json = cfcache(&api).args("zones list --json").run();
    let zones: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(zones.as_array().unwrap().len(), 120);
}

#[test]
fn escapes_names_from_the_api() {
    let api = Api::start(open().with_zone(Zone::new(ZONE, "evil\u{1b}[2J\u{202e}.example")));
    let ran = cfcache(&api).args("zones list").run();
    assert!(!ran.out.contains('\u{1b}') && !ran.out.contains('\u{202e}'), "{:?}", ran.out);
}

#[test]
fn verifies_the_token() {
    let api = Api::quick();
    insta::assert_snapshot!(cfcache(&api).args("token verify").run().told(), @r"
    stdout:
    the token is active, and does not expire
    exit code: 0
    ");
    let json = cfcache(&api).args("token verify --json").run();
    let result: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(result["status"], "active");
    bare().args("--emulator token verify").run().exits(0);
}

#[test]
fn an_invalid_token_is_exit_code_3() {
    use cfcache_emulator::TokenState;
    for (state, word) in [(TokenState::Expired, "expired"), (TokenState::Disabled, "disabled")] {
        let api = Api::start(open().with_token(Token::new(TOKEN).with_state(state)));
        let ran = cfcache(&api).args("token verify").run();
        ran.exits(3);
        assert!(ran.out.contains(word), "{ran:?}");
    }
    let api = Api::start(open().with_token(Token::new("some-other-token-that-is-not-the-one")));
    cfcache(&api).args("token verify").run().exits(3).says_nothing().tells("the token is not verified");
}
