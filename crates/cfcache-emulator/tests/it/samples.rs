//! Every sample of the model, asked of the emulator.

use bytes::Bytes;
use cfcache_emulator::{Config, Emulator, Environment, Token, Zone};
use cfcache_model::endpoint::{self, Descriptor, Exchange};
use cfcache_model::{Plan, endpoint::example};
use serde_json::Value;

use crate::support::{STAGING, json, request, send, verdict};

fn sent(sample: &Exchange) -> http::Request<Bytes> {
    let body = sample.request.body.clone().unwrap_or_default();
    request(sample.request.method.as_str(), &sample.request.path, body)
}

fn samples() -> impl Iterator<Item = (&'static Descriptor, Exchange)> {
    endpoint::all()
        .flat_map(|endpoint| (endpoint.samples)().into_iter().map(move |sample| (endpoint, sample)))
}

/// Everything that the sample says, the answer says too. It may say more: samples of zones are cut to what can be
/// relied on, and the vendor's typed SDKs insist on more than that.
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

#[test]
fn what_succeeds_there_succeeds_here_with_the_same_words() {
    for (endpoint, sample) in samples().filter(|(_, sample)| sample.status < 300) {
        let place = format!("{}/{}", endpoint.name, sample.name);
        let emulator = Emulator::new(Config::new(Plan::Enterprise));
        let response = send(&emulator, &sent(&sample));
        assert_eq!(response.status().as_u16(), sample.status, "{place}: {}", json(&response));
        let mut expected: Value = serde_json::from_str(&sample.reply).unwrap();
        if let Some(size) = sample.request.path.split("per_page=").nth(1) {
            // The page is as large as it was asked to be.
            expected["result_info"]["per_page"] = size.parse::<u64>().unwrap().into();
        }
        assert_includes(&json(&response), &expected, &place);
        if !endpoint.name.contains("zone") || endpoint.name.contains("cache") {
            assert_eq!(json(&response), expected, "{place}");
        }
    }
}

#[test]
fn what_is_refused_there_is_refused_here_in_the_right_circumstances() {
    for (endpoint, sample) in samples().filter(|(_, sample)| sample.status >= 300) {
        let place = format!("{}/{}", endpoint.name, sample.name);
        let config = Config::new(Plan::Enterprise);
        let emulator = match sample.name {
            "refused_permission" => Emulator::new(
                config.with_token(Token::new(crate::support::TOKEN).with_permissions(["Another Permission"])),
            ),
            "refused_unknown" => Emulator::new(config.with_token(Token::new("another-token"))),
            "refused_environment_by_ip" => {
                let staging = Environment::new("Staging", STAGING, "(ip.src in {192.0.2.0/24})");
                let zone = Zone::new(example::ZONE_ID, example::ZONE_NAME).with_environments([staging]);
                Emulator::new(config.with_zone(zone))
            }
            "refused_rate_limited" => {
                let emulator = Emulator::new(Config::new(Plan::Free));
                for _ in 0..25 {
                    assert_eq!(send(&emulator, &sent(&sample)).status(), 200, "{place}");
                }
                emulator
            }
            other => panic!("{place}: say here in which circumstances the emulator answers {other}"),
        };
        let response = send(&emulator, &sent(&sample));
        let reply: Value = serde_json::from_str(&sample.reply).unwrap();
        let code = reply["errors"][0]["code"].as_u64().unwrap();
        assert_eq!(verdict(&response), (sample.status, vec![code]), "{place}");
    }
}
