//! What a release is made of: an archive, a Debian package, a bill of materials and checksums, below `target/dist`.
//!
//! The same sources, compiler and date give the same bytes: files are sorted, belong to nobody, and are as old as
//! `SOURCE_DATE_EPOCH` says, or the last commit. `tar`, `gzip` and `sha256sum` are those of the system; the package takes
//! `cargo-deb`, and its contents are in the manifest of `cfcache-cli`.

mod bill;
mod proof;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::repo;

pub(crate) use proof::twice;

/// What a shell calls a file with completions.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "cfcache.bash"),
    ("zsh", "_cfcache"),
    ("fish", "cfcache.fish"),
    ("powershell", "_cfcache.ps1"),
    ("elvish", "cfcache.elv"),
];

/// What goes along as it is.
const PAPERS: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Builds and packs for a target, or for this machine.
pub(crate) fn run(target: Option<&str>) -> Result<()> {
    let rustc = repo::capture("rustc", ["-vV"])?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let target = target.unwrap_or(host);
    let packages = repo::packages()?;
    let package = packages.iter().find(|package| package.name == "cfcache-cli").context("no cfcache-cli")?;
    let epoch = epoch()?;
    let folder = repo::target()?.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot clear target/dist")?;
    }

    let cfcache = build(target)?;
    if target == host && target.contains("linux") {
        proof::runs_in_an_empty_root(&cfcache)?;
    }
    // Beside the binary, which is where `cargo-deb` finds them whatever the target.
    let parts = cfcache.with_file_name("dist");
    let name = format!("cfcache-{}-{target}", package.version);
    let layout = folder.join(&name);
    fs::create_dir_all(layout.join("completions"))?;
    fs::copy(&cfcache, layout.join("cfcache"))?;
    for paper in PAPERS {
        fs::copy(repo::root().join(paper), layout.join(paper))
            .with_context(|| format!("cannot copy {paper}"))?;
    }
    for (shell, file) in COMPLETIONS {
        let script = repo::capture(&cfcache, ["completions", shell])?;
        fs::write(layout.join("completions").join(file), script)?;
    }
    succeed(Command::new(&cfcache).args(["--quiet", "man"]).arg(layout.join("man/man1")))?;
    if parts.exists() {
        fs::remove_dir_all(&parts)?;
    }
    succeed(Command::new("cp").arg("-r").arg(&layout).arg(&parts))?;
    succeed(Command::new("gzip").args(["--no-name", "--best", "--recursive"]).arg(parts.join("man")))?;

    fs::write(folder.join(format!("{name}.cdx.json")), bill::of_materials(target)?)?;
    let mut tar = Command::new("tar");
    tar.current_dir(&folder).args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0"]);
    tar.args(["--numeric-owner", "--mode=u+rw,go=rX", "--use-compress-program=gzip --no-name --best"]);
    tar.args([format!("--mtime=@{epoch}"), format!("--file={name}.tar.gz"), name.clone()]);
    succeed(&mut tar).context("the archive takes GNU tar and gzip")?;

    if target.contains("linux") {
        let mut deb = repo::command("cargo");
        deb.args([
            "deb",
            "--quiet",
            "--no-build",
            "--no-strip",
            "--no-dbgsym",
            "--package=cfcache-cli",
            "--target",
            target,
        ]);
        succeed(deb.arg("--output").arg(&folder).env("SOURCE_DATE_EPOCH", &epoch))
            .context("the Debian package takes cargo-deb (cargo install --locked cargo-deb@3.8.0)")?;
    }
    sums(&folder)
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
fn build(target: &str) -> Result<PathBuf> {
    println!("$ cargo build --locked --release --package cfcache-cli --target {target}");
    let metadata = repo::capture("cargo", ["metadata", "--format-version=1", "--locked"])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let mut flags = format!("--remap-path-prefix={}=cfcache", repo::root().display());
    if let Some(registry) = registry(&metadata) {
        flags.push_str(&format!("\u{1f}--remap-path-prefix={registry}=registry"));
    }
    if target.contains("linux") {
        flags.push_str("\u{1f}-Ctarget-feature=+crt-static");
    }
    let mut build = repo::command("cargo");
    build.args([
        "build",
        "--locked",
        "--release",
        "--package=cfcache-cli",
        "--bin=cfcache",
        "--target",
        target,
    ]);
    build.args(["--quiet", "--message-format=json-render-diagnostics"]).env("CARGO_ENCODED_RUSTFLAGS", flags);
    repo::built(build)
}

/// The folder that cargo keeps sources of other crates in.
fn registry(metadata: &Value) -> Option<&str> {
    let paths =
        metadata["packages"].as_array()?.iter().filter_map(|package| package["manifest_path"].as_str());
    paths
        .filter_map(|path| path.match_indices('/').rev().nth(1).map(|(end, _)| &path[..end]))
        .find(|folder| folder.contains("/registry/src/"))
}

/// Writes `SHA256SUMS` of all files in the folder, and says what there is.
fn sums(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            println!("{:>9} bytes  {}", entry.metadata()?.len(), entry.path().display());
            files.push(entry.file_name());
        }
    }
    files.sort_unstable();
    let output =
        Command::new("sha256sum").current_dir(folder).args(files).output().context("cannot run sha256sum")?;
    ensure!(output.status.success(), "sha256sum failed, {}", output.status);
    fs::write(folder.join("SHA256SUMS"), output.stdout).context("cannot write SHA256SUMS")
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} failed, {status}");
    Ok(())
}
