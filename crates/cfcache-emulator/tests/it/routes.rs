//! Paths with and without an endpoint.

use cfcache_emulator::Emulator;
use cfcache_model::endpoint;
use proptest::prelude::*;

use crate::support::{ZONE, header, json, request, send, unlimited, verdict};

#[test]
fn routes_paths_and_methods() {
    let zone = format!("/zones/{ZONE}");
    let long = "a".repeat(33);
    let rows: &[(&str, String, u16, &[u64])] = &[
        ("GET", "/zones".into(), 200, &[]),
        ("GET", "/zones/".into(), 200, &[]),
        ("GET", zone.clone(), 200, &[]),
        ("GET", format!("{zone}/"), 200, &[]),
        ("GET", format!("{zone}/environments/"), 200, &[]),
        ("GET", "/user/tokens/verify".into(), 200, &[]),
        ("GET", "/accounts/any/tokens/verify".into(), 200, &[]),
        ("DELETE", format!("{zone}/origin/cloud_regions/batch"), 400, &[1146]),
        ("POST", format!("{zone}/origin/cloud_regions/batch"), 405, &[10405]),
        // A setting that was never set has a valid path.
        ("GET", format!("{zone}/cache/tiered_cache_smart_topology_enable/"), 404, &[1142]),
        // The old method for purges.
        ("DELETE", format!("{zone}/purge_cache"), 400, &[1012]),
        ("GET", format!("{zone}/purge_cache"), 405, &[10405]),
        ("PUT", format!("{zone}/purge_cache"), 405, &[10405]),
        ("DELETE", format!("{zone}/invalidate_cache"), 405, &[10405]),
        ("POST", zone.clone(), 405, &[10405]),
        ("DELETE", "/zones".into(), 405, &[10405]),
        ("GET", String::new(), 404, &[7003, 7000]),
        ("GET", "/".into(), 404, &[7003, 7000]),
        ("GET", "/zone".into(), 404, &[7003, 7000]),
        ("POST", "/zones//purge_cache".into(), 404, &[7003, 7000]),
        ("POST", format!("/zones/{long}/purge_cache"), 404, &[7003, 7000]),
        ("POST", format!("{zone}/purge_cache/x"), 404, &[7003, 7000]),
        ("POST", format!("{zone}//purge_cache"), 404, &[7003, 7000]),
        ("POST", format!("{zone}/%zz/purge_cache"), 404, &[7003, 7000]),
        ("POST", format!("/zones/%30{}/purge_cache", &ZONE[1..]), 400, &[1012]),
    ];
    for (method, path, status, codes) in rows {
        let emulator = Emulator::new(unlimited());
        let response = send(&emulator, &request(method, path, ""));
        assert_eq!(verdict(&response), (*status, codes.to_vec()), "{method} {path}");
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        assert_eq!(*status == 405, header(&response, "allow").is_some(), "{method} {path}");
    }
}

#[test]
fn an_unknown_path_is_reported_before_missing_credentials() {
    let emulator = Emulator::new(unlimited());
    let bare = |path: &str| http::Request::get(path).body("".into()).unwrap();
    let response = send(&emulator, &bare("/client/v4/zonez"));
    let message = &json(&response)["errors"][0]["message"];
    assert_eq!(message, "Could not route to /zonez, perhaps your object identifier is invalid?");
    assert_eq!(verdict(&send(&emulator, &bare("/zones"))), (404, vec![7003, 7000]));
    assert_eq!(verdict(&send(&emulator, &bare("/client/v4zones"))), (404, vec![7003, 7000]));
}

#[test]
fn unknown_zones_look_like_forbidden_zones() {
    let rows = [
        ("GET", "/zones/0000", 403, 9109),
        ("GET", "/zones/0000/environments", 403, 10000),
        ("POST", "/zones/0000/purge_cache", 403, 10000),
        ("POST", "/zones/0000/invalidate_cache", 403, 10000),
        ("POST", "/zones/0000/environments/0000/purge_cache", 403, 10000),
    ];
    for (method, path, status, code) in rows {
        let response = send(&Emulator::new(unlimited()), &request(method, path, r#"{"tags":["a"]}"#));
        assert_eq!(verdict(&response), (status, vec![code]), "{method} {path}");
    }
}

#[test]
fn every_answer_has_a_unique_ray() {
    let emulator = Emulator::new(unlimited());
    let ray = |path| header(&send(&emulator, &request("GET", path, "")), "cf-ray").unwrap().to_owned();
    let rays = [ray("/zones"), ray("/zones"), ray("/nowhere")];
    assert!(rays.iter().all(|ray| ray.len() == 20 && ray.starts_with("8f3a") && ray.ends_with("-LHR")));
    assert_ne!(rays[0], rays[1]);
}

#[test]
fn every_endpoint_of_the_model_answers() {
    for endpoint in endpoint::all() {
        let path = endpoint
            .path
            .replace("{zone_id}", ZONE)
            .replace("{environment_id}", crate::support::STAGING)
            .replace("{account_id}", "0000");
        let path = path.replace("{origin_ip}", "192.0.2.1");
        let response = send(&Emulator::new(unlimited()), &request(endpoint.method.as_str(), &path, ""));
        // A missing setting is also 404, but with its own code.
        let (_, codes) = verdict(&response);
        assert!(!codes.contains(&7003) && !codes.contains(&10405), "{}: {codes:?}", endpoint.name);
    }
}

proptest! {
    #[test]
    fn any_path_and_method_get_an_envelope(
        method in "GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|X",
        path in "(/(zones|purge_cache|environments|user|tokens|verify|%2F|%C3|[a-z0-9?&=%:]{0,8})){0,6}",
    ) {
        let uri = format!("/client/v4{path}");
        let request = http::Request::builder().method(&*method).uri(uri).header("authorization", "Bearer a");
        // hyper does not accept every string as a path.
        if let Ok(request) = request.body(bytes::Bytes::new()) {
            verdict(&send(&Emulator::new(unlimited()), &request));
        }
    }
}
