//! The program `cfcache-queue serve`: from a POST to an accepted purge, a stop, and a restart.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::http::{get, post, send};

/// The longest wait on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

const TOKEN: &str = "cfut_0123456789abcdefghijABCDEFGHIJ0123456789";

struct Serving {
    child: Child,
    intake: SocketAddr,
    admin: SocketAddr,
}

impl Serving {
    async fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"))
            .args(["serve", "--emulator", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--data"])
            .arg(data)
            .args(more)
            .env_clear()
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .env("CFCACHE_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = async |before: &str| -> SocketAddr {
            let line = timeout(TIMEOUT, lines.next_line()).await.unwrap().unwrap().unwrap_or_default();
            let url = line.strip_prefix(before).unwrap_or_else(|| panic!("{line}"));
            url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap()
        };
        let (intake, admin) = (address("listening on ").await, address("status on ").await);
        Self { child, intake, admin }
    }

    async fn post(&self, url: &str) {
        let body = format!(r#"{{"zone":"example.com","urls":["{url}"]}}"#);
        let bytes = post("/v1/requests", &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(send(self.intake, &bytes).await.unwrap().status, 202);
    }

    /// Waits until `/status.json` is as expected.
    async fn until(&self, expected: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let seen = timeout(TIMEOUT, async {
            loop {
                last = send(self.admin, &get("/status.json")).await.unwrap().json();
                if expected(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(seen.await.is_ok(), "{last}");
    }

    fn signal(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the process, and returns its exit code and log.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let code = timeout(TIMEOUT, async {
            stderr.read_to_string(&mut log).await.unwrap();
            self.child.wait().await.unwrap().code()
        });
        (code.await.unwrap(), log)
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("cfcache-serve-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn accepted(status: &Value) -> u64 {
    let purges = status["purges"].as_array().unwrap();
    let accepted = purges.iter().filter(|purge| purge["outcome"] == "accepted");
    accepted.map(|purge| purge["items"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_posted_requests_and_loses_none_when_stopped() {
    let data = folder("stop");
    let serving = Serving::start(&data, &[]).await;
    serving.post("https://example.com/a").await;
    serving.until(|status| accepted(status) == 1 && status["kinds"][1]["waiting"] == 0).await;
    assert_eq!(send(serving.admin, &get("/readyz")).await.unwrap().status, 200);
    assert_eq!(send(serving.admin, &get("/livez")).await.unwrap().status, 200);

    // The process is no longer ready, but accepts requests until it ends, so that no load balancer finds a closed port.
    serving.signal();
    serving.until(|status| status["not_ready"][0] == "the process is stopping").await;
    serving.post("https://example.com/late").await;
    let (code, log) = serving.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
    for line in log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }

    // The next process sends the requests that arrived during the stop. A second signal stops it at once.
    let serving = Serving::start(&data, &[]).await;
    serving.until(|status| accepted(status) == 1 && status["kinds"][1]["waiting"] == 0).await;
    serving.signal();
    serving.until(|status| status["not_ready"][0] == "the process is stopping").await;
    serving.signal();
    let (code, log) = serving.end().await;
    assert_eq!(code, Some(130), "{log}");
    drop(std::fs::remove_dir_all(data));
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_only_the_sources_of_the_configuration_file() {
    let data = folder("sources");
    let (config, secret) = (data.join("queue.toml"), data.join("secret"));
    std::fs::write(&secret, "a-fixed-secret-of-a-source\n").unwrap();
    let toml = format!(
        "[sources.shop]\nauth = 'bearer'\nsecret-files = ['{}']\nzones = ['example.com']\n",
        secret.display()
    );
    std::fs::write(&config, toml).unwrap();
    let serving = Serving::start(&data, &["--config", config.to_str().unwrap()]).await;
    let body = br#"{"tags":["a"]}"#;
    let json = ("content-type", "application/json");
    let status = async |secret: &str| {
        let bytes = post("/v1/requests", &[json, ("authorization", secret)], body);
        send(serving.intake, &bytes).await.unwrap().status
    };
    assert_eq!(status("Bearer a-fixed-secret-of-a-thief0").await, 401);
    assert_eq!(status("Bearer a-fixed-secret-of-a-source").await, 202);
    serving.until(|status| accepted(status) == 1).await;
    let metrics = send(serving.admin, &get("/metrics")).await.unwrap().body;
    for line in [
        "cfcache_queue_requests_total{source=\"shop\",kind=\"tags\"} 1",
        "cfcache_queue_rejected_total{source=\"\",reason=\"secret\"} 1",
        "cfcache_purge_items_total{kind=\"tags\",outcome=\"accepted\"} 1",
        "cfcache_queue_wait_seconds_count 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    drop(serving);
    drop(std::fs::remove_dir_all(data));
}

#[tokio::test]
async fn refuses_an_empty_database_url() {
    let folder = folder("empty");
    let ran = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"))
        .args(["push", "urls", "--zone", "example.com", "https://www.example.com/"])
        .env_clear()
        .envs([("DATABASE_URL", " "), ("XDG_STATE_HOME", folder.to_str().unwrap())])
        .output()
        .await
        .unwrap();
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("`DATABASE_URL` is set but empty"), "{ran:?}");
    assert_eq!(std::fs::read_dir(&folder).map_or(0, Iterator::count), 0);
}
