//! Producers, worker processes, and a checker: every committed request must have a later accepted purge that covers it.

use std::collections::HashMap;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cfcache_emulator::{Config, PurgeItems, Server};
use cfcache_model::ZoneId;
use cfcache_model::body::PurgeBody;
use cfcache_model::endpoint::{Action, PurgeCache};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio_postgres::Client;

use crate::support::api::{ZONE_ID, account, start, wait_for};
use crate::support::postgres::Database;

/// The hosts of the requested URLs. Sometimes the first host is requested as a whole.
const HOSTS: [&str; 3] = ["static.example.com", "www.example.com", "shop.example.com"];

/// A database with a ledger of all requests, and the API.
pub(crate) struct Chaos {
    pub(crate) database: Database,
    pub(crate) server: Server,
    /// The earliest and the latest start of the emulator, in seconds since 1970 by the database's clock.
    begun: [f64; 2],
}

/// The work of the producers.
#[derive(Debug, Clone)]
pub(crate) struct Production {
    pub(crate) seed: u64,
    /// The number of transactions of each of the four producers.
    pub(crate) transactions: u64,
    /// The number of different URLs. Fewer URLs mean more duplicates.
    pub(crate) urls: u64,
    /// The longest time that a transaction stays open after its request.
    pub(crate) slowness: Duration,
    /// The longest pause of a producer between two transactions.
    pub(crate) pause: Duration,
    /// Whether to include entries that the API refuses.
    pub(crate) has_refused_entries: bool,
    /// A bug: requests that were made within the last 2 seconds are dropped.
    pub(crate) drops_repeated: bool,
}

impl Production {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            transactions: 250,
            urls: 100,
            slowness: Duration::from_millis(30),
            pause: Duration::from_millis(10),
            has_refused_entries: false,
            drops_repeated: false,
        }
    }
}

/// Returns a new seed each time, unless `CFCACHE_SEED` sets one. It is printed, so that a failure can be repeated.
#[expect(clippy::print_stderr, reason = "the seed is needed to repeat a failure")]
#[expect(clippy::disallowed_methods, reason = "the environment can set the seed to repeat a failure")]
pub(crate) fn seed() -> u64 {
    let named = std::env::var("CFCACHE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = named.unwrap_or_else(|| {
        use std::hash::{BuildHasher as _, Hasher as _};
        std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
    });
    eprintln!("CFCACHE_SEED={seed}");
    seed
}

/// The factor by which these tests run longer than in CI, from `CFCACHE_CHAOS_FACTOR`.
#[expect(clippy::disallowed_methods, reason = "the environment can request a longer run")]
pub(crate) fn factor() -> u64 {
    std::env::var("CFCACHE_CHAOS_FACTOR").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A random number generator with a seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }

    pub(crate) fn time(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(end.as_micros() as u64 + 1))
    }
}

impl Chaos {
    pub(crate) async fn start(database: Database, config: Config) -> Self {
        let latency = config.latency;
        let server = start(config).await;
        let client = database.client().await;
        client
            .batch_execute(
                "CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY, kind text, key text)",
            )
            .await
            .unwrap();
        // A purge whose time is known by both clocks.
        let zone = ZoneId::parse(ZONE_ID).unwrap();
        let purge = PurgeCache::new(Action::Purge, &zone, &PurgeBody::Everything);
        let clock = async || -> f64 {
            let sql = "SELECT extract(epoch FROM clock_timestamp())::float8";
            client.query_one(sql, &[]).await.unwrap().get(0)
        };
        let mut before = clock().await;
        let mut tries = 0;
        while server.purges().is_empty() {
            tries += 1;
            before = clock().await;
            assert!(tries < 100, "the API accepts nothing");
            let _refused = account(&server, "clock").client.call(&purge, &mut ()).await;
        }
        let now = clock().await;
        // The answer came at least this long after the purge.
        let at = server.purges()[0].at;
        let begun = [before - at.as_secs_f64(), now - (at + latency).as_secs_f64()];
        Self { database, server, begun }
    }

    /// Runs four producers until they end.
    pub(crate) async fn produce(&self, production: &Production) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..4 {
            tasks.spawn(produce(self.database.url(), production.clone(), number));
        }
        tasks.join_all().await;
    }

    /// Starts a worker process on the tests' database, or on the database of `url`.
    pub(crate) fn worker(&self, url: &str) -> WorkerProcess {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"));
        command.args(["worker", "--allow-insecure-http", "--plan", "enterprise"]);
        command.args(["--timeout", "1", "--claim-timeout", "2"]);
        self.spawn(command, url)
    }

    /// Starts a worker process with another command.
    pub(crate) fn spawn(&self, mut command: Command, url: &str) -> WorkerProcess {
        let log = self.database.cluster.folder().join(format!("worker-{}.log", self.database.name));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("DATABASE_URL", url)
            .env("CLOUDFLARE_BASE_URL", self.server.base_url())
            .env("CLOUDFLARE_API_TOKEN", "any-token-of-a-valid-form-will-do-here-00")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        WorkerProcess { child: command.spawn().unwrap() }
    }

    /// Returns the log of the workers.
    pub(crate) fn log(&self) -> String {
        let path: PathBuf = self.database.cluster.folder().join(format!("worker-{}.log", self.database.name));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits until the queue is empty, and returns the lost requests: committed requests without a later accepted purge
    /// that covers them. Dead letters are not lost. If the order is uncertain because of the clocks, the purge counts
    /// as later.
    pub(crate) async fn finish(&self) -> Vec<String> {
        self.finish_with(self.begun[1]).await
    }

    /// Does the same, but if the order is uncertain because of the clocks, the purge counts as earlier.
    pub(crate) async fn finish_in_doubt(&self) -> Vec<String> {
        self.finish_with(self.begun[0]).await
    }

    async fn finish_with(&self, begun: f64) -> Vec<String> {
        let client = self.database.client().await;
        wait_for("the queue to be empty", || async {
            let row = client.query_one("SELECT count(*) FROM cfcache.request", &[]).await.unwrap();
            row.get::<_, i64>(0) == 0
        })
        .await;
        self.lost(&client, begun).await
    }

    async fn lost(&self, client: &Client, begun: f64) -> Vec<String> {
        let mut latest: HashMap<(&str, String), f64> = HashMap::new();
        for purge in self.server.purges() {
            let at = begun + purge.at.as_secs_f64();
            let mut covers = |kind, key: &str| {
                let known = latest.entry((kind, key.to_owned())).or_insert(at);
                *known = known.max(at);
            };
            match &purge.items {
                PurgeItems::Everything => covers("everything", ""),
                PurgeItems::Files(files) => files.iter().for_each(|file| covers("files", &file.url)),
                PurgeItems::Hosts(hosts) => hosts.iter().for_each(|host| covers("hosts", host)),
                PurgeItems::Tags(tags) => tags.iter().for_each(|tag| covers("tags", tag)),
                PurgeItems::Prefixes(prefixes) => {
                    prefixes.iter().for_each(|prefix| covers("prefixes", prefix))
                }
                _ => {}
            }
        }
        let sql = "SELECT id, kind, key, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8, \
                   EXISTS (SELECT FROM cfcache.dead WHERE (dead.kind, dead.key) = (ledger.kind, ledger.key)) \
                   FROM ledger";
        let rows = client.query(sql, &[]).await.unwrap();
        assert!(!rows.is_empty(), "there are no requests");
        let mut lost = Vec::new();
        for row in rows {
            let (id, kind, key, committed, is_dead): (i64, String, String, f64, bool) =
                (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
            let mut covering = vec![("everything", String::new()), (kind.as_str(), key.clone())];
            if kind == "files" {
                let host = key.split('/').nth(2).unwrap_or_default();
                covering.push(("hosts", host.to_owned()));
            }
            let is_covered =
                covering.iter().any(|cover| latest.get(cover).is_some_and(|latest| *latest >= committed));
            if !is_covered && !is_dead {
                lost.push(format!("{id} {kind} {key}, committed at {:.3}", committed - begun));
            }
        }
        lost
    }

    pub(crate) async fn dead(&self) -> i64 {
        let client = self.database.client().await;
        client.query_one("SELECT count(*) FROM cfcache.dead", &[]).await.unwrap().get(0)
    }
}

/// A producer: transactions that write to the ledger and request purges, some slow, some rolled back.
async fn produce(url: String, production: Production, number: u64) {
    let mut random = Random::new(production.seed ^ number << 32);
    let mut asked: HashMap<String, tokio::time::Instant> = HashMap::new();
    let mut client = reconnect(&url).await;
    for _ in 0..production.transactions {
        let (kind, function, key) = match random.below(100) {
            0 => ("hosts", "request_hosts", HOSTS[0].to_owned()),
            1..=9 => ("tags", "request_tags", format!("tag-{}", random.below(20))),
            10..=11 if production.has_refused_entries => {
                ("files", "request_urls", format!("https://www.example.org/{}", random.below(5)))
            }
            _ => {
                let path = random.below(production.urls);
                let host = HOSTS[(path % 3) as usize];
                ("files", "request_urls", format!("https://{host}/{path}"))
            }
        };
        let is_repeated = asked.get(&key).is_some_and(|asked| asked.elapsed() < Duration::from_secs(2))
            && production.drops_repeated;
        let ask = format!(
            "BEGIN; INSERT INTO ledger (kind, key) VALUES ('{kind}', '{key}'); {}",
            if is_repeated {
                String::new()
            } else {
                format!("SELECT cfcache.{function}('example.com', ARRAY['{key}'])")
            }
        );
        let (slowness, pause) = (random.time(production.slowness), random.time(production.pause));
        let end = if random.below(10) == 0 { "ROLLBACK" } else { "COMMIT" };
        let done = async {
            client.batch_execute(&ask).await?;
            tokio::time::sleep(slowness).await;
            client.batch_execute(end).await
        };
        match done.await {
            Ok(()) if end == "COMMIT" => {
                asked.entry(key).or_insert_with(tokio::time::Instant::now);
            }
            Ok(()) => {}
            // The server crashes in one of the tests. The ledger shows whether this transaction was committed.
            Err(_) => client = reconnect(&url).await,
        }
        tokio::time::sleep(pause).await;
    }
}

async fn reconnect(url: &str) -> Client {
    for _ in 0..3000 {
        if let Ok((client, connection)) = tokio_postgres::connect(url, tokio_postgres::NoTls).await {
            tokio::spawn(async move { drop(connection.await) });
            return client;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the server did not come back within 30 seconds");
}

/// A worker process. Dropping it kills it.
pub(crate) struct WorkerProcess {
    child: Child,
}

impl WorkerProcess {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends, and returns its exit code.
    pub(crate) async fn exit_code(mut self) -> Option<i32> {
        for _ in 0..3000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the worker did not end");
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // Kills the process group: with `faketime`, the worker is a child process. It may have ended already.
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _status = self.child.wait();
    }
}
