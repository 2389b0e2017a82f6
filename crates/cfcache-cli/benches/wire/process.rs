//! Other programs, and the time that they take.

use core::time::Duration;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::time::Instant;

/// A program that finds nothing in the environment, and says nothing.
pub(crate) fn program(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where `curl` is.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// The binary with a zone and a token, pointed at a server.
pub(crate) fn cfcache(base: &str) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_cfcache"));
    command
        .env("CLOUDFLARE_BASE_URL", base)
        .env("CLOUDFLARE_ZONE_ID", crate::ZONE)
        .env("CLOUDFLARE_API_TOKEN", crate::TOKEN);
    command
}

/// From the start of the process to its end.
pub(crate) fn time(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{:?} failed, {status}", command.get_program());
    took
}
