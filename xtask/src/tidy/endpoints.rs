//! The list of endpoints.

use anyhow::Result;
use cfcache_model::endpoint;

pub(super) fn endpoints_are_unique_and_have_samples() -> Result<Vec<String>> {
    let mut seen: Vec<[String; 2]> = Vec::new();
    let mut broken = Vec::new();
    for endpoint in endpoint::all() {
        let keys = [endpoint.name.to_owned(), format!("{} {}", endpoint.method.as_str(), endpoint.path)];
        if seen.iter().any(|other| other[0] == keys[0] || other[1] == keys[1]) {
            broken.push(format!("{} has the name, or the method and path, of another", keys.join(", ")));
        }
        seen.push(keys);
        let samples = (endpoint.samples)();
        let successes = samples.iter().filter(|sample| (200..300).contains(&sample.status)).count();
        if successes == 0 || successes == samples.len() {
            broken.push(format!("{} has no sample that succeeds, or none that is refused", endpoint.name));
        }
        let is_double = |index: usize| samples[..index].iter().any(|other| other.name == samples[index].name);
        if (0..samples.len()).any(is_double) {
            broken.push(format!("{} has two samples of one name", endpoint.name));
        }
    }
    Ok(broken)
}
