//! The checkout: its files, its crates, and the commands that run in it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{Artifact, Message, Metadata, MetadataCommand, Package, Target};

/// The error of a step that needs a program which is not installed. `cargo xtask ci` skips the step, but fails in CI.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl std::error::Error for Missing {}

impl std::fmt::Display for Missing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Checks that a program is installed, by running a command that prints its version.
pub(crate) fn need(command: &[&str], install: &str) -> Result<()> {
    let is_here = Command::new(command[0]).args(&command[1..]).output();
    let is_here = is_here.is_ok_and(|output| output.status.success());
    ensure!(is_here, Missing(format!("`{}` does not run; to install it: {install}", command.join(" "))));
    Ok(())
}

/// Returns the root of the checkout: that of the running cargo, or else the one in which this program was built.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "cargo sets it to the folder of the crate")]
        let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR");
        let crate_folder = crate_folder.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        crate_folder.parent().map_or_else(|| crate_folder.clone(), Path::to_owned)
    });
    &ROOT
}

/// Reads a text file, with the line ends of the repository.
pub(crate) fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
    Ok(text.replace("\r\n", "\n"))
}

/// Returns the files that a git pathspec selects, sorted: committed files, and files that `git add` would add.
pub(crate) fn files(pathspec: &str) -> Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pathspec];
    let list = capture("git", &list)?;
    let files: BTreeSet<&str> =
        list.split_terminator('\0').filter(|path| root().join(path).is_file()).collect();
    Ok(files.into_iter().map(str::to_owned).collect())
}

/// Creates an empty folder.
pub(crate) fn empty_folder(path: PathBuf) -> Result<PathBuf> {
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

/// Creates a command that runs in the root of the checkout.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Creates a cargo command.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command("cargo");
    cargo.args(arguments);
    cargo
}

/// Formats a command for messages; of many arguments, only the first are shown.
fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let more = if words.len() > 20 { " …" } else { "" };
    format!("{}{more}", words[..words.len().min(20)].join(" "))
}

/// Prints and runs a command. Fails if the command fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(command)))?;
    ensure!(status.success(), "`{}` failed, {status}", shown(command));
    Ok(())
}

/// Runs a command, and returns its standard output. Its standard error is shown if it fails.
pub(crate) fn capture(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String> {
    output(command(program).args(arguments))
}

/// Runs a command, and returns its standard output. If it fails, the error contains both outputs.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run `{}`", shown(command)))?;
    let (stdout, stderr) = (String::from_utf8(output.stdout), String::from_utf8_lossy(&output.stderr));
    let stdout = stdout.with_context(|| format!("`{}` printed text that is not UTF-8", shown(command)))?;
    ensure!(output.status.success(), "`{}` failed, {}:\n{stdout}{stderr}", shown(command), output.status);
    Ok(stdout)
}

/// Returns cargo's metadata of the workspace, without dependencies.
pub(crate) fn metadata() -> Result<Metadata> {
    Ok(MetadataCommand::new().current_dir(root()).no_deps().exec()?)
}

/// Returns the crates of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    Ok(metadata()?.packages)
}

/// Returns a folder below cargo's target folder.
pub(crate) fn target(folder: &str) -> Result<PathBuf> {
    Ok(metadata()?.target_directory.join(folder).into())
}

pub(crate) fn is_published(package: &Package) -> bool {
    // `publish = false` is an empty list of registries.
    package.publish.is_none()
}

pub(crate) fn has_library(package: &Package) -> bool {
    package.targets.iter().any(Target::is_lib)
}

/// Returns a command for the cargo of the oldest compiler that the crates declare: the current one, or one of rustup's.
pub(crate) fn oldest_cargo() -> Result<Command> {
    let packages = packages()?;
    let version = packages.iter().filter_map(|package| package.rust_version.as_ref()).min();
    let version = version.context("no crate has a `rust-version`")?;
    let version = format!("{}.{}", version.major, version.minor);
    if capture("rustc", &["--version"])?.starts_with(&format!("rustc {version}.")) {
        return Ok(command("cargo"));
    }
    need(&["rustup", "run", &version, "cargo", "--version"], &format!("rustup toolchain install {version}"))?;
    let mut cargo = command("rustup");
    // These variables belong to the cargo that runs this program.
    cargo.args(["run", &version, "cargo"]).env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
    Ok(cargo)
}

/// Runs a cargo command that compiles, and returns all artifacts, including those that were up to date.
pub(crate) fn artifacts(cargo: &mut Command) -> Result<Vec<Artifact>> {
    println!("$ {}", shown(cargo));
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "`{}` failed, {}", shown(cargo), output.status);
    let messages = Message::parse_stream(&output.stdout[..]).map(|message| Ok(message?));
    let messages = messages.collect::<Result<Vec<_>>>()?.into_iter();
    Ok(messages
        .filter_map(|message| match message {
            Message::CompilerArtifact(artifact) => Some(artifact),
            _ => None,
        })
        .collect())
}

/// Arguments that make cargo print its artifacts, for [`artifacts`].
pub(crate) const REPORT_ARTIFACTS: [&str; 2] = ["--quiet", "--message-format=json-render-diagnostics"];

/// Runs `cargo build` for a binary, and returns its path.
pub(crate) fn build(build: &mut Command, binary: &str) -> Result<PathBuf> {
    for artifact in artifacts(build.args(REPORT_ARTIFACTS))? {
        if let Some(path) = artifact.executable
            && artifact.target.name == binary
            && !artifact.profile.test
        {
            return Ok(path.into());
        }
    }
    bail!("cargo built {binary} but did not report its path")
}

/// Builds `cfcache` for tests. It reuses the dependencies of `cargo test --workspace`: the whole workspace decides
/// about features, and an example enables those of the tests.
pub(crate) fn build_cfcache() -> Result<PathBuf> {
    build(&mut cargo(&["build", "--workspace", "--bin=cfcache", "--example=purge_body"]), "cfcache")
}
