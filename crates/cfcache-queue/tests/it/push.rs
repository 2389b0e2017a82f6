//! The command `push`: what it stores of lists with invalid entries, and its messages.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::Folder;

struct CommandResult {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn queue(folder: &Folder, arguments: &[&str], input: &str) -> CommandResult {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cfcache-queue"))
        .args(arguments)
        .arg("--data")
        .arg(folder.path())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The program exits before it reads all of the input.
    let _closed = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    CommandResult { code: output.status.code(), out, err }
}

async fn waiting(folder: &Folder) -> u64 {
    let status = queue(folder, &["status", "--json"], "").await;
    let status: Value = serde_json::from_str(&status.out).unwrap();
    status["waiting"].as_u64().unwrap()
}

fn lines(count: usize) -> String {
    (1..=count).map(|number| format!("https://example.com/{number}\n")).collect()
}

const PUSH: [&str; 6] = ["push", "urls", "--zone", "example.com", "--from", "-"];

#[tokio::test]
async fn stores_a_pipe_up_to_the_first_invalid_line() {
    let folder = Folder::new();
    // More entries than one chunk.
    let input = format!("{}ftp://example.com/\nhttps://example.com/behind\n", lines(1203));
    let result = queue(&folder, &PUSH, &input).await;
    assert_eq!((result.code, result.out.as_str()), (Some(2), "1203 requests stored\n"), "{}", result.err);
    assert!(result.err.contains("invalid: standard input:1204: "), "{}", result.err);
    let told = "stopped at standard input:1204: only the entries before it (1203 URLs) were stored";
    assert!(result.err.contains(told), "{}", result.err);
    assert_eq!(waiting(&folder).await, 1203);

    let result = queue(&folder, &PUSH, "ftp://example.com/\nhttps://example.com/behind\n").await;
    assert_eq!((result.code, result.out.as_str()), (Some(2), "0 requests stored\n"), "{}", result.err);
    assert!(result.err.contains("stopped at standard input:1: nothing was stored"), "{}", result.err);
    assert_eq!(waiting(&folder).await, 1203);

    let skip = [&PUSH[..], &["--on-invalid", "skip"]].concat();
    let result = queue(&folder, &skip, "ftp://example.com/\nhttps://example.com/behind\n").await;
    assert_eq!((result.code, result.out.as_str()), (Some(2), "1 request stored\n"), "{}", result.err);
    assert_eq!(waiting(&folder).await, 1204);
}

#[tokio::test]
async fn stores_nothing_of_a_file_with_an_invalid_line() {
    let folder = Folder::new();
    let list = folder.path().join("urls.txt");
    std::fs::write(&list, format!("{}ftp://example.com/\n", lines(700))).unwrap();
    let result = queue(&folder, &[&PUSH[..5], &[list.to_str().unwrap()]].concat(), "").await;
    assert_eq!((result.code, result.out.as_str()), (Some(2), ""), "{}", result.err);
    assert!(result.err.contains("urls.txt:701: "), "{}", result.err);
    assert!(!folder.path().join("queue.sqlite3").exists());
}

/// A wrong directory must not become a queue, in which there is nothing to do.
#[tokio::test]
async fn commands_for_dead_letters_create_no_queue() {
    let folder = Folder::new();
    for command in ["retry", "drop"] {
        let result = queue(&folder, &["dead", command, "--all"], "").await;
        assert_eq!(result.code, Some(5), "{}", result.out);
        assert!(result.err.contains("there is no queue in"), "{}", result.err);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
