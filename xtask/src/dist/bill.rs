//! Writes the bill of materials: CycloneDX 1.6, from `cargo tree` and the lock file.
//!
//! The same sources give the same bytes, because it contains no serial number and no time.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::repo;

/// Lists the crates that are linked into a package's binary for a target, or run to build it.
pub(super) fn bill_of_materials(package: &str, target: &str) -> Result<String> {
    let tree = ["tree", "--locked", "--package", package, "--target", target, "--edges=normal,build"];
    let tree = repo::capture("cargo", &[&tree[..], &["--prefix=depth", "--format=\t{p}\t{l}"]].concat())?;
    let lock = repo::read("Cargo.lock")?;
    let mut components = BTreeMap::new();
    let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The path from the root of the tree to the current line.
    let mut ancestors: Vec<String> = Vec::new();
    for line in tree.lines() {
        let parts = line.split('\t').collect::<Vec<_>>();
        let [depth, crate_and_version, license, ..] = parts[..] else {
            anyhow::bail!("`cargo tree` printed `{line}`");
        };
        let mut words = crate_and_version.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let version = version.trim_start_matches('v');
        let purl = format!("pkg:cargo/{name}@{version}");
        let depth: usize = depth.parse().context("`cargo tree` printed no depth")?;
        ancestors.truncate(depth);
        if let Some(parent) = ancestors.last() {
            dependencies.entry(parent.clone()).or_default().insert(purl.clone());
        }
        dependencies.entry(purl.clone()).or_default();
        ancestors.push(purl.clone());
        let mut component = json!({
            "type": if depth == 0 { "application" } else { "library" },
            "bom-ref": purl, "purl": purl, "name": name, "version": version,
        });
        // A package that was shown before ends with ` (*)`.
        let license = license.trim_end_matches(" (*)");
        if !license.is_empty() {
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        if let Some(checksum) = checksum(&lock, name, version) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        components.insert(purl, component);
    }
    let top = components.remove(ancestors.first().context("`cargo tree` printed nothing")?);
    let dependencies = dependencies.iter().map(|(purl, below)| json!({ "ref": purl, "dependsOn": below }));
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": { "component": top },
        "components": components.values().collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<Value>>(),
    });
    Ok(format!("{bill:#}\n"))
}

/// Returns the checksum of a package in a lock file.
fn checksum<'a>(lock: &'a str, name: &str, version: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \"{version}\"\n"))?;
    let entry = entry.split("[[package]]").next()?;
    entry.split_once("\nchecksum = \"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_linked_crates_with_checksums_but_no_dev_dependencies() {
        let bill: Value =
            serde_json::from_str(&bill_of_materials("cfcache-cli", "x86_64-unknown-linux-gnu").unwrap())
                .unwrap();
        assert_eq!(bill["metadata"]["component"]["name"], "cfcache-cli");
        let components = bill["components"].as_array().unwrap();
        let find = |name: &str| components.iter().find(|component| component["name"] == name);
        let hyper = find("hyper").unwrap();
        assert_eq!(hyper["hashes"][0]["content"].as_str().unwrap().len(), 64);
        assert_eq!(hyper["licenses"][0]["expression"], "MIT");
        assert!(find("cfcache-model").unwrap().get("hashes").is_none());
        assert!(find("insta").is_none() && find("windows-sys").is_none());
        let dependencies = bill["dependencies"].as_array().unwrap();
        assert_eq!(dependencies.len(), components.len() + 1);
        let transport =
            dependencies.iter().find(|from| from["ref"] == "pkg:cargo/cfcache-transport@0.1.0").unwrap();
        assert!(transport["dependsOn"].as_array().unwrap().contains(&hyper["bom-ref"]), "{transport}");
    }
}
