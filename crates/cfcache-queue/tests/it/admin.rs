//! The admin listener over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cfcache_queue::admin::Admin;
use cfcache_queue::health::Health;
use cfcache_queue::metrics::Metrics;
use cfcache_queue::server::Listener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::{get, post, send};
use crate::memory::{MemoryStore, Mode};

/// An admin listener with a store in memory. Dropping it stops it.
pub(crate) struct TestAdmin {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    _stop: watch::Sender<bool>,
}

impl TestAdmin {
    pub(crate) async fn start() -> Self {
        let store = Arc::new(MemoryStore::default());
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::default()));
        let admin = Admin::new(Arc::clone(&store) as _, Arc::clone(&metrics), Arc::clone(&health), "memory");
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Arc::new(admin).serve(listener, stopped));
        Self { address, store, metrics, health, _stop: stop }
    }

    async fn get(&self, path: &str) -> crate::http::HttpAnswer {
        send(self.address, &get(path)).await.unwrap()
    }
}

/// A web page can make its own host name resolve to this machine.
#[tokio::test(start_paused = true)]
async fn a_local_listener_refuses_host_names() {
    let admin = TestAdmin::start().await;
    for (host, status) in [
        ("evil.example", 403),
        ("evil.example:8790", 403),
        ("localhost.evil.example", 403),
        ("a b", 403),
        ("LOCALHOST.:8790", 200),
        ("127.0.0.1", 200),
        ("[::1]:8790", 200),
    ] {
        let request = format!("GET /status.json HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(send(admin.address, request.as_bytes()).await.unwrap().status, status, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_include_gauges_only_if_the_store_answers() {
    let admin = TestAdmin::start().await;
    let answer = admin.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.body.contains("cfcache_queue_ready{kind=\"tags\"} 0"), "{}", answer.body);
    for mode in [Mode::Fails, Mode::Hangs] {
        tokio::time::advance(Duration::from_secs(2)).await;
        admin.store.set_mode(mode);
        let answer = admin.get("/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("cfcache_queue_store_up 0"), "{}", answer.body);
        assert!(!answer.body.contains("cfcache_queue_ready{"), "{}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_the_status_at_most_once_per_second() {
    let admin = TestAdmin::start().await;
    for _ in 0..20 {
        admin.get("/metrics").await;
        admin.get("/status.json").await;
    }
    assert_eq!(*admin.store.asked.lock().unwrap(), 1);
    tokio::time::advance(Duration::from_millis(1001)).await;
    admin.get("/metrics").await;
    assert_eq!(*admin.store.asked.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn livez_follows_the_worker_and_readyz_follows_the_store() {
    let admin = TestAdmin::start().await;
    let status = async |path: &str| {
        tokio::time::advance(Duration::from_secs(2)).await;
        let answer = admin.get(path).await;
        (answer.status, answer.body)
    };
    assert_eq!(status("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(status("/readyz").await, (200, "ok\n".to_owned()));
    admin.store.set_mode(Mode::Fails);
    assert_eq!(status("/livez").await.0, 200);
    assert_eq!(status("/readyz").await.0, 503);
    admin.store.set_mode(Mode::Works);
    admin.health.worker_iterated(Instant::now());
    assert_eq!(status("/livez").await.0, 200);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(status("/livez").await.0, 503);
    admin.health.worker_iterated(Instant::now());
    assert_eq!(status("/livez").await.0, 200);
    admin.health.set_credentials(Err("the API refused the token".to_owned()));
    let (code, body) = status("/readyz").await;
    assert!(code == 503 && body.contains("the API refused the token"), "{code} {body}");
    admin.health.set_credentials(Ok(()));
    assert_eq!(status("/readyz").await.0, 200);
    admin.health.stop();
    assert_eq!(status("/readyz").await, (503, "the process is stopping\n".to_owned()));
    assert_eq!(status("/livez").await.0, 200);
}

#[tokio::test]
async fn refuses_all_methods_but_get_and_head() {
    let admin = TestAdmin::start().await;
    assert_eq!(send(admin.address, &post("/", &[], b"x")).await.unwrap().status, 405);
    assert_eq!(admin.get("/admin").await.status, 404);
    let answer = admin.get("/").await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(admin.get("/status.json").await.json()["store"], "memory");
}
