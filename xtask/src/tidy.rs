//! Checks rules of the tree that no other tool checks. `.deny.toml` lists which crate may depend on which.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::Package;

use crate::repo;

/// Forbidden text: the rule, then a pattern and files for `git grep`.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    (
        "clap stays in the file that defines the arguments",
        &[r"^([^/]|/[^/])*\bclap::", "crates/*/src/*.rs", ":!crates/*/src/args.rs"],
    ),
    (
        "clap_complete and clap_mangen stay in one file",
        &[r"\bclap_(complete|mangen)::", "crates/*/src/*.rs", ":!crates/cfcache-cli/src/command/generate.rs"],
    ),
    (
        "rustls stays in the files that make connections",
        &[
            r"^([^/]|/[^/])*\brustls::",
            "crates/*/src/*.rs",
            ":!crates/cfcache-transport/src/hyper/tls*",
            ":!crates/cfcache-queue/src/store/postgres/tls.rs",
        ],
    ),
    ("no test is ignored, and none expects a panic", &[r"^ *#\[(ignore|should_panic)", "*.rs"]),
    // A mirror replaces a registry, and a lock file needs neither.
    (
        "no file names the machine it was written on, or the host of a registry",
        &[
            r"(^|[^[:alnum:]._/-])/(work|root|home)/|/tmp/targe[t]\b|\b(index|static)[.]crates[.]io\b|\bfiles[.]pythonhosted[.]org\b|\bregistry[.]npmjs[.]org\b|\bdeb[.]debian[.]org\b",
        ],
    ),
];

/// Crates that do no IO and read no clock without their default features.
const WITHOUT_IO: [&str; 4] = ["cfcache-client", "cfcache-edge", "cfcache-model", "cfcache-probe"];

/// Crates that do IO. The crates above must not depend on them.
const IO: [&str; 8] = ["hyper", "hyper-rustls", "hyper-util", "mio", "ring", "rustls", "socket2", "tokio"];

/// Checks all rules, and lists violations.
pub(crate) fn run() -> Result<()> {
    let packages = repo::packages()?;
    let mut broken = Vec::new();
    for (rule, search) in FORBIDDEN {
        broken.extend(grep(&["-n"], search)?.into_iter().map(|line| format!("{rule}: {line}")));
    }
    broken.extend(missing_paths_in_docs()?);
    broken.extend(missing_wrappers(&packages)?);
    for package in packages.iter().filter(|package| WITHOUT_IO.contains(&package.name.as_str())) {
        broken.extend(io_dependencies(&package.name)?);
    }
    for package in packages.iter().filter(|package| repo::is_published(package)) {
        broken.extend(missing_on_crates_io(package)?);
    }
    ensure!(broken.is_empty(), "not tidy:\n  {}", broken.join("\n  "));
    println!("the tree is tidy");
    Ok(())
}

/// Returns the lines that `git grep` finds in text files that are committed or not ignored.
fn grep(options: &[&str], search: &[&str]) -> Result<Vec<String>> {
    let mut grep = repo::command("git");
    grep.args(["grep", "--untracked", "-IE"]).args(options).arg("-e").arg(search[0]).arg("--");
    let output = grep.args(&search[1..]).output().context("cannot run git")?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()),
        // No match.
        Some(1) => Ok(Vec::new()),
        _ => bail!("`git grep` failed: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Returns the paths in documentation, as code or as links, that do not exist.
fn missing_paths_in_docs() -> Result<Vec<String>> {
    let code = r"`(crates|docs|fixtures|xtask|[.]cargo|[.]ci|[.]config)/[[:alnum:]/._-]+(:[0-9]+)?`";
    let link = r"\]\([^)#: ]+[)#]";
    let mut missing = Vec::new();
    for (pattern, is_link) in [(code, false), (link, true)] {
        for found in grep(&["-no"], &[pattern, "*.md", ":!crates"])? {
            let (place, path) =
                found.rsplit_once(if is_link { "](" } else { ":`" }).context("git grep -no")?;
            let page = Path::new(place.split(':').next().unwrap_or_default());
            let path = path.trim_end_matches([')', '#', '`']).split(':').next().unwrap_or_default();
            let folder = page.parent().filter(|_| is_link).unwrap_or(Path::new(""));
            if !repo::root().join(folder).join(path).exists() {
                missing.push(format!("paths in pages exist: {place} {path}"));
            }
        }
    }
    Ok(missing)
}

fn depends_on(package: &Package, name: &str) -> bool {
    package.dependencies.iter().any(|dependency| dependency.name == name)
}

/// Returns crates on which other crates of the workspace depend, but which have no list in `.deny.toml`.
fn missing_wrappers(packages: &[Package]) -> Result<Vec<String>> {
    let deny_config = repo::read(".deny.toml")?;
    let is_open = |name: &&str| {
        packages.iter().any(|package| depends_on(package, name))
            && !deny_config.contains(&format!("{{ crate = \"{name}\", wrappers = "))
    };
    let names = packages.iter().map(|package| package.name.as_str());
    Ok(names.filter(is_open).map(|name| format!(".deny.toml says who may depend on {name}")).collect())
}

/// Returns dependencies of a crate without features that do IO.
fn io_dependencies(name: &str) -> Result<Vec<String>> {
    let tree = ["tree", "--package", name, "--no-default-features", "--edges=normal", "--prefix=none"];
    let tree = repo::capture("cargo", &tree)?;
    let names = tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| IO.contains(name));
    Ok(names.map(|io| format!("without features, {name} does not depend on {io}")).collect())
}

/// Returns metadata of a published crate that crates.io and docs.rs show and that is missing.
fn missing_on_crates_io(package: &Package) -> Result<Vec<String>> {
    let name = &package.name;
    let folder = package.manifest_path.parent().context("a manifest has no folder")?;
    let same = |file: &str| -> Result<bool> {
        Ok(fs::read(folder.join(file))
            .is_ok_and(|own| fs::read(repo::root().join(file)).is_ok_and(|top| own == top)))
    };
    let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let docs_have_features = package.metadata["docs"]["rs"]["all-features"] == true;
    let minimum = repo::read("Cargo.toml")?;
    let inherits = |version: &cargo_metadata::semver::Version| {
        minimum.contains(&format!("\nrust-version = \"{}.{}\"\n", version.major, version.minor))
    };
    let wanted = [
        ("`description`", package.description.is_some()),
        ("`license`", package.license.is_some()),
        ("`repository`", package.repository.is_some()),
        ("`documentation`", package.documentation.is_some()),
        ("1 to 5 `categories`", (1..=5).contains(&package.categories.len())),
        ("1 to 5 `keywords`", (1..=5).contains(&package.keywords.len())),
        ("the `rust-version` of the workspace", package.rust_version.as_ref().is_some_and(inherits)),
        (
            "`[package.metadata.docs.rs] all-features = true`",
            docs_have_features || !repo::has_library(package),
        ),
        ("a copy of LICENSE-APACHE", same("LICENSE-APACHE")?),
        ("a copy of LICENSE-MIT", same("LICENSE-MIT")?),
        ("a README.md that begins with its name", readme.starts_with(&format!("# {name}\n"))),
        ("no dependency on itself", !depends_on(package, name)),
    ];
    let missing = wanted.into_iter().filter(|(_, has_it)| !has_it);
    Ok(missing
        .map(|(what, _)| format!("a published crate has what crates.io shows: {name} lacks {what}"))
        .collect())
}
