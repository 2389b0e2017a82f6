//! The store in one file: claims, merging and removal; the file and its lock.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;
use cfcache_queue::engine::{MAX_ATTEMPTS, covers};
use cfcache_queue::{
    Claim, DeadReason, DeadSelection, MAX_AGE, NewDeadLetters, NewRequest, RequestGroup, Settlement,
    SqliteStore, Store, Tokens,
};
use proptest::prelude::*;

use crate::support::{Folder, config, invalidate, purge, requests};

const START: u64 = 1_700_000_000_000_000;

/// A store whose clock moves only when the test says so.
struct TestQueue {
    folder: Folder,
    micros: Arc<AtomicU64>,
    store: Option<SqliteStore>,
    runtime: tokio::runtime::Runtime,
}

impl TestQueue {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut queue =
            Self { folder: Folder::new(), micros: Arc::new(AtomicU64::new(START)), store: None, runtime };
        queue.reopen();
        queue
    }

    fn reopen(&mut self) {
        self.store = None;
        let micros = Arc::clone(&self.micros);
        let clock = move || Duration::from_micros(micros.load(Ordering::Relaxed));
        self.store = Some(SqliteStore::open_with_clock(self.folder.path(), clock).unwrap());
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }

    fn wait(&self, time: Duration) {
        self.micros.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }

    fn insert(&self, requests: &[NewRequest]) {
        self.runtime.block_on(self.store().insert(requests)).unwrap();
    }

    fn groups(&self) -> Vec<RequestGroup> {
        self.runtime.block_on(self.store().ready_groups()).unwrap()
    }

    /// Searches and claims, as a worker does.
    fn claim(&self, group: &RequestGroup, limit: usize) -> Option<Box<dyn Claim>> {
        self.groups();
        self.runtime.block_on(self.store().claim(group, limit)).unwrap()
    }

    fn settle(&self, claim: Box<dyn Claim>, settlement: &Settlement) {
        let settlements = vec![settlement.clone(); claim.requests().len()];
        self.runtime.block_on(claim.settle(settlements)).unwrap();
    }

    fn waiting(&self) -> u64 {
        self.runtime.block_on(self.store().status()).unwrap().waiting()
    }

    /// Returns the keys of the claimed targets, with the number of equal and covered requests of each.
    fn claimed(&self, group: &RequestGroup, limit: usize) -> Vec<(String, u64, u64)> {
        let claim = self.claim(group, limit);
        let requests = claim.iter().flat_map(|claim| claim.requests());
        requests
            .map(|claimed| {
                (claimed.request.request.subject.key().into_owned(), claimed.same, claimed.covered)
            })
            .collect()
    }
}

fn group(kind: Option<Kind>) -> RequestGroup {
    RequestGroup { zone: "example.com".to_owned(), environment: None, action: Action::Purge, kind }
}

fn try_again(after: Duration) -> Settlement {
    Settlement::TryAgain { after, error: "broken".to_owned(), counts: true }
}

fn url(path: &str) -> NewRequest {
    purge("files", &format!("https://www.example.com/{path}"))
}

#[test]
fn claims_by_priority_then_age_with_all_duplicates() {
    let queue = TestQueue::new();
    let urgent = NewRequest { priority: 5, ..url("urgent") };
    queue.insert(&[url("a"), url("b"), url("a"), url("c"), urgent, url("a")]);
    let expected: Vec<(String, u64, u64)> = [("urgent", 0), ("a", 2)]
        .map(|(path, same)| (format!("https://www.example.com/{path}"), same, 0))
        .into();
    assert_eq!(queue.claimed(&group(Some(Kind::Files)), 2), expected);
    // The claim was dropped, so all requests are available again.
    let first = queue.claim(&group(Some(Kind::Files)), 2).unwrap();
    let rest = queue.claimed(&group(Some(Kind::Files)), 10);
    assert_eq!(rest.iter().map(|(key, ..)| key.rsplit('/').next().unwrap()).collect::<Vec<_>>(), ["b", "c"]);
    queue.settle(first, &Settlement::Accepted);
    assert_eq!(queue.waiting(), 2);
}

#[test]
fn keeps_an_equal_request_that_arrives_during_sending() {
    let queue = TestQueue::new();
    queue.insert(&[url("a")]);
    let claim = queue.claim(&group(Some(Kind::Files)), 10).unwrap();
    queue.insert(&[url("a"), url("a")]);
    let next = queue.claimed(&group(Some(Kind::Files)), 10);
    assert_eq!(next, [("https://www.example.com/a".to_owned(), 1, 0)]);
    queue.settle(claim, &Settlement::Accepted);
    assert_eq!(queue.waiting(), 2);
}

#[test]
fn hosts_and_everything_claim_the_requests_they_cover() {
    let queue = TestQueue::new();
    let staging = |request: NewRequest| NewRequest { environment: Some("e1".to_owned()), ..request };
    let all = [
        url("a"),
        purge("prefixes", "www.example.com/blog"),
        invalidate("files", "https://WWW.example.com/b"),
        invalidate("hosts", "www.example.com"),
        purge("hosts", "www.example.com"),
        purge("files", "https://www.example.com:8443/a"),
        purge("files", "https://other.example.com/"),
        purge("tags", "a"),
        staging(url("a")),
    ];
    queue.insert(&all);
    let hosts = queue.claim(&group(Some(Kind::Hosts)), 10).unwrap();
    assert_eq!(hosts.requests().iter().map(|claimed| claimed.covered).collect::<Vec<_>>(), [4]);
    queue.insert(&[purge("everything", "")]);
    assert_eq!(queue.claimed(&group(None), 10), [(String::new(), 0, 4)]);
    queue.settle(hosts, &Settlement::Accepted);
    assert_eq!(queue.waiting(), 5);
    let everything = queue.claim(&group(None), 10).unwrap();
    queue.insert(&[url("later")]);
    queue.settle(everything, &Settlement::Accepted);
    assert_eq!(queue.waiting(), 1);
}

/// Uses more rows than one transaction removes.
#[test]
fn a_large_claim_removes_all_covered_requests_but_no_later_ones() {
    let queue = TestQueue::new();
    let requests: Vec<NewRequest> = (0..20_000).map(|number| url(&number.to_string())).collect();
    queue.insert(&requests);
    queue.insert(&[purge("everything", "")]);
    let claim = queue.claim(&group(None), 1).unwrap();
    assert_eq!(claim.requests()[0].covered, 20_000);
    queue.insert(&[url("meanwhile")]);
    queue.settle(claim, &Settlement::Accepted);
    assert_eq!(
        queue.claimed(&group(Some(Kind::Files)), 10),
        [("https://www.example.com/meanwhile".to_owned(), 0, 0)]
    );
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn a_delayed_request_is_not_merged_before_its_time() {
    let queue = TestQueue::new();
    let later = NewRequest { delay: Duration::from_secs(30), ..url("a") };
    queue.insert(&[url("a"), later]);
    let claim = queue.claim(&group(Some(Kind::Files)), 10).unwrap();
    assert_eq!(claim.requests()[0].same, 0);
    queue.settle(claim, &Settlement::Accepted);
    assert_eq!((queue.groups(), queue.waiting()), (vec![], 1));
    queue.wait(Duration::from_secs(30));
    assert_eq!(queue.claimed(&group(Some(Kind::Files)), 10).len(), 1);
}

#[test]
fn requests_are_sent_although_the_clock_went_back() {
    let queue = TestQueue::new();
    queue.insert(&[url("a")]);
    queue.micros.fetch_sub(3_600_000_000, Ordering::Relaxed);
    let files = group(Some(Kind::Files));
    assert_eq!(queue.groups().len(), 1);
    // The time of a retry is by the clock of now.
    queue.settle(queue.claim(&files, 10).unwrap(), &try_again(Duration::from_secs(2)));
    assert!(queue.claim(&files, 10).is_none());
    queue.wait(Duration::from_secs(2));
    assert_eq!(queue.claimed(&files, 10).len(), 1);
}

#[test]
fn a_file_of_version_1_keeps_its_requests() {
    let mut queue = TestQueue::new();
    queue.store = None;
    let path = queue.folder.path().join("queue.sqlite3");
    std::fs::remove_file(&path).unwrap();
    let row = |key: &str, not_before: u64| {
        format!(
            "INSERT INTO request (zone, environment, action, kind, key, hash, priority, requested_at, not_before) \
             VALUES ('example.com', '', 'purge', 'tags', '{key}', 0, 0, {START}, {not_before});"
        )
    };
    let sql = [
        include_str!("../../src/store/sqlite/schema.sql"),
        &row("due", START),
        &row("failed", START + 1_000_000),
        &row("delayed", START + 60_000_000),
        "PRAGMA application_id = 0x63666371; PRAGMA user_version = 1;",
    ];
    rusqlite::Connection::open(&path).unwrap().execute_batch(&sql.concat()).unwrap();
    // Another process may read it before its owner updates it.
    let reader = SqliteStore::open_to_read(queue.folder.path()).unwrap();
    assert_eq!(queue.runtime.block_on(reader.status()).unwrap().waiting(), 3);
    drop(reader);
    queue.reopen();
    let keys = |queue: &TestQueue| -> Vec<String> {
        queue.claimed(&group(Some(Kind::Tags)), 10).into_iter().map(|(key, ..)| key).collect()
    };
    assert_eq!(keys(&queue), ["due"]);
    queue.wait(Duration::from_secs(1));
    assert_eq!(keys(&queue), ["due", "failed"]);
    queue.wait(Duration::from_secs(60));
    assert_eq!(keys(&queue), ["due", "failed", "delayed"]);
}

#[test]
fn a_failed_request_is_retried_later_with_its_attempts() {
    let queue = TestQueue::new();
    queue.insert(&[url("a")]);
    let files = group(Some(Kind::Files));
    queue.settle(queue.claim(&files, 10).unwrap(), &try_again(Duration::from_secs(2)));
    assert!(queue.claim(&files, 10).is_none());
    queue.wait(Duration::from_secs(2));
    let claim = queue.claim(&files, 10).unwrap();
    assert_eq!(claim.requests()[0].request.attempts, 1);
    let uncounted = Settlement::TryAgain { after: Duration::ZERO, error: "down".to_owned(), counts: false };
    queue.settle(claim, &uncounted);
    let claim = queue.claim(&files, 10).unwrap();
    assert_eq!(
        (claim.requests()[0].request.attempts, claim.requests()[0].request.age),
        (1, Duration::from_secs(2))
    );
    queue.settle(claim, &Settlement::Untouched);
    assert_eq!(queue.claimed(&files, 10).len(), 1);
}

#[test]
fn merged_requests_keep_separate_attempt_counts() {
    let queue = TestQueue::new();
    queue.insert(&[url("a")]);
    let files = group(Some(Kind::Files));
    for _ in 1..MAX_ATTEMPTS {
        queue.settle(queue.claim(&files, 10).unwrap(), &try_again(Duration::ZERO));
    }
    // The younger request is claimed first, and the older one with it.
    queue.insert(&[NewRequest { priority: 1, ..url("a") }, url("b")]);
    let claim = queue.claim(&files, 1).unwrap();
    let [both] = claim.requests() else { panic!("{claim:?}") };
    assert_eq!((both.request.attempts, both.attempts, both.same), (0, MAX_ATTEMPTS - 1, 1));
    let dead = queue.runtime.block_on(claim.settle(vec![try_again(Duration::from_secs(1))])).unwrap();
    assert_eq!(
        dead,
        [NewDeadLetters { reason: DeadReason::Attempts, error: "broken".to_owned(), requests: 1 }]
    );
    assert_eq!(queue.waiting(), 2);
    queue.wait(Duration::from_secs(1));
    let attempts = |claim: &dyn Claim| {
        claim.requests().iter().map(|claimed| claimed.request.attempts).collect::<Vec<_>>()
    };
    assert_eq!(attempts(&*queue.claim(&files, 10).unwrap()), [1, 0]);
    let connection = rusqlite::Connection::open(queue.folder.path().join("queue.sqlite3")).unwrap();
    let sent: u32 = connection.query_row("SELECT attempts FROM dead", [], |row| row.get(0)).unwrap();
    assert_eq!(sent, MAX_ATTEMPTS);
}

#[test]
fn an_attempt_that_does_not_count_gives_up_no_request() {
    let queue = TestQueue::new();
    queue.insert(&[url("a")]);
    let files = group(Some(Kind::Files));
    for _ in 1..MAX_ATTEMPTS {
        queue.settle(queue.claim(&files, 10).unwrap(), &try_again(Duration::ZERO));
    }
    let uncounted = Settlement::TryAgain { after: Duration::ZERO, error: "down".to_owned(), counts: false };
    queue.settle(queue.claim(&files, 10).unwrap(), &uncounted);
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn an_expired_request_does_not_expire_younger_ones() {
    let queue = TestQueue::new();
    queue.insert(&[url("a"), purge("everything", "")]);
    queue.wait(MAX_AGE);
    queue.insert(&[url("a"), url("b")]);
    let claim = queue.claim(&group(Some(Kind::Files)), 10).unwrap();
    let found: Vec<(bool, u64)> =
        claim.requests().iter().map(|claimed| (claimed.request.is_expired, claimed.same)).collect();
    assert_eq!(found, [(true, 0), (false, 0), (false, 0)]);
    let settlements = vec![
        Settlement::Dead { reason: DeadReason::Expired, error: "too old".to_owned() },
        Settlement::Untouched,
        Settlement::Untouched,
    ];
    queue.runtime.block_on(claim.settle(settlements)).unwrap();
    assert_eq!(queue.waiting(), 3);
    assert!(
        !queue.claim(&group(None), 1).unwrap().requests()[0].request.is_expired,
        "a request for everything never expires"
    );
}

#[test]
fn keeps_retries_and_drops_dead_letters() {
    let mut queue = TestQueue::new();
    queue.insert(&[url("a"), url("b"), url("c")]);
    let claim = queue.claim(&group(Some(Kind::Files)), 10).unwrap();
    let dead = Settlement::Dead { reason: DeadReason::Refused, error: "no".to_owned() };
    queue.settle(claim, &dead);
    queue.reopen();
    let letters = queue.runtime.block_on(queue.store().dead(10)).unwrap();
    let shown: Vec<_> = letters
        .iter()
        .map(|letter| (letter.id, letter.reason.as_str(), letter.last_error.as_str()))
        .collect();
    assert_eq!(shown, [(3, "refused", "no"), (2, "refused", "no"), (1, "refused", "no")]);
    assert_eq!(
        queue.runtime.block_on(queue.store().retry_dead(&DeadSelection::Ids(vec![2, 77]))).unwrap(),
        1
    );
    assert_eq!(queue.claimed(&group(Some(Kind::Files)), 10).len(), 1);
    assert_eq!(queue.runtime.block_on(queue.store().drop_dead(&DeadSelection::Ids(vec![3]))).unwrap(), 1);
    assert_eq!(queue.runtime.block_on(queue.store().retry_dead(&DeadSelection::All)).unwrap(), 1);
    assert_eq!(queue.runtime.block_on(queue.store().drop_dead(&DeadSelection::All)).unwrap(), 0);
    let status = queue.runtime.block_on(queue.store().status()).unwrap();
    assert_eq!((status.dead_count, status.waiting()), (0, 2));
}

#[test]
fn budgets_survive_restarts_and_are_taken_all_or_none() {
    let mut queue = TestQueue::new();
    let tokens = |budget: &str, count| Tokens {
        budget: budget.to_owned(),
        interval: Duration::from_millis(100),
        burst: 10,
        count,
    };
    let take = |queue: &TestQueue, tokens: &[Tokens]| {
        queue.runtime.block_on(queue.store().take_tokens(tokens)).unwrap()
    };
    assert_eq!(take(&queue, &[tokens("urls", 8), tokens("global", 1)]), Duration::ZERO);
    queue.reopen();
    assert_eq!(take(&queue, &[tokens("global", 9), tokens("urls", 3)]), Duration::from_millis(100));
    // No token of `global` was taken then.
    assert_eq!(take(&queue, &[tokens("global", 9)]), Duration::ZERO);
    let names = ["urls".to_owned(), "unknown".to_owned()];
    queue.runtime.block_on(queue.store().block_budgets(&names, Duration::from_secs(60))).unwrap();
    assert_eq!(take(&queue, &[tokens("urls", 1)]), Duration::from_millis(60_100));
    let status = queue.runtime.block_on(queue.store().status()).unwrap();
    let shown: Vec<_> = status
        .budgets
        .iter()
        .map(|budget| (budget.name.as_str(), budget.tokens, budget.blocked_for))
        .collect();
    assert_eq!(shown, [("global", 0.0, Duration::ZERO), ("urls", 0.0, Duration::from_secs(60))]);
}

#[test]
fn refuses_a_directory_in_use_and_names_the_process() {
    let queue = TestQueue::new();
    let error = SqliteStore::open(queue.folder.path()).unwrap_err().to_string();
    let expected = format!("in use by process {}", std::process::id());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_queue_in_use_can_be_read_but_not_changed() {
    let queue = TestQueue::new();
    let reader = SqliteStore::open_to_read(queue.folder.path()).unwrap();
    queue.insert(&[url("a")]);
    let block = |future| queue.runtime.block_on(future);
    assert_eq!(block(reader.status()).unwrap().waiting(), 1);
    let error = queue.runtime.block_on(reader.insert(&[url("b")])).unwrap_err().to_string();
    assert!(error.starts_with("cannot store requests: ") && error.contains("readonly"), "{error}");
    assert_eq!(queue.waiting(), 1);
    let folder = Folder::new();
    let error = SqliteStore::open_to_read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("there is no queue in"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Returns the error of opening a directory with such a file.
fn error_of(prepare: impl FnOnce(&Path)) -> String {
    let folder = Folder::new();
    prepare(&folder.path().join("queue.sqlite3"));
    SqliteStore::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn refuses_files_that_are_not_a_queue() {
    let sqlite =
        |path: &Path, sql: &str| rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let error = error_of(|path| std::fs::write(path, "Dear diary, ".repeat(100)).unwrap());
    assert!(error.contains("is not an SQLite database"), "{error}");
    let error = error_of(|path| sqlite(path, "CREATE TABLE bookmark (url TEXT)"));
    assert!(error.contains("of another program"), "{error}");
    let error = error_of(|path| {
        drop(SqliteStore::open(path.parent().unwrap()).unwrap());
        sqlite(path, "PRAGMA user_version = 3");
    });
    assert!(error.contains("has schema version 3") && error.contains("versions up to 2"), "{error}");
    let error = error_of(|path| std::fs::create_dir(path).unwrap());
    assert!(error.contains("queue.sqlite3 cannot be opened"), "{error}");
}

#[test]
fn refuses_a_truncated_file_as_damaged() {
    let error = error_of(|path| {
        let folder: PathBuf = path.parent().unwrap().to_owned();
        let store = SqliteStore::open(&folder).unwrap();
        let many: Vec<NewRequest> = (0..2000).map(|number| url(&number.to_string())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.insert(&many)).unwrap();
        drop(store);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
    assert!(error.contains("damaged"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..config() })]

    /// With any order of inserts, claims, settlements and restarts, a request leaves the queue only after an accepted
    /// request that covers it and that was claimed after it was stored. In the end, all requests leave the queue.
    #[test]
    fn removes_only_requests_that_an_accepted_one_covers(
        steps in prop::collection::vec((0_u8..10, prop::collection::vec(requests(), 1..6), 1_usize..4, 0_u8..5), 1..40),
    ) {
        let mut queue = TestQueue::new();
        // The requests by event, which is the number of the request.
        let mut known: HashMap<String, NewRequest> = HashMap::new();
        let mut dead = 0;
        let mut open: Vec<(Box<dyn Claim>, Vec<String>)> = Vec::new();
        let alive = |queue: &TestQueue| -> Vec<String> {
            let connection = rusqlite::Connection::open(queue.folder.path().join("queue.sqlite3")).unwrap();
            let mut select = connection.prepare("SELECT event FROM request ORDER BY id").unwrap();
            select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        for (what, requests, limit, outcome) in steps {
            match what {
                0..4 => {
                    let mut requests = requests;
                    for request in &mut requests {
                        let number = known.len().to_string();
                        request.event = Some(number.clone());
                        known.insert(number, request.clone());
                    }
                    queue.insert(&requests);
                }
                4..7 => {
                    let mut groups = queue.groups();
                    groups.sort_by_key(|group| cfcache_queue::engine::rank(group.kind));
                    if let Some(claim) = groups.iter().find_map(|group| queue.claim(group, limit)) {
                        prop_assert!(claim.requests().len() <= limit);
                        open.push((claim, alive(&queue)));
                    }
                }
                7..9 => {
                    let Some((claim, stored)) = open.pop() else { continue };
                    let before = alive(&queue);
                    let sent: Vec<NewRequest> =
                        claim.requests().iter().map(|claimed| claimed.request.request.clone()).collect();
                    let promised: u64 = claim.requests().iter().map(|claimed| 1 + claimed.same + claimed.covered).sum();
                    let settlements: Vec<Settlement> = (0..sent.len())
                        .map(|index| match (usize::from(outcome) + index) % 5 {
                            0..3 => Settlement::Accepted,
                            3 => try_again(Duration::ZERO),
                            _ => Settlement::Dead { reason: DeadReason::Refused, error: "no".to_owned() },
                        })
                        .collect();
                    queue.runtime.block_on(claim.settle(settlements.clone())).unwrap();
                    let after = alive(&queue);
                    let letters = queue.runtime.block_on(queue.store().status()).unwrap().dead_count;
                    let mut gone = 0;
                    for event in before.iter().filter(|event| !after.contains(event)) {
                        gone += 1;
                        let request = &known[event];
                        prop_assert!(stored.contains(event), "it was stored after the claim");
                        let accounts_for = |(sent, settlement): (&NewRequest, &Settlement)| match settlement {
                            Settlement::Accepted => covers(sent, request),
                            Settlement::Dead { .. } => covers(sent, request) && covers(request, sent),
                            _ => false,
                        };
                        prop_assert!(sent.iter().zip(&settlements).any(accounts_for), "{:?}", request);
                    }
                    prop_assert!(after.iter().all(|event| before.contains(event)));
                    if settlements.iter().all(|settlement| *settlement == Settlement::Accepted) {
                        prop_assert_eq!(gone, promised);
                        prop_assert_eq!(letters, dead);
                    }
                    dead = letters;
                }
                _ => {
                    open.clear();
                    let before = alive(&queue);
                    queue.reopen();
                    prop_assert_eq!(before, alive(&queue));
                }
            }
        }
        open.clear();
        let mut rounds = 0;
        while queue.waiting() > 0 {
            rounds += 1;
            prop_assert!(rounds <= known.len());
            for group in queue.groups() {
                while let Some(claim) = queue.claim(&group, 2) {
                    queue.settle(claim, &Settlement::Accepted);
                }
            }
        }
    }
}

#[test]
fn concurrent_inserts_store_all_requests() {
    let queue = TestQueue::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let TestQueue { store, folder, .. } = queue;
    let store = Arc::new(store.unwrap());
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..50 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for number in 0..20 {
                    store.insert(&[url(&format!("{task}/{number}"))]).await.unwrap();
                }
            });
        }
        while let Some(result) = tasks.join_next().await {
            result.unwrap();
        }
        assert_eq!(store.status().await.unwrap().waiting(), 1000);
    });
    drop((store, folder));
}

#[test]
fn an_invalidation_does_not_remove_a_purge() {
    let queue = TestQueue::new();
    queue.insert(&[
        invalidate("hosts", "www.example.com"),
        url("a"),
        invalidate("files", "https://www.example.com/b"),
    ]);
    let group = RequestGroup { action: Action::Invalidate, ..group(Some(Kind::Hosts)) };
    let claim = queue.claim(&group, 1).unwrap();
    assert_eq!(claim.requests()[0].covered, 1);
    queue.settle(claim, &Settlement::Accepted);
    assert_eq!(queue.waiting(), 1);
    assert!(matches!(
        queue.groups()[..],
        [RequestGroup { action: Action::Purge, kind: Some(Kind::Files), .. }]
    ));
}
