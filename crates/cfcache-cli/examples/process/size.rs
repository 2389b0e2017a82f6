//! Measures the size of the binary, and counts its crates.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The maximum size of the stripped binary, in bytes.
const TARGET: u64 = 6_500_000;

pub(super) fn run(cfcache: &Path) -> Result<()> {
    let bytes = std::fs::metadata(cfcache).context("cannot read the binary")?.len();
    // Crates that are linked or run at build time; dependencies of tests do not count.
    let mut tree = Command::new("cargo");
    tree.args(["tree", "--package=cfcache-cli", "--edges=normal,build", "--prefix=none", "--format={p}"]);
    let tree = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().context("cannot run cargo")?;
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let ours = crates.iter().filter(|name| name.starts_with("cfcache-")).count();
    println!(
        "the release binary, stripped: {:.2} MB, of {} crates ({ours} of them ours)",
        bytes as f64 / 1e6,
        crates.len()
    );
    ensure!(bytes <= TARGET, "MISSED: the target is 6.5 MB");
    println!("  target 6.5 MB: met");
    Ok(())
}
