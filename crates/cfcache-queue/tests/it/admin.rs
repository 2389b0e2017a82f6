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

/// An admin listener with a store in memory, which ends with it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    _stop: watch::Sender<bool>,
}

impl Running {
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

    async fn get(&self, path: &str) -> crate::http::Answered {
        send(self.address, &get(path)).await.unwrap()
    }
}

/// A page in a browser can have its own name lead to this machine.
#[tokio::test(start_paused = true)]
async fn a_local_listener_answers_under_an_address_only() {
    let running = Running::start().await;
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
        assert_eq!(send(running.address, request.as_bytes()).await.unwrap().status, status, "{host}");
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_are_of_the_store_where_it_answers() {
    let running = Running::start().await;
    let answered = running.get("/metrics").await;
    assert_eq!(answered.status, 200);
    assert!(answered.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(answered.body.contains("cfcache_queue_ready{kind=\"tags\"} 0"), "{}", answered.body);
    for mode in [Mode::Fails, Mode::Hangs] {
        tokio::time::advance(Duration::from_secs(2)).await;
        running.store.set_mode(mode);
        let answered = running.get("/metrics").await;
        assert_eq!(answered.status, 200);
        assert!(answered.body.contains("cfcache_queue_store_up 0"), "{}", answered.body);
        assert!(!answered.body.contains("cfcache_queue_ready{"), "{}", answered.body);
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_look_ask_the_store_once_a_second() {
    let running = Running::start().await;
    for _ in 0..20 {
        running.get("/metrics").await;
        running.get("/status.json").await;
    }
    assert_eq!(*running.store.asked.lock().unwrap(), 1);
    tokio::time::advance(Duration::from_millis(1001)).await;
    running.get("/metrics").await;
    assert_eq!(*running.store.asked.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_lives_while_the_worker_turns_and_is_ready_while_the_store_can_be_written() {
    let running = Running::start().await;
    let status = async |path: &str| {
        tokio::time::advance(Duration::from_secs(2)).await;
        let answered = running.get(path).await;
        (answered.status, answered.body)
    };
    assert_eq!(status("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(status("/readyz").await, (200, "ok\n".to_owned()));
    running.store.set_mode(Mode::Fails);
    assert_eq!(status("/livez").await.0, 200);
    assert_eq!(status("/readyz").await.0, 503);
    running.store.set_mode(Mode::Works);
    running.health.worker_turned(Instant::now());
    assert_eq!(status("/livez").await.0, 200);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(status("/livez").await.0, 503);
    running.health.worker_turned(Instant::now());
    assert_eq!(status("/livez").await.0, 200);
    running.health.set_credentials(Err("the API refused the token".to_owned()));
    let (code, body) = status("/readyz").await;
    assert!(code == 503 && body.contains("the API refused the token"), "{code} {body}");
    running.health.set_credentials(Ok(()));
    assert_eq!(status("/readyz").await.0, 200);
    running.health.stop();
    assert_eq!(status("/readyz").await, (503, "it is stopping\n".to_owned()));
    assert_eq!(status("/livez").await.0, 200);
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let running = Running::start().await;
    assert_eq!(send(running.address, &post("/", &[], b"x")).await.unwrap().status, 405);
    assert_eq!(running.get("/admin").await.status, 404);
    let answered = running.get("/").await;
    let policy = answered.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(answered.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(running.get("/status.json").await.json()["store"], "memory");
}
