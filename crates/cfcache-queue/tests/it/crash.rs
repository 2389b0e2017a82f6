//! `serve` on one file, killed many times: the real program against an emulated API.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cfcache_emulator::{Fault, PurgeItems};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::http::{post, read};
use crate::support::Folder;
use crate::support::api::{ZONE_ID, config, start, wait_for};

/// The number of kills.
const KILLS: u64 = 20;

/// A running service.
struct Service {
    child: Child,
    intake: SocketAddr,
}

impl Service {
    /// Starts the service, and waits until it accepts requests.
    fn start(folder: &Path, base_url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"));
        command.args(["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--data"]).arg(folder);
        command.env_clear().env("CLOUDFLARE_API_TOKEN", "any-token-of-a-valid-form-will-do-000000");
        command
            .env("CLOUDFLARE_BASE_URL", base_url)
            .env("CFCACHE_PLAN", "enterprise")
            .env("CFCACHE_LOG", "error");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on http://").and_then(|rest| rest.split('/').next());
        let intake = address.and_then(|address| address.parse().ok());
        Self { child, intake: intake.unwrap_or_else(|| panic!("unexpected first line {line:?}")) }
    }

    /// Kills the service with SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The time of the last request for each URL that was answered with 202.
type Acknowledged = Arc<Mutex<HashMap<String, Instant>>>;

/// Requests a new URL and one of a few repeated URLs in turns, until the service is gone.
async fn produce(intake: SocketAddr, name: String, acknowledged: Acknowledged) {
    for number in 0.. {
        let urls = [
            format!("https://example.com/{name}/{number}"),
            format!("https://example.com/hot/{}", number % 3),
        ];
        let body = format!(r#"{{"zone":"{ZONE_ID}","urls":["{}","{}"]}}"#, urls[0], urls[1]);
        let message = post("/v1/requests", &[("content-type", "application/json")], body.as_bytes());
        let sent = Instant::now();
        let Ok(stream) = TcpStream::connect(intake).await else { return };
        let (reader, mut writer) = stream.into_split();
        drop(writer.write_all(&message).await);
        let Some(answer) = read(reader).await else { return };
        assert_eq!(answer.status, 202, "{answer:?}");
        let mut acknowledged = acknowledged.lock().unwrap();
        for url in urls {
            acknowledged.insert(url, sent);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_no_acknowledged_request_in_20_kills() {
    // Some attempts fail, and some answers are lost.
    let fault = |text: &str| text.parse::<Fault>().unwrap();
    let config = config()
        .with_fault(fault("status=500,probability=0.1,seed=1"))
        .with_fault(fault("reset-after,probability=0.1,seed=2"));
    let server = start(config).await;
    let begun = Instant::now();
    let folder = Folder::new();
    let acknowledged = Acknowledged::default();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    for round in 0..KILLS {
        let service = Service::start(folder.path(), &server.base_url());
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let name = format!("{round}-{producer}");
                tokio::spawn(produce(service.intake, name, Arc::clone(&acknowledged)))
            })
            .collect();
        let last = format!("https://example.com/{round}-0/1");
        wait_for("requests to be taken", || async { acknowledged.lock().unwrap().contains_key(&last) }).await;
        // From 20 to 150 ms more, in a different order for each seed.
        let up = 20 + (seed + round * 7919) % 131;
        tokio::time::sleep(Duration::from_millis(up)).await;
        service.kill();
        for producer in producers {
            producer.await.unwrap();
        }
    }
    let service = Service::start(folder.path(), &server.base_url());
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() > 20, "only {} URLs were acknowledged", acknowledged.len());
    let missing = || {
        let mut purged: HashMap<String, Instant> = HashMap::new();
        for purge in server.purges() {
            if let PurgeItems::Files(files) = purge.items {
                purged.extend(files.into_iter().map(|file| (file.url, begun + purge.at)));
            }
        }
        let is_late = |url: &str, sent: &Instant| purged.get(url).is_none_or(|at| at < sent);
        acknowledged
            .iter()
            .filter(|(url, sent)| is_late(url, sent))
            .map(|(url, _)| url.clone())
            .collect::<Vec<_>>()
    };
    wait_for("all that was acknowledged to be purged", || async { missing().is_empty() }).await;
    service.kill();
}
