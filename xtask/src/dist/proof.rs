//! Runs the static binary where there is nothing else, and builds it in two places.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bench::{TOKEN, ZONE};
use crate::emulator::Emulator;
use crate::repo;

/// An address of this machine where nobody else answers questions for names.
const NAME_SERVER: &str = "127.0.0.7";

/// A root that holds a binary, `/etc/hosts` and `/etc/resolv.conf` and nothing else, and an emulator outside of it.
struct EmptyRoot {
    path: PathBuf,
    is_root: bool,
    emulator: Emulator,
    /// One from the file, and one that only the name server knows.
    names: Vec<&'static str>,
}

impl EmptyRoot {
    fn new(binary: &Path, cfcache: &Path) -> Result<Self> {
        let path = repo::target()?.join("dist-root");
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(path.join("etc"))?;
        fs::copy(binary, path.join("binary"))?;
        fs::write(path.join("etc/hosts"), "127.0.0.1 file.test\n")?;
        fs::write(
            path.join("etc/resolv.conf"),
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
            // The proof of another binary has left one there.
            Err(error) if error.kind() == ErrorKind::AddrInUse => names.push("dns.test"),
            Err(error) if is_root => return Err(error).context("the name server of the proof cannot listen"),
            Err(_) => {
                println!("not root, so no name server can listen: names are resolved from /etc/hosts alone");
            }
        }
        Ok(Self { path, is_root, emulator, names })
    }

    /// The emulator, by a name.
    fn base_url(&self, name: &str) -> String {
        self.emulator.base_url.replace("127.0.0.1", name)
    }

    /// The binary in that root, with a token.
    fn command(&self) -> Command {
        let mut command = Command::new(if self.is_root { "chroot" } else { "unshare" });
        if !self.is_root {
            command.args(["--map-root-user", "chroot"]);
        }
        command.arg(&self.path).arg("/binary").stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CLOUDFLARE_API_TOKEN", TOKEN);
        command
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.path).context("cannot clear the empty root")
    }
}

/// Purges at the emulator from an empty root, by each name.
pub(super) fn purges_in_an_empty_root(cfcache: &Path) -> Result<()> {
    let root = EmptyRoot::new(cfcache, cfcache)?;
    for name in &root.names {
        let base_url = root.base_url(name);
        let mut purge = root.command();
        purge.args(["--allow-insecure-http", "--base-url", &base_url, "--zone", ZONE]);
        purge.args(["purge", "urls", "--json", "https://www.example.com/a"]);
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
    root.remove()
}

/// Puts a request into a queue in an empty root, and sends it to the emulator by each name.
pub(super) fn queues_in_an_empty_root(queue: &Path, cfcache: &Path) -> Result<()> {
    let root = EmptyRoot::new(queue, cfcache)?;
    let free = || -> Result<String> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string()) };
    for name in &root.names {
        let base_url = root.base_url(name);
        let mut push = root.command();
        push.args(["--data", "/data", "push", "urls", "--zone", ZONE, "https://www.example.com/a"]);
        let pushed = push.output().context("cannot run chroot")?;
        let said = String::from_utf8_lossy(&pushed.stderr);
        ensure!(pushed.status.success(), "nothing can be queued in an empty root: {said}");
        let (listen, admin) = (free()?, free()?);
        let mut serve = root.command();
        serve.args(["--data", "/data", "serve", "--base-url", &base_url, "--allow-insecure-http"]);
        serve.args(["--listen", &listen, "--admin-listen", &admin]);
        let serve =
            serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run chroot")?;
        let is_sent = is_accepted(&admin);
        // SIGTERM, which ends it after what is in flight.
        let _ended = Command::new("kill").arg(serve.id().to_string()).status();
        let ended = serve.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(
            is_sent && ended.status.success(),
            "nothing was sent over {base_url}, {}: {said}",
            ended.status
        );
        println!("queued, and sent over {base_url} from an empty root");
    }
    root.remove()
}

/// Waits until the metrics of a queue say that an item was accepted.
fn is_accepted(admin: &str) -> bool {
    let metrics = || -> Result<String> {
        let mut connection = TcpStream::connect(admin)?;
        connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    for _ in 0..200 {
        let accepted = |line: &str| {
            line.starts_with("cfcache_purge_items_total{")
                && line.contains("outcome=\"accepted\"")
                && !line.ends_with(" 0")
        };
        if metrics().is_ok_and(|answer| answer.lines().any(accepted)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
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
