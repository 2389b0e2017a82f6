//! Installs tools of other registries, only below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::repo;

/// Installs an npm package into a folder, unless it is already there, and returns the package's folder.
pub(crate) fn npm(folder: &str, package: &str) -> Result<PathBuf> {
    repo::need(&["npm", "--version"], "apt-get install nodejs npm (Debian)")?;
    let folder = repo::target(folder)?;
    once(&folder, package, || {
        let mut install = repo::command("npm");
        install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", package]);
        repo::run(install.current_dir(&folder).stdout(Stdio::null()))
            .context("check that a package registry can be reached")
    })?;
    let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
    Ok(folder.join("node_modules").join(name))
}

/// Creates a Python environment in a folder with the packages of a requirements file, unless it is already there, and
/// returns the folder of its programs.
pub(crate) fn python(folder: &str, requirements: &str) -> Result<PathBuf> {
    let (python, programs) = if cfg!(windows) { ("python", "Scripts") } else { ("python3", "bin") };
    repo::need(&[python, "-c", "import ensurepip, venv"], "apt-get install python3 python3-venv (Debian)")?;
    let environment = repo::target(folder)?.join("venv");
    let programs = environment.join(programs);
    once(&environment, &repo::read(requirements)?, || {
        repo::run(repo::command(python).args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut install = repo::command(programs.join("python"));
        install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        install.args(["--require-hashes", "--only-binary=:all:", "--requirement", requirements]);
        repo::run(&mut install).context("check that a package index can be reached")
    })?;
    Ok(programs)
}

/// Installs into a folder, unless a note in it says that the same packages were installed.
fn once(folder: &Path, packages: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let note = folder.join("installed.txt");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == packages) {
        return Ok(());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    install()?;
    fs::write(&note, packages).with_context(|| format!("cannot write {}", note.display()))
}
