//! The list of endpoints.

use anyhow::{Context as _, Result};
use cfcache_model::endpoint;

use crate::repo;

const LIST: &str = "crates/cfcache-model/src/endpoint.rs";
const FOLDER: &str = "crates/cfcache-model/src/endpoint/";

pub(super) fn every_endpoint_file_is_in_the_list() -> Result<Vec<String>> {
    let text = repo::read(LIST)?;
    let (_, list) =
        text.split_once("\nendpoints! {").with_context(|| format!("{LIST} has no `endpoints!`"))?;
    let list = list.split('}').next().unwrap_or_default();
    let listed: Vec<&str> = list.lines().filter_map(|line| line.trim().strip_suffix(';')).collect();
    let files = repo::files()?;
    let is_module = |path: &&String| path.starts_with(FOLDER) && !path[FOLDER.len()..].contains('/');
    let found: Vec<&str> =
        files.iter().filter(is_module).filter_map(|path| path[FOLDER.len()..].strip_suffix(".rs")).collect();
    let forgotten = found.iter().filter(|name| !listed.contains(name));
    let forgotten = forgotten.map(|name| format!("{FOLDER}{name}.rs is not in `endpoints!`"));
    let absent = listed.iter().filter(|name| !found.contains(name));
    Ok(forgotten.chain(absent.map(|name| format!("{FOLDER}{name}.rs does not exist"))).collect())
}

pub(super) fn method_and_path_are_unique() -> Result<Vec<String>> {
    let mut seen: Vec<(&str, &str, &str)> = Vec::new();
    let mut broken = Vec::new();
    for endpoint in endpoint::all() {
        let (name, method, path) = (endpoint.name, endpoint.method.as_str(), endpoint.path);
        if let Some((other, ..)) =
            seen.iter().find(|seen| seen.0 == name || (seen.1, seen.2) == (method, path))
        {
            broken.push(format!("{name} ({method} {path}) has the name, or the method and path, of {other}"));
        }
        seen.push((name, method, path));
    }
    Ok(broken)
}

pub(super) fn every_endpoint_has_a_success_and_a_refusal() -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for endpoint in endpoint::all() {
        let samples = (endpoint.samples)();
        let succeeds = |status: u16| (200..300).contains(&status);
        if !samples.iter().any(|sample| succeeds(sample.status)) {
            broken.push(format!("{} has no sample that succeeds", endpoint.name));
        }
        if samples.iter().all(|sample| succeeds(sample.status)) {
            broken.push(format!("{} has no sample that is refused", endpoint.name));
        }
        for (index, sample) in samples.iter().enumerate() {
            if samples[..index].iter().any(|other| other.name == sample.name) {
                broken.push(format!("{} has two samples `{}`", endpoint.name, sample.name));
            }
        }
    }
    Ok(broken)
}
