//! What a release is made of: an archive, a Debian package, and their checksums, below `target/dist`.
//!
//! The same sources, compiler and date give the same bytes: files are sorted, belong to nobody, and are as old as
//! `SOURCE_DATE_EPOCH` says, or the last commit. `tar`, `gzip`, `sha256sum` and `dpkg-deb` are those of the system.

mod debian;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::repo;

/// What a shell calls a file with completions, and what Debian's folder for it is.
const COMPLETIONS: [(&str, &str, Option<&str>); 5] = [
    ("bash", "cfcache.bash", Some("usr/share/bash-completion/completions/cfcache")),
    ("zsh", "_cfcache", Some("usr/share/zsh/vendor-completions/_cfcache")),
    ("fish", "cfcache.fish", Some("usr/share/fish/vendor_completions.d/cfcache.fish")),
    ("powershell", "_cfcache.ps1", None),
    ("elvish", "cfcache.elv", None),
];

/// What goes along as it is.
const PAPERS: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// What is being released.
struct Release {
    version: String,
    /// When, in seconds since 1970.
    epoch: String,
    /// The folder that all of it goes to.
    folder: PathBuf,
    /// The folder that becomes the archive.
    layout: PathBuf,
}

/// Builds and packs.
pub(crate) fn run() -> Result<()> {
    let metadata = repo::capture("cargo", ["metadata", "--format-version=1", "--locked"])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let version = version(&metadata).context("cargo metadata names no cfcache-cli")?;
    let rustc = repo::capture("rustc", ["-vV"])?;
    let target = rustc.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    let folder = Path::new(folder).join("dist");
    let layout = folder.join(format!("cfcache-{version}-{target}"));
    let release = Release { version, epoch: epoch()?, folder, layout };

    let cfcache = build(&metadata)?;
    if release.folder.exists() {
        fs::remove_dir_all(&release.folder).context("cannot clear target/dist")?;
    }
    release.lay_out(&cfcache)?;
    let mut made = vec![release.archive()?];
    match Command::new("dpkg-deb").arg("--version").output() {
        Ok(_) => made.push(debian::package(&release)?),
        Err(_) => println!("no Debian package: dpkg-deb is not here (on Debian: apt-get install dpkg)"),
    }
    release.sums(&made)?;
    for name in made {
        let size = fs::metadata(release.folder.join(&name))?.len();
        println!("{:>9} bytes  {}", size, release.folder.join(name).display());
    }
    Ok(())
}

fn version(metadata: &Value) -> Option<String> {
    let packages = metadata["packages"].as_array()?;
    let package = packages.iter().find(|package| package["name"] == "cfcache-cli")?;
    package["version"].as_str().map(str::to_owned)
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

/// Builds for release, without the names of this machine's folders in the binary.
fn build(metadata: &Value) -> Result<PathBuf> {
    println!("$ cargo build --locked --release --package cfcache-cli");
    let mut flags = format!("--remap-path-prefix={}=cfcache", repo::root().display());
    if let Some(registry) = registry(metadata) {
        flags.push_str(&format!("\u{1f}--remap-path-prefix={registry}=registry"));
    }
    let mut build = repo::command("cargo");
    build.args(["build", "--locked", "--release", "--package=cfcache-cli", "--bin=cfcache"]);
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

impl Release {
    /// Puts the files of the archive where they belong.
    fn lay_out(&self, cfcache: &Path) -> Result<()> {
        let at = |name: &str| self.layout.join(name);
        fs::create_dir_all(at("completions"))?;
        copy(cfcache, &at("cfcache"), 0o755)?;
        for name in PAPERS {
            copy(&repo::root().join(name), &at(name), 0o644)?;
        }
        let cfcache = at("cfcache");
        for (shell, name, _) in COMPLETIONS {
            let output = Command::new(&cfcache).args(["completions", shell]).output()?;
            ensure!(output.status.success(), "`cfcache completions {shell}` failed, {}", output.status);
            write(&at("completions").join(name), &output.stdout)?;
        }
        let mut man = Command::new(&cfcache);
        succeed(man.args(["--quiet", "man"]).arg(at("man/man1")))
    }

    /// Packs the folder.
    fn archive(&self) -> Result<String> {
        let name = name_of(&self.layout)?;
        let tar = format!("{name}.tar");
        let mut pack = Command::new("tar");
        pack.current_dir(&self.folder)
            .args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
            .args([
                "--mode=u+rw,go=rX",
                &format!("--mtime=@{}", self.epoch),
                &format!("--file={tar}"),
                &name,
            ]);
        succeed(&mut pack).context("the archive takes GNU tar")?;
        succeed(Command::new("gzip").current_dir(&self.folder).args([
            "--no-name",
            "--best",
            "--force",
            &tar,
        ]))?;
        Ok(format!("{tar}.gz"))
    }

    fn sums(&self, made: &[String]) -> Result<()> {
        let output = Command::new("sha256sum").current_dir(&self.folder).args(made).output();
        let output = output.context("cannot run sha256sum")?;
        ensure!(output.status.success(), "sha256sum failed, {}", output.status);
        write(&self.folder.join("SHA256SUMS"), &output.stdout)
    }
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).with_context(|| format!("{} has no name", path.display()))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let context = || format!("cannot copy {} to {}", from.display(), to.display());
    fs::copy(from, to).with_context(context)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(to, fs::Permissions::from_mode(mode)).with_context(context)?;
    }
    #[cfg(not(unix))]
    let _ = mode;
    Ok(())
}

/// Writes a file, and makes its folder.
fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} failed, {status}");
    }
    Ok(())
}
