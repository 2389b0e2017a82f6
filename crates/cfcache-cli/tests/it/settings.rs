//! The commands for settings and origin regions.

use crate::support::{Api, Dir, bare, cfcache};

#[test]
fn reads_and_sets_settings_with_other_values() {
    let api = Api::quick();
    for (command, first, wanted, body) in [
        ("cache-level", "aggressive", "simplified", r#"{"value":"simplified"}"#),
        ("browser-cache-ttl", "14400", "0", r#"{"value":0}"#),
        ("always-online", "off", "on", r#"{"value":"on"}"#),
        ("sort-query-string", "off", "on", r#"{"value":"on"}"#),
    ] {
        let get = |expected: &str| {
            let ran = cfcache(&api).args(command).arg("get").run();
            ran.exits(0);
            assert!(ran.out.contains(&format!(" is {expected}")), "{ran:?}");
        };
        let set = || cfcache(&api).args(command).args("set").arg(wanted).run();
        get(first);
        assert!(set().exits(0).out.contains(&format!(" is {wanted}")));
        get(wanted);
        assert!(set().exits(0).out.contains("nothing was changed"));
        let log = api.log().entries();
        let sent: Vec<_> =
            log.iter().filter(|entry| entry.method == "PATCH").map(|entry| &entry.body).collect();
        assert_eq!(sent.last().unwrap().as_ref(), body.as_bytes(), "{command}");
    }
    let patches = api.log().entries().iter().filter(|entry| entry.method == "PATCH").count();
    assert_eq!(patches, 4, "settings that already have the value are not changed");
    let table = cfcache(&api).args("settings").run();
    for line in ["Cache level", "Browser cache TTL", "Always Online", "Query String Sort"] {
        assert!(table.out.contains(line), "{table:?}");
    }
    for wrong in
        ["cache-level set on", "browser-cache-ttl set 1.5", "browser-cache-ttl set 1h", "always-online set 1"]
    {
        bare().args("-z example.com").args(wrong).run().exits(2);
    }
}

#[test]
fn reports_a_setting_that_is_not_editable() {
    let body = r#"{"success":true,"errors":[],"messages":[],"result":{"id":"tiered_caching","editable":false,"value":"off"}}"#;
    let api = Api::with_fault(&format!("status=200,on=all,body={body}"));
    let ran = cfcache(&api).args("tiered-cache get").run();
    ran.exits(0);
    assert_eq!(ran.out, "Tiered Cache is off; the API says that it is not editable\n");
}

#[test]
fn deletes_several_cloud_regions_in_batches() {
    let api = Api::quick();
    let dir = Dir::new();
    let ips: Vec<String> = (0..150).map(|number| format!("10.0.0.{number}")).collect();
    let mappings: String = ips.iter().map(|ip| format!("{ip} aws us-east-1\n")).collect();
    cfcache(&api).args("origin-regions import").arg(dir.file("mappings", mappings)).run().exits(0);

    // All but one, and one that does not exist; one is repeated.
    let list = format!("# gone\n\n{}\n10.0.0.0\n192.0.2.1\n", ips[..149].join("\n"));
    let delete = cfcache(&api).args("origin-regions delete -y --json --from").arg(dir.file("list", list));
    let ran = delete.run();
    ran.exits(1).tells("error: 1 of 150 mappings failed");
    let deleted: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(deleted["succeeded"].as_array().unwrap().len(), 149);
    assert_eq!(deleted["succeeded"][0], serde_json::json!({ "origin_ip": "10.0.0.0" }));
    assert_eq!(deleted["failed"][0]["origin_ip"], "192.0.2.1");
    let batches = api.log().entries().iter().filter(|entry| entry.method == "DELETE").count();
    assert_eq!(batches, 2);
    let left = cfcache(&api).args("origin-regions list --json").run().out;
    assert_eq!(left.matches("origin_ip").count(), 1, "{left}");

    let array = cfcache(&api).args("origin-regions delete -y --from -").input(r#"["10.0.0.149"]"#).run();
    array.exits(0);
    assert_eq!(array.out, "deleted: 1 of 1\n");
}

#[test]
fn deletes_nothing_for_an_invalid_address() {
    let api = Api::quick();
    for (line, input) in [
        ("10.0.0.1 nonsense", ""),
        ("10.0.0.1 --from -", "10.0.0.2\nnonsense\n"),
        ("--from -", "[\"10.0.0.1\", 7]"),
        ("--from -", "# nothing\n"),
        ("", ""),
    ] {
        cfcache(&api).args("origin-regions delete -y").args(line).input(input).run().exits(2);
        // Confirmation is not possible, so nothing is changed.
        cfcache(&api).args("origin-regions delete 10.0.0.1 10.0.0.2").run().exits(2);
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn an_invalid_answer_to_a_read_fails_immediately() {
    let api =
        Api::with_fault(r#"status=200,on=all,body={"success":true,"errors":[],"messages":[],"result":[1]}"#);
    for line in ["reserve get", "zones list", "cache-level get"] {
        let before = api.requests();
        let ran = cfcache(&api).args(line).run();
        ran.exits(5).tells("has an unknown form");
        assert!(!ran.err.contains("may have taken effect"), "{ran:?}");
        assert_eq!(api.requests() - before, 1, "{line}");
    }
}

#[test]
fn a_firewall_block_is_not_reported_as_a_token_problem() {
    let api = Api::with_fault("edge=1020,on=all");
    for line in ["purge urls https://www.example.com/a", "reserve get"] {
        let ran = cfcache(&api).args(line).run();
        ran.exits(5).tells("Error 1020: Access denied").tells("the firewall in front of the API");
        assert!(!ran.err.contains("token"), "{ran:?}");
    }
    let api = Api::with_fault("edge=526,on=all");
    let ran = cfcache(&api).args("purge urls https://www.example.com/a --json").run();
    ran.exits(5).tells("a retry cannot help");
    assert_eq!(ran.report()["requests"], 1);
    let api = Api::with_fault("edge=1015,retry-after=1,times=1");
    let ran = cfcache(&api).args("purge urls https://www.example.com/a --json").run();
    ran.exits(0);
    assert_eq!(
        (ran.report()["requests"].clone(), ran.report()["rate_limited"].clone()),
        (2.into(), 1.into())
    );
}
