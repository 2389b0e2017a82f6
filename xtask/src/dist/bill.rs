//! The bill of materials: CycloneDX 1.6, from what cargo resolved and the lock file.
//!
//! The same sources give the same bytes: there is no serial number and no time in it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::repo;

/// What is in the binary for a target: the crates that are linked, or run to build it.
pub(super) fn of_materials(package: &str, target: &str) -> Result<String> {
    let filter = format!("--filter-platform={target}");
    let metadata = repo::capture("cargo", ["metadata", "--format-version=1", "--locked", &filter])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let by_id = |values: &Value| -> BTreeMap<String, Value> {
        let id = |value: &Value| value["id"].as_str().unwrap_or_default().to_owned();
        list(values).into_iter().map(|value| (id(&value), value)).collect()
    };
    let (packages, nodes) = (by_id(&metadata["packages"]), by_id(&metadata["resolve"]["nodes"]));
    let top = packages
        .values()
        .find(|found| found["name"] == package)
        .with_context(|| format!("there is no crate {package}"))?;
    let top = top["id"].as_str().unwrap_or_default();

    // Tests are left out, so what only they need is never reached.
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut open = vec![top];
    while let Some(id) = open.pop() {
        let node = nodes.get(id).with_context(|| format!("cargo resolved no {id}"))?;
        let is_used = |edge: &&Value| list(&edge["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev");
        let edges = node["deps"].as_array().into_iter().flatten().filter(is_used);
        let below: Vec<&str> = edges.filter_map(|edge| edge["pkg"].as_str()).collect();
        let references = below.iter().map(|id| purl(&packages[*id])).collect();
        if found.insert(id, references).is_none() {
            open.extend(below);
        }
    }
    let checksums = checksums(&repo::read("Cargo.lock")?);
    let component = |id: &&str| {
        let package = &packages[*id];
        let mut component = json!({
            "type": if *id == top { "application" } else { "library" },
            "bom-ref": purl(package), "purl": purl(package),
            "name": package["name"], "version": package["version"],
        });
        if let Some(license) = package["license"].as_str() {
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        if let Some(checksum) = checksums.get(&purl(package)) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        component
    };
    let sorted = |mut values: Vec<Value>, key: &str| {
        values.sort_by_key(|value| value[key].as_str().map(str::to_owned));
        values
    };
    let libraries = found.keys().filter(|id| **id != top).map(component).collect();
    let dependencies =
        found.iter().map(|(id, below)| json!({ "ref": purl(&packages[*id]), "dependsOn": below }));
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": { "component": component(&top) },
        "components": sorted(libraries, "bom-ref"),
        "dependencies": sorted(dependencies.collect(), "ref"),
    });
    Ok(format!("{bill:#}\n"))
}

/// The package as <https://github.com/package-url/purl-spec> names it.
fn purl(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

/// The checksums of a lock file by package.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let field = |entry: &str, name: &str| -> Option<String> {
        let value = entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
        Some(value.trim_end_matches('"').to_owned())
    };
    let entry = |entry: &str| {
        let (name, version) = (field(entry, "name")?, field(entry, "version")?);
        Some((format!("pkg:cargo/{name}@{version}"), field(entry, "checksum")?))
    };
    lock.split("[[package]]").filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_has_what_is_linked_with_its_checksum_and_not_what_tests_need() {
        let bill: Value =
            serde_json::from_str(&of_materials("cfcache-cli", "x86_64-unknown-linux-gnu").unwrap()).unwrap();
        let components = bill["components"].as_array().unwrap();
        let find = |name: &str| components.iter().find(|component| component["name"] == name);
        assert_eq!(find("hyper").unwrap()["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert!(find("cfcache-model").unwrap().get("hashes").is_none());
        assert!(find("insta").is_none() && find("windows-sys").is_none());
        let known = |reference: &Value| components.iter().any(|component| component["bom-ref"] == *reference);
        for dependency in bill["dependencies"].as_array().unwrap() {
            assert!(dependency["dependsOn"].as_array().unwrap().iter().all(known), "{dependency}");
        }
    }
}
