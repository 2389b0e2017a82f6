//! Runs the vendor's SDK against the emulator, and records its requests.
//!
//! The emulator and the client are written by the same people, so both could misread the API in the same way. The SDK
//! is generated from the vendor's schema by others. `xtask/conformance/conformance.py` runs it, and each kind of
//! request is stored in `fixtures/sdk`, where a test of the model compares it with the model's own requests.

use std::fs;
use std::net::TcpListener;

use anyhow::{Context as _, Result};

use crate::emulator::Emulator;
use crate::generate::Files;
use crate::{install, repo};

const REQUIREMENTS: &str = "xtask/conformance/requirements.txt";
const SCRIPT: &str = "xtask/conformance/conformance.py";

/// Runs the cases of the SDK, and returns the file with its requests.
pub(crate) fn requests() -> Result<Files> {
    let python = install::python("conformance", REQUIREMENTS)?.join("python");
    let cfcache = repo::build_cfcache()?;
    // The script is also the origin of the edge, and starts to listen only after everything else is running.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let origin = format!("http://127.0.0.1:{port}");
    let edge = ["--origin", &origin, "--edge-listen", "127.0.0.1:0"];
    let start = |arguments: &[&str]| Emulator::start(&cfcache, arguments);
    let emulators = [
        ("enterprise", start(&[&["--plan", "enterprise", "--clear-seconds", "1"][..], &edge].concat())?),
        ("free", start(&["--plan", "free"])?),
        ("guarded", start(&["--token", "another-token"])?),
        ("faulty", start(&["--fault", "status=503,times=2"])?),
    ];
    let [(_, enterprise), ..] = &emulators;
    let edge = enterprise.edge_url.as_ref().context("the emulator does not print the address of its edge")?;
    let record = repo::target("conformance/requests.jsonl")?;
    let mut cases = repo::command(&python);
    // The user's environment must not change the SDK's requests, and Python must not write files next to the script.
    for name in
        ["CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_USER_SERVICE_KEY", "CLOUDFLARE_BASE_URL"]
    {
        cases.env_remove(name);
    }
    cases.env("NO_PROXY", "127.0.0.1").args(["-B", SCRIPT]).arg(&record);
    cases.args(emulators.iter().map(|(name, emulator)| format!("{name}={}", emulator.base_url)));
    cases.arg(format!("edge={edge}")).arg(format!("origin-port={port}"));
    repo::run(&mut cases).context("the SDK and the emulator do not agree")?;
    let requests =
        fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    Ok(Files::from([("fixtures/sdk/requests.jsonl".to_owned(), requests)]))
}
