//! `push`: what it stores of a list that is not good to its end, and what it says of it.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::Folder;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn queue(folder: &Folder, arguments: &[&str], input: &str) -> Ran {
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
    // It ends before it has read all of what is wrong.
    let _closed = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ran { code: output.status.code(), out, err }
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
async fn a_pipe_is_stored_up_to_the_line_that_is_invalid() {
    let folder = Folder::new();
    // More than go into the store at once.
    let input = format!("{}ftp://example.com/\nhttps://example.com/behind\n", lines(1203));
    let ran = queue(&folder, &PUSH, &input).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), "1203 requests stored\n"), "{}", ran.err);
    assert!(ran.err.contains("invalid: standard input:1204: "), "{}", ran.err);
    let told =
        "stopped at standard input:1204: what stands before it (1203 URLs) is stored, and nothing else";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert_eq!(waiting(&folder).await, 1203);

    let ran = queue(&folder, &PUSH, "ftp://example.com/\nhttps://example.com/behind\n").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), "0 requests stored\n"), "{}", ran.err);
    assert!(ran.err.contains("stopped at standard input:1: nothing was stored"), "{}", ran.err);
    assert_eq!(waiting(&folder).await, 1203);

    let skip = [&PUSH[..], &["--on-invalid", "skip"]].concat();
    let ran = queue(&folder, &skip, "ftp://example.com/\nhttps://example.com/behind\n").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), "1 request stored\n"), "{}", ran.err);
    assert_eq!(waiting(&folder).await, 1204);
}

#[tokio::test]
async fn nothing_is_stored_of_a_file_with_an_invalid_line() {
    let folder = Folder::new();
    let list = folder.path().join("urls.txt");
    std::fs::write(&list, format!("{}ftp://example.com/\n", lines(700))).unwrap();
    let ran = queue(&folder, &[&PUSH[..5], &[list.to_str().unwrap()]].concat(), "").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    assert!(ran.err.contains("urls.txt:701: "), "{}", ran.err);
    assert!(!folder.path().join("queue.sqlite3").exists());
}
