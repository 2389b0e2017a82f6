//! The cache settings of a zone, on a simulated clock.

use core::time::Duration;

use cfcache_emulator::{Config, Emulator, Zone};
use cfcache_model::Plan;
use serde_json::{Value, json};

use crate::support::{ZONE, json, request, seconds, unlimited, verdict};

const RESERVE: &str = "cache/cache_reserve";
const CLEAR: &str = "cache/cache_reserve_clear";
const REGIONAL: &str = "cache/regional_tiered_cache";
const SMART: &str = "cache/tiered_cache_smart_topology_enable";
const VARIANTS: &str = "cache/variants";
const TIERED: &str = "argo/tiered_caching";
const DEVELOPMENT: &str = "settings/development_mode";

const ON: &str = r#"{"value":"on"}"#;
const OFF: &str = r#"{"value":"off"}"#;

fn emulator_with(plan: Plan) -> Emulator {
    Emulator::new(Config::new(plan).with_limits(false))
}

/// Sends a request to a zone at a time. Returns the status, the codes and the `result`.
fn ask_zone(
    emulator: &Emulator,
    at: Duration,
    zone: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Vec<u64>, Value) {
    let response = emulator.handle(at, &request(method, &format!("/zones/{zone}/{path}"), body.to_owned()));
    let (status, codes) = verdict(&response);
    (status, codes, json(&response)["result"].clone())
}

fn ask(emulator: &Emulator, at: Duration, method: &str, path: &str, body: &str) -> (u16, Vec<u64>, Value) {
    ask_zone(emulator, at, ZONE, method, path, body)
}

/// A call and its result: time in seconds, method, path, body, status, and the code or a part of the `result`.
type Step = (u64, &'static str, &'static str, &'static str, u16, Value);

fn play(emulator: &Emulator, steps: &[Step]) {
    for (index, (at, method, path, body, status, expected)) in steps.iter().enumerate() {
        let place = format!("step {index}: {method} {path} {body}");
        let (found, codes, result) = ask(emulator, seconds(*at), method, path, body);
        assert_eq!(found, *status, "{place}: {codes:?} {result}");
        match expected {
            Value::Number(code) => assert_eq!(codes, [code.as_u64().unwrap()], "{place}"),
            Value::Object(fields) => {
                for (name, value) in fields {
                    assert_eq!(
                        result.get(name).unwrap_or(&Value::Null),
                        value,
                        "{place}: {name} in {result}"
                    );
                }
            }
            _ => assert_eq!(result, *expected, "{place}"),
        }
    }
}

#[test]
fn every_switch_can_be_turned_on_and_off() {
    for (path, id) in [
        (RESERVE, "cache_reserve"),
        (REGIONAL, "tc_regional"),
        (TIERED, "tiered_caching"),
        (DEVELOPMENT, "development_mode"),
        ("settings/always_online", "always_online"),
        ("settings/sort_query_string_for_cache", "sort_query_string_for_cache"),
    ] {
        let emulator = emulator_with(Plan::Enterprise);
        let told = |value| json!({ "id": id, "editable": true, "value": value });
        let off = json!({ "id": id, "editable": true, "value": "off", "modified_on": null });
        play(&emulator, &[(0, "GET", path, "", 200, off)]);
        play(
            &emulator,
            &[
                (10, "PATCH", path, ON, 200, told("on")),
                (11, "GET", path, "", 200, told("on")),
                (12, "PATCH", path, ON, 200, told("on")),
                (13, "PATCH", path, OFF, 200, told("off")),
                (14, "GET", path, "", 200, told("off")),
                (14, "POST", path, ON, 405, json!(10405)),
                (14, "DELETE", path, "", 405, json!(10405)),
                (14, "PUT", path, ON, 405, json!(10405)),
            ],
        );
        let (_, _, result) = ask(&emulator, seconds(99), "GET", path, "");
        assert_eq!(result["modified_on"], "2026-01-01T00:00:13.12345Z");
    }
}

#[test]
fn zones_have_separate_settings() {
    let config = unlimited().with_zone(Zone::new("a", "a.example")).with_zone(Zone::new("b", "b.example"));
    let emulator = Emulator::new(config);
    let at = Duration::ZERO;
    assert_eq!(ask_zone(&emulator, at, "a", "PATCH", TIERED, ON).2["value"], "on");
    assert_eq!(ask_zone(&emulator, at, "a", "GET", TIERED, "").2["value"], "on");
    assert_eq!(ask_zone(&emulator, at, "b", "GET", TIERED, "").2["value"], "off");
    assert_eq!(ask_zone(&emulator, at, "c", "GET", TIERED, "").1, [10000]);
}

#[test]
fn sets_cache_level_and_browser_ttl() {
    let level = "settings/cache_level";
    let ttl = "settings/browser_cache_ttl";
    for (path, first, good, bad) in [
        (
            level,
            json!("aggressive"),
            vec![json!("basic"), json!("simplified"), json!("aggressive")],
            vec![json!("on"), json!("Basic"), json!(1), json!(null), json!(["basic"])],
        ),
        (
            ttl,
            json!(14_400),
            vec![json!(0), json!(30), json!(31_536_000)],
            vec![json!("30"), json!(-1), json!(1.5), json!(true), json!(null)],
        ),
    ] {
        let emulator = emulator_with(Plan::Free);
        let id = path.split('/').next_back().unwrap();
        let at_first = json!({ "id": id, "editable": true, "value": first, "modified_on": null });
        play(&emulator, &[(0, "GET", path, "", 200, at_first.clone())]);
        for value in bad {
            let body = json!({ "value": value }).to_string();
            play(&emulator, &[(0, "PATCH", path, body.leak(), 400, json!(1146))]);
        }
        for wrong in ["", "[]", "{}"] {
            play(&emulator, &[(0, "PATCH", path, wrong, 400, json!(1146))]);
        }
        play(&emulator, &[(0, "GET", path, "", 200, at_first)]);
        for (second, value) in (1..).zip(good) {
            let body: &str = json!({ "value": value }).to_string().leak();
            let date = format!("2026-01-01T00:00:0{second}.12345Z");
            let stored = json!({ "id": id, "value": value, "modified_on": date });
            play(
                &emulator,
                &[
                    (second, "PATCH", path, body, 200, stored.clone()),
                    (second + 1, "GET", path, "", 200, stored),
                ],
            );
        }
    }
}

#[test]
fn refuses_settings_that_the_plan_lacks() {
    // The path, its body, and the smallest plan.
    let rows = [
        (RESERVE, "PATCH", ON, Plan::Pro),
        (CLEAR, "POST", "{}", Plan::Pro),
        (REGIONAL, "PATCH", ON, Plan::Enterprise),
        (SMART, "PATCH", ON, Plan::Free),
        (SMART, "POST", ON, Plan::Free),
        (VARIANTS, "PATCH", r#"{"value":{}}"#, Plan::Pro),
        (VARIANTS, "DELETE", "", Plan::Pro),
        (TIERED, "PATCH", ON, Plan::Free),
        (DEVELOPMENT, "PATCH", ON, Plan::Free),
    ];
    for (path, method, body, least) in rows {
        for plan in Plan::ALL {
            let emulator = emulator_with(*plan);
            let place = format!("{plan} {path}");
            for (method, body) in [("GET", ""), (method, body)] {
                let (status, codes, _) = ask(&emulator, Duration::ZERO, method, path, body);
                let refused = (status, codes.as_slice()) == (403, &[1135]);
                assert_eq!(refused, *plan < least, "{place} {method}: {status} {codes:?}");
            }
        }
    }
}

#[test]
fn smart_tiered_cache_can_be_off_or_missing() {
    let id = "tiered_cache_smart_topology_enable";
    let missing = json!(1142);
    let told = |value| json!({ "id": id, "editable": true, "value": value });
    let emulator = emulator_with(Plan::Free);
    play(
        &emulator,
        &[
            (0, "GET", SMART, "", 404, missing.clone()),
            (0, "DELETE", SMART, "", 404, missing.clone()),
            (1, "POST", SMART, ON, 200, told("on")),
            (2, "GET", SMART, "", 200, told("on")),
            (3, "POST", SMART, OFF, 200, told("off")),
            (4, "GET", SMART, "", 200, told("off")),
            (5, "DELETE", SMART, "", 200, json!({ "id": id, "editable": true, "value": null })),
            (6, "GET", SMART, "", 404, missing.clone()),
            (6, "DELETE", SMART, "", 404, missing),
            (7, "PATCH", SMART, OFF, 200, told("off")),
            (8, "GET", SMART, "", 200, told("off")),
            (9, "PATCH", SMART, ON, 200, told("on")),
        ],
    );
    let emulator = emulator_with(Plan::Free);
    let response = emulator.handle(Duration::ZERO, &request("GET", &format!("/zones/{ZONE}/{SMART}"), ""));
    let message = "Unable to retrieve tiered_cache_smart_topology_enable setting value. The zone setting does not exist.";
    assert_eq!(json(&response)["errors"], json!([{ "code": 1142, "message": message }]));
    let (_, _, deleted) = {
        ask(&emulator, seconds(1), "PATCH", SMART, ON);
        ask(&emulator, seconds(2), "DELETE", SMART, "")
    };
    assert_eq!(deleted.get("value"), None);
}

#[test]
fn clears_cache_reserve() {
    let emulator = Emulator::new(unlimited().with_clear_time(seconds(60)));
    let start = "2026-01-01T00:00:10.12345Z";
    let running =
        json!({ "id": "cache_reserve_clear", "state": "In-progress", "start_ts": start, "end_ts": null });
    let end = "2026-01-01T00:01:10.12345Z";
    let done = json!({ "id": "cache_reserve_clear", "state": "Completed", "start_ts": start, "end_ts": end });
    let again = json!({ "state": "In-progress", "start_ts": "2026-01-01T00:03:00.12345Z", "end_ts": null });
    play(
        &emulator,
        &[
            (0, "GET", CLEAR, "", 404, json!(1142)),
            (0, "PATCH", RESERVE, ON, 200, json!({ "value": "on" })),
            (1, "POST", CLEAR, "{}", 400, json!(1152)),
            (1, "GET", CLEAR, "", 404, json!(1142)),
            (2, "PATCH", RESERVE, OFF, 200, json!({ "value": "off" })),
            // With the body of the schema, and without a body as in the reference's example.
            (10, "POST", CLEAR, "", 200, running.clone()),
            (20, "GET", CLEAR, "", 200, running.clone()),
            (30, "PATCH", RESERVE, ON, 400, json!(1153)),
            (30, "PATCH", RESERVE, OFF, 200, json!({ "value": "off" })),
            (30, "GET", RESERVE, "", 200, json!({ "value": "off" })),
            (40, "POST", CLEAR, "{}", 200, running.clone()),
            (69, "GET", CLEAR, "", 200, running),
            (70, "GET", CLEAR, "", 200, done.clone()),
            (71, "PATCH", RESERVE, ON, 200, json!({ "value": "on" })),
            (99, "GET", CLEAR, "", 200, done),
            (99, "POST", CLEAR, "{}", 400, json!(1152)),
            (99, "PATCH", RESERVE, OFF, 200, json!({ "value": "off" })),
            (180, "POST", CLEAR, "{}", 200, again.clone()),
            (181, "GET", CLEAR, "", 200, again),
            (181, "DELETE", CLEAR, "", 405, json!(10405)),
            (181, "PATCH", CLEAR, "{}", 405, json!(10405)),
        ],
    );
}

#[test]
fn a_clear_without_duration_ends_immediately() {
    let emulator = Emulator::new(unlimited().with_clear_time(Duration::ZERO));
    let (_, _, result) = ask(&emulator, seconds(1), "POST", CLEAR, "{}");
    assert_eq!(result["state"], "Completed");
    assert_eq!(result["start_ts"], result["end_ts"]);
}

#[test]
fn development_mode_ends_automatically() {
    let emulator = emulator_with(Plan::Free);
    let told = |value, remaining: Value| json!({ "value": value, "time_remaining": remaining });
    play(
        &emulator,
        &[
            (0, "GET", DEVELOPMENT, "", 200, told("off", json!(false))),
            (0, "PATCH", DEVELOPMENT, OFF, 200, told("off", json!(false))),
            (100, "PATCH", DEVELOPMENT, ON, 200, told("on", json!(10_800))),
            (200, "GET", DEVELOPMENT, "", 200, told("on", json!(10_700))),
            (10_899, "GET", DEVELOPMENT, "", 200, told("on", json!(1))),
            (10_900, "GET", DEVELOPMENT, "", 200, told("off", json!(0))),
            (11_000, "GET", DEVELOPMENT, "", 200, told("off", json!(-100))),
            // Turning it off after its end does not change the end.
            (11_000, "PATCH", DEVELOPMENT, OFF, 200, told("off", json!(-100))),
            (20_000, "PATCH", DEVELOPMENT, ON, 200, told("on", json!(10_800))),
            (20_060, "PATCH", DEVELOPMENT, ON, 200, told("on", json!(10_800))),
            (20_120, "PATCH", DEVELOPMENT, OFF, 200, told("off", json!(0))),
            (20_180, "GET", DEVELOPMENT, "", 200, told("off", json!(-60))),
        ],
    );
    // A zone reports the same.
    let (_, _, zone) = ask(&emulator, seconds(20_200), "GET", "", "");
    assert_eq!(zone["development_mode"], -80);
    let list = emulator.handle(seconds(20_200), &request("GET", "/zones", ""));
    assert_eq!(json(&list)["result"][0]["development_mode"], -80);
}

#[test]
fn setting_variants_replaces_all_of_them() {
    let emulator = emulator_with(Plan::Pro);
    let all = r#"{"value":{"avif":["image/webp","image/jpeg"],"bmp":[],"gif":[],"jp2":[],"jpeg":[],"jpg":["image/avif"],"jpg2":[],"png":null,"tif":[],"tiff":[],"webp":["a/b"]}}"#;
    let one = r#"{"value":{"png":["image/webp"]}}"#;
    let value = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    play(
        &emulator,
        &[
            (0, "GET", VARIANTS, "", 404, json!(1142)),
            (0, "DELETE", VARIANTS, "", 404, json!(1144)),
            (1, "PATCH", VARIANTS, all, 200, value(all)),
            (2, "GET", VARIANTS, "", 200, value(all)),
            (3, "PATCH", VARIANTS, one, 200, value(one)),
            (4, "GET", VARIANTS, "", 200, value(one)),
            (5, "PATCH", VARIANTS, r#"{"value":{}}"#, 200, json!({ "value": {} })),
            (6, "GET", VARIANTS, "", 200, json!({ "value": {} })),
            (7, "DELETE", VARIANTS, "", 200, json!({ "id": "variants", "editable": true, "value": null })),
            (8, "GET", VARIANTS, "", 404, json!(1142)),
            (8, "DELETE", VARIANTS, "", 404, json!(1144)),
            (8, "POST", VARIANTS, one, 405, json!(10405)),
        ],
    );
}

#[test]
fn refuses_invalid_bodies() {
    let no_switches = [
        "",
        "on",
        "{",
        "[]",
        "null",
        "\"on\"",
        "{}",
        r#"{"value":null}"#,
        r#"{"value":true}"#,
        r#"{"value":1}"#,
        r#"{"value":"ON"}"#,
        r#"{"value":"maybe"}"#,
        r#"{"value":["on"]}"#,
        r#"{"Value":"on"}"#,
    ];
    for path in [RESERVE, REGIONAL, SMART, TIERED, DEVELOPMENT] {
        for body in no_switches {
            let emulator = emulator_with(Plan::Enterprise);
            play(&emulator, &[(0, "PATCH", path, body, 400, json!(1146))]);
            let (_, _, result) = ask(&emulator, Duration::ZERO, "GET", path, "");
            assert_ne!(result["value"], "on", "{path} {body}");
        }
    }
    play(&emulator_with(Plan::Free), &[(0, "POST", SMART, "{}", 400, json!(1146))]);
    let no_variants = [
        "",
        "{}",
        r#"{"value":null}"#,
        r#"{"value":"on"}"#,
        r#"{"value":[]}"#,
        r#"{"value":{"svg":["image/webp"]}}"#,
        r#"{"value":{"PNG":["image/webp"]}}"#,
        r#"{"value":{"png":"image/webp"}}"#,
        r#"{"value":{"png":[1]}}"#,
        r#"{"value":{"png":["image/webp","image/webp"]}}"#,
        r#"{"png":["image/webp"]}"#,
    ];
    for body in no_variants {
        let emulator = emulator_with(Plan::Pro);
        play(
            &emulator,
            &[(0, "PATCH", VARIANTS, body, 400, json!(1146)), (0, "GET", VARIANTS, "", 404, json!(1142))],
        );
    }
    // Other fields of the object are ignored.
    play(
        &emulator_with(Plan::Free),
        &[(0, "PATCH", TIERED, r#"{"value":"on","id":7}"#, 200, json!({ "value": "on" }))],
    );
}
