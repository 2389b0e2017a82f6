//! The worker in this process, on PostgreSQL, with the emulator as the API.

use std::sync::Arc;
use std::time::Duration;

use cfcache_emulator::{Fault, FaultAction, Scope, Token, TokenState, Zone};
use cfcache_queue::{Accounts, NewRequest, PostgresStore, Store, Subject};

use crate::support::api::{TestWorker, ZONE_ID, account, config, start, wait_for, wait_until_empty};
use crate::support::postgres::{Database, database};
use crate::support::purge;

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
        match purge.scope {
            Scope::Everything => seen.push("everything".to_owned()),
            Scope::Files(files) => seen.extend(files.into_iter().map(|file| file.url)),
            Scope::Tags(all) | Scope::Hosts(all) | Scope::Prefixes(all) => seen.extend(all),
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
    assert!(!why.contains("any-token"), "{why}");
    worker.stop().await;
    assert_eq!(row(&database, "SELECT count(*) FROM cfcache.request WHERE attempts = 0").await, 1);
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
