//! Measures the queue in a file and on a PostgreSQL cluster of its own. `cargo xtask bench queue` runs it with the path
//! of the program.

#![expect(clippy::print_stdout, reason = "the program prints its results")]
#![expect(clippy::unwrap_used, reason = "a missing program or file ends the measurement")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../tests/it/support/postgres.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod postgres;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cfcache_emulator::{Config, Emulator, Zone};
use cfcache_model::Plan;
use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;
use cfcache_queue::engine::url_bucket;
use cfcache_queue::{NewRequest, RequestGroup, Settlement, SqliteStore, Store, Subject};
use postgres::{Cluster, Database};

const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const CONNECTIONS: usize = 8;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().expect("the path of cfcache-queue");
    let wanted: Vec<String> = arguments.collect();
    let cluster = postgres::shared().expect("PostgreSQL");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The tests turn fsync off, but here a commit must be on disk.
    runtime.block_on(async {
        let client = postgres::connect(&cluster.url("postgres")).await;
        client.batch_execute("ALTER SYSTEM SET fsync = on").await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    });
    let measure = Measure { program, cluster };
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut missed = Vec::new();
    let mut judge = |name: &str, is_met: bool| {
        println!("{}", if is_met { "  met" } else { "  MISSED" });
        if !is_met {
            missed.push(name.to_owned());
        }
    };
    if is_wanted("intake") {
        judge("intake", runtime.block_on(measure.intake()));
    }
    if is_wanted("budget") {
        judge("budget", runtime.block_on(measure.budget()));
    }
    if is_wanted("idle") {
        judge("idle", runtime.block_on(measure.idle()));
    }
    if is_wanted("takeover") {
        judge("takeover", runtime.block_on(measure.takeover()));
    }
    if is_wanted("claims") {
        for (what, waiting) in [("", (1_000_000, 0)), (" beside delayed requests", (10_000, 1_000_000))] {
            judge(&format!("claims{what}"), runtime.block_on(measure.claims(waiting)));
            judge(&format!("claims in a file{what}"), runtime.block_on(measure.claims_in_a_file(waiting)));
        }
    }
    if is_wanted("memory") {
        judge("memory", runtime.block_on(measure.memory()));
        judge("memory with a file", runtime.block_on(measure.memory_with_a_file()));
    }
    drop(runtime);
    if !missed.is_empty() {
        println!("missed: {}", missed.join(", "));
        std::process::exit(1);
    }
}

struct Measure {
    program: String,
    cluster: &'static Cluster,
}

/// A process that is killed on drop.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    /// Returns its peak memory, in MiB.
    fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
        kib.unwrap_or(f64::NAN) / 1024.0
    }
}

impl Measure {
    async fn database(&self) -> Database {
        let database = self.cluster.database().await;
        database.store().migrate().await.unwrap();
        database
    }

    /// Starts the program, and reads the first line of its output, if there is one.
    fn start(
        &self,
        arguments: &[&str],
        database: &Database,
        environment: &[(&str, &str)],
        reads: bool,
    ) -> (Process, String) {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("DATABASE_URL", database.url()).env("CFCACHE_LOG", "error");
        command.env("CLOUDFLARE_API_TOKEN", "any-token-of-a-valid-form-will-do-000000");
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        if reads {
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        }
        (Process(child), line)
    }

    fn worker(&self, database: &Database, base_url: &str, plan: &str) -> Process {
        let environment = [("CLOUDFLARE_BASE_URL", base_url), ("CFCACHE_PLAN", plan)];
        self.start(&["worker"], database, &environment, false).0
    }

    /// Compares the requests per second through the intake with INSERTs per second by pgbench: one row per transaction,
    /// with the same number of connections, in turns.
    async fn intake(&self) -> bool {
        println!("\nintake: one URL a message, {CONNECTIONS} connections, 5 times 4 s each in turns");
        let database = self.database().await;
        let listen = ["intake", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
        let (process, line) = self.start(&listen, &database, &[], true);
        let address = line.trim().strip_prefix("listening on http://").unwrap().split('/').next().unwrap();
        let (mut raw, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            raw.push(self.pgbench(&database));
            let address = address.to_owned();
            ours.push(
                tokio::task::spawn_blocking(move || post_for(&address, Duration::from_secs(4)))
                    .await
                    .unwrap(),
            );
        }
        let (raw, ours) = (median(raw), median(ours));
        println!(
            "  pgbench {raw:.0}/s, intake {ours:.0}/s: ratio {:.2} (at least 0.6); the intake's peak {:.1} MiB",
            ours / raw,
            process.peak_mib()
        );
        ours / raw >= 0.6
    }

    fn pgbench(&self, database: &Database) -> f64 {
        let script = std::env::temp_dir().join(format!("cfcache-queue-insert-{}.sql", std::process::id()));
        let sql = format!(
            "\\set number random(1, 1000000000)\nINSERT INTO cfcache.request (zone, kind, key, source) \
             VALUES ('{ZONE}', 'files', 'https://example.com/pgbench/' || :number, 'pgbench');\n"
        );
        std::fs::write(&script, sql).unwrap();
        let clients = CONNECTIONS.to_string();
        let output = Command::new("pgbench")
            .args(["-n", "-c", &clients, "-j", "2", "-T", "4", "-f"])
            .arg(&script)
            .arg(database.url())
            .output()
            .unwrap();
        drop(std::fs::remove_file(&script));
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Four workers, with more URLs than the bucket contains.
    async fn budget(&self) -> bool {
        const URLS: u64 = 30_000;
        println!(
            "\nbudget: {URLS} URLs on Pro, 4 workers, against the least time that the queue's budget allows"
        );
        let database = self.database().await;
        let client = database.client().await;
        fill(&client, URLS, "now()").await;
        let config = Config::new(Plan::Pro).with_zone(Zone::new(ZONE, "example.com"));
        let server = Emulator::start(config, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let begun = Instant::now();
        let workers: Vec<Process> =
            (0..4).map(|_| self.worker(&database, &server.base_url(), "pro")).collect();
        wait_until_empty(&client).await;
        let took = begun.elapsed().as_secs_f64();
        let bucket = url_bucket(&Plan::Pro.purge_limits(), 1.0);
        let least = (URLS - u64::from(bucket.burst)) as f64 * bucket.interval_us as f64 / 1e6;
        let counts = server.log().counts();
        let peak = workers.iter().map(Process::peak_mib).fold(0.0, f64::max);
        println!(
            "  {took:.2} s, least {least:.2} s: ratio {:.3} (at most 1.05); {} requests, {} items, {} times 429; a worker's peak {peak:.1} MiB (at most 64)",
            took / least,
            counts.requests,
            counts.items,
            counts.rate_limited
        );
        took / least <= 1.05 && counts.rate_limited == 0 && peak <= 64.0 && counts.items >= URLS
    }

    /// Measures the time from the commit of a request to its acceptance, on an idle system.
    async fn idle(&self) -> bool {
        println!("\nidle: 100 requests, one after the other, API that takes 50 ms");
        let database = self.database().await;
        let client = database.client().await;
        let api = Api::start(Duration::from_millis(50));
        let _worker = self.worker(&database, &api.base_url, "enterprise");
        insert(&client, "https://example.com/warm").await;
        wait_until_empty(&client).await;
        let mut waits = Vec::new();
        for number in 0_u64..100 {
            tokio::time::sleep(Duration::from_millis(37 + number * 7 % 40)).await;
            insert(&client, &format!("https://example.com/{number}")).await;
            let committed = Instant::now();
            let arrived = api.next_after(committed).await;
            waits.push((arrived - committed).as_secs_f64() * 1000.0);
        }
        let p50 = median(waits.clone());
        waits.sort_by(f64::total_cmp);
        println!(
            "  the API was called p50 {p50:.1} ms, p99 {:.1} ms after the commit (at most 25 in addition to the API's own time)",
            waits[98]
        );
        p50 <= 25.0
    }

    /// Measures the time from SIGKILL of a worker during an API request until another worker sends the same.
    async fn takeover(&self) -> bool {
        println!("\ntakeover: 10 times SIGKILL while the API hangs");
        let database = self.database().await;
        let client = database.client().await;
        let mut waits = Vec::new();
        for number in 0..10 {
            let api = Api::start(Duration::ZERO);
            api.hangs.store(true, Ordering::Relaxed);
            let first = self.worker(&database, &api.base_url, "enterprise");
            insert(&client, &format!("https://example.com/{number}")).await;
            api.next_after(Instant::now()).await;
            let second = self.worker(&database, &api.base_url, "enterprise");
            // Waits until the worker is idle.
            tokio::time::sleep(Duration::from_millis(700)).await;
            api.hangs.store(false, Ordering::Relaxed);
            let killed = Instant::now();
            drop(first);
            let arrived = api.next_after(killed).await;
            waits.push((arrived - killed).as_secs_f64() * 1000.0);
            wait_until_empty(&client).await;
            drop(second);
        }
        let longest = waits.iter().copied().fold(0.0, f64::max);
        println!("  p50 {:.0} ms, longest {longest:.0} ms (at most 200)", median(waits));
        longest <= 200.0
    }

    /// Measures claims of 100 URLs with few and with many waiting requests, in turns on two databases. `waiting` is the
    /// number of requests that are due and of delayed ones.
    async fn claims(&self, waiting: (u64, u64)) -> bool {
        println!("\nclaims: 100 URLs each, 10,000 waiting against {} and {} delayed", waiting.0, waiting.1);
        let (few, many) = (self.database().await, self.database().await);
        for (database, (due, delayed)) in [(&few, (10_000, 0)), (&many, waiting)] {
            let client = database.client().await;
            fill(&client, due, "now()").await;
            fill(&client, delayed, "now() + interval '1 day'").await;
            client.batch_execute("VACUUM ANALYZE cfcache.request").await.unwrap();
        }
        let [few, many] = [few.store(), many.store()].map(|store| Box::new(store) as Box<dyn Store>);
        claim_in_turns([few, many]).await
    }

    /// Does the same in files.
    async fn claims_in_a_file(&self, waiting: (u64, u64)) -> bool {
        println!(
            "\nclaims in a file: 100 URLs each, 10,000 waiting against {} and {} delayed",
            waiting.0, waiting.1
        );
        let (few, many) = (Folder::new("few"), Folder::new("many"));
        let mut stores: Vec<Box<dyn Store>> = Vec::new();
        for (folder, (due, delayed)) in [(&few, (10_000, 0)), (&many, waiting)] {
            let store = SqliteStore::open(&folder.0).unwrap();
            fill_file(&store, due, Duration::ZERO).await;
            fill_file(&store, delayed, Duration::from_secs(24 * 60 * 60)).await;
            stores.push(Box::new(store));
        }
        let [few, many] = stores.try_into().unwrap();
        claim_in_turns([few, many]).await
    }

    /// Measures the peak memory of a worker that purges everything while a million URLs wait.
    async fn memory(&self) -> bool {
        println!("\nmemory: everything is purged while 1,000,000 URLs wait");
        let database = self.database().await;
        let client = database.client().await;
        fill(&client, 1_000_000, "now()").await;
        client.batch_execute(&format!("SELECT cfcache.request_everything('{ZONE}')")).await.unwrap();
        let api = Api::start(Duration::ZERO);
        let worker = self.worker(&database, &api.base_url, "enterprise");
        let begun = Instant::now();
        wait_until_empty(&client).await;
        print_memory(begun, &worker)
    }

    /// Does the same in a file.
    async fn memory_with_a_file(&self) -> bool {
        println!("\nmemory with a file: everything is purged while 1,000,000 URLs wait");
        let folder = Folder::new("memory");
        let store = SqliteStore::open(&folder.0).unwrap();
        fill_file(&store, 1_000_000, Duration::ZERO).await;
        store.insert(&[request(Subject::Everything)]).await.unwrap();
        drop(store);
        let api = Api::start(Duration::ZERO);
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--data"])
            .arg(&folder.0);
        command.env_clear().env("CFCACHE_LOG", "error").env("CLOUDFLARE_BASE_URL", &api.base_url);
        command.env("CLOUDFLARE_API_TOKEN", "any-token-of-a-valid-form-will-do-000000");
        command.env("CFCACHE_PLAN", "enterprise").stdin(Stdio::null()).stdout(Stdio::null());
        let worker = Process(command.spawn().unwrap());
        let begun = Instant::now();
        let store = SqliteStore::open_to_read(&folder.0).unwrap();
        while store.status().await.unwrap().waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        print_memory(begun, &worker)
    }
}

fn print_memory(begun: Instant, worker: &Process) -> bool {
    let peak = worker.peak_mib();
    println!(
        "  empty after {:.1} s; the worker's peak {peak:.1} MiB (at most 64)",
        begun.elapsed().as_secs_f64()
    );
    peak <= 64.0
}

/// Searches, claims and settles in turns, with few and with many waiting requests.
async fn claim_in_turns(stores: [Box<dyn Store>; 2]) -> bool {
    let group = RequestGroup {
        zone: ZONE.to_owned(),
        environment: None,
        action: Action::Purge,
        kind: Some(Kind::Files),
    };
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..60 {
        for (store, times) in stores.iter().zip(&mut times) {
            let begun = Instant::now();
            store.ready_groups().await.unwrap();
            let claim = store.claim(&group, 100).await.unwrap().unwrap();
            let settlements = vec![Settlement::Accepted; claim.requests().len()];
            claim.settle(settlements).await.unwrap();
            if round >= 10 {
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
        }
    }
    let [few, many] = times.map(median);
    println!(
        "  search, claim and settle: p50 {few:.2} ms and {many:.2} ms: ratio {:.2} (at most 2)",
        many / few
    );
    many / few <= 2.0
}

/// A temporary folder, deleted on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("cfcache-queue-measure-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn request(subject: Subject) -> NewRequest {
    NewRequest {
        zone: ZONE.to_owned(),
        environment: None,
        action: Action::Purge,
        subject,
        priority: 0,
        delay: Duration::ZERO,
        source: None,
        event: None,
    }
}

async fn fill_file(store: &SqliteStore, count: u64, delay: Duration) {
    for first in (1..=count).step_by(10_000) {
        let last = count.min(first + 9_999);
        let url =
            |number| Subject::parse("files", &format!("https://example.com/{number}")).unwrap().unwrap();
        let requests: Vec<NewRequest> =
            (first..=last).map(|number| NewRequest { delay, ..request(url(number)) }).collect();
        store.insert(&requests).await.unwrap();
    }
}

async fn fill(client: &tokio_postgres::Client, count: u64, not_before: &str) {
    let sql = format!(
        "INSERT INTO cfcache.request (zone, kind, key, not_before, requested_at) \
         SELECT '{ZONE}', 'files', 'https://example.com/' || n, {not_before}, now() FROM generate_series(1, {count}) AS n"
    );
    client.batch_execute(&sql).await.unwrap();
}

async fn insert(client: &tokio_postgres::Client, url: &str) {
    client.batch_execute(&format!("SELECT cfcache.request_urls('{ZONE}', ARRAY['{url}'])")).await.unwrap();
}

async fn wait_until_empty(client: &tokio_postgres::Client) {
    loop {
        let row = client.query_one("SELECT NOT EXISTS (SELECT FROM cfcache.request)", &[]).await.unwrap();
        if row.get(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Sends one URL per message over each connection for that time. Returns the number of 202 answers per second.
fn post_for(address: &str, time: Duration) -> f64 {
    let accepted = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let accepted = &accepted;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = [0; 4096];
                for number in 0_u64.. {
                    if begun.elapsed() >= time {
                        return;
                    }
                    let body = format!(r#"{{"zone":"{ZONE}","urls":["https://example.com/{connection}/{number}"]}}"#);
                    let message = format!(
                        "POST /v1/requests HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(message.as_bytes()).unwrap();
                    // An answer is small, so it arrives in one piece.
                    let count = stream.read(&mut buffer).unwrap();
                    assert!(buffer[..count].starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&buffer[..count]));
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    accepted.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// An API that accepts everything after a delay, or hangs, and records when it was called.
struct Api {
    base_url: String,
    asked: Arc<Mutex<Vec<Instant>>>,
    hangs: Arc<AtomicBool>,
}

impl Api {
    fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/client/v4", listener.local_addr().unwrap());
        let (asked, hangs) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::new(AtomicBool::new(false)));
        let state = (Arc::clone(&asked), Arc::clone(&hangs));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, hangs) = (Arc::clone(&state.0), Arc::clone(&state.1));
                std::thread::spawn(move || serve(stream, delay, &asked, &hangs));
            }
        });
        Self { base_url, asked, hangs }
    }

    /// Waits for the first call after that time.
    async fn next_after(&self, time: Instant) -> Instant {
        loop {
            let found = self.asked.lock().unwrap().iter().copied().find(|at| *at > time);
            match found {
                Some(at) => return at,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

fn serve(mut stream: TcpStream, delay: Duration, asked: &Mutex<Vec<Instant>>, hangs: &AtomicBool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        asked.lock().unwrap().push(Instant::now());
        if hangs.load(Ordering::Relaxed) {
            // Hangs until the client is gone.
            let mut byte = [0];
            drop(reader.read(&mut byte));
            return;
        }
        std::thread::sleep(delay);
        let body = r#"{"success":true,"errors":[],"messages":[],"result":null}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}
