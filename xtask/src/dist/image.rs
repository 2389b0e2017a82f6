//! Runs the static binaries with only the files of their images, as listed in `Dockerfile`.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::emulator::Emulator;
use crate::repo;

/// The zone of the emulator, and a token. The emulator accepts any token of a valid form.
const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCD";

/// A local address on which no other name server listens.
const NAME_SERVER: &str = "127.0.0.7";

/// The last stage of an image.
#[derive(Debug, Default)]
struct Image<'a> {
    /// Source, destination, and whether the image's user owns the file.
    copies: Vec<(&'a str, &'a str, bool)>,
    variables: Vec<(&'a str, &'a str)>,
    user: &'a str,
    work_folder: &'a str,
}

/// Runs `cfcache` and `cfcache-queue` in their images. Each connects to the emulator through a name in `/etc/hosts` and
/// through a name that only a name server resolves, because a static binary resolves names by itself.
pub(super) fn run(binaries: &[PathBuf]) -> Result<()> {
    let [cfcache, queue] = binaries else { bail!("there are two binaries for Linux") };
    let is_root = repo::capture("id", &["-u"])?.trim() == "0";
    let mut names = vec!["file.test"];
    if is_root {
        let socket = UdpSocket::bind((NAME_SERVER, 53)).context("the test's name server cannot listen")?;
        std::thread::spawn(move || answer_with_localhost(&socket));
        names.push("dns.test");
    } else {
        println!("not root, so there is no name server: names are resolved only from /etc/hosts");
    }
    let emulator = Emulator::start(cfcache, &[])?;
    let base_urls: Vec<_> = names.iter().map(|name| emulator.base_url.replace("127.0.0.1", name)).collect();
    let url = "https://www.example.com/a";

    let run = enter("cfcache", cfcache, is_root)?;
    repo::output(run().args(["--emulator", "purge", "urls", url]))?;
    for base_url in &base_urls {
        let mut purge = run();
        purge.args([
            "--allow-insecure-http",
            "--base-url",
            base_url,
            "--zone",
            ZONE,
            "purge",
            "urls",
            "--json",
            url,
        ]);
        let report: serde_json::Value = serde_json::from_str(&repo::output(&mut purge)?)?;
        ensure!(report["accepted"] == 1, "nothing was purged at {base_url}: {report}");
        println!("cfcache: purged at {base_url}");
    }

    let run = enter("cfcache-queue", queue, is_root)?;
    for base_url in &base_urls {
        repo::output(run().args(["push", "urls", "--zone", ZONE, url]))?;
        let mut serve = run();
        serve.args(["serve", "--base-url", base_url, "--allow-insecure-http"]);
        serve.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        let serve =
            serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot run chroot")?;
        let drained = repo::output(run().args(["drain", "--timeout", "60"]));
        // SIGTERM stops it after the requests in flight.
        repo::output(Command::new("kill").arg(serve.id().to_string()))?;
        let ended = serve.wait_with_output()?;
        let printed = String::from_utf8_lossy(&ended.stderr);
        drained.with_context(|| format!("nothing was sent to {base_url}: {printed}"))?;
        ensure!(ended.status.success(), "cfcache-queue serve ended with {}: {printed}", ended.status);
        let status: serde_json::Value =
            serde_json::from_str(&repo::output(run().args(["status", "--json"]))?)?;
        ensure!(status["dead_count"] == 0, "the queued request was not accepted by {base_url}: {status}");
        println!("cfcache-queue: sent to {base_url}");
    }
    Ok(())
}

/// Copies the files of an image into a folder; returns a function whose commands run the binary as its user.
fn enter(name: &str, binary: &Path, is_root: bool) -> Result<impl Fn() -> Command> {
    let dockerfile = repo::read("Dockerfile")?;
    let image = Image::read(&dockerfile, name)?;
    let root = repo::empty_folder(repo::target(&format!("dist-image/{name}"))?)?;
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    for (from, to, is_users) in &image.copies {
        let to = inside(to);
        fs::create_dir_all(to.parent().context("a file is copied without a destination folder")?)?;
        if *from == "/out/data" {
            fs::create_dir_all(&to)?;
        } else {
            // Files below `/out` are built in the image; the others come from this machine instead of the build stage.
            let from = if from.starts_with("/out/") { binary } else { Path::new(from) };
            fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        if *is_users && is_root {
            repo::output(Command::new("chown").arg(image.user).arg(&to))?;
        }
    }
    let certificates = fs::read_to_string(inside("/etc/ssl/certs/ca-certificates.crt"))?;
    ensure!(certificates.contains("-----BEGIN CERTIFICATE-----"), "the image of {name} has no certificates");
    ensure!(inside(image.work_folder).is_dir(), "the image of {name} has no folder {}", image.work_folder);
    // A container engine adds these files.
    fs::write(inside("/etc/hosts"), "127.0.0.1 localhost file.test\n")?;
    fs::write(
        inside("/etc/resolv.conf"),
        format!("nameserver {NAME_SERVER}\noptions timeout:2 attempts:1\n"),
    )?;

    let mut words = if is_root {
        vec!["chroot".to_owned(), format!("--userspec={}", image.user)]
    } else {
        ["unshare", "--map-root-user", "chroot"].map(str::to_owned).to_vec()
    };
    words.extend([root.display().to_string(), format!("/{name}")]);
    let variables: Vec<_> =
        image.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(move || {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).env_clear().envs(variables.clone());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CLOUDFLARE_API_TOKEN", TOKEN);
        command
    })
}

impl<'a> Image<'a> {
    /// Parses the stage of an image. Unknown instructions are refused.
    fn read(dockerfile: &'a str, name: &str) -> Result<Self> {
        let build = format!("\nRUN cargo xtask binary {name} /out/{name}\n");
        ensure!(dockerfile.contains(&build), "no stage of Dockerfile has `{}`", build.trim());
        let stage = dockerfile.split_once(&format!("\nFROM scratch AS {name}\n"));
        let (_, stage) = stage.with_context(|| format!("no stage starts with `FROM scratch AS {name}`"))?;
        let stage = stage.split("\nFROM ").next().unwrap_or_default();
        let mut image = Self::default();
        for line in stage.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("COPY", rest) => {
                    let (options, paths): (Vec<_>, Vec<_>) =
                        rest.split(' ').partition(|word| word.starts_with("--"));
                    let [from, to] = paths[..] else { bail!("`{line}` does not copy exactly one file") };
                    ensure!(
                        options.iter().any(|option| option.starts_with("--from=")),
                        "`{line}` copies from no stage"
                    );
                    let is_users = options.iter().any(|option| option.starts_with("--chown="));
                    image.copies.push((from, to, is_users));
                }
                ("ENV", rest) => image.variables.extend(rest.split_once('=')),
                ("USER", user) => image.user = user,
                ("WORKDIR", folder) => image.work_folder = folder,
                // Comments, and continuation lines of a LABEL.
                ("LABEL" | "EXPOSE" | "VOLUME" | "CMD" | "ENTRYPOINT" | "#" | "", _) => {}
                (other, _) => bail!("the image of {name} uses {other}, which is not supported here"),
            }
        }
        let ids: Vec<u32> = image.user.split(':').filter_map(|id| id.parse().ok()).collect();
        ensure!(
            ids.len() == 2 && !ids.contains(&0),
            "`USER {}` must be a numeric id other than root's",
            image.user
        );
        for wanted in ["title", "description", "source", "licenses"] {
            let label = format!("org.opencontainers.image.{wanted}=");
            ensure!(stage.contains(&label), "the image of {name} has no label {label}");
        }
        let (entry, copy) = (format!("\nENTRYPOINT [\"/{name}\"]\n"), format!(" /out/{name} /{name}\n"));
        ensure!(stage.contains(&entry) && stage.contains(&copy), "the image of {name} does not run /{name}");
        Ok(image)
    }
}

/// Answers questions for an IPv4 address with 127.0.0.1, and other questions with an empty answer.
fn answer_with_localhost(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((size, from)) = socket.recv_from(&mut question) {
        let question = &question[..size];
        // After the header come the labels, an empty label, the type and the class.
        let Some(labels) = question.get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)) else {
            continue;
        };
        let Some(asked) = question.get(12..12 + labels + 5) else { continue };
        let is_address = asked[labels + 1..] == [0, 1, 0, 1];
        let counts = [0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0];
        let mut answer = [&question[..2], &counts, asked].concat();
        if is_address {
            answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _lost = socket.send_to(&answer, from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_an_image_with_unexpected_instructions() {
        let good = repo::read("Dockerfile").unwrap();
        for product in super::super::PRODUCTS {
            assert_eq!(Image::read(&good, product.binary).unwrap().copies.len(), 3, "{}", product.binary);
        }
        for (from, to, error) in [
            ("FROM scratch AS cfcache\n", "FROM debian AS cfcache\n", "no stage starts with"),
            ("USER 65532:65532", "USER 0:0", "other than root"),
            ("USER 65532:65532", "USER nobody", "other than root"),
            (
                "cargo xtask binary cfcache ",
                "cargo build ",
                "no stage of Dockerfile has `RUN cargo xtask binary",
            ),
            ("WORKDIR /data", "RUN true", "uses RUN"),
            ("org.opencontainers.image.licenses", "licenses", "no label"),
            ("COPY --from=build-cfcache", "COPY", "copies from no stage"),
            ("ENTRYPOINT [\"/cfcache\"]", "ENTRYPOINT [\"/bin/sh\"]", "does not run /cfcache"),
        ] {
            assert!(good.contains(from), "{from}");
            let found = Image::read(&good.replace(from, to), "cfcache").unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
        // Files that the build reads must not be excluded from its context.
        let ignored = repo::read(".dockerignore").unwrap();
        let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(ignored, ["/.git", "/target", "**/fuzz/target", "/docs", "/fixtures/captured"]);
    }
}
