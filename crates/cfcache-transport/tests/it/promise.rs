//! Tests the central guarantee: "not sent" means not processed, and no request is processed twice.
//!
//! Servers misbehave according to a fixed pseudo-random sequence, and record what they processed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use cfcache_transport::{Cause, Delivery, HyperTransport, Response, Transport, TransportError};
use tokio::io::AsyncWriteExt;

use crate::http2::{Frames, NO_ERROR, REFUSED_STREAM};
use crate::support::{Server, answer, post, read_request, reset};

const REQUESTS: usize = 400;
const AT_ONCE: usize = 8;

/// How many times each request was processed.
type Processed = Arc<Mutex<HashMap<usize, usize>>>;

/// The next number of a fixed sequence (Knuth's multiplier for 64 bits).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

async fn send_all(transport: HyperTransport) -> Vec<Result<Response, TransportError>> {
    let transport = Arc::new(transport);
    let mut results = Vec::new();
    for first in (0..REQUESTS).step_by(AT_ONCE) {
        let tasks: Vec<_> = (first..first + AT_ONCE)
            .map(|n| {
                let transport = Arc::clone(&transport);
                tokio::spawn(async move { transport.send(post("/", n.to_string())).await })
            })
            .collect();
        for task in tasks {
            results.push(task.await.unwrap());
        }
    }
    results
}

#[track_caller]
fn assert_kept(results: &[Result<Response, TransportError>], processed: &Processed) {
    let processed = processed.lock().unwrap();
    let mut seen = [0; 3];
    for (n, result) in results.iter().enumerate() {
        // Every server here responds or closes at once, so a timeout would be a bug of the transport.
        assert!(
            !matches!(result, Err(error) if error.cause() == Cause::TimedOut),
            "request {n}: {result:?}, processed {:?}",
            processed.get(&n)
        );
        let times = processed.get(&n).copied().unwrap_or(0);
        match result {
            Ok(response) => {
                seen[0] += 1;
                assert_eq!(response.body(), &n.to_string(), "request {n} got another's answer");
                assert_eq!(times, 1, "request {n} succeeded");
            }
            Err(error) if error.delivery() == Delivery::NotSent => {
                seen[1] += 1;
                assert_eq!(times, 0, "request {n} was called unsent: {error}");
            }
            Err(error) => {
                seen[2] += 1;
                assert!(times <= 1, "request {n} was processed {times} times: {error}");
            }
        }
    }
    assert!(seen[0] > 0 && seen[2] > 0, "the script was too kind or too cruel: {seen:?}");
}

#[tokio::test]
async fn it_holds_over_http1() {
    http1(0..3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_holds_over_http1_on_many_threads() {
    http1(3..5).await;
}

#[tokio::test]
async fn it_holds_over_http2() {
    http2(0..3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_holds_over_http2_on_many_threads() {
    http2(3..5).await;
}

async fn http1(seeds: Range<u64>) {
    for seed in seeds {
        let processed = Processed::default();
        let keep = Arc::clone(&processed);
        let server = Server::start(move |connection, mut socket| {
            let keep = Arc::clone(&keep);
            let mut random = seed * 1_000_003 + connection as u64;
            async move {
                if next(&mut random).is_multiple_of(8) {
                    return reset(socket);
                }
                while let Some(request) = read_request(&mut socket).await {
                    let n: usize = request.rsplit_once("\r\n").unwrap().1.parse().unwrap();
                    *keep.lock().unwrap().entry(n).or_default() += 1;
                    let whole = answer(&n.to_string());
                    match next(&mut random) % 16 {
                        0 => return,
                        1 => return reset(socket),
                        2 => return drop(socket.write_all(&whole[..whole.len() / 2]).await),
                        3 | 4 => return drop(socket.write_all(&whole).await),
                        _ if socket.write_all(&whole).await.is_err() => return,
                        _ => {}
                    }
                }
            }
        })
        .await;
        assert_kept(&send_all(server.transport()).await, &processed);
    }
}

async fn http2(seeds: Range<u64>) {
    for seed in seeds {
        let processed = Processed::default();
        let keep = Arc::clone(&processed);
        let server = Server::start(move |connection, socket| {
            let keep = Arc::clone(&keep);
            let mut random = seed * 1_000_003 + connection as u64;
            async move {
                let mut frames = Frames::greet(socket, &[]).await;
                while let Some((stream, body)) = frames.request_with_body().await {
                    let n: usize = String::from_utf8(body).unwrap().parse().unwrap();
                    let fate = next(&mut random) % 64;
                    match fate {
                        0 | 1 => {
                            frames.try_refuse(stream, REFUSED_STREAM).await;
                            continue;
                        }
                        2 => {
                            // Closes gracefully without accepting this request, and reads nothing more.
                            frames.try_go_away(stream - 1, NO_ERROR).await;
                            return;
                        }
                        _ => *keep.lock().unwrap().entry(n).or_default() += 1,
                    }
                    match fate {
                        3 => return,
                        4 => return frames.reset(),
                        5 => return frames.try_go_away(stream, NO_ERROR).await,
                        6 => {
                            frames.try_go_away(stream, NO_ERROR).await;
                            return frames.try_answer(stream, &n.to_string()).await;
                        }
                        7 => frames.try_refuse(stream, 2).await,
                        _ => frames.try_answer(stream, &n.to_string()).await,
                    }
                }
            }
        })
        .await;
        let transport = server.builder().with_http2_prior_knowledge().build().unwrap();
        assert_kept(&send_all(transport).await, &processed);
    }
}
