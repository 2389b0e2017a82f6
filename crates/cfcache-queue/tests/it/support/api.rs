//! The emulator as the API, and accounts that use it.

use std::sync::Arc;
use std::time::Duration;

use cfcache_client::engine::Policy;
use cfcache_client::{Client, Codec, Credentials};
use cfcache_emulator::{Config, Emulator, Server, Zone};
use cfcache_model::Plan;
use cfcache_queue::health::Health;
use cfcache_queue::metrics::Metrics;
use cfcache_queue::{Account, Accounts, Store, Worker};
use cfcache_transport::{HyperTransport, Timeouts};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
pub(crate) const ZONE_NAME: &str = "example.com";

/// The configuration of an emulator with an Enterprise zone.
pub(crate) fn config() -> Config {
    Config::new(Plan::Enterprise).with_zone(Zone::new(ZONE_ID, ZONE_NAME))
}

pub(crate) async fn start(config: Config) -> Server {
    Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap()
}

/// Creates an account on that emulator. Its client neither limits its rate nor retries.
pub(crate) fn account(server: &Server, name: &str) -> Account {
    account_with_timeout(server, name, Duration::from_secs(2))
}

/// Creates an account as [`account`] does, with this timeout of an API request.
pub(crate) fn account_with_timeout(server: &Server, name: &str, timeout: Duration) -> Account {
    let base: cfcache_client::BaseUrl = server.base_url().parse().unwrap();
    let token = SecretString::from(format!("any-token-of-a-valid-form-will-do-{name:0<6}"));
    let credentials = Credentials::token(token).unwrap();
    let transport = HyperTransport::builder(base.origin().clone())
        .with_timeouts(Timeouts::from_total(timeout))
        .allow_insecure_http()
        .build()
        .unwrap();
    let mut policy = Policy::default();
    policy.max_retries = 0;
    policy.max_wait = Duration::ZERO;
    policy.limits = None;
    let client = Client::new(Arc::new(transport), Codec::new(base, Some(&credentials), "test"), policy);
    Account { name: name.to_owned(), client, plan: Some(Plan::Enterprise), share: 1.0 }
}

/// A worker in this process.
pub(crate) struct TestWorker {
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl TestWorker {
    pub(crate) fn start(store: Arc<dyn Store>, accounts: Accounts) -> Self {
        Self::start_with(store, accounts, 4)
    }

    /// Starts a worker with this many concurrent API requests.
    pub(crate) fn start_with(store: Arc<dyn Store>, accounts: Accounts, concurrency: usize) -> Self {
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(Metrics::new()));
        let worker = Worker::new(store, accounts, metrics.clone(), health.clone(), concurrency);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::new(worker).run(stopped));
        Self { health, metrics, stop, task }
    }

    /// Stops the worker gracefully.
    pub(crate) async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

/// Waits until the queue is empty.
pub(crate) async fn wait_until_empty(store: &dyn Store) {
    wait_for("the queue to be empty", || async { store.status().await.unwrap().waiting() == 0 }).await;
}

/// Waits for a condition that other tasks or processes cause, at most 30 seconds.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    for _ in 0..3000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited 30 seconds for {what}");
}
