//! Runs other programs, and measures their time.

use core::time::Duration;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::time::Instant;

/// Creates a command with an empty environment and no output.
pub(crate) fn program(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The folder of `curl`.
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// Creates a command for the binary with a zone and a token, for a server.
pub(crate) fn cfcache(base: &str) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_cfcache"));
    command
        .env("CLOUDFLARE_BASE_URL", base)
        .env("CLOUDFLARE_ZONE_ID", crate::ZONE)
        .env("CLOUDFLARE_API_TOKEN", crate::TOKEN);
    command
}

/// Measures the time from the start of the process to its end.
pub(crate) fn time(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{:?} failed, {status}", command.get_program());
    took
}
