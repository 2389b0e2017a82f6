//! Builds a release below `target/dist`: archives, Debian packages and bills of materials, and their checksums.
//!
//! The same sources, compiler and date give the same bytes: files are sorted, have no owner, and have the time of
//! `SOURCE_DATE_EPOCH` or of the last commit. `cargo-deb` builds the package; its contents are listed in the manifest
//! of the binary's crate.

mod archive;
mod bill;
mod digests;
mod image;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::repo::{self, cargo};

pub(crate) use digests::{component, digests};

/// A binary that is released.
#[derive(Debug)]
pub(crate) struct Product {
    package: &'static str,
    pub(crate) binary: &'static str,
    is_for_windows: bool,
    /// Files of the repository that are added to the archive.
    documents: &'static [&'static str],
}

pub(crate) const PRODUCTS: [Product; 2] = [
    Product {
        package: "cfcache-cli",
        binary: "cfcache",
        is_for_windows: true,
        documents: &["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"],
    },
    Product {
        package: "cfcache-queue",
        binary: "cfcache-queue",
        is_for_windows: false,
        documents: &[
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "docs/queue.md",
            "docs/queue/alerts.yml",
            "docs/queue/cfcache-queue.service",
            "docs/queue/grafana.json",
        ],
    },
];

/// The name of the completion file of `cfcache` for each shell.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "cfcache.bash"),
    ("zsh", "_cfcache"),
    ("fish", "cfcache.fish"),
    ("powershell", "_cfcache.ps1"),
    ("elvish", "cfcache.elv"),
];

/// Builds a release for a target, or for this machine; then it also runs the static binaries in their images.
pub(crate) fn run(target: Option<&str>, is_run: bool) -> Result<()> {
    let host = host()?;
    let target = target.unwrap_or(&host);
    let folder = repo::empty_folder(repo::target("dist")?)?;
    let mut binaries = Vec::new();
    for product in PRODUCTS.iter().filter(|product| product.is_for_windows || !target.contains("windows")) {
        let binary = build(product, target)?;
        pack(product, &binary, target, &folder)?;
        binaries.push(binary);
    }
    archive::write_sums(&folder)?;
    for (name, _) in archive::sums(&folder)? {
        println!("{:>9} bytes  {name}", fs::metadata(folder.join(&name))?.len());
    }
    // The same architecture and system, with any C library.
    let machine = |triple: &str| triple.split('-').next().map(str::to_owned);
    if is_run && target.contains("linux") && host.contains("linux") && machine(target) == machine(&host) {
        image::run(&binaries)?;
    }
    Ok(())
}

/// Builds a release of the committed files in two clones concurrently, in folders with names of different lengths, and
/// compares the checksums. Then runs the binaries of the first in their images.
pub(crate) fn twice() -> Result<()> {
    let folder = repo::empty_folder(repo::target("dist-twice")?)?;
    let clones = [folder.join("one"), folder.join("another-folder/that-is-longer")];
    let mut running = Vec::new();
    for clone in &clones {
        repo::run(repo::command("git").args(["clone", "--quiet", "--no-hardlinks", "."]).arg(clone))?;
        // This program, for the clone. Each clone has a target folder of its own.
        let mut dist = Command::new(std::env::current_exe()?);
        dist.args(["dist", "--no-run"]).env("CARGO_MANIFEST_DIR", clone.join("xtask"));
        running.push(dist.env_remove("CARGO_TARGET_DIR").spawn().context("cannot run this program")?);
    }
    for (clone, mut dist) in clones.iter().zip(running) {
        ensure!(dist.wait()?.success(), "cannot pack in {}", clone.display());
    }
    let sums = |clone: &Path| fs::read_to_string(clone.join("target/dist/SHA256SUMS"));
    let (one, other) = (sums(&clones[0])?, sums(&clones[1])?);
    ensure!(!one.is_empty() && one == other, "the bytes differ between two folders:\n{one}\n{other}");
    println!("the bytes are the same in two folders:\n{one}");
    let release = clones[0].join("target").join(host()?).join("release");
    image::run(&PRODUCTS.map(|product| release.join(product.binary)))?;
    fs::remove_dir_all(&folder).context("cannot remove the two folders")
}

/// Builds the release binary for this machine, and copies it. It is a step of the images.
pub(crate) fn binary(name: &str, to: &Path) -> Result<()> {
    let product = PRODUCTS.iter().find(|product| product.binary == name).context("no such binary")?;
    let built = build(product, &host()?)?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(built, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

/// Returns the target of this machine.
fn host() -> Result<String> {
    let rustc = repo::capture("rustc", &["-vV"])?;
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not print the host")?;
    Ok(host.to_owned())
}

/// Packs a binary.
fn pack(product: &Product, binary: &Path, target: &str, folder: &Path) -> Result<()> {
    let packages = repo::packages()?;
    let package =
        packages.iter().find(|package| *package.name == product.package).context("no such crate")?;
    let name = format!("{}-{}-{target}", product.binary, package.version);
    let file_name = |path: &Path| path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
    let program = file_name(binary);
    let mut files = BTreeMap::from([(program.clone(), fs::read(binary)?)]);
    for document in product.documents {
        files.insert(file_name(Path::new(document)), repo::read(document)?.into_bytes());
    }
    if product.binary == "cfcache" {
        // Next to the binary, where `cargo-deb` finds them for every target.
        let pages = repo::empty_folder(binary.with_file_name("dist"))?;
        let completions = repo::empty_folder(pages.join("completions"))?;
        for (shell, file) in COMPLETIONS {
            fs::write(completions.join(file), repo::capture(binary, &["completions", shell])?)?;
        }
        repo::run(Command::new(binary).args(["--quiet", "man"]).arg(pages.join("man/man1")))?;
        for below in ["completions", "man/man1"] {
            for entry in fs::read_dir(pages.join(below))?.collect::<Result<Vec<_>, _>>()? {
                let path = entry.path();
                files.insert(format!("{below}/{}", file_name(&path)), fs::read(&path)?);
                if below == "man/man1" {
                    archive::compress(&path)?;
                }
            }
        }
    }
    let epoch = epoch()?;
    archive::write(&folder.join(format!("{name}.tar.gz")), &name, &files, &program, epoch)?;
    fs::write(folder.join(format!("{name}.cdx.json")), bill::bill_of_materials(product.package, target)?)?;
    if target.contains("linux") {
        let mut deb = cargo(&["deb", "--quiet", "--no-build", "--no-strip", "--no-dbgsym"]);
        deb.args(["--package", product.package, "--target", target, "--output"]).arg(folder);
        repo::run(deb.env("SOURCE_DATE_EPOCH", epoch.to_string()))
            .context("the Debian package needs cargo-deb (cargo install --locked cargo-deb@3.8.0)")?;
    }
    Ok(())
}

/// Returns the date of all files, as in <https://reproducible-builds.org/specs/source-date-epoch/>.
fn epoch() -> Result<u64> {
    #[expect(clippy::disallowed_methods, reason = "the variable contains the date")]
    let given = std::env::var("SOURCE_DATE_EPOCH");
    let epoch = match given {
        Ok(epoch) => epoch,
        Err(_) => repo::capture("git", &["log", "-1", "--format=%ct"])
            .context("without git, SOURCE_DATE_EPOCH must be set")?,
    };
    epoch.trim().parse().with_context(|| format!("`{}` is not a number of seconds", epoch.trim()))
}

/// Builds a release binary without the names of local folders in it. For Linux, the binary is static.
fn build(product: &Product, target: &str) -> Result<PathBuf> {
    let mut flags = vec![format!("--remap-path-prefix={}=cfcache", repo::root().display())];
    // The folder with the sources of other crates.
    let options = ["--locked".to_owned(), format!("--filter-platform={target}")];
    let metadata = MetadataCommand::new().current_dir(repo::root()).other_options(options).exec()?;
    let registry = metadata.packages.iter().find(|package| package.source.is_some());
    if let Some(registry) = registry.and_then(|package| package.manifest_path.ancestors().nth(2)) {
        flags.push(format!("--remap-path-prefix={registry}=registry"));
    }
    if target.contains("linux") {
        flags.push("-Ctarget-feature=+crt-static".to_owned());
    }
    let mut build = cargo(&["build", "--locked", "--release", "--target", target]);
    build.args(["--package", product.package, "--bin", product.binary]);
    repo::build(build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")), product.binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binstall_metadata_names_the_release_archives() {
        for package in repo::packages().unwrap() {
            let Some(product) = PRODUCTS.iter().find(|product| *package.name == product.package) else {
                continue;
            };
            let binstall = &package.metadata["binstall"];
            let version = package.version.to_string();
            let text = |key: &str| {
                [
                    ("repo", "REPO"),
                    ("version", &version),
                    ("target", "TARGET"),
                    ("bin", product.binary),
                    ("binary-ext", ""),
                ]
                .iter()
                .fold(binstall[key].as_str().unwrap().to_owned(), |all, (key, value)| {
                    all.replace(&format!("{{ {key} }}"), value)
                })
            };
            let name = format!("{}-{version}-TARGET", product.binary);
            assert_eq!(text("pkg-url"), format!("REPO/releases/download/v{version}/{name}.tar.gz"));
            assert_eq!(text("bin-dir"), format!("{name}/{}", product.binary));
            assert_eq!(text("pkg-fmt"), "tgz");
        }
    }
}
