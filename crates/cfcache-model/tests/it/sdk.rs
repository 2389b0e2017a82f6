//! The requests of the vendor's SDK, as `cargo xtask conformance` has captured them, are the bytes that the model writes.

use std::collections::{BTreeMap, BTreeSet};

use cfcache_model::endpoint::{
    self, Action, ClearCacheReserve, CloudRegion, DeleteCloudRegion, DeleteCloudRegions,
    GetCacheReserveClear, GetCloudRegion, GetZone, ListCloudRegions, ListEnvironments, ListSupportedRegions,
    ListZones, OnOff, OriginIp, Parts, PurgeCache, SetCloudRegion, SetCloudRegions, SettingRequest, Switch,
    Variants, VerifyToken, example,
};
use cfcache_model::id::AccountId;
use cfcache_model::{Endpoint, EnvironmentId, PurgeBody, ZoneId};
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/sdk/requests.jsonl");

/// Where the SDK sends something else, and why that is right: operation, part, the SDK's, the model's.
///
/// The schema asks for a body and gives `{}` as its example; the SDK leaves it out, and the emulator takes both.
const DIFFERENCES: [(&str, &str, &str, &str); 1] = [("clear_cache_reserve", "body", "none", "{}")];

#[test]
fn requests_of_the_sdk_are_the_bytes_of_the_model() {
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

/// What the model writes for an operation. The arguments are JSON; those that are written into a body in an order come
/// as text, which keeps it.
fn model(operation: &str, arguments: &Value) -> Parts {
    let text = |name: &str| arguments[name].as_str().unwrap_or_else(|| panic!("{operation} has no `{name}`"));
    let number = |name: &str| u32::try_from(arguments[name].as_u64().unwrap()).unwrap();
    let list = |name: &str| arguments[name].as_array().unwrap();
    let zone = &ZoneId::parse(arguments["zone"].as_str().unwrap_or(example::ZONE_ID)).unwrap();
    let value = || -> OnOff { text("value").parse().unwrap() };
    let ip = || OriginIp::parse(text("origin_ip")).unwrap();

    for switch in Switch::ALL {
        let get = SettingRequest::switch(zone, *switch);
        if get.descriptor().name == operation {
            return endpoint::encode(&get);
        }
        if SettingRequest::set_switch(zone, *switch, OnOff::Off).descriptor().name == operation {
            return endpoint::encode(&SettingRequest::set_switch(zone, *switch, value()));
        }
    }
    match operation {
        "purge_zone_cache" | "purge_environment_cache" => purge(Action::Purge, zone, arguments),
        "invalidate_zone_cache" | "invalidate_environment_cache" => {
            purge(Action::Invalidate, zone, arguments)
        }
        "create_smart_tiered_cache" => {
            endpoint::encode(&SettingRequest::create_smart_tiered_cache(zone, value()))
        }
        "delete_smart_tiered_cache" => endpoint::encode(&SettingRequest::delete_smart_tiered_cache(zone)),
        "get_cache_reserve_clear" => endpoint::encode(&GetCacheReserveClear::new(zone)),
        "clear_cache_reserve" => endpoint::encode(&ClearCacheReserve::new(zone)),
        "get_variants" => endpoint::encode(&SettingRequest::variants(zone)),
        "edit_variants" => {
            let variants = Variants::from_json(text("value")).unwrap();
            endpoint::encode(&SettingRequest::set_variants(zone, &variants))
        }
        "delete_variants" => endpoint::encode(&SettingRequest::delete_variants(zone)),
        "list_cloud_regions" => endpoint::encode(&ListCloudRegions::page(zone, number("page"))),
        "get_cloud_region" => endpoint::encode(&GetCloudRegion::new(zone, &ip())),
        "set_cloud_region" => endpoint::encode(&SetCloudRegion::new(zone, &mapping(arguments))),
        "delete_cloud_region" => endpoint::encode(&DeleteCloudRegion::new(zone, &ip())),
        "set_cloud_regions" => {
            let mappings: Vec<_> = list("items").iter().map(mapping).collect();
            endpoint::encode(&SetCloudRegions::new(zone, &mappings))
        }
        "delete_cloud_regions" => {
            let ips: Vec<_> =
                list("ips").iter().map(|ip| OriginIp::parse(ip.as_str().unwrap()).unwrap()).collect();
            endpoint::encode(&DeleteCloudRegions::new(zone, &ips))
        }
        "get_cache_level" => endpoint::encode(&SettingRequest::cache_level(zone)),
        "edit_cache_level" => {
            endpoint::encode(&SettingRequest::set_cache_level(zone, text("value").parse().unwrap()))
        }
        "get_browser_cache_ttl" => endpoint::encode(&SettingRequest::browser_cache_ttl(zone)),
        "edit_browser_cache_ttl" => {
            endpoint::encode(&SettingRequest::set_browser_cache_ttl(zone, number("value")))
        }
        "list_supported_regions" => endpoint::encode(&ListSupportedRegions::new(zone)),
        "list_zones" => match arguments["name"].as_str() {
            Some(name) => endpoint::encode(&ListZones::named(name)),
            None => endpoint::encode(&ListZones::page(number("page"))),
        },
        "get_zone" => endpoint::encode(&GetZone::new(zone)),
        "list_environments" => endpoint::encode(&ListEnvironments::new(zone)),
        "verify_token" => endpoint::encode(&VerifyToken::for_user()),
        "verify_account_token" => {
            endpoint::encode(&VerifyToken::for_account(&AccountId::parse(text("account")).unwrap()))
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
