//! What a release is made of: for each binary an archive, a Debian package and a bill of materials, and checksums of all
//! of them, below `target/dist`.
//!
//! The same sources, compiler and date give the same bytes: files are sorted, belong to nobody, and are as old as
//! `SOURCE_DATE_EPOCH` says, or the last commit. The package takes `cargo-deb`, and its contents are in the manifest of
//! the binary's crate.

mod archive;
mod bill;
mod container;
mod digests;
mod proof;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::repo;

pub(crate) use container::binary;
pub(crate) use digests::{component, digests};
pub(crate) use proof::twice;

/// A binary that is released.
#[derive(Debug)]
struct Product {
    package: &'static str,
    binary: &'static str,
    is_for_windows: bool,
    /// Whether it prints its completions and man pages.
    prints_pages: bool,
    /// What goes along as it is, from the top of the repository.
    papers: &'static [&'static str],
    /// Shows that the static binary works where there is nothing else; told where `cfcache` is, for its emulator.
    proof: fn(&Path, &Path) -> Result<()>,
    /// What is run in its image.
    trial: &'static [&'static str],
}

const PRODUCTS: &[Product] = &[
    Product {
        package: "cfcache-cli",
        binary: "cfcache",
        is_for_windows: true,
        prints_pages: true,
        papers: &["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"],
        proof: |cfcache, _| proof::purges_in_an_empty_root(cfcache),
        trial: &["--emulator", "purge", "urls", "https://www.example.com/a"],
    },
    Product {
        package: "cfcache-queue",
        binary: "cfcache-queue",
        is_for_windows: false,
        prints_pages: false,
        papers: &[
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "docs/queue.md",
            "docs/queue/alerts.yml",
            "docs/queue/cfcache-queue.service",
            "docs/queue/grafana.json",
        ],
        proof: proof::queues_in_an_empty_root,
        trial: &["push", "urls", "--zone", crate::bench::ZONE, "https://www.example.com/a"],
    },
];

/// What a shell calls a file with completions.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "cfcache.bash"),
    ("zsh", "_cfcache"),
    ("fish", "cfcache.fish"),
    ("powershell", "_cfcache.ps1"),
    ("elvish", "cfcache.elv"),
];

/// Builds and packs for a target, or for this machine.
pub(crate) fn run(target: Option<&str>) -> Result<()> {
    let host = &host()?;
    let target = target.unwrap_or(host);
    let epoch = epoch()?;
    let folder = repo::target()?.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot clear target/dist")?;
    }
    fs::create_dir_all(&folder).context("cannot make target/dist")?;
    let mut cfcache = None;
    for product in PRODUCTS.iter().filter(|product| product.is_for_windows || !target.contains("windows")) {
        let binary = build(product, target)?;
        let cfcache = cfcache.get_or_insert_with(|| binary.clone());
        // The same machine and system, whichever C library.
        let machine = |triple: &str| triple.split('-').next().map(str::to_owned);
        if target.contains("linux") && host.contains("linux") && machine(target) == machine(host) {
            (product.proof)(&binary, cfcache)?;
            container::runs(product, &binary)?;
        }
        pack(product, &binary, target, &epoch, &folder)?;
    }
    archive::write_sums(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            println!("{:>9} bytes  {}", entry.metadata()?.len(), entry.path().display());
        }
    }
    Ok(())
}

/// The target that this machine is.
fn host() -> Result<String> {
    let rustc = repo::capture("rustc", ["-vV"])?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

/// Packs a binary.
fn pack(product: &Product, binary: &Path, target: &str, epoch: &str, folder: &Path) -> Result<()> {
    let name = format!("{}-{}-{target}", product.binary, version(product)?);
    let layout = folder.join(&name);
    fs::create_dir_all(&layout)?;
    let program = binary.file_name().context("the binary has no name")?;
    fs::copy(binary, layout.join(program))?;
    for paper in product.papers {
        let file = Path::new(paper).file_name().context("a paper has no name")?;
        fs::copy(repo::root().join(paper), layout.join(file))
            .with_context(|| format!("cannot copy {paper}"))?;
    }
    if product.prints_pages {
        fs::create_dir_all(layout.join("completions"))?;
        for (shell, file) in COMPLETIONS {
            let script = repo::capture(binary, ["completions", shell])?;
            fs::write(layout.join("completions").join(file), script)?;
        }
        succeed(Command::new(binary).args(["--quiet", "man"]).arg(layout.join("man/man1")))?;
        // Beside the binary, which is where `cargo-deb` finds them whatever the target.
        let parts = binary.with_file_name("dist");
        if parts.exists() {
            fs::remove_dir_all(&parts)?;
        }
        archive::copy(&layout, &parts)?;
        archive::pack_pages(&parts.join("man/man1"))?;
    }
    fs::write(folder.join(format!("{name}.cdx.json")), bill::of_materials(product.package, target)?)?;
    archive::write(&layout, Path::new(program), epoch.parse()?)?;

    if target.contains("linux") {
        let mut deb = repo::command("cargo");
        deb.args(["deb", "--quiet", "--no-build", "--no-strip", "--no-dbgsym"]);
        deb.args(["--package", product.package, "--target", target, "--output"]).arg(folder);
        succeed(deb.env("SOURCE_DATE_EPOCH", epoch))
            .context("the Debian package takes cargo-deb (cargo install --locked cargo-deb@3.8.0)")?;
    }
    Ok(())
}

/// The version of a product.
fn version(product: &Product) -> Result<String> {
    let packages = repo::packages()?;
    let package = packages.into_iter().find(|package| package.name == product.package);
    Ok(package.with_context(|| format!("there is no crate {}", product.package))?.version)
}

/// The date of everything, as <https://reproducible-builds.org/specs/source-date-epoch/> has it.
fn epoch() -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "that is where the date is given")]
    let given = std::env::var("SOURCE_DATE_EPOCH");
    let epoch = match given {
        Ok(epoch) => epoch,
        Err(_) => repo::capture("git", ["log", "-1", "--format=%ct"])
            .context("without git, the date is what SOURCE_DATE_EPOCH says")?,
    };
    let epoch = epoch.trim().to_owned();
    ensure!(epoch.parse::<u64>().is_ok(), "`{epoch}` is no number of seconds");
    Ok(epoch)
}

/// Builds for release, without the names of this machine's folders in the binary; for Linux, with all libraries in it.
fn build(product: &Product, target: &str) -> Result<PathBuf> {
    println!("$ cargo build --locked --release --package {} --target {target}", product.package);
    let metadata = repo::capture("cargo", ["metadata", "--format-version=1", "--locked"])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let mut flags = format!("--remap-path-prefix={}=cfcache", repo::root().display());
    if let Some(registry) = registry(&metadata) {
        flags.push_str(&format!("\u{1f}--remap-path-prefix={}=registry", registry.display()));
    }
    if target.contains("linux") {
        flags.push_str("\u{1f}-Ctarget-feature=+crt-static");
    }
    let mut build = repo::command("cargo");
    build.args(["build", "--locked", "--release", "--package", product.package, "--bin", product.binary]);
    build.args(["--target", target, "--quiet", "--message-format=json-render-diagnostics"]);
    repo::built(build.env("CARGO_ENCODED_RUSTFLAGS", flags), product.binary)
}

/// The folder that cargo keeps sources of other crates in.
fn registry(metadata: &Value) -> Option<&Path> {
    let is_registry = |folder: &&Path| {
        let mut parts = folder.iter().rev().skip(1);
        parts.next().is_some_and(|part| part == "src") && parts.next().is_some_and(|part| part == "registry")
    };
    let packages = metadata["packages"].as_array()?.iter();
    let manifests = packages.filter_map(|package| package["manifest_path"].as_str()).map(Path::new);
    manifests.filter_map(|path| path.parent()?.parent()).find(is_registry)
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} failed, {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binstall_looks_for_the_archives_that_are_made() {
        let packages = repo::packages().unwrap();
        for product in PRODUCTS {
            let package = packages.iter().find(|package| package.name == product.package).unwrap();
            let binstall = &package.metadata["metadata"]["binstall"];
            let text = |key: &str| {
                let template = binstall[key].as_str().unwrap_or_else(|| panic!("{}: {key}", product.package));
                let values = [
                    ("repo", "REPO"),
                    ("version", &package.version[..]),
                    ("target", "TARGET"),
                    ("bin", product.binary),
                    ("binary-ext", ""),
                ];
                values.iter().fold(template.to_owned(), |all, (key, value)| {
                    all.replace(&format!("{{ {key} }}"), value)
                })
            };
            let name = format!("{}-{}-TARGET", product.binary, package.version);
            assert_eq!(text("pkg-url"), format!("REPO/releases/download/v{}/{name}.tar.gz", package.version));
            assert_eq!(text("bin-dir"), format!("{name}/{}", product.binary));
            assert_eq!(text("pkg-fmt"), "tgz");
        }
    }

    #[test]
    fn papers_of_a_release_exist_and_have_names_of_their_own() {
        for product in PRODUCTS {
            let mut names = std::collections::BTreeSet::new();
            for paper in product.papers {
                assert!(repo::root().join(paper).is_file(), "{paper}");
                assert!(names.insert(Path::new(paper).file_name()), "{paper}");
            }
        }
    }
}
