//! `GET /zones`, `GET /zones/{zone_id}` and `GET /zones/{zone_id}/environments`

use cfcache_model::Plan;
use cfcache_model::endpoint::MAX_ZONES_PER_PAGE;
use serde_json::json;

use crate::answer::{ApiResponse, quote};
use crate::behavior::{Call, page, switch};
use crate::route;
use crate::state::{State, Zone, ZoneSettings};

/// The account of all zones.
const ACCOUNT_ID: &str = "01a7362d577a6c3019a474fd6f485823";

/// The maximum number of zones on a page. The documented minimum is 5, but many published programs ask for 1 and get
/// it.
const MAX_PER_PAGE: usize = MAX_ZONES_PER_PAGE as usize;

pub(super) fn get(zone: &Zone, settings: &ZoneSettings, call: &Call<'_>) -> ApiResponse {
    ApiResponse::success(&zone_json(zone, settings, call))
}

/// Lists zones by name, status and account, in pages.
pub(super) fn list(state: &State, call: &Call<'_>) -> ApiResponse {
    let query = route::query(call.query);
    let asked = |name: &str| query.get(name).map(String::as_str);

    let mut filters: Vec<bool> = Vec::new();
    let any = asked("match") == Some("any");
    let mut found: Vec<&(Zone, ZoneSettings)> = Vec::new();
    for pair in &state.zones {
        let (zone, _) = pair;
        filters.clear();
        filters.extend(asked("name").map(|rule| name_matches(rule, &zone.name)));
        filters.extend(asked("status").map(|status| status == zone.status));
        filters.extend(asked("account.id").map(|id| id == ACCOUNT_ID));
        let fits = |fit: &bool| *fit;
        if filters.is_empty() || if any { filters.iter().any(fits) } else { filters.iter().all(fits) } {
            found.push(pair);
        }
    }
    match asked("order") {
        Some("name") => found.sort_by(|(left, _), (right, _)| left.name.cmp(&right.name)),
        Some("status") => found.sort_by(|(left, _), (right, _)| left.status.cmp(&right.status)),
        // All zones have the same account and plan.
        _ => {}
    }
    if asked("direction") == Some("desc") {
        found.reverse();
    }

    page::answer(MAX_PER_PAGE, &query, &found, |(zone, settings)| zone_json(zone, settings, call))
}

pub(super) fn environments(zone: &Zone) -> ApiResponse {
    let list: Vec<String> = zone
        .environments
        .iter()
        .map(|environment| {
            format!(
                r#"{{"name":{},"ref":{},"version":0,"expression":{},"locked_on_deployment":false,"position":{}}}"#,
                quote(&environment.name),
                quote(&environment.id),
                quote(&environment.expression),
                environment.position
            )
        })
        .collect();
    ApiResponse::success(&format!(r#"{{"environments":[{}]}}"#, list.join(",")))
}

/// Returns whether a name matches a rule such as `example.com` or `starts_with:exam`.
///
/// Source of the rules: <https://developers.cloudflare.com/api/resources/zones/methods/list/>, 2026-10.
fn name_matches(rule: &str, name: &str) -> bool {
    let (operator, value) = rule.split_once(':').unwrap_or(("equal", rule));
    let (operator, exact) = match operator.strip_suffix("_case_sensitive") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let fold = |text: &str| if exact { text.to_owned() } else { text.to_lowercase() };
    let (name, value) = (fold(name), fold(value));
    match operator {
        "not_equal" => name != value,
        "starts_with" => name.starts_with(&value),
        "ends_with" => name.ends_with(&value),
        "contains" => name.contains(&value),
        _ => name == value,
    }
}

/// Returns a zone with every field that the reference and the vendor's typed SDKs require. Fields that the emulator
/// does not use have the values of the API's own examples.
fn zone_json(zone: &Zone, settings: &ZoneSettings, call: &Call<'_>) -> String {
    const DATE: &str = "2014-01-01T05:20:00.12345Z";
    let plan = call.config.plan;
    let (plan_id, plan_name) = plan_identity(plan);
    json!({
        "id": zone.id,
        "name": zone.name,
        "status": zone.status,
        "paused": false,
        "type": "full",
        "development_mode": switch::development_mode(settings, call.now).unwrap_or(0),
        "name_servers": ["bob.ns.cloudflare.com", "lola.ns.cloudflare.com"],
        "original_name_servers": null,
        "original_registrar": null,
        "original_dnshost": null,
        "activated_on": DATE,
        "created_on": DATE,
        "modified_on": DATE,
        "meta": {
            "cdn_only": false,
            "custom_certificate_quota": 1,
            "dns_only": false,
            "foundation_dns": false,
            "page_rule_quota": 100,
            "phishing_detected": false,
            "step": 2,
        },
        "owner": { "id": null, "type": "user", "email": null },
        "account": { "id": ACCOUNT_ID, "name": "Example Account" },
        "permissions": ["#cache_purge:edit", "#zone:read", "#zone_settings:edit", "#zone_settings:read"],
        "plan": {
            "id": plan_id,
            "name": plan_name,
            "price": 0,
            "currency": "USD",
            "frequency": "",
            "legacy_id": plan.as_str(),
            "is_subscribed": true,
            "can_subscribe": false,
        },
    })
    .to_string()
}

/// Returns the id and name of a plan. The id of Enterprise is in published answers; the others are placeholders.
const fn plan_identity(plan: Plan) -> (&'static str, &'static str) {
    match plan {
        Plan::Free => ("00000000000000000000000000000001", "Free Website"),
        Plan::Pro => ("00000000000000000000000000000002", "Pro Website"),
        Plan::Business => ("00000000000000000000000000000003", "Business Website"),
        _ => ("94f3b7b768b0458b56d2cac4fe5ec0f9", "Enterprise Website"),
    }
}
