//! The captured requests of the vendor's SDK (`cargo xtask conformance`) equal the requests of the model.

use std::collections::{BTreeMap, BTreeSet};

use cfcache_model::endpoint::{
    self, Action, ApiRequest, CloudRegion, Parts, PurgeCache, Switch, Variants, example,
};
use cfcache_model::id::AccountId;
use cfcache_model::{Endpoint, EnvironmentId, PurgeBody, ZoneId};
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/sdk/requests.jsonl");

/// Accepted differences: operation, part, value of the SDK, value of the model.
///
/// The schema requires a body, with `{}` as its example. The SDK omits it, and the emulator accepts both.
const DIFFERENCES: [(&str, &str, &str, &str); 1] = [("clear_cache_reserve", "body", "none", "{}")];

#[test]
fn the_model_writes_the_same_requests_as_the_sdk() {
    let mut differences = BTreeSet::new();
    let mut outcomes: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    for line in std::fs::read_to_string(FILE).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let operation = line["operation"].as_str().unwrap();
        outcomes.entry(operation.to_owned()).or_default().insert(line["is_success"].as_bool().unwrap());
        let ours = model(operation, &line["arguments"]);
        let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        for (part, theirs, ours) in [
            ("method", text(&line["method"]), ours.method.as_str().to_owned()),
            ("path", text(&line["path"]), ours.path),
            ("body", text(&line["body"]), ours.body.unwrap_or_else(|| "none".to_owned())),
        ] {
            if theirs != ours {
                differences.insert((operation.to_owned(), part, theirs, ours));
            }
        }
    }
    let expected = DIFFERENCES.map(|(operation, part, theirs, ours)| {
        (operation.to_owned(), part, theirs.to_owned(), ours.to_owned())
    });
    assert_eq!(differences, BTreeSet::from(expected));
    for endpoint in endpoint::all() {
        let both = outcomes.get(endpoint.name).is_some_and(|outcomes| outcomes.len() == 2);
        assert!(both, "conformance.py has no success or no refusal of {}", endpoint.name);
    }
}

/// Returns the model's request for an operation. The arguments are JSON. Arguments with an order of fields are passed
/// as text, which keeps the order.
fn model(operation: &str, arguments: &Value) -> Parts {
    let text = |name: &str| arguments[name].as_str().unwrap_or_else(|| panic!("{operation} has no `{name}`"));
    let number = |name: &str| u32::try_from(arguments[name].as_u64().unwrap()).unwrap();
    let list = |name: &str| arguments[name].as_array().unwrap();
    let zone = &ZoneId::parse(arguments["zone"].as_str().unwrap_or(example::ZONE_ID)).unwrap();
    let is_on = || text("value") == "on";
    let ip = || endpoint::parse_origin_ip(text("origin_ip")).unwrap();

    for switch in Switch::ALL {
        let get = ApiRequest::switch(zone, *switch);
        if get.descriptor().name == operation {
            return endpoint::encode(&get);
        }
        if ApiRequest::set_switch(zone, *switch, false).descriptor().name == operation {
            return endpoint::encode(&ApiRequest::set_switch(zone, *switch, is_on()));
        }
    }
    match operation {
        "purge_zone_cache" | "purge_environment_cache" => purge(Action::Purge, zone, arguments),
        "invalidate_zone_cache" | "invalidate_environment_cache" => {
            purge(Action::Invalidate, zone, arguments)
        }
        "create_smart_tiered_cache" => {
            endpoint::encode(&ApiRequest::create_smart_tiered_cache(zone, is_on()))
        }
        "delete_smart_tiered_cache" => endpoint::encode(&ApiRequest::delete_smart_tiered_cache(zone)),
        "get_cache_reserve_clear" => endpoint::encode(&ApiRequest::cache_reserve_clear(zone)),
        "clear_cache_reserve" => endpoint::encode(&ApiRequest::clear_cache_reserve(zone)),
        "get_variants" => endpoint::encode(&ApiRequest::variants(zone)),
        "edit_variants" => {
            let variants = Variants::from_json(text("value")).unwrap();
            endpoint::encode(&ApiRequest::set_variants(zone, &variants))
        }
        "delete_variants" => endpoint::encode(&ApiRequest::delete_variants(zone)),
        "list_cloud_regions" => endpoint::encode(&ApiRequest::cloud_regions(zone, number("page"))),
        "get_cloud_region" => endpoint::encode(&ApiRequest::cloud_region(zone, ip())),
        "set_cloud_region" => endpoint::encode(&ApiRequest::set_cloud_region(zone, &mapping(arguments))),
        "delete_cloud_region" => endpoint::encode(&ApiRequest::delete_cloud_region(zone, ip())),
        "set_cloud_regions" => {
            let mappings: Vec<_> = list("items").iter().map(mapping).collect();
            endpoint::encode(&ApiRequest::set_cloud_regions(zone, &mappings))
        }
        "delete_cloud_regions" => {
            let ips: Vec<_> = list("ips")
                .iter()
                .map(|ip| endpoint::parse_origin_ip(ip.as_str().unwrap()).unwrap())
                .collect();
            endpoint::encode(&ApiRequest::delete_cloud_regions(zone, &ips))
        }
        "get_cache_level" => endpoint::encode(&ApiRequest::cache_level(zone)),
        "edit_cache_level" => {
            endpoint::encode(&ApiRequest::set_cache_level(zone, text("value").parse().unwrap()))
        }
        "get_browser_cache_ttl" => endpoint::encode(&ApiRequest::browser_cache_ttl(zone)),
        "edit_browser_cache_ttl" => {
            endpoint::encode(&ApiRequest::set_browser_cache_ttl(zone, number("value")))
        }
        "list_supported_regions" => endpoint::encode(&ApiRequest::supported_regions(zone)),
        "list_zones" => match arguments["name"].as_str() {
            Some(name) => endpoint::encode(&ApiRequest::zones_named(name)),
            None => endpoint::encode(&ApiRequest::zones(number("page"))),
        },
        "get_zone" => endpoint::encode(&ApiRequest::zone(zone)),
        "list_environments" => endpoint::encode(&ApiRequest::environments(zone)),
        "verify_token" => endpoint::encode(&ApiRequest::verify_token()),
        "verify_account_token" => {
            endpoint::encode(&ApiRequest::verify_account_token(&AccountId::parse(text("account")).unwrap()))
        }
        _ => panic!("how the model writes `{operation}` is to be added here"),
    }
}

fn purge(action: Action, zone: &ZoneId, arguments: &Value) -> Parts {
    let body: PurgeBody = serde_json::from_str(arguments["body"].as_str().unwrap()).unwrap();
    let request = PurgeCache::new(action, zone, &body);
    match arguments["environment"].as_str() {
        None => endpoint::encode(&request),
        Some(environment) => {
            endpoint::encode(&request.with_environment(&EnvironmentId::parse(environment).unwrap()))
        }
    }
}

fn mapping(arguments: &Value) -> CloudRegion {
    let text = |name: &str| arguments[name].as_str().unwrap();
    CloudRegion::new(text("origin_ip"), text("vendor"), text("region")).unwrap()
}
