//! The store on PostgreSQL: migrations, SQL functions, claims, budgets, dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::target::{Kind, Target};
use cfcache_queue::engine::MAX_ATTEMPTS;
use cfcache_queue::{
    Claim, DeadReason, DeadSelection, NewDeadLetters, NewRequest, PostgresStore, PostgresUrl, RequestGroup,
    Settlement, Store, Subject, Tokens,
};

use tokio::task::JoinSet;

use crate::support::chaos::{Random, seed};
use crate::support::postgres::{Database, PASSWORD, connect, database, empty_database};

const ZONE: &str = "example.com";

fn group(kind: Option<Kind>) -> RequestGroup {
    RequestGroup { zone: ZONE.to_owned(), environment: None, action: Action::Purge, kind }
}

fn request(kind: Kind, key: &str) -> NewRequest {
    NewRequest {
        zone: ZONE.to_owned(),
        environment: None,
        action: Action::Purge,
        subject: Subject::Target(Target::parse(kind, key).unwrap()),
        priority: 0,
        delay: Duration::ZERO,
        source: None,
        event: None,
    }
}

fn url(path: &str) -> NewRequest {
    request(Kind::Files, &format!("https://www.example.com{path}"))
}

/// Returns the keys of a claim, with the number of equal and covered requests of each.
fn keys(claim: &dyn Claim) -> Vec<(String, u64, u64)> {
    let key = |claimed: &cfcache_queue::ClaimedTarget| claimed.request.request.subject.key().into_owned();
    claim.requests().iter().map(|claimed| (key(claimed), claimed.same, claimed.covered)).collect()
}

/// Searches and claims, as a worker does, as soon as there are requests. The server takes a moment to notice that a connection was dropped.
async fn claim(store: &PostgresStore, kind: Option<Kind>, limit: usize) -> Box<dyn Claim> {
    for _ in 0..500 {
        store.ready_groups().await.unwrap();
        if let Some(claim) = store.claim(&group(kind), limit).await.unwrap() {
            return claim;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing to claim within 5 seconds");
}

async fn settle(claim: Box<dyn Claim>, settlement: Settlement) {
    let settlements = vec![settlement; claim.requests().len()];
    claim.settle(settlements).await.unwrap();
}

async fn waiting(store: &PostgresStore) -> u64 {
    store.status().await.unwrap().waiting()
}

async fn error_of(database: &Database, sql: &str) -> String {
    let client = database.client().await;
    let error = client.batch_execute(sql).await.expect_err(sql);
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "22023", "{error:?}");
    error.message().to_owned()
}

#[tokio::test]
async fn migrate_is_idempotent_and_waits_for_concurrent_migrations() {
    let Some(database) = empty_database().await else { return };
    let store = database.store();
    let before = store.check_schema().await.unwrap_err().to_string();
    assert!(before.contains("run `cfcache-queue migrate`"), "{before}");
    let stores: Vec<_> = (0..4).map(|_| database.store()).collect();
    let (a, b, c, d) =
        tokio::join!(stores[0].migrate(), stores[1].migrate(), stores[2].migrate(), stores[3].migrate());
    let mut from: Vec<u32> = [a, b, c, d].map(|result| result.unwrap().0).into();
    from.sort_unstable();
    assert_eq!(from, [0, 2, 2, 2]);
    assert_eq!(store.migrate().await.unwrap(), (2, 2));
    store.check_schema().await.unwrap();
    store.check_writable().await.unwrap();
}

#[tokio::test]
async fn migrate_keeps_the_requests_of_version_1() {
    let Some(database) = empty_database().await else { return };
    let (store, client) = (database.store(), database.client().await);
    let sql = [
        "CREATE SCHEMA cfcache; CREATE TABLE cfcache.migration (version integer PRIMARY KEY);
         INSERT INTO cfcache.migration VALUES (1);",
        include_str!("../../src/store/postgres/0001.sql"),
        "SELECT cfcache.request_tags('example.com', ARRAY['due', 'later']);
         SELECT cfcache.request_tags('example.com', ARRAY['delayed'], delay => '1 hour');
         UPDATE cfcache.request SET not_before = now() - interval '1 s', requested_at = now() - interval '2 s'
           WHERE key = 'later';",
    ];
    client.batch_execute(&sql.concat()).await.unwrap();
    assert!(store.check_schema().await.unwrap_err().to_string().contains("run `cfcache-queue migrate`"));
    assert_eq!(store.migrate().await.unwrap(), (1, 2));
    let sql = "SELECT cfcache.request_tags('example.com', ARRAY['new']);
               SELECT cfcache.request_tags('example.com', ARRAY['delayed-too'], delay => '1 hour')";
    client.batch_execute(sql).await.unwrap();
    // A program that writes to the table directly, and a worker of version 1, which leaves the time of the retry.
    let sql = "INSERT INTO cfcache.request (zone, kind, key) VALUES ('example.com', 'tags', 'direct');
               UPDATE cfcache.request SET not_before = clock_timestamp() WHERE key = 'direct'";
    client.batch_execute(sql).await.unwrap();
    let claim = claim(&store, Some(Kind::Tags), 10).await;
    let found: Vec<String> = keys(&*claim).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(found, ["due", "later", "new", "direct"]);
}

#[tokio::test]
async fn migrate_refuses_a_newer_schema() {
    let Some(database) = database().await else { return };
    database.client().await.batch_execute("INSERT INTO cfcache.migration VALUES (99)").await.unwrap();
    for error in
        [database.store().migrate().await.unwrap_err(), database.store().check_schema().await.unwrap_err()]
    {
        assert!(error.to_string().contains("the schema has version 99"), "{error}");
    }
}

#[tokio::test]
async fn sql_functions_store_in_the_transaction_of_the_caller() {
    let Some(database) = database().await else { return };
    let (store, client) = (database.store(), database.client().await);
    let sql =
        "BEGIN; SELECT cfcache.request_urls('Example.COM', ARRAY['https://www.example.com/a']); ROLLBACK";
    client.batch_execute(sql).await.unwrap();
    assert_eq!(waiting(&store).await, 0);
    let sql = "BEGIN; SELECT cfcache.request_urls('Example.COM', ARRAY['https://www.example.com/a', \
               '{\"url\":\"https://www.example.com/b\",\"headers\":{\"CF-Device-Type\":\"mobile\"}}']);
               SELECT cfcache.request_tags('example.com', ARRAY['t-1', 'T-1']);
               SELECT cfcache.request_hosts('example.com', ARRAY['WWW.example.com']);
               SELECT cfcache.request_prefixes('example.com', ARRAY['www.example.com/blog']);
               SELECT cfcache.request_everything('example.com', action => 'invalidate', priority => 3); COMMIT";
    client.batch_execute(sql).await.unwrap();
    let status = store.status().await.unwrap();
    let kinds: BTreeMap<_, _> = status.kinds.iter().map(|kind| (kind.kind.as_str(), kind.waiting)).collect();
    let expected = [("everything", 1), ("files", 2), ("hosts", 1), ("prefixes", 1), ("tags", 2)];
    assert_eq!(kinds, expected.into());
    let tags = claim(&store, Some(Kind::Tags), 10).await;
    assert_eq!(keys(&*tags), [("t-1".to_owned(), 1, 0)]);
    assert!(!tags.requests()[0].request.is_expired);
    assert_eq!(tags.requests()[0].request.request.source.as_deref(), Some("sql"));
}

#[tokio::test]
async fn sql_functions_refuse_invalid_arguments_and_store_nothing() {
    let Some(database) = database().await else { return };
    let cases = [
        ("request_urls('example.com', NULL)", "the array is null"),
        ("request_urls('example.com', ARRAY[]::text[])", "the array is empty"),
        ("request_urls(NULL, ARRAY['https://a.example/'])", "the zone is null"),
        ("request_urls('  ', ARRAY['https://a.example/'])", "the zone is empty"),
        ("request_urls('no zone', ARRAY['https://a.example/'])", "`no zone` is neither a zone id"),
        ("request_urls('example.com', ARRAY['https://a.example/', NULL])", "URL 2 is null"),
        ("request_urls('example.com', ARRAY['https://a.example/', ''])", "URL 2 `` is empty"),
        ("request_urls('example.com', ARRAY['ftp://a.example/'])", "does not begin with http:// or https://"),
        ("request_urls('example.com', ARRAY['https://'])", "has no host"),
        ("request_urls('example.com', ARRAY['https://a.example/ b'])", "white space"),
        ("request_urls('example.com', ARRAY[E'https://a.example/\\n'])", "white space"),
        ("request_urls('example.com', ARRAY['https://a.example/\\b'])", "backslash"),
        ("request_urls('example.com', ARRAY['{\"url\":']::text[])", "is not a JSON object"),
        ("request_urls('example.com', ARRAY['{\"URL\":1}'])", "has no string field \"url\""),
        (
            "request_urls('example.com', ARRAY[repeat('https://a.example/', 4000)])",
            "longer than 32,768 bytes",
        ),
        (
            "request_urls('example.com', array_fill('https://a.example/'::text, ARRAY[10001]))",
            "at most 10,000",
        ),
        ("request_tags('example.com', ARRAY['a,b'])", "contains a comma"),
        ("request_tags('example.com', ARRAY['ä'])", "not printable ASCII"),
        ("request_hosts('example.com', ARRAY['https://a.example'])", "has a scheme"),
        ("request_hosts('example.com', ARRAY['a.example/b'])", "has a path"),
        ("request_hosts('example.com', ARRAY['*.example.com'])", "has a wildcard"),
        ("request_prefixes('example.com', ARRAY['a.example/b?c'])", "has a query"),
        ("request_prefixes('example.com', ARRAY['/b'])", "has no host"),
        ("request_everything('example.com', action => 'delete')", "neither `purge` nor `invalidate`"),
        ("request_everything('example.com', delay => '-1 s')", "not between 0 and 24 hours"),
        ("request_everything('example.com', priority => 70000)", "not between -32768 and 32767"),
        ("request_everything('example.com', environment => 'a b')", "is not an id"),
    ];
    for (call, expected) in cases {
        let message = error_of(&database, &format!("SELECT cfcache.{call}")).await;
        assert!(message.contains(expected), "{call}: {message}");
    }
    assert_eq!(waiting(&database.store()).await, 0);
}

#[tokio::test]
async fn a_producer_needs_no_privileges_on_the_tables() {
    let Some(database) = database().await else { return };
    let role = format!("producer_{}", database.name);
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA cfcache TO {role};
         GRANT EXECUTE ON FUNCTION cfcache.request_urls TO {role}"
    );
    database.client().await.batch_execute(&sql).await.unwrap();
    let client = connect(&database.cluster.url_at(database.cluster.port, &role, &database.name)).await;
    client
        .batch_execute("SELECT cfcache.request_urls('example.com', ARRAY['https://a.example/'])")
        .await
        .unwrap();
    for denied in [
        "SELECT cfcache.request_everything('example.com')",
        "SELECT * FROM cfcache.request",
        "SELECT cfcache.take_tokens(ARRAY['a'], ARRAY[1], ARRAY[1], ARRAY[1])",
        "SELECT cfcache.enqueue('everything', 'example.com', ARRAY[''], NULL, 'purge', 0, '0')",
    ] {
        let error = client.batch_execute(denied).await.expect_err(denied);
        assert_eq!(error.code().unwrap().code(), "42501", "{denied}");
    }
    assert_eq!(waiting(&database.store()).await, 1);
}

#[tokio::test]
async fn claims_by_priority_then_age_with_all_duplicates() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let mut requests: Vec<NewRequest> = ["/a", "/b", "/a", "/c", "/a"].map(url).into();
    requests.push(NewRequest { priority: 5, ..url("/urgent") });
    requests.push(NewRequest { delay: Duration::from_secs(3600), ..url("/later") });
    store.insert(&requests).await.unwrap();
    assert_eq!(store.ready_groups().await.unwrap(), [group(Some(Kind::Files))]);
    let first = claim(&store, Some(Kind::Files), 3).await;
    let key = |path: &str| format!("https://www.example.com{path}");
    assert_eq!(keys(&*first), [(key("/urgent"), 0, 0), (key("/a"), 2, 0), (key("/b"), 0, 0)]);
    // A store with another pool skips the requests that this worker has claimed.
    let second = claim(&database.store(), Some(Kind::Files), 3).await;
    assert_eq!(keys(&*second), [(key("/c"), 0, 0)]);
    assert!(store.claim(&group(Some(Kind::Files)), 3).await.unwrap().is_none());
    settle(first, Settlement::Accepted).await;
    drop(second);
    let again = claim(&store, Some(Kind::Files), 3).await;
    assert_eq!(keys(&*again), [(key("/c"), 0, 0)]);
    settle(again, Settlement::Accepted).await;
    assert_eq!(waiting(&store).await, 1, "the delayed request");
    assert!(store.ready_groups().await.unwrap().is_empty());
}

/// Requests that arrive while others are being stored share a transaction.
#[tokio::test]
async fn concurrent_inserts_share_a_transaction_but_a_refused_one_fails_alone() {
    let Some(database) = database().await else { return };
    let (store, client) = (Arc::new(database.store()), database.client().await);
    for refused in [None, Some(17)] {
        let mut tasks = JoinSet::new();
        for number in 0..100 {
            let store = Arc::clone(&store);
            // The table refuses this zone.
            let zone = if refused == Some(number) { String::new() } else { ZONE.to_owned() };
            let request = NewRequest { zone, ..url(&format!("/{number}")) };
            tasks.spawn(async move { (number, store.insert(&[request]).await.is_ok()) });
        }
        let failed = tasks.join_all().await.into_iter().filter(|(_, is_stored)| !is_stored);
        assert_eq!(failed.map(|(number, _)| number).collect::<Vec<_>>(), Vec::from_iter(refused));
        let sql = "SELECT count(*), count(DISTINCT key), count(DISTINCT xmin::text) FROM cfcache.request";
        let row = client.query_one(sql, &[]).await.unwrap();
        let (rows, keys, transactions): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let stored = if refused.is_some() { 99 } else { 100 };
        assert_eq!((rows, keys), (stored, stored));
        assert!(refused.is_some() || transactions < 50, "{transactions} transactions");
        client.batch_execute("TRUNCATE cfcache.request").await.unwrap();
    }
}

#[tokio::test]
async fn does_not_settle_requests_that_arrive_during_a_claim() {
    let Some(database) = database().await else { return };
    let store = database.store();
    store.insert(&[url("/a")]).await.unwrap();
    let first = claim(&store, Some(Kind::Files), 10).await;
    store.insert(&[url("/a")]).await.unwrap();
    settle(first, Settlement::Accepted).await;
    assert_eq!(waiting(&store).await, 1);
}

#[tokio::test]
async fn a_host_claims_exactly_the_requests_on_it() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let covered = ["https://www.example.com/", "https://WWW.example.com/a?b", "http://www.example.com/c"];
    let others = [
        "https://www.example.com.evil.example/",
        "https://www.example.com:8443/a",
        "https://user@www.example.com/a",
        "https://www.example.comet/",
        "https://example.com/www.example.com/",
        "https://www.example.com/a#fragment",
    ];
    let mut requests = vec![request(Kind::Hosts, "www.example.com")];
    requests.extend(covered.iter().chain(&others).map(|url| request(Kind::Files, url)));
    requests.push(request(Kind::Prefixes, "www.example.com/blog"));
    requests.push(request(Kind::Tags, "www.example.com/tag"));
    requests.push(NewRequest { environment: Some("e1".to_owned()), ..url("/environment") });
    requests.push(NewRequest { zone: "example.net".to_owned(), ..url("/zone") });
    store.insert(&requests).await.unwrap();
    let claim = claim(&store, Some(Kind::Hosts), 10).await;
    assert_eq!(keys(&*claim), [("www.example.com".to_owned(), 0, 4)]);
    settle(claim, Settlement::Accepted).await;
    assert_eq!(waiting(&store).await, 9);
}

#[tokio::test]
async fn a_prefix_claims_longer_prefixes_by_whole_segments() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let prefixes = [
        "www.example.com/blog",
        "www.example.com/blog/2024",
        "www.example.com/blog/2024/05/",
        "www.example.com/blogs",
        "www.example.com/Blog/2024",
        "www.example.com/blog/../shop",
        "www.example.com/blog/%2E%2e/shop",
    ];
    let mut requests: Vec<_> = prefixes.iter().map(|key| request(Kind::Prefixes, key)).collect();
    requests.push(url("/blog/post"));
    store.insert(&requests).await.unwrap();
    let claim = claim(&store, Some(Kind::Prefixes), 1).await;
    assert_eq!(keys(&*claim), [("www.example.com/blog".to_owned(), 0, 2)]);
}

#[tokio::test]
async fn everything_claims_all_requests_of_the_zone() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let everything = NewRequest { subject: Subject::Everything, ..url("/") };
    let requests = [
        url("/a"),
        request(Kind::Tags, "t"),
        everything.clone(),
        everything.clone(),
        NewRequest { environment: Some("e1".to_owned()), ..url("/b") },
        NewRequest { action: Action::Invalidate, ..url("/c") },
        NewRequest { zone: "example.net".to_owned(), ..url("/zone") },
    ];
    store.insert(&requests).await.unwrap();
    let claim = claim(&store, None, 1).await;
    assert_eq!(keys(&*claim), [(String::new(), 1, 4)]);
    settle(claim, Settlement::Accepted).await;
    assert_eq!(waiting(&store).await, 1);
}

#[tokio::test]
async fn applies_each_settlement() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let requests: Vec<_> = ["/accepted", "/dead", "/untouched", "/again", "/dead"].map(url).into();
    store.insert(&requests).await.unwrap();
    let claim_of_all = claim(&store, Some(Kind::Files), 10).await;
    let settlements = vec![
        Settlement::Accepted,
        Settlement::Dead { reason: DeadReason::Refused, error: "code 1\0".to_owned() },
        Settlement::Untouched,
        Settlement::TryAgain { after: Duration::from_secs(60), error: "no answer".to_owned(), counts: true },
    ];
    claim_of_all.settle(settlements).await.unwrap();
    let status = store.status().await.unwrap();
    assert_eq!((status.waiting(), status.dead_count), (2, 2));
    let dead = &status.dead[0];
    assert_eq!((dead.reason.as_str(), dead.last_error.as_str()), ("refused", "code 1\u{fffd}"));
    assert_eq!(dead.key, "https://www.example.com/dead");
    let again = claim(&store, Some(Kind::Files), 10).await;
    assert_eq!(keys(&*again), [("https://www.example.com/untouched".to_owned(), 0, 0)]);
    drop(again);
    let client = database.client().await;
    let row = client
        .query_one("SELECT attempts, last_error, not_before > now() + '50 s' FROM cfcache.request WHERE attempts > 0", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (1, "no answer", true));
    // Retried dead letters are new requests; dropped ones are deleted.
    assert_eq!(store.retry_dead(&DeadSelection::Ids(vec![status.dead[1].id, 9999])).await.unwrap(), 1);
    assert_eq!(store.drop_dead(&DeadSelection::All).await.unwrap(), 1);
    let status = store.status().await.unwrap();
    assert_eq!((status.waiting(), status.dead_count), (3, 0));
}

#[tokio::test]
async fn a_row_with_an_invalid_target_becomes_a_dead_letter() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let sql = "INSERT INTO cfcache.request (zone, kind, key) VALUES ('example.com', 'files', 'nonsense')";
    database.client().await.batch_execute(sql).await.unwrap();
    let claim = store.claim(&group(Some(Kind::Files)), 10).await.unwrap().unwrap();
    assert!(claim.requests().is_empty());
    let dead = claim.settle(Vec::new()).await.unwrap();
    assert_eq!(
        dead.iter().map(|dead| (dead.reason, dead.requests)).collect::<Vec<_>>(),
        [(DeadReason::Refused, 1)]
    );
    let status = store.status().await.unwrap();
    assert_eq!((status.waiting(), status.dead_count), (0, 1));
    assert_eq!(status.dead[0].key, "nonsense");
}

/// The limit is reached with the old request, so the younger one is found in the search for equal targets.
#[tokio::test]
async fn an_expired_request_does_not_expire_younger_ones_beyond_the_limit() {
    let Some(database) = database().await else { return };
    let store = database.store();
    store.insert(&[url("/a")]).await.unwrap();
    let sql = "UPDATE cfcache.request SET expires_at = expires_at - interval '25 hours'";
    database.client().await.batch_execute(sql).await.unwrap();
    store.insert(&[url("/a")]).await.unwrap();
    let old = claim(&store, Some(Kind::Files), 1).await;
    assert!(old.requests()[0].request.is_expired);
    assert_eq!(old.requests()[0].same, 0);
    settle(old, Settlement::Dead { reason: DeadReason::Expired, error: "too old".to_owned() }).await;
    assert_eq!(waiting(&store).await, 1);
}

#[tokio::test]
async fn merged_requests_keep_separate_attempt_counts() {
    let Some(database) = database().await else { return };
    let (store, client) = (database.store(), database.client().await);
    let most = i32::try_from(MAX_ATTEMPTS).unwrap();
    store.insert(&[url("/a")]).await.unwrap();
    client.execute("UPDATE cfcache.request SET attempts = $1", &[&(most - 1)]).await.unwrap();
    // The younger request is claimed first, and the older one with it: as one of the first rows, and beyond the limit.
    for limit in [10, 1] {
        store.insert(&[NewRequest { priority: 1, ..url("/a") }, url("/b")]).await.unwrap();
        let again =
            |counts| Settlement::TryAgain { after: Duration::ZERO, error: "broken".to_owned(), counts };
        for counts in [false, true] {
            let claim = claim(&store, Some(Kind::Files), limit).await;
            let targets = claim.requests().len();
            let both = &claim.requests()[0];
            assert_eq!((both.request.attempts, both.attempts, both.same), (0, MAX_ATTEMPTS - 1, 1));
            let dead_letters = claim.settle(vec![again(counts); targets]).await.unwrap();
            let dead =
                NewDeadLetters { reason: DeadReason::Attempts, error: "broken".to_owned(), requests: 1 };
            assert_eq!(dead_letters, if counts { vec![dead] } else { Vec::new() });
        }
        let rows = client
            .query(
                "SELECT key, attempts, last_error FROM cfcache.request WHERE attempts > 0 \
                 UNION ALL SELECT 'dead', attempts, last_error FROM cfcache.dead ORDER BY key",
                &[],
            )
            .await
            .unwrap();
        let found: Vec<(String, i32, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        let mut expected = vec![("dead", most), ("https://www.example.com/a", 1)];
        expected.extend((limit == 10).then_some(("https://www.example.com/b", 1)));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(key, attempts)| (key.to_owned(), attempts, "broken".to_owned()))
            .collect();
        assert_eq!(found, expected);
        let sql = "TRUNCATE cfcache.request, cfcache.dead";
        client.batch_execute(sql).await.unwrap();
        store.insert(&[url("/a")]).await.unwrap();
        client.execute("UPDATE cfcache.request SET attempts = $1", &[&(most - 1)]).await.unwrap();
    }
}

#[tokio::test]
async fn requests_expire_except_everything() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let everything = NewRequest { subject: Subject::Everything, ..url("/") };
    store.insert(&[url("/a"), everything]).await.unwrap();
    let client = database.client().await;
    let changed =
        client.execute("UPDATE cfcache.request SET expires_at = expires_at - interval '25 hours'", &[]);
    assert_eq!(changed.await.unwrap(), 2);
    let files = claim(&store, Some(Kind::Files), 10).await;
    assert!(files.requests()[0].request.is_expired);
    assert!(!claim(&store, None, 10).await.requests()[0].request.is_expired);
}

/// An expired request is given up, but not a later one for the same target.
#[tokio::test]
async fn an_expired_request_does_not_expire_younger_ones() {
    let Some(database) = database().await else { return };
    let store = database.store();
    store.insert(&[url("/a"), request(Kind::Hosts, "www.example.com")]).await.unwrap();
    let client = database.client().await;
    let sql = "UPDATE cfcache.request SET expires_at = expires_at - interval '25 hours'";
    assert_eq!(client.execute(sql, &[]).await.unwrap(), 2);
    store.insert(&[url("/a"), url("/b")]).await.unwrap();
    let hosts = claim(&store, Some(Kind::Hosts), 10).await;
    assert_eq!(hosts.requests()[0].covered, 0);
    drop(hosts);
    let files = claim(&store, Some(Kind::Files), 10).await;
    let old: Vec<(bool, u64)> =
        files.requests().iter().map(|claimed| (claimed.request.is_expired, claimed.same)).collect();
    assert_eq!(old, [(true, 0), (false, 0), (false, 0)]);
    let dead = Settlement::Dead { reason: DeadReason::Expired, error: "too old".to_owned() };
    files.settle(vec![dead, Settlement::Untouched, Settlement::Untouched]).await.unwrap();
    assert_eq!(waiting(&store).await, 3);
}

#[tokio::test]
async fn takes_tokens_from_all_budgets_or_none() {
    let Some(database) = database().await else { return };
    let store = database.store();
    let tokens = |budget: &str, seconds, burst, count| Tokens {
        budget: budget.to_owned(),
        interval: Duration::from_secs(seconds),
        burst,
        count,
    };
    let both = [tokens("b", 60, 2, 1), tokens("a", 60, 100, 90)];
    assert_eq!(store.take_tokens(&both).await.unwrap(), Duration::ZERO);
    let wait = store.take_tokens(&both).await.unwrap();
    assert!(wait > Duration::from_secs(79 * 60) && wait <= Duration::from_secs(80 * 60), "{wait:?}");
    // The second call took nothing from `b`, so that has a token left.
    assert_eq!(store.take_tokens(&both[..1]).await.unwrap(), Duration::ZERO);
    assert_ne!(store.take_tokens(&both[..1]).await.unwrap(), Duration::ZERO);
    // A count above the burst counts as the burst.
    assert_eq!(store.take_tokens(&[tokens("c", 60, 5, 7)]).await.unwrap(), Duration::ZERO);
    store.block_budgets(&["d".to_owned()], Duration::from_secs(60)).await.unwrap();
    store.take_tokens(&[tokens("d", 1, 5, 1)]).await.unwrap();
    store.block_budgets(&["d".to_owned()], Duration::from_secs(600)).await.unwrap();
    store.block_budgets(&["d".to_owned()], Duration::from_secs(1)).await.unwrap();
    let wait = store.take_tokens(&[tokens("d", 1, 5, 1)]).await.unwrap();
    // The bucket is then empty.
    assert!(wait > Duration::from_secs(591) && wait <= Duration::from_secs(601), "{wait:?}");
    let budgets = store.status().await.unwrap().budgets;
    assert_eq!(budgets.iter().map(|budget| budget.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert!(budgets[0].tokens >= 10.0 && budgets[0].tokens < 11.0, "{budgets:?}");
    // An answer that demands an absurd time, and a server whose clock went back since then.
    store.block_budgets(&["d".to_owned()], Duration::MAX).await.unwrap();
    let wait = store.take_tokens(&[tokens("d", 1, 5, 1)]).await.unwrap();
    assert!(wait > Duration::from_secs(3590) && wait <= Duration::from_secs(3601), "{wait:?}");
    let sql = "UPDATE cfcache.budget SET blocked_until = now() + interval '1 year', tat = now() + interval '1 year'";
    database.client().await.batch_execute(sql).await.unwrap();
    let wait = store.take_tokens(&[tokens("d", 1, 5, 1)]).await.unwrap();
    assert!(!wait.is_zero() && wait <= Duration::from_secs(1), "{wait:?}");
}

#[tokio::test]
async fn workers_never_take_more_than_their_shared_budget() {
    let Some(database) = database().await else { return };
    let tokens =
        [Tokens { budget: "b".to_owned(), interval: Duration::from_secs(3600), burst: 50, count: 1 }];
    let store = Arc::new(database.store());
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, tokens) = (store.clone(), tokens.clone());
        tasks.spawn(async move {
            let mut taken = 0;
            for _ in 0..20 {
                taken += u32::from(store.take_tokens(&tokens).await.unwrap().is_zero());
            }
            taken
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u32>(), 50);
}

#[test]
fn refuses_an_unencoded_password_without_showing_it() {
    for url in ["postgres://u:secret@rest@127.0.0.1/db", "postgres://u:pw@secret/@127.0.0.1/db"] {
        let invalid = PostgresUrl::parse(url).unwrap_err().to_string();
        assert!(invalid.contains("%40") && !invalid.contains("secret"), "{invalid}");
    }
}

#[test]
fn refuses_parameters_of_other_programs_without_showing_them() {
    for (url, part) in [
        ("postgres://u@127.0.0.1/db?schema=secret", "what follows `?`"),
        ("postgres://u@127.0.0.1/db?connect_timeout=secret", "what follows `?`"),
    ] {
        let invalid = PostgresUrl::parse(url).expect_err(url).to_string();
        assert!(invalid.contains(part) && !invalid.contains("secret"), "{invalid}");
    }
}

#[tokio::test]
async fn errors_and_debug_do_not_show_the_password() {
    let Some(database) = database().await else { return };
    let wrong = database.url().replace(PASSWORD, "wr0ng-p4ssw0rd");
    let store = PostgresStore::new(PostgresUrl::parse(&wrong).unwrap(), 2);
    let error = store.status().await.unwrap_err();
    let shown = format!("{error} {error:?} {store:?} {:?}", PostgresUrl::parse(&wrong).unwrap());
    assert!(shown.contains("password authentication failed"), "{shown}");
    assert!(!shown.contains("wr0ng"), "{shown}");
    for broken in [
        "postgres://u:s3cret@[::1/db",
        "s3cret",
        "postgres://u:s3cret@h/db?sslmode=s3cret",
        "postgres://u:s3cret@h/db?s3cret=1",
        "postgres://",
    ] {
        let error = PostgresUrl::parse(broken).expect_err(broken);
        assert!(!format!("{error} {error:?}").contains("s3c"), "{error}");
    }
}

#[tokio::test]
async fn connects_over_a_unix_socket() {
    let Some(database) = database().await else { return };
    let folder = database.cluster.folder().to_str().unwrap().replace('/', "%2F");
    let (port, name) = (database.cluster.port, &database.name);
    let url = format!("postgres://postgres:{PASSWORD}@{folder}:{port}/{name}");
    PostgresStore::new(PostgresUrl::parse(&url).unwrap(), 2).check_writable().await.unwrap();
}

/// The SQL of a claim takes only requests that the engine says are covered, for any content of a queue.
#[tokio::test]
async fn a_claim_takes_only_requests_that_the_engine_covers() {
    let Some(database) = database().await else { return };
    let mut random = Random::new(seed());
    let hosts =
        ["www.example.com", "WWW.example.com", "example.com", "www.example.com.evil.example", "a.example"];
    let paths = [
        "",
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/A/b",
        "/ab",
        "/a/../b",
        "/a/%2e./b",
        "/a/b?c=/d",
        "/a/b#c",
        "?a",
        "/ü",
    ];
    let mut all: Vec<NewRequest> = Vec::new();
    for _ in 0..600 {
        let host = hosts[random.below(5) as usize];
        let path = paths[random.below(13) as usize];
        let (kind, key) = match random.below(8) {
            0 => ("everything", String::new()),
            1 => ("hosts", host.to_owned()),
            2 => ("prefixes", format!("{host}{path}")),
            3 => ("tags", ["t", "T", "www.example.com"][random.below(3) as usize].to_owned()),
            4 => (
                "files",
                format!("{{\"url\":\"https://{host}{path}\",\"headers\":{{\"CF-Device-Type\":\"mobile\"}}}}"),
            ),
            5 => ("files", format!("https://user@{host}{path}")),
            6 => ("files", format!("http://{host}:8080{path}")),
            _ => ("files", format!("https://{host}{path}")),
        };
        let Some(Ok(subject)) = Subject::parse(kind, &key) else { continue };
        all.push(NewRequest {
            subject,
            action: if random.below(4) == 0 { Action::Invalidate } else { Action::Purge },
            environment: (random.below(4) == 0).then(|| "e1".to_owned()),
            ..url("/")
        });
    }
    let client = database.client().await;
    for lead in all.iter().rev().take(60) {
        client.batch_execute("TRUNCATE cfcache.request RESTART IDENTITY").await.unwrap();
        // The claimed request is the first of its group because of its priority.
        let mut requests = vec![NewRequest { priority: 9, ..lead.clone() }];
        requests.extend(all.iter().cloned());
        // A new store, because ids restart below the bound of the old one.
        let store = database.store();
        store.insert(&requests).await.unwrap();
        let kind = match &lead.subject {
            Subject::Everything => None,
            Subject::Target(target) => Some(target.kind()),
        };
        let group = RequestGroup {
            zone: lead.zone.clone(),
            environment: lead.environment.clone(),
            action: lead.action,
            kind,
        };
        let claim = store.claim(&group, 1).await.unwrap().unwrap();
        settle(claim, Settlement::Accepted).await;
        let left: Vec<i64> = client
            .query("SELECT id FROM cfcache.request", &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        let mut covered = 0;
        for (id, request) in (1..).zip(&requests) {
            if !left.contains(&id) {
                covered += 1;
                assert!(cfcache_queue::engine::covers(lead, request), "{lead:?}\ntook\n{request:?}");
            }
        }
        assert!(covered > 0, "not even {lead:?}");
    }
}

#[tokio::test]
async fn sslmode_decides_about_tls_and_verification() {
    let Some(database) = database().await else { return };
    let certificate = database.cluster.certificate();
    let certificate = certificate.to_str().unwrap();
    for (mode, works) in [
        ("sslmode=require", true),
        (&format!("sslmode=verify-full&sslrootcert={certificate}"), true),
        (&format!("sslmode=require&sslrootcert={certificate}"), true),
        ("sslmode=verify-full", false),
        ("sslmode=require&sslrootcert=/etc/hostname", false),
    ] {
        let url = database.url().replace("sslmode=disable", mode);
        let store = PostgresStore::new(PostgresUrl::parse(&url).unwrap(), 2);
        match store.check_schema().await {
            Ok(()) => assert!(works, "{mode}"),
            Err(error) => assert!(!works && !error.to_string().contains(PASSWORD), "{mode}: {error}"),
        }
        let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                   WHERE ssl AND datname = current_database()";
        let encrypted: i64 = database.client().await.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(encrypted > 0, works, "{mode}");
        drop(store);
        let none =
            || async { database.client().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 };
        crate::support::api::wait_for("the connection to end", none).await;
    }
}

/// Old statistics must not lead to plans that read the table again for each target.
#[tokio::test]
async fn a_claim_reads_few_rows_despite_outdated_statistics() {
    let Some(database) = database().await else { return };
    let client = database.client().await;
    let sql = "ALTER TABLE cfcache.request SET (autovacuum_enabled = false);
        INSERT INTO cfcache.request (zone, kind, key)
          SELECT 'example.com', 'files', 'https://www.example.com/' || n FROM generate_series(1, 30000) AS n;
        INSERT INTO cfcache.request (zone, kind, key)
          SELECT 'example.com', 'prefixes', 'www.example.com/' || n FROM generate_series(1, 300) AS n;
        SELECT pg_stat_reset()";
    client.batch_execute(sql).await.unwrap();
    let store = database.store();
    store.ready_groups().await.unwrap();
    for (kind, limit) in [(Kind::Files, 500), (Kind::Prefixes, 100)] {
        let claim = claim(&store, Some(kind), limit).await;
        assert_eq!(claim.requests().len(), limit);
        settle(claim, Settlement::Untouched).await;
    }
    drop(store);
    // Server processes write their statistics when they end.
    let ended = || async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1
    };
    crate::support::api::wait_for("the store's connections to end", ended).await;
    let sql = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'request'";
    let read: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(read > 600 && read < 20_000, "{read} entries of indexes were read");
}
