//! The input of commands for settings: addresses, variants and mappings, from arguments or a file.

use core::net::IpAddr;
use std::path::Path;

use cfcache_model::InvalidInput;
use cfcache_model::endpoint::{CloudRegion, MAX_REGIONS_PER_ZONE, Variants, parse_origin_ip};

use crate::failure::Failure;
use crate::secret::{bare, may_be_secret, shown_path};
use crate::{secret, whole};

/// Parses the address of an origin.
///
/// # Errors
///
/// [`Failure`] if the text is not an address. A text that may be a token is not shown.
pub fn origin_ip(text: &str) -> Result<IpAddr, Failure> {
    no_secret(text, "an address")?;
    parse_origin_ip(text).map_err(|invalid| Failure::usage(invalid.to_string()))
}

/// Reads addresses from the command line and a file, without duplicates. Every invalid one is reported with its line.
///
/// # Errors
///
/// [`Failure`] if the file cannot be read, if an address is invalid, or if there is none.
pub fn addresses(ips: &[String], from: Option<&Path>) -> Result<Vec<IpAddr>, Failure> {
    let mut entries: Vec<(String, String)> =
        (1..).zip(ips).map(|(number, ip)| (format!("argument {number}"), ip.clone())).collect();
    if let Some(path) = from {
        let (text, name) = (read_text(path)?, shown(path));
        if text.trim_start().starts_with('[') {
            let array: Vec<String> = serde_json::from_str(&text).map_err(|error| {
                Failure::usage(format!("`{name}` is not a JSON array of addresses: {error}"))
            })?;
            entries.extend((1..).zip(array).map(|(number, ip)| (format!("{name}, element {number}"), ip)));
        } else {
            let lines = (1..).zip(text.lines());
            let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
            entries.extend(lines.map(|(number, line)| (format!("{name}:{number}"), line.trim().to_owned())));
        }
    }
    // In the order of their texts.
    let (mut addresses, mut complaints) = (std::collections::BTreeMap::new(), Vec::new());
    for (origin, ip) in &entries {
        match parse_origin_ip(ip) {
            Ok(ip) => {
                addresses.insert(ip.to_string(), ip);
            }
            Err(invalid) => complaints.push(format!("{origin}: {invalid}")),
        }
    }
    if !complaints.is_empty() {
        let mut failure = Failure::usage("some of these are not addresses; nothing was sent");
        let hidden = complaints.len().saturating_sub(100);
        failure.causes = complaints.into_iter().take(100).collect();
        if hidden > 0 {
            failure.causes.push(format!("… and {hidden} more"));
        }
        return Err(failure);
    }
    if addresses.is_empty() {
        return Err(Failure::usage("there is no address to delete; nothing was sent"));
    }
    Ok(addresses.into_values().collect())
}

/// Refuses a text that may be a token, without showing it.
///
/// # Errors
///
/// [`Failure`], which names the expected `noun`.
pub fn no_secret(text: &str, noun: &str) -> Result<(), Failure> {
    if may_be_secret(text) {
        return Err(Failure::usage(format!("not {noun}: {}", secret::shown(text))));
    }
    Ok(())
}

/// Reads a file with the JSON `value` of variants.
///
/// # Errors
///
/// [`Failure`] if it cannot be read, is invalid, or contains none.
pub fn variants_of_file(path: &Path) -> Result<Variants, Failure> {
    let text = read_text(path)?;
    let name = format!("`{}`", shown(path));
    let variants = Variants::from_json(&text).map_err(|invalid| invalid_variants(&invalid, &name))?;
    if variants.is_empty() {
        Err(Failure::usage(format!("{name} contains no variants"))
            .with_hint("use `cfcache variants delete` to delete all"))
    } else {
        Ok(variants)
    }
}

/// Parses variants, each written as `EXT=MIME[,MIME]`.
///
/// # Errors
///
/// [`Failure`] if one is invalid.
pub fn variants_of_rows(rows: &[String]) -> Result<Variants, Failure> {
    let mut variants = Variants::new();
    for row in rows {
        let Some((extension, types)) = row.split_once('=') else {
            return Err(Failure::usage(format!("{} has no `=`", cfcache_model::text::quote(row)))
                .with_hint("write variants as `jpeg=image/webp,image/avif`"));
        };
        variants = variants
            .with(extension, types.split(',').filter(|kind| !kind.is_empty()))
            .map_err(|invalid| invalid_variants(&invalid, &cfcache_model::text::quote(row)))?;
    }
    Ok(variants)
}

fn invalid_variants(invalid: &InvalidInput, origin: &str) -> Failure {
    let failure = Failure::usage(format!("{origin}: {invalid}"));
    match invalid.cure() {
        Some(cure) => failure.with_hint(cure),
        None => failure,
    }
}

/// Reads the mappings in a file. Every invalid one is reported with its line.
///
/// # Errors
///
/// [`Failure`] if the file cannot be read or is invalid, or if it contains none or too many.
pub fn mappings(path: &Path) -> Result<Vec<CloudRegion>, Failure> {
    let text = read_text(path)?;
    let text = text.as_str();
    let name = shown(path);
    let entries: Vec<(String, String)> = if text.trim_start().starts_with('[') {
        let array: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(text)
            .map_err(|error| Failure::usage(format!("`{name}` is not a JSON array: {error}")))?;
        array
            .iter()
            .enumerate()
            .map(|(index, raw)| (format!("{name}, element {}", index + 1), raw.get().to_owned()))
            .collect()
    } else {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(index, line)| (format!("{name}:{}", index + 1), line.trim().to_owned()))
            .collect()
    };
    let mut mappings: Vec<CloudRegion> = Vec::new();
    let mut places: std::collections::HashMap<IpAddr, String> = std::collections::HashMap::new();
    let mut complaints = Vec::new();
    for (origin, entry) in entries {
        match CloudRegion::parse(&entry) {
            Ok(mapping) => match places.get(&mapping.origin_ip()) {
                Some(before) => {
                    complaints
                        .push(format!("{origin}: `{}` is already mapped at {before}", mapping.origin_ip()));
                }
                None => {
                    places.insert(mapping.origin_ip(), origin);
                    mappings.push(mapping);
                }
            },
            Err(invalid) => complaints.push(format!("{origin}: {invalid}")),
        }
    }
    if !complaints.is_empty() {
        let mut failure = Failure::usage(format!("`{name}` has invalid mappings; nothing was sent"));
        let hidden = complaints.len().saturating_sub(100);
        failure.causes = complaints.into_iter().take(100).collect();
        if hidden > 0 {
            failure.causes.push(format!("… and {hidden} more"));
        }
        return Err(
            failure.with_hint("write an entry as `IP VENDOR REGION`, such as `192.0.2.1 aws us-east-1`")
        );
    }
    match mappings.len() {
        0 => Err(Failure::usage(format!("`{name}` contains no mapping; nothing was sent"))),
        count if count > MAX_REGIONS_PER_ZONE => Err(Failure::usage(format!(
            "`{name}` contains {count} mappings, but a zone can have at most {MAX_REGIONS_PER_ZONE}; nothing was sent",
        ))),
        _ => Ok(mappings),
    }
}

/// The name of a file; `-` is standard input.
fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        bare(&path.to_string_lossy()).to_string()
    }
}

/// Reads a file of settings; `-` is standard input.
fn read_text(path: &Path) -> Result<String, Failure> {
    whole::read_text(path, whole::MOST)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", shown_path(path))))
}
