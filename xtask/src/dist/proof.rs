//! Runs the static binary where there is nothing else, and builds it in two places.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bench::{TOKEN, ZONE};
use crate::emulator::Emulator;
use crate::repo;

/// An address of this machine where nobody else answers questions for names.
const NAME_SERVER: &str = "127.0.0.7";

/// Purges at the emulator from a root that holds the binary, `/etc/hosts` and `/etc/resolv.conf` and nothing else: once
/// by a name from the file, and once by a name that only the name server knows.
pub(super) fn purges_in_an_empty_root(cfcache: &Path) -> Result<()> {
    let root = repo::target()?.join("dist-root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(root.join("etc"))?;
    fs::copy(cfcache, root.join("cfcache"))?;
    fs::write(root.join("etc/hosts"), "127.0.0.1 file.test\n")?;
    fs::write(
        root.join("etc/resolv.conf"),
        format!("nameserver {NAME_SERVER}\noptions timeout:2 attempts:1\n"),
    )?;

    let emulator = Emulator::start(cfcache, &[])?;
    let is_root = repo::capture("id", ["-u"])?.trim() == "0";
    let mut names = vec!["file.test"];
    match UdpSocket::bind((NAME_SERVER, 53)) {
        Ok(socket) => {
            std::thread::spawn(move || answer_with_this_machine(&socket));
            names.push("dns.test");
        }
        Err(error) if is_root => return Err(error).context("the name server of the proof cannot listen"),
        Err(_) => {
            println!("not root, so no name server can listen: names are resolved from /etc/hosts alone")
        }
    }
    for name in names {
        let base_url = emulator.base_url.replace("127.0.0.1", name);
        let mut purge = Command::new(if is_root { "chroot" } else { "unshare" });
        if !is_root {
            purge.args(["--map-root-user", "chroot"]);
        }
        purge.arg(&root).args(["/cfcache", "--allow-insecure-http", "--base-url", &base_url, "--zone", ZONE]);
        purge.args(["purge", "urls", "--json", "https://www.example.com/a"]).stdin(Stdio::null());
        purge.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CLOUDFLARE_API_TOKEN", TOKEN);
        let output = purge.output().context("cannot run chroot")?;
        let report: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        ensure!(
            output.status.success() && report.is_some_and(|report| report["accepted"] == 1),
            "no purge over {base_url} from an empty root, {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        println!("purged over {base_url} from an empty root");
    }
    fs::remove_dir_all(&root).context("cannot clear the empty root")
}

/// Answers every question for an IPv4 address with 127.0.0.1, and any other with nothing.
fn answer_with_this_machine(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((size, from)) = socket.recv_from(&mut question) {
        let question = &question[..size];
        // Behind the header, labels up to an empty one, and type and class.
        let Some(labels) = question.get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
            continue;
        };
        let Some(asked) = question.get(12..12 + labels + 5) else { continue };
        let is_address = asked[labels + 1..] == [0, 1, 0, 1];
        let mut answer =
            [&question[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0], asked].concat();
        if is_address {
            answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _lost = socket.send_to(&answer, from);
    }
}

/// Packs what is committed in two clones, in folders of different names and lengths, and compares the checksums.
pub(crate) fn twice() -> Result<()> {
    let folder = repo::target()?.join("dist-twice");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let pack = |name: &str| -> Result<String> {
        let clone = folder.join(name);
        let mut git = repo::command("git");
        git.args(["clone", "--quiet", "--no-hardlinks", "."]).arg(&clone);
        ensure!(git.status()?.success(), "git cannot clone the repository");
        // This program, told that it is for the clone; each with a target folder of its own, wherever that of this is.
        let mut dist = Command::new(std::env::current_exe()?);
        dist.arg("dist").env("CARGO_MANIFEST_DIR", clone.join("xtask")).env_remove("CARGO_TARGET_DIR");
        ensure!(dist.status()?.success(), "cannot pack in {}", clone.display());
        fs::read_to_string(clone.join("target/dist/SHA256SUMS")).context("there are no checksums")
    };
    let (one, other) = (pack("one")?, pack("another-folder/that-is-longer")?);
    ensure!(one == other, "not the same bytes in another folder:\n{one}\n{other}");
    fs::remove_dir_all(&folder)?;
    println!("the same bytes in two folders:\n{one}");
    Ok(())
}
