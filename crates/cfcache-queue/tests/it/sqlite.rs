//! The store in one file: what is claimed, merged and removed; its file and its lock.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cfcache_model::endpoint::Action;
use cfcache_model::target::Kind;
use cfcache_queue::engine::{MAX_ATTEMPTS, covers};
use cfcache_queue::{
    Buried, Claim, DeadReason, DeadSelection, Group, MAX_AGE, NewRequest, Settlement, SqliteStore, Store,
    Tokens,
};
use proptest::prelude::*;

use crate::support::{Folder, config, invalidate, purge, requests};

const START: u64 = 1_700_000_000_000_000;

/// A store whose time stands still until it is moved.
struct World {
    folder: Folder,
    micros: Arc<AtomicU64>,
    store: Option<SqliteStore>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut world =
            Self { folder: Folder::new(), micros: Arc::new(AtomicU64::new(START)), store: None, runtime };
        world.reopen();
        world
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

    fn groups(&self) -> Vec<Group> {
        self.runtime.block_on(self.store().ready_groups()).unwrap()
    }

    fn claim(&self, group: &Group, limit: usize) -> Option<Box<dyn Claim>> {
        self.runtime.block_on(self.store().claim(group, limit)).unwrap()
    }

    fn settle(&self, claim: Box<dyn Claim>, settlement: &Settlement) {
        let settlements = vec![settlement.clone(); claim.requests().len()];
        self.runtime.block_on(claim.settle(settlements)).unwrap();
    }

    fn waiting(&self) -> u64 {
        self.runtime.block_on(self.store().status()).unwrap().waiting()
    }

    /// The keys of what is claimed, and how many are the same and covered.
    fn claimed(&self, group: &Group, limit: usize) -> Vec<(String, u64, u64)> {
        let claim = self.claim(group, limit);
        let requests = claim.iter().flat_map(|claim| claim.requests());
        requests
            .map(|claimed| {
                (claimed.request.request.subject.key().into_owned(), claimed.same, claimed.covered)
            })
            .collect()
    }
}

fn group(kind: Option<Kind>) -> Group {
    Group { zone: "example.com".to_owned(), environment: None, action: Action::Purge, kind }
}

fn again(after: Duration) -> Settlement {
    Settlement::TryAgain { after, error: "broken".to_owned(), counts: true }
}

fn url(path: &str) -> NewRequest {
    purge("files", &format!("https://www.example.com/{path}"))
}

#[test]
fn a_claim_has_the_highest_priority_then_the_oldest_and_all_duplicates() {
    let world = World::new();
    let urgent = NewRequest { priority: 5, ..url("urgent") };
    world.insert(&[url("a"), url("b"), url("a"), url("c"), urgent, url("a")]);
    let expected: Vec<(String, u64, u64)> = [("urgent", 0), ("a", 2)]
        .map(|(path, same)| (format!("https://www.example.com/{path}"), same, 0))
        .into();
    assert_eq!(world.claimed(&group(Some(Kind::Files)), 2), expected);
    // It was dropped, so all of it is there again.
    let first = world.claim(&group(Some(Kind::Files)), 2).unwrap();
    let rest = world.claimed(&group(Some(Kind::Files)), 10);
    assert_eq!(rest.iter().map(|(key, ..)| key.rsplit('/').next().unwrap()).collect::<Vec<_>>(), ["b", "c"]);
    world.settle(first, &Settlement::Accepted);
    assert_eq!(world.waiting(), 2);
}

#[test]
fn what_comes_while_the_same_is_sent_stays() {
    let world = World::new();
    world.insert(&[url("a")]);
    let claim = world.claim(&group(Some(Kind::Files)), 10).unwrap();
    world.insert(&[url("a"), url("a")]);
    let next = world.claimed(&group(Some(Kind::Files)), 10);
    assert_eq!(next, [("https://www.example.com/a".to_owned(), 1, 0)]);
    world.settle(claim, &Settlement::Accepted);
    assert_eq!(world.waiting(), 2);
}

#[test]
fn hosts_and_everything_take_what_they_cover() {
    let world = World::new();
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
    world.insert(&all);
    let hosts = world.claim(&group(Some(Kind::Hosts)), 10).unwrap();
    assert_eq!(hosts.requests().iter().map(|claimed| claimed.covered).collect::<Vec<_>>(), [4]);
    world.insert(&[purge("everything", "")]);
    assert_eq!(world.claimed(&group(None), 10), [(String::new(), 0, 4)]);
    world.settle(hosts, &Settlement::Accepted);
    assert_eq!(world.waiting(), 5);
    let everything = world.claim(&group(None), 10).unwrap();
    world.insert(&[url("later")]);
    world.settle(everything, &Settlement::Accepted);
    assert_eq!(world.waiting(), 1);
}

/// More rows than one transaction removes.
#[test]
fn everything_that_a_large_claim_covers_is_removed_and_nothing_that_came_meanwhile() {
    let world = World::new();
    let requests: Vec<NewRequest> = (0..20_000).map(|number| url(&number.to_string())).collect();
    world.insert(&requests);
    world.insert(&[purge("everything", "")]);
    let claim = world.claim(&group(None), 1).unwrap();
    assert_eq!(claim.requests()[0].covered, 20_000);
    world.insert(&[url("meanwhile")]);
    world.settle(claim, &Settlement::Accepted);
    assert_eq!(
        world.claimed(&group(Some(Kind::Files)), 10),
        [("https://www.example.com/meanwhile".to_owned(), 0, 0)]
    );
    assert_eq!(world.waiting(), 1);
}

#[test]
fn a_delayed_request_waits_and_is_merged_into_nothing_before() {
    let world = World::new();
    let later = NewRequest { delay: Duration::from_secs(30), ..url("a") };
    world.insert(&[url("a"), later]);
    let claim = world.claim(&group(Some(Kind::Files)), 10).unwrap();
    assert_eq!(claim.requests()[0].same, 0);
    world.settle(claim, &Settlement::Accepted);
    assert_eq!((world.groups(), world.waiting()), (vec![], 1));
    world.wait(Duration::from_secs(30));
    assert_eq!(world.claimed(&group(Some(Kind::Files)), 10).len(), 1);
}

#[test]
fn what_failed_comes_back_later_with_its_attempts() {
    let world = World::new();
    world.insert(&[url("a")]);
    let files = group(Some(Kind::Files));
    world.settle(world.claim(&files, 10).unwrap(), &again(Duration::from_secs(2)));
    assert!(world.claim(&files, 10).is_none());
    world.wait(Duration::from_secs(2));
    let claim = world.claim(&files, 10).unwrap();
    assert_eq!(claim.requests()[0].request.attempts, 1);
    let uncounted = Settlement::TryAgain { after: Duration::ZERO, error: "down".to_owned(), counts: false };
    world.settle(claim, &uncounted);
    let claim = world.claim(&files, 10).unwrap();
    assert_eq!(
        (claim.requests()[0].request.attempts, claim.requests()[0].request.age),
        (1, Duration::from_secs(2))
    );
    world.settle(claim, &Settlement::Untouched);
    assert_eq!(world.claimed(&files, 10).len(), 1);
}

#[test]
fn merged_requests_are_each_judged_by_their_own_attempts() {
    let world = World::new();
    world.insert(&[url("a")]);
    let files = group(Some(Kind::Files));
    for _ in 1..MAX_ATTEMPTS {
        world.settle(world.claim(&files, 10).unwrap(), &again(Duration::ZERO));
    }
    // The younger one goes first, and the older one with it.
    world.insert(&[NewRequest { priority: 1, ..url("a") }, url("b")]);
    let claim = world.claim(&files, 1).unwrap();
    let [both] = claim.requests() else { panic!("{claim:?}") };
    assert_eq!((both.request.attempts, both.attempts, both.same), (0, MAX_ATTEMPTS - 1, 1));
    let dead = world.runtime.block_on(claim.settle(vec![again(Duration::from_secs(1))])).unwrap();
    assert_eq!(dead, [Buried { reason: DeadReason::Attempts, error: "broken".to_owned(), requests: 1 }]);
    assert_eq!(world.waiting(), 2);
    world.wait(Duration::from_secs(1));
    let attempts = |claim: &dyn Claim| {
        claim.requests().iter().map(|claimed| claimed.request.attempts).collect::<Vec<_>>()
    };
    assert_eq!(attempts(&*world.claim(&files, 10).unwrap()), [1, 0]);
    let connection = rusqlite::Connection::open(world.folder.path().join("queue.sqlite3")).unwrap();
    let sent: u32 = connection.query_row("SELECT attempts FROM dead", [], |row| row.get(0)).unwrap();
    assert_eq!(sent, MAX_ATTEMPTS);
}

#[test]
fn an_attempt_that_does_not_count_gives_up_nothing() {
    let world = World::new();
    world.insert(&[url("a")]);
    let files = group(Some(Kind::Files));
    for _ in 1..MAX_ATTEMPTS {
        world.settle(world.claim(&files, 10).unwrap(), &again(Duration::ZERO));
    }
    let uncounted = Settlement::TryAgain { after: Duration::ZERO, error: "down".to_owned(), counts: false };
    world.settle(world.claim(&files, 10).unwrap(), &uncounted);
    assert_eq!(world.waiting(), 1);
}

#[test]
fn what_is_too_old_takes_nothing_younger_along() {
    let world = World::new();
    world.insert(&[url("a"), purge("everything", "")]);
    world.wait(MAX_AGE);
    world.insert(&[url("a"), url("b")]);
    let claim = world.claim(&group(Some(Kind::Files)), 10).unwrap();
    let found: Vec<(bool, u64)> =
        claim.requests().iter().map(|claimed| (claimed.request.is_expired, claimed.same)).collect();
    assert_eq!(found, [(true, 0), (false, 0), (false, 0)]);
    let settlements = vec![
        Settlement::Dead { reason: DeadReason::Expired, error: "too old".to_owned() },
        Settlement::Untouched,
        Settlement::Untouched,
    ];
    world.runtime.block_on(claim.settle(settlements)).unwrap();
    assert_eq!(world.waiting(), 3);
    assert!(!world.claim(&group(None), 1).unwrap().requests()[0].request.is_expired, "everything never is");
}

#[test]
fn dead_letters_are_kept_retried_and_dropped() {
    let mut world = World::new();
    world.insert(&[url("a"), url("b"), url("c")]);
    let claim = world.claim(&group(Some(Kind::Files)), 10).unwrap();
    let dead = Settlement::Dead { reason: DeadReason::Refused, error: "no".to_owned() };
    world.settle(claim, &dead);
    world.reopen();
    let letters = world.runtime.block_on(world.store().dead(10)).unwrap();
    let shown: Vec<_> = letters
        .iter()
        .map(|letter| (letter.id, letter.reason.as_str(), letter.last_error.as_str()))
        .collect();
    assert_eq!(shown, [(3, "refused", "no"), (2, "refused", "no"), (1, "refused", "no")]);
    assert_eq!(
        world.runtime.block_on(world.store().retry_dead(&DeadSelection::Ids(vec![2, 77]))).unwrap(),
        1
    );
    assert_eq!(world.claimed(&group(Some(Kind::Files)), 10).len(), 1);
    assert_eq!(world.runtime.block_on(world.store().drop_dead(&DeadSelection::Ids(vec![3]))).unwrap(), 1);
    assert_eq!(world.runtime.block_on(world.store().retry_dead(&DeadSelection::All)).unwrap(), 1);
    assert_eq!(world.runtime.block_on(world.store().drop_dead(&DeadSelection::All)).unwrap(), 0);
    let status = world.runtime.block_on(world.store().status()).unwrap();
    assert_eq!((status.dead_count, status.waiting()), (0, 2));
}

#[test]
fn budgets_outlive_the_process_and_give_all_or_nothing() {
    let mut world = World::new();
    let tokens = |budget: &str, count| Tokens {
        budget: budget.to_owned(),
        interval: Duration::from_millis(100),
        burst: 10,
        count,
    };
    let take =
        |world: &World, tokens: &[Tokens]| world.runtime.block_on(world.store().take_tokens(tokens)).unwrap();
    assert_eq!(take(&world, &[tokens("urls", 8), tokens("global", 1)]), Duration::ZERO);
    world.reopen();
    assert_eq!(take(&world, &[tokens("global", 9), tokens("urls", 3)]), Duration::from_millis(100));
    // Nothing was taken of `global` then.
    assert_eq!(take(&world, &[tokens("global", 9)]), Duration::ZERO);
    let names = ["urls".to_owned(), "unknown".to_owned()];
    world.runtime.block_on(world.store().block_budgets(&names, Duration::from_secs(60))).unwrap();
    assert_eq!(take(&world, &[tokens("urls", 1)]), Duration::from_millis(60_100));
    let status = world.runtime.block_on(world.store().status()).unwrap();
    let shown: Vec<_> = status
        .budgets
        .iter()
        .map(|budget| (budget.name.as_str(), budget.tokens, budget.blocked_for))
        .collect();
    assert_eq!(shown, [("global", 0.0, Duration::ZERO), ("urls", 0.0, Duration::from_secs(60))]);
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let world = World::new();
    let error = SqliteStore::open(world.folder.path()).unwrap_err().to_string();
    let expected = format!("in use by process {}", std::process::id());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn a_queue_in_use_can_be_looked_at_and_not_changed() {
    let world = World::new();
    let reader = SqliteStore::open_to_read(world.folder.path()).unwrap();
    world.insert(&[url("a")]);
    let block = |future| world.runtime.block_on(future);
    assert_eq!(block(reader.status()).unwrap().waiting(), 1);
    let error = world.runtime.block_on(reader.insert(&[url("b")])).unwrap_err().to_string();
    assert!(error.starts_with("cannot store requests: ") && error.contains("readonly"), "{error}");
    assert_eq!(world.waiting(), 1);
    let folder = Folder::new();
    let error = SqliteStore::open_to_read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("there is no queue in"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// What opening a directory says that has such a file.
fn error_of(prepare: impl FnOnce(&Path)) -> String {
    let folder = Folder::new();
    prepare(&folder.path().join("queue.sqlite3"));
    SqliteStore::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn files_that_are_no_queue_are_refused_by_name() {
    let sqlite =
        |path: &Path, sql: &str| rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let error = error_of(|path| std::fs::write(path, "Dear diary, ".repeat(100)).unwrap());
    assert!(error.contains("is no SQLite database"), "{error}");
    let error = error_of(|path| sqlite(path, "CREATE TABLE bookmark (url TEXT)"));
    assert!(error.contains("of another program"), "{error}");
    let error = error_of(|path| {
        drop(SqliteStore::open(path.parent().unwrap()).unwrap());
        sqlite(path, "PRAGMA user_version = 2");
    });
    assert!(error.contains("has the schema 2") && error.contains("no newer one than 1"), "{error}");
    let error = error_of(|path| std::fs::create_dir(path).unwrap());
    assert!(error.contains("queue.sqlite3 cannot be opened"), "{error}");
}

#[test]
fn a_torn_file_is_refused_as_damaged() {
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

    /// Any order of inserts, claims and outcomes, with the process ending in between: a request leaves the queue only
    /// after something was accepted that covers it and was claimed after it had been stored. And all do in the end.
    #[test]
    fn what_is_removed_is_covered_by_what_was_accepted(
        steps in prop::collection::vec((0_u8..10, prop::collection::vec(requests(), 1..6), 1_usize..4, 0_u8..5), 1..40),
    ) {
        let mut world = World::new();
        // By event, which is the number of the request: what it asks for.
        let mut known: HashMap<String, NewRequest> = HashMap::new();
        let mut dead = 0;
        let mut open: Vec<(Box<dyn Claim>, Vec<String>)> = Vec::new();
        let alive = |world: &World| -> Vec<String> {
            let connection = rusqlite::Connection::open(world.folder.path().join("queue.sqlite3")).unwrap();
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
                    world.insert(&requests);
                }
                4..7 => {
                    let mut groups = world.groups();
                    groups.sort_by_key(|group| cfcache_queue::engine::rank(group.kind));
                    if let Some(claim) = groups.iter().find_map(|group| world.claim(group, limit)) {
                        prop_assert!(claim.requests().len() <= limit);
                        open.push((claim, alive(&world)));
                    }
                }
                7..9 => {
                    let Some((claim, stored)) = open.pop() else { continue };
                    let before = alive(&world);
                    let sent: Vec<NewRequest> =
                        claim.requests().iter().map(|claimed| claimed.request.request.clone()).collect();
                    let promised: u64 = claim.requests().iter().map(|claimed| 1 + claimed.same + claimed.covered).sum();
                    let settlements: Vec<Settlement> = (0..sent.len())
                        .map(|index| match (usize::from(outcome) + index) % 5 {
                            0..3 => Settlement::Accepted,
                            3 => again(Duration::ZERO),
                            _ => Settlement::Dead { reason: DeadReason::Refused, error: "no".to_owned() },
                        })
                        .collect();
                    world.runtime.block_on(claim.settle(settlements.clone())).unwrap();
                    let after = alive(&world);
                    let letters = world.runtime.block_on(world.store().status()).unwrap().dead_count;
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
                    let before = alive(&world);
                    world.reopen();
                    prop_assert_eq!(before, alive(&world));
                }
            }
        }
        open.clear();
        let mut rounds = 0;
        while world.waiting() > 0 {
            rounds += 1;
            prop_assert!(rounds <= known.len());
            for group in world.groups() {
                while let Some(claim) = world.claim(&group, 2) {
                    world.settle(claim, &Settlement::Accepted);
                }
            }
        }
    }
}

#[test]
fn many_that_insert_at_once_all_have_what_they_inserted() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let World { store, folder, .. } = world;
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
fn an_action_that_is_only_an_invalidation_removes_no_purge() {
    let world = World::new();
    world.insert(&[
        invalidate("hosts", "www.example.com"),
        url("a"),
        invalidate("files", "https://www.example.com/b"),
    ]);
    let group = Group { action: Action::Invalidate, ..group(Some(Kind::Hosts)) };
    let claim = world.claim(&group, 1).unwrap();
    assert_eq!(claim.requests()[0].covered, 1);
    world.settle(claim, &Settlement::Accepted);
    assert_eq!(world.waiting(), 1);
    assert!(matches!(world.groups()[..], [Group { action: Action::Purge, kind: Some(Kind::Files), .. }]));
}
