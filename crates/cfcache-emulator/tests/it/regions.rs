//! The cloud regions of origins.

use cfcache_emulator::Emulator;
use serde_json::{Value, json};

use crate::support::{ZONE, json, request, seconds, send, unlimited, verdict};

fn ask(emulator: &Emulator, method: &str, below: &str, body: &str) -> (u16, Vec<u64>, Value) {
    let path = format!("/zones/{ZONE}/origin/cloud_regions{below}");
    let response = emulator.handle(seconds(1), &request(method, &path, body.to_owned()));
    let (status, codes) = verdict(&response);
    (status, codes, json(&response))
}

fn fresh() -> Emulator {
    Emulator::new(unlimited())
}

fn mapping(ip: &str, vendor: &str, region: &str) -> String {
    json!({ "origin_ip": ip, "region": region, "vendor": vendor }).to_string()
}

fn batch(emulator: &Emulator, items: &Value) -> Value {
    let (status, codes, body) = ask(emulator, "PUT", "/batch", &items.to_string());
    assert_eq!((status, codes), (200, vec![]));
    body["result"].clone()
}

/// Fills a zone with this many mappings.
fn filled(count: usize) -> Emulator {
    let emulator = fresh();
    let ips: Vec<String> = (0..count).map(|index| format!("10.0.{}.{}", index / 256, index % 256)).collect();
    for ips in ips.chunks(100) {
        let item = |ip: &String| json!({ "origin_ip": ip, "region": "eastus", "vendor": "azure" });
        let result = batch(&emulator, &ips.iter().map(item).collect());
        assert_eq!(result["failed"], json!([]));
    }
    emulator
}

#[test]
fn sets_reads_and_deletes_a_mapping() {
    let emulator = fresh();
    let date = "2026-01-01T00:00:01.12345Z";
    let stored = |region: &str, vendor: &str| json!({ "origin_ip": "192.0.2.1", "region": region, "vendor": vendor, "modified_on": date });
    let path = "/192.0.2.1";
    assert_eq!(ask(&emulator, "GET", path, "").1, [1142]);
    let set = |vendor, region| ask(&emulator, "PUT", path, &mapping("192.0.2.1", vendor, region)).2;
    assert_eq!(set("aws", "us-east-1")["result"], stored("us-east-1", "aws"));
    assert_eq!(set("oci", "eu-frankfurt-1")["result"], stored("eu-frankfurt-1", "oci"));
    assert_eq!(ask(&emulator, "GET", path, "").2["result"], stored("eu-frankfurt-1", "oci"));
    assert_eq!(ask(&emulator, "GET", "", "").2["result"], json!([stored("eu-frankfurt-1", "oci")]));
    assert_eq!(ask(&emulator, "DELETE", path, "").2["result"], json!({ "origin_ip": "192.0.2.1" }));
    assert_eq!(ask(&emulator, "DELETE", path, "").1, [1142]);
    assert_eq!(ask(&emulator, "GET", "", "").2["result"], json!([]));
}

#[test]
fn normalizes_addresses() {
    let emulator = fresh();
    let rows = [
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8::0001", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("::FFFF:192.0.2.1", "::ffff:192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
    ];
    for (sent, told) in rows {
        for in_path in [sent.to_owned(), sent.replace(':', "%3A"), told.to_owned()] {
            let body = mapping(sent, "gcp", "europe-west1");
            let (status, _, answer) = ask(&emulator, "PUT", &format!("/{in_path}"), &body);
            assert_eq!((status, &answer["result"]["origin_ip"]), (200, &json!(told)), "{sent}");
            let (_, _, answer) = ask(&emulator, "GET", &format!("/{in_path}"), "");
            assert_eq!(answer["result"]["origin_ip"], told);
        }
    }
    let (_, _, list) = ask(&emulator, "GET", "", "");
    assert_eq!(list["result_info"]["total_count"], 4);
}

#[test]
fn refuses_invalid_mappings() {
    let good = mapping("192.0.2.1", "aws", "us-east-1");
    let with = |vendor, region| mapping("192.0.2.1", vendor, region);
    let rows = [
        ("PUT", "/192.0.2.2", good.clone(), 400, 1146),
        ("PUT", "/localhost", good.clone(), 400, 1146),
        ("PUT", "/localhost", mapping("localhost", "aws", "us-east-1"), 400, 1146),
        ("PUT", "/192.0.2.1", with("ibm", "us-east-1"), 400, 1157),
        ("PUT", "/192.0.2.1", with("AWS", "us-east-1"), 400, 1157),
        ("PUT", "/192.0.2.1", with("aws", "nowhere-1"), 400, 1157),
        // A region of another vendor.
        ("PUT", "/192.0.2.1", with("aws", "europe-west1"), 400, 1157),
        ("PUT", "/192.0.2.1", with("", ""), 400, 1157),
        ("PUT", "/192.0.2.1", r#"{"origin_ip":"192.0.2.1"}"#.into(), 400, 1146),
        ("PUT", "/192.0.2.1", r#"{"origin_ip":1,"region":"us-east-1","vendor":"aws"}"#.into(), 400, 1146),
        ("PUT", "/192.0.2.1", "[]".into(), 400, 1146),
        ("PUT", "/192.0.2.1", String::new(), 400, 1146),
        ("GET", "/192.0.2.1", String::new(), 404, 1142),
        ("GET", "/localhost", String::new(), 404, 1142),
        ("DELETE", "/192.0.2.1", String::new(), 404, 1142),
        ("GET", "?per_page=0", String::new(), 400, 1146),
        ("GET", "?per_page=101", String::new(), 400, 1146),
        ("GET", "?per_page=x", String::new(), 400, 1146),
        ("GET", "?page=0", String::new(), 400, 1146),
        ("PUT", "/batch", "{}".into(), 400, 1146),
        ("PUT", "/batch", String::new(), 400, 1146),
        ("PUT", "/batch", json!(vec![0; 101]).to_string(), 400, 1146),
        ("DELETE", "/batch", "{}".into(), 400, 1146),
        ("GET", "/batch", String::new(), 405, 10405),
        ("PUT", "/supported_regions", good.clone(), 405, 10405),
        ("POST", "", good, 405, 10405),
    ];
    for (method, below, body, status, code) in rows {
        let emulator = fresh();
        let (found, codes, _) = ask(&emulator, method, below, &body);
        assert_eq!((found, codes), (status, vec![code]), "{method} {below} {body}");
        assert_eq!(ask(&emulator, "GET", "", "").2["result"], json!([]), "{method} {below} {body}");
    }
    let messages = [
        ("PUT", "/192.0.2.2", "body origin_ip does not match URL"),
        ("GET", "?per_page=101", "invalid per_page parameter, must be between 1 and 100"),
    ];
    for (method, below, message) in messages {
        let (_, _, body) = ask(&fresh(), method, below, &mapping("192.0.2.1", "aws", "us-east-1"));
        assert_eq!(body["errors"][0]["message"], message);
    }
}

#[test]
fn lists_mappings_in_pages() {
    let emulator = filled(250);
    let info = |page, per_page, pages, count| json!({ "page": page, "per_page": per_page, "total_pages": pages, "count": count, "total_count": 250 });
    let rows = [
        ("", 20, info(1, 20, 13, 20)),
        ("?page=13", 10, info(13, 20, 13, 10)),
        ("?page=14", 0, info(14, 20, 13, 0)),
        ("?per_page=100&page=3", 50, info(3, 100, 3, 50)),
        ("?per_page=1", 1, info(1, 1, 250, 1)),
    ];
    for (query, count, info) in rows {
        let (_, _, body) = ask(&emulator, "GET", query, "");
        assert_eq!(body["result"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(body["result_info"], info, "{query}");
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        let (_, _, body) = ask(&emulator, "GET", &format!("?per_page=100&page={page}"), "");
        let ips = body["result"].as_array().unwrap().iter();
        seen.extend(ips.map(|item| item["origin_ip"].as_str().unwrap().to_owned()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 250);
}

#[test]
fn a_batch_returns_a_result_for_each_item() {
    let emulator = fresh();
    ask(&emulator, "PUT", "/192.0.2.9", &mapping("192.0.2.9", "aws", "us-west-2"));
    ask(&emulator, "PUT", "/192.0.2.1", &mapping("192.0.2.1", "aws", "us-west-2"));
    let result = batch(
        &emulator,
        &json!([
            { "origin_ip": "192.0.2.1", "region": "us-east-1", "vendor": "aws" },
            { "origin_ip": "2001:DB8::1", "region": "nowhere-1", "vendor": "gcp" },
            { "origin_ip": "2001:DB8::2", "region": "us-east4", "vendor": "gcp" },
            { "origin_ip": "localhost", "region": "us-east4", "vendor": "gcp" },
            { "region": "us-east4", "vendor": "gcp" },
            7,
        ]),
    );
    let form = "origin_ip, region and vendor are required, and must be strings";
    let expected = json!({
        "succeeded": [
            { "origin_ip": "192.0.2.1", "region": "us-east-1", "vendor": "aws" },
            { "origin_ip": "2001:db8::2", "region": "us-east4", "vendor": "gcp" },
        ],
        "failed": [
            { "origin_ip": "2001:db8::1", "error": "Invalid vendor or region." },
            { "origin_ip": "localhost", "error": "invalid origin_ip, must be an IPv4 or IPv6 address" },
            { "origin_ip": "", "error": form },
            { "origin_ip": "", "error": form },
        ],
    });
    assert_eq!(result, expected);
    let (_, _, list) = ask(&emulator, "GET", "", "");
    let stored: Vec<_> = list["result"].as_array().unwrap().iter().map(|item| &item["region"]).collect();
    assert_eq!(stored, ["us-east-1", "us-west-2", "us-east4"]);
    assert_eq!(batch(&emulator, &json!([])), json!({ "failed": [], "succeeded": [] }));
}

#[test]
fn allows_at_most_3500_mappings() {
    let emulator = filled(3499);
    let set = |ip: &str| {
        let (status, codes, _) = ask(&emulator, "PUT", &format!("/{ip}"), &mapping(ip, "aws", "us-east-1"));
        (status, codes)
    };
    assert_eq!(set("192.0.2.1"), (200, vec![]));
    assert_eq!(set("192.0.2.2"), (403, vec![1164]));
    // An existing mapping can be replaced.
    assert_eq!(set("192.0.2.1"), (200, vec![]));
    let item = |ip: &str| json!({ "origin_ip": ip, "region": "us-east-1", "vendor": "aws" });
    let result = batch(&emulator, &json!([item("192.0.2.3"), item("192.0.2.1")]));
    assert_eq!(result["succeeded"], json!([item("192.0.2.1")]));
    assert_eq!(result["failed"][0]["origin_ip"], "192.0.2.3");
    assert_eq!(ask(&emulator, "DELETE", "/192.0.2.1", "").0, 200);
    assert_eq!(set("192.0.2.2"), (200, vec![]));
}

#[test]
fn a_batch_of_deletes_takes_an_array_of_addresses() {
    let emulator = filled(3);
    let delete = |body: &str| {
        let (status, _, answer) = ask(&emulator, "DELETE", "/batch", body);
        assert_eq!(status, 200);
        answer["result"].clone()
    };
    assert_eq!(delete("[]"), json!({ "failed": [], "succeeded": [] }));
    let too_many = json!(vec!["10.0.0.0"; 101]).to_string();
    for wrong in ["", "null", "{}", "\"10.0.0.0\"", r#"{"origin_ips":["10.0.0.0"]}"#, "[", &too_many] {
        let (status, codes, _) = ask(&emulator, "DELETE", "/batch", wrong);
        assert_eq!((status, codes), (400, vec![1146]), "{wrong}");
    }
    assert_eq!(ask(&emulator, "GET", "", "").2["result_info"]["total_count"], 3);
    let result = delete(r#"["10.0.0.0", "10.0.0.1", {"origin_ip":"10.0.0.2"}, "10.0.0.9", "x"]"#);
    let gone = |ip: &str| json!({ "origin_ip": ip });
    assert_eq!(result["succeeded"], json!([gone("10.0.0.0"), gone("10.0.0.1")]));
    let failed: Vec<_> = result["failed"].as_array().unwrap().iter().map(|item| &item["origin_ip"]).collect();
    assert_eq!(failed, ["10.0.0.2", "10.0.0.9", "x"]);
    assert_eq!(ask(&emulator, "GET", "", "").2["result_info"]["total_count"], 1);
}

#[test]
fn every_supported_region_can_be_set() {
    let emulator = fresh();
    let (_, _, supported) = ask(&emulator, "GET", "/supported_regions", "");
    assert_eq!(supported["result"]["obtained_codes"], true);
    let vendors = supported["result"]["vendors"].as_object().unwrap();
    assert_eq!(vendors.keys().collect::<Vec<_>>(), ["aws", "azure", "gcp", "oci"]);
    for (vendor, regions) in vendors {
        for region in regions.as_array().unwrap() {
            let name = region["name"].as_str().unwrap();
            let colos = region["upper_tier_colos"].as_array().unwrap();
            assert!(colos.iter().all(|colo| colo.as_str().unwrap().len() == 3), "{name}");
            let answer = ask(&emulator, "PUT", "/192.0.2.1", &mapping("192.0.2.1", vendor, name));
            assert_eq!(answer.0, 200, "{vendor} {name}");
        }
    }
}

#[test]
fn refuses_mappings_of_an_unknown_zone() {
    let response = send(&fresh(), &request("GET", "/zones/0000/origin/cloud_regions", ""));
    assert_eq!(verdict(&response), (403, vec![10000]));
}
