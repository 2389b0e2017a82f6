//! Without a zone, each entry goes to the zone of its host.

use cfcache_emulator::{Config, Token, Zone};
use cfcache_model::Plan;

use crate::support::{Api, Cmd, Dir, TOKEN, bare};

const COM: &str = "11111111111111111111111111111111";
const SHOP: &str = "22222222222222222222222222222222";
const NET: &str = "33333333333333333333333333333333";

fn config() -> Config {
    Config::new(Plan::Free)
        .with_limits(false)
        .with_zone(Zone::new(COM, "example.com"))
        .with_zone(Zone::new(SHOP, "shop.example.com"))
        .with_zone(Zone::new(NET, "example.net"))
}

fn without_zone(api: &Api) -> Cmd {
    bare().env("CLOUDFLARE_BASE_URL", api.base()).env("CLOUDFLARE_API_TOKEN", TOKEN)
}

/// Returns the zone and the body of every purge, sorted.
fn purges(api: &Api) -> Vec<String> {
    let entries = api.log().entries();
    let mut purges: Vec<String> = entries
        .iter()
        .filter(|entry| entry.path.contains("purge_cache"))
        .map(|entry| {
            let zone = entry.path.split('/').nth(4).unwrap().chars().take(2).collect::<String>();
            format!("{zone} {}", String::from_utf8_lossy(&entry.body))
        })
        .collect();
    purges.sort();
    purges
}

#[test]
fn each_entry_goes_to_the_zone_with_the_longest_domain() {
    let api = Api::start(config());
    let list = "https://www.example.com/a\nhttps://shop.example.com/b\nhttps://example.net/c\n\
                https://notexample.com/d\nhttps://x.shop.example.com/e\nhttps://www.example.com/a\n";
    let ran = without_zone(&api).args("purge urls --from - --json").input(list).run();
    let report = ran.exits(1).report();
    assert_eq!(
        purges(&api),
        [
            r#"11 {"files":["https://www.example.com/a"]}"#,
            r#"22 {"files":["https://shop.example.com/b","https://x.shop.example.com/e"]}"#,
            r#"33 {"files":["https://example.net/c"]}"#,
        ]
    );
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((count("items"), count("accepted"), count("failed"), count("duplicates")), (6, 4, 1, 1));
    assert!(report["zone"].is_null());
    assert_eq!(report["zones"].as_array().unwrap().len(), 3);
    assert_eq!(report["failures"][0]["item"], "https://notexample.com/d");
    ran.tells("error: https://notexample.com/d: no zone is known for the host `notexample.com`");
}

#[test]
fn an_internationalized_host_goes_to_its_zone() {
    let (name, coded) = ("with-\u{fc}mlaut.de", "xn--with-mlaut-eeb.de");
    let directory = Dir::new();
    for known in [name, coded] {
        let api = Api::start(Config::new(Plan::Free).with_limits(false).with_zone(Zone::new(COM, known)));
        let file = directory.file("config.toml", format!("[zones]\n\"{known}\" = \"{COM}\"\n"));
        let urls = format!("purge urls https://{coded}/a https://www.{coded}/b");
        without_zone(&api).args(&urls).run().exits(0);
        without_zone(&api).arg("--config").arg(&file).args(&urls).run().exits(0);
        without_zone(&api).arg("--config").arg(&file).args(&urls).arg("--dry-run").run().exits(0);
        assert_eq!(api.items().len(), 4);
    }
}

#[test]
fn refuses_two_zones_with_the_same_name() {
    let mut pending = Zone::new(SHOP, "example.com");
    pending.status = "pending".to_owned();
    for zones in [[pending.clone(), Zone::new(COM, "example.com")], [Zone::new(COM, "Example.com"), pending]]
    {
        let [first, second] = zones;
        let config = Config::new(Plan::Free).with_limits(false);
        let config = config.with_zone(first).with_zone(second);
        let api = Api::start(config.clone());
        let urls = "purge urls --json https://www.example.com/a";
        // These are all zones.
        without_zone(&api).args(urls).run().exits(1).says_nothing().tells("several zones of each name");
        let api = Api::start(config.with_zone(Zone::new(NET, "example.net")));
        let ran = without_zone(&api).args(urls).arg("https://example.net/b").run();
        let report = ran.exits(1).report();
        ran.tells("there are 2 zones named `example.com`").tells(COM).tells(SHOP);
        assert_eq!((report["accepted"].as_u64(), report["failed"].as_u64()), (Some(1), Some(1)));
        assert_eq!(api.items(), ["https://example.net/b"]);
    }
}

#[test]
fn reports_contain_the_zone_of_each_batch() {
    let api = Api::start(config());
    let list = "https://www.example.com/a\nhttps://example.net/c\n";
    let ran = without_zone(&api).args("purge urls --from - --output ndjson").input(list).run();
    let lines = ran.exits(0).out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut zones: Vec<String> = lines
        .filter(|line| line["event"] == "batch")
        .map(|line| line["zone"].as_str().unwrap().to_owned())
        .collect();
    zones.sort();
    assert_eq!(zones, [COM, NET]);
}

#[test]
fn routes_hosts_and_prefixes_but_refuses_tags() {
    let api = Api::start(config());
    without_zone(&api).args("purge hosts www.shop.example.com").run().exits(0);
    without_zone(&api).args("invalidate prefixes example.net/a").run().exits(0);
    assert_eq!(purges(&api), [r#"22 {"hosts":["www.shop.example.com"]}"#]);
    without_zone(&api).args("purge tags a").run().exits(2).says_nothing().tells("no zone given");
}

#[test]
fn the_map_needs_no_permission_to_read_zones() {
    let token = Token::new(TOKEN).with_permissions(["Cache Purge"]);
    let api = Api::start(config().with_token(token));
    let ran = without_zone(&api).args("purge urls https://www.example.com/a").run();
    ran.exits(3).says_nothing().tells("[zones]");
    assert_eq!(purges(&api), [""; 0]);

    let directory = Dir::new();
    let file = directory.file("config.toml", format!("[zones]\n\"Example.com\" = \"{COM}\"\n"));
    let mapped = || without_zone(&api).arg("--config").arg(&file);
    mapped().args("purge urls https://www.example.com/a").run().exits(0);
    assert_eq!(purges(&api), [r#"11 {"files":["https://www.example.com/a"]}"#]);

    let ran = mapped().args("--dry-run purge urls https://example.com/a https://example.net/b").run();
    ran.exits(1).tells("no zone is known for the host `example.net`");
    assert_eq!(ran.out.lines().count(), 1);
    assert!(ran.out.contains(COM), "{ran:?}");
    // A domain of the map needs no lookup either.
    mapped().args("-z example.com purge tags a").run().exits(0);
    assert!(api.paths().iter().all(|path| !path.starts_with("GET")) || api.paths().len() == 3);
}

#[test]
fn a_zone_that_refuses_the_token_does_not_stop_the_others() {
    let api = Api::start(config());
    let directory = Dir::new();
    let unseen = "44444444444444444444444444444444";
    let map = format!("[zones]\n\"example.com\" = \"{COM}\"\n\"example.org\" = \"{unseen}\"\n");
    let file = directory.file("config.toml", map);
    let urls = "purge urls https://www.example.com/a https://example.org/b";
    let ran = without_zone(&api).arg("--config").arg(&file).args(urls).run();
    ran.exits(3).tells(&format!("the credentials are refused; nothing more is sent to zone {unseen}\n"));
    assert_eq!(api.items(), ["https://www.example.com/a"]);
}

#[test]
fn options_for_one_zone_need_a_zone() {
    let api = Api::start(config());
    for option in ["-e Staging", "--journal j"] {
        let ran = without_zone(&api).args(option).args("purge urls https://example.com/a").run();
        ran.exits(2).says_nothing().tells("needs a zone");
    }
    assert_eq!(api.requests(), 0);
}

#[test]
fn an_invalid_line_stops_all_zones() {
    let api = Api::start(config());
    let list = "https://example.com/a\nhttps://example.net/b\nnot a URL\nhttps://example.com/c\n";
    let ran = without_zone(&api).args("purge urls --from - --json").input(list).run();
    let report = ran.exits(2).report();
    assert_eq!((report["items"].as_u64(), report["accepted"].as_u64()), (Some(3), Some(2)));
}

#[test]
fn requests_the_plan_of_a_zone_in_the_map() {
    let config = Config::new(Plan::Enterprise).with_limits(true).with_zone(Zone::new(COM, "example.com"));
    let api = Api::start(config);
    let directory = Dir::new();
    let file = directory.file("config.toml", format!("[zones]\n\"example.com\" = \"{COM}\"\n"));
    let hosts: String = (0..6000).map(|number| format!("h{number}.example.com\n")).collect();
    let ran = without_zone(&api)
        .arg("--config")
        .arg(&file)
        .args("purge hosts --json -v --from -")
        .input(hosts)
        .run();
    // With the limits of the free plan, it would take seven minutes.
    ran.exits(0).tells("the zone's plan is `enterprise`");
    assert_eq!(ran.report()["accepted"], 6000);
    assert_eq!(api.paths().iter().filter(|path| path.starts_with("GET ")).count(), 1);
}
