//! Runs `cfcache emulator` as a process, for the measurements and for xtask.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// An emulator that runs until it is dropped.
pub(crate) struct Emulator {
    process: Child,
    pub(crate) base_url: String,
    /// The URL for visitors, if it was started with an origin.
    pub(crate) edge_url: Option<String>,
}

impl Emulator {
    /// Starts an emulator on a free port with these arguments, and waits until it listens.
    pub(crate) fn start(cfcache: &Path, arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(cfcache)
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(arguments)
            // The environment and configuration of the user must have no effect.
            .env_clear()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the emulator")?;
        let printed = process.stdout.take().context("there is no pipe")?;
        let mut emulator = Self { process, base_url: String::new(), edge_url: None };
        let mut lines = BufReader::new(printed).lines();
        let mut named = |label: &str| -> Result<String> {
            let line = lines.next().context("the emulator ended")??;
            let url = line.strip_prefix(label).map(str::to_owned);
            url.with_context(|| format!("the emulator does not say where it listens: `{line}`"))
        };
        emulator.base_url = named("listening on ")?;
        if arguments.contains(&"--origin") {
            emulator.edge_url = Some(named("edge on ")?);
        }
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
