//! Tools of other registries, installed below the target folder and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::repo;

/// Installs a package of npm into a folder, unless it is there already, and gives the package's folder.
pub(crate) fn npm(folder: &str, package: &str) -> Result<PathBuf> {
    repo::need(&["npm", "--version"], "apt-get install nodejs npm (Debian)")?;
    let folder = repo::target(folder)?;
    once(&folder, package, || {
        let mut install = repo::command("npm");
        install.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", package]);
        repo::run(install.current_dir(&folder).stdout(Stdio::null())).context("is a registry within reach?")
    })?;
    let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
    Ok(folder.join("node_modules").join(name))
}

/// Makes an environment of Python in a folder with what a file of requirements names, unless it is there already, and
/// gives the folder of its programs.
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
        repo::run(&mut install).context("is a package index within reach?")
    })?;
    Ok(programs)
}

/// Installs into a folder, unless a note there says that the same was installed.
fn once(folder: &Path, wanted: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let note = folder.join("installed.txt");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    install()?;
    fs::write(&note, wanted).with_context(|| format!("cannot write {}", note.display()))
}
