//! The checkout: its files, and the commands that are run in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{fmt, fs};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The top of the checkout that cargo runs this for; without cargo, of the one that it was built in.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "cargo says so where the crate is")]
        let here = std::env::var_os("CARGO_MANIFEST_DIR");
        let here = here.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        here.parent().map_or_else(|| here.clone(), Path::to_owned)
    });
    &ROOT
}

/// Reads a text file, with line ends as they are in the repository.
pub(crate) fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
    Ok(text.replace("\r\n", "\n"))
}

/// The files of the repository, sorted, with `/` between folders: what is committed, and what `git add` would add.
///
/// A checkout without git, such as an unpacked archive, is walked, and everything but build output counts.
pub(crate) fn files() -> Result<Vec<String>> {
    let mut files = if root().join(".git").exists() {
        let list = capture("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let exists = |path: &&str| root().join(path).is_file();
        list.split_terminator('\0').filter(exists).map(str::to_owned).collect()
    } else {
        let mut files = Vec::new();
        walk(root(), &mut files)?;
        files
    };
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// The files below a folder of the checkout, whether git knows them or not.
pub(crate) fn files_below(folder: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let path = root().join(folder);
    if path.is_dir() {
        walk(&path, &mut files)?;
    }
    files.sort_unstable();
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            let path = path.strip_prefix(root())?;
            let parts: Vec<_> = path.iter().map(OsStr::to_string_lossy).collect();
            files.push(parts.join("/"));
        } else if !path.join("CACHEDIR.TAG").exists() {
            walk(&path, files)?;
        }
    }
    Ok(())
}

/// A command that runs at the top of the checkout.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command and gives what it prints on standard output; standard error is shown where it fails.
pub(crate) fn capture<const N: usize>(program: impl AsRef<OsStr>, arguments: [&str; N]) -> Result<String> {
    let program = program.as_ref();
    let shown = || format!("{} {}", program.display(), arguments.join(" "));
    let output =
        command(program).args(arguments).output().with_context(|| format!("cannot run `{}`", shown()))?;
    ensure!(
        output.status.success(),
        "`{}` failed, {}:\n{}",
        shown(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", shown()))
}

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Its folder in the checkout: `crates/cfcache-model`.
    pub(crate) folder: String,
    /// The oldest compiler that it declares.
    pub(crate) rust_version: Option<String>,
    pub(crate) is_published: bool,
    pub(crate) has_library: bool,
    /// The rest of what cargo says.
    pub(crate) metadata: Value,
}

/// The crates of the workspace, sorted by name.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    packages.iter().map(Package::read).collect::<Option<_>>().context("cargo metadata has another format")
}

impl Package {
    fn read(metadata: &Value) -> Option<Self> {
        let text = |name: &str| metadata[name].as_str().map(str::to_owned);
        let manifest = text("manifest_path")?.replace('\\', "/");
        let root = root().to_str()?.replace('\\', "/");
        let is_library = |target: &Value| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib"))
        };
        Some(Self {
            name: text("name")?,
            version: text("version")?,
            folder: manifest
                .strip_prefix(&root)?
                .strip_suffix("/Cargo.toml")?
                .trim_start_matches('/')
                .to_owned(),
            rust_version: text("rust_version"),
            // `publish = false` is an empty list of registries.
            is_published: metadata["publish"].is_null(),
            has_library: metadata["targets"].as_array()?.iter().any(is_library),
            metadata: metadata.clone(),
        })
    }
}

impl Package {
    /// Whether it depends on another directly, in whatever way.
    pub(crate) fn depends_on(&self, name: &str) -> bool {
        let dependencies = self.metadata["dependencies"].as_array();
        dependencies.is_some_and(|list| list.iter().any(|dependency| dependency["name"] == name))
    }
}

/// The folder that cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target folder")?.into())
}

/// What cargo knows of the workspace, without its dependencies.
fn metadata() -> Result<Value> {
    let text = capture("cargo", ["metadata", "--no-deps", "--format-version=1"])?;
    serde_json::from_str(&text).context("cargo metadata printed no JSON")
}

/// A compiler: the one in use, or one that rustup has beside it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolchain(Option<String>);

impl Toolchain {
    /// Its cargo.
    pub(crate) fn cargo(&self) -> Command {
        let Some(name) = &self.0 else { return command("cargo") };
        let mut cargo = command("rustup");
        // What the cargo that runs this has set for its own compiler is not for another.
        cargo.args(["run", name, "cargo"]).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
        cargo
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(formatter, "cargo +{name}"),
            None => formatter.write_str("cargo"),
        }
    }
}

/// The compiler of the lowest version that a crate declares.
pub(crate) fn oldest_toolchain(packages: &[Package]) -> Result<Toolchain> {
    let number =
        |version: &&str| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let versions = packages.iter().filter_map(|package| package.rust_version.as_deref());
    let version = versions.min_by_key(number).context("no crate says which compiler it needs")?;
    let in_use = capture("rustc", ["--version"])?;
    if in_use.strip_prefix("rustc ").is_some_and(|found| is_version(found, version)) {
        return Ok(Toolchain(None));
    }
    let installed = capture("rustup", ["toolchain", "list"]).unwrap_or_default();
    let found = installed.lines().filter_map(|line| line.split_whitespace().next());
    match found.into_iter().find(|name| is_version(name, version)) {
        Some(name) => Ok(Toolchain(Some(name.to_owned()))),
        None => bail!(
            "Rust {version}, the oldest that the crates declare, is not here: rustup toolchain install {version}"
        ),
    }
}

/// Whether a name such as `1.89.0-x86_64-unknown-linux-gnu` begins with the version: `1.89`.
fn is_version(name: &str, version: &str) -> bool {
    name.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', ' ']))
}

/// Builds `cfcache` and says where it is.
pub(crate) fn build_cfcache(profile: Profile) -> Result<PathBuf> {
    let mut build = command("cargo");
    build.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    build.args(match profile {
        Profile::Tests => TEST_SELECTION,
        Profile::Release => &["--package=cfcache-cli", "--bin=cfcache", "--release"],
    });
    built(&mut build, "cfcache")
}

/// Runs a command that builds a binary and prints messages in JSON, and says where that is.
pub(crate) fn built(build: &mut Command, binary: &str) -> Result<PathBuf> {
    let output = build.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{binary} does not build");
    let executable = String::from_utf8_lossy(&output.stdout).lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == binary && message["profile"]["test"] == false;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    match executable {
        Some(path) => Ok(path),
        None => bail!("cargo built {binary} and did not say where it is"),
    }
}

/// What a binary is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests and pages.
    Tests,
    /// For speed.
    Release,
}

/// Selects the binary in such a way that cargo takes the dependencies which `cargo test --workspace` has built: the whole
/// workspace decides about features, and an example makes those of the tests count.
const TEST_SELECTION: &[&str] = &["--workspace", "--bin=cfcache", "--example=purge_body"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_found_by_its_version() {
        for (name, version, expected) in [
            ("1.89.0-x86_64-unknown-linux-gnu", "1.89", true),
            ("1.90-x86_64-unknown-linux-gnu", "1.90", true),
            ("1.91", "1.91", true),
            ("1.95.0 (59807616e 2026-04-14)", "1.95", true),
            ("1.89.0-x86_64-unknown-linux-gnu", "1.8", false),
            ("stable-x86_64-unknown-linux-gnu", "1.89", false),
        ] {
            assert_eq!(is_version(name, version), expected, "{name}");
        }
    }
}
