//! Zones and environments.

use cfcache_emulator::{Emulator, Environment, Zone};
use serde_json::{Value, json};

use crate::support::{ZONE, json, request, send, unlimited, verdict, with_zones};

fn get(emulator: &Emulator, path: &str) -> Value {
    json(&send(emulator, &request("GET", path, "")))
}

fn names(body: &Value) -> Vec<&str> {
    body["result"].as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap()).collect()
}

#[test]
fn lists_zones_in_pages() {
    let emulator = Emulator::new(with_zones(unlimited(), 45));
    // The query, the zones on the page, and the page information.
    let rows = [
        ("", 20, json!({ "page": 1, "per_page": 20, "total_pages": 3, "count": 20, "total_count": 45 })),
        ("?page=3", 5, json!({ "page": 3, "per_page": 20, "total_pages": 3, "count": 5, "total_count": 45 })),
        ("?page=4", 0, json!({ "page": 4, "per_page": 20, "total_pages": 3, "count": 0, "total_count": 45 })),
        (
            "?page=3.0&per_page=20.0",
            5,
            json!({ "page": 3, "per_page": 20, "total_pages": 3, "count": 5, "total_count": 45 }),
        ),
        (
            "?per_page=50",
            45,
            json!({ "page": 1, "per_page": 50, "total_pages": 1, "count": 45, "total_count": 45 }),
        ),
        (
            "?per_page=1",
            1,
            json!({ "page": 1, "per_page": 1, "total_pages": 45, "count": 1, "total_count": 45 }),
        ),
        (
            "?per_page=5&page=9",
            5,
            json!({ "page": 9, "per_page": 5, "total_pages": 9, "count": 5, "total_count": 45 }),
        ),
    ];
    for (query, count, info) in rows {
        let body = get(&emulator, &format!("/zones{query}"));
        assert_eq!(names(&body).len(), count, "{query}");
        assert_eq!(body["result_info"], info, "{query}");
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        seen.extend(names(&get(&emulator, &format!("/zones?page={page}"))).into_iter().map(str::to_owned));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 45);
    for query in [
        "per_page=0",
        "per_page=51",
        "per_page=x",
        "per_page=5.5",
        "per_page=",
        "page=0",
        "page=-1",
        "page=x",
    ] {
        let response = send(&emulator, &request("GET", &format!("/zones?{query}"), ""));
        assert_eq!(verdict(&response), (400, vec![1146]), "{query}");
    }
}

#[test]
fn filters_zones_by_name() {
    let config = ["example.com", "shop.example.com", "example.net", "Example.org"]
        .into_iter()
        .enumerate()
        .fold(unlimited(), |config, (index, name)| config.with_zone(Zone::new(index.to_string(), name)))
        .with_zone(Zone::new("again", "example.net").with_status("pending"));
    let emulator = Emulator::new(config);
    let rows: &[(&str, &[&str])] = &[
        ("name=example.com", &["example.com"]),
        ("name=EXAMPLE.com", &["example.com"]),
        ("name=example.net", &["example.net", "example.net"]),
        ("name=example.net&status=active", &["example.net"]),
        ("name=example.net&status=moved", &[]),
        ("name=example", &[]),
        ("name=", &[]),
        ("name=equal:example.com", &["example.com"]),
        ("name=equal%3Aexample.com", &["example.com"]),
        ("name=starts_with:shop", &["shop.example.com"]),
        ("name=ends_with:example.com", &["example.com", "shop.example.com"]),
        ("name=contains:.org", &["Example.org"]),
        ("name=contains_case_sensitive:Ex", &["Example.org"]),
        ("name=equal_case_sensitive:example.org", &[]),
        ("name=not_equal:example.net", &["example.com", "shop.example.com", "Example.org"]),
        ("name=contains:shop&status=pending&match=any", &["shop.example.com", "example.net"]),
        ("name=ends_with:.com&order=name&direction=desc", &["shop.example.com", "example.com"]),
        ("account.id=01a7362d577a6c3019a474fd6f485823&name=example.com", &["example.com"]),
        ("account.id=0000", &[]),
    ];
    for (query, expected) in rows {
        let body = get(&emulator, &format!("/zones?{query}"));
        assert_eq!(body["success"], true);
        assert_eq!(names(&body), *expected, "{query}");
    }
}

#[test]
fn reads_a_zone() {
    for plan in cfcache_model::Plan::ALL {
        let emulator = Emulator::new(cfcache_emulator::Config::new(*plan));
        let body = get(&emulator, &format!("/zones/{ZONE}"));
        assert_eq!(body["result"]["id"], ZONE);
        assert_eq!(body["result"]["name"], "example.com");
        assert_eq!(body["result"]["plan"]["legacy_id"], plan.as_str());
    }
}

#[test]
fn lists_environments_of_a_zone() {
    let emulator = Emulator::new(unlimited());
    let body = get(&emulator, &format!("/zones/{ZONE}/environments"));
    let list = body["result"]["environments"].as_array().unwrap();
    let names: Vec<_> = list.iter().map(|environment| environment["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Production", "Staging", "Development"]);

    let environment = Environment::new("Canary", "c0ffee", "ip.src.country eq \"NZ\"");
    let zone = Zone::example().with_environments([environment]);
    let emulator = Emulator::new(unlimited().with_zone(zone));
    let body = get(&emulator, &format!("/zones/{ZONE}/environments"));
    assert_eq!(body["result"]["environments"][0]["ref"], "c0ffee");
}
