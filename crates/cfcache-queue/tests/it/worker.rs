//! The worker in this process, on PostgreSQL or a file, with the emulator as the API.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use cfcache_emulator::{Fault, FaultAction, PurgeItems, Token, TokenState, Zone};
use cfcache_queue::{
    Accounts, Claim, DeadRequest, DeadSelection, NewRequest, PostgresStore, QueueStatus, RequestGroup,
    SqliteStore, Store, StoreFuture, Subject, Tokens,
};
use tokio::time::Instant;

use crate::support::api::{
    TestWorker, ZONE_ID, account, account_with_timeout, config, start, wait_for, wait_until_empty,
};
use crate::support::postgres::{Database, database};
use crate::support::{Folder, purge};

fn url(path: &str) -> NewRequest {
    purge("files", &format!("https://www.example.com{path}"))
}

async fn row(database: &Database, sql: &str) -> i64 {
    database.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

fn store(database: &Database) -> Arc<PostgresStore> {
    Arc::new(database.store())
}

#[tokio::test]
async fn sends_waiting_requests_and_merges_covered_ones() {
    let Some(database) = database().await else { return };
    let (store, server) = (store(&database), start(config()).await);
    let requests = [
        url("/a"),
        url("/b"),
        url("/a"),
        purge("tags", "t1"),
        purge("hosts", "static.example.com"),
        purge("files", "https://static.example.com/covered"),
        NewRequest { subject: Subject::Everything, zone: ZONE_ID.to_owned(), ..url("/") },
        NewRequest { zone: ZONE_ID.to_owned(), ..url("/covered-by-everything") },
    ];
    store.insert(&requests).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    wait_until_empty(&*store).await;
    let metrics = worker.metrics.clone();
    worker.stop().await;
    let mut seen: Vec<String> = Vec::new();
    for purge in server.purges() {
        assert_eq!(purge.zone, ZONE_ID);
        match purge.items {
            PurgeItems::Everything => seen.push("everything".to_owned()),
            PurgeItems::Files(files) => seen.extend(files.into_iter().map(|file| file.url)),
            PurgeItems::Tags(all) | PurgeItems::Hosts(all) | PurgeItems::Prefixes(all) => seen.extend(all),
            _ => panic!("another scope"),
        }
    }
    seen.sort();
    let expected =
        ["everything", "https://www.example.com/a", "https://www.example.com/b", "static.example.com", "t1"];
    assert_eq!(seen, expected);
    let text = metrics.encode(None);
    for line in [
        "cfcache_queue_merged_total{why=\"same\"} 1",
        "cfcache_queue_merged_total{why=\"covered\"} 2",
        "cfcache_queue_attempts_total{outcome=\"accepted\"} 5",
        "cfcache_queue_wait_seconds_count 5",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let lookups = server.log().entries();
    assert_eq!(lookups.iter().filter(|entry| entry.endpoint == Some("list_zones")).count(), 1);
}

#[tokio::test]
async fn a_refused_entry_becomes_a_dead_letter_and_the_rest_is_accepted() {
    let Some(database) = database().await else { return };
    let (store, server) = (store(&database), start(config()).await);
    let mut requests: Vec<NewRequest> = (0..20).map(|number| url(&format!("/{number}"))).collect();
    requests.insert(7, purge("files", "https://www.example.org/of-another-zone"));
    store.insert(&requests).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    wait_until_empty(&*store).await;
    worker.stop().await;
    let status = store.status().await.unwrap();
    assert_eq!((status.dead_count, status.dead[0].reason.as_str()), (1, "refused"));
    assert_eq!(status.dead[0].key, "https://www.example.org/of-another-zone");
    assert_eq!(server.log().counts().items, 20);
}

#[tokio::test]
async fn a_429_returns_requests_unchanged_and_blocks_the_budget() {
    let Some(database) = database().await else { return };
    let store = store(&database);
    let refusal =
        FaultAction::Status { status: 429, code: None, body: None, retry_after: Some("2".to_owned()) };
    let server = start(config().with_fault(Fault::new(refusal).with_times(1))).await;
    store.insert(&[url("/a")]).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    let blocked = || async {
        let status = store.status().await.unwrap();
        status.budgets.iter().any(|budget| budget.blocked_for > Duration::from_millis(100))
    };
    wait_for("a blocked budget", blocked).await;
    assert_eq!(row(&database, "SELECT count(*) FROM cfcache.request WHERE attempts = 0").await, 1);
    wait_until_empty(&*store).await;
    worker.stop().await;
    let entries = server.log().entries();
    let purges: Vec<_> = entries.iter().filter(|entry| entry.path.ends_with("/purge_cache")).collect();
    assert_eq!(purges.len(), 2);
    assert!(purges[1].at - purges[0].at >= Duration::from_millis(1900), "{purges:?}");
}

#[tokio::test]
async fn a_5xx_counts_an_attempt_and_is_retried() {
    let Some(database) = database().await else { return };
    let store = store(&database);
    let server = start(config().with_fault(Fault::new(FaultAction::status(500)).with_times(2))).await;
    store.insert(&[url("/a")]).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    let counted =
        || async { row(&database, "SELECT count(*) FROM cfcache.request WHERE attempts > 0").await == 1 };
    wait_for("an attempt", counted).await;
    wait_until_empty(&*store).await;
    worker.stop().await;
    assert_eq!(store.status().await.unwrap().dead_count, 0);
    assert_eq!(server.purges().len(), 1);
}

#[tokio::test]
async fn refused_credentials_make_it_not_ready_and_keep_requests() {
    let Some(database) = database().await else { return };
    let store = store(&database);
    let token = Token::new("another-token-that-is-not-the-worker-s-000").with_state(TokenState::Active);
    let server = start(config().with_token(token)).await;
    store.insert(&[NewRequest { zone: ZONE_ID.to_owned(), ..url("/a") }]).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    wait_for("not ready", || async { !worker.health.not_ready().is_empty() }).await;
    let why = worker.health.not_ready().join(" ");
    assert!(!why.contains("any-token") && why.contains("check the token"), "{why}");
    worker.stop().await;
    assert_eq!(row(&database, "SELECT count(*) FROM cfcache.request WHERE attempts = 0").await, 1);
}

#[tokio::test]
async fn a_zone_that_the_token_may_not_purge_stops_neither_others_nor_readiness() {
    let folder = Folder::new();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let server = start(config()).await;
    let zones = [ZONE_ID.to_owned(), "b".repeat(32)];
    store.insert(&zones.map(|zone| NewRequest { zone, ..url("/a") })).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    let both_were_sent = || async { server.log().entries().len() == 2 };
    wait_for("both purges", both_were_sent).await;
    wait_for("one waiting request", || async { store.status().await.unwrap().waiting() == 1 }).await;
    wait_for("readiness", || async { worker.health.not_ready().is_empty() }).await;
    worker.stop().await;
    assert_eq!(server.purges().len(), 1);
}

#[tokio::test]
async fn expired_requests_and_unknown_zones_become_dead_letters() {
    let Some(database) = database().await else { return };
    let (store, server) = (store(&database), start(config()).await);
    let unknown = NewRequest { zone: "unknown.example".to_owned(), ..url("/a") };
    store.insert(&[url("/expired"), unknown]).await.unwrap();
    let sql = "UPDATE cfcache.request SET expires_at = now() - interval '1 s' WHERE key LIKE '%expired'";
    database.client().await.batch_execute(sql).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    wait_until_empty(&*store).await;
    worker.stop().await;
    let status = store.status().await.unwrap();
    let mut dead: Vec<_> =
        status.dead.iter().map(|dead| (dead.reason.as_str(), dead.zone.as_str())).collect();
    dead.sort_unstable();
    assert_eq!(dead, [("expired", "example.com"), ("refused", "unknown.example")]);
    assert!(server.purges().is_empty());
}

#[tokio::test]
async fn uses_the_credentials_of_the_zones_account() {
    let Some(database) = database().await else { return };
    let store = store(&database);
    let (one, other) =
        (start(config()).await, start(config().with_zone(Zone::new("a".repeat(32), "example.net"))).await);
    let second = NewRequest { zone: "example.net".to_owned(), ..purge("files", "https://www.example.net/") };
    store.insert(&[url("/a"), second]).await.unwrap();
    let accounts = Accounts::new(account(&one, "one"))
        .with_account(account(&other, "other"), ["Example.NET".to_owned()]);
    let worker = TestWorker::start(store.clone(), accounts);
    wait_until_empty(&*store).await;
    worker.stop().await;
    assert_eq!((one.purges().len(), other.purges().len()), (1, 1));
    let budgets = store.status().await.unwrap().budgets;
    let names: Vec<_> = budgets.iter().map(|budget| budget.name.as_str()).collect();
    assert_eq!(names, ["one/calls", "one/enterprise/urls", "other/calls", "other/enterprise/urls"]);
}

#[tokio::test]
async fn a_zone_lookup_that_hangs_delays_neither_other_zones_nor_a_stop() {
    let folder = Folder::new();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let server = start(config().with_fault("stall,on=list_zones".parse().unwrap())).await;
    // Only the domain must be looked up.
    let by_id = NewRequest { zone: ZONE_ID.to_owned(), ..url("/by-id") };
    let hanging = NewRequest { zone: "a.example".to_owned(), ..url("/hanging") };
    store.insert(&[hanging]).await.unwrap();
    let accounts = Accounts::new(account_with_timeout(&server, "a", Duration::from_secs(3600)));
    let worker = TestWorker::start_with(store.clone(), accounts, 1);
    let is_hanging =
        || async { server.log().entries().iter().any(|entry| entry.endpoint == Some("list_zones")) };
    wait_for("the lookup", is_hanging).await;
    store.insert(&[by_id]).await.unwrap();
    wait_for("the purge of the other zone", || async { server.purges().len() == 1 }).await;
    tokio::time::timeout(Duration::from_secs(60), worker.stop()).await.unwrap();
    assert_eq!(store.status().await.unwrap().waiting(), 1);
}

#[tokio::test]
async fn claims_that_cannot_be_settled_are_sent_again_after_growing_pauses() {
    let folder = Folder::new();
    let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let file = rusqlite::Connection::open(folder.path().join("queue.sqlite3")).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE DELETE ON request BEGIN SELECT raise(FAIL, 'disk full'); END";
    file.execute_batch(trigger).unwrap();
    let server = start(config()).await;
    store.insert(&[NewRequest { zone: ZONE_ID.to_owned(), ..url("/a") }]).await.unwrap();
    let worker = TestWorker::start(store.clone(), Accounts::new(account(&server, "a")));
    wait_for("three purges", || async { server.purges().len() >= 3 }).await;
    file.execute_batch("DROP TRIGGER full").unwrap();
    wait_until_empty(&*store).await;
    worker.stop().await;
    let times: Vec<_> = server.purges().iter().map(|purge| purge.at).collect();
    let pauses: Vec<_> = times.windows(2).map(|times| times[1] - times[0]).collect();
    // Half of each pause is random.
    assert!(pauses[0] >= Duration::from_millis(250) && pauses[1] >= Duration::from_millis(500), "{pauses:?}");
}

/// A store that never answers.
#[derive(Debug)]
struct HangingStore;

impl Store for HangingStore {
    fn insert<'a>(&'a self, _: &'a [NewRequest]) -> StoreFuture<'a, ()> {
        Box::pin(pending())
    }

    fn ready_groups(&self) -> StoreFuture<'_, Vec<RequestGroup>> {
        Box::pin(pending())
    }

    fn claim<'a>(&'a self, _: &'a RequestGroup, _: usize) -> StoreFuture<'a, Option<Box<dyn Claim>>> {
        Box::pin(pending())
    }

    fn take_tokens<'a>(&'a self, _: &'a [Tokens]) -> StoreFuture<'a, Duration> {
        Box::pin(pending())
    }

    fn block_budgets<'a>(&'a self, _: &'a [String], _: Duration) -> StoreFuture<'a, ()> {
        Box::pin(pending())
    }

    fn status(&self) -> StoreFuture<'_, QueueStatus> {
        Box::pin(pending())
    }

    fn check_writable(&self) -> StoreFuture<'_, ()> {
        Box::pin(pending())
    }

    fn dead(&self, _: usize) -> StoreFuture<'_, Vec<DeadRequest>> {
        Box::pin(pending())
    }

    fn retry_dead<'a>(&'a self, _: &'a DeadSelection) -> StoreFuture<'a, u64> {
        Box::pin(pending())
    }

    fn drop_dead<'a>(&'a self, _: &'a DeadSelection) -> StoreFuture<'a, u64> {
        Box::pin(pending())
    }
}

#[tokio::test]
async fn is_alive_and_stops_at_once_while_the_store_does_not_answer() {
    let server = start(config()).await;
    let account = account(&server, "a");
    tokio::time::pause();
    let worker = TestWorker::start(Arc::new(HangingStore), Accounts::new(account));
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(worker.health.alive(Instant::now()), Ok(()));
    }
    let begun = Instant::now();
    worker.stop().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
