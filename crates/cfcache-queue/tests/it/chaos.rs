//! Many failures at once: killed and frozen workers, crashes of the database, cut connections, and a failing API. After
//! each run, a checker verifies that every committed request has a later accepted purge. Mutants show that the checker
//! detects a missing purge.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cfcache_emulator::{Config, Fault, FaultAction};
use cfcache_queue::{
    Accounts, Claim, DeadRequest, DeadSelection, NewDeadLetters, NewRequest, QueueStatus, RequestGroup,
    Settlement, Store, StoreFuture, Tokens,
};
use rustix::process::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::api::{TestWorker, account, config, wait_for};
use crate::support::chaos::{Chaos, Production, Random, factor, seed};
use crate::support::postgres::{self, Bouncer, Cluster, database, empty_database, program};

/// An API that fails in every way, decided by the seed.
fn failing(seed: u64) -> Config {
    let refusal =
        FaultAction::Status { status: 429, code: None, body: None, retry_after: Some("1".to_owned()) };
    config()
        .with_latency(Duration::from_millis(20))
        .with_fault(Fault::new(FaultAction::status(500)).with_probability(0.05, seed))
        .with_fault(Fault::new(refusal).with_probability(0.01, seed + 1))
        .with_fault(Fault::new(FaultAction::ResetBefore).with_probability(0.02, seed + 2))
        .with_fault(Fault::new(FaultAction::ResetAfter).with_probability(0.02, seed + 3).with_processed(true))
        .with_fault(Fault::new(FaultAction::Stall).with_probability(0.01, seed + 4).with_processed(false))
}

fn assert_nothing_lost(chaos: &Chaos, lost: &[String]) {
    assert!(lost.is_empty(), "{} lost:\n{}\n{}", lost.len(), lost.join("\n"), chaos.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_if_workers_are_killed_and_the_api_fails() {
    let Some(database) = database().await else { return };
    let seed = seed();
    let chaos = Chaos::start(database, failing(seed)).await;
    let production =
        Production { has_refused_entries: true, transactions: 250 * factor(), ..Production::new(seed) };
    let is_over = AtomicBool::new(false);
    let producing = async {
        chaos.produce(&production).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let killing = async {
        let mut random = Random::new(seed);
        let url = chaos.database.url();
        let mut workers: Vec<_> = (0..4).map(|_| chaos.worker(&url)).collect();
        let mut kills = 0;
        while !is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20) + random.time(Duration::from_millis(130))).await;
            let victim = random.below(4) as usize;
            workers[victim].signal(Signal::KILL);
            workers[victim] = chaos.worker(&url);
            kills += 1;
        }
        (workers, kills)
    };
    let ((), (workers, kills)) = tokio::join!(producing, killing);
    let lost = chaos.finish().await;
    drop(workers);
    assert!(kills > 10, "only {kills} workers were killed");
    assert_nothing_lost(&chaos, &lost);
    assert!(chaos.dead().await > 0, "the API refuses the invalid entries");
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_if_workers_freeze_beyond_the_timeout() {
    let Some(database) = database().await else { return };
    let seed = seed();
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(200))).await;
    let url = chaos.database.url();
    let frozen = [chaos.worker(&url), chaos.worker(&url)];
    let freezing = async {
        wait_for("a purge in flight", || async { chaos.server.purges().len() > 1 }).await;
        frozen.iter().for_each(|worker| worker.signal(Signal::STOP));
        chaos.worker(&url)
    };
    let production = Production::new(seed);
    let ((), other) = tokio::join!(chaos.produce(&production), freezing);
    let lost = chaos.finish().await;
    frozen.iter().for_each(|worker| worker.signal(Signal::CONT));
    assert_nothing_lost(&chaos, &lost);
    // Workers that were frozen notice that their claims are lost, and continue.
    chaos.produce(&Production { transactions: 10, ..Production::new(seed + 1) }).await;
    drop(other);
    assert_nothing_lost(&chaos, &chaos.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_if_postgresql_crashes() {
    // A separate cluster, because the crash would affect all other tests.
    let Some(cluster) = Cluster::start() else { return };
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let database = cluster.database().await;
    database.store().migrate().await.unwrap();
    let seed = seed();
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(20))).await;
    let url = chaos.database.url();
    let workers: Vec<_> = (0..3).map(|_| chaos.worker(&url)).collect();
    let crashing = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            tokio::task::spawn_blocking(|| cluster.pg_ctl(&["-w", "-m", "immediate", "restart"]))
                .await
                .unwrap();
        }
    };
    let production = Production { pause: Duration::from_millis(30), ..Production::new(seed) };
    let ((), ()) = tokio::join!(chaos.produce(&production), crashing);
    let lost = chaos.finish().await;
    drop(workers);
    assert_nothing_lost(&chaos, &lost);
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_if_connections_to_postgresql_are_cut() {
    let Some(database) = database().await else { return };
    let seed = seed();
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(20))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cut, _) = watch::channel(());
    let server = format!("127.0.0.1:{}", chaos.database.cluster.port);
    let proxy = tokio::spawn({
        let cut = cut.clone();
        async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, mut cut) = (server.clone(), cut.subscribe());
                tokio::spawn(async move {
                    let Ok(mut upstream) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut upstream) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        }
    });
    let url = chaos.database.cluster.url_at(port, "postgres", &chaos.database.name);
    let workers: Vec<_> = (0..3).map(|_| chaos.worker(&url)).collect();
    let is_over = AtomicBool::new(false);
    let cutting = async {
        let mut random = Random::new(seed);
        while !is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50) + random.time(Duration::from_millis(200))).await;
            cut.send_replace(());
        }
    };
    let production = Production::new(seed);
    let producing = async {
        chaos.produce(&production).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(producing, cutting);
    let lost = chaos.finish().await;
    drop(workers);
    proxy.abort();
    assert_nothing_lost(&chaos, &lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_and_keeps_the_limits_with_wrong_clocks() {
    let Some(database) = database().await else { return };
    let Some(faketime) = program("faketime", "faketime", &[]) else { return };
    let seed = seed();
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(5))).await;
    let url = chaos.database.url();
    let workers: Vec<_> = ["+1h", "-1h"]
        .map(|offset| {
            let mut command = Command::new(&faketime);
            command.args(["-f", offset, env!("CARGO_BIN_EXE_cfcache-queue")]);
            command.args(["worker", "--allow-insecure-http", "--plan", "enterprise"]);
            chaos.spawn(command, &url)
        })
        .into();
    let pause = Duration::from_millis(2);
    chaos.produce(&Production { urls: 5000, slowness: Duration::ZERO, pause, ..Production::new(seed) }).await;
    let lost = chaos.finish().await;
    drop(workers);
    assert_nothing_lost(&chaos, &lost);
    assert_eq!(chaos.server.log().counts().rate_limited, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_limits_without_429_despite_an_old_snapshot() {
    let Some(database) = database().await else { return };
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(10))).await;
    let holder = chaos.database.client().await;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ledger").await.unwrap();
    let client = chaos.database.client().await;
    // More than the bucket contains: 9,000 URLs, and 15,000 tags, of which 100 fit into a request.
    let sql = "
        INSERT INTO ledger (kind, key)
          SELECT 'files', 'https://www.example.com/' || n FROM generate_series(1, 9000) AS n
          UNION ALL SELECT 'tags', 'tag-' || n FROM generate_series(1, 15000) AS n;
        INSERT INTO cfcache.request (zone, kind, key) SELECT 'example.com', kind, key FROM ledger";
    client.batch_execute(sql).await.unwrap();
    let url = chaos.database.url();
    let workers: Vec<_> = (0..4).map(|_| chaos.worker(&url)).collect();
    let lost = chaos.finish().await;
    drop(workers);
    assert_nothing_lost(&chaos, &lost);
    let counts = chaos.server.log().counts();
    assert_eq!(counts.rate_limited, 0, "{counts:?}");
    assert!(counts.items >= 24_000, "{counts:?}\n{}", chaos.log());
    holder.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_settles_requests_in_flight_and_exits_with_0() {
    let Some(database) = database().await else { return };
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(500))).await;
    let client = chaos.database.client().await;
    client
        .batch_execute("SELECT cfcache.request_urls('example.com', ARRAY['https://www.example.com/'])")
        .await
        .unwrap();
    let worker = chaos.worker(&chaos.database.url());
    wait_for("the purge", || async { chaos.server.purges().len() > 1 }).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.exit_code().await, Some(0), "{}", chaos.log());
    let left: i64 = client.query_one("SELECT count(*) FROM cfcache.request", &[]).await.unwrap().get(0);
    assert_eq!((left, chaos.server.purges().len()), (0, 2), "{}", chaos.log());
    assert!(!chaos.log().contains(postgres::PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn works_behind_pgbouncer_in_transaction_mode() {
    let Some(mut database) = empty_database().await else { return };
    let Some(bouncer) = Bouncer::start(database.cluster) else { return };
    database.port = Some(bouncer.port);
    let listening = || async { TcpStream::connect(("127.0.0.1", bouncer.port)).await.is_ok() };
    wait_for("PgBouncer", listening).await;
    assert_eq!(database.store().migrate().await.unwrap(), (0, 2));
    assert_eq!(database.store().migrate().await.unwrap(), (2, 2));
    let seed = seed();
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(20))).await;
    let url = chaos.database.url();
    let workers: Vec<_> = (0..2).map(|_| chaos.worker(&url)).collect();
    chaos.produce(&Production { pause: Duration::from_millis(2), ..Production::new(seed) }).await;
    // A worker that is killed during a claim must not keep one of the few connections.
    workers[0].signal(Signal::KILL);
    chaos.produce(&Production { transactions: 20, ..Production::new(seed + 1) }).await;
    let lost = chaos.finish().await;
    drop(workers);
    assert_nothing_lost(&chaos, &lost);
}

/// A store that settles a claim only when the test allows it.
#[derive(Debug)]
struct LateStore {
    store: Arc<dyn Store>,
    may_settle: watch::Receiver<bool>,
    bug: Option<DeletesByKey>,
}

/// A bug that the checker must detect: accepted requests are deleted by their key, and so are equal requests that
/// arrived during sending.
#[derive(Clone, Debug)]
struct DeletesByKey {
    url: String,
}

#[derive(Debug)]
struct LateClaim {
    claim: Box<dyn Claim>,
    may_settle: watch::Receiver<bool>,
    bug: Option<DeletesByKey>,
}

impl Store for LateStore {
    fn insert<'a>(&'a self, requests: &'a [NewRequest]) -> StoreFuture<'a, ()> {
        self.store.insert(requests)
    }

    fn ready_groups(&self) -> StoreFuture<'_, Vec<RequestGroup>> {
        self.store.ready_groups()
    }

    fn claim<'a>(&'a self, group: &'a RequestGroup, limit: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>> {
        Box::pin(async move {
            let claim = self.store.claim(group, limit).await?;
            let (may_settle, bug) = (self.may_settle.clone(), self.bug.clone());
            Ok(claim.map(|claim| Box::new(LateClaim { claim, may_settle, bug }) as Box<dyn Claim>))
        })
    }

    fn take_tokens<'a>(&'a self, tokens: &'a [Tokens]) -> StoreFuture<'a, Duration> {
        self.store.take_tokens(tokens)
    }

    fn block_budgets<'a>(&'a self, names: &'a [String], duration: Duration) -> StoreFuture<'a, ()> {
        self.store.block_budgets(names, duration)
    }

    fn status(&self) -> StoreFuture<'_, QueueStatus> {
        self.store.status()
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        self.store.check_writable()
    }

    fn dead(&self, limit: usize) -> StoreFuture<'_, Vec<DeadRequest>> {
        self.store.dead(limit)
    }

    fn retry_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64> {
        self.store.retry_dead(selection)
    }

    fn drop_dead<'a>(&'a self, selection: &'a DeadSelection) -> StoreFuture<'a, u64> {
        self.store.drop_dead(selection)
    }
}

impl Claim for LateClaim {
    fn requests(&self) -> &[cfcache_queue::ClaimedTarget] {
        self.claim.requests()
    }

    fn keep(&mut self) -> StoreFuture<'_, ()> {
        self.claim.keep()
    }

    fn settle(
        mut self: Box<Self>,
        settlements: Vec<Settlement>,
    ) -> StoreFuture<'static, Vec<NewDeadLetters>> {
        Box::pin(async move {
            self.may_settle.wait_for(|may_settle| *may_settle).await.unwrap();
            let Some(bug) = self.bug else { return self.claim.settle(settlements).await };
            let keys: Vec<String> = self
                .claim
                .requests()
                .iter()
                .zip(&settlements)
                .filter(|(_, settlement)| **settlement == Settlement::Accepted)
                .map(|(claimed, _)| claimed.request.request.subject.key().into_owned())
                .collect();
            let dead = self.claim.settle(settlements).await?;
            let client = postgres::connect(&bug.url).await;
            client.execute("DELETE FROM cfcache.request WHERE key = ANY ($1)", &[&keys]).await.unwrap();
            Ok(dead)
        })
    }
}

/// Runs a worker in this process. Returns the lost requests.
async fn run_with(production: impl FnOnce(u64) -> Production) -> Option<Vec<String>> {
    let database = database().await?;
    let production = production(seed());
    let chaos = Chaos::start(database, config().with_latency(Duration::from_millis(100))).await;
    let store = Arc::new(chaos.database.store());
    let worker = TestWorker::start(store, Accounts::new(account(&chaos.server, "a")));
    chaos.produce(&production).await;
    let lost = chaos.finish().await;
    worker.stop().await;
    Some(lost)
}

/// Few URLs and short transactions, so that many requests arrive for a target that is being sent.
fn busy(seed: u64) -> Production {
    let slowness = Duration::from_millis(2);
    Production { urls: 10, slowness, pause: Duration::from_millis(10), ..Production::new(seed) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_bug_loses_nothing() {
    let Some(lost) = run_with(busy).await else { return };
    assert!(lost.is_empty(), "{} lost:\n{}", lost.len(), lost.join("\n"));
}

/// Requests a URL, and requests it again before the purge of the first request is settled. Returns the lost requests.
async fn request_again_during_sending(has_bug: bool) -> Option<Vec<String>> {
    let chaos = Chaos::start(database().await?, config()).await;
    let bug = has_bug.then(|| DeletesByKey { url: chaos.database.url() });
    let (let_settle, may_settle) = watch::channel(false);
    let store = Arc::new(LateStore { store: Arc::new(chaos.database.store()), may_settle, bug });
    // One at a time: otherwise the second request could be in flight before the first is settled.
    let worker = TestWorker::start_with(store, Accounts::new(account(&chaos.server, "a")), 1);
    let client = chaos.database.client().await;
    let request = "BEGIN; INSERT INTO ledger (kind, key) VALUES ('files', 'https://www.example.com/');
        SELECT cfcache.request_urls('example.com', ARRAY['https://www.example.com/']); COMMIT";
    client.batch_execute(request).await.unwrap();
    wait_for("the purge", || async { chaos.server.purges().len() > 1 }).await;
    client.batch_execute(request).await.unwrap();
    let_settle.send(true).unwrap();
    // The purge was before the second request. An uncertainty of the clocks must not hide what the bug loses.
    let lost = if has_bug { chaos.finish_in_doubt().await } else { chaos.finish().await };
    worker.stop().await;
    Some(lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_detects_a_store_that_deletes_by_key() {
    let Some(lost) = request_again_during_sending(false).await else { return };
    assert!(lost.is_empty(), "{lost:?}");
    let Some(lost) = request_again_during_sending(true).await else { return };
    assert_eq!(lost.len(), 1, "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_detects_a_producer_that_drops_repeated_requests() {
    let run = run_with(|seed| Production { drops_repeated: true, ..busy(seed) });
    let Some(lost) = run.await else { return };
    assert!(!lost.is_empty(), "the checker detected no loss");
}
