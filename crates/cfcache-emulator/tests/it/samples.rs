//! Sends the request of every sample of the model to the emulator.

use core::time::Duration;

use bytes::Bytes;
use cfcache_emulator::{Config, Emulator, Environment, Token, Zone};
use cfcache_model::endpoint::{self, Descriptor, Sample};
use cfcache_model::{Plan, endpoint::example};
use serde_json::Value;

use crate::support::{STAGING, TOKEN, json, request, send, verdict};

fn sent(sample: &Sample) -> http::Request<Bytes> {
    let body = sample.request.body.clone().unwrap_or_default();
    request(sample.request.method.as_str(), &sample.request.path, body)
}

fn samples() -> impl Iterator<Item = (&'static Descriptor, Sample)> {
    endpoint::all()
        .flat_map(|endpoint| (endpoint.samples)().into_iter().map(move |sample| (endpoint, sample)))
}

/// Checks that the answer contains everything in the sample. It may contain more: samples of zones are reduced to
/// reliable fields, and the vendor's typed SDKs require more.
fn assert_includes(answer: &Value, sample: &Value, place: &str) {
    match (answer, sample) {
        (Value::Object(answer), Value::Object(sample)) => {
            for (name, value) in sample {
                let place = format!("{place}.{name}");
                assert_includes(answer.get(name).unwrap_or_else(|| panic!("no {place}")), value, &place);
            }
        }
        (Value::Array(answer), Value::Array(sample)) => {
            assert_eq!(answer.len(), sample.len(), "{place}");
            for (index, (answer, sample)) in answer.iter().zip(sample).enumerate() {
                assert_includes(answer, sample, &format!("{place}[{index}]"));
            }
        }
        _ => assert_eq!(answer, sample, "{place}"),
    }
}

/// Returns an emulator that must answer the sample's request with the sample, and the time to send it.
fn prepare(endpoint: &Descriptor, sample: &Sample) -> (Emulator, Duration) {
    let config = Config::new(Plan::Enterprise);
    let other = |name: &str| endpoint::all().find(|other| other.name == name).unwrap();
    // The same, after the first sample of another endpoint was sent.
    let after = |name: &str, config: Config| {
        let emulator = Emulator::new(config);
        let sample = &(other(name).samples)()[0];
        assert_eq!(send(&emulator, &sent(sample)).status(), 200, "{name}");
        emulator
    };
    let powerless = || {
        Config::new(Plan::Enterprise).with_token(Token::new(TOKEN).with_permissions(["Another Permission"]))
    };
    let reply: Value = serde_json::from_str(&sample.reply).unwrap();
    let emulator = match (endpoint.name, sample.name, reply["errors"][0]["code"].as_u64()) {
        ("get_smart_tiered_cache", "off", _) => {
            let off = request("PATCH", &sample.request.path, r#"{"value":"off"}"#);
            let emulator = Emulator::new(config);
            assert_eq!(send(&emulator, &off).status(), 200);
            emulator
        }
        ("delete_smart_tiered_cache", "deleted", _) => after("create_smart_tiered_cache", config),
        ("get_cache_reserve_clear", "completed", _) => {
            let beginning = Duration::new(1_696_240_800, 123_450_000);
            let time = Duration::from_secs(2 * 60 * 60);
            let config = config.with_beginning(beginning).with_clear_time(time);
            return (after("clear_cache_reserve", config), time);
        }
        ("clear_cache_reserve", "begun", _) => {
            Emulator::new(config.with_beginning(Duration::new(1_696_240_800, 123_450_000)))
        }
        ("get_variants", "set", _) | ("delete_variants", "deleted", _) => after("edit_variants", config),
        ("list_cloud_regions", "one", _)
        | ("get_cloud_region", "found", _)
        | ("delete_cloud_region", "deleted", _)
        | ("delete_cloud_regions", "partly", _) => after("set_cloud_region", config),
        ("clear_cache_reserve", "refused_on", _) => after("edit_cache_reserve", config),
        ("edit_cache_reserve", "refused_clearing", _) => after("clear_cache_reserve", config),
        (_, "refused_environment_by_ip", _) => {
            let staging = Environment::new("Staging", STAGING, "(ip.src in {192.0.2.0/24})");
            let zone = Zone::new(example::ZONE_ID, example::ZONE_NAME);
            let development = zone.environments[2].clone();
            Emulator::new(config.with_zone(zone.with_environments([staging, development])))
        }
        (_, "refused_rate_limited", _) => {
            let emulator = Emulator::new(Config::new(Plan::Free));
            for _ in 0..25 {
                assert_eq!(send(&emulator, &sent(sample)).status(), 200);
            }
            emulator
        }
        (_, "refused_unknown", _) => Emulator::new(config.with_token(Token::new("another-token"))),
        (_, _, Some(10000 | 9109)) => Emulator::new(powerless()),
        (_, _, Some(1135)) => Emulator::new(Config::new(Plan::Free)),
        // Settings that were never set, a missing region, and requests that succeed immediately.
        (_, _, Some(1142 | 1144 | 1157) | None) => Emulator::new(config),
        (name, sample, code) => {
            panic!("{name}/{sample}: add the case in which the emulator answers {code:?}")
        }
    };
    (emulator, Duration::ZERO)
}

#[test]
fn answers_every_sample_of_the_model() {
    for (endpoint, sample) in samples() {
        let place = format!("{}/{}", endpoint.name, sample.name);
        let (emulator, at) = prepare(endpoint, &sample);
        let response = emulator.handle(at, &sent(&sample));
        let mut answer = json(&response);
        let mut expected: Value = serde_json::from_str(&sample.reply).unwrap();
        let codes = |body: &Value| -> Vec<u64> {
            body["errors"].as_array().unwrap().iter().map(|error| error["code"].as_u64().unwrap()).collect()
        };
        assert_eq!(verdict(&response), (sample.status, codes(&expected)), "{place}");
        if sample.status >= 300 {
            continue;
        }
        if endpoint.name == "list_supported_regions" {
            assert_supports(&answer, &expected);
            continue;
        }
        assert_includes(&without_dates(&mut answer), &without_dates(&mut expected), &place);
        if !endpoint.name.contains("zone") || endpoint.name.contains("cache") {
            assert_eq!(answer, expected, "{place}");
        }
    }
}

/// Removes the field with the time of a request.
fn without_dates(body: &mut Value) -> Value {
    let results = match &mut body["result"] {
        Value::Array(items) => items.as_mut_slice(),
        result => core::slice::from_mut(result),
    };
    for fields in results.iter_mut().filter_map(Value::as_object_mut) {
        fields.remove("modified_on");
    }
    body.clone()
}

/// The sample has two regions, the emulator has more.
fn assert_supports(answer: &Value, sample: &Value) {
    for (vendor, regions) in sample["result"]["vendors"].as_object().unwrap() {
        let supported = answer["result"]["vendors"][vendor].as_array().unwrap();
        assert!(regions.as_array().unwrap().iter().all(|region| supported.contains(region)), "{vendor}");
    }
}
