//! Lists the functions that a purge of one URL runs, for `crates/cfcache-cli/build.rs`. The linker places them next to
//! each other, so that fewer pages of the program are mapped.
//!
//! An outdated list is harmless: the name of a function that no longer exists matches nothing.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::emulator::Emulator;
use crate::{TOKEN, ZONE, program};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/start.order");

/// Writes the list of functions in a profile of callgrind (Debian: valgrind). The binary needs symbols.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    let emulator = Emulator::start(cfcache, &[])?;
    let profile = cfcache.with_extension("callgrind");
    let mut valgrind = program(Path::new("valgrind"));
    valgrind
        .args(["--quiet", "--tool=callgrind", "--demangle=no"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(cfcache)
        .args([
            "--base-url",
            &emulator.base_url,
            "--zone",
            ZONE,
            "purge",
            "urls",
            "https://www.example.com/a",
        ])
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .stderr(Stdio::piped());
    let output = valgrind.output().context("cannot run valgrind (Debian: valgrind)")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a purge under valgrind failed, {}: {told}", output.status);
    let profile = std::fs::read_to_string(&profile).context("callgrind wrote no profile")?;
    let patterns = patterns(&functions(&profile, cfcache));
    ensure!(patterns.len() > 100, "callgrind saw {} functions: has the binary no symbols?", patterns.len());
    let list: String = patterns.iter().map(|pattern| format!("{pattern}\n")).collect();
    std::fs::write(LIST, list).with_context(|| format!("cannot write {LIST}"))?;
    println!("wrote {LIST}: {} functions", patterns.len());
    Ok(())
}

/// Returns the functions of a program in a profile of callgrind, which writes each name once and then a number for it:
/// <https://valgrind.org/docs/manual/cl-format.html>.
fn functions<'a>(profile: &'a str, program: &Path) -> BTreeSet<&'a str> {
    let mut names: HashMap<(&str, &str), &str> = HashMap::new();
    let (mut is_ours, mut functions) = (false, BTreeSet::new());
    for line in profile.lines() {
        let Some((key, value)) = line.split_once("=(") else { continue };
        let Some((number, name)) = value.split_once(')') else { continue };
        // A call contains the called function as `cob` and `cfn`, with the same numbers.
        let kind = key.strip_prefix('c').unwrap_or(key);
        let name = match name.strip_prefix(' ') {
            Some(name) => *names.entry((kind, number)).or_insert(name),
            None => names.get(&(kind, number)).copied().unwrap_or_default(),
        };
        match key {
            "ob" => is_ours = Path::new(name) == program,
            "fn" if is_ours => {
                functions.insert(name);
            }
            _ => {}
        }
    }
    functions
}

/// Returns patterns for the names, without the hashes that change with the compiler or the version of a crate.
fn patterns(functions: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut patterns = BTreeSet::new();
    for function in functions {
        // `_ZN…17h0123456789abcdefE`
        if let Some((path, _)) = function.rsplit_once("17h").filter(|_| function.starts_with("_ZN")) {
            patterns.insert(format!("{path}17h*"));
        } else if let Some(name) = function.strip_prefix("_R") {
            patterns.insert(format!("_R{}*", without_disambiguators(name)));
        }
    }
    patterns
}

/// Returns the name without the disambiguators of crate versions (`Cs…_` before a crate's name), and without additions
/// of the compiler or callgrind.
fn without_disambiguators(name: &str) -> String {
    let name = name.split(['.', '\'']).next().unwrap_or_default();
    let mut parts = name.split("Cs");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('_').filter(|(hash, _)| hash.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            Some((_, rest)) => kept.push_str(&format!("Cs*_{rest}")),
            None => kept.push_str(&format!("Cs{part}")),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_functions_of_the_program_without_hashes() {
        let profile = "\
ob=(1) /lib/ld.so
fn=(1) _dl_start
0 10
cob=(2) /target/cfcache
cfn=(2) _ZN7cfcache4main17h0123456789abcdefE
calls=1 0
ob=(2)
fn=(2)
0 5
cfn=(3) _RNvNtCsgEmfK2I1SDS_4core3fmt5write.123
fn=(4) _ZN4core3ptr13drop_in_place17h1123456789abcdefE.llvm.1
fn=(3)
fn=(5) main
ob=(1)
fn=(6) _ZN5other17h0123456789abcdefE
";
        let functions = functions(profile, Path::new("/target/cfcache"));
        assert_eq!(functions.len(), 4, "{functions:?}");
        let patterns: Vec<String> = patterns(&functions).into_iter().collect();
        assert_eq!(
            patterns,
            ["_RNvNtCs*_4core3fmt5write*", "_ZN4core3ptr13drop_in_place17h*", "_ZN7cfcache4main17h*"]
        );
    }
}
