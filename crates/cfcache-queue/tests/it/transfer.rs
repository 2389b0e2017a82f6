//! Moving a queue from a file to PostgreSQL.

use std::process::{Command, Output};
use std::time::Duration;

use cfcache_model::target::Kind;
use cfcache_queue::{
    DeadReason, DeadSelection, NewRequest, QueueStatus, RequestGroup, Settlement, SqliteStore, Store, Tokens,
    move_queue,
};

use crate::support::postgres::{PASSWORD, database, empty_database};
use crate::support::{Folder, invalidate, purge};

fn files() -> RequestGroup {
    let action = cfcache_model::endpoint::Action::Purge;
    RequestGroup { zone: "example.com".to_owned(), environment: None, action, kind: Some(Kind::Files) }
}

/// Creates a queue with 12,005 requests, 2 dead letters and a budget.
async fn filled(folder: &Folder) -> SqliteStore {
    let store = SqliteStore::open(folder.path()).unwrap();
    let url = |path: &str| purge("files", &format!("https://www.example.com/{path}"));
    let settle = async |settlement: Settlement| {
        let claim = store.claim(&files(), 10).await.unwrap().unwrap();
        let settlements = vec![settlement; claim.requests().len()];
        claim.settle(settlements).await.unwrap();
    };
    store.insert(&[url("refused/1"), url("refused/2")]).await.unwrap();
    settle(Settlement::Dead { reason: DeadReason::Refused, error: "no\0no".to_owned() }).await;
    let failed = NewRequest { priority: 7, event: Some("e\0vent ü".to_owned()), ..url("failed") };
    store.insert(&[failed]).await.unwrap();
    let after = Duration::ZERO;
    settle(Settlement::TryAgain { after, error: "broken".to_owned(), counts: true }).await;
    let staging = NewRequest {
        environment: Some("e1".to_owned()),
        ..purge("files", r#"{"url":"https://www.example.com/","headers":{"CF-Device-Type":"mobile"}}"#)
    };
    let later = NewRequest { delay: Duration::from_secs(3600), ..url("later") };
    store.insert(&[staging, later, purge("everything", ""), invalidate("tags", "News")]).await.unwrap();
    let many: Vec<NewRequest> = (0..12_000).map(|number| url(&number.to_string())).collect();
    store.insert(&many).await.unwrap();
    let interval = Duration::from_secs(3600);
    store.take_tokens(&[Tokens { budget: "urls".to_owned(), interval, burst: 10, count: 4 }]).await.unwrap();
    store
}

fn counts(status: &QueueStatus) -> (u64, u64, usize) {
    (status.waiting(), status.dead_count, status.budgets.len())
}

#[tokio::test]
async fn moves_everything_once_and_empties_the_file() {
    let Some(database) = database().await else { return };
    let folder = Folder::new();
    let (from, to) = (filled(&folder).await, database.store());
    let moved = move_queue(&from, &to).await.unwrap();
    assert_eq!((moved.requests, moved.dead, moved.budgets), (12_005, 2, 1));
    assert_eq!(counts(&from.status().await.unwrap()), (0, 0, 0));
    let status = to.status().await.unwrap();
    assert_eq!(counts(&status), (12_005, 2, 1));
    assert!((6.0..6.1).contains(&status.budgets[0].tokens), "{:?}", status.budgets);
    assert!(
        status.dead.iter().all(|letter| letter.reason == "refused" && letter.last_error == "no\u{fffd}no")
    );
    assert!(!to.ready_groups().await.unwrap().is_empty());
    let claim = to.claim(&files(), 3).await.unwrap().unwrap();
    let first = &claim.requests()[0].request;
    assert_eq!((first.attempts, first.request.priority), (1, 7));
    assert_eq!(first.request.event.as_deref(), Some("e\u{fffd}vent ü"));
    assert_eq!(claim.requests()[1].request.request.subject.key(), "https://www.example.com/0");
    drop(claim);
    assert_eq!(to.retry_dead(&DeadSelection::All).await.unwrap(), 2);
    // Requests that arrive in the file later can be moved too, and moving an empty file is not an error.
    let moved = move_queue(&from, &to).await.unwrap();
    assert_eq!((moved.requests, moved.dead, moved.budgets), (0, 0, 0));
}

/// If an earlier run committed the rows but could not remove them from the file, the next run moves them again.
#[tokio::test]
async fn repeating_an_interrupted_move_is_harmless() {
    let Some(database) = database().await else { return };
    let folder = Folder::new();
    let from = filled(&folder).await;
    drop(from);
    let copy = Folder::new();
    for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let (first, again) = (SqliteStore::open(folder.path()).unwrap(), SqliteStore::open(copy.path()).unwrap());
    let to = database.store();
    move_queue(&first, &to).await.unwrap();
    let moved = move_queue(&again, &to).await.unwrap();
    assert_eq!((moved.requests, moved.dead), (12_005, 0));
    assert_eq!(counts(&to.status().await.unwrap()), (24_010, 2, 1));
    let claim = to.claim(&files(), 100).await.unwrap().unwrap();
    assert!(
        claim.requests().iter().all(|claimed| claimed.same == 1),
        "each request is stored twice and sent once"
    );
}

#[tokio::test]
async fn keeps_the_file_if_postgres_has_no_schema() {
    let Some(database) = empty_database().await else { return };
    let folder = Folder::new();
    let from = filled(&folder).await;
    let error = move_queue(&from, &database.store()).await.unwrap_err().to_string();
    assert!(error.contains("migrate"), "{error}");
    assert_eq!(counts(&from.status().await.unwrap()), (12_005, 2, 1));
}

#[tokio::test]
async fn changes_nothing_if_postgres_refuses_a_row() {
    let Some(database) = database().await else { return };
    let folder = Folder::new();
    let from = filled(&folder).await;
    let client = database.client().await;
    client.batch_execute("ALTER TABLE cfcache.budget ADD CHECK (name <> 'urls')").await.unwrap();
    move_queue(&from, &database.store()).await.unwrap_err();
    assert_eq!(counts(&from.status().await.unwrap()), (12_005, 2, 1));
    assert_eq!(counts(&database.store().status().await.unwrap()), (0, 0, 0));
}

/// Runs the command with only this environment.
fn run(arguments: &[&str], environment: &[(&str, &str)], folder: &Folder) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"));
    command.arg("move").args(arguments).arg("--data").arg(folder.path());
    command.env_clear().envs(environment.iter().copied()).output().unwrap()
}

fn stderr_and_stdout(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test]
async fn move_reads_the_password_from_the_environment() {
    let Some(database) = database().await else { return };
    let folder = Folder::new();
    drop(filled(&folder).await);
    let with_password = database.url();
    let without = with_password.replace(&format!(":{PASSWORD}"), "");

    let refused = run(&["--to", &with_password], &[], &folder);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr_and_stdout(&refused));
    assert!(
        stderr_and_stdout(&refused).contains("PGPASSWORD") && !stderr_and_stdout(&refused).contains(PASSWORD),
        "{}",
        stderr_and_stdout(&refused)
    );
    let unreachable = run(&["--to", &without], &[("PGPASSWORD", "another")], &folder);
    assert_eq!(unreachable.status.code(), Some(5), "{}", stderr_and_stdout(&unreachable));
    assert_eq!(counts(&SqliteStore::open(folder.path()).unwrap().status().await.unwrap()).0, 12_005);

    let moved = run(&["--to", &without], &[("PGPASSWORD", PASSWORD)], &folder);
    assert_eq!(moved.status.code(), Some(0), "{}", stderr_and_stdout(&moved));
    assert!(
        stderr_and_stdout(&moved).contains("12005 requests, 2 dead letters and 1 budgets"),
        "{}",
        stderr_and_stdout(&moved)
    );
    let again = run(&[], &[("DATABASE_URL", &with_password)], &folder);
    assert!(
        again.status.success() && stderr_and_stdout(&again).contains("0 requests"),
        "{}",
        stderr_and_stdout(&again)
    );
    assert_eq!(counts(&database.store().status().await.unwrap()), (12_005, 2, 1));
}

#[test]
fn move_creates_no_queue_in_an_empty_directory() {
    let folder = Folder::new();
    let nowhere = run(&[], &[], &folder);
    assert_eq!(nowhere.status.code(), Some(2), "{}", stderr_and_stdout(&nowhere));
    let path = folder.path().join("none");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"));
    command.args(["move", "--to", "postgres://127.0.0.1:1/none", "--data"]).arg(&path).env_clear();
    let output = command.output().unwrap();
    assert!(
        output.status.code() == Some(2) && stderr_and_stdout(&output).contains("there is no queue in"),
        "{}",
        stderr_and_stdout(&output)
    );
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    let output = command.output().unwrap();
    assert!(
        output.status.code() == Some(5) && stderr_and_stdout(&output).contains("there is no queue in"),
        "{}",
        stderr_and_stdout(&output)
    );
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}
