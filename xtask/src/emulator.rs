//! `cfcache emulator`, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::repo;

/// An emulator that runs until it is dropped.
pub(crate) struct Emulator {
    process: Child,
    pub(crate) base_url: String,
    /// Where visitors are served, if it was started with an origin.
    pub(crate) edge_url: Option<String>,
}

impl Emulator {
    /// Starts it on a free port, with what its command line takes, and waits until it listens.
    pub(crate) fn start(cfcache: &Path, arguments: &[&str]) -> Result<Self> {
        let process = Command::new(cfcache)
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(arguments)
            // Neither the environment nor a configuration of whoever runs this has a say.
            .env_clear()
            .current_dir(repo::root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the emulator")?;
        let mut emulator = Self { process, base_url: String::new(), edge_url: None };
        let (mut line, mut edge) = (String::new(), String::new());
        if let Some(printed) = emulator.process.stdout.take() {
            let mut printed = BufReader::new(printed);
            printed.read_line(&mut line)?;
            if arguments.contains(&"--origin") {
                printed.read_line(&mut edge)?;
            }
        }
        emulator.edge_url = edge.trim().strip_prefix("edge on ").map(str::to_owned);
        match line.trim().strip_prefix("listening on ") {
            Some(base_url) => emulator.base_url = base_url.to_owned(),
            None => bail!("the emulator does not say where it listens: `{}`", line.trim()),
        }
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
