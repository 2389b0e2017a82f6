//! The vendor's own SDK against the emulator, and what it sends against what the model writes.
//!
//! The emulator and the client are both ours. A client that was written by somebody else, from the vendor's schema, is
//! what tells whether both have misread it in the same way. `xtask/conformance/conformance.py` drives it.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use anyhow::{Context as _, Result, bail, ensure};
use cfcache_model::endpoint::{
    self, Action, ClearCacheReserve, CloudRegion, DeleteCloudRegion, DeleteCloudRegions,
    GetCacheReserveClear, GetCloudRegion, GetZone, ListCloudRegions, ListEnvironments, ListSupportedRegions,
    ListZones, OnOff, OriginIp, Parts, PurgeCache, SetCloudRegion, SetCloudRegions, SettingRequest, Switch,
    Variants, VerifyToken, example,
};
use cfcache_model::id::AccountId;
use cfcache_model::{Endpoint, EnvironmentId, PurgeBody, ZoneId};
use serde_json::Value;

use crate::emulator::Emulator;
use crate::install;
use crate::repo::{self, Profile};

const REQUIREMENTS: &str = "xtask/conformance/requirements.txt";
const SCRIPT: &str = "xtask/conformance/conformance.py";

/// What the SDK sends otherwise than the model writes, and why that is right: operation, part, reason.
const KNOWN: &[(&str, &str, &str)] = &[(
    "clear_cache_reserve",
    "body",
    "the schema asks for a body and gives `{}` as its example; the SDK leaves it out, and the emulator takes both",
)];

/// Runs the SDK's cases, then compares what it sent.
pub(crate) fn run() -> Result<()> {
    let cfcache = repo::build_cfcache(Profile::Tests)?;
    // Beside `debug`, in which the binary is.
    let target = cfcache.ancestors().nth(2).context("cfcache was built into no folder")?;
    let folder = target.join("conformance");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let python = install::python(&folder, REQUIREMENTS)?;

    // The script is the origin of the edge, and begins to listen only when everything else runs.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let origin = format!("http://127.0.0.1:{port}");
    let edge = ["--origin", &origin, "--edge-listen", "127.0.0.1:0"];
    let start = |arguments: &[&str]| Emulator::start(&cfcache, arguments);
    let emulators = [
        ("enterprise", start(&[&["--plan", "enterprise", "--clear-seconds", "1"][..], &edge].concat())?),
        ("free", start(&["--plan", "free"])?),
        ("guarded", start(&["--token", "another-token"])?),
        ("faulty", start(&["--fault", "status=503,times=2"])?),
    ];
    let record = folder.join("requests.jsonl");
    let mut cases = repo::command(&python);
    // What is set for people does not change what the SDK sends, nor does it write next to the script.
    for name in
        ["CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_USER_SERVICE_KEY", "CLOUDFLARE_BASE_URL"]
    {
        cases.env_remove(name);
    }
    cases.env("NO_PROXY", "127.0.0.1").args(["-B", SCRIPT]).arg(&record);
    cases.args(emulators.iter().map(|(name, emulator)| format!("{name}={}", emulator.base_url)));
    let [(_, enterprise), ..] = &emulators;
    let edge = enterprise.edge_url.as_ref().context("the emulator does not say where its edge is")?;
    cases.arg(format!("edge={edge}")).arg(format!("origin-port={port}"));
    let status = cases.status().context("cannot run Python")?;
    drop(emulators);
    ensure!(status.success(), "the SDK and the emulator do not agree");

    let text = fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let lines: Vec<Line> = text.lines().map(Line::read).collect::<Result<_>>()?;
    compare(&lines)
}

/// A request of the SDK, as the script writes it down.
struct Line {
    /// The name of the model's endpoint; none where the model refuses to write such a request.
    operation: Option<String>,
    arguments: Value,
    method: String,
    path: String,
    body: Option<String>,
    is_success: bool,
}

impl Line {
    fn read(text: &str) -> Result<Self> {
        let line: Value = serde_json::from_str(text).context("this is no line of a record")?;
        let field = |name: &str| line[name].as_str().map(str::to_owned);
        Ok(Self {
            operation: field("operation"),
            arguments: line["arguments"].clone(),
            method: field("method").context("a request without method")?,
            path: field("path").context("a request without path")?,
            body: field("body"),
            is_success: line["status"].as_u64().is_some_and(|status| status < 300),
        })
    }
}

/// Compares, prints what differs, and fails where that is not known or an endpoint was left out.
fn compare(lines: &[Line]) -> Result<()> {
    let mut compared = 0;
    let mut differences: BTreeMap<(&str, &str), (String, String, u32)> = BTreeMap::new();
    for line in lines {
        let Some(operation) = &line.operation else { continue };
        let parts = model(operation, &line.arguments)
            .with_context(|| format!("{operation} with {} is not in the model", line.arguments))?;
        compared += 1;
        for (part, theirs, ours) in line.differences(&parts) {
            differences.entry((operation, part)).or_insert((theirs, ours, 0)).2 += 1;
        }
    }
    println!(
        "\n{compared} requests of the SDK compared with the model's, {} kinds of difference",
        differences.len()
    );
    let mut unknown = 0;
    for ((operation, part), (theirs, ours, times)) in &differences {
        let known = KNOWN.iter().find(|known| (known.0, known.1) == (*operation, *part));
        let reason = known.map_or("NOT KNOWN", |(_, _, reason)| reason);
        unknown += usize::from(known.is_none());
        println!("  {operation}, {part}, {times} times: {reason}\n    SDK:   {theirs}\n    model: {ours}");
    }
    let left = lines.iter().filter(|line| line.operation.is_none()).count();
    println!("{left} requests more, which the model does not write, were answered as they should be");

    let has = |name: &str, is_success| {
        let is_it = |line: &&Line| line.operation.as_deref() == Some(name) && line.is_success == is_success;
        lines.iter().find(is_it).is_some()
    };
    let forgotten: Vec<_> = endpoint::all()
        .map(|endpoint| endpoint.name)
        .filter(|name| !has(name, true) || !has(name, false))
        .collect();
    ensure!(forgotten.is_empty(), "{SCRIPT} has no success or no refusal of {}", forgotten.join(", "));
    ensure!(unknown == 0, "differences that are not known: {unknown}");
    let gone = KNOWN.iter().find(|known| !differences.contains_key(&(known.0, known.1)));
    ensure!(gone.is_none(), "this difference is gone: {gone:?}");
    Ok(())
}

impl Line {
    /// The parts that differ, byte for byte: which, theirs, ours.
    fn differences(&self, parts: &Parts) -> Vec<(&'static str, String, String)> {
        let shown = |body: &Option<String>| body.clone().unwrap_or_else(|| "none".to_owned());
        let all = [
            ("method", self.method.clone(), parts.method.as_str().to_owned()),
            ("path", self.path.clone(), parts.path.clone()),
            ("body", shown(&self.body), shown(&parts.body)),
        ];
        all.into_iter().filter(|(_, theirs, ours)| theirs != ours).collect()
    }
}

/// What the model writes for an operation. The arguments are JSON; those that are written into a body in an order come
/// as text, which keeps it.
fn model(operation: &str, arguments: &Value) -> Result<Parts> {
    let text = |name: &str| arguments[name].as_str().with_context(|| format!("no argument `{name}`"));
    let zone = ZoneId::parse(arguments["zone"].as_str().unwrap_or(example::ZONE_ID))?;
    let zone = &zone;
    let page =
        || -> Result<u32> { Ok(arguments["page"].as_u64().context("no argument `page`")?.try_into()?) };
    let value = || -> Result<OnOff> { Ok(text("value")?.parse()?) };
    let ip = || -> Result<OriginIp> { Ok(OriginIp::parse(text("origin_ip")?)?) };

    for switch in Switch::ALL {
        let get = SettingRequest::switch(zone, *switch);
        if get.descriptor().name == operation {
            return Ok(endpoint::encode(&get));
        }
        if SettingRequest::set_switch(zone, *switch, OnOff::Off).descriptor().name == operation {
            return Ok(endpoint::encode(&SettingRequest::set_switch(zone, *switch, value()?)));
        }
    }
    Ok(match operation {
        "purge_zone_cache" | "purge_environment_cache" => purge(Action::Purge, zone, arguments)?,
        "invalidate_zone_cache" | "invalidate_environment_cache" => {
            purge(Action::Invalidate, zone, arguments)?
        }
        "create_smart_tiered_cache" => {
            endpoint::encode(&SettingRequest::create_smart_tiered_cache(zone, value()?))
        }
        "delete_smart_tiered_cache" => endpoint::encode(&SettingRequest::delete_smart_tiered_cache(zone)),
        "get_cache_reserve_clear" => endpoint::encode(&GetCacheReserveClear::new(zone)),
        "clear_cache_reserve" => endpoint::encode(&ClearCacheReserve::new(zone)),
        "get_variants" => endpoint::encode(&SettingRequest::variants(zone)),
        "edit_variants" => {
            let variants = Variants::from_json(text("value")?)?;
            endpoint::encode(&SettingRequest::set_variants(zone, &variants))
        }
        "delete_variants" => endpoint::encode(&SettingRequest::delete_variants(zone)),
        "list_cloud_regions" => endpoint::encode(&ListCloudRegions::page(zone, page()?)),
        "get_cloud_region" => endpoint::encode(&GetCloudRegion::new(zone, &ip()?)),
        "set_cloud_region" => endpoint::encode(&SetCloudRegion::new(zone, &mapping(arguments)?)),
        "delete_cloud_region" => endpoint::encode(&DeleteCloudRegion::new(zone, &ip()?)),
        "set_cloud_regions" => {
            let items = arguments["items"].as_array().context("no argument `items`")?;
            let mappings: Vec<_> = items.iter().map(mapping).collect::<Result<_>>()?;
            endpoint::encode(&SetCloudRegions::new(zone, &mappings))
        }
        "delete_cloud_regions" => {
            let ips = arguments["ips"].as_array().context("no argument `ips`")?;
            let ips = ips.iter().map(|ip| Ok(OriginIp::parse(ip.as_str().context("no text")?)?));
            let ips: Vec<_> = ips.collect::<Result<_>>()?;
            endpoint::encode(&DeleteCloudRegions::new(zone, &ips))
        }
        "get_cache_level" => endpoint::encode(&SettingRequest::cache_level(zone)),
        "edit_cache_level" => {
            endpoint::encode(&SettingRequest::set_cache_level(zone, text("value")?.parse()?))
        }
        "get_browser_cache_ttl" => endpoint::encode(&SettingRequest::browser_cache_ttl(zone)),
        "edit_browser_cache_ttl" => {
            let seconds = arguments["value"].as_u64().context("no argument `value`")?.try_into()?;
            endpoint::encode(&SettingRequest::set_browser_cache_ttl(zone, seconds))
        }
        "list_supported_regions" => endpoint::encode(&ListSupportedRegions::new(zone)),
        "list_zones" => match arguments["name"].as_str() {
            Some(name) => endpoint::encode(&ListZones::named(name)),
            None => endpoint::encode(&ListZones::page(page()?)),
        },
        "get_zone" => endpoint::encode(&GetZone::new(zone)),
        "list_environments" => endpoint::encode(&ListEnvironments::new(zone)),
        "verify_token" => endpoint::encode(&VerifyToken::for_user()),
        "verify_account_token" => {
            let account = AccountId::parse(text("account")?)?;
            endpoint::encode(&VerifyToken::for_account(&account))
        }
        _ => bail!("how the model writes `{operation}` is not said in xtask/src/conformance.rs"),
    })
}

fn purge(action: Action, zone: &ZoneId, arguments: &Value) -> Result<Parts> {
    let body: PurgeBody = serde_json::from_str(arguments["body"].as_str().context("no argument `body`")?)?;
    let request = PurgeCache::new(action, zone, &body);
    match arguments["environment"].as_str() {
        None => Ok(endpoint::encode(&request)),
        Some(environment) => {
            let environment = EnvironmentId::parse(environment)?;
            Ok(endpoint::encode(&request.with_environment(&environment)))
        }
    }
}

fn mapping(arguments: &Value) -> Result<CloudRegion> {
    let text = |name: &str| arguments[name].as_str().with_context(|| format!("no `{name}`"));
    Ok(CloudRegion::new(text("origin_ip")?, text("vendor")?, text("region")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_seen() {
        let path = "/zones/023e105f4ecef8ad9ca31a8372d0c353/argo/tiered_caching";
        let on = r#"{"value":"on"}"#;
        let rows: [(&str, &str, Option<&str>, &[&str]); 5] = [
            ("PATCH", path, Some(on), &[]),
            ("PATCH", path, Some(r#"{"value":"off"}"#), &["body"]),
            ("PATCH", path, None, &["body"]),
            ("PUT", path, Some(on), &["method"]),
            ("POST", "/zones", Some(on), &["method", "path"]),
        ];
        for (method, path, body, expected) in rows {
            let line = serde_json::json!({ "method": method, "path": path, "body": body });
            let line = Line::read(&line.to_string()).unwrap();
            let parts = model("edit_tiered_caching", &serde_json::from_str(on).unwrap()).unwrap();
            let found: Vec<_> = line.differences(&parts).into_iter().map(|(part, ..)| part).collect();
            assert_eq!(found, expected, "{method} {path} {body:?}");
        }
    }

    #[test]
    fn every_endpoint_can_be_written() {
        let arguments = serde_json::json!({
            "body": "{\"tags\":[\"a\"]}", "value": "on", "page": 1, "origin_ip": "192.0.2.1", "vendor": "aws",
            "region": "us-east-1", "items": [], "ips": [], "account": "0000",
        });
        for endpoint in endpoint::all() {
            let mut arguments = arguments.clone();
            match endpoint.name {
                "edit_variants" => arguments["value"] = "{}".into(),
                "edit_cache_level" => arguments["value"] = "basic".into(),
                "edit_browser_cache_ttl" => arguments["value"] = 14400.into(),
                _ => {}
            }
            let parts = model(endpoint.name, &arguments).unwrap();
            assert_eq!(parts.method, endpoint.method, "{}", endpoint.name);
        }
        assert!(model("unknown", &arguments).is_err());
    }
}
