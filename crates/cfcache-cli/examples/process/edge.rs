//! Measures the hits per second of the edge, compared with nginx with `proxy_cache` on the same machine.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::emulator::Emulator;

/// The number of measurements of each, in turns.
const ROUNDS: usize = 3;

/// The minimum ratio to nginx's requests per second.
const TARGET: f64 = 0.5;

const OBJECT_BYTES: usize = 10_000;

/// Measures hits of one object with `wrk`: 64 connections, 5 seconds per round.
pub(super) fn run(cfcache: &Path) -> Result<()> {
    for program in ["wrk", "nginx"] {
        if Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            bail!("{program} is not here: apt-get install wrk nginx-light");
        }
    }
    let folder = cfcache.ancestors().nth(2).context("cfcache was built into no folder")?.join("bench-edge");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(folder.join("site")).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join("site/object.css"), vec![b'x'; OBJECT_BYTES])?;

    let nginx = Nginx::start(&folder)?;
    let arguments = ["--plan", "free", "--edge-listen", "127.0.0.1:0", "--origin", &nginx.origin];
    let emulator = Emulator::start(cfcache, &arguments)?;
    let edge = emulator.edge_url.clone().context("the emulator does not say where its edge is")?;

    println!("hits of {OBJECT_BYTES} bytes, 64 connections, {ROUNDS} rounds of 5 s in turn:\n");
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, theirs) = (hits(&edge)?, hits(&nginx.cache)?);
        let ratio = ours / theirs;
        println!("edge {ours:>9.0}/s   nginx {theirs:>9.0}/s   ratio {ratio:.2}");
        ratios.push(ratio);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    ensure!(median >= TARGET, "the median is {median:.2}; the target is a ratio of at least {TARGET:.2}");
    println!("\nthe median is {median:.2}; the target, a ratio of at least {TARGET:.2}, is met");
    Ok(())
}

/// Two servers of nginx: the origin, and a cache in front of it.
struct Nginx {
    process: Child,
    origin: String,
    cache: String,
}

impl Nginx {
    fn start(folder: &Path) -> Result<Self> {
        let free =
            || -> Result<String> { Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string()) };
        let (origin, cache) = (free()?, free()?);
        let shown = folder.display();
        let configuration = format!(
            "daemon off; worker_processes auto; pid {shown}/nginx.pid; error_log {shown}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
               access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; types {{ text/css css; }}\n\
               client_body_temp_path {shown}/body; fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi;\n\
               scgi_temp_path {shown}/scgi; proxy_temp_path {shown}/proxy;\n\
               proxy_cache_path {shown}/cache keys_zone=all:10m;\n\
               server {{ listen {origin}; root {shown}/site; add_header Cache-Control max-age=3600; }}\n\
               server {{ listen {cache};\n\
                 location / {{ proxy_pass http://{origin}; proxy_cache all; add_header CF-Cache-Status $upstream_cache_status; }}\n\
               }}\n\
             }}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration)?;
        let process = Command::new("nginx")
            .args(["-p".as_ref(), folder.as_os_str(), "-c".as_ref(), file.as_os_str()])
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start nginx")?;
        Ok(Self { process, origin: format!("http://{origin}"), cache: format!("http://{cache}") })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master process ends its workers on SIGTERM.
        let _asked = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ended = self.process.wait();
    }
}

/// Returns requests per second, and checks that all are hits.
fn hits(base: &str) -> Result<f64> {
    let url = format!("{base}/object.css");
    // The first request fills the cache; nginx may still be starting.
    let mut last = String::new();
    for _ in 0..50 {
        let curl = Command::new("curl")
            .args(["--silent", "--retry", "5", "--retry-connrefused", "--output", "/dev/null"])
            .args(["--write-out", "%header{cf-cache-status}", &url])
            .output()
            .context("cannot run curl")?;
        last = String::from_utf8_lossy(&curl.stdout).into_owned();
        if last == "HIT" {
            break;
        }
    }
    ensure!(last == "HIT", "{url} is never a HIT; at last it was `{last}`");
    let wrk = ["--threads", "2", "--connections", "64", "--duration", "5s", &url];
    let output = Command::new("wrk").args(wrk).output().context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "not all were answered:\n{text}");
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok()).with_context(|| format!("wrk says no rate:\n{text}"))
}
