//! Tools of other registries, installed below the target folder and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::repo;

/// Installs a package of npm into a folder, unless it is there already, and gives the folder.
pub(crate) fn npm(folder: &Path, package: &str) -> Result<PathBuf> {
    let note = folder.join("installed.txt");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == package) {
        return Ok(folder.to_owned());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    println!("installing {package} into {}", folder.display());
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", package];
    let installed = Command::new("npm").args(install).current_dir(folder).stdout(Stdio::null()).status();
    ensure!(
        installed.is_ok_and(|status| status.success()),
        "npm cannot install {package}: is Node.js here (Debian: nodejs and npm), and a registry within reach?"
    );
    fs::write(&note, package).with_context(|| format!("cannot write {}", note.display()))?;
    Ok(folder.to_owned())
}

/// Makes an environment of Python in a folder with what a file of requirements names, unless it is there already, and
/// gives its Python.
pub(crate) fn python(folder: &Path, requirements: &str) -> Result<PathBuf> {
    let environment = folder.join("venv");
    let (python, inside) =
        if cfg!(windows) { ("python", "Scripts/python.exe") } else { ("python3", "bin/python") };
    let inside = environment.join(inside);
    let wanted = repo::read(requirements)?;
    let note = environment.join("installed.txt");
    if inside.exists() && fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(inside);
    }
    println!("installing what {requirements} names into {}", environment.display());
    let mut make = repo::command(python);
    let made = make.args(["-m", "venv", "--clear"]).arg(&environment).status();
    ensure!(
        made.is_ok_and(|status| status.success()),
        "`{python} -m venv` fails: install Python 3.10 or later with venv (Debian: python3 and python3-venv)"
    );
    let mut install = repo::command(&inside);
    install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    install.args(["--require-hashes", "--only-binary=:all:", "--requirement", requirements]);
    ensure!(
        install.status()?.success(),
        "pip cannot install what {requirements} names: is a package index within reach?"
    );
    fs::write(&note, wanted).with_context(|| format!("cannot write {}", note.display()))?;
    Ok(inside)
}
