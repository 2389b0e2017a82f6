//! The checkout: its files, and the commands that are run in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// The top of the checkout.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
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
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command and gives what it prints on standard output; standard error is shown where it fails.
pub(crate) fn capture<const N: usize>(program: &str, arguments: [&str; N]) -> Result<String> {
    let shown = || format!("{program} {}", arguments.join(" "));
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

/// Builds `cfcache` and says where it is.
pub(crate) fn build_cfcache(profile: Profile) -> Result<PathBuf> {
    let mut build = command("cargo");
    build.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    build.args(match profile {
        Profile::Tests => TEST_SELECTION,
        Profile::Release => &["--package=cfcache-cli", "--bin=cfcache", "--release"],
    });
    built(build)
}

/// Runs a command that builds `cfcache` and prints messages in JSON, and says where that is.
pub(crate) fn built(mut build: Command) -> Result<PathBuf> {
    let output = build.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cfcache does not build");
    let executable = String::from_utf8_lossy(&output.stdout).lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "cfcache" && message["profile"]["test"] == false;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    match executable {
        Some(path) => Ok(path),
        None => bail!("cargo built cfcache and did not say where it is"),
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
